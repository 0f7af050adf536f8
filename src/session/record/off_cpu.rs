//! Time that threads do not run: how long, by the records of switches, and where, by samples of threads that leave
//! their CPU. Threads that have been blocked for a while are looked at as well if those samples do not say all.

use rustc_hash::FxHashMap;

use super::attribution::{Attribution, Found};
use super::batch::{Batch, Event};
use super::threads::Threads;
use crate::process::monotonic_ns;
use crate::recording::{Clock, RecordingBuilder, Sample, Whose};
use crate::sampler::off_cpu::{Interval, OffCpu, threads_at_start};
use crate::sampler::usage::ThreadTime;
use crate::snapshot::{StackStatus, TaskState, WaitClass};

/// A thread that has been blocked for this long is looked at, nanoseconds.
const LONG_NS: u64 = 5_000_000;
/// Threads that are looked at after one drain.
const MOST_LOOKS: usize = 128;
/// Time that threads do not run.
pub(super) struct Waits {
    pid: u32,
    /// The start of the recording, CLOCK_MONOTONIC.
    start_ns: u64,
    /// The threads that are off CPU now.
    open: FxHashMap<u32, Open>,
    /// For the samples of a batch: whose they are.
    departures: Vec<Option<Found>>,
}

/// A thread that is off CPU.
struct Open {
    from_ns: u64,
    preempted: bool,
    /// What a sample says that was taken when it left its CPU.
    departure: Option<Found>,
    /// It was looked at later, and when that was done.
    looked_ns: Option<u64>,
    found: Option<Found>,
}

impl Open {
    fn new(from_ns: u64, preempted: bool, departure: Option<Found>) -> Open {
        Open { from_ns, preempted, departure, looked_ns: None, found: None }
    }

    /// Where it waits. What a later look found counts only if the thread did not run before that was over.
    fn found(self, to_ns: u64) -> Option<Found> {
        let looked = self.found.filter(|_| self.looked_ns.is_some_and(|looked_ns| looked_ns <= to_ns));
        looked.or(self.departure)
    }
}

impl Waits {
    pub(super) fn new(pid: u32, start_ns: u64) -> Self {
        let threads = threads_at_start(pid);
        let blocked = threads.iter().filter(|thread| !thread.runnable);
        let open = blocked.map(|thread| (thread.tid, Open::new(start_ns, false, None))).collect();
        Waits { pid, start_ns, open, departures: Vec::new() }
    }

    /// Finds out whose the waits are that begin in a batch, by the samples that were taken then. The attribution must
    /// have the batch already.
    pub(super) fn find(
        &mut self,
        batch: &Batch,
        attribution: &mut Attribution<'_>,
        builder: &mut RecordingBuilder,
    ) {
        let found = batch.departures.iter().map(|(moment, _)| attribution.find(&moment, builder));
        self.departures = found.map(Some).collect();
        if !self.departures.is_empty() && !attribution.is_same() {
            self.departures.clear();
        }
    }

    /// Adds the intervals that ended in a batch.
    pub(super) fn add(&mut self, batch: &Batch, threads: &mut Threads, builder: &mut RecordingBuilder) {
        for event in &batch.events {
            match *event {
                Event::Out { tid, at_ns, preempted, departure } => {
                    let departure = departure.and_then(|nth| self.departures.get_mut(nth)?.take());
                    self.open.insert(tid, Open::new(at_ns, preempted, departure));
                }
                Event::OffCpu(interval) => {
                    let open = self.open.remove(&interval.tid);
                    self.sample(&interval, open, threads, builder);
                }
                Event::Ended { tid } => {
                    self.open.remove(&tid);
                }
                _ => {}
            }
        }
        self.departures.clear();
    }

    /// Looks at threads that have been blocked for a while: where they are cannot change until they run.
    pub(super) fn look(&mut self, attribution: &mut Attribution<'_>, builder: &mut RecordingBuilder) {
        let now_ns = monotonic_ns();
        let is_known =
            |found: &Found| found.whose != Whose::Unknown && found.stack_status == StackStatus::Complete;
        let long = |open: &Open| {
            !open.preempted
                && open.looked_ns.is_none()
                && !open.departure.as_ref().is_some_and(is_known)
                && now_ns.saturating_sub(open.from_ns) >= LONG_NS
        };
        for (&tid, open) in self.open.iter_mut().filter(|(_, open)| long(open)).take(MOST_LOOKS) {
            open.found = attribution.blocked(tid, open.from_ns, builder).filter(|_| attribution.is_same());
            open.looked_ns = Some(monotonic_ns());
        }
    }

    /// The end of the recording: adds the intervals that are still open.
    pub(super) fn finish(
        self,
        off_cpu: OffCpu,
        end_ns: u64,
        threads: &mut Threads,
        builder: &mut RecordingBuilder,
    ) {
        let Waits { pid, start_ns, mut open, .. } = self;
        let unpaired = off_cpu.unpaired();
        if unpaired > 0 {
            let text = format!("{unpaired} times off CPU are not known: only one end of each was recorded");
            builder.header.warnings.push(text);
        }
        for interval in off_cpu.finish(end_ns, &mut |tid| ThreadTime::of(pid, tid)) {
            let open = open.remove(&interval.tid);
            sample(start_ns, &interval, open, threads, builder);
        }
    }

    fn sample(
        &self,
        interval: &Interval,
        open: Option<Open>,
        threads: &mut Threads,
        builder: &mut RecordingBuilder,
    ) {
        sample(self.start_ns, interval, open, threads, builder);
    }
}

fn sample(
    start_ns: u64,
    interval: &Interval,
    open: Option<Open>,
    threads: &mut Threads,
    builder: &mut RecordingBuilder,
) {
    let found = open.and_then(|open| open.found(interval.to_ns));
    let (state, wait_class) = match interval.preempted {
        true => (TaskState::Runnable, WaitClass::Nothing),
        false => (TaskState::Waiting, WaitClass::Call),
    };
    let (whose, labels, stack, stack_status) = match found {
        Some(found) => {
            let stack = builder.stack(found.stack);
            (found.whose, found.labels, stack, found.stack_status)
        }
        None => (Whose::Unknown, None, None, StackStatus::Unknown),
    };
    let thread = threads.row(interval.tid, builder);
    builder.sample(Sample {
        at_ns: interval.from_ns.saturating_sub(start_ns),
        clock: Clock::OffCpu,
        whose,
        thread,
        labels,
        state,
        wait_class,
        stack,
        stack_status,
        count: 1,
        weight_ns: interval.len_ns(),
        ..Sample::default()
    });
}
