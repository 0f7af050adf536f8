//! Adds the holders of the locks that goroutines wait for.

use super::draft::Draft;
use crate::runtimes::go::{GoError, holders};
use crate::snapshot::{Hold, SnapshotBuilder};

pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) -> Result<(), GoError> {
    let Draft { go, target, options, .. } = *draft;
    holders::state::read(target, into)?;
    if options.holders.is_zero() {
        return Ok(());
    }
    let mut found = holders::find(go, target, options, draft.stacks.as_read(), into)?;
    found.sort_by_key(|found| (found.task, found.lock.0));
    for of_task in found.chunk_by(|a, b| a.task == b.task) {
        let holds: Vec<Hold> = of_task
            .iter()
            .map(|found| Hold {
                object: found.lock,
                how: found.how,
                location: found.at.map(|pc| draft.resolver.location(pc, &mut into.code)),
            })
            .collect();
        let holds = into.holds(holds);
        if let Some(first) = of_task.first() {
            into.task_mut(first.task).holds = holds;
        }
    }
    Ok(())
}
