//! What a sampler is asked for, and what it says of itself.

use super::SamplerError;

/// Samples a second at most. The kernel's timer keeps up with this rate.
pub const MAX_RATE_HZ: u32 = 20_000;
/// Bytes of a copied stack at most: a record has at most 64 KiB.
pub const MAX_STACK_BYTES: u32 = 48 << 10;

/// What raises a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Event {
    /// The kernel's timer, which every machine has.
    #[default]
    CpuClock,
    /// The processor's counter of cycles. Virtual machines often lack it.
    Cycles,
}

impl Event {
    /// The name that perf(1) has for it.
    pub fn name(self) -> &'static str {
        match self {
            Event::CpuClock => "cpu-clock",
            Event::Cycles => "cycles",
        }
    }
}

/// What a sampler is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplerOptions {
    /// Samples of a running thread in a second: 1 to [`MAX_RATE_HZ`].
    pub rate_hz: u32,
    /// What raises a sample.
    pub event: Event,
    /// Sample threads that run.
    pub cpu: bool,
    /// Record when threads leave and get a CPU.
    pub switches: bool,
    /// Sample threads at the moment when they leave their CPU, too, if the kernel's time may be sampled:
    /// [`SamplerFacts::departures`] says whether it is so.
    pub departures: bool,
    /// Ask for call chains in the kernel. Time in the kernel is sampled anyway, if that is allowed.
    pub kernel: bool,
    /// Bytes of the stack to copy with each sample: up to [`MAX_STACK_BYTES`].
    pub stack_bytes: u32,
    /// Sample every CPU and keep what belongs to the process (true), or sample each thread (false). None: every CPU
    /// if that is allowed.
    pub every_cpu: Option<bool>,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        SamplerOptions {
            rate_hz: 99,
            event: Event::default(),
            cpu: true,
            switches: false,
            departures: false,
            kernel: false,
            stack_bytes: 16 << 10,
            every_cpu: None,
        }
    }
}

impl SamplerOptions {
    /// Time between two samples of a thread that runs, nanoseconds.
    pub fn period_ns(&self) -> u64 {
        1_000_000_000 / u64::from(self.rate_hz.max(1))
    }

    pub(super) fn check(&self) -> Result<(), SamplerError> {
        let problem = if !(1..=MAX_RATE_HZ).contains(&self.rate_hz) {
            format!("a rate of {} Hz is not between 1 and {MAX_RATE_HZ}", self.rate_hz)
        } else if self.stack_bytes > MAX_STACK_BYTES {
            format!("a stack of {} bytes is more than {MAX_STACK_BYTES}", self.stack_bytes)
        } else if !self.cpu && !self.switches {
            "neither running threads nor switches are asked for".to_owned()
        } else {
            return Ok(());
        };
        Err(SamplerError::Options { problem })
    }
}

/// How a sampler works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SamplerFacts {
    /// What raises samples: "cpu-clock", "cycles". None if only switches are recorded.
    pub event: Option<&'static str>,
    /// Time between two samples of a thread that runs, nanoseconds.
    pub period_ns: u64,
    /// Every CPU is sampled. Otherwise each thread is, and threads that live shorter than a few periods are
    /// under-represented.
    pub every_cpu: bool,
    /// Time in the kernel is sampled, too.
    pub kernel: bool,
    /// Threads are sampled when they leave their CPU.
    pub departures: bool,
    /// Rings: one a CPU, or one a thread.
    pub rings: usize,
    /// Bytes of each ring.
    pub ring_bytes: usize,
    /// What had to be reduced, and why: one sentence each.
    pub reduced: Vec<String>,
}

/// What was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tally {
    /// Samples of the process.
    pub samples: u64,
    /// Samples of other processes, which were thrown away.
    pub others: u64,
    /// Records that the kernel could not write because a ring was full. Where every CPU is sampled, some of them may
    /// have been of other processes.
    pub lost: u64,
    /// Samples of threads that left their CPU.
    pub departures: u64,
    /// How long no such samples were taken, because there were too many, nanoseconds.
    pub departures_paused_ns: u64,
    /// Such samples that the kernel could not write because their ring was full.
    pub departures_lost: u64,
    /// Records that made no sense.
    pub malformed: u64,
    /// How often the kernel suppressed samples for a while, because there were too many.
    pub throttled: u64,
    /// Threads that could not be given an event, because of a limit: nothing of them was recorded.
    pub threads_missed: u64,
}
