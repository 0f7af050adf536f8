//! Tasks that become more, whatever they do.

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::WaitClass;

pub(super) struct Growing;

impl Rule for Growing {
    fn name(&self) -> &'static str {
        "growing"
    }

    fn checks(&self) -> &'static str {
        "tasks of one kind become more over the readings, faster than they end, by the test of Mann and Kendall and a test of signs"
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
                    because.push(format!("{} are known to be parked: {}", known.names[1], known.why));
                    sureness = Sureness::Suspect;
                }
                Some(known) => because.push(format!("there are only a few {} in a program", known.names[1])),
                None => {}
            }
            // Work that piles up is no leak yet: it may still be done.
            let works = kind.waits == WaitClass::Nothing;
            if works {
                because.push("they run or want to run".to_owned());
                sureness = Sureness::Suspect;
            }
            let claim = Claim::of(nth, sureness, because);
            claims.push(if works {
                claim.meaning("more work is started than is finished", "limit how much is started at once")
            } else {
                claim.meaning(
                    "tasks are started and do not end",
                    "look at what each of them waits for, and who should have ended it",
                )
            });
        }
        claims
    }
}
