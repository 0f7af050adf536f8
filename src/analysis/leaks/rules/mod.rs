//! The rules. A new one is an object in [`RULES`].

use super::context::Context;
use super::evidence::{Cause, Evidence};
use super::finding::{Holder, Sureness};
pub use processors::{SCHEDULER_RULES, SchedulerRule};

mod blocked_forever;
mod channels;
mod far_timers;
mod growing;
mod http_body;
pub(super) mod left;
mod library;
mod locks;
mod not_joined;
pub(super) mod outliving;
mod patterns;
pub(super) mod processors;
mod waits;

/// Looks for one kind of mistake.
pub trait Rule: Sync {
    /// Its name: one word or two, as in JSON.
    fn name(&self) -> &'static str;

    /// What it checks, a sentence.
    fn checks(&self) -> &'static str;

    /// What it finds.
    fn check(&self, context: &Context<'_>) -> Vec<Claim>;
}

/// What one rule says of some tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// How sure it is.
    pub sureness: Sureness,
    /// The tasks: indices into [`Context::kinds`], the most important kind first. Empty: the process.
    pub kinds: Vec<usize>,
    /// What was seen.
    pub because: Vec<Evidence>,
    /// What it means. None: this rule does not know.
    pub cause: Option<Cause>,
    /// The holders or possible holders of the locks that tasks wait for.
    pub holders: Vec<Holder>,
}

impl Claim {
    /// A claim about one kind of task.
    fn of(kind: usize, sureness: Sureness, because: Vec<Evidence>) -> Self {
        Claim { sureness, kinds: vec![kind], because, cause: None, holders: Vec::new() }
    }

    fn meaning(self, cause: Cause) -> Self {
        Claim { cause: Some(cause), ..self }
    }
}

/// Every rule. If several have claims about the same tasks, the cause of the earlier one is kept.
pub const RULES: &[&dyn Rule] = &[
    &blocked_forever::Never,
    &locks::Deadlock,
    &locks::HeldLock,
    &channels::Send,
    &http_body::Body,
    &library::Library,
    &patterns::RANGE,
    &patterns::SIGNAL,
    &patterns::RECEIVE,
    &patterns::SELECT,
    &patterns::WAIT_GROUP,
    &patterns::COND,
    &patterns::SEMAPHORE,
    &patterns::JOIN,
    &patterns::TIMER,
    &patterns::SLEEP,
    &far_timers::FarTimer,
    &patterns::NETWORK,
    &patterns::IO,
    &patterns::CALL,
    &not_joined::NotJoined,
    &growing::Growing,
    &outliving::Staying,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let scheduler = SCHEDULER_RULES.iter().map(|rule| rule.name);
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name()).chain(scheduler).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len() + SCHEDULER_RULES.len());
        assert!(RULES.iter().all(|rule| !rule.checks().is_empty()));
    }
}
