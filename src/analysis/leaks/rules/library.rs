//! Tasks that a library starts.

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::modules::{module_of, modules};

pub(super) struct Library;

impl Rule for Library {
    fn name(&self) -> &'static str {
        "library"
    }

    fn checks(&self) -> &'static str {
        "tasks that another module starts grow in number: something of that module is made again and again and not closed"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (nth, kind) in context.kinds.iter().enumerate() {
            let (Some(sureness), Some(creator)) = (context.growing(kind), &kind.signature.creator) else {
                continue;
            };
            let owners = modules(context.snapshot, &kind.signature.runtime);
            let Some(module) = module_of(owners, &creator.package) else { continue };
            if !kind.is_open() || owners.first() == Some(module) {
                continue;
            }
            let because = vec![Evidence::StartedByModule(module.clone())];
            claims.push(Claim::of(nth, sureness, because).meaning(Cause::LibraryNotClosed));
        }
        claims
    }
}
