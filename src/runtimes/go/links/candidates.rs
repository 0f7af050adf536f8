//! The tasks that each part of the search is about. They are noted as they are made: there may be a million others.

use crate::snapshot::{TaskState, WaitClass};

/// Numbers of tasks in the builder, in ascending order.
#[derive(Debug, Default)]
pub(in super::super) struct Candidates {
    /// They wait for a descriptor, in the runtime's poller.
    pub(super) polled: Vec<usize>,
    /// They sleep.
    pub(super) sleeping: Vec<usize>,
    /// They are in a system call, on a thread.
    pub(super) calling: Vec<usize>,
    /// They are blocked on a coroutine.
    pub(super) blocked_on_coroutines: Vec<usize>,
    /// They are coroutines.
    pub(super) coroutines: Vec<usize>,
}

/// What of a task says which parts of the search it is for.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Candidate {
    pub(in super::super) state: TaskState,
    pub(in super::super) class: WaitClass,
    /// The thread that it runs on is known.
    pub(in super::super) has_thread: bool,
    /// It is blocked on a coroutine, by its wait reason.
    pub(in super::super) is_blocked_on_coroutine: bool,
    /// It is one, by what it was started with.
    pub(in super::super) is_coroutine: bool,
}

impl Candidates {
    /// Takes note of a task with this number, which is higher than those of all before.
    pub(in super::super) fn note(&mut self, number: usize, is: Candidate) {
        match (is.state, is.class) {
            (TaskState::Waiting, WaitClass::Io) => self.polled.push(number),
            (TaskState::Waiting, WaitClass::Sleep) => self.sleeping.push(number),
            (TaskState::Syscall, _) if is.has_thread => self.calling.push(number),
            _ => {}
        }
        if is.is_blocked_on_coroutine {
            self.blocked_on_coroutines.push(number);
        }
        if is.is_coroutine {
            self.coroutines.push(number);
        }
    }
}
