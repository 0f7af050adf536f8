//! Timers: of sleeping goroutines, and of channels that goroutines wait for.

use rustc_hash::{FxHashMap, FxHashSet};

use super::budget::Budget;
use super::heaps::{self, Purpose, Purposes};
use super::layout::TimerLayout;
use super::parked::{Parked, Structs};
use crate::process::TargetError;
use crate::process::bytes::{u32_at, word};
use crate::runtimes::go::Go;
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
    next_when: Option<u64>,
    is_fake: bool,
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
fn at(when: u64) -> TimerState {
    match when as i64 {
        0 => TimerState::Stopped,
        past if past < 0 => TimerState::Unknown,
        _ => TimerState::At(when),
    }
}

/// When sleeping goroutines are woken. A goroutine whose timer is not its own has none.
pub(super) fn sleeps(
    go: &Go,
    parked: Vec<Parked>,
    structs: &mut Structs<'_>,
) -> Result<Vec<(Parked, TimerState)>, TargetError> {
    let Some(layout) = go.links.timer else { return Ok(Vec::new()) };
    let addresses: Vec<u64> = parked.iter().map(|parked| parked.timer).collect();
    let mut found = Vec::with_capacity(parked.len());
    structs.each(&addresses, layout.size, |i, bytes| {
        let (parked, timer) = (parked[i], layout.parse(bytes));
        if parked.timer == 0 || timer.data != parked.raw.address {
            return;
        }
        // The timer itself is started just after the goroutine has parked.
        let state = match parked.sleep_when.or(timer.next_when) {
            _ if timer.is_fake => TimerState::Fake,
            Some(when) => at(when),
            None => timer.state,
        };
        found.push((parked, state));
    })?;
    structs.unmoved(found)
}

/// The timers that send on these channels. A channel without one is left out; the second result says whether none
/// of those that were left out can have one.
pub(super) fn of_channels(
    go: &Go,
    channels: &[u64],
    structs: &mut Structs<'_>,
    budget: &Budget,
) -> Result<(FxHashMap<u64, RawTimer>, bool), TargetError> {
    let mut found = named_by_channels(go, channels, structs)?;
    let mut is_whole = true;
    // A timer that moves within its heap, or to another one, can be overlooked once.
    for _ in 0..2 {
        let missing: FxHashSet<u64> =
            channels.iter().copied().filter(|channel| !found.contains_key(channel)).collect();
        if missing.is_empty() {
            break;
        }
        let mut candidates = Vec::new();
        is_whole = heaps::each(go, structs, budget, |timer| {
            if missing.contains(&timer.data) {
                candidates.push(timer);
            }
        })?;
        let mut purposes = Purposes::new(go);
        candidates.retain(|timer| purposes.of(timer.f, structs) == Purpose::Send);
        found.extend(candidates.into_iter().map(|timer| (timer.data, timer)));
        if !is_whole || structs.is_still() {
            break;
        }
    }
    Ok((found, is_whole))
}

/// The timers that channels themselves name, from Go 1.23 on.
fn named_by_channels(
    go: &Go,
    channels: &[u64],
    structs: &mut Structs<'_>,
) -> Result<FxHashMap<u64, RawTimer>, TargetError> {
    let mut found = FxHashMap::default();
    let (Some(layout), Some(at)) = (go.links.timer, go.links.hchan_timer) else { return Ok(found) };
    let fields: Vec<u64> = channels.iter().map(|channel| channel.wrapping_add(at as u64)).collect();
    let named = structs.words(&fields)?.into_iter().zip(channels);
    let (timers, channels): (Vec<u64>, Vec<u64>) =
        named.filter_map(|(timer, channel)| Some((timer.filter(|timer| *timer != 0)?, *channel))).unzip();
    structs.each(&timers, layout.size, |i, bytes| {
        let timer = layout.parse(bytes);
        if timer.data == channels[i] {
            found.insert(channels[i], timer);
        }
    })?;
    Ok(found)
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
