//! Adds what leads from waiting goroutines to their causes.

use super::draft::Draft;
use crate::runtimes::go::{GoError, links};
use crate::snapshot::SnapshotBuilder;

pub(super) fn run(draft: &mut Draft<'_>, into: &mut SnapshotBuilder) -> Result<(), GoError> {
    let Draft { go, target, options, first_object, .. } = *draft;
    if options.links.is_zero() {
        return Ok(());
    }
    let scope = links::Scope { stacks: draft.stacks.as_read(), first_object, candidates: &draft.candidates };
    draft.ends = links::find(go, target, options, &mut draft.resolver, scope, into)?;
    Ok(())
}
