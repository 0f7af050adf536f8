//! Drains the sampler on a thread of its own, so that nothing is lost while samples are looked at or tasks are read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::{Batch, Mapped};
use crate::process::TargetError;
use crate::sampler::off_cpu::OffCpu;
use crate::sampler::usage::CpuTime;
use crate::sampler::{Hurry, Sampler, SamplerError, SamplerFacts, Tally};

/// The sampler is drained this often: a goroutine's struct is used again for another one after its end, and the less
/// time has passed, the more is known of the goroutine of a sample.
pub(super) const DRAIN: Duration = Duration::from_millis(10);
/// The same while nothing is missed: most of what a recording costs is what each drain costs.
const CALM: Duration = Duration::from_millis(40);
/// The sampler is drained often at the beginning, and after something was missed, at least this long: then what is not
/// known of the last moments of a process is a small share of the recording, see `drain`.
const ALERT: Duration = Duration::from_secs(3);
/// Bytes that wait to be looked at. With more, the sampler is not drained, and the kernel counts what it loses.
const MOST_WAITING: usize = 256 << 20;

/// A batch comes much sooner, however loaded the machine is, unless too many wait already.
const PATIENCE: Duration = Duration::from_millis(500);

/// Drains a sampler until it is ended or dropped.
pub(super) struct Drain {
    facts: SamplerFacts,
    batches: Receiver<Batch>,
    /// Batches that were looked at and not taken yet.
    ahead: VecDeque<Batch>,
    shared: Arc<Shared>,
    thread: JoinHandle<Drained>,
    /// When something was missed last.
    missed: Instant,
    /// The last batch was taken.
    is_over: bool,
}

/// A sampler that is drained no more.
pub(super) struct Drained {
    pub(super) sampler: Sampler,
    pub(super) off_cpu: Option<OffCpu>,
    /// When it was stopped, by the clock of its records.
    pub(super) end_ns: u64,
}

/// What both threads know.
#[derive(Default)]
struct Shared {
    /// The sampler is to be ended.
    stop: AtomicBool,
    /// The process has ended.
    has_ended: AtomicBool,
    /// Nothing was missed for a while.
    is_calm: AtomicBool,
    /// Bytes of the batches that were not taken yet.
    waiting: AtomicUsize,
    tally: Mutex<Tally>,
    /// CPU time of the process.
    used: Mutex<Option<CpuTime>>,
}

impl Shared {
    /// How often the sampler is drained.
    fn pace(&self) -> Duration {
        if self.is_calm.load(Ordering::Relaxed) { CALM } else { DRAIN }
    }
}

impl Drain {
    /// Starts the thread, in a hurry. `off_cpu` takes every record that the sampler gives.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(super) fn start(pid: u32, sampler: Sampler, off_cpu: Option<OffCpu>) -> Result<Drain, SamplerError> {
        let facts = sampler.facts().clone();
        let shared = Arc::new(Shared::default());
        let (give, batches) = channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("drain".to_owned());
        let thread = thread
            .spawn(move || {
                let _hurry = Hurry::begin();
                drain(pid, sampler, off_cpu, &of_thread, &give)
            })
            .map_err(|error| TargetError::io("start a thread", error))?;
        let missed = Instant::now();
        Ok(Drain { facts, batches, ahead: VecDeque::new(), shared, thread, missed, is_over: false })
    }

    /// How the sampler works.
    pub(super) fn facts(&self) -> &SamplerFacts {
        &self.facts
    }

    /// What was drained so far.
    pub(super) fn tally(&self) -> Tally {
        *self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// CPU time that the process had used when it was drained last. None if it was gone before.
    pub(super) fn used(&self) -> Option<CpuTime> {
        *self.shared.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.shared.has_ended.load(Ordering::Acquire)
    }

    /// Nothing more is sampled. What was sampled before can still be taken.
    pub(super) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Whether something would have been known if the last batch had come sooner. While nothing would, batches come
    /// later and are larger.
    pub(super) fn note_missed(&mut self, something: bool) {
        if something {
            self.missed = Instant::now();
        }
        self.shared.is_calm.store(self.missed.elapsed() >= ALERT, Ordering::Relaxed);
    }

    /// What was drained next, or an empty batch if nothing comes for a while.
    pub(super) fn next(&mut self) -> Batch {
        // A batch comes at each pace, an empty one, too: to wake up just before it comes would cost as much again.
        let patience = self.shared.pace().saturating_mul(4);
        let next = self.ahead.pop_front().map_or_else(|| self.batches.recv_timeout(patience), Ok);
        match next {
            Ok(batch) => {
                self.shared.waiting.fetch_sub(batch.bytes(), Ordering::AcqRel);
                batch
            }
            Err(RecvTimeoutError::Timeout) => Batch::default(),
            Err(RecvTimeoutError::Disconnected) => {
                self.is_over = true;
                Batch::default()
            }
        }
    }

    /// The code that was mapped according to batches that were not taken yet, as far as a time. It waits until that is
    /// known.
    pub(super) fn mapped_until(&mut self, until_ns: u64) -> Vec<Mapped> {
        while self.ahead.back().is_none_or(|batch| batch.until_ns < until_ns) {
            let Ok(batch) = self.batches.recv_timeout(PATIENCE) else { break };
            self.ahead.push_back(batch);
        }
        self.ahead.iter().flat_map(Batch::mapped).collect()
    }

    /// The sampler was stopped, and all was taken.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ends the thread, and gives back what it had.
    pub(super) fn finish(self) -> Drained {
        self.stop();
        let Drain { batches, thread, .. } = self;
        drop(batches);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Drains a sampler until it is told to stop, or nobody takes what it gives.
fn drain(
    pid: u32,
    mut sampler: Sampler,
    mut off_cpu: Option<OffCpu>,
    shared: &Shared,
    give: &Sender<Batch>,
) -> Drained {
    let begin = Instant::now();
    let mut asked = begin;
    loop {
        let stop = shared.stop.load(Ordering::Acquire);
        if stop {
            sampler.stop();
        } else {
            sampler.wait(shared.pace());
            if shared.waiting.load(Ordering::Acquire) > MOST_WAITING {
                std::thread::sleep(DRAIN);
                continue;
            }
        }
        let end_ns = sampler.now_ns();
        // A process that has ended cannot be asked any more: the last answer must not be older than a small share of the
        // recording. To ask each time would be half of what a recording costs.
        if stop || asked.elapsed() >= begin.elapsed() / 64 {
            asked = Instant::now();
            if let Some(used) = CpuTime::of(pid) {
                *shared.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(used);
            }
        }
        let mut batch = Batch::default();
        batch.fill(&mut sampler, off_cpu.as_mut());
        *shared.tally.lock().unwrap_or_else(PoisonError::into_inner) = sampler.tally();
        shared.waiting.fetch_add(batch.bytes(), Ordering::AcqRel);
        let is_heard = give.send(batch).is_ok();
        if stop || !is_heard {
            return Drained { sampler, off_cpu, end_ns };
        }
        shared.has_ended.store(sampler.has_ended(), Ordering::Release);
    }
}
