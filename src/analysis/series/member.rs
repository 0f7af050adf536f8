//! Single tasks, followed from reading to reading.

use super::super::signature::SignatureId;
use crate::snapshot::TaskState;

/// A task of the last reading, and what is known of it from the earlier ones. There may be a hundred thousand, made anew
/// with each reading: it is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Index into the tasks of [`super::Series::last`].
    pub task: u32,
    /// Its signature.
    pub signature: SignatureId,
    /// The signature that it had when it was first seen.
    pub first_signature: SignatureId,
    /// Number of the reading in which it was first seen.
    pub first_seen: u32,
    /// Number of the reading since which it has been at one place in the code.
    pub here_since: u32,
    /// Number of the reading since which every reading found it running or ready to run. None if the last one did not.
    pub busy_since: Option<u32>,
    /// Number of the reading since which it seems not to have run. [`super::Series::still_ns`] says whether
    /// that is certain.
    pub still_since: u32,
    /// It has no mark of its own, so what it waits for is its mark: equal ones prove nothing.
    pub(super) by_look: bool,
    /// An exact count shows this, not a mark that wraps.
    pub(super) exact: bool,
    /// Its runtime: the number in the header.
    pub(super) runtime: u8,
    pub(super) state: TaskState,
    pub(super) id: u64,
    pub(super) address: u64,
    /// Equal for equal stacks of one process.
    pub(super) place: u64,
    /// 0 if it has none.
    pub(super) mark: u64,
    pub(super) polls: u64,
    pub(super) has_mark: bool,
    pub(super) has_polls: bool,
    /// It has been in its state at least since the reading before, by what its runtime says.
    pub(super) waited: bool,
}

impl Member {
    pub(super) fn identity(&self) -> (u8, u64, u64) {
        (self.runtime, self.id, self.address)
    }

    /// Nothing is known of it from earlier readings.
    pub(super) fn begin(&mut self, number: u32) {
        (self.first_seen, self.here_since, self.still_since) = (number, number, number);
        self.first_signature = self.signature;
        self.busy_since = self.busy_since.map(|_| number);
        self.exact = true;
    }

    /// Takes over what is known from the reading before.
    pub(super) fn follow(&mut self, before: &Member) {
        self.first_seen = before.first_seen;
        self.first_signature = before.first_signature;
        self.busy_since = self.busy_since.and(before.busy_since).or(self.busy_since);
        if self.place != before.place {
            return;
        }
        self.here_since = before.here_since;
        if self.state == TaskState::Finished && before.state == TaskState::Finished {
            (self.still_since, self.exact) = (before.still_since, before.exact);
            return;
        }
        let parked = |m: &Member| matches!(m.state, TaskState::Waiting | TaskState::Syscall);
        let polls = |m: &Member| (m.has_polls, m.polls);
        let mark = |m: &Member| (m.has_mark, m.mark);
        let exact = self.has_polls && polls(self) == polls(before) || self.waited;
        let same_mark = self.has_mark && mark(self) == mark(before);
        if parked(self) && parked(before) && (exact || same_mark) {
            self.still_since = before.still_since;
            self.exact = exact && before.exact;
        }
    }
}

/// Does a task in this state use a CPU, or would it if it had one?
pub(super) fn is_busy(state: TaskState) -> bool {
    matches!(state, TaskState::Running | TaskState::Runnable | TaskState::Preempted)
}
