//! Groups of tasks that grow, whatever the tasks do.

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence};
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::{TaskState, WaitClass};

pub(super) struct Growing;

impl Rule for Growing {
    fn name(&self) -> &'static str {
        "growing"
    }

    fn checks(&self) -> &'static str {
        "the number of tasks at one place grows over the readings, faster than tasks end, by the test of Mann and Kendall and a \
         sign test"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (nth, kind) in context.kinds.iter().enumerate() {
            let Some(growth) = &kind.growth else { continue };
            if !kind.is_open() && (kind.left_out.is_some() || kind.known.is_some_and(|known| !known.grows)) {
                continue;
            }
            let mut because = growth.because.clone();
            let mut sureness = growth.sureness;
            match kind.known {
                Some(known) if known.grows => {
                    because.push(Evidence::UsuallyParked { what: known.names[1], why: known.why });
                    sureness = Sureness::Suspect;
                }
                Some(known) => because.push(Evidence::FewExpected { what: known.names[1] }),
                None => {}
            }
            // Work that piles up is not yet a leak: it may still get done.
            let idle = kind.waits == WaitClass::Nothing;
            let over = idle && has_ended(context, &kind.tasks);
            let works = idle && !over;
            if works {
                because.push(Evidence::Runnable);
                sureness = Sureness::Suspect;
            }
            let claim = Claim::of(nth, sureness, because);
            claims.push(claim.meaning(match () {
                () if works => Cause::Overload,
                () if over => Cause::NotJoined,
                () => Cause::NotEnding,
            }));
        }
        claims
    }
}

/// Whether tasks only stay because something still refers to them.
fn has_ended(context: &Context<'_>, tasks: &[u32]) -> bool {
    let state = |task: &u32| context.task(*task).map(|task| task.state);
    !tasks.is_empty() && tasks.iter().all(|task| state(task) == Some(TaskState::Finished))
}
