//! Single tasks and places as findings name them.

use super::context::Context;
use super::finding::Doing;
use super::task_group::TaskGroup;
use crate::analysis::frames::{shown_frames, user_frame};
use crate::analysis::modules::Owners;
use crate::analysis::series::Member;
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::{Age, Frame, FunctionRole, Snapshot, TaskState};

/// A task of the last reading as a finding names it. `member` and `kind` are those of the task, if it is followed and
/// if it is in a group.
pub(super) fn doing(
    context: &Context<'_>,
    index: u32,
    member: Option<&Member>,
    kind: Option<&TaskGroup<'_>>,
) -> Option<Doing> {
    let snapshot = context.snapshot;
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
    let at = match kind {
        Some(kind) => kind.at.cloned(),
        None => user().map(|shown| place_of(snapshot, shown.frame)),
    };
    Some(Doing { id: task.id, address: task.address, what: what.to_owned(), age, at })
}

/// The place of a frame.
pub(super) fn place_of(snapshot: &Snapshot, frame: Frame) -> SignatureFrame {
    let function = snapshot.code.functions.get(frame.function.index());
    SignatureFrame {
        function: snapshot.function_name(frame.function).into(),
        package: function.map_or("", |function| snapshot.str(function.package)).into(),
        role: function.map_or(FunctionRole::default(), |function| function.role),
        file: snapshot.str(frame.file).into(),
        line: frame.line,
    }
}
