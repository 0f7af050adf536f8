//! Bodies of HTTP responses that nobody closes.

use super::{Claim, Rule, many, time};
use crate::analysis::Pattern;
use crate::analysis::leaks::context::{Context, TaskGroup};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::lore::{self, HttpBodies, Lore};
use crate::snapshot::WaitClass;

/// So many that stand still for long are worth a word even if they do not become more: a few are long
/// answers that are still being read.
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
        lore::ALL
            .iter()
            .filter_map(|lore| Some((*lore, lore.http_bodies?)))
            .flat_map(|(lore, bodies)| claims(context, lore, &bodies))
            .collect()
    }
}

/// What is said of tasks of one kind of runtime.
fn claims(context: &Context<'_>, lore: &'static Lore, bodies: &HttpBodies) -> Vec<Claim> {
    let waiting: Vec<Pattern> = bodies.waiting.iter().map(|text| Pattern::whole(text)).collect();
    let beside = Pattern::whole(bodies.beside);
    let is_of = |kind: &TaskGroup<'_>| std::ptr::eq(lore::of(&kind.signature.runtime), lore);
    let mut claims = Vec::new();
    for (nth, kind) in context.kinds.iter().enumerate() {
        let Some(innermost) = kind.signature.frames.first() else { continue };
        let waits = matches!(
            kind.waits,
            WaitClass::Select | WaitClass::Timer | WaitClass::Receive | WaitClass::Signal
        );
        if !kind.is_open()
            || !is_of(kind)
            || !waits
            || !waiting.iter().any(|p| p.matches(&innermost.function))
        {
            continue;
        }
        let old = context.older_than(kind, context.options.min_age_ns);
        let mut because =
            vec!["each connection waits for the body of its response to be read or closed".to_owned()];
        let sureness = match context.growing(kind) {
            Some(sureness) => sureness,
            None if old >= MANY => {
                because.push(format!("{old} of them for {} or more", time(context.options.min_age_ns)));
                Sureness::Suspect
            }
            None => continue,
        };
        // The writers of the same connections grow with them.
        let writers = context.kinds.iter().enumerate().filter(|(_, other)| {
            other.left_out.is_none()
                && is_of(other)
                && other.growth.is_some()
                && other.signature.frames.first().is_some_and(|place| beside.matches(&place.function))
        });
        let mut kinds = vec![nth];
        for (writer, other) in writers {
            because.push(format!("{} of such connections become more, too", many(other.count(), "writer")));
            kinds.push(writer);
        }
        claims.push(Claim {
                kinds,
                ..Claim::of(nth, sureness, because).meaning(
                    "the bodies of responses are not closed, so that their connections can neither be used again nor end",
                    bodies.next,
                )
            });
    }
    claims
}
