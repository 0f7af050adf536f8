//! Tasks, locks and holders as evidence names them.

use super::Study;
use super::collect::{Outsider, locker};
use super::graph::Held;
use crate::analysis::frames::{holding_frame, shown_frames, user_frame};
use crate::analysis::leaks::evidence::{LockName, TaskName};
use crate::analysis::leaks::finding::{Doing, Holder, HowHeld};
use crate::analysis::modules::Owners;
use crate::analysis::series::Member;
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::{Age, Frame, FunctionRole, HoldKind, LocationId, ObjectId, Snapshot, TaskState};

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

fn place_of(snapshot: &Snapshot, frame: Frame) -> SignatureFrame {
    let function = snapshot.code.functions.get(frame.function.index());
    SignatureFrame {
        function: snapshot.function_name(frame.function).into(),
        package: function.map_or("", |function| snapshot.str(function.package)).into(),
        role: function.map_or(FunctionRole::default(), |function| function.role),
        file: snapshot.str(frame.file).into(),
        line: frame.line,
    }
}

/// A task as a finding names it.
fn doing(study: &Study<'_, '_>, index: u32, member: Option<&Member>) -> Option<Doing> {
    let (context, snapshot) = (study.context, study.context.snapshot);
    let task = context.task(index)?;
    let what = match (task.reason, task.state) {
        (Some(reason), _) => snapshot.str(reason),
        (None, TaskState::Unknown) => "",
        (None, state) => state.name(),
    };
    let proved = member.and_then(|member| context.series.still_ns(member)).unwrap_or(0);
    let age = if proved > task.age.nanos().unwrap_or(0) { Age::AtLeast(proved) } else { task.age };
    // Tasks of the runtime itself are in no group.
    let user = || {
        user_frame(snapshot, &Owners::new(snapshot), &shown_frames(snapshot, snapshot.stack_of(task), false))
    };
    let at = match study.kind_of(index).and_then(|nth| context.kinds.get(nth)) {
        Some(kind) => kind.at.cloned(),
        None => user().map(|shown| place_of(snapshot, shown.frame)),
    };
    Some(Doing { id: task.id, address: task.address, what: what.to_owned(), age, at })
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
