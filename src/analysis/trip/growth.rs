//! Whether a count certainly grows faster than allowed.

use super::ENOUGH;
use crate::analysis::trend::{Trend, trend};

/// The confidence that a count rises at all.
const CONFIDENT: f64 = 0.95;

/// How fast a count grows, compared with a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Growth {
    /// There are too few counts to say.
    Undecided,
    /// Not certainly faster.
    Allowed,
    /// Certainly faster.
    TooFast(Trend),
}

/// Compares the growth of counts at moments, nanoseconds, with a limit per minute.
///
/// It is too fast if the whole 95 % interval of the growth is above the limit, and the count rises by the test of Mann
/// and Kendall. A single jump is no growth: if the largest step were like the others, the counts must still grow faster than
/// the limit.
pub fn growth(counts: &[(u64, u64)], limit: f64) -> Growth {
    if counts.len() < ENOUGH {
        return Growth::Undecided;
    }
    let Some(found) = trend(counts, None) else { return Growth::Undecided };
    let certain = found.plus_minus.is_some_and(|plus_minus| found.per_minute - plus_minus > limit)
        && found.rising >= CONFIDENT;
    let goes_on = || trend(&without_jump(counts), None).is_some_and(|rest| rest.per_minute > limit);
    if certain && goes_on() { Growth::TooFast(found) } else { Growth::Allowed }
}

/// The counts as they would be if their largest step up were like the others on average.
fn without_jump(counts: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let steps =
        counts.iter().zip(counts.iter().skip(1)).map(|(before, after)| after.1.saturating_sub(before.1));
    let (at, step) = (1..).zip(steps).max_by_key(|&(_, step)| step).unwrap_or((0, 0));
    let (first, last) = (counts.first().map_or(0, |first| first.1), counts.last().map_or(0, |last| last.1));
    let rest = last.saturating_sub(first).saturating_sub(step);
    let usual = rest / (counts.len() as u64).saturating_sub(2).max(1);
    let excess = step.saturating_sub(usual);
    let lowered = |(nth, &(time, count)): (usize, &(u64, u64))| {
        (time, if nth >= at { count.saturating_sub(excess) } else { count })
    };
    counts.iter().enumerate().map(lowered).collect()
}
