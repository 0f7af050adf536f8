//! What tasks do over time, by the readings alone: how long each task was in which state.
//!
//! Each reading stands for the time since the one before it. What happened in between is not known: a task that ran
//! between two readings and waits in both counts as waiting. After a reading that failed, the next one stands for no
//! time.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::snapshot::{Snapshot, StrId, TaskState};

mod after;
mod clock;
mod followed;

pub(super) use after::After;

use clock::Clock;
use followed::{Followed, KindId, OTHER, Part, Parts};

/// The time of this many readings is kept at least, and of twice as many at most.
const HALF: u32 = 120;
/// States and wait reasons that are kept apart at all. A runtime has a few dozen.
const MAX_KINDS: usize = 1024;
/// Tasks that are followed one by one. If there are more, only the sum of all tasks is known.
const MAX_TASKS: usize = 250_000;

/// A state, or a wait reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    /// As the runtime says it. Raw from the target.
    name: Arc<str>,
    is_reason: bool,
    /// Running, or ready to run.
    is_active: bool,
}

const _: () = assert!(MAX_KINDS < OTHER as usize);

/// What all tasks did together.
#[derive(Debug, Clone, Default)]
struct Whole {
    seconds: FxHashMap<KindId, f64>,
    readings: u32,
    /// Seconds between the readings.
    span: f64,
}

/// How long each task was in which state, over the last readings: those of 120 at least, if there were so many. A
/// picture has one, in the order of the tasks of its snapshot.
#[derive(Debug, Clone, Default)]
pub struct StateTimes {
    kinds: Arc<Vec<Kind>>,
    /// How many tasks the last reading had of each kind.
    counts: Vec<(KindId, u64)>,
    clock: Clock,
    /// In the order of the snapshot's tasks. Empty if there are too many.
    tasks: Vec<Followed>,
    /// What those did that have been in several states.
    past: Vec<Parts>,
    whole: [Whole; 2],
}

/// How some tasks spent their time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shares {
    /// States and wait reasons with their shares of the time, parts of 1; the largest first. Raw from the target.
    pub parts: Vec<(Arc<str>, f64)>,
    /// The share of all others, which are not kept apart.
    pub other: f64,
    /// How many readings it rests on.
    pub readings: u32,
    /// The time that these cover, nanoseconds.
    pub span_ns: u64,
}

impl StateTimes {
    /// Shares that rest on fewer readings say too little.
    pub const ENOUGH: u32 = 5;

    /// What all tasks together did; those that have ended count, too.
    pub fn whole(&self) -> Shares {
        let readings = self.whole.iter().map(|half| half.readings).sum();
        let span: f64 = self.whole.iter().map(|half| half.span).sum();
        let times = self.whole.iter().flat_map(|half| &half.seconds).map(|(&kind, &time)| (kind, time));
        self.shares(times, readings, span)
    }

    /// What some tasks did since they were first read. `tasks`: indices into the tasks of the snapshot, and how many
    /// tasks each row stands for. None if there are too many tasks to follow each one.
    pub fn of(&self, tasks: impl Iterator<Item = (u32, u64)> + Clone) -> Option<Shares> {
        let followed =
            || tasks.clone().filter_map(|(task, count)| Some((self.tasks.get(task as usize)?, count)));
        let spans = followed().map(|(task, _)| {
            let span: f64 = self.times(task).map(|(_, time)| time).sum();
            (self.clock.readings_since(task.first), span)
        });
        let (readings, span) = spans.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))?;
        let times = followed()
            .flat_map(|(task, count)| self.times(task).map(move |(kind, time)| (kind, time * count as f64)));
        Some(self.shares(times, readings, span))
    }

    /// The share of their time in which some tasks were running or ready to run, part of 1; see [`StateTimes::of`].
    /// None if that is not known, or rests on too few readings.
    pub fn active(&self, tasks: impl Iterator<Item = (u32, u64)>) -> Option<f64> {
        let (mut active, mut all, mut most) = (0.0, 0.0, 0);
        for (task, count) in tasks {
            let Some(task) = self.tasks.get(task as usize) else { continue };
            most = most.max(self.clock.readings_since(task.first));
            for (kind, time) in self.times(task) {
                let time = time * count as f64;
                all += time;
                let is_active = self.kinds.get(usize::from(kind)).is_some_and(|kind| kind.is_active);
                active += if is_active { time } else { 0.0 };
            }
        }
        (most >= StateTimes::ENOUGH && all > 0.0).then(|| active / all)
    }

    /// How long a task was in which state: in its present one, and before.
    fn times(&self, task: &Followed) -> impl Iterator<Item = (KindId, f64)> {
        let past = self.past.get(task.past as usize).into_iter().flatten().flat_map(Part::each);
        let present = self.clock.between(task.since, self.clock.next()).into_iter().sum();
        past.chain([(task.kind, present)]).filter(|&(_, time)| time > 0.0)
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.tasks) + size_of_val(&*self.past)
    }

    fn shares(&self, times: impl Iterator<Item = (KindId, f64)>, readings: u32, span: f64) -> Shares {
        let mut sums: FxHashMap<KindId, f64> = FxHashMap::default();
        times.for_each(|(kind, time)| *sums.entry(kind).or_default() += time);
        let all: f64 = sums.values().sum();
        let mut shares = Shares { readings, span_ns: (span * 1e9) as u64, ..Shares::default() };
        if all <= 0.0 {
            return shares;
        }
        for (kind, time) in sums {
            let share = time / all;
            match self.kinds.get(usize::from(kind)) {
                Some(kind) => shares.parts.push((Arc::clone(&kind.name), share)),
                None => shares.other += share,
            }
        }
        shares.parts.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        shares
    }

    /// The number of a kind; adds it if it is new.
    fn kind(&mut self, snapshot: &Snapshot, (reason, state): (Option<StrId>, TaskState)) -> KindId {
        let (name, is_reason) = (reason.map_or(state.name(), |id| snapshot.str(id)), reason.is_some());
        let is = |kind: &Kind| &*kind.name == name && kind.is_reason == is_reason;
        if let Some(at) = self.kinds.iter().position(is) {
            return at as KindId;
        }
        if self.kinds.len() >= MAX_KINDS {
            return OTHER;
        }
        let is_active = !is_reason && matches!(state, TaskState::Running | TaskState::Runnable);
        Arc::make_mut(&mut self.kinds).push(Kind { name: name.into(), is_reason, is_active });
        self.kinds.len() as KindId - 1
    }

    /// How many tasks the last reading found in each state or with each wait reason; the most frequent first, and no more
    /// than `most`.
    pub(super) fn census(&self, most: usize) -> Vec<(Arc<str>, u64)> {
        let mut sums: FxHashMap<&Arc<str>, u64> = FxHashMap::default();
        for &(kind, count) in &self.counts {
            if let Some(kind) = self.kinds.get(usize::from(kind)) {
                let sum = sums.entry(&kind.name).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        let mut all: Vec<_> = sums.into_iter().map(|(name, count)| (Arc::clone(name), count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests;
