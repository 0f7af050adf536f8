//! What the tasks of a group wait for, summarised.

use rustc_hash::FxHashMap;

use super::contexts;
use super::locks::{self, HoldSummary, Holder, Holders, Holdings, Locks};
use crate::snapshot::{Channel, Handles, ObjectId, ObjectKind, Snapshot, StrId, Task, WaitOp, ahead};

mod ends;

pub use ends::{Descriptors, TimedBy, Times};

/// What tasks wait for, if they wait in the same way for the same kind of thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitSummary {
    /// What they want to do.
    pub op: WaitOp,
    /// The kind of thing.
    pub kind: ObjectKind,
    /// For channels: the type of the elements, if known.
    pub element: Option<StrId>,
    /// Each of the tasks waits for several things at once and goes on with the first (a select).
    pub alternative: bool,
    /// How many waits there are; a task that selects between several things waits several times.
    pub waits: u64,
    /// How many different things these are.
    pub objects: u64,
    /// The thing, if there is only one.
    pub only: Option<ObjectId>,
    /// How many tasks of the whole snapshot wait for that one thing; 0 if there are several things.
    pub waiters: u64,
    /// For channels: what they have in common.
    pub channels: Option<Channels>,
    /// For channels: who can still send on them. None if it is not known of all of them.
    pub senders: Option<Senders>,
    /// For locks and wait groups: their state and their holders. None if neither is known.
    pub locks: Option<Locks>,
    /// For descriptors: what they have in common. None if nothing is known of them.
    pub descriptors: Option<Descriptors>,
    /// When time ends the waits. None if no timer and no context is known.
    pub times: Option<Times>,
}

/// What several channels share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Smallest and largest capacity.
    pub cap: (u64, u64),
    /// Fewest and most elements in the buffer.
    pub len: (u64, u64),
    /// How many have been closed.
    pub closed: u64,
    /// On how many of them no task waits on the other side (for senders: no receiver).
    pub without_peer: u64,
    /// Fewest and most tasks that wait on the other side.
    pub peers: (u64, u64),
}

/// Who can still send on several channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Senders {
    /// Fewest and most handles that can send.
    pub alive: (u64, u64),
    /// On how many of them nobody can send any more.
    pub none_left: u64,
    /// If none of them has a limit: fewest and most elements in them.
    pub queued: Option<(u64, u64)>,
}

/// Waits that are counted together: operation, kind of thing, element type, one of several.
type Way = (WaitOp, ObjectKind, Option<StrId>, bool);

/// The waits of one kind: the things, and how many of them their waiters hold themselves.
#[derive(Debug, Default)]
struct Things {
    objects: Vec<ObjectId>,
    own: u64,
}

/// Adds up what tasks wait for and what they hold. Made once for a snapshot, then used for each group.
#[derive(Debug)]
pub struct WaitTable<'a> {
    snapshot: &'a Snapshot,
    /// How many tasks wait for each object.
    waiters: Vec<u32>,
    /// How many wait to lock each reader-writer lock exclusively.
    writers: FxHashMap<ObjectId, u32>,
    holders: Holders,
    /// The context behind each channel.
    contexts: FxHashMap<ObjectId, u32>,
}

impl<'a> WaitTable<'a> {
    /// Counts the waiting tasks of every object, and sorts out who holds it.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let mut waiters = vec![0_u32; snapshot.objects.len()];
        let mut writers = FxHashMap::default();
        let tasks = ahead(&snapshot.tasks, Task::MOST_NEEDED);
        for wait in tasks.flat_map(|task| snapshot.waits_of(task)) {
            if wait.op == WaitOp::Lock
                && snapshot.objects.get(wait.object.index()).is_some_and(|o| o.kind == ObjectKind::RwMutex)
            {
                *writers.entry(wait.object).or_default() += 1;
            }
            if let Some(count) = waiters.get_mut(wait.object.index()) {
                *count = count.saturating_add(1);
            }
        }
        let (holders, contexts) = (Holders::new(snapshot), contexts::by_channel(snapshot));
        WaitTable { snapshot, waiters, writers, holders, contexts }
    }

    /// How many tasks wait for an object.
    pub fn waiters(&self, object: ObjectId) -> u64 {
        self.waiters.get(object.index()).copied().unwrap_or(0).into()
    }

    /// Who seems to hold a lock, the surest first.
    pub fn holders(&self, object: ObjectId) -> impl Iterator<Item = Holder> {
        self.holders.of(object).iter().map(|(_, holder)| *holder)
    }

    /// What some tasks hold, the lock with the most waiters first.
    pub fn holds<'t>(&self, tasks: impl Iterator<Item = &'t Task>) -> Vec<HoldSummary> {
        self.tally_of(tasks).finish().1
    }

    /// What some tasks wait for, the most frequent first.
    pub fn summarize<'t>(&self, tasks: impl Iterator<Item = &'t Task>) -> Vec<WaitSummary> {
        self.tally_of(tasks).finish().0
    }

    fn tally_of<'t>(&self, tasks: impl Iterator<Item = &'t Task>) -> WaitTally<'_> {
        let mut tally = self.tally();
        tasks.for_each(|task| tally.add(task));
        tally
    }

    /// Adds up tasks one by one.
    pub fn tally(&self) -> WaitTally<'_> {
        WaitTally {
            table: self,
            ways: Vec::new(),
            known: FxHashMap::default(),
            last: 0,
            holds: Holdings::default(),
        }
    }

    fn summary(&self, (op, kind, element, alternative): Way, things: Things) -> WaitSummary {
        let Things { mut objects, own } = things;
        let waits = objects.len() as u64;
        objects.sort_unstable();
        objects.dedup();
        let only = if let [only] = objects.as_slice() { Some(*only) } else { None };
        let channels = (objects.iter())
            .filter_map(|id| self.snapshot.objects.get(id.index())?.channel)
            .map(|channel| Channels::one(op, channel))
            .reduce(Channels::and);
        let handles = objects.iter().map(|id| self.snapshot.handles_of(*id).map(Senders::of));
        let senders = handles.reduce(|one, other| Some(one?.and(other?))).flatten();
        let mut locks = match kind {
            ObjectKind::Channel | ObjectKind::Descriptor => None,
            _ => self.holders.locks(self.snapshot, &objects, own),
        };
        if let (Some(locks), Some(only), WaitOp::ReadLock) = (&mut locks, only, op) {
            locks.writers = self.writers.get(&only).copied().unwrap_or(0).into();
        }
        WaitSummary {
            op,
            kind,
            element,
            alternative,
            waits,
            objects: objects.len() as u64,
            only,
            waiters: only.map_or(0, |id| self.waiters(id)),
            channels,
            senders,
            locks,
            descriptors: match kind {
                ObjectKind::Descriptor => Descriptors::of(self.snapshot, &objects, op),
                _ => None,
            },
            times: Times::of(self.snapshot, &objects, &self.contexts),
        }
    }
}

/// What tasks wait for and hold, added up one by one.
#[derive(Debug)]
pub struct WaitTally<'a> {
    table: &'a WaitTable<'a>,
    ways: Vec<(Way, Things)>,
    known: FxHashMap<Way, usize>,
    /// The way that was added last: the next task mostly waits in the same way.
    last: usize,
    holds: Holdings,
}

impl WaitTally<'_> {
    /// Adds a task of the snapshot.
    pub fn add(&mut self, task: &Task) {
        let snapshot = self.table.snapshot;
        self.holds.add(snapshot, task);
        let waits = snapshot.waits_of(task);
        if waits.is_empty() {
            return;
        }
        let held = locks::surely_held(snapshot, task);
        let selects = waits.len() > 1 && !task.wait_class.is_for_all();
        for wait in waits {
            let Some(object) = snapshot.objects.get(wait.object.index()) else { continue };
            let element = object.channel.and_then(|c| c.element);
            let things = self.things((wait.op, object.kind, element, selects));
            things.objects.push(wait.object);
            things.own += u64::from(held.binary_search(&wait.object).is_ok());
        }
    }

    fn things(&mut self, way: Way) -> &mut Things {
        if self.ways.get(self.last).is_none_or(|(last, _)| *last != way) {
            self.last = *self.known.entry(way).or_insert_with(|| {
                self.ways.push((way, Things::default()));
                self.ways.len() - 1
            });
        }
        &mut self.ways[self.last].1
    }

    /// What they wait for, the most frequent first, and what they hold, the lock with the most waiters first.
    pub fn finish(self) -> (Vec<WaitSummary>, Vec<HoldSummary>) {
        let WaitTally { table, ways, holds, .. } = self;
        let mut waits: Vec<_> = ways.into_iter().map(|(way, things)| table.summary(way, things)).collect();
        waits.sort_by_key(|summary| std::cmp::Reverse(summary.waits));
        (waits, holds.finish(|object| table.waiters(object)))
    }
}

impl Channels {
    fn one(op: WaitOp, channel: Channel) -> Self {
        let peers = u64::from(if op == WaitOp::Send { channel.receivers } else { channel.senders });
        Channels {
            cap: (channel.cap, channel.cap),
            len: (channel.len, channel.len),
            closed: channel.closed.into(),
            without_peer: (peers == 0 && !channel.more).into(),
            peers: (peers, peers),
        }
    }

    fn and(self, other: Self) -> Self {
        Channels {
            cap: span(self.cap, other.cap),
            len: span(self.len, other.len),
            closed: self.closed + other.closed,
            without_peer: self.without_peer + other.without_peer,
            peers: span(self.peers, other.peers),
        }
    }
}

impl Senders {
    /// Who can still send on one channel.
    pub fn of(handles: &Handles) -> Self {
        Senders {
            alive: (handles.senders, handles.senders),
            none_left: (handles.senders == 0).into(),
            queued: handles.queued.map(|queued| (queued, queued)),
        }
    }

    fn and(self, other: Self) -> Self {
        Senders {
            alive: span(self.alive, other.alive),
            none_left: self.none_left + other.none_left,
            queued: self.queued.zip(other.queued).map(|(one, other)| span(one, other)),
        }
    }
}

/// The least and the most of two spans.
fn span(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0.min(other.0), one.1.max(other.1))
}
