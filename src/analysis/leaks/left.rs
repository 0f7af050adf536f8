//! Findings about groups of tasks that are chosen elsewhere, for the gate.

use super::context::Context;
use super::finding::{Finding, Sureness};
use super::merge;
use super::rules::{Claim, RULES, left};

/// What the rules of `loiter leaks` say of the readings; asked once.
pub(in crate::analysis) struct Claims(Vec<(usize, Claim)>);

impl Claims {
    /// Asks every rule.
    pub(in crate::analysis) fn new(context: &Context<'_>) -> Self {
        Claims(merge::claims(context))
    }

    /// The finding about some groups (indices into [`Context::kinds`]) that were left behind: what the rules say of
    /// them, and what is known of any task that is left. None without groups.
    pub(in crate::analysis) fn left(&self, context: &Context<'_>, kinds: &[usize]) -> Option<Finding> {
        let mut claims = self.of(kinds);
        claims.extend(kinds.iter().filter_map(|&kind| Some((RULES.len(), left::claim(context, kind)?))));
        merge::finding(context, claims, kinds)
    }

    /// The finding about some groups: what the rules say of them, and nothing else. None if they say nothing.
    pub(in crate::analysis) fn claimed(&self, context: &Context<'_>, kinds: &[usize]) -> Option<Finding> {
        merge::finding(context, self.of(kinds), kinds)
    }

    /// The groups of which a rule says at least this, in ascending order.
    pub(in crate::analysis) fn about(&self, least: Sureness) -> Vec<usize> {
        let sure = self.0.iter().filter(|(_, claim)| claim.sureness >= least);
        let mut kinds: Vec<usize> = sure.flat_map(|(_, claim)| &claim.kinds).copied().collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The claims about some groups, as if they were about these alone.
    fn of(&self, kinds: &[usize]) -> Vec<(usize, Claim)> {
        let about = |claim: &&(usize, Claim)| claim.1.kinds.iter().any(|kind| kinds.contains(kind));
        let own = |(nth, claim): &(usize, Claim)| (*nth, Claim { kinds: kinds.to_vec(), ..claim.clone() });
        self.0.iter().filter(about).map(own).collect()
    }
}
