//! A task and its known properties.

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
    /// Ended, but not yet collected.
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

/// A text that does not name a [`TaskState`].
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
    /// The nanoseconds, whether bound or exact.
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
    /// The inner frames are right; the unwinder could not continue further out.
    Broken,
    /// The frames are right, but there are more: the target had no room to keep them, or the dump is damaged.
    Gaps,
    /// The inner frames are right. Outer ones were found by frame pointers alone, because the code has no unwind
    /// tables: some may be wrong or missing.
    Guessed,
    /// The inner frames are right, if there are any; the rest of the stack is not in the core file, or its
    /// memory cannot be read.
    Missing,
    /// The task kept moving: no stack.
    Torn,
    /// The task was running and its registers were not read: no stack.
    Running,
    /// The source gives no stack, or only the task's entry.
    #[default]
    Unknown,
}

impl StackStatus {
    /// Every status with its name in commands and files.
    const NAMES: [(StackStatus, &str); 9] = [
        (StackStatus::Complete, "complete"),
        (StackStatus::Truncated, "truncated"),
        (StackStatus::Broken, "broken"),
        (StackStatus::Gaps, "gaps"),
        (StackStatus::Guessed, "guessed"),
        (StackStatus::Missing, "missing"),
        (StackStatus::Torn, "torn"),
        (StackStatus::Running, "running"),
        (StackStatus::Unknown, "unknown"),
    ];

    /// Its name in commands and files: "complete".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("unknown", |known| known.1)
    }

    /// The status with this name. None for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|known| known.1 == name).map(|known| known.0)
    }
}

/// One task. The default is a task about which nothing is known.
///
/// A snapshot may have a million, and passes over them are bound by memory. What most passes need stands first, in one
/// cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C, align(64))]
#[non_exhaustive]
pub struct Task {
    /// The runtime's id for it.
    pub id: Option<u64>,
    /// Address of the runtime's structure for it; with the id it is the task's identity. 0 if unknown: see
    /// [`Task::known_address`].
    pub address: u64,
    /// Index into [`Header::runtimes`](super::Header::runtimes).
    pub runtime: u8,
    /// What it is doing.
    pub state: TaskState,
    /// The kind of wait, as the runtime's reader decided.
    pub wait_class: WaitClass,
    /// It belongs to the runtime, not to the program.
    pub system: bool,
    /// The runtime has proved that it will never run again.
    pub leaked: bool,
    /// It may run on one thread only.
    pub locked_to_thread: bool,
    /// How far the stack can be trusted.
    pub stack_status: StackStatus,
    /// Why it waits, in the runtime's words: "chan receive".
    pub reason: Option<StrId>,
    /// Its stack.
    pub stack: Option<StackId>,
    /// What it waits for: rows of [`Snapshot::waits`](super::Snapshot::waits).
    pub waits: Span,
    /// The number of further tasks that equal this one and have no row, because the source only counted them. 0 for a
    /// task that the source distinguished: a task with an id, a known wait object or a held lock has no twins.
    pub twins: u64,
    /// Changes when the task runs: different marks prove that it ran. Equal marks may be chance, once in 256
    /// times for Go, where only eight bits count; in several snapshots in a row they show that it did not
    /// run. Has no other meaning. None if the source has no mark (see also `polls`).
    pub mark: Option<u64>,
    /// How many times it was polled: run until it ended or had to wait. 0: never yet.
    pub polls: Option<u64>,
    /// How long it has been in this state.
    pub age: Age,
    /// The location where it was started. Its frames are those of the `go` statement.
    pub creator: Option<LocationId>,
    /// Its start function.
    pub entry: Option<FunctionId>,
    /// Id of the task that started it.
    pub parent: Option<u64>,
    /// How long ago it was started, nanoseconds.
    pub lifetime_ns: Option<u64>,
    /// Its labels.
    pub labels: Option<LabelSetId>,
    /// The thread that it runs on now (or makes a system call on).
    pub thread: Option<u32>,
    /// Bytes of memory that its stack takes. 0 if it has no stack of its own or if unknown: see
    /// [`Task::known_stack_bytes`].
    pub stack_bytes: u64,
    /// Locks that it seems to hold while other tasks wait for them: rows of
    /// [`Snapshot::holds`](super::Snapshot::holds).
    pub holds: Span,
}

impl Task {
    /// Bytes at the beginning of a task that most passes over tasks need.
    pub(crate) const MOST_NEEDED: usize = std::mem::offset_of!(Task, mark);
    /// The same, up to their ages.
    pub(crate) const NEEDED_WITH_AGE: usize = 2 * Task::MOST_NEEDED;

    /// The address of the runtime's structure for it. None if unknown.
    pub fn known_address(&self) -> Option<u64> {
        Some(self.address).filter(|&address| address != 0)
    }

    /// Bytes of memory that its stack takes. None if it has no stack of its own or if unknown.
    pub fn known_stack_bytes(&self) -> Option<u64> {
        Some(self.stack_bytes).filter(|&bytes| bytes != 0)
    }

    /// The number of tasks that the row stands for: itself and its twins.
    pub fn count(&self) -> u64 {
        self.twins.saturating_add(1)
    }
}

/// The number of tasks that these rows stand for.
pub fn count_tasks<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> u64 {
    tasks.into_iter().fold(0, |sum: u64, task| sum.saturating_add(task.count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_three_cache_lines_and_what_most_passes_need_is_in_the_first() {
        assert_eq!((size_of::<Task>(), Task::MOST_NEEDED), (3 * 64, 64));
        assert!(std::mem::offset_of!(Task, age) + size_of::<Age>() <= Task::NEEDED_WITH_AGE);
    }
}
