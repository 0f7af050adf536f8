//! Tasks that wait for what cannot come.

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::WaitClass;

/// Nil channels, selects without cases, and what the runtime itself has proved. The proof by
/// reachability over the heap will be one more rule beside this one.
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
            let (because, cause, next) = match kind.waits {
                WaitClass::NilChannel => (
                    "the channel is nil, and nothing can ever be sent on or received from a nil channel",
                    "the channel was never made, or was set to nil",
                    "make the channel before the task is started; look for a variable that is declared and not \
                     assigned, or for a struct that was copied before its channel was made",
                ),
                WaitClass::NoCases => (
                    "a select without cases never goes on",
                    "the task blocks for ever on purpose or by mistake",
                    "wait for a channel or a context that ends it instead",
                ),
                WaitClass::Leaked => (
                    "the runtime itself has proved that nothing can wake them any more",
                    "whoever should have woken them has gone",
                    "look at who else held the channel or lock, and why that returned early",
                ),
                _ => return None,
            };
            let claim = Claim::of(nth, Sureness::Proven, vec![because.to_owned()]);
            Some(claim.meaning(cause, next))
        })
        .collect()
    }
}
