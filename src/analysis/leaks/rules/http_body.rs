//! Bodies of HTTP responses that are never closed.

use super::{Claim, Rule};
use crate::analysis::Pattern;
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::task_group::TaskGroup;
use crate::analysis::lore::{self, HttpBodies, Lore};
use crate::snapshot::WaitClass;

/// This many that are still for long are worth a mention even if they do not grow: a few are long responses
/// that are still being read.
const MANY: u64 = 10;

pub(super) struct Body;

impl Rule for Body {
    fn name(&self) -> &'static str {
        "http-body"
    }

    fn checks(&self) -> &'static str {
        "connections of HTTP clients wait for the end of bodies that nobody reads or closes"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let with_bodies = lore::ALL.iter().filter_map(|lore| Some((*lore, lore.http_bodies?)));
        with_bodies.flat_map(|(lore, bodies)| claims(context, lore, &bodies)).collect()
    }
}

/// The claims about connections of one kind of runtime.
fn claims(context: &Context<'_>, lore: &'static Lore, bodies: &HttpBodies) -> Vec<Claim> {
    let waiting: Vec<Pattern> = bodies.waiting.iter().map(|text| Pattern::whole(text)).collect();
    let beside = Pattern::whole(bodies.beside);
    let is_of_lore = |kind: &TaskGroup<'_>| std::ptr::eq(lore::of(&kind.signature.runtime), lore);
    let is_waiting = |kind: &TaskGroup<'_>| {
        let waits = matches!(
            kind.waits,
            WaitClass::Select | WaitClass::Timer | WaitClass::Receive | WaitClass::Signal
        );
        let innermost = kind.signature.frames.first();
        waits && innermost.is_some_and(|place| waiting.iter().any(|p| p.matches(&place.function)))
    };
    let mut claims = Vec::new();
    for (nth, kind) in context.kinds.iter().enumerate() {
        if !kind.is_open() || !is_of_lore(kind) || !is_waiting(kind) {
            continue;
        }
        let old = context.older_than(kind, context.options.min_age_ns);
        let mut because = vec![Evidence::UnreadBodies];
        let sureness = match context.growing(kind) {
            Some(sureness) => sureness,
            None if old >= MANY => {
                because.push(Evidence::Blocked { tasks: old, at_least_ns: context.options.min_age_ns });
                Sureness::Suspect
            }
            None => continue,
        };
        // The writers of the same connections grow with them.
        let writers = context.kinds.iter().enumerate().filter(|(_, other)| {
            other.left_out.is_none()
                && other.growth.is_some()
                && is_of_lore(other)
                && other.signature.frames.first().is_some_and(|place| beside.matches(&place.function))
        });
        let mut kinds = vec![nth];
        for (writer, other) in writers {
            because.push(Evidence::WritersGrow { tasks: other.count() });
            kinds.push(writer);
        }
        claims.push(Claim { kinds, ..Claim::of(nth, sureness, because).meaning(Cause::BodyNotClosed) });
    }
    claims
}
