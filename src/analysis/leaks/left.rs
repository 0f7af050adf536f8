//! Findings about groups of tasks that a program leaves behind at its end.

use super::context::Context;
use super::finding::Finding;
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
    pub(in crate::analysis) fn finding(&self, context: &Context<'_>, kinds: &[usize]) -> Option<Finding> {
        let about = |claim: &&(usize, Claim)| claim.1.kinds.iter().any(|kind| kinds.contains(kind));
        let own = |(nth, claim): &(usize, Claim)| (*nth, Claim { kinds: kinds.to_vec(), ..claim.clone() });
        let mut claims: Vec<(usize, Claim)> = self.0.iter().filter(about).map(own).collect();
        claims.extend(kinds.iter().filter_map(|&kind| Some((RULES.len(), left::claim(context, kind)?))));
        merge::finding(context, claims, kinds)
    }
}
