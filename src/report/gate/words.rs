//! What the gate says, in words; every format uses them. Texts may contain names from the target: escape before
//! printing.

use crate::analysis::gate::{Charge, Leak, Standing, Unjudged, Verdict, Way};
use crate::analysis::leaks::Sureness;
use crate::report::finding::{left_out, summary};
use crate::report::text::who;
use crate::report::units::{count, duration, thousands};

/// Tests that are named for one kind; the number of others is mentioned.
const TESTS: usize = 6;

/// One line on the whole: "ex.com/api left 7 goroutines of 2 kinds (api.test, pid 42, go1.27.3)".
pub(super) fn headline(verdict: &Verdict) -> String {
    let Some(header) = &verdict.header else {
        return "the program was not read, so nothing is known of what it left".to_owned();
    };
    let who = who(header);
    let kinds = verdict.failures().count() as u64;
    let tasks = count(verdict.failing_tasks(), &verdict.noun);
    let ended = ended(verdict);
    let unsettled = unsettled(verdict);
    if kinds > 0 {
        format!("{} left {tasks} of {}: {who}{ended}{unsettled}", verdict.program, count(kinds, "kind"))
    } else if header.runtimes.is_empty() {
        format!(
            "{} has no runtime that loiter can read, so nothing is known of what it left",
            verdict.program
        )
    } else {
        let but = if verdict.leaks.is_empty() { "nothing" } else { "nothing that is not in the baseline" };
        format!("{} left {but}: {who}{ended}{unsettled}", verdict.program)
    }
}

/// "; 3 more ended within 0.5 s".
fn ended(verdict: &Verdict) -> String {
    let within = verdict.span_ns.map(|ns| format!(" within {}", duration(ns))).unwrap_or_default();
    match verdict.ended {
        0 => String::new(),
        n => format!(
            "; {} ended on {}{within}",
            count(n, &verdict.noun),
            if n == 1 { "its own" } else { "their own" }
        ),
    }
}

/// "; 3 goroutines could not settle".
fn unsettled(verdict: &Verdict) -> String {
    match verdict.unsettled() {
        0 => String::new(),
        n => format!("; {} could not settle", count(n, &verdict.noun)),
    }
}

/// The word before a kind that was left.
pub(super) fn left_title(leak: &Leak) -> &'static str {
    match (&leak.standing, leak.finding.sureness) {
        (Standing::Expired(_), _) => "EXPIRED",
        (_, Sureness::Proven) => "PROVEN",
        (_, Sureness::Stuck) => "STUCK",
        _ => "LEFT",
    }
}

/// One line on a kind: "5 goroutines stay in chan send in main.f, created by main.g".
pub(super) fn heading(leak: &Leak) -> String {
    let mut text = summary(&leak.finding);
    let part = leak.finding.parts.first();
    if let Some(at) = part.and_then(|part| part.at.as_ref()).filter(|at| !at.function.is_empty()) {
        text.push_str(&format!(" in {}", at.function));
    }
    if let Some(by) = part.and_then(|part| part.creator.as_ref()).filter(|by| !by.function.is_empty()) {
        text.push_str(&format!(", created by {}", by.function));
    }
    text
}

/// Who started the tasks of a kind, and how that is known: "TestClose (5, by their stack), the package (1)".
pub(super) fn charged(leak: &Leak) -> String {
    let single = leak.charges.len() == 1;
    let one = |charge: &Charge| {
        let tasks = if single { String::new() } else { format!("{}, ", thousands(charge.tasks)) };
        match &charge.test {
            Some((test, way)) => format!("{test} ({tasks}{})", self::way(*way)),
            None => format!("no test ({tasks}nothing names one)"),
        }
    };
    let mut text = leak.charges.iter().take(TESTS).map(one).collect::<Vec<_>>().join(", ");
    if let Some(more) = leak.charges.len().checked_sub(TESTS).filter(|&more| more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// How a charge is known, as a clause.
pub(super) fn way(way: Way) -> &'static str {
    match way {
        Way::Frame => "on the stack",
        Way::Creator => "by the creator",
        Way::Entry => "by the start function",
        Way::Parent => "by an ancestor that is still there",
        Way::Ancestor => "by an ancestor that has ended",
        Way::Label => "by a label",
    }
}

/// What was left out, and why.
pub(super) fn ignored(verdict: &Verdict) -> Vec<String> {
    left_out(&verdict.noun, verdict.ignored, verdict.silenced.as_ref(), 0)
}

/// What could not be judged, a sentence.
pub(super) fn unjudged(unjudged: &Unjudged, noun: &str) -> String {
    match unjudged {
        Unjudged::NoReading => "the program was not read".to_owned(),
        Unjudged::NoRuntime => {
            "the program has no runtime that loiter can read: nothing was judged".to_owned()
        }
        Unjudged::Missing(n) => {
            format!("{} could not be read, and are not judged", count(*n, noun))
        }
        Unjudged::NoStack(n) => {
            format!(
                "the stacks of {} could not be read: what they are is told by their creators alone",
                count(*n, noun)
            )
        }
        Unjudged::Unsettled(n) => {
            let were = if *n == 1 { "was" } else { "were" };
            format!(
                "could not settle: {} ran or {were} about to run when the program ended, and {were} not judged",
                count(*n, noun)
            )
        }
        Unjudged::Changed => {
            "the process became another program while it was read: only the last reading counts".to_owned()
        }
        Unjudged::Warning(text) => text.clone(),
    }
}
