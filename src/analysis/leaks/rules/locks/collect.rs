//! Which locks tasks wait for, and which other tasks are in the functions that take these locks.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Study;
use super::graph::lock_of;
use crate::analysis::frames::{is_lock_code, shown_frames};
use crate::analysis::leaks::context::Context;
use crate::analysis::series::Member;
use crate::snapshot::WaitClass;
use crate::snapshot::{FunctionId, ObjectId, Snapshot, StackId, WaitOp};

/// Locks that tasks wait for in the same functions, and what is known of them.
pub(super) struct Convoy<'a> {
    /// Kinds of tasks that wait for them, the largest first: indices into [`Context::kinds`].
    pub(super) kinds: Vec<usize>,
    /// The locks with known addresses; the lock with the most waiters comes first.
    pub(super) locks: Vec<Waited>,
    /// How many wait.
    pub(super) waiters: u64,
    /// The longest time that one of them has been still, nanoseconds.
    pub(super) standing_ns: u64,
    /// The longest time that every reading has found one of them waiting for the same lock, nanoseconds.
    pub(super) seen_ns: u64,
    /// The reading since which the first of them has been still. None if unknown.
    pub(super) since: Option<u32>,
    /// Tasks in the same functions that wait for no lock: they may hold one.
    pub(super) outsiders: Vec<Outsider<'a>>,
    /// Tasks in the same functions that wait for a lock of another convoy.
    pub(super) insiders: u64,
}

/// A lock, and how many wait for it.
pub(super) struct Waited {
    pub(super) object: ObjectId,
    pub(super) waiters: u64,
    pub(super) readers: u64,
    pub(super) writers: u64,
}

pub(super) struct Outsider<'a> {
    pub(super) task: u32,
    pub(super) member: Option<&'a Member>,
    /// It has been still for as long as the oldest waiter.
    pub(super) still: bool,
}

/// A task that waits for a lock.
struct Waiter<'a> {
    kind: usize,
    task: u32,
    member: Option<&'a Member>,
    lock: Option<(ObjectId, WaitOp)>,
}

/// The function that waits for a lock, given the task's stack. The name of an await is no function: it has
/// no package.
pub(super) fn locker(snapshot: &Snapshot, stack: StackId) -> Option<FunctionId> {
    let locations = &snapshot.code.stacks.get(stack.index())?.locations;
    let frames = shown_frames(snapshot, locations, false);
    let callers: Vec<FunctionId> = (frames.iter())
        .map(|shown| shown.frame.function)
        .filter(|&function| !is_lock_code(snapshot, function))
        .collect();
    let has_package = |id: &&FunctionId| {
        snapshot
            .code
            .functions
            .get(id.index())
            .is_some_and(|function| !snapshot.str(function.package).is_empty())
    };
    callers.iter().find(has_package).or(callers.first()).copied()
}

/// All tasks that wait for locks, grouped by the functions in which they wait. Tasks that are known to wait for
/// each other, or for such a task, are left out.
pub(super) fn collect<'a>(study: &Study<'_, 'a>) -> Vec<Convoy<'a>> {
    let (context, snapshot) = (study.context, study.context.snapshot);
    let mut waiters = waiters(context);
    let waiting: FxHashSet<u32> = waiters.iter().map(|waiter| waiter.task).collect();
    waiters.retain(|waiter| study.graph.stuck_in(waiter.task).is_none());
    if waiters.is_empty() {
        return Vec::new();
    }
    let mut lockers: FxHashMap<StackId, Option<FunctionId>> = FxHashMap::default();
    let mut functions: FxHashMap<ObjectId, Vec<FunctionId>> = FxHashMap::default();
    let mut function_of = |waiter: &Waiter<'_>| {
        let stack = context.task(waiter.task)?.stack?;
        *lockers.entry(stack).or_insert_with(|| locker(snapshot, stack))
    };
    for waiter in &waiters {
        let (Some((lock, _)), Some(function)) = (waiter.lock, function_of(waiter)) else { continue };
        let list = functions.entry(lock).or_default();
        if !list.contains(&function) {
            list.push(function);
        }
    }
    functions.values_mut().for_each(|list| list.sort_unstable());
    // Sorted, so that the result does not depend on hashes.
    let mut convoys: BTreeMap<Vec<FunctionId>, Vec<&Waiter<'_>>> = BTreeMap::new();
    for waiter in &waiters {
        let key = match waiter.lock.and_then(|(lock, _)| functions.get(&lock)) {
            Some(list) => list.clone(),
            None => function_of(waiter).into_iter().collect(),
        };
        convoys.entry(key).or_default().push(waiter);
    }
    let inside = Inside::new(context, convoys.keys().flatten().copied().collect());
    (convoys.iter())
        .map(|(functions, waiters)| convoy(study, functions, waiters, &inside, &waiting))
        .collect()
}

/// Every task that waits for a lock and is not left out.
fn waiters<'a>(context: &Context<'a>) -> Vec<Waiter<'a>> {
    let mut waiters = Vec::new();
    for (nth, kind) in context.kinds.iter().enumerate() {
        if kind.waits != WaitClass::Lock || kind.left_out.is_some() {
            continue;
        }
        let followed: FxHashMap<u32, &Member> = context.members(kind).map(|m| (m.task, m)).collect();
        for &task in &kind.tasks {
            let lock = context.task(task).and_then(|t| lock_of(context.snapshot, t));
            let lock = lock.map(|wait| (wait.object, wait.op));
            waiters.push(Waiter { kind: nth, task, member: followed.get(&task).copied(), lock });
        }
    }
    waiters
}

/// Tasks that have one of some functions on their stack.
struct Inside<'a> {
    /// The stacks that each function is on.
    stacks: FxHashMap<FunctionId, Vec<StackId>>,
    /// The tasks with each of these stacks.
    tasks: FxHashMap<StackId, Vec<u32>>,
    /// The followed ones among these tasks.
    members: FxHashMap<u32, &'a Member>,
}

impl<'a> Inside<'a> {
    fn new(context: &Context<'a>, functions: FxHashSet<FunctionId>) -> Self {
        let snapshot = context.snapshot;
        let mut stacks: FxHashMap<FunctionId, Vec<StackId>> = FxHashMap::default();
        let mut tasks: FxHashMap<StackId, Vec<u32>> = FxHashMap::default();
        for (nth, stack) in (0..).zip(&snapshot.code.stacks) {
            let locations = stack.locations.iter().filter_map(|id| snapshot.code.locations.get(id.index()));
            for frame in locations.flat_map(|location| &location.frames) {
                if functions.contains(&frame.function) {
                    tasks.entry(StackId(nth)).or_default();
                    let list = stacks.entry(frame.function).or_default();
                    if list.last() != Some(&StackId(nth)) {
                        list.push(StackId(nth));
                    }
                }
            }
        }
        for (index, task) in (0..).zip(&snapshot.tasks) {
            if let Some(list) = task.stack.and_then(|stack| tasks.get_mut(&stack)) {
                list.push(index);
            }
        }
        let inside = |member: &&Member| {
            context.task(member.task).and_then(|t| t.stack).is_some_and(|stack| tasks.contains_key(&stack))
        };
        let members = context.series.members().iter().filter(inside).map(|m| (m.task, m)).collect();
        Inside { stacks, tasks, members }
    }

    /// The tasks in one of these functions, each once, in the order of the snapshot.
    fn of(&self, functions: &[FunctionId]) -> Vec<u32> {
        let stacks = functions.iter().filter_map(|function| self.stacks.get(function)).flatten();
        let mut tasks: Vec<u32> =
            stacks.filter_map(|stack| self.tasks.get(stack)).flatten().copied().collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }
}

fn convoy<'a>(
    study: &Study<'_, 'a>,
    functions: &[FunctionId],
    waiters: &[&Waiter<'_>],
    inside: &Inside<'a>,
    waiting: &FxHashSet<u32>,
) -> Convoy<'a> {
    let context = study.context;
    let mut own: FxHashSet<u32> = FxHashSet::default();
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    let (mut standing_ns, mut seen_ns) = (0, 0);
    for waiter in waiters {
        own.insert(waiter.task);
        *counts.entry(waiter.kind).or_default() += 1;
        standing_ns = standing_ns.max(context.standing_ns(waiter.task, waiter.member));
        seen_ns = seen_ns.max(context.seen_ns(waiter.task, waiter.member));
    }
    let since = waiters.iter().filter_map(|waiter| Some(waiter.member?.still_since)).min();
    let mut kinds: Vec<usize> = counts.keys().copied().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(counts.get(kind).copied()));
    let (mut outsiders, mut insiders) = (Vec::new(), 0);
    for index in inside.of(functions) {
        if own.contains(&index) {
            continue;
        }
        if waiting.contains(&index) {
            insiders += 1;
            continue;
        }
        let member = inside.members.get(&index).copied();
        // A task that came later than the oldest waiter cannot keep it waiting.
        if member.zip(since).is_some_and(|(member, since)| member.first_seen > since) {
            continue;
        }
        let still = member.zip(since).is_some_and(|(member, since)| member.still_since <= since);
        outsiders.push(Outsider { task: index, member, still });
    }
    let locks = locks(study, waiters);
    Convoy { kinds, locks, waiters: waiters.len() as u64, standing_ns, seen_ns, since, outsiders, insiders }
}

/// The locks that they wait for.
fn locks(study: &Study<'_, '_>, waiters: &[&Waiter<'_>]) -> Vec<Waited> {
    let mut by_object: FxHashMap<ObjectId, Waited> = FxHashMap::default();
    for (object, op) in waiters.iter().filter_map(|waiter| waiter.lock) {
        let empty = Waited { object, waiters: 0, readers: 0, writers: 0 };
        let lock = by_object.entry(object).or_insert(empty);
        lock.waiters += 1;
        lock.readers += u64::from(op == WaitOp::ReadLock);
        lock.writers += u64::from(op == WaitOp::Lock);
    }
    let mut locks: Vec<Waited> = by_object.into_values().collect();
    let address = |object: ObjectId| study.graph.lock(object).map(|lock| (lock.address, lock.kind));
    locks.sort_by_key(|lock| (std::cmp::Reverse(lock.waiters), address(lock.object), lock.object));
    locks
}
