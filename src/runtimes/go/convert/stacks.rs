//! Gives every task its stack in the snapshot, and what the stack says about its wait.

use super::draft::Draft;
use super::in_c;
use crate::runtimes::go::GoError;
use crate::snapshot::{FunctionId, LocationId, SnapshotBuilder, StackId, Task, ahead_mut};
use crate::words::go::{StackFacts, StackReader};

/// The last stage: from here on, the tasks' stack numbers no longer index the draft's stacks.
pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) -> Result<(), GoError> {
    let mut reader = StackReader::default();
    let used = draft.used.iter().copied().chain(std::iter::repeat(false));
    let ids: Vec<Option<(StackId, StackFacts)>> = draft
        .stacks
        .iter()
        .zip(used)
        .map(|(stack, used)| {
            if !used {
                return None;
            }
            let locations: Vec<_> =
                stack.iter().map(|pc| draft.resolver.location(*pc, &mut into.code)).collect();
            let facts = facts(&mut reader, &locations, into);
            Some((into.code.stack(locations), facts))
        })
        .collect();
    let with_c = in_c::stacks(draft, into)?;
    for task in ahead_mut(into.tasks_from(draft.first_task), Task::MOST_NEEDED) {
        let stack = task.stack.and_then(|number| ids.get(number.index()).copied().flatten());
        let facts = stack.map_or(StackFacts::default(), |(_, facts)| facts);
        task.stack = stack.map(|(id, _)| id);
        task.wait_class = facts.refine(task.wait_class);
    }
    for (task, stack) in with_c {
        into.task_mut(task).stack = Some(stack);
    }
    Ok(())
}

/// What the functions of a stack say about a wait.
fn facts(reader: &mut StackReader, stack: &[LocationId], into: &SnapshotBuilder) -> StackFacts {
    let code = &into.code;
    let name = |id: FunctionId| {
        let function = code.function_at(id);
        function.map_or(("", ""), |function| (code.text(function.name), code.text(function.package)))
    };
    let locations = stack.iter().filter_map(|id| code.locations().get(id.index()));
    reader.read(locations.flat_map(|location| &location.frames).map(|frame| frame.function), name)
}
