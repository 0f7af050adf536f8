//! Gives every task its stack in the snapshot.

use super::draft::Draft;
use super::in_c;
use crate::runtimes::go::GoError;
use crate::snapshot::{SnapshotBuilder, StackId};

/// The last stage: from here on, the tasks' stacks are no numbers in the draft any more.
pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) -> Result<(), GoError> {
    let ids: Vec<StackId> = draft
        .stacks
        .iter()
        .map(|stack| {
            let locations = stack.iter().map(|pc| draft.resolver.location(*pc, into)).collect();
            into.code.stack(locations)
        })
        .collect();
    let with_c = in_c::stacks(draft, into)?;
    for task in into.tasks_from(draft.first_task) {
        task.stack = task.stack.and_then(|number| ids.get(number.index()).copied());
    }
    for (task, stack) in with_c {
        into.task_mut(task).stack = Some(stack);
    }
    Ok(())
}
