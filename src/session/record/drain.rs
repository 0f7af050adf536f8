//! Drains the sampler. The thread that looks at samples does it, between one look and the next; while a look takes long, or
//! something else is read, a guard on a thread of its own does, so that nothing is lost.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::{Batch, Mapped, StackEnd, no_stack_end};
use super::looks::Looks;
use crate::process::TargetError;
use crate::sampler::off_cpu::OffCpu;
use crate::sampler::usage::CpuTime;
use crate::sampler::{Hurry, Sampler, SamplerError, SamplerFacts, Tally};

/// Bytes that wait to be looked at. With more, the sampler is not drained, and the kernel counts what it loses.
const MOST_WAITING: usize = 256 << 20;
/// Batches whose memory is kept to be used again, so that few begin with fresh memory; and the most that one of them may
/// have.
const MAX_SPARE: usize = 4;
const MAX_SPARE_BYTES: usize = 8 << 20;
/// The guard sees this often whether a look takes long. The rings hold what is written in four times this time.
const GUARD: Duration = Duration::from_millis(50);
/// The same while a look takes long, and where each switch of a thread has records: their number has no limit.
const GUARD_CLOSELY: Duration = Duration::from_millis(10);

/// Drains a sampler until it is ended or dropped.
pub(super) struct Drain {
    facts: SamplerFacts,
    shared: Arc<Shared>,
    guard: JoinHandle<()>,
    looks: Looks,
    /// The process has ended.
    has_ended: bool,
    /// The last batch was taken.
    is_over: bool,
}

/// A sampler that is drained no more.
pub(super) struct Drained {
    pub(super) facts: SamplerFacts,
    pub(super) tally: Tally,
    pub(super) off_cpu: Option<OffCpu>,
    /// When it was stopped, by the clock of its records.
    pub(super) end_ns: u64,
}

/// What both threads know.
struct Shared {
    /// The samples that were taken last are being looked at: nobody waits for the sampler.
    is_looking: AtomicBool,
    /// The guard is to end.
    stop: AtomicBool,
    source: Mutex<Source>,
}

impl Shared {
    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sampler, and what was drained and not taken yet.
struct Source {
    pid: u32,
    sampler: Sampler,
    /// Takes every record that the sampler gives.
    off_cpu: Option<OffCpu>,
    waiting: VecDeque<Batch>,
    waiting_bytes: usize,
    /// Empty batches.
    spare: Vec<Batch>,
    /// All that happened before this time was drained.
    until_ns: u64,
    begin: Instant,
    /// CPU time of the process, and when it was asked for.
    used: Option<CpuTime>,
    asked: Instant,
    /// When it was stopped.
    end_ns: Option<u64>,
}

impl Source {
    /// Keeps what the sampler has, if that is anything.
    fn drain(&mut self, stack_end: &StackEnd<'_>) {
        // A process that has ended cannot be asked any more: the last answer must not be older than a small share of the
        // recording. To ask each time would be half of what a recording costs.
        if self.end_ns.is_some() || self.asked.elapsed() >= self.begin.elapsed() / 32 {
            self.asked = Instant::now();
            self.used = CpuTime::of(self.pid).or(self.used);
        }
        let mut batch = self.spare.pop().unwrap_or_default();
        batch.fill(&mut self.sampler, self.off_cpu.as_mut(), stack_end);
        self.until_ns = batch.until_ns;
        if batch.is_empty() {
            self.spare.push(batch);
        } else {
            self.waiting_bytes += batch.bytes();
            self.waiting.push_back(batch);
        }
    }

    /// Ends the events, and keeps the last that they gave.
    fn stop(&mut self) {
        if self.end_ns.is_none() {
            self.sampler.stop();
            self.end_ns = Some(self.sampler.now_ns());
            self.drain(&no_stack_end);
        }
    }

    /// Keeps the memory of a batch that nobody needs any more.
    fn give_back(&mut self, mut batch: Batch) {
        if self.spare.len() < MAX_SPARE && batch.room() <= MAX_SPARE_BYTES {
            batch.clear();
            self.spare.push(batch);
        }
    }

    fn take(&mut self) -> Batch {
        let batch = self.waiting.pop_front().unwrap_or_else(|| Batch::empty(self.until_ns));
        self.waiting_bytes = self.waiting_bytes.saturating_sub(batch.bytes());
        batch
    }
}

impl Drain {
    /// Begins, in a hurry. `off_cpu` takes every record that the sampler gives.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(super) fn start(
        pid: u32,
        rate_hz: u32,
        sampler: Sampler,
        off_cpu: Option<OffCpu>,
    ) -> Result<Drain, SamplerError> {
        let facts = sampler.facts().clone();
        let period = if off_cpu.is_some() { GUARD_CLOSELY } else { GUARD };
        let now = Instant::now();
        let source = Source {
            pid,
            sampler,
            off_cpu,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            spare: Vec::new(),
            until_ns: 0,
            begin: now,
            used: None,
            asked: now,
            end_ns: None,
        };
        let shared = Arc::new(Shared {
            is_looking: AtomicBool::new(true),
            stop: AtomicBool::new(false),
            source: Mutex::new(source),
        });
        let guarded = Arc::downgrade(&shared);
        let thread = std::thread::Builder::new().name("drain".to_owned());
        let guard = thread
            .spawn(move || {
                let _hurry = Hurry::begin();
                guard(&guarded, period);
            })
            .map_err(|error| TargetError::io("start a thread", error))?;
        let looks = Looks::new(rate_hz);
        Ok(Drain { facts, shared, guard, looks, has_ended: false, is_over: false })
    }

    /// How the sampler works.
    pub(super) fn facts(&self) -> &SamplerFacts {
        &self.facts
    }

    /// What was drained so far.
    pub(super) fn tally(&self) -> Tally {
        self.shared.source().sampler.tally()
    }

    /// CPU time that the process had used when it was asked last. None if it was gone before.
    pub(super) fn used(&self) -> Option<CpuTime> {
        self.shared.source().used
    }

    /// The process has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Nothing more is sampled. What was sampled before can still be taken.
    pub(super) fn stop(&self) {
        self.shared.source().stop();
    }

    /// A batch was looked at, in this way: see [`Looks::done`].
    pub(super) fn looked(&mut self, batch: Batch, is_urgent: bool, missed: u64) {
        let samples = batch.samples.len();
        self.shared.source().give_back(batch);
        self.looks.done(is_urgent, samples, missed);
    }

    /// What was sampled next. Waits a while for something; if nothing comes the batch is empty.
    pub(super) fn next(&mut self, stack_end: &StackEnd<'_>) -> Batch {
        self.shared.is_looking.store(false, Ordering::Release);
        let mut source = self.shared.source();
        if source.waiting.is_empty() && source.end_ns.is_none() {
            self.has_ended |= source.sampler.wait(self.looks.interval());
            source.drain(stack_end);
        }
        let batch = source.take();
        self.is_over = source.end_ns.is_some() && source.waiting.is_empty();
        drop(source);
        self.shared.is_looking.store(true, Ordering::Release);
        batch
    }

    /// The code that was mapped according to batches that were not taken yet, as far as a time.
    pub(super) fn mapped_until(&mut self, until_ns: u64) -> Vec<Mapped> {
        let mut source = self.shared.source();
        if source.until_ns < until_ns {
            source.drain(&no_stack_end);
        }
        source.waiting.iter().flat_map(Batch::mapped).collect()
    }

    /// The sampler was stopped, and all was taken.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ends it, and gives back what it had.
    pub(super) fn finish(self) -> Drained {
        self.stop();
        self.shared.stop.store(true, Ordering::Release);
        self.guard.thread().unpark();
        self.guard.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut source = self.shared.source();
        let end_ns = source.end_ns.unwrap_or(source.until_ns);
        let (tally, off_cpu) = (source.sampler.tally(), source.off_cpu.take());
        drop(source);
        Drained { facts: self.facts, tally, off_cpu, end_ns }
    }
}

/// Drains the sampler while nobody waits for it, until nobody wants that any more.
fn guard(shared: &Weak<Shared>, period: Duration) {
    let mut takes_long = false;
    loop {
        std::thread::park_timeout(if takes_long { GUARD_CLOSELY } else { period });
        let Some(shared) = shared.upgrade() else { return };
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        takes_long = shared.is_looking.load(Ordering::Acquire);
        if takes_long {
            let mut source = shared.source();
            if source.waiting_bytes <= MOST_WAITING && source.end_ns.is_none() {
                source.drain(&no_stack_end);
            }
        }
    }
}
