//! What tasks do over time, by the readings alone: how long each task was in which state.
//!
//! Each reading stands for the time since the one before it. What happened in between is not known: a task that ran
//! between two readings and waits in both counts as waiting. After a reading that failed, the next one stands for no
//! time.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::snapshot::{Snapshot, StrId, Task, TaskState, ahead};

mod clock;
mod followed;

use clock::Clock;
use followed::{Before, Followed, KindId, NO_PAST, OTHER, Part, Parts};

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

    /// The times after another reading, which came `seconds` after the one that these times are of. None: it stands for no
    /// time. `system`: the sum of all tasks has the runtime's own, too.
    pub(super) fn after(&self, snapshot: &Snapshot, seconds: Option<f64>, system: bool) -> StateTimes {
        let mut next = StateTimes {
            kinds: Arc::clone(&self.kinds),
            whole: self.whole.clone(),
            clock: self.clock.clone(),
            ..StateTimes::default()
        };
        let turns = next.whole[1].readings >= HALF && seconds.is_some();
        let number = next.clock.push(seconds, turns);
        if turns {
            next.whole.swap(0, 1);
            next.whole[1] = Whole::default();
        }
        if let Some(seconds) = seconds {
            next.whole[1].readings += 1;
            next.whole[1].span += seconds;
        }
        let follow = snapshot.tasks.len() <= MAX_TASKS;
        let mut before = Before { tasks: &self.tasks };
        let mut known: FxHashMap<(Option<StrId>, TaskState), KindId> = FxHashMap::default();
        let (mut latest, mut counts) = (None, vec![0_u64; 1]);
        next.tasks.reserve_exact(if follow { snapshot.tasks.len() } else { 0 });
        for task in ahead(&snapshot.tasks, Task::MOST_NEEDED) {
            let doing = (task.reason, task.state);
            let kind = match latest {
                Some((same, kind)) if same == doing => kind,
                // A hostile program could have a reason for each task.
                _ if known.len() > MAX_KINDS => known.get(&doing).copied().unwrap_or(OTHER),
                _ => *known.entry(doing).or_insert_with(|| next.kind(snapshot, doing)),
            };
            latest = Some((doing, kind));
            if system || !task.system {
                let at = usize::from(kind.wrapping_add(1));
                counts.resize(counts.len().max(at + 1), 0);
                counts[at] = counts[at].saturating_add(task.count());
            }
            if follow {
                let new = Followed {
                    id: task.id.unwrap_or(0),
                    address: task.address,
                    first: number,
                    since: number,
                    past: NO_PAST,
                    kind,
                    runtime: task.runtime,
                    has_id: task.id.is_some(),
                };
                let followed =
                    before.of(new.identity()).map_or(new, |task| next.again(task, kind, number, self, turns));
                next.tasks.push(followed);
            }
        }
        let counts = counts.into_iter().enumerate().filter(|&(_, count)| count > 0);
        next.counts = counts.map(|(at, count)| ((at as KindId).wrapping_sub(1), count)).collect();
        for &(kind, count) in next.counts.iter().filter(|_| seconds.is_some()) {
            *next.whole[1].seconds.entry(kind).or_default() += seconds.unwrap_or(0.0) * count as f64;
        }
        next
    }

    /// A task of the reading before, which is found in a state by reading `number`. `old`: the times that it is of; `turns`: they
    /// had one more half.
    fn again(
        &mut self,
        task: &Followed,
        kind: KindId,
        number: u32,
        old: &StateTimes,
        turns: bool,
    ) -> Followed {
        let mut past = old.past.get(task.past as usize).copied();
        if let Some([earlier, later]) = past.as_mut().filter(|_| turns) {
            (*earlier, *later) = (*later, Part::default());
        }
        let mut again = Followed { kind, past: NO_PAST, ..*task };
        if task.kind != kind {
            again.since = number;
            let past = past.get_or_insert_default();
            for (part, seconds) in past.iter_mut().zip(self.clock.between(task.since, number)) {
                part.add(task.kind, seconds);
            }
        }
        if let Some(past) = past.filter(|past| !past.iter().all(Part::is_empty)) {
            again.past = self.past.len() as u32;
            self.past.push(past);
        }
        again
    }
}

#[cfg(test)]
mod tests;
