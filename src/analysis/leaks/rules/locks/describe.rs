//! Tasks, locks and holders as evidence names them.

use super::Study;
use super::collect::{Outsider, locker};
use super::graph::Held;
use crate::analysis::frames::holding_frame;
use crate::analysis::leaks::evidence::{LockName, TaskName};
use crate::analysis::leaks::finding::{Doing, Holder, HowHeld};
use crate::analysis::leaks::naming::{self, place_of};
use crate::analysis::series::Member;
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::{HoldKind, LocationId, ObjectId, Snapshot};

/// A task as evidence names it.
pub(super) fn task_name(study: &Study<'_, '_>, index: u32) -> TaskName {
    let task = study.context.task(index);
    let runtime = task.and_then(|task| study.context.snapshot.runtime_of(task));
    let noun = runtime.map_or("", |runtime| &runtime.task_noun);
    TaskName {
        noun: if noun.is_empty() { "task" } else { noun }.to_owned(),
        id: task.and_then(|task| task.id),
        address: task.map_or(0, |task| task.address),
        function: function(study, index).to_owned(),
    }
}

/// The innermost function of a task that is not a lock's own.
fn function<'a>(study: &Study<'_, 'a>, index: u32) -> &'a str {
    let snapshot = study.context.snapshot;
    let stack = study.context.task(index).and_then(|task| task.stack);
    stack.and_then(|stack| locker(snapshot, stack)).map_or("", |id| snapshot.function_name(id))
}

/// A lock as evidence names it.
pub(super) fn lock_name(study: &Study<'_, '_>, object: ObjectId) -> Option<LockName> {
    let object = study.context.snapshot.objects.get(object.index())?;
    Some(LockName { kind: object.kind, address: object.address })
}

/// The place from which a lock will be unlocked.
pub(super) fn place(snapshot: &Snapshot, location: LocationId) -> Option<SignatureFrame> {
    holding_frame(snapshot, location).map(|frame| place_of(snapshot, frame))
}

/// A task as a finding names it.
fn doing(study: &Study<'_, '_>, index: u32, member: Option<&Member>) -> Option<Doing> {
    let kind = study.kind_of(index).and_then(|nth| study.context.kinds.get(nth));
    naming::doing(study.context, index, member, kind)
}

/// A task that holds a lock, or may hold it.
pub(super) fn holder(study: &Study<'_, '_>, object: ObjectId, held: &Held) -> Option<Holder> {
    let snapshot = study.context.snapshot;
    let lock = study.graph.lock(object);
    let how = match held.how {
        // More tasks will unlock it than can hold it.
        _ if lock.is_some_and(|lock| lock.perhaps.contains(held)) => HowHeld::Perhaps,
        HoldKind::Exclusive => HowHeld::Exclusive,
        HoldKind::Shared => HowHeld::Shared,
        HoldKind::Perhaps => HowHeld::Perhaps,
    };
    // A cycle has no end.
    let end = Some(study.graph.end(held.task))
        .filter(|end| end.locks > 0 && study.graph.stuck_in(held.task).is_none());
    Some(Holder {
        task: doing(study, held.task, study.member(held.task))?,
        how,
        lock: lock.map(|lock| (lock.kind, lock.address)),
        deadlocked: false,
        unlocks: held.location.and_then(|location| place(snapshot, location)),
        chain: end.and_then(|end| Some((end.locks as u64, doing(study, end.task, study.member(end.task))?))),
    })
}

/// A task that is where locks are taken, and may hold one.
pub(super) fn inferred(study: &Study<'_, '_>, outsider: &Outsider<'_>) -> Option<Holder> {
    let task = doing(study, outsider.task, outsider.member)?;
    Some(Holder { task, how: HowHeld::Inferred, lock: None, deadlocked: false, unlocks: None, chain: None })
}
