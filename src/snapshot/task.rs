//! A task, and what can be known of it.

use std::str::FromStr;

use super::ids::Span;
use super::wait_class::WaitClass;
use crate::code::{FunctionId, LabelSetId, LocationId, StackId, StrId};

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum TaskState {
    /// On a CPU, or at least on a thread.
    Running,
    /// Ready, waiting for a worker.
    Runnable,
    /// Waiting for something.
    Waiting,
    /// In a system call or in foreign code.
    Syscall,
    /// Stopped by the runtime in the middle of its work.
    Preempted,
    /// Over, but not yet collected.
    Finished,
    /// Not known.
    #[default]
    Unknown,
}

impl TaskState {
    /// All states, in the order in which help lists them.
    pub const ALL: [TaskState; 7] = [
        TaskState::Running,
        TaskState::Runnable,
        TaskState::Waiting,
        TaskState::Syscall,
        TaskState::Preempted,
        TaskState::Finished,
        TaskState::Unknown,
    ];

    /// The name that commands and files use: "running".
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Running => "running",
            TaskState::Runnable => "runnable",
            TaskState::Waiting => "waiting",
            TaskState::Syscall => "syscall",
            TaskState::Preempted => "preempted",
            TaskState::Finished => "finished",
            TaskState::Unknown => "unknown",
        }
    }
}

/// A text that is not the name of a [`TaskState`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown state {0}; states: {names}", names = TaskState::ALL.map(TaskState::name).join(", "))]
pub struct UnknownState(pub String);

impl FromStr for TaskState {
    type Err = UnknownState;

    /// Reads a [`TaskState::name`], in upper or lower case.
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let is = |state: &TaskState| state.name().eq_ignore_ascii_case(text);
        TaskState::ALL.into_iter().find(is).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// How long a task has been in its present state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Age {
    /// Not known.
    #[default]
    Unknown,
    /// At least this many nanoseconds.
    AtLeast(u64),
    /// This many nanoseconds.
    Exactly(u64),
}

impl Age {
    /// The nanoseconds, whether a bound or exact.
    pub fn nanos(self) -> Option<u64> {
        match self {
            Age::Unknown => None,
            Age::AtLeast(ns) | Age::Exactly(ns) => Some(ns),
        }
    }
}

/// How far the stack of a task can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum StackStatus {
    /// Down to the task's entry.
    Complete,
    /// The inner frames are right; the outer ones were not read because there are too many.
    Truncated,
    /// The inner frames are right; further out the unwinder found no way on.
    Broken,
    /// The frames are right, but there are more: the target had no room to keep them, or the dump is damaged.
    Gaps,
    /// The inner frames are right, if there are any; the rest of the stack is not in the core file, or its
    /// memory cannot be read.
    Missing,
    /// The task would not hold still: no stack.
    Torn,
    /// The task was running and its registers were not read: no stack.
    Running,
    /// The source gives no stack, or no more of it than the task's entry.
    #[default]
    Unknown,
}

impl StackStatus {
    /// Every status with the name that commands and files use.
    const NAMES: [(StackStatus, &str); 8] = [
        (StackStatus::Complete, "complete"),
        (StackStatus::Truncated, "truncated"),
        (StackStatus::Broken, "broken"),
        (StackStatus::Gaps, "gaps"),
        (StackStatus::Missing, "missing"),
        (StackStatus::Torn, "torn"),
        (StackStatus::Running, "running"),
        (StackStatus::Unknown, "unknown"),
    ];

    /// The name that commands and files use: "complete".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("unknown", |known| known.1)
    }

    /// The status of that name. None for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|known| known.1 == name).map(|known| known.0)
    }
}

/// One task. The default is a task of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Task {
    /// Index into [`Header::runtimes`](super::Header::runtimes).
    pub runtime: u8,
    /// The runtime's own id for it.
    pub id: Option<u64>,
    /// Address of the runtime's structure for it; with the id it is the task's identity. 0 if unknown:
    /// [`Task::known_address`] says so.
    pub address: u64,
    /// What it is doing.
    pub state: TaskState,
    /// Why it waits, in the runtime's words: "chan receive".
    pub reason: Option<StrId>,
    /// What kind of wait that is, as the reader of its runtime says.
    pub wait_class: WaitClass,
    /// How long it has been in this state.
    pub age: Age,
    /// How long ago it was started, nanoseconds.
    pub lifetime_ns: Option<u64>,
    /// How many times it has been run until it ended or had to wait (polled). 0: never yet.
    pub polls: Option<u64>,
    /// Changes when the task runs: different marks prove that it ran. Equal ones may be chance, once in 256
    /// times for Go, where only eight bits count; in several snapshots in a row they show that it stood
    /// still. Means nothing else. None if the source has nothing of the kind (see also `polls`).
    pub mark: Option<u64>,
    /// Id of the task that started it.
    pub parent: Option<u64>,
    /// The place where it was started. Its frames are those of the `go` statement.
    pub creator: Option<LocationId>,
    /// The function that it was started with.
    pub entry: Option<FunctionId>,
    /// Its labels.
    pub labels: Option<LabelSetId>,
    /// Thread that it runs on now (or is in a system call on).
    pub thread: Option<u32>,
    /// It may run only on one thread.
    pub locked_to_thread: bool,
    /// The runtime's own, not the program's.
    pub system: bool,
    /// The runtime has proved that it will never run again.
    pub leaked: bool,
    /// Its stack.
    pub stack: Option<StackId>,
    /// How far the stack can be trusted.
    pub stack_status: StackStatus,
    /// Bytes of memory that its stack takes. 0 if it has none of its own or it is unknown:
    /// [`Task::known_stack_bytes`] says so.
    pub stack_bytes: u64,
    /// What it waits for: rows of [`Snapshot::waits`](super::Snapshot::waits).
    pub waits: Span,
    /// Locks for which others wait and that it seems to hold: rows of
    /// [`Snapshot::holds`](super::Snapshot::holds).
    pub holds: Span,
    /// How many more tasks are equal to this one and have no row of their own, because the source only
    /// counted them. 0 for a task that the source told apart: who has an id, waits for a thing that is
    /// known or holds one has no twins.
    pub twins: u64,
}

impl Task {
    /// The address of the runtime's structure for it. None if unknown.
    pub fn known_address(&self) -> Option<u64> {
        Some(self.address).filter(|&address| address != 0)
    }

    /// Bytes of memory that its stack takes. None if it has none of its own or it is unknown.
    pub fn known_stack_bytes(&self) -> Option<u64> {
        Some(self.stack_bytes).filter(|&bytes| bytes != 0)
    }

    /// How many tasks the row stands for: itself and its twins.
    pub fn count(&self) -> u64 {
        self.twins.saturating_add(1)
    }
}

/// How many tasks some rows stand for.
pub fn count_tasks<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> u64 {
    tasks.into_iter().fold(0, |sum: u64, task| sum.saturating_add(task.count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots hold them by the million.
    #[test]
    fn a_task_is_small() {
        assert_eq!(size_of::<Task>(), 192);
    }
}
