//! What the tasks of a group wait for, in a few figures.

use crate::snapshot::{Channel, ObjectId, ObjectKind, Snapshot, StrId, Task, WaitOp};

/// What tasks wait for, where they wait in the same way for the same kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitSummary {
    /// What they want to do.
    pub op: WaitOp,
    /// With what kind of thing.
    pub kind: ObjectKind,
    /// For channels: the type of the elements, where known.
    pub element: Option<StrId>,
    /// Each of the tasks waits for several things at once and goes on with the first (a select).
    pub alternative: bool,
    /// How many times a task waits so; a task that selects between several things waits several times.
    pub waits: u64,
    /// How many different things that are.
    pub objects: u64,
    /// The thing, if it is one.
    pub only: Option<ObjectId>,
    /// How many tasks of the whole snapshot wait for that one thing; 0 if there are several things.
    pub waiters: u64,
    /// For channels: what they have in common.
    pub channels: Option<Channels>,
}

/// What some channels have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Smallest and largest capacity.
    pub cap: (u64, u64),
    /// Fewest and most elements in the buffer.
    pub len: (u64, u64),
    /// How many have been closed.
    pub closed: u64,
    /// On how many nobody waits on the other side (for senders: no receiver).
    pub without_peer: u64,
    /// Fewest and most tasks that wait on the other side.
    pub peers: (u64, u64),
}

/// Waits that are counted together: operation, kind of thing, element type, one of several.
type Way = (WaitOp, ObjectKind, Option<StrId>, bool);

/// Adds up what tasks wait for. Made once for a snapshot, then used for each group.
#[derive(Debug)]
pub struct WaitTable<'a> {
    snapshot: &'a Snapshot,
    /// How many tasks wait for each object.
    waiters: Vec<u32>,
}

impl<'a> WaitTable<'a> {
    /// Counts the waiting tasks of every object.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let mut waiters = vec![0_u32; snapshot.objects.len()];
        for wait in snapshot.tasks.iter().flat_map(|task| snapshot.waits_of(task)) {
            if let Some(count) = waiters.get_mut(wait.object.index()) {
                *count = count.saturating_add(1);
            }
        }
        WaitTable { snapshot, waiters }
    }

    /// How many tasks wait for an object.
    pub fn waiters(&self, object: ObjectId) -> u64 {
        self.waiters.get(object.index()).copied().unwrap_or(0).into()
    }

    /// What some tasks wait for, the most frequent first.
    pub fn summarize<'t>(&self, tasks: impl Iterator<Item = &'t Task>) -> Vec<WaitSummary> {
        // (way of waiting, objects so far); there are few ways.
        let mut ways: Vec<(Way, Vec<ObjectId>)> = Vec::new();
        for (wait, alternative) in tasks.flat_map(|task| {
            let waits = self.snapshot.waits_of(task);
            waits.iter().map(|wait| (wait, waits.len() > 1))
        }) {
            let Some(object) = self.snapshot.objects.get(wait.object.index()) else { continue };
            let way = (wait.op, object.kind, object.channel.and_then(|c| c.element), alternative);
            match ways.iter_mut().find(|(other, _)| *other == way) {
                Some((_, objects)) => objects.push(wait.object),
                None => ways.push((way, vec![wait.object])),
            }
        }
        let mut summaries: Vec<_> =
            ways.into_iter().map(|(way, objects)| self.summary(way, objects)).collect();
        summaries.sort_by_key(|s| std::cmp::Reverse(s.waits));
        summaries
    }

    fn summary(&self, (op, kind, element, alternative): Way, mut objects: Vec<ObjectId>) -> WaitSummary {
        let waits = objects.len() as u64;
        objects.sort_unstable();
        objects.dedup();
        let only = if let [only] = objects.as_slice() { Some(*only) } else { None };
        let channels = (objects.iter())
            .filter_map(|id| self.snapshot.objects.get(id.index())?.channel)
            .map(|channel| Channels::one(op, channel))
            .reduce(Channels::and);
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
        }
    }
}

impl Channels {
    fn one(op: WaitOp, channel: Channel) -> Self {
        let peers = u64::from(if op == WaitOp::Send { channel.receivers } else { channel.senders });
        Channels {
            cap: (channel.cap, channel.cap),
            len: (channel.len, channel.len),
            closed: channel.closed.into(),
            without_peer: (peers == 0).into(),
            peers: (peers, peers),
        }
    }

    fn and(self, other: Self) -> Self {
        let span = |a: (u64, u64), b: (u64, u64)| (a.0.min(b.0), a.1.max(b.1));
        Channels {
            cap: span(self.cap, other.cap),
            len: span(self.len, other.len),
            closed: self.closed + other.closed,
            without_peer: self.without_peer + other.without_peer,
            peers: span(self.peers, other.peers),
        }
    }
}
