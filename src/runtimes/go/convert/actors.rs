//! Adds who is going to do what goroutines wait for.

use super::draft::Draft;
use crate::runtimes::go::{GoError, actors};
use crate::snapshot::{Actor, SnapshotBuilder};

pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) -> Result<(), GoError> {
    let Draft { go, target, options, first_task, .. } = *draft;
    if options.actors.is_zero() {
        return Ok(());
    }
    let answer = actors::find(go, target, options, &draft.stacks, first_task, into)?;
    for found in answer.actors {
        let location = found.at.map(|pc| draft.resolver.location(pc, &mut into.code));
        into.links.actors.push(Actor {
            object: found.object,
            by: found.by,
            action: found.action,
            certainty: found.certainty,
            location,
            hops: found.hops,
        });
    }
    into.links.searched.extend(answer.searched);
    into.links.unknown.extend(answer.unknown);
    Ok(())
}
