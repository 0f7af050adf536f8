//! What remains of each reading for the charts: a few numbers.

use std::collections::VecDeque;
use std::sync::Arc;

use super::state_times::StateTimes;
use crate::analysis::series;
use crate::snapshot::Header;

/// This many readings are kept for the charts: half an hour at two a second.
const KEEP: usize = 3_600;
/// At most this many kinds of waiting are kept of one reading: the most frequent ones.
const KINDS: usize = 64;

/// What remains of a reading.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Point {
    /// Its number, from 0.
    pub number: u32,
    /// The first reading of another process: the program was restarted.
    pub restarted: bool,
    /// When it was made, nanoseconds since the Unix epoch. None if unknown.
    pub taken_at_ns: Option<u64>,
    /// Nanoseconds since the first reading. None if one of the two does not know its time.
    pub elapsed_ns: Option<u64>,
    /// Tasks, with the runtime's own only if requested.
    pub tasks: u64,
    /// Tasks born a second, since the reading before. None if that cannot be known.
    pub born: Option<f64>,
    /// Tasks ended a second, since the reading before.
    pub ended: Option<f64>,
    /// The runtime counts what it starts; otherwise only tasks that lived through a reading are known.
    pub counted: bool,
    /// The number of tasks for each wait reason, or state if they do not wait. The largest first.
    pub kinds: Vec<(Arc<str>, u64)>,
    /// Bytes of the heaps in use.
    pub heap: Option<u64>,
    /// Heap size at which the next collection is due, bytes.
    pub next_gc: Option<u64>,
    /// Resident memory, bytes.
    pub rss: Option<u64>,
    /// Tasks in run queues. None if the scheduler does not say.
    pub queued: Option<u64>,
    /// Workers that are not idle.
    pub busy: u64,
    /// Workers.
    pub workers: u64,
    /// Workers that the program allows.
    pub max_workers: Option<u64>,
    /// Tasks ever created.
    created: Option<u64>,
    /// All tasks, including the runtime's own.
    all: u64,
}

/// The points of a series.
#[derive(Debug, Default)]
pub(super) struct History {
    points: VecDeque<Arc<Point>>,
    /// The number and the time of the first reading of the current process. None: not read yet.
    base: Option<(u32, Option<u64>)>,
}

impl History {
    /// The points so far, the oldest first.
    pub(super) fn points(&self) -> &VecDeque<Arc<Point>> {
        &self.points
    }

    /// The next reading is of another process, which starts a new series.
    pub(super) fn begin_anew(&mut self) {
        self.base = None;
    }

    /// The position of the reading among those of all processes: the number and the time of its process's first
    /// one.
    fn base(&mut self, taken_at_ns: Option<u64>) -> (u32, Option<u64>) {
        let last = self.points.back();
        *self.base.get_or_insert_with(|| {
            let Some(last) = last else { return (0, Some(0)) };
            let gap = taken_at_ns.zip(last.taken_at_ns).and_then(|(now, last)| now.checked_sub(last));
            (last.number + 1, last.elapsed_ns.zip(gap).map(|(then, gap)| then.saturating_add(gap)))
        })
    }

    /// Adds a reading: its header, what its series says of it, and how its tasks spend their time.
    pub(super) fn push(&mut self, header: &Header, of: &series::Point, times: &StateTimes, by_id: bool) {
        let restarted = self.base.is_none() && !self.points.is_empty();
        let (number, begin) = self.base(header.taken_at_ns);
        let mut point = Point {
            number: number.saturating_add(of.number),
            restarted,
            taken_at_ns: header.taken_at_ns,
            elapsed_ns: of.elapsed_ns.zip(begin).map(|(ns, begin)| ns.saturating_add(begin)),
            tasks: of.tasks,
            kinds: times.census(KINDS),
            rss: header.process.rss,
            all: of.listed,
            ..Point::default()
        };
        let heaps = || header.runtimes.iter().filter_map(|runtime| runtime.heap.as_ref());
        point.heap = sum(heaps().filter_map(|heap| heap.in_use));
        point.next_gc = sum(heaps().filter_map(|heap| heap.next_gc));
        let schedulers = || header.runtimes.iter().map(|runtime| &runtime.scheduler);
        let workers = || schedulers().flat_map(|scheduler| &scheduler.workers);
        point.workers = workers().count() as u64;
        point.busy = workers().filter(|worker| worker.status != "idle").count() as u64;
        point.max_workers = sum(schedulers().filter_map(|s| s.max_workers.map(u64::from)));
        let global = schedulers().filter_map(|scheduler| scheduler.global_queue);
        point.queued = sum(workers().map(|worker| u64::from(worker.queue)).chain(global));
        // A single runtime that does not count makes the sum useless.
        let counts: Option<Vec<u64>> = schedulers().map(|scheduler| scheduler.tasks_created).collect();
        point.created =
            counts.filter(|all| !all.is_empty()).map(|all| all.into_iter().fold(0, u64::saturating_add));
        if let Some(before) = self.points.back().filter(|_| !restarted) {
            rates(&mut point, before, of, by_id);
        }
        if self.points.len() == KEEP {
            self.points.pop_front();
        }
        self.points.push_back(Arc::new(point));
    }
}

/// Births and exits since the reading before.
fn rates(point: &mut Point, before: &Point, of: &series::Point, by_id: bool) {
    let gap = point.elapsed_ns.zip(before.elapsed_ns).and_then(|(now, then)| now.checked_sub(then));
    let Some(seconds) = gap.filter(|&ns| ns > 0).map(|ns| ns as f64 / 1e9) else { return };
    match (point.created, before.created) {
        (Some(now), Some(then)) if now >= then => {
            let born = now - then;
            let ended = (before.all + born).saturating_sub(point.all);
            point.counted = true;
            (point.born, point.ended) = (Some(born as f64 / seconds), Some(ended as f64 / seconds));
        }
        _ if by_id => {
            (point.born, point.ended) = (Some(of.born as f64 / seconds), Some(of.gone as f64 / seconds));
        }
        _ => {}
    }
}

/// The sum. None if there is nothing to add.
fn sum(values: impl Iterator<Item = u64>) -> Option<u64> {
    values.fold(None, |sum: Option<u64>, value| Some(sum.unwrap_or(0).saturating_add(value)))
}
