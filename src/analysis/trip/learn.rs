//! Learns how many tasks a process usually has.

use std::cmp::Reverse;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Baseline, LEARNED, Learned, READINGS, Sample};
use crate::analysis::trend::trend;

/// A trend compares every count with every other: at most about this many are used.
const POINTS: usize = 200;

/// There were too few readings to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{readings} readings are too few to learn from: it takes {READINGS}")]
pub struct TooFew {
    /// How many there were.
    pub readings: usize,
}

/// Collects the counts of readings. It grows with their number: by 16 bytes for each group of a reading.
#[derive(Debug, Default)]
pub struct Learner {
    all: Vec<(u64, u64)>,
    /// For each group, the counts of the readings that had it.
    groups: FxHashMap<Arc<str>, Vec<u64>>,
}

impl Learner {
    /// Adds a reading.
    pub fn add(&mut self, sample: &Sample) {
        self.all.push((sample.at_ns, sample.tasks));
        for (name, count) in &sample.groups {
            match self.groups.get_mut(name) {
                Some(counts) => counts.push(*count),
                None => drop(self.groups.insert(Arc::clone(name), vec![*count])),
            }
        }
    }

    /// How many readings there were.
    pub fn readings(&self) -> usize {
        self.all.len()
    }

    /// What the readings say.
    ///
    /// # Errors
    /// There were too few.
    pub fn finish(self) -> Result<Baseline, TooFew> {
        let readings = self.all.len();
        let (Some(&(from_ns, _)), Some(&(to_ns, _))) = (self.all.first(), self.all.last()) else {
            return Err(TooFew { readings });
        };
        if readings < READINGS {
            return Err(TooFew { readings });
        }
        let all = learned(self.all.iter().map(|&(_, count)| count).collect(), readings);
        let mut groups: Vec<(Arc<str>, Learned)> =
            self.groups.into_iter().map(|(name, counts)| (name, learned(counts, readings))).collect();
        groups.sort_by(|a, b| {
            (Reverse(a.1.p95), Reverse(a.1.max), &a.0).cmp(&(Reverse(b.1.p95), Reverse(b.1.max), &b.0))
        });
        let others = groups.len().saturating_sub(LEARNED) as u64;
        groups.truncate(LEARNED);
        let step = readings.div_ceil(POINTS).max(1);
        let points: Vec<(u64, u64)> = self.all.into_iter().step_by(step).collect();
        let trend = trend(&points, None);
        Ok(Baseline { readings: readings as u64, from_ns, to_ns, all, groups, others, trend })
    }
}

/// The figures of counts, of which those that are missing are 0.
fn learned(mut counts: Vec<u64>, readings: usize) -> Learned {
    counts.sort_unstable();
    let zeros = readings.saturating_sub(counts.len());
    // The smallest count that this part of the readings does not exceed.
    let rank = |percent: usize| {
        let nth = (readings * percent).div_ceil(100).saturating_sub(1);
        nth.checked_sub(zeros).and_then(|nth| counts.get(nth)).copied().unwrap_or(0)
    };
    Learned { p50: rank(50), p95: rank(95), max: counts.last().copied().unwrap_or(0) }
}
