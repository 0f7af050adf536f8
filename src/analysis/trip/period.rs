//! The readings of one period.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{GROUPS, PERIOD_READINGS, Rules, Sample, Subject};

/// At most this many groups of a period are kept.
const NAMES: usize = 4 * GROUPS;

/// A period that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Period {
    /// Its number, from 0.
    pub number: u64,
    /// All tasks, by reading.
    pub all: Vec<u64>,
    /// Groups: their tasks in the readings that had any.
    pub groups: BTreeMap<Arc<str>, Vec<u64>>,
}

impl Period {
    /// Adds a reading. Returns how many of its groups there was no room for.
    pub(super) fn add(&mut self, sample: &Sample) -> u64 {
        if self.all.len() >= PERIOD_READINGS {
            return 0;
        }
        self.all.push(sample.tasks);
        let mut left_out = 0;
        for (name, count) in &sample.groups {
            if let Some(counts) = self.groups.get_mut(name) {
                counts.push(*count);
            } else if self.groups.len() < NAMES {
                self.groups.insert(Arc::clone(name), vec![*count]);
            } else {
                left_out += 1;
            }
        }
        left_out
    }

    /// Whether there are enough readings to judge it: half of those that there should be.
    pub(super) fn is_read(&self, rules: &Rules) -> bool {
        (self.all.len() as u64).saturating_mul(2) >= rules.expected().min(PERIOD_READINGS as u64)
    }

    /// The highest number of all tasks.
    pub(super) fn highest(&self) -> u64 {
        self.all.iter().copied().max().unwrap_or(0)
    }

    /// The median of a subject's counts; of two in the middle, the lower one.
    pub(super) fn median(&self, subject: &Subject) -> u64 {
        let mut counts = match subject {
            Subject::All => self.all.clone(),
            Subject::Group(name) => self.groups.get(name).cloned().unwrap_or_default(),
        };
        let zeros = self.all.len().saturating_sub(counts.len());
        counts.sort_unstable();
        let middle = self.all.len().saturating_sub(1) / 2;
        middle.checked_sub(zeros).and_then(|nth| counts.get(nth)).copied().unwrap_or(0)
    }
}
