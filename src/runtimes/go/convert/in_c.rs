//! The whole stacks of goroutines in C code: C's frames, then Go's.

use super::draft::Draft;
use crate::runtimes::go::GoError;
use crate::runtimes::go::foreign::Foreign;
use crate::snapshot::SnapshotBuilder;

/// The last stage: from here on, a task's stack may be longer than that of its goroutine.
pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) -> Result<(), GoError> {
    if draft.in_c.is_empty() {
        return Ok(());
    }
    let mut foreign = Foreign::new(draft.go, draft.target, draft.options.pause)?;
    for late in std::mem::take(&mut draft.in_c) {
        let in_go = draft.stacks.as_read().of(late.task);
        let thread = into.task_mut(late.task).thread;
        let Some(thread) = thread.filter(|_| !in_go.is_empty()) else { continue };
        let mut locations = foreign.locations(&late.raw, thread, &mut into.code);
        if !locations.is_empty() {
            locations.extend(in_go.iter().map(|pc| draft.resolver.location(*pc, &mut into.code)));
            let stack = into.code.stack(locations);
            into.task_mut(late.task).stack = Some(stack);
        }
    }
    foreign.stops.note(&mut into.header.reading);
    Ok(())
}
