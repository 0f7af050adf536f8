//! What changed between the first and the last snapshot of a series.

use super::series::{Series, SeriesGroup, groups};
use super::signature::SignatureId;
use super::trend::{Trend, trend};
use crate::snapshot::Header;

/// What changed between the first and the last reading of a series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Diff {
    /// Signatures in which anything changed, the largest change first.
    pub rows: Vec<DiffRow>,
    /// Signatures in which nothing changed, the largest first.
    pub unchanged: Vec<DiffRow>,
    /// Tasks in the first reading.
    pub before: u64,
    /// Tasks in the last reading.
    pub after: u64,
    /// Tasks that were seen to be new, reading by reading. Tasks that came and went in between were not seen.
    pub born: u64,
    /// Tasks that were seen to have ended.
    pub gone: u64,
    /// Tasks of the first reading that still exist, even if they do something else now.
    pub stayed: u64,
    /// What the runtimes themselves counted in that time.
    pub counted: Option<Counted>,
    /// The time between the two readings, nanoseconds. None if unknown.
    pub span_ns: Option<u64>,
    /// Number of readings.
    pub readings: u32,
}

/// What the runtimes counted between two readings, their own tasks included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Tasks created.
    pub created: u64,
    /// Tasks ended.
    pub ended: u64,
    /// Structures made for them; the other tasks reused one of a task that had ended.
    pub structs_made: Option<u64>,
}

impl Counted {
    /// How many of those created reused a structure, from 0 to 1. None if nothing was created.
    pub fn reuse_rate(&self) -> Option<f64> {
        let made = self.structs_made?.min(self.created);
        (self.created > 0).then(|| (self.created - made) as f64 / self.created as f64)
    }
}

/// What changed for one signature.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffRow {
    /// The signature.
    pub signature: SignatureId,
    /// Tasks in the first reading.
    pub before: u64,
    /// Tasks in the last reading.
    pub after: u64,
    /// Tasks that came into the process with this signature.
    pub born: u64,
    /// Tasks that had it last and have ended.
    pub gone: u64,
    /// Tasks that came over from another signature.
    pub arrived: u64,
    /// Tasks that went over to another signature.
    pub left: u64,
    /// How fast the count grows. None if times are unknown.
    pub trend: Option<Trend>,
    /// The tasks of the last reading.
    pub group: SeriesGroup,
}

impl DiffRow {
    /// The change of the count.
    pub fn change(&self) -> i64 {
        self.after as i64 - self.before as i64
    }

    /// Whether the count grew by more than chance explains. With two readings: by more than twice the square
    /// root of the arrivals and departures. With more readings: the 95 % interval of the growth is above zero.
    pub fn grows(&self) -> bool {
        let certain = |t: &Trend| t.per_minute > 0.0 && t.plus_minus.is_some_and(|pm| t.per_minute > pm);
        let moved = self.born + self.gone + self.arrived + self.left;
        let beyond_chance = || self.change() as f64 > 1.96 * (moved as f64).sqrt();
        self.change() > 0 && self.trend.as_ref().map_or_else(beyond_chance, certain)
    }

    fn is_change(&self) -> bool {
        self.before != self.after || [self.born, self.gone, self.arrived, self.left].iter().any(|&n| n > 0)
    }
}

/// Compares the first reading of a series with the last one. Arrivals and departures are added up over all
/// readings in between.
pub fn diff(series: &Series) -> Diff {
    let rows = groups(series).into_iter().filter_map(|group| row(series, group));
    // A signature seen only in between, without known moves, says nothing about the first and the last reading.
    let (mut changed, mut unchanged): (Vec<_>, Vec<_>) =
        rows.filter(|row| row.is_change() || row.after > 0).partition(DiffRow::is_change);
    changed.sort_by_key(|row| (std::cmp::Reverse(row.change().unsigned_abs()), std::cmp::Reverse(row.after)));
    unchanged.sort_by_key(|row| std::cmp::Reverse(row.after));
    let points = series.points();
    Diff {
        before: points.front().map_or(0, |point| point.tasks),
        after: points.back().map_or(0, |point| point.tasks),
        born: points.iter().map(|point| point.born).sum(),
        gone: points.iter().map(|point| point.gone).sum(),
        stayed: series.members().iter().filter(|member| member.first_seen == 0).count() as u64,
        counted: counted(series),
        span_ns: series.span_ns(),
        readings: series.readings(),
        rows: changed,
        unchanged,
    }
}

fn row(series: &Series, group: SeriesGroup) -> Option<DiffRow> {
    let (_, track) = series.track(group.signature)?;
    let sum = |of: fn(&super::series::Step) -> u64| track.steps.iter().map(of).sum::<u64>();
    let (before, after) = (track.steps.front()?.count, track.steps.back()?.count);
    let (born, gone) = (sum(|step| step.born), sum(|step| step.gone));
    let (arrived, left) = (sum(|step| step.arrived), sum(|step| step.left));
    let times = series.points().iter().map(|point| point.elapsed_ns);
    let readings: Option<Vec<_>> =
        times.zip(&track.steps).map(|(at, step)| at.map(|at| (at, step.count))).collect();
    // Without identities, only the difference is known to have moved.
    let moved = born + gone + arrived + left;
    let moved = if series.matching().by_id() { moved } else { before.abs_diff(after) };
    let trend = readings.and_then(|readings| trend(&readings, Some(moved)));
    Some(DiffRow { signature: group.signature, before, after, born, gone, arrived, left, trend, group })
}

/// What the runtimes counted, if all of them did.
fn counted(series: &Series) -> Option<Counted> {
    let (first, last) = (series.points().front()?, series.points().back()?);
    if !series.matching().by_id() || first.number == last.number {
        return None;
    }
    let sum = |header: &Header, of: fn(&crate::snapshot::Scheduler) -> Option<u64>| {
        header.runtimes.iter().map(|runtime| of(&runtime.scheduler)).sum::<Option<u64>>()
    };
    let between = |of| sum(&last.header, of)?.checked_sub(sum(&first.header, of)?);
    let created = between(|scheduler| scheduler.tasks_created)?;
    let ended = (first.listed + created).checked_sub(last.listed)?;
    Some(Counted { created, ended, structs_made: between(|scheduler| scheduler.structs_made) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn reuse_is_what_was_not_made() {
        let counted = |created, structs_made| Counted { created, ended: 0, structs_made };
        assert_eq!(counted(200, Some(1)).reuse_rate(), Some(0.995));
        assert_eq!(counted(0, Some(0)).reuse_rate(), None);
        assert_eq!(counted(5, None).reuse_rate(), None);
        // Some runtimes make structures in advance.
        assert_eq!(counted(5, Some(16)).reuse_rate(), Some(0.0));
    }
}
