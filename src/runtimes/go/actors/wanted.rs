//! The objects that are asked for, and what would help those who wait for them.

use rustc_hash::{FxHashMap, FxHashSet};

use super::calls::Actions;
use super::walk::Wanted;
use crate::snapshot::{Action, ObjectId, ObjectKind, SnapshotBuilder, Task, WaitOp};

/// Objects that are asked for in one reading.
const MAX_OBJECTS: usize = 1 << 16;

/// The objects that are asked for.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// By address.
    ids: FxHashMap<u64, ObjectId>,
    /// Start and end of each, ascending.
    spans: Vec<(u64, u64, ObjectId)>,
    helps: FxHashMap<ObjectId, Actions>,
    /// Channels that are closed with a context, by its address.
    cancelled: FxHashMap<u64, Vec<u64>>,
    /// The channels of contexts: only package context does anything to them.
    of_contexts: FxHashSet<ObjectId>,
    /// Objects that are not asked for because there are too many.
    pub(super) left_out: usize,
}

impl Objects {
    /// Everything that tasks from number `first_task` on wait for and that others can act on.
    pub(super) fn new(first_task: usize, into: &SnapshotBuilder) -> Self {
        let mut helps: FxHashMap<ObjectId, Actions> = FxHashMap::default();
        for task in into.tasks().iter().skip(first_task) {
            for wait in into.waits_of(task) {
                let kind = into.objects().get(wait.object.index()).map(|object| object.kind);
                let actions = kind.map_or_else(Actions::default, |kind| help(kind, wait.op));
                if !actions.is_empty() {
                    let all = helps.entry(wait.object).or_default();
                    *all = all.and(actions);
                }
            }
        }
        let mut ids: Vec<ObjectId> = helps.keys().copied().collect();
        ids.sort_unstable();
        let left_out = ids.len().saturating_sub(MAX_OBJECTS);
        ids.truncate(MAX_OBJECTS);
        let mut this = Objects { left_out, helps, ..Objects::default() };
        for id in ids {
            let Some(object) = into.objects().get(id.index()) else { continue };
            this.ids.insert(object.address, id);
            let end = object.address.saturating_add(size(object.kind));
            this.spans.push((object.address, end, id));
        }
        this.spans.sort_unstable();
        this.contexts(into);
        this
    }

    /// A context is cancelled with those above it.
    fn contexts(&mut self, into: &SnapshotBuilder) {
        const MAX_PARENTS: usize = 64;
        let contexts = &into.links.contexts;
        self.of_contexts.extend(contexts.iter().filter_map(|context| context.object));
        for context in contexts {
            let object = context.object.and_then(|object| into.objects().get(object.index()));
            let Some(channel) = object.map(|object| object.address) else { continue };
            let mut above = Some(context);
            for _ in 0..MAX_PARENTS {
                let Some(this) = above else { break };
                self.cancelled.entry(this.address).or_default().push(channel);
                let name = this.type_name.map(|name| into.code.text(name));
                // Cancellation from above ends here.
                let ends = name.is_some_and(|name| name.ends_with("withoutCancelCtx"));
                above = this.parent.filter(|_| !ends).and_then(|parent| contexts.get(parent as usize));
            }
        }
    }

    /// Adds objects that are not at the address that leads to them, and of which is asked only who has them.
    pub(super) fn add(&mut self, ends: &[(u64, ObjectId)]) {
        for &(address, object) in ends {
            self.ids.insert(address, object);
            self.spans.push((address, address.saturating_add(8), object));
        }
        self.spans.sort_unstable();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The objects, ascending by id.
    pub(super) fn ids(&self) -> Vec<ObjectId> {
        let mut ids: Vec<ObjectId> = self.ids.values().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (u64, ObjectId)> {
        self.spans.iter().map(|(address, _, id)| (*address, *id))
    }

    /// A pointer to an object may point to what contains it: `start` to `end` is the object of the heap that
    /// the one at `address` is part of.
    pub(super) fn widen(&mut self, wide: &FxHashMap<u64, (u64, u64)>) {
        for (start, end, _) in &mut self.spans {
            if let Some((wide_start, wide_end)) = wide.get(start) {
                (*start, *end) = (*wide_start, *wide_end);
            }
        }
        self.spans.sort_unstable();
    }

    /// The objects that an address points to or into.
    pub(super) fn at(&self, address: u64) -> impl Iterator<Item = ObjectId> {
        // Several may be part of one object of the heap: their spans are equal.
        let behind = self.spans.partition_point(|(start, ..)| *start <= address);
        let spans = self.spans.get(..behind).unwrap_or_default();
        spans.iter().rev().take_while(move |(_, end, _)| address < *end).map(|(.., id)| *id)
    }

    /// The object at exactly this address.
    pub(super) fn id(&self, address: u64) -> Option<ObjectId> {
        self.ids.get(&address).copied()
    }

    /// What would help those who wait for an object.
    pub(super) fn helps(&self, object: ObjectId) -> Actions {
        self.helps.get(&object).copied().unwrap_or_default()
    }

    /// What code anywhere in the program might do to help those who wait for an object.
    pub(super) fn may_help(&self, object: ObjectId) -> Actions {
        if self.of_contexts.contains(&object) { Actions::default() } else { self.helps(object) }
    }

    /// Would this action of a task help someone else? A task that waits for an object cannot act on it first, unless
    /// it waits for something else at the same time.
    pub(super) fn may(&self, task: &Task, object: ObjectId, action: Action, into: &SnapshotBuilder) -> bool {
        let waits = into.waits_of(task);
        let own = waits.iter().find(|wait| wait.object == object);
        let waits_the_same = own.is_some_and(|wait| same(wait.op, action));
        let alone = own.is_some() && waits.iter().all(|wait| wait.object == object);
        !alone && !waits_the_same && self.helps(object).has(action)
    }

    /// Does the task itself wait for the object?
    pub(super) fn waits(task: &Task, object: ObjectId, into: &SnapshotBuilder) -> bool {
        into.waits_of(task).iter().any(|wait| wait.object == object)
    }
}

impl Wanted for Objects {
    fn is_wanted(&self, address: u64) -> bool {
        self.ids.contains_key(&address)
    }

    fn cancelled_with(&self, context: u64) -> &[u64] {
        self.cancelled.get(&context).map_or(&[], Vec::as_slice)
    }
}

/// What helps a task that waits in this way.
fn help(kind: ObjectKind, op: WaitOp) -> Actions {
    let of = Actions::of;
    match (kind, op) {
        (ObjectKind::Channel, WaitOp::Receive) => {
            of(Action::Send).and(of(Action::Close)).and(of(Action::Cancel))
        }
        (ObjectKind::Channel, WaitOp::Send) => of(Action::Receive),
        (ObjectKind::WaitGroup, _) => of(Action::Done),
        (ObjectKind::Cond, _) => of(Action::Signal),
        (ObjectKind::Coroutine, WaitOp::Resume) => of(Action::Resume),
        _ => Actions::default(),
    }
}

fn same(op: WaitOp, action: Action) -> bool {
    matches!((op, action), (WaitOp::Send, Action::Send) | (WaitOp::Receive, Action::Receive))
}

/// Bytes of an object that pointers to it point to.
fn size(kind: ObjectKind) -> u64 {
    match kind {
        ObjectKind::WaitGroup => 16,
        ObjectKind::Cond => 56,
        _ => 8,
    }
}
