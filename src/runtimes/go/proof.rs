//! What proves that a goroutine has not run since the last reading.
//!
//! An equal struct is no proof: `g.trackingSeq` has eight bits, so a goroutine that stopped running 256 times in between
//! may wait elsewhere with equal frame sizes. (`g.trackingStamp` does not help: the runtime clears it whenever a goroutine
//! stops being runnable.) There are two proofs. Both hold in the sources of Go 1.19 and 1.21 to 1.27 (`proc.go`,
//! `mgcmark.go`, `coro.go`):
//!
//! - **`g.waitsince`**. The collector sets it when it meets a goroutine that waits, to the time at which that collection
//!   began; it visits each goroutine once per collection. `execute`, which every parked goroutine passes on its way to run
//!   again, clears it. Two equal values that are not 0 mean: it did not run.
//! - **`sched.timeToRun`**. The runtime counts there how long goroutines were runnable, for every eighth time that a
//!   goroutine stopped running (`gTrackingPeriod`), when the goroutine runs again. A goroutine that stopped 256 times adds
//!   32 to the count. If fewer were added than that, apart from those that changed structs explain, no goroutine did.
//!
//! Neither covers goroutines that were switched to without the scheduler ("coroutine"), goroutines that the collector
//! stopped in the middle of their code ("preempted"), and those that wait while their thread works for them (`g.m` is set).
//! From Go 1.26 on, system calls are not counted. All of these are always read anew.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::goroutine::{Glance, Parked, status};
use super::layout::Layouts;
use super::structs::LayoutSource;
use crate::process::Memory;
use crate::process::bytes::words;

/// A goroutine whose counter wrapped adds 32 to the runtime's count. Half of that leaves room for the switches between
/// coroutines that a collection disturbs.
const WRAPPED: u64 = 16;
/// The count's memory is not larger than this.
const MAX_COUNT_BYTES: u64 = 64 << 10;

/// Where the runtime counts goroutines that run again: `sched.timeToRun`, a histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunCount {
    address: u64,
    len: usize,
}

impl RunCount {
    /// None if the layout of `schedt` is not known for sure.
    pub(super) fn find(layouts: &Layouts, sched: Option<u64>) -> Option<Self> {
        if matches!(layouts.source("schedt")?, LayoutSource::Table { exact: false, .. }) {
            return None;
        }
        let field = layouts.get("schedt")?.fields.get("timeToRun")?;
        let len = usize::try_from(field.size).ok().filter(|_| field.size <= MAX_COUNT_BYTES)?;
        Some(RunCount { address: sched?.checked_add(field.offset)?, len })
    }

    /// The present count. None if it cannot be read, or if it is 0: every program has run goroutines.
    pub(super) fn read(self, memory: &dyn Memory) -> Option<u64> {
        let bytes = memory.read_vec(self.address, self.len).ok()?;
        Some(words(&bytes).fold(0, u64::wrapping_add)).filter(|count| *count != 0)
    }
}

/// Is a goroutine the same as it was?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has not run.
    Same,
    /// It looks the same. The runtime's count may prove it.
    LooksSame,
    /// It has changed, or that cannot be known.
    Changed,
}

/// What is kept of a goroutine's struct to tell later whether the goroutine has run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    parked: Parked,
    /// Its `waitsince`.
    since: i64,
}

impl Look {
    /// At least this much was added to the runtime's count by the goroutine from this look at its struct to a later one.
    pub(super) fn added_to_count(&self, later: &Parked) -> u64 {
        if later.goid != self.parked.goid { 0 } else { counted(self.parked.stops(), later.stops()) }
    }

    /// It has been proved that the goroutine has not run. `since`: what its `waitsince` is now.
    pub(super) fn stays(&mut self, since: i64) {
        // Most stay as they are: memory that is not written need not be written back.
        if self.since != since {
            self.since = since;
        }
    }
}

/// How many of the stops that led from one value of the counter to another were multiples of eight, each shifted by one:
/// a stop is counted when the goroutine runs again.
fn counted(from: u8, to: u8) -> u64 {
    let first = u64::from(from.wrapping_sub(1));
    let last = first + u64::from(to.wrapping_sub(from));
    last.div_ceil(8) - first.div_ceil(8)
}

/// Compares goroutines' structs with what earlier looks at them kept.
#[derive(Debug)]
pub(super) struct Judge {
    /// The wait reasons that a goroutine cannot leave without the scheduler.
    stay: [bool; 256],
}

impl Judge {
    /// `texts` of the wait reasons, by number. Without them no goroutine is covered by a proof.
    pub(super) fn new(texts: &[String]) -> Self {
        let mut stay = [false; 256];
        for (stay, text) in stay.iter_mut().zip(texts).skip(1) {
            *stay = !matches!(text.as_str(), "coroutine" | "preempted");
        }
        Judge { stay }
    }

    /// Is there a proof that covers this goroutine?
    fn covers(&self, glance: &Glance) -> bool {
        let Parked { status, waitreason, .. } = glance.parked;
        let stays = self.stay.get(usize::from(waitreason)).copied().unwrap_or(false);
        matches!(status, status::WAITING | status::LEAKED) && !glance.has_thread && stays
    }

    /// What is to be kept of a struct. None if no proof covers the goroutine.
    pub(super) fn look(&self, glance: &Glance) -> Option<Look> {
        self.covers(glance).then_some(Look { parked: glance.parked, since: glance.waitsince })
    }

    /// Compares a struct with an earlier look at it.
    pub(super) fn verdict(&self, before: &Look, later: &Glance) -> Verdict {
        // What was kept is covered.
        if before.parked != later.parked || later.has_thread {
            return Verdict::Changed;
        }
        match before.since {
            0 => Verdict::LooksSame,
            since if since == later.waitsince => Verdict::Same,
            // A time that was there and is gone, or another one: it has run.
            _ => Verdict::Changed,
        }
    }
}

/// The runtime's count since the last reading.
#[derive(Debug)]
pub(super) struct Since {
    at: Option<RunCount>,
    /// The count before the last reading began.
    before: Option<u64>,
    /// What changed structs explain.
    explained: AtomicU64,
    failed: AtomicBool,
}

impl Since {
    pub(super) fn new(at: Option<RunCount>, before: Option<u64>) -> Self {
        Since { at, before, explained: AtomicU64::new(0), failed: AtomicBool::new(false) }
    }

    /// Changed structs explain this much more.
    pub(super) fn explain(&self, more: u64) {
        self.explained.fetch_add(more, Ordering::Relaxed);
    }

    /// Has every goroutine stopped fewer than 256 times? Asked after the structs were read. `last`: nothing more will be
    /// explained.
    pub(super) fn nobody_wrapped(&self, memory: &dyn Memory, last: bool) -> bool {
        let added = || self.at?.read(memory)?.checked_sub(self.before?);
        let explained = self.explained.load(Ordering::Relaxed);
        let proved = added().is_some_and(|added| {
            // More explained than counted: the count is not what it is taken for.
            explained <= added.saturating_add(WRAPPED) && added.saturating_sub(explained) < WRAPPED
        });
        if last && !proved {
            self.failed.store(true, Ordering::Relaxed);
        }
        proved
    }

    /// The count did not prove anything.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_eighth_stop_is_counted_when_the_goroutine_runs_again() {
        for from in 0..=255u8 {
            for stops in 0..=255u64 {
                // As `casgstatus` does it.
                let (mut seq, mut tracking, mut count) = (from, from.wrapping_sub(1).is_multiple_of(8), 0);
                for _ in 0..stops {
                    count += u64::from(std::mem::take(&mut tracking));
                    tracking = seq.is_multiple_of(8);
                    seq = seq.wrapping_add(1);
                }
                assert_eq!(counted(from, seq), count, "{from} {stops}");
            }
        }
    }
}
