//! How fast tasks are born and end, how long they live, and how often their structures are reused.

use super::leaks::{Finding, Report};
use super::series::Series;
use crate::snapshot::RuntimeInfo;

/// Rates over a series. None: not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Tasks born, a second.
    pub born_per_second: Option<f64>,
    /// Tasks ended, a second.
    pub ended_per_second: Option<f64>,
    /// The runtime counted all births. If not, only tasks that lived to the next reading were seen: both rates
    /// are lower bounds, and the lifetime is an upper one.
    pub counted: bool,
    /// The mean lifetime of a task. None if none ended.
    pub lifetime: Option<Lifetime>,
    /// The fraction of births that reused a structure, 0 to 1.
    pub reuse: Option<f64>,
    /// The same fraction of all births since the program started.
    pub reuse_ever: Option<f64>,
    /// Tasks born for each request, given the number of requests per second.
    pub spawns_per_request: Option<f64>,
}

impl Rates {
    /// The same, adjusted to findings: tasks that accumulate distort the mean lifetime of all, even if they are
    /// few among those that come and go.
    #[must_use]
    pub fn beside(self, report: &Report) -> Rates {
        let rise = |finding: &Finding| finding.growth.is_some_and(|growth| growth.per_minute > 0.0);
        if self.lifetime.is_some() && report.findings.iter().any(rise) {
            return Rates { lifetime: Some(Lifetime::Unknown(NoLifetime::Accumulating)), ..self };
        }
        self
    }
}

/// The mean lifetime of a task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lifetime {
    /// By Little's law (mean number / rate of ends), seconds.
    Mean(f64),
    /// That law does not apply here, and why. It holds in a steady state only: as many are born as end, for
    /// longer than tasks live.
    Unknown(NoLifetime),
}

/// Why the mean lifetime is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoLifetime {
    /// A finding says that some tasks accumulate.
    Accumulating,
    /// More tasks are born than end.
    MoreBorn,
    /// More tasks end than are born.
    MoreEnded,
    /// Tasks live too long to tell in a process of this age.
    TooLong,
}

/// In a steady state, births and ends may differ by this fraction,
const UNEVEN: f64 = 0.02;
/// or by this many times the square root of their number, as counts of independent events do.
const CHANCE: f64 = 3.0;

/// The mean lifetime, given the births and ends in the span, the mean number of tasks, and the age of the
/// process, seconds, if known.
fn lifetime(born: u64, ended: u64, mean: f64, seconds: f64, age: Option<f64>) -> Lifetime {
    let (born, ended) = (born as f64, ended as f64);
    let uneven = (born - ended).abs();
    if uneven > (born.max(ended) * UNEVEN).max(CHANCE * (born + ended).sqrt()) {
        let why = if born > ended { NoLifetime::MoreBorn } else { NoLifetime::MoreEnded };
        return Lifetime::Unknown(why);
    }
    let lifetime = mean * seconds / ended;
    // A steady state needs a few lifetimes to form, and no task is older than the process.
    if age.is_some_and(|age| lifetime * 2.0 > age) {
        return Lifetime::Unknown(NoLifetime::TooLong);
    }
    Lifetime::Mean(lifetime)
}

/// Sums a figure over all runtimes. None if one of them does not know it.
fn sum(runtimes: &[RuntimeInfo], of: fn(&RuntimeInfo) -> Option<u64>) -> Option<u64> {
    if runtimes.is_empty() {
        return None;
    }
    runtimes.iter().map(of).try_fold(0, |total: u64, one| total.checked_add(one?))
}

/// The rates of a series; `qps` is the number of requests that the program serves per second.
pub fn rates(series: &Series, qps: Option<f64>) -> Rates {
    let created = |runtime: &RuntimeInfo| runtime.scheduler.tasks_created;
    let made = |runtime: &RuntimeInfo| runtime.scheduler.structs_made;
    let reused = |made: Option<u64>, created: Option<u64>| {
        let (made, created) = (made?, created?);
        // A structure can be made for a task that is not counted yet.
        (created > 0).then(|| 1.0 - made.min(created) as f64 / created as f64)
    };
    let mut rates = Rates::default();
    let Some(last) = series.last().map(|snapshot| &snapshot.header.runtimes) else { return rates };
    rates.reuse_ever = reused(sum(last, made), sum(last, created));
    let (Some(first), Some(span)) = (series.first(), series.span_ns().filter(|&ns| ns > 0)) else {
        return rates;
    };
    let seconds = span as f64 / 1e9;
    let since = |of: fn(&RuntimeInfo) -> Option<u64>| sum(last, of)?.checked_sub(sum(&first.runtimes, of)?);
    let seen = series.matching().by_id();
    let (seen_born, seen_ended) = series
        .tracks()
        .fold((series.let_go().born(), series.let_go().gone()), |(born, gone), (_, _, track)| {
            (born + track.born, gone + track.gone)
        });
    let born = match since(created) {
        Some(born) => {
            rates.counted = true;
            Some(born)
        }
        None => seen.then_some(seen_born),
    };
    // A task that was born and is not there has ended; the runtime counts its own tasks, too.
    let more = || {
        let points = series.points();
        Some(points.back()?.listed as i64 - points.front()?.listed as i64)
    };
    let all_kept = series.points().len() == series.readings() as usize;
    let ended = match born {
        Some(born) if rates.counted && all_kept => more().map(|more| (born as i64 - more).max(0) as u64),
        _ => seen.then_some(seen_ended),
    };
    rates.reuse = reused(since(made), since(created));
    rates.born_per_second = born.map(|n| n as f64 / seconds);
    rates.ended_per_second = ended.map(|n| n as f64 / seconds);
    let points = series.points();
    let mean = points.iter().map(|point| point.tasks as f64).sum::<f64>() / points.len().max(1) as f64;
    let age = series.last().and_then(|snapshot| snapshot.header.target.age_ns);
    let age = age.map(|age| age as f64 / 1e9);
    rates.lifetime = (born.zip(ended).filter(|&(_, ended)| ended > 0))
        .map(|(born, ended)| lifetime(born, ended, mean, seconds, age));
    rates.spawns_per_request =
        qps.filter(|&qps| qps > 0.0).and_then(|qps| rates.born_per_second.map(|born| born / qps));
    rates
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::analysis::series::SeriesOptions;
    use crate::snapshot::{Scheduler, Snapshot, SnapshotBuilder};

    fn snapshot(second: u64, created: Option<u64>, made: Option<u64>, ids: std::ops::Range<u64>) -> Snapshot {
        let mut builder = SnapshotBuilder::new();
        let scheduler = Scheduler { tasks_created: created, structs_made: made, ..Scheduler::default() };
        builder.header.runtimes = vec![RuntimeInfo { scheduler, ..RuntimeInfo::default() }];
        builder.header.taken_at_ns = Some((1_000 + second) * 1_000_000_000);
        builder.header.monotonic_ns = Some((1 + second) * 1_000_000_000);
        ids.for_each(|id| builder.task(crate::analysis::leaks::tests::task(id)));
        builder.finish()
    }

    fn series(all: impl IntoIterator<Item = Snapshot>) -> Series {
        Series::of(SeriesOptions::default(), all)
    }

    #[test]
    fn counted_births_give_every_rate() {
        let series = series([
            snapshot(0, Some(1_000), Some(500), 0..100),
            snapshot(10, Some(2_000), Some(510), 900..1_000),
        ]);
        let rates = rates(&series, Some(20.0));
        assert!(rates.counted);
        assert_eq!((rates.born_per_second, rates.ended_per_second), (Some(100.0), Some(100.0)));
        assert_eq!(rates.lifetime, Some(Lifetime::Mean(1.0)));
        assert!((rates.reuse.unwrap() - 0.99).abs() < 1e-9);
        assert!((rates.reuse_ever.unwrap() - 0.745).abs() < 1e-9);
        assert_eq!(rates.spawns_per_request, Some(5.0));
    }

    #[test]
    fn otherwise_those_seen_count() {
        let series = series([snapshot(0, None, None, 0..10), snapshot(5, None, None, 5..20)]);
        let rates = rates(&series, None);
        assert!(!rates.counted);
        assert_eq!((rates.born_per_second, rates.ended_per_second), (Some(2.0), Some(1.0)));
        assert_eq!(rates.lifetime, Some(Lifetime::Mean(12.5)));
        assert_eq!((rates.reuse, rates.spawns_per_request), (None, None));
    }

    #[test]
    fn a_lifetime_needs_a_steady_state() {
        use Lifetime::{Mean, Unknown};
        // 33 a second are born and 15 end, in a process of nine minutes.
        assert_eq!(lifetime(990, 450, 14_664.0, 30.0, Some(540.0)), Unknown(NoLifetime::MoreBorn));
        assert_eq!(lifetime(10, 900, 500.0, 30.0, None), Unknown(NoLifetime::MoreEnded));
        // As many end as are born, but so rarely that their lifetime cannot have been observed.
        assert_eq!(lifetime(300, 300, 15_000.0, 30.0, Some(540.0)), Unknown(NoLifetime::TooLong));
        assert_eq!(lifetime(300, 300, 15_000.0, 30.0, Some(7_200.0)), Mean(1_500.0));
        assert_eq!(lifetime(17_100, 16_860, 112.0, 30.0, Some(60.0)), Mean(112.0 * 30.0 / 16_860.0));
    }

    #[test]
    fn one_reading_knows_no_rate() {
        let rates = rates(&series([snapshot(0, Some(10), Some(5), 0..5)]), Some(1.0));
        assert_eq!(rates, Rates { reuse_ever: Some(0.5), ..Rates::default() });
    }
}
