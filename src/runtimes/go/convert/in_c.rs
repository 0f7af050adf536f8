//! The whole stacks of goroutines in C code: C's frames, then Go's.

use super::draft::{Draft, stack_of};
use crate::runtimes::go::GoError;
use crate::runtimes::go::foreign::Foreign;
use crate::snapshot::{SnapshotBuilder, StackId};

/// The numbers of these tasks, and their stacks.
pub(super) fn stacks(
    draft: &mut Draft<'_>,
    into: &mut SnapshotBuilder,
) -> Result<Vec<(usize, StackId)>, GoError> {
    let mut found = Vec::new();
    if draft.in_c.is_empty() {
        return Ok(found);
    }
    let mut foreign = Foreign::new(draft.go, draft.target, draft.options.pause)?;
    for late in std::mem::take(&mut draft.in_c) {
        let in_go = stack_of(&draft.stacks, late.task, into);
        let thread = into.task_mut(late.task).thread;
        let Some(thread) = thread.filter(|_| !in_go.is_empty()) else { continue };
        let mut locations = foreign.locations(&late.raw, thread, &mut into.code);
        if !locations.is_empty() {
            locations.extend(in_go.iter().map(|pc| draft.resolver.location(*pc, &mut into.code)));
            found.push((late.task, into.code.stack(locations)));
        }
    }
    foreign.stops.note(&mut into.header.reading);
    Ok(found)
}
