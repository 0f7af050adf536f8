//! The header of a recording: what was recorded, how, what it covers, what was lost and what it cost.

use super::Clock;
use crate::snapshot::{ProcessFigures, RuntimeInfo, TargetInfo};

/// What was recorded, how, what it covers, what was lost and what it cost.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct RecordingHeader {
    /// Version of the loiter that made the recording.
    pub loiter: String,
    /// When the recording began, nanoseconds since the Unix epoch. None if unknown.
    pub started_at_ns: Option<u64>,
    /// How long it took, nanoseconds.
    pub duration_ns: u64,
    /// What was recorded.
    pub target: TargetInfo,
    /// The runtimes found in it; [`SampledTask::runtime`](super::SampledTask::runtime) is an index of this list.
    pub runtimes: Vec<RuntimeInfo>,
    /// The operating system's figures on the process at the end.
    pub process: ProcessFigures,
    /// One entry for each clock that samples were taken by.
    pub clocks: Vec<ClockInfo>,
    /// How much of what happened the samples account for.
    pub coverage: Coverage,
    /// What the recording cost loiter.
    pub cost: Cost,
    /// Why it ended.
    pub end: End,
    /// The times of samples are multiples of this, nanoseconds. 0: exact. A long recording merges equal samples
    /// whose times are close, so that its size has a bound.
    pub time_step_ns: u64,
    /// Warnings about this recording for the user, one sentence each.
    pub warnings: Vec<String>,
}

/// Time off CPU is known from records of switches. Only threads that were blocked for a while have an owner and a stack.
pub const SWITCHES: &str = "switch records";
/// The same, and each thread was sampled when it left its CPU.
pub const SAMPLED_SWITCHES: &str = "switch records and samples at switches";

/// How samples of one clock were taken.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ClockInfo {
    /// The clock.
    pub clock: Clock,
    /// What raised the samples: "cpu-clock", "cycles", [`SWITCHES`], [`SAMPLED_SWITCHES`], "readings".
    pub event: String,
    /// The time between two samples of a thread (CPU) or between two readings (wall), nanoseconds. For
    /// readings it is the mean. None if there is no such period.
    pub period_ns: Option<u64>,
    /// The time between two readings that was asked for, nanoseconds, if the rate had to be lowered.
    pub wanted_period_ns: Option<u64>,
    /// Time in the kernel is sampled, too.
    pub kernel: bool,
    /// Samples were taken on every CPU and filtered by process. Otherwise they were taken of each thread on its
    /// own, and threads that live shorter than a period are under-represented.
    pub every_cpu: bool,
}

/// How much of what happened the samples account for.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Coverage {
    /// CPU time that the process used while it was recorded, nanoseconds, as the kernel counts it: user time only
    /// if the kernel's time was not sampled.
    pub cpu_ns: Option<u64>,
    /// CPU time that the samples stand for, nanoseconds.
    pub cpu_sampled_ns: u64,
    /// CPU time that the process spent in the kernel, nanoseconds, if it was not sampled.
    pub kernel_not_sampled_ns: Option<u64>,
    /// Samples of the process that were taken.
    pub samples: u64,
    /// Records that the kernel could not deliver because loiter did not read them in time.
    pub lost: u64,
    /// Records that made no sense.
    pub malformed: u64,
    /// Readings of all tasks (wall clock).
    pub readings: u64,
    /// Readings that failed.
    pub readings_failed: u64,
    /// Tasks that were started while it was recorded, as the runtimes count them. None if they do not.
    pub tasks_started: Option<u64>,
    /// Tasks that ended meanwhile.
    pub tasks_ended: Option<u64>,
    /// Of the tasks that were started meanwhile, those that at least one reading saw.
    pub started_seen: Option<u64>,
    /// Time that tasks lived while it was recorded, nanoseconds, all tasks together: an estimate from the
    /// counts of starts and ends. None if unknown.
    pub lived_ns: Option<u64>,
    /// Time of tasks that readings account for, nanoseconds.
    pub seen_ns: Option<u64>,
}

/// What a recording cost loiter.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Cost {
    /// CPU time that loiter used, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Threads of the target that were stopped, one at a time.
    pub threads_stopped: u64,
    /// The longest time that a single thread was stopped, nanoseconds.
    pub longest_thread_stop_ns: u64,
}

/// Why a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum End {
    /// Its time was over.
    #[default]
    Elapsed,
    /// The user ended it.
    Interrupted,
    /// The target ended.
    TargetEnded,
    /// The target became another program.
    Replaced,
}
