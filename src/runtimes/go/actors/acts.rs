//! What operations do, met while code is run ahead: acts on objects, and changes of memory.

use super::calls::Operation;
use super::walk::{Act, Path, Walk};
use crate::runtimes::go::arch::state::{Known, Value};
use crate::snapshot::Action;

/// Different acts of one frame that are distinguished.
const MAX_ACTS: usize = 64;
/// Cases of a select that are read.
const MAX_CASES: u64 = 64;
/// Bytes that a receive is assumed to overwrite if the size of the elements is not known.
const UNKNOWN_ELEMENT: usize = 256;
/// Larger elements end a path: what they overwrite is not remembered.
const MAX_ELEMENT: usize = 1024;
/// Words of a variable that a call may change.
const MAX_VARIABLE: usize = 64;

impl Walk<'_, '_> {
    /// Notes an operation; false if the path cannot be followed behind it.
    pub(super) fn operation(&mut self, path: &mut Path, operation: Operation) -> bool {
        let argument = |nth| path.state.nth_argument(nth);
        match operation {
            Operation::Send(nth) => {
                let channel = argument(nth);
                self.act(path, channel, Action::Send, true);
            }
            Operation::Close => {
                let channel = argument(0);
                self.act(path, channel, Action::Close, true);
            }
            Operation::Receive { channel, into } => {
                let (channel, into) = (argument(channel), argument(into));
                self.act(path, channel, Action::Receive, true);
                return self.overwrite(path, channel, into);
            }
            Operation::Select => return self.select(path),
            Operation::Add => {
                let (group, delta) = (argument(0), argument(1));
                if delta.is_some_and(|delta| (delta.number as i64) < 0) {
                    self.act(path, group, Action::Done, delta.is_some_and(|delta| delta.firm));
                }
            }
            Operation::Signal(below) => {
                let at = argument(0).map(|at| Known { number: at.number.wrapping_sub(below), ..at });
                self.act(path, at, Action::Signal, true);
            }
            Operation::Cancel => self.cancel(path),
            Operation::Resume => {
                let coroutine = argument(0);
                self.act(path, coroutine, Action::Resume, true);
            }
        }
        true
    }

    /// `context.cancelCtx.done` is an `atomic.Value`: a type, then the channel.
    fn cancel(&mut self, path: &mut Path) {
        const DONE: u64 = 32;
        let Some(closure) = path.state.closure() else { return };
        let mut follow = |at: Known, offset: u64| {
            let at = Known { number: at.number.wrapping_add(offset), ..at };
            path.state.word(at, self.goroutine)
        };
        let Some(context) = follow(closure, 8) else { return };
        // Made once, and never replaced.
        let firm = closure.firm;
        let done = follow(context, DONE).map(|done| Known { firm, ..done });
        self.act(path, done, Action::Cancel, true);
        let wanted = self.wanted;
        for channel in wanted.cancelled_with(context.number) {
            self.act(path, Some(Known { number: *channel, firm }), Action::Cancel, true);
        }
    }

    /// `selectgo(cases, order, pc0, nsends, nrecvs, block)`: the cases that send come first.
    fn select(&mut self, path: &mut Path) -> bool {
        let argument = |nth| path.state.nth_argument(nth);
        let (Some(cases), Some(sends), Some(receives)) = (argument(0), argument(3), argument(4)) else {
            return true;
        };
        let count = sends.number.saturating_add(receives.number);
        let only = count == 1 && argument(5).is_some_and(|block| block.number & 1 == 1);
        for nth in 0..count.min(MAX_CASES) {
            let at = Known { number: cases.number.wrapping_add(16 * nth), ..cases };
            let channel = path.state.word(at, self.goroutine);
            let into = path.state.word(Known { number: at.number.wrapping_add(8), ..at }, self.goroutine);
            if nth < sends.number {
                self.act(path, channel, Action::Send, only);
            } else {
                self.act(path, channel, Action::Receive, only);
                if !self.overwrite(path, channel, into) {
                    return false;
                }
            }
        }
        true
    }

    /// A received element is written there.
    fn overwrite(&mut self, path: &mut Path, channel: Value, into: Value) -> bool {
        // Unknown addresses are not the frame's own.
        let Some(into) = into.filter(|into| into.number != 0) else { return true };
        let size = channel.and_then(|channel| self.ahead.element(channel.number, self.goroutine));
        let size = size.unwrap_or(UNKNOWN_ELEMENT);
        if size <= MAX_ELEMENT && size > 0 {
            path.state.forget_memory(into.number, size);
        }
        size <= MAX_ELEMENT
    }

    /// Something is done with an object. `always`: whenever the code is run.
    pub(super) fn act(&mut self, path: &mut Path, object: Value, action: Action, always: bool) {
        let Some(object) = object.filter(|object| self.wanted.is_wanted(object.number)) else { return };
        let Known { number: address, firm } = object;
        let same = |known: &Act| (known.address, known.action, known.firm) == (address, action, firm);
        let acts = &mut self.outlook.acts;
        let nth = acts.iter().position(same).unwrap_or(acts.len());
        match acts.get_mut(nth) {
            Some(known) => known.supposed &= path.supposed,
            None if nth < MAX_ACTS => acts.push(Act { address, action, firm, supposed: path.supposed }),
            None => return,
        }
        // What depends on a value that may change is not met for certain.
        if always && firm {
            path.met |= 1 << nth;
        }
    }

    /// A function that is not entered may change the variables whose addresses it gets. The runtime's own functions
    /// mostly do.
    pub(super) fn weaken(&mut self, path: &mut Path, changes: bool) {
        const ARGUMENTS: usize = 9;
        for nth in 0..ARGUMENTS {
            let Some(argument) = path.state.nth_argument(nth) else { continue };
            let Some((start, end)) = self.goroutine.variable(argument.number) else { continue };
            for at in (start..end).step_by(8).take(MAX_VARIABLE) {
                let at = Known { number: at, firm: true };
                let word = path.state.word(at, self.goroutine).filter(|_| !changes);
                path.state.put(at.number, word.map(|word| Known { firm: false, ..word }));
            }
        }
    }
}
