//! The rules. A new one is an object in [`RULES`].

use super::context::Context;
use super::finding::{Holder, Sureness};
pub use processors::{SCHEDULER_RULES, SchedulerRule};

mod blocked_forever;
mod channels;
mod growing;
mod http_body;
mod library;
mod locks;
pub(super) mod outliving;
mod patterns;
pub(super) mod processors;

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
    /// The tasks: indices into [`Context::kinds`], the kind that matters most first. Empty: the process.
    pub kinds: Vec<usize>,
    /// What was seen, a clause each.
    pub because: Vec<String>,
    /// What it means in words. Empty: this rule does not know.
    pub cause: String,
    /// What to look at next. Empty: this rule does not know.
    pub next: String,
    /// Who holds the locks that are waited for, or may hold them.
    pub holders: Vec<Holder>,
}

impl Claim {
    /// Says something of one kind of task.
    fn of(kind: usize, sureness: Sureness, because: Vec<String>) -> Self {
        let (cause, next) = (String::new(), String::new());
        Claim { sureness, kinds: vec![kind], because, cause, next, holders: Vec::new() }
    }

    fn meaning(self, cause: &str, next: &str) -> Self {
        Claim { cause: cause.to_owned(), next: next.to_owned(), ..self }
    }
}

/// Every rule. Where several say the same of the same tasks, the words of the earlier one are kept.
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
    &patterns::NETWORK,
    &patterns::IO,
    &patterns::CALL,
    &growing::Growing,
    &outliving::Staying,
];

/// "1 task", "1,388 tasks": for clauses.
pub(super) fn many(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// "1,388": for clauses.
pub(super) fn number(n: u64) -> String {
    let text = n.to_string();
    let mut digits = String::new();
    for (i, digit) in text.chars().enumerate() {
        if i > 0 && (text.len() - i).is_multiple_of(3) {
            digits.push(',');
        }
        digits.push(digit);
    }
    digits
}

/// A duration for clauses, rounded down: "41 min".
pub(super) fn time(ns: u64) -> String {
    match ns / 1_000_000 {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..60_000 => format!("{} s", ms / 1_000),
        ms @ 60_000..7_200_000 => format!("{} min", ms / 60_000),
        ms => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let scheduler = SCHEDULER_RULES.iter().map(|rule| rule.name);
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name()).chain(scheduler).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len() + SCHEDULER_RULES.len());
        assert!(RULES.iter().all(|rule| !rule.checks().is_empty()));
    }

    #[test]
    fn clauses() {
        assert_eq!((many(1, "task"), many(1234567, "task")), ("1 task".into(), "1,234,567 tasks".into()));
        assert_eq!((time(1_500_000_000), time(7_300_000_000_000)), ("1 s".into(), "2 h".into()));
    }
}
