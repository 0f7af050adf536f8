//! Bodies of HTTP responses that nobody closes.

use super::{Claim, Rule};
use crate::analysis::Pattern;
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::wait_class::WaitClass;

/// So many that stand still for long are worth a word even if they do not become more: a few are long
/// answers that are still being read.
const MANY: u64 = 10;

/// Where a connection waits for the end of a body.
const WAITING: &[&str] = &["net/http.(*persistConn).readLoop", "*http2*lientStream).*"];
/// What each such connection has besides.
const BESIDE: &str = "net/http.(*persistConn).writeLoop";

pub(super) struct Body;

impl Rule for Body {
    fn name(&self) -> &'static str {
        "http-body"
    }

    fn checks(&self) -> &'static str {
        "connections of HTTP clients wait for the end of bodies that nobody reads or closes"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let waiting: Vec<Pattern> = WAITING.iter().map(|text| Pattern::whole(text)).collect();
        let beside = Pattern::whole(BESIDE);
        let mut claims = Vec::new();
        for (nth, kind) in context.kinds.iter().enumerate() {
            let Some(innermost) = kind.signature.frames.first() else { continue };
            let waits = matches!(
                kind.waits,
                WaitClass::Select | WaitClass::Timer | WaitClass::Receive | WaitClass::Signal
            );
            if !kind.is_open() || !waits || !waiting.iter().any(|p| p.matches(&innermost.function)) {
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
}
