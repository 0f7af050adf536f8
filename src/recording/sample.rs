//! A sample, and who it is of.

use crate::code::{FunctionId, LabelSetId, LocationId, StackId, StrId};
use crate::snapshot::{StackStatus, TaskState, WaitClass};

/// What a sample's weight is time of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Clock {
    /// Time that a thread ran on a CPU.
    #[default]
    Cpu,
    /// Time that a thread did not run, because it waited or because another thread had the CPU.
    OffCpu,
    /// Time that passed, for each task: running and waiting.
    Wall,
}

impl Clock {
    /// All clocks, in their order.
    pub const ALL: [Clock; 3] = [Clock::Cpu, Clock::OffCpu, Clock::Wall];

    /// The name that commands and files use: "off-cpu".
    pub fn name(self) -> &'static str {
        match self {
            Clock::Cpu => "cpu",
            Clock::OffCpu => "off-cpu",
            Clock::Wall => "wall",
        }
    }

    /// The clock with this name. None for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|clock| clock.name() == name)
    }
}

/// Index into [`Recording::tasks`](super::Recording::tasks).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskRow(pub u32);

impl TaskRow {
    /// The position in its table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Index into [`Recording::threads`](super::Recording::threads).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadRow(pub u32);

impl ThreadRow {
    /// The position in its table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A thread that samples were taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SampledThread {
    /// Its id, in loiter's pid namespace.
    pub tid: u32,
    /// Its name. None if it ended before its name was read.
    pub name: Option<StrId>,
}

impl SampledThread {
    /// A thread.
    pub fn new(tid: u32, name: Option<StrId>) -> Self {
        SampledThread { tid, name }
    }
}

/// A task that samples are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct SampledTask {
    /// Index into [`RecordingHeader::runtimes`](super::RecordingHeader::runtimes).
    pub runtime: u8,
    /// The runtime's id for it. None if unknown, and in a row that stands for many tasks with the same
    /// properties: a recording keeps a bounded number of ids.
    pub id: Option<u64>,
    /// The address of the runtime's structure for it; with the id it is the task's identity. 0 if unknown.
    pub address: u64,
    /// The location where it was started.
    pub creator: Option<LocationId>,
    /// Its start function.
    pub entry: Option<FunctionId>,
    /// It belongs to the runtime, not to the program.
    pub system: bool,
}

/// Whose time a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Whose {
    /// A task's.
    Task(TaskRow),
    /// Of a runtime's scheduler: it looked for a task to run, or switched between tasks.
    Scheduler,
    /// Of a thread that runs no tasks.
    Native,
    /// Not known.
    #[default]
    Unknown,
}

/// Time of one task or thread at one place in its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Sample {
    /// When it began, nanoseconds since the start of the recording. See
    /// [`RecordingHeader::time_step_ns`](super::RecordingHeader::time_step_ns).
    pub at_ns: u64,
    /// What the weight is time of.
    pub clock: Clock,
    /// Whose time it is.
    pub whose: Whose,
    /// The thread. None if it is on no thread, or if samples of several threads were merged.
    pub thread: Option<ThreadRow>,
    /// The task's labels at that time.
    pub labels: Option<LabelSetId>,
    /// What the task, or the thread, was doing.
    pub state: TaskState,
    /// Why it waited, in the runtime's or the kernel's words: "chan receive", "futex".
    pub reason: Option<StrId>,
    /// The kind of wait.
    pub wait_class: WaitClass,
    /// The stack.
    pub stack: Option<StackId>,
    /// How far the stack can be trusted.
    pub stack_status: StackStatus,
    /// How many samples (CPU), waits (off CPU) or readings (wall) this row stands for.
    pub count: u64,
    /// The time that it stands for, nanoseconds.
    pub weight_ns: u64,
}
