//! Tasks that a library starts.

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::modules::{module_of, modules};

pub(super) struct Library;

impl Rule for Library {
    fn name(&self) -> &'static str {
        "library"
    }

    fn checks(&self) -> &'static str {
        "tasks that a module of somebody else starts become more: something of it is made again and again and not closed"
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
            let because = vec![format!("{} starts them, which is not the program's own", named(module))];
            claims.push(Claim::of(nth, sureness, because).meaning(
                "something of this library is made again and again, and never closed or stopped",
                "look for its Close, Stop, Shutdown or cancel; or make it once and share it",
            ));
        }
        claims
    }
}

fn named(module: &crate::snapshot::Module) -> String {
    format!("module {module}")
}
