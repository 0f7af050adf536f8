//! Tasks that are older than the rest of their kind ever get.

use rustc_hash::FxHashMap;

use super::{Claim, Rule, many, time};
use crate::analysis::leaks::finding::Sureness;
use crate::analysis::leaks::scene::Scene;
use crate::analysis::leaks::wait::Waits;
use crate::analysis::signature::Place;

/// Those that stay must be so many times older than the oldest that ended.
const TIMES: u64 = 4;
/// So many must have ended to say how old the others get.
const ENDED: u64 = 10;

pub(super) struct Staying;

impl Rule for Staying {
    fn name(&self) -> &'static str {
        "staying"
    }

    fn checks(&self) -> &'static str {
        "tasks stand still for longer than --min-age while others that were started at the same place come and go"
    }

    fn check(&self, scene: &Scene<'_>) -> Vec<Claim> {
        // Those who were started at one place are of one kind, wherever they stand now.
        let mut places: FxHashMap<&Place, (u64, u64)> = FxHashMap::default();
        for (_, signature, track) in scene.series.tracks() {
            let Some(creator) = &signature.creator else { continue };
            let (ended, longest) = places.entry(creator).or_default();
            *ended += track.gone.saturating_sub(track.first_gone);
            *longest = (*longest).max(track.longest_ended_ns.unwrap_or(0));
        }
        let mut claims = Vec::new();
        for (nth, kind) in scene.kinds.iter().enumerate() {
            let Some(&(ended, longest)) = kind.signature.creator.as_ref().and_then(|at| places.get(at))
            else {
                continue;
            };
            if !kind.is_open()
                || ended < ENDED
                || longest == 0
                || matches!(kind.waits, Waits::Nothing | Waits::Unknown)
            {
                continue;
            }
            let old = scene.options.min_age_ns.max(longest.saturating_mul(TIMES));
            let stay = scene.older_than(kind, old);
            if stay == 0 {
                continue;
            }
            let because = vec![format!(
                "{stay} of them stood still for {} or more, while {} started at the same place ended within {}",
                time(old),
                many(ended, "other"),
                time(longest)
            )];
            claims.push(Claim::of(nth, Sureness::Suspect, because).meaning(
                "something that these wait for did not happen to them",
                "compare them with those that end: the path on which nobody wakes them",
            ));
        }
        claims
    }
}
