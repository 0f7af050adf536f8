//! When goroutines that sleep, or that wait for a timer's channel, go on by themselves.

use super::{BATCH, Search, timers};
use crate::process::TargetError;
use crate::snapshot::{ObjectKind, Timer, TimerKind, TimerState, WaitObject, WaitOp};
use crate::words::go::MOMENT;

impl Search<'_, '_> {
    /// The timers of goroutines that sleep.
    pub(super) fn sleeps(&mut self) -> Result<(), TargetError> {
        let is_of_program = |task: &&usize| self.into.tasks().get(**task).is_some_and(|task| !task.system);
        let tasks: Vec<usize> =
            self.scope.candidates.sleeping.iter().filter(is_of_program).copied().collect();
        let (mut left_out, mut known) = (0, 0);
        for batch in tasks.chunks(BATCH) {
            if self.budget.is_over() {
                left_out += batch.len();
                continue;
            }
            let parked = self.structs.parked(batch, self.into)?;
            for (parked, state) in timers::sleeps(self.go, parked, &mut self.structs)? {
                if self.wait(parked.task, ObjectKind::Timer, parked.timer, WaitOp::Wait) {
                    let object = self.into.object(ObjectKind::Timer, parked.timer, |_| None);
                    let timer = Timer { object, kind: TimerKind::Sleep, state, period_ns: 0 };
                    self.into.links.timers.push(timer);
                    known += 1;
                }
            }
        }
        let unknown = tasks.len() - known;
        if unknown > 0 {
            self.into.links.unknown.push(format!(
                "when {unknown} of {} sleeping goroutines wake up is unknown: {left_out} were left out for lack of time, \
                 the others have run meanwhile or have no timer of their own",
                tasks.len()
            ));
        }
        Ok(())
    }

    /// The timers of channels that carry times.
    pub(super) fn timers(&mut self) -> Result<(), TargetError> {
        let mut channels = self.channels_of(MOMENT);
        // Other channels that carry times are the program's own.
        channels.retain(|(_, object)| object.channel.is_some_and(|channel| channel.cap == 1));
        if channels.is_empty() {
            return Ok(());
        }
        let addresses: Vec<u64> = channels.iter().map(|(_, object)| object.address).collect();
        let (found, is_whole) = timers::of_channels(self.go, &addresses, &mut self.structs, &self.budget)?;
        let mut unknown = 0;
        for (object, WaitObject { address, .. }) in channels {
            let (state, period_ns) = match found.get(&address) {
                Some(timer) => (timer.state, timer.period),
                None if is_whole => (TimerState::Stopped, 0),
                None => (TimerState::Unknown, 0),
            };
            unknown += usize::from(state == TimerState::Unknown);
            self.into.links.timers.push(Timer { object, kind: TimerKind::Channel, state, period_ns });
        }
        if unknown > 0 {
            self.into.links.unknown.push(format!(
                "when the timers of {unknown} of {} channels fire is unknown: not all timers were read",
                addresses.len()
            ));
        }
        Ok(())
    }
}
