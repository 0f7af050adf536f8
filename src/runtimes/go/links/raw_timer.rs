//! One timer of the runtime, as its memory shows it.

use super::layout::TimerLayout;
use crate::process::bytes::{u32_at, word};
use crate::snapshot::TimerState;

/// `runtime.timer`, as far as it is needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawTimer {
    pub(super) state: TimerState,
    pub(super) period: u64,
    /// The function that it calls.
    pub(super) f: u64,
    /// The argument's second word: the channel, the goroutine, the closure.
    pub(super) data: u64,
    /// Up to 1.22: when it fires next once it is started.
    pub(super) next_when: Option<u64>,
    pub(super) is_fake: bool,
}

impl TimerLayout {
    pub(super) fn parse(&self, bytes: &[u8]) -> RawTimer {
        let is_fake = self.is_fake.and_then(|at| bytes.get(at)).is_some_and(|fake| *fake != 0);
        let next_when = self.next_when.map(|at| word(bytes, at));
        let when = word(bytes, self.when);
        let status = self.status.and_then(|at| u32_at(bytes, at));
        let state = match (status, next_when) {
            (Some(status), Some(next_when)) => old_state(status, when, next_when),
            _ => at(when),
        };
        RawTimer {
            state: if is_fake && state != TimerState::Stopped { TimerState::Fake } else { state },
            period: word(bytes, self.period),
            f: word(bytes, self.f),
            data: word(bytes, self.data),
            next_when,
            is_fake,
        }
    }
}

/// The state of a timer up to Go 1.22, by its status there (`timerWaiting` and so on).
fn old_state(status: u32, when: u64, next_when: u64) -> TimerState {
    match status {
        // Waiting, running, moving.
        1 | 2 | 9 => at(when),
        // Modified, to an earlier or to a later time.
        7 | 8 => at(next_when),
        // Without status, deleted, being removed, removed.
        0 | 3 | 4 | 5 => TimerState::Stopped,
        _ => TimerState::Unknown,
    }
}

/// The state of a timer that fires at a time of the runtime's clock.
pub(super) fn at(when: u64) -> TimerState {
    match when as i64 {
        0 => TimerState::Stopped,
        past if past < 0 => TimerState::Unknown,
        _ => TimerState::At(when),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_timers_up_to_1_22() {
        let state = |status| old_state(status, 100, 500);
        assert_eq!([1, 2, 9].map(state), [TimerState::At(100); 3]);
        assert_eq!([7, 8].map(state), [TimerState::At(500); 2]);
        assert_eq!([0, 3, 4, 5].map(state), [TimerState::Stopped; 4]);
        assert_eq!([6, 10, u32::MAX].map(state), [TimerState::Unknown; 3]);
    }

    #[test]
    fn a_clock_is_never_negative() {
        assert_eq!(
            [0, 1, i64::MAX as u64].map(at),
            [TimerState::Stopped, TimerState::At(1), TimerState::At(i64::MAX as u64)]
        );
        assert_eq!([u64::MAX, 1 << 63].map(at), [TimerState::Unknown; 2]);
    }
}
