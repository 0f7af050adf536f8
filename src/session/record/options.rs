//! What a recording is asked for, and how far it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::recording::Clock;
use crate::sampler::Event;

/// Which clocks a recording has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clocks {
    /// Samples of threads that run.
    pub cpu: bool,
    /// Time that threads do not run.
    pub off_cpu: bool,
    /// Readings of all tasks.
    pub wall: bool,
}

impl Clocks {
    /// All of them.
    pub const ALL: Clocks = Clocks { cpu: true, off_cpu: true, wall: true };

    /// Only one of them.
    pub fn only(clock: Clock) -> Clocks {
        Clocks { cpu: clock == Clock::Cpu, off_cpu: clock == Clock::OffCpu, wall: clock == Clock::Wall }
    }

    /// Whether perf events are needed.
    pub(super) fn need_sampler(self) -> bool {
        self.cpu || self.off_cpu
    }
}

/// What a recording is asked for.
#[derive(Debug, Clone)]
pub struct RecordOptions {
    /// Which clocks it has.
    pub clocks: Clocks,
    /// Samples a second of a thread that runs.
    pub rate_hz: u32,
    /// What raises a sample.
    pub event: Event,
    /// Keep the frames of the kernel.
    pub kernel: bool,
    /// How long it takes. None: until the process ends or [`RecordOptions::stop`] is set.
    pub duration: Option<Duration>,
    /// The time between two readings of all tasks.
    pub reading_period: Duration,
    /// The share of a core that the readings may take. They become rarer to stay below it.
    pub max_cpu: f64,
    /// The folder with what is known of debug information: see [`ReadOptions::cache`](crate::runtimes::ReadOptions::cache).
    pub cache: Option<PathBuf>,
    /// If it is set from outside, the recording ends soon and keeps what there is.
    pub stop: Arc<AtomicBool>,
}

impl Default for RecordOptions {
    fn default() -> Self {
        RecordOptions {
            clocks: Clocks::only(Clock::Cpu),
            rate_hz: 99,
            event: Event::default(),
            kernel: false,
            duration: Some(Duration::from_secs(10)),
            reading_period: Duration::from_millis(50),
            max_cpu: 0.2,
            cache: None,
            stop: Arc::default(),
        }
    }
}

/// How far a recording is.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Since its start.
    pub elapsed: Duration,
    /// Samples so far.
    pub samples: u64,
    /// Records that were lost.
    pub lost: u64,
    /// Readings of all tasks so far.
    pub readings: u64,
    /// CPU time that the samples stand for, in percent of the CPU time that the process used. None if it used too
    /// little to say.
    pub coverage: Option<f64>,
}
