//! Tasks that are blocked forever.

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::WaitClass;

/// Nil channels, selects without cases, and what the runtime itself has proved.
pub(super) struct Never;

impl Rule for Never {
    fn name(&self) -> &'static str {
        "never"
    }

    fn checks(&self) -> &'static str {
        "tasks wait on a nil channel, in a select without cases, or are leaked by the runtime's own proof"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let open = context.kinds.iter().enumerate().filter(|(_, kind)| kind.is_open());
        open.filter_map(|(nth, kind)| {
            let (because, cause) = match kind.waits {
                WaitClass::NilChannel => (Evidence::NilChannel, Cause::NilChannel),
                WaitClass::NoCases => (Evidence::NoCases, Cause::NoCases),
                WaitClass::Leaked => (Evidence::ProvedByRuntime, Cause::WakerGone),
                _ => return None,
            };
            Some(Claim::of(nth, Sureness::Proven, vec![because]).meaning(cause))
        })
        .collect()
    }
}
