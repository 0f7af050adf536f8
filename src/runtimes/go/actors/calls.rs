//! What called functions do with the objects that goroutines wait for.
//!
//! Source: `src/runtime/chan.go`, `select.go`, `src/reflect/value.go`, `src/sync/waitgroup.go`, `cond.go`,
//! `src/context/context.go`, `src/runtime/coro.go` of Go 1.19 to 1.27.

use rustc_hash::FxHashMap;

use crate::runtimes::go::arch::machine::{Machine, Step};
use crate::runtimes::go::arch::state::{CpuState, Origin};
use crate::runtimes::go::holders::code::{Text, Unknown};
use crate::runtimes::go::holders::lookahead::{ends, keeps_registers};
use crate::snapshot::Action;

/// Functions up to this size are entered when they are called, if they act.
const MAX_ENTERED: u64 = 8192;
/// Functions that only call a closure are smaller than this.
const MAX_WRAPPER: u64 = 192;
/// Total instructions examined to find out what functions do.
const MAX_LOOKED_AT: u64 = 8_000_000;
/// Nested calls that are followed to find out what a function does.
const MAX_DEPTH: usize = 3;

/// An operation on an object, and which argument is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Sends on the channel that is this argument.
    Send(usize),
    /// Receives from a channel; writes to the address in the other argument.
    Receive { channel: usize, into: usize },
    /// Closes the channel that is the first argument.
    Close,
    /// Receives or sends on one of several channels.
    Select,
    /// Adds to the counter of a wait group.
    Add,
    /// Wakes a waiter of the condition variable so many bytes below the first argument.
    Signal(u64),
    /// Cancels the context that the called closure captured.
    Cancel,
    /// Resumes the coroutine that is the first argument.
    Resume,
}

impl Operation {
    /// What the function with this name does.
    pub(super) fn of(name: &str) -> Option<Self> {
        /// `Cond.notify`.
        const NOTIFY: u64 = 16;
        Some(match name {
            "runtime.chansend1" | "runtime.selectnbsend" | "reflect.chansend0" => Operation::Send(0),
            "runtime.chanrecv1" | "runtime.chanrecv2" => Operation::Receive { channel: 0, into: 1 },
            "runtime.selectnbrecv" => Operation::Receive { channel: 1, into: 0 },
            "reflect.chanrecv" => Operation::Receive { channel: 0, into: 2 },
            "runtime.closechan" | "reflect.chanclose" => Operation::Close,
            "runtime.selectgo" => Operation::Select,
            "sync.(*WaitGroup).Add" => Operation::Add,
            "sync.(*Cond).Signal" | "sync.(*Cond).Broadcast" => Operation::Signal(0),
            "sync.runtime_notifyListNotifyOne" | "sync.runtime_notifyListNotifyAll" => {
                Operation::Signal(NOTIFY)
            }
            "runtime.coroswitch" => Operation::Resume,
            name if is_cancel(name) => Operation::Cancel,
            _ => return None,
        })
    }

    fn actions(self) -> Actions {
        match self {
            Operation::Send(_) => Actions::of(Action::Send),
            Operation::Receive { .. } => Actions::of(Action::Receive),
            Operation::Close => Actions::of(Action::Close),
            Operation::Select => Actions::of(Action::Send).and(Actions::of(Action::Receive)),
            Operation::Add => Actions::of(Action::Done),
            Operation::Signal(_) => Actions::of(Action::Signal),
            Operation::Resume => Actions::of(Action::Resume),
            Operation::Cancel => Actions::of(Action::Cancel).and(Actions::of(Action::Close)),
        }
    }
}

/// A function literal of package context that cancels: `context.WithCancel.func1` and the like. A copy of it in a
/// function that `WithCancel` was inlined into is called `main.f.WithCancel.func1`.
fn is_cancel(name: &str) -> bool {
    const MAKERS: [&str; 6] = [
        "WithCancel",
        "WithCancelCause",
        "WithDeadline",
        "WithDeadlineCause",
        "WithTimeout",
        "WithTimeoutCause",
    ];
    let Some((maker, number)) = name.rsplit_once(".func") else { return false };
    let last = maker.rsplit_once('.').map_or(maker, |(_, last)| last);
    number.bytes().all(|b| b.is_ascii_digit()) && MAKERS.contains(&last)
}

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Actions(u8);

impl Actions {
    pub(super) fn of(action: Action) -> Self {
        Actions(match action {
            Action::Send => 1,
            Action::Receive => 2,
            Action::Close => 4,
            Action::Cancel => 8,
            Action::Done => 16,
            Action::Signal => 32,
            Action::Resume => 64,
            _ => 0,
        })
    }

    pub(super) fn and(self, other: Self) -> Self {
        Actions(self.0 | other.0)
    }

    pub(super) fn has(self, action: Action) -> bool {
        self.0 & Actions::of(action).0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a call means for the look-ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callee {
    /// It acts on an object.
    Operation(Operation),
    /// It panics: its caller does not continue.
    Panics,
    /// The program, or the goroutine, ends.
    Ends,
    /// It has its own calling convention and preserves the registers.
    KeepsRegisters,
    /// It runs what its caller deferred.
    RunsDeferred,
    /// It is small and acts, itself or through others that it calls.
    Entered,
    /// It is a function of the runtime.
    Runtime,
    /// Its results are unknown.
    Other,
}

/// Says what functions do, each examined once.
#[derive(Debug, Default)]
pub(super) struct Callees {
    known: FxHashMap<u64, Callee>,
    /// What functions do, themselves and through functions that they call.
    actions: FxHashMap<u64, (Actions, bool)>,
    looked_at: u64,
}

impl Callees {
    /// What the function that starts at `entry` means for its caller.
    pub(super) fn of(&mut self, entry: u64, text: &mut Text<'_>, machine: &mut Machine) -> Callee {
        if let Some(&known) = self.known.get(&entry) {
            return known;
        }
        let name = text.name(entry).unwrap_or_default().into_owned();
        let callee = if let Some(operation) = Operation::of(&name) {
            Callee::Operation(operation)
        } else if matches!(name.as_str(), "os.Exit" | "runtime.Goexit") || is_fatal(&name) {
            Callee::Ends
        } else if ends(&name) {
            Callee::Panics
        } else if keeps_registers(&name) {
            Callee::KeepsRegisters
        } else if name == "runtime.deferreturn" {
            Callee::RunsDeferred
        } else if self.acts(entry, text, machine, MAX_DEPTH).1 {
            Callee::Entered
        } else if name.starts_with("runtime.") {
            Callee::Runtime
        } else {
            Callee::Other
        };
        self.known.insert(entry, callee);
        callee
    }

    /// What a function does, and whether it is worth entering.
    fn acts(
        &mut self,
        entry: u64,
        text: &mut Text<'_>,
        machine: &mut Machine,
        depth: usize,
    ) -> (Actions, bool) {
        if let Some(&known) = self.actions.get(&entry) {
            return known;
        }
        let nothing = (Actions::default(), false);
        let Some(function) = text.find(entry).filter(|function| function.func.entry() == entry) else {
            return nothing;
        };
        let size = function.func.end().saturating_sub(entry);
        // A recursive call adds nothing new.
        self.actions.insert(entry, nothing);
        let is_large = size > MAX_ENTERED;
        if function.name.starts_with("runtime.") || self.looked_at > MAX_LOOKED_AT {
            return nothing;
        }
        let (mut at, mut state, mut found) = (0, CpuState::behind_call(0), nothing);
        while let Some((step, len)) =
            machine.step(&function.code, at, entry + at as u64, &mut state, &mut Unknown)
        {
            self.looked_at += 1;
            match step {
                Step::Call(_, Origin::Closure | Origin::SecondMethod) => found.1 |= size <= MAX_WRAPPER,
                Step::Call(Some(target), _) => {
                    let name = text.name(target.number).unwrap_or_default().into_owned();
                    if let Some(operation) = Operation::of(&name) {
                        found = (found.0.and(operation.actions()), true);
                    } else if depth > 0 && !ends(&name) {
                        let (actions, entered) = self.acts(target.number, text, machine, depth - 1);
                        found = (found.0.and(actions), found.1 || entered);
                    }
                }
                _ => {}
            }
            at += len as usize;
        }
        found.1 &= !is_large;
        self.actions.insert(entry, found);
        found
    }

    /// What any code of the function that contains an address does.
    pub(super) fn of_function(
        &mut self,
        address: u64,
        text: &mut Text<'_>,
        machine: &mut Machine,
    ) -> Actions {
        let entry = text.find(address).map(|function| function.func.entry());
        entry.map_or_else(Actions::default, |entry| self.acts(entry, text, machine, MAX_DEPTH).0)
    }

    /// What an operation does.
    pub(super) fn actions(operation: Operation) -> Actions {
        operation.actions()
    }
}

fn is_fatal(name: &str) -> bool {
    ["runtime.throw", "runtime.fatal"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_by_name() {
        assert_eq!(Operation::of("runtime.chansend1"), Some(Operation::Send(0)));
        assert_eq!(Operation::of("runtime.selectnbrecv"), Some(Operation::Receive { channel: 1, into: 0 }));
        assert_eq!(Operation::of("sync.(*WaitGroup).Add"), Some(Operation::Add));
        for name in ["context.WithCancel.func1", "context.WithDeadlineCause.func3", "main.f.WithCancel.func1"]
        {
            assert_eq!(Operation::of(name), Some(Operation::Cancel), "{name}");
        }
        for name in ["runtime.chansend", "main.WithCancel", "main.f.func1", "context.WithCancel.func1.1", ""]
        {
            assert_eq!(Operation::of(name), None, "{name}");
        }
    }

    #[test]
    fn sets() {
        let set = Actions::of(Action::Send).and(Actions::of(Action::Done));
        assert!(set.has(Action::Send) && set.has(Action::Done) && !set.has(Action::Close));
        assert!(Actions::of(Action::Unknown).is_empty());
    }
}
