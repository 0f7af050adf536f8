//! How large groups were in earlier pictures.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Picture;
use super::task::{Closeup, closeup};
use crate::analysis::GroupKey;
use crate::analysis::trend::trend;
use crate::dashboard::query::TaskKey;

/// At most this many pictures are remembered.
const PICTURES: usize = 120;
/// At most this many counts are remembered in all: with a hundred thousand groups, these are only a few pictures.
const COUNTS: usize = 1_000_000;
/// A trend uses at most this many pictures, evenly spread.
const SPREAD: usize = 20;
/// Growth is not reported for less time than this: it would be random.
const SHORTEST: u64 = 2_000_000_000;

/// At most this many tasks keep their last picture: each may hold a snapshot.
const SEEN: usize = 4;

/// How often the sizes of groups are remembered while the groups are not shown.
const WHILE_HIDDEN: u64 = 3_000_000_000;

/// Sizes of groups by the key of their row, picture by picture. Starts over when the process, grouping or
/// filter change, because the sizes would not be comparable.
#[derive(Debug, Default)]
pub struct Memory {
    of: (GroupKey, String, bool, u32),
    pictures: VecDeque<Sizes>,
    /// Tasks that were looked at, each with the last picture that contains it; the most recent first.
    seen: VecDeque<(TaskKey, Arc<Picture>)>,
}

#[derive(Debug)]
struct Sizes {
    number: u32,
    elapsed_ns: u64,
    counts: FxHashMap<u64, u64>,
}

/// How a group changed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Changed {
    /// The change of the number of tasks since the beginning of the remembered time.
    pub(super) change: Option<i64>,
    /// Growth a minute.
    pub(super) per_minute: Option<f64>,
}

impl Memory {
    /// Whether it is time to remember a picture even though the groups are not shown, so that their changes are
    /// known when they are.
    pub(super) fn is_due(&self, elapsed_ns: Option<u64>) -> bool {
        let last = self.pictures.back().map(|sizes| sizes.elapsed_ns);
        last.zip(elapsed_ns).is_none_or(|(last, now)| now.abs_diff(last) >= WHILE_HIDDEN)
    }

    /// Looks at a task: in this picture or, if it is no longer there, in the last one that contains it.
    pub(super) fn look_at(&mut self, picture: &Arc<Picture>, task: Option<TaskKey>) -> Option<Closeup> {
        let Some(key) = task else {
            self.seen.clear();
            return None;
        };
        if let Some(closeup) = closeup(picture, key) {
            self.seen.retain(|(other, _)| *other != key);
            self.seen.push_front((key, Arc::clone(picture)));
            self.seen.truncate(SEEN);
            return Some(closeup);
        }
        // Its own picture; for a neighbour that was never looked at, that of another task.
        let own = self.seen.iter().filter(|(other, _)| *other == key);
        own.chain(&self.seen).find_map(|(_, picture)| closeup(picture, key))
    }

    /// Remembers a picture. `counts`: sizes by key.
    pub(super) fn add(
        &mut self,
        of: (GroupKey, String, bool, u32),
        number: u32,
        elapsed_ns: Option<u64>,
        counts: impl Iterator<Item = (u64, u64)>,
    ) {
        if self.of != of {
            self.of = of;
            self.pictures.clear();
        }
        let Some(elapsed_ns) = elapsed_ns else { return };
        // When replayed backwards, later pictures are not known yet.
        let at = self.pictures.partition_point(|sizes| sizes.number < number);
        if self.pictures.get(at).is_none_or(|sizes| sizes.number != number) {
            self.pictures.insert(at, Sizes { number, elapsed_ns, counts: counts.collect() });
        }
        let total =
            |pictures: &VecDeque<Sizes>| pictures.iter().map(|sizes| sizes.counts.len()).sum::<usize>();
        while self.pictures.len() > PICTURES || self.pictures.len() > 2 && total(&self.pictures) > COUNTS {
            // The picture furthest away in time is dropped.
            let back = self.pictures.back().is_some_and(|sizes| sizes.number > number);
            if back {
                self.pictures.pop_back()
            } else {
                self.pictures.pop_front()
            };
        }
    }

    /// The pictures up to `number`, evenly spread over the remembered time.
    pub(super) fn until(&self, number: u32) -> Window<'_> {
        let known: Vec<&Sizes> = self.pictures.iter().filter(|sizes| sizes.number <= number).collect();
        let last = known.len().saturating_sub(1);
        let spread = SPREAD.min(known.len());
        let nth = |i: usize| if spread < 2 { last } else { i * last / (spread - 1) };
        Window { pictures: (0..spread).filter_map(|i| known.get(nth(i)).copied()).collect() }
    }
}

/// Some pictures in ascending order of time.
pub(super) struct Window<'a> {
    pictures: Vec<&'a Sizes>,
}

impl Window<'_> {
    /// The time from the first to the last, nanoseconds.
    pub(super) fn span_ns(&self) -> Option<u64> {
        let (first, last) = (self.pictures.first()?, self.pictures.last()?);
        last.elapsed_ns.checked_sub(first.elapsed_ns).filter(|&ns| ns > 0)
    }

    /// How the group with this key changed.
    pub(super) fn changed(&self, key: u64) -> Changed {
        let Some(span) = self.span_ns() else { return Changed::default() };
        let counts: Vec<(u64, u64)> = (self.pictures.iter())
            .map(|sizes| (sizes.elapsed_ns, sizes.counts.get(&key).copied().unwrap_or(0)))
            .collect();
        let change = counts.first().zip(counts.last()).map(|(first, last)| difference(last.1, first.1));
        let enough = span >= SHORTEST && counts.len() > 2;
        let per_minute = enough.then(|| trend(&counts, None)).flatten().map(|trend| trend.per_minute);
        Changed { change, per_minute }
    }
}

/// `now` minus `then`.
pub(super) fn difference(now: u64, then: u64) -> i64 {
    i64::try_from(i128::from(now) - i128::from(then)).unwrap_or(if now > then { i64::MAX } else { i64::MIN })
}
