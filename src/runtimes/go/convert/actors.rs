//! Adds who is going to do what goroutines wait for.

use rustc_hash::FxHashSet;

use super::draft::Draft;
use crate::runtimes::go::{GoError, actors};
use crate::snapshot::{Actor, By, SnapshotBuilder};

pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) -> Result<(), GoError> {
    let Draft { go, target, options, .. } = *draft;
    if options.actors.is_zero() {
        return Ok(());
    }
    let answer = actors::find(go, target, options, draft.stacks.as_read(), &draft.ends, into)?;
    // What their code will do says more of timers than what they have at hand.
    let better: FxHashSet<_> = answer.actors.iter().map(|found| (found.object, found.by)).collect();
    let is_worse =
        |actor: &Actor| matches!(actor.by, By::Timer(_)) && better.contains(&(actor.object, actor.by));
    into.links.actors.retain(|actor| !is_worse(actor));
    for found in answer.actors {
        let location = found.at.map(|at| match found.by {
            By::Timer(_) => draft.resolver.within(at.pc(), &mut into.code),
            _ => draft.resolver.location(at, &mut into.code),
        });
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
