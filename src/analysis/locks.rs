//! Who holds the locks that tasks wait for, and what the locks' own state says.

use super::frames::{code_of, holding_frame, shown_frames, user_frame};
use super::modules::Owners;
use super::owner::Owner;
use crate::snapshot::{
    Frame, Hold, HoldKind, LocationId, LockState, ObjectId, ObjectKind, Snapshot, Task, WaitOp,
};

/// At most this many holders are listed; the total is counted.
const LISTED: usize = 16;
/// At most this many things that a holder waits for are searched for their holders. A task that waits for a
/// lock waits for nothing else.
const WAITS: usize = 64;

/// A task that seems to hold a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The task, as an index into [`Snapshot::tasks`].
    pub task: u32,
    /// How it holds the lock.
    pub how: HoldKind,
    /// The place on its stack from which it will unlock the lock, if known.
    pub location: Option<LocationId>,
    /// The frame that the user looks for: that of `location` if it is the program's own, else the next one
    /// further out. If the place is not known: that of the whole stack. Only set for listed holders.
    pub at: Option<Frame>,
}

/// The state that some locks or wait groups record, and who holds them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locks {
    /// The state that the lock records, if it is one lock.
    pub state: Option<LockState>,
    /// For wait groups: the fewest and the most calls of Done that are missing.
    pub outstanding: Option<(u32, u32)>,
    /// Who holds them; one entry for each way of holding.
    pub held: Vec<HeldLocks>,
    /// How many of them say that they are held although no holder was found.
    pub unheld: u64,
    /// How many times a task waits for what it holds itself.
    pub own: u64,
    /// If it is one lock whose waiters want to read: how many tasks wait to lock it exclusively. Readers have
    /// to wait for these, too.
    pub writers: u64,
}

/// The holders of some locks, for one way of holding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLocks {
    /// How they are held.
    pub how: HoldKind,
    /// How many of the locks are held this way.
    pub objects: u64,
    /// How many tasks hold them.
    pub total: u64,
    /// `total` is a lower bound: many tasks hold one of several locks, and not all were compared.
    pub more: bool,
    /// The first of these tasks, in the order of the snapshot.
    pub holders: Vec<Holder>,
    /// If it is one task: the lock that it waits for itself.
    pub next: Option<Next>,
}

/// What the only holder of a lock waits for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The lock that it holds.
    Itself,
    /// Another lock.
    Lock {
        /// Who holds it.
        held: Holder,
        /// How many hold it this way.
        total: u64,
        /// Its only holder waits for the first lock: neither can go on.
        back: bool,
    },
}

/// What some tasks hold in the same way, of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldSummary {
    /// How.
    pub how: HoldKind,
    /// Of what kind.
    pub kind: ObjectKind,
    /// How many of the tasks hold them.
    pub tasks: u64,
    /// How many locks these are.
    pub objects: u64,
    /// The lock, if there is only one.
    pub only: Option<ObjectId>,
    /// How many tasks of the whole snapshot wait for them.
    pub waiters: u64,
    /// The place from which they will unlock it, if it is the same for all.
    pub location: Option<LocationId>,
}

/// Who holds which lock.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Sorted by lock, way of holding and task.
    entries: Vec<(ObjectId, Holder)>,
    owners: Owners,
}

impl Holders {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        if snapshot.holds.is_empty() {
            return Holders::default();
        }
        let holds = snapshot.tasks.iter().enumerate().flat_map(|(nth, task)| {
            let holder = move |hold: &Hold| {
                (hold.object, Holder { task: nth as u32, how: hold.how, location: hold.location, at: None })
            };
            snapshot.holds_of(task).iter().map(holder)
        });
        let mut entries: Vec<_> = holds.collect();
        entries.sort_by_key(|(object, holder)| (*object, holder.how, holder.task));
        entries.dedup_by_key(|(object, holder)| (*object, holder.how, holder.task));
        Holders { entries, owners: Owners::new(snapshot) }
    }

    /// The holders of a lock, by way of holding and task.
    pub(super) fn of(&self, object: ObjectId) -> &[(ObjectId, Holder)] {
        let start = self.entries.partition_point(|(other, _)| *other < object);
        let rest = self.entries.get(start..).unwrap_or_default();
        let len = rest.partition_point(|(other, _)| *other == object);
        rest.get(..len).unwrap_or_default()
    }

    /// What is known of several locks, in ascending order. None if nothing is known.
    pub(super) fn locks(&self, snapshot: &Snapshot, objects: &[ObjectId], own: u64) -> Option<Locks> {
        let states = || objects.iter().filter_map(|id| snapshot.objects.get(id.index())?.lock);
        let mut locks = Locks { own, held: self.held(snapshot, objects), ..Locks::default() };
        if locks.held.is_empty() && states().next().is_none() {
            return None;
        }
        locks.state = states().next().filter(|_| objects.len() == 1);
        locks.outstanding = states()
            .filter_map(|state| if let LockState::Outstanding(n) = state { Some((n, n)) } else { None })
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let unheld = |id: &&ObjectId| {
            let state = snapshot.objects.get(id.index()).and_then(|object| object.lock);
            matches!(state, Some(LockState::Exclusive | LockState::Shared(_))) && self.of(**id).is_empty()
        };
        locks.unheld = objects.iter().filter(unheld).count() as u64;
        Some(locks)
    }

    fn held(&self, snapshot: &Snapshot, objects: &[ObjectId]) -> Vec<HeldLocks> {
        let mut all: Vec<HeldLocks> = Vec::new();
        if self.entries.is_empty() {
            return all;
        }
        for &object in objects {
            for same in self.of(object).chunk_by(|a, b| a.1.how == b.1.how) {
                let Some(&(_, Holder { how, .. })) = same.first() else { continue };
                let at = all.iter().position(|held| held.how == how).unwrap_or_else(|| {
                    all.push(HeldLocks {
                        how,
                        objects: 0,
                        total: 0,
                        more: false,
                        holders: vec![],
                        next: None,
                    });
                    all.len() - 1
                });
                let Some(held) = all.get_mut(at) else { continue };
                held.objects += 1;
                held.total = same.len() as u64;
                held.more |= objects.len() > 1 && same.len() > LISTED;
                held.holders.extend(same.iter().take(LISTED).map(|(_, holder)| *holder));
            }
        }
        for held in &mut all {
            if objects.len() > 1 {
                held.holders.sort_by_key(|holder| holder.task);
                held.holders.dedup_by_key(|holder| holder.task);
                held.total = held.holders.len() as u64;
                held.holders.truncate(LISTED);
            }
            for holder in &mut held.holders {
                holder.at = self.at(snapshot, *holder);
            }
            if let ([only], 1) = (held.holders.as_slice(), held.total) {
                held.next = self.next(snapshot, *only, objects);
            }
        }
        all.sort_by_key(|held| held.how);
        all
    }

    /// The frame of a holder that the user looks for.
    fn at(&self, snapshot: &Snapshot, holder: Holder) -> Option<Frame> {
        let stack = snapshot.stack_of(snapshot.tasks.get(holder.task as usize)?);
        let place = holder.location.and_then(|id| holding_frame(snapshot, id));
        if place.is_some_and(|frame| self.owners.of(code_of(snapshot, frame)) == Owner::Program) {
            return place;
        }
        let start = holder.location.and_then(|id| stack.iter().position(|other| *other == id));
        let outwards = stack.get(start.unwrap_or(0)..).unwrap_or_default();
        let shown = shown_frames(snapshot, outwards, false);
        match user_frame(snapshot, &self.owners, &shown).map(|shown| shown.frame) {
            Some(own) if place.is_none() || self.owners.of(code_of(snapshot, own)) == Owner::Program => {
                Some(own)
            }
            _ => place,
        }
    }

    /// The lock that the holder of some locks waits for itself.
    fn next(&self, snapshot: &Snapshot, holder: Holder, objects: &[ObjectId]) -> Option<Next> {
        let waits = |task: u32| {
            let waits = snapshot.tasks.get(task as usize).map_or(&[][..], |task| snapshot.waits_of(task));
            waits.iter().take(WAITS).filter(|w| matches!(w.op, WaitOp::Lock | WaitOp::ReadLock))
        };
        let back = |task: u32| waits(task).any(|wait| objects.binary_search(&wait.object).is_ok());
        if holder.how != HoldKind::Perhaps && back(holder.task) {
            return Some(Next::Itself);
        }
        waits(holder.task).find_map(|wait| {
            let same = self.of(wait.object).chunk_by(|a, b| a.1.how == b.1.how).next()?;
            let (_, held) = *same.first()?;
            let total = same.len() as u64;
            Some(Next::Lock { held, total, back: total == 1 && back(held.task) })
        })
    }
}

/// The locks that a task certainly holds, in ascending order.
pub(super) fn surely_held(snapshot: &Snapshot, task: &Task) -> Vec<ObjectId> {
    let sure = snapshot.holds_of(task).iter().filter(|hold| hold.how != HoldKind::Perhaps);
    let mut objects: Vec<_> = sure.map(|hold| hold.object).collect();
    objects.sort_unstable();
    objects
}

/// What tasks hold, added up one by one.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    ways: Vec<Way>,
    /// How many tasks were added.
    tasks: usize,
}

impl Holdings {
    /// Adds a task of the snapshot.
    pub(super) fn add(&mut self, snapshot: &Snapshot, task: &Task) {
        self.tasks += 1;
        for hold in snapshot.holds_of(task) {
            let Some(object) = snapshot.objects.get(hold.object.index()) else { continue };
            let way = (hold.how, object.kind);
            let at = self.ways.iter().position(|other| other.way == way).unwrap_or_else(|| {
                self.ways.push(Way {
                    way,
                    objects: vec![],
                    tasks: 0,
                    last: None,
                    place: Some(hold.location),
                });
                self.ways.len() - 1
            });
            let Some(way) = self.ways.get_mut(at) else { continue };
            way.objects.push(hold.object);
            way.tasks += u64::from(way.last != Some(self.tasks));
            way.last = Some(self.tasks);
            // The same line may be at several addresses.
            let frame = |id: Option<LocationId>| id.and_then(|id| holding_frame(snapshot, id));
            way.place =
                way.place.filter(|place| *place == hold.location || frame(*place) == frame(hold.location));
        }
    }

    /// The lock with the most waiters first; `waiters` returns how many wait for a lock.
    pub(super) fn finish(self, waiters: impl Fn(ObjectId) -> u64) -> Vec<HoldSummary> {
        let mut summaries: Vec<_> = self.ways.into_iter().map(|way| way.summary(&waiters)).collect();
        summaries.sort_by_key(|summary| (std::cmp::Reverse(summary.waiters), summary.how));
        summaries
    }
}

/// Holds that are counted together.
#[derive(Debug)]
struct Way {
    way: (HoldKind, ObjectKind),
    objects: Vec<ObjectId>,
    tasks: u64,
    /// The task that was counted last.
    last: Option<usize>,
    /// Where they will unlock it. None: at different places.
    place: Option<Option<LocationId>>,
}

impl Way {
    fn summary(mut self, waiters: impl Fn(ObjectId) -> u64) -> HoldSummary {
        self.objects.sort_unstable();
        self.objects.dedup();
        HoldSummary {
            how: self.way.0,
            kind: self.way.1,
            tasks: self.tasks,
            objects: self.objects.len() as u64,
            only: if let [only] = self.objects.as_slice() { Some(*only) } else { None },
            waiters: self.objects.iter().fold(0, |sum: u64, &id| sum.saturating_add(waiters(id))),
            location: self.place.flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::waits::WaitTable;
    use crate::snapshot::Span;
    use crate::snapshot::{Frame, Location, SnapshotBuilder, StrId, Wait};

    /// This many tasks that hold a lock for reading, at two addresses of one line, and one that waits for it.
    fn read_by(n: u64) -> Snapshot {
        let mut builder = SnapshotBuilder::new();
        let object = builder.object(ObjectKind::RwMutex, 0x10, |_| None);
        builder.set_lock_state(object, LockState::Shared(n as u32));
        let function = builder.code.function("main.read", "main", Default::default());
        let frames = vec![Frame { function, file: StrId(0), line: 3 }];
        let [here, there] =
            [0x40, 0x48].map(|at| builder.code.location(Location::at(at, None, frames.clone())));
        let waits = builder.waits([Wait { op: WaitOp::Lock, object }]);
        builder.task(Task { id: Some(0), waits, ..Task::default() });
        for id in 1..=n {
            let location = Some(if id % 2 > 0 { here } else { there });
            let hold = Hold { object, how: HoldKind::Shared, location };
            // Twice, because one task may take it twice.
            let holds = builder.holds([hold, hold]);
            builder.task(Task { id: Some(id), holds, ..Task::default() });
        }
        builder.finish()
    }

    #[test]
    fn all_holders_are_counted_and_some_are_listed() {
        for (n, listed) in [(1, 1), (16, 16), (1000, 16)] {
            let snapshot = read_by(n);
            let table = WaitTable::new(&snapshot);
            assert_eq!(table.holders(ObjectId(0)).count() as u64, n);
            let summaries = table.summarize(snapshot.tasks.iter());
            let locks = summaries[0].locks.as_ref().expect("it is known");
            assert_eq!((locks.state, locks.unheld), (Some(LockState::Shared(n as u32)), 0));
            let held = &locks.held[0];
            assert_eq!((held.objects, held.total, held.more), (1, n, false));
            assert_eq!(held.holders.len(), listed);
            assert!(held.holders.iter().zip(1..).all(|(holder, nth)| holder.task == nth));
        }
    }

    #[test]
    fn what_some_hold_is_added_up() {
        let snapshot = read_by(4);
        let holds = WaitTable::new(&snapshot).holds(snapshot.tasks.iter());
        let [hold] = holds.as_slice() else { panic!("{holds:?}") };
        assert_eq!((hold.tasks, hold.objects, hold.waiters), (4, 1, 1));
        assert_eq!((hold.only, hold.how), (Some(ObjectId(0)), HoldKind::Shared));
        // Two addresses, but one line.
        assert!(hold.location.is_some());
    }

    #[test]
    fn nothing_is_known_of_what_says_nothing() {
        let mut snapshot = read_by(2);
        snapshot.objects[0].lock = None;
        snapshot.tasks.iter_mut().for_each(|task| task.holds = Span::default());
        let table = WaitTable::new(&snapshot);
        assert_eq!(table.summarize(snapshot.tasks.iter())[0].locks, None);
        assert_eq!(table.holds(snapshot.tasks.iter()), []);
    }
}
