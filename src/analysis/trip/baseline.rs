//! What was learned, and the thresholds that follow from it.

use std::sync::Arc;

use super::{Rules, Subject};
use crate::analysis::trend::Trend;

/// A threshold is above the learned number by at least this many tasks: a few more say nothing.
const MORE: u64 = 10;
/// The threshold of a group is, besides, above it by at least one part in this many of all tasks.
const PART: u64 = 20;

/// The counts of one subject over the learned time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learned {
    /// The median.
    pub p50: u64,
    /// 95 % of the readings had no more tasks than this.
    pub p95: u64,
    /// The highest number.
    pub max: u64,
}

/// The counts of a process over a while in which it was well.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Baseline {
    /// How many readings there were.
    pub readings: u64,
    /// The first of them, nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// The last of them.
    pub to_ns: u64,
    /// All tasks.
    pub all: Learned,
    /// Groups, the highest P95 first. At most [`super::LEARNED`].
    pub groups: Vec<(Arc<str>, Learned)>,
    /// How many other groups there were, which had fewer tasks.
    pub others: u64,
    /// How all tasks grew meanwhile. None if that cannot be known.
    pub trend: Option<Trend>,
}

impl Baseline {
    /// What was learned of a subject. None if it is no group of its own.
    pub fn learned(&self, subject: &Subject) -> Option<Learned> {
        match subject {
            Subject::All => Some(self.all),
            Subject::Group(name) => self.groups.iter().find(|(known, _)| known == name).map(|known| known.1),
        }
    }

    /// How many tasks are allowed.
    ///
    /// That is the P95 and some percent, and no less than the P95 and ten tasks. For a group it is also no less than the
    /// P95 and 5 % of all tasks. A group that was not learned may be as large as that percentage of all tasks: then it
    /// alone makes the process too large.
    pub fn threshold(&self, subject: &Subject, rules: &Rules) -> u64 {
        let part = |of: u64| {
            u64::try_from(u128::from(of) * u128::from(rules.over_percent) / 100).unwrap_or(u64::MAX)
        };
        let (base, least) = match (subject, self.learned(subject)) {
            (Subject::All, _) => (self.all.p95, MORE),
            (Subject::Group(_), Some(learned)) => (learned.p95, MORE.max(self.all.p95 / PART)),
            (Subject::Group(_), None) => return part(self.all.p95).max(MORE),
        };
        base.saturating_add(part(base).max(least))
    }

    /// Whether the process certainly grew while it was learned: then a leak may be part of what counts as usual.
    pub fn grew(&self) -> Option<Trend> {
        self.trend.filter(|trend| {
            let certain = trend.plus_minus.is_some_and(|plus_minus| trend.per_minute > plus_minus);
            let minutes = self.to_ns.saturating_sub(self.from_ns) as f64 / 60e9;
            let more = trend.per_minute * minutes;
            // A few tasks, or less than a tenth of them, are no news.
            certain && trend.rising >= 0.95 && more > MORE.max(self.all.p50 / 10) as f64
        })
    }
}
