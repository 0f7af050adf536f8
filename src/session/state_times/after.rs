//! The times after another reading.

use rustc_hash::FxHashMap;

use super::followed::{Before, Followed, KindId, NO_PAST, OTHER, Part};
use super::{HALF, MAX_KINDS, MAX_TASKS, StateTimes, Whole};
use crate::snapshot::{Snapshot, StrId, Task, TaskState};

/// A wait reason, if there is one, and a state.
type Doing = (Option<StrId>, TaskState);

/// The times after another reading, to which its tasks are added one by one.
pub(in crate::session) struct After<'a> {
    snapshot: &'a Snapshot,
    seconds: Option<f64>,
    system: bool,
    old: &'a StateTimes,
    next: StateTimes,
    /// The tasks of the reading before.
    before: Before<'a>,
    /// Number of the reading.
    number: u32,
    /// The older half of the times is dropped.
    turns: bool,
    follow: bool,
    known: FxHashMap<Doing, KindId>,
    latest: Option<(Doing, KindId)>,
    /// How many tasks there are of each kind, from the number of the kind plus one.
    counts: Vec<u64>,
}

impl<'a> After<'a> {
    /// Begins with no task of the new reading, which came `seconds` after the one that `old` is of. None: it stands for no time. `system`: the sum of all
    /// tasks has the runtime's own, too.
    pub(in crate::session) fn new(
        old: &'a StateTimes,
        snapshot: &'a Snapshot,
        seconds: Option<f64>,
        system: bool,
    ) -> Self {
        let mut next = StateTimes {
            kinds: old.kinds.clone(),
            whole: old.whole.clone(),
            clock: old.clock.clone(),
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
        next.tasks.reserve_exact(if follow { snapshot.tasks.len() } else { 0 });
        After {
            snapshot,
            seconds,
            system,
            old,
            next,
            before: Before { tasks: &old.tasks },
            number,
            turns,
            follow,
            known: FxHashMap::default(),
            latest: None,
            counts: vec![0],
        }
    }

    /// Adds the next task of the snapshot.
    pub(in crate::session) fn task(&mut self, task: &Task) {
        let kind = self.kind((task.reason, task.state));
        if self.system || !task.system {
            let at = usize::from(kind.wrapping_add(1));
            if self.counts.len() <= at {
                self.counts.resize(at + 1, 0);
            }
            self.counts[at] = self.counts[at].saturating_add(task.count());
        }
        if self.follow {
            let new = Followed {
                id: task.id.unwrap_or(0),
                address: task.address,
                first: self.number,
                since: self.number,
                past: NO_PAST,
                kind,
                runtime: task.runtime,
                has_id: task.id.is_some(),
            };
            let followed = match self.before.of(new.identity()) {
                Some(task) => self.again(task, kind),
                None => new,
            };
            self.next.tasks.push(followed);
        }
    }

    fn kind(&mut self, doing: Doing) -> KindId {
        let kind = match self.latest {
            Some((same, kind)) if same == doing => return kind,
            // A hostile program could have a reason for each task.
            _ if self.known.len() > MAX_KINDS => self.known.get(&doing).copied().unwrap_or(OTHER),
            _ => *self.known.entry(doing).or_insert_with(|| self.next.kind(self.snapshot, doing)),
        };
        self.latest = Some((doing, kind));
        kind
    }

    /// A task of the reading before, which is found in a state now.
    fn again(&mut self, task: &Followed, kind: KindId) -> Followed {
        let mut past = self.old.past.get(task.past as usize).copied();
        if let Some([earlier, later]) = past.as_mut().filter(|_| self.turns) {
            (*earlier, *later) = (*later, Part::default());
        }
        let mut again = Followed { kind, past: NO_PAST, ..*task };
        if task.kind != kind {
            again.since = self.number;
            let past = past.get_or_insert_default();
            for (part, seconds) in past.iter_mut().zip(self.next.clock.between(task.since, self.number)) {
                part.add(task.kind, seconds);
            }
        }
        if let Some(past) = past.filter(|past| !past.iter().all(Part::is_empty)) {
            again.past = self.next.past.len() as u32;
            self.next.past.push(past);
        }
        again
    }

    /// The times, when all tasks were added.
    pub(in crate::session) fn finish(self) -> StateTimes {
        let After { mut next, counts, seconds, .. } = self;
        let counts = counts.into_iter().enumerate().filter(|&(_, count)| count > 0);
        next.counts = counts.map(|(at, count)| ((at as KindId).wrapping_sub(1), count)).collect();
        for &(kind, count) in next.counts.iter().filter(|_| seconds.is_some()) {
            *next.whole[1].seconds.entry(kind).or_default() += seconds.unwrap_or(0.0) * count as f64;
        }
        next
    }
}
