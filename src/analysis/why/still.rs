//! What stood still between the two readings of a process: only that held at one moment together.

use rustc_hash::FxHashMap;

use super::system::SeenProcess;
use crate::snapshot::{
    Actor, By, Descriptor, Hold, LocationId, ObjectId, ObjectKind, ReadMode, Searched, Snapshot, SourceKind,
    StackStatus, Task,
};

/// How far the data of a process can be taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proof {
    /// It was read twice: what is the same in both readings held at one moment, also together with other
    /// processes.
    Twice,
    /// Nothing could move while it was read. What is said of several processes is not proved.
    Stopped,
    /// It was read once while it ran. Nothing is proved.
    Once,
}

/// What stood still in one process.
#[derive(Debug)]
pub(super) struct Still<'a> {
    /// How far the data can be taken together.
    pub(super) proof: Proof,
    second: Option<&'a Snapshot>,
    /// For each task of the first reading its row in the second one, if it stood still.
    rows: Vec<Option<u32>>,
    /// Objects of the second reading by kind and address.
    objects: FxHashMap<(ObjectKind, u64), ObjectId>,
    /// Objects of the first reading by kind and address.
    before: FxHashMap<(ObjectKind, u64), ObjectId>,
    /// Rows of all tasks of the second reading by identity.
    again: FxHashMap<(u8, Option<u64>, u64), u32>,
}

impl<'a> Still<'a> {
    /// Compares the readings of a process.
    pub(super) fn new(process: &'a SeenProcess) -> Self {
        let first: &Snapshot = &process.first;
        let Some(second) = process.second.as_deref() else {
            let header = &first.header;
            let stopped = matches!(header.reading.mode, ReadMode::Frozen | ReadMode::Core)
                || header.target.source != SourceKind::Process;
            let proof = if stopped { Proof::Stopped } else { Proof::Once };
            return Still {
                proof,
                second: None,
                rows: Vec::new(),
                objects: FxHashMap::default(),
                before: FxHashMap::default(),
                again: FxHashMap::default(),
            };
        };
        let objects = |snapshot: &Snapshot| {
            let all = (0..).zip(&snapshot.objects);
            all.map(|(nth, object)| ((object.kind, object.address), ObjectId(nth))).collect()
        };
        let again = (0..).zip(&second.tasks).map(|(row, task)| (identity(task), row));
        let mut still = Still {
            proof: Proof::Twice,
            second: Some(second),
            rows: Vec::new(),
            objects: objects(second),
            before: objects(first),
            again: again.collect(),
        };
        still.rows = (first.tasks.iter())
            .map(|task| {
                let row = *still.again.get(&identity(task))?;
                let other = second.tasks.get(row as usize)?;
                same(first, task, second, other).then_some(row)
            })
            .collect();
        still
    }

    /// Whether a task (a row of the first reading) stood still.
    pub(super) fn task(&self, first: &Snapshot, row: u32) -> bool {
        match self.second {
            Some(_) => self.rows.get(row as usize).is_some_and(Option::is_some),
            None => first.tasks.get(row as usize).is_some_and(|task| task.stack_status != StackStatus::Torn),
        }
    }

    /// Whether a task (a row of the first reading) that may run between the readings holds the same lock in
    /// both. It may have released and locked it again in between.
    pub(super) fn holds_again(&self, first: &Snapshot, row: u32, object: ObjectId) -> bool {
        let Some(second) = self.second else { return self.task(first, row) };
        let held = || {
            let task = first.tasks.get(row as usize)?;
            let again = second.tasks.get(*self.again.get(&identity(task))? as usize)?;
            let object = first.objects.get(object.index())?;
            let object = *self.objects.get(&(object.kind, object.address))?;
            Some(second.holds_of(again).iter().any(|hold| hold.object == object))
        };
        held().unwrap_or(false)
    }

    /// What the second reading knows of who holds and acts: its search may have got further. Only of tasks that stood
    /// still, as rows and objects of the first reading.
    pub(super) fn found_later(&self) -> (Vec<(u32, Hold)>, Vec<Actor>) {
        let Some(second) = self.second else { return Default::default() };
        let object = |id: ObjectId| {
            let object = second.objects.get(id.index())?;
            self.before.get(&(object.kind, object.address)).copied()
        };
        let mut to_first: FxHashMap<u32, u32> = FxHashMap::default();
        to_first.extend((0..).zip(&self.rows).filter_map(|(row, again)| Some(((*again)?, row))));
        let mut holds = Vec::new();
        for (row, task) in (0..).zip(&second.tasks).filter(|(_, task)| !task.holds.is_empty()) {
            let Some(&row) = to_first.get(&row) else { continue };
            // Its locations are those of the other reading.
            let of_first =
                |hold: &Hold| Some((row, Hold { object: object(hold.object)?, location: None, ..*hold }));
            holds.extend(second.holds_of(task).iter().filter_map(of_first));
        }
        let of_first = |actor: &Actor| {
            let by = match actor.by {
                By::Task(row) => By::Task(*to_first.get(&row)?),
                by => by,
            };
            Some(Actor { object: object(actor.object)?, by, location: None, ..*actor })
        };
        (holds, second.links.actors.iter().filter_map(of_first).collect())
    }

    /// How actors of an object were looked for, in the reading that looked further.
    pub(super) fn searched(&self, first: &Snapshot, id: ObjectId) -> Option<Searched> {
        let how = |searched: &Searched| (searched.all_tasks, searched.other_roots);
        let later = || {
            let object = first.objects.get(id.index())?;
            let again = self.objects.get(&(object.kind, object.address))?;
            self.second?.searched(*again)
        };
        let (before, later) = (first.searched(id), later());
        let is_global = before.into_iter().chain(later).any(|searched| searched.is_global);
        let best = before.into_iter().chain(later).max_by_key(|searched| how(searched))?;
        Some(Searched { object: id, is_global, ..*best })
    }

    /// Whether nothing came through a descriptor between the readings, and nothing waits to be read.
    pub(super) fn descriptor(&self, descriptor: &Descriptor, reads: bool) -> bool {
        let quiet = |descriptor: &Descriptor| {
            let socket = descriptor.socket.as_ref();
            !reads || socket.and_then(|socket| socket.receive_queue).unwrap_or(0) == 0
        };
        let Some(second) = self.second else { return quiet(descriptor) };
        // A reading that did not look at the descriptor says nothing against it.
        let Some(again) = second.descriptor(descriptor.fd) else { return quiet(descriptor) };
        let bytes = |descriptor: &Descriptor| {
            let socket = descriptor.socket.as_ref();
            socket.map(|socket| (socket.received_bytes, socket.sent_bytes, socket.state))
        };
        descriptor.file == again.file
            && bytes(descriptor) == bytes(again)
            && quiet(descriptor)
            && quiet(again)
    }
}

/// What a task is recognised by.
fn identity(task: &Task) -> (u8, Option<u64>, u64) {
    (task.runtime, task.id, task.address)
}

/// Whether a task did not move from one reading to the next.
fn same(first: &Snapshot, a: &Task, second: &Snapshot, b: &Task) -> bool {
    let torn = |task: &Task| task.stack_status == StackStatus::Torn;
    if torn(a) || torn(b) || (a.state, a.mark, a.polls) != (b.state, b.mark, b.polls) {
        return false;
    }
    let reasons = (a.reason.map(|id| first.str(id)), b.reason.map(|id| second.str(id)));
    if reasons.0 != reasons.1 || !waits(first, a).eq(waits(second, b)) {
        return false;
    }
    // Without a mark the stack has to say it.
    a.mark.is_some() || addresses(first, a).eq(addresses(second, b))
}

/// What a task waits for, by kind and address.
fn waits<'s>(snapshot: &'s Snapshot, task: &Task) -> impl Iterator<Item = impl PartialEq + use<>> + use<'s> {
    snapshot.waits_of(task).iter().map(move |wait| {
        let object = snapshot.objects.get(wait.object.index());
        (wait.op, object.map(|object| (object.kind, object.address)))
    })
}

/// The code addresses of a stack.
fn addresses<'s>(snapshot: &'s Snapshot, task: &Task) -> impl Iterator<Item = Option<u64>> + use<'s> {
    let address = |id: &LocationId| snapshot.code.locations.get(id.index()).and_then(|at| at.address);
    snapshot.stack_of(task).iter().map(address)
}
