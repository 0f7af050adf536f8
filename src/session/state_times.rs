//! What tasks do over time, by the readings alone: how long each task was in which state.
//!
//! Each reading stands for the time since the one before it. What happened in between is not known: a task that ran
//! between two readings and waits in both counts as waiting. After a reading that failed, the next one stands for no
//! time.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::snapshot::{Snapshot, StrId, Task, TaskState};

/// The time of this many readings is kept at least, and of twice as many at most.
const HALF: u32 = 120;
/// States and wait reasons that are kept apart for one task. The rest is added up.
const KINDS_OF_TASK: usize = 4;
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

/// The number of a kind; [`OTHER`] if it is not kept apart.
type KindId = u16;
const OTHER: KindId = KindId::MAX;
const _: () = assert!(MAX_KINDS < OTHER as usize);

/// What one task did, in one half of the time that is kept.
#[derive(Debug, Clone, Copy)]
struct Part {
    kinds: [KindId; KINDS_OF_TASK],
    seconds: [f32; KINDS_OF_TASK],
    /// In kinds that have no place of their own.
    other: f32,
    readings: u16,
}

impl Default for Part {
    fn default() -> Self {
        Part { kinds: [OTHER; KINDS_OF_TASK], seconds: [0.0; KINDS_OF_TASK], other: 0.0, readings: 0 }
    }
}

impl Part {
    fn add(&mut self, kind: KindId, seconds: f32) {
        self.readings = self.readings.saturating_add(1);
        let free = |(known, time): (&KindId, &f32)| *known == kind || (*known == OTHER && *time == 0.0);
        let at = self.kinds.iter().zip(&self.seconds).position(free).filter(|_| kind != OTHER);
        match at {
            Some(at) => {
                self.kinds[at] = kind;
                self.seconds[at] += seconds;
            }
            None => self.other += seconds,
        }
    }

    fn each(&self) -> impl Iterator<Item = (KindId, f64)> {
        let kept = self.kinds.iter().zip(&self.seconds).map(|(&kind, &time)| (kind, f64::from(time)));
        kept.chain([(OTHER, f64::from(self.other))]).filter(|&(_, time)| time > 0.0)
    }

    fn seconds(&self) -> f64 {
        self.each().map(|(_, time)| time).sum()
    }
}

/// The earlier half of the time that is kept, and the later one.
type Parts = [Part; 2];

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
    /// In the order of the snapshot's tasks. Empty if there are too many.
    tasks: Vec<Parts>,
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
        let parts =
            || tasks.clone().filter_map(|(task, count)| Some((self.tasks.get(task as usize)?, count)));
        let readings = |parts: &Parts| parts.iter().map(|part| u32::from(part.readings)).sum::<u32>();
        let span = |parts: &Parts| parts.iter().map(Part::seconds).sum::<f64>();
        let most = parts().map(|(parts, _)| (readings(parts), span(parts)));
        let (readings, span) = most.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))?;
        let times = parts().flat_map(|(parts, count)| {
            parts.iter().flat_map(Part::each).map(move |(kind, time)| (kind, time * count as f64))
        });
        Some(self.shares(times, readings, span))
    }

    /// The share of their time in which some tasks were running or ready to run, part of 1; see [`StateTimes::of`].
    /// None if that is not known, or rests on too few readings.
    pub fn active(&self, tasks: impl Iterator<Item = (u32, u64)>) -> Option<f64> {
        let (mut active, mut all, mut most) = (0.0, 0.0, 0);
        for (task, count) in tasks {
            let Some(parts) = self.tasks.get(task as usize) else { continue };
            most = most.max(parts.iter().map(|part| u32::from(part.readings)).sum());
            for (kind, time) in parts.iter().flat_map(Part::each) {
                let time = time * count as f64;
                all += time;
                let is_active = self.kinds.get(usize::from(kind)).is_some_and(|kind| kind.is_active);
                active += if is_active { time } else { 0.0 };
            }
        }
        (most >= StateTimes::ENOUGH && all > 0.0).then(|| active / all)
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.tasks.len() * size_of::<Parts>()
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

    /// The times after another reading. `last`: the snapshot of the reading before, which these times are of, and
    /// the seconds since then. None: this reading stands for no time. `system`: the sum of all tasks has the
    /// runtime's own, too.
    pub(super) fn after(
        &self,
        last: Option<&Snapshot>,
        snapshot: &Snapshot,
        seconds: Option<f64>,
        system: bool,
    ) -> StateTimes {
        let mut next =
            StateTimes { kinds: Arc::clone(&self.kinds), whole: self.whole.clone(), tasks: Vec::new() };
        let turns = next.whole[1].readings >= HALF && seconds.is_some();
        if turns {
            next.whole.swap(0, 1);
            next.whole[1] = Whole::default();
        }
        if let Some(seconds) = seconds {
            next.whole[1].readings += 1;
            next.whole[1].span += seconds;
        }
        let follow = snapshot.tasks.len() <= MAX_TASKS;
        let mut before = last.map(|last| Before { tasks: &last.tasks, times: &self.tasks, at: 0 });
        let mut known: FxHashMap<(Option<StrId>, TaskState), KindId> = FxHashMap::default();
        let (mut latest, mut counts) = (None, vec![0_u64; 1]);
        next.tasks.reserve_exact(if follow { snapshot.tasks.len() } else { 0 });
        for task in &snapshot.tasks {
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
                let mut parts = before.as_mut().and_then(|before| before.of(task)).unwrap_or_default();
                if turns {
                    parts = [parts[1], Part::default()];
                }
                if let Some(seconds) = seconds {
                    parts[1].add(kind, seconds as f32);
                }
                next.tasks.push(parts);
            }
        }
        for (at, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            if let Some(seconds) = seconds {
                let kind = (at as KindId).wrapping_sub(1);
                *next.whole[1].seconds.entry(kind).or_default() += seconds * count as f64;
            }
        }
        next
    }
}

/// The tasks of the reading before, and their times. Both readings are sorted by runtime, id and address.
struct Before<'a> {
    tasks: &'a [Task],
    times: &'a [Parts],
    at: usize,
}

impl Before<'_> {
    /// The times of a task, if it was there. Asked for tasks in ascending order.
    fn of(&mut self, task: &Task) -> Option<Parts> {
        let key = |task: &Task| (task.runtime, task.id, task.address);
        if task.id.is_none() && task.address == 0 {
            return None;
        }
        while self.tasks.get(self.at).is_some_and(|before| key(before) < key(task)) {
            self.at += 1;
        }
        let found = self.tasks.get(self.at).is_some_and(|before| key(before) == key(task));
        found.then(|| self.times.get(self.at).copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::SnapshotBuilder;

    /// A reading of tasks: id, state and reason.
    fn reading(tasks: &[(u64, TaskState, Option<&str>)]) -> Snapshot {
        let mut builder = SnapshotBuilder::new();
        for &(id, state, reason) in tasks {
            let reason = reason.map(|reason| builder.code.string(reason));
            builder.task(Task { id: Some(id), address: id * 64, state, reason, ..Task::default() });
        }
        builder.finish()
    }

    fn follow(readings: &[Snapshot], seconds: impl Fn(usize) -> Option<f64>) -> StateTimes {
        let mut times = StateTimes::default();
        for (nth, snapshot) in readings.iter().enumerate() {
            let last = nth.checked_sub(1).and_then(|nth| readings.get(nth));
            times = times.after(last, snapshot, seconds(nth), true);
        }
        times
    }

    fn named(shares: &Shares) -> Vec<(&str, f64)> {
        shares.parts.iter().map(|(name, share)| (&**name, (share * 1000.0).round() / 1000.0)).collect()
    }

    const LOCK: (TaskState, Option<&str>) = (TaskState::Waiting, Some("sync.Mutex.Lock"));
    const RUNS: (TaskState, Option<&str>) = (TaskState::Running, None);

    #[test]
    fn each_reading_stands_for_the_time_since_the_one_before() {
        let of = |(state, reason): (TaskState, Option<&'static str>)| reading(&[(7, state, reason)]);
        let times = follow(&[of(LOCK), of(RUNS), of(LOCK)], |nth| (nth > 0).then_some(nth as f64));
        let shares = times.of([(0, 1)].into_iter()).unwrap_or_default();
        assert_eq!(named(&shares), [("sync.Mutex.Lock", 0.667), ("running", 0.333)]);
        assert_eq!((shares.readings, shares.span_ns), (2, 3_000_000_000));
        assert_eq!(times.active([(0, 1)].into_iter()), None);
        assert_eq!(named(&times.whole()), named(&shares));
    }

    #[test]
    fn tasks_come_and_go() {
        let first = reading(&[(1, LOCK.0, LOCK.1), (5, RUNS.0, RUNS.1)]);
        let second = reading(&[(0, RUNS.0, RUNS.1), (5, LOCK.0, LOCK.1), (9, RUNS.0, RUNS.1)]);
        let times = follow(&[first, second], |_| Some(1.0));
        let of = |task| times.of([(task, 1)].into_iter()).unwrap_or_default();
        assert_eq!(named(&of(0)), [("running", 1.0)]);
        assert_eq!(of(0).readings, 1);
        assert_eq!(named(&of(1)), [("running", 0.5), ("sync.Mutex.Lock", 0.5)]);
        assert_eq!(of(1).readings, 2);
        // The one that has ended counts for the process.
        assert_eq!(named(&times.whole()), [("running", 0.6), ("sync.Mutex.Lock", 0.4)]);
        // A group: each of its tasks, as often as its row stands for one.
        let both = times.of([(0, 1), (1, 2)].into_iter()).unwrap_or_default();
        assert_eq!(named(&both), [("running", 0.6), ("sync.Mutex.Lock", 0.4)]);
        assert_eq!(times.of([(3, 1)].into_iter()), None);
    }

    #[test]
    fn the_time_of_long_ago_is_forgotten() {
        let readings: Vec<Snapshot> = (0..3 * HALF)
            .map(|nth| {
                let (state, reason) = if nth < HALF { RUNS } else { LOCK };
                reading(&[(7, state, reason)])
            })
            .collect();
        let times = follow(&readings, |_| Some(0.5));
        let shares = times.of([(0, 1)].into_iter()).unwrap_or_default();
        assert_eq!(named(&shares), [("sync.Mutex.Lock", 1.0)]);
        assert_eq!(shares.readings, 2 * HALF);
        assert_eq!(times.whole().readings, 2 * HALF);
    }

    #[test]
    fn rare_states_of_a_task_are_added_up() {
        let reasons = ["a", "b", "c", "d", "e", "f"];
        let readings = reasons.map(|reason| reading(&[(7, TaskState::Waiting, Some(reason))]));
        let times = follow(&readings, |_| Some(1.0));
        let shares = times.of([(0, 1)].into_iter()).unwrap_or_default();
        assert_eq!(shares.parts.len(), KINDS_OF_TASK);
        assert!((shares.other - 2.0 / 6.0).abs() < 1e-6);
        assert_eq!(times.whole().parts.len(), reasons.len());
    }

    #[test]
    fn a_wait_reason_named_like_a_state_is_no_state() {
        let doing = [RUNS, (TaskState::Waiting, Some("running"))];
        let readings: Vec<Snapshot> =
            (0..8).map(|nth| doing[nth % 2]).map(|(state, reason)| reading(&[(7, state, reason)])).collect();
        let active = follow(&readings, |_| Some(1.0)).active([(0, 1)].into_iter());
        assert_eq!(active, Some(0.5));
    }
}
