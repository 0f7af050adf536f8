//! What the gate says, in words; every format uses them. Texts may contain names from the target: escape before
//! printing.

use crate::analysis::gate::{Charge, Leak, Seen, Standing, Unjudged, Verdict, Way};
use crate::analysis::leaks::Sureness;
use crate::report::finding::{left_out, summary};
use crate::report::text::who;
use crate::report::units::{count, duration, precise, thousands};

/// Tests that are named for one kind; the number of others is mentioned.
const TESTS: usize = 6;

/// One line on the whole: "ex.com/api left 7 goroutines of 2 kinds: api.test (pid 42, go1.27.3)".
pub(super) fn headline(verdict: &Verdict) -> String {
    let Some(header) = &verdict.header else {
        return "the program was not read, so nothing is known of what it left".to_owned();
    };
    let who = who(header);
    let (tasks, kinds) = verdict.failing_left();
    let seen = verdict.failing_seen();
    let ended = ended(verdict);
    let unsettled = unsettled(verdict);
    let left = format!("left {} of {}", count(tasks, &verdict.noun), count(kinds, "kind"));
    if seen > 0 {
        let left = if kinds > 0 { format!("{left}, and ") } else { String::new() };
        let were = if seen == 1 { "was" } else { "were" };
        let grew = format!(
            "had {} of {}s that grew or {were} stuck while it ran",
            count(seen, "kind"),
            verdict.noun
        );
        format!("{} {left}{grew}: {who}{ended}{unsettled}", verdict.program)
    } else if kinds > 0 {
        format!("{} {left}: {who}{ended}{unsettled}", verdict.program)
    } else if verdict.readings == 0 {
        format!("{} was not read at its end, so what it left is not known: {who}", verdict.program)
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
        _ if leak.is_left => "LEFT",
        (_, Sureness::Likely) => "LIKELY",
        (_, Sureness::Suspect) => "SUSPECT",
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
        Way::Only => "the only test that ran",
    }
}

/// When the tasks of a kind grew or were stuck: "in 36 of 60 readings while the program ran, from 12 s to 48 s after the
/// first; not left at the end". None if they were not seen.
pub(super) fn seen(verdict: &Verdict, leak: &Leak) -> Option<String> {
    let Seen { readings, first_ns, last_ns } = leak.seen?;
    let of = verdict.watched.as_ref().map_or(0, |watched| watched.readings).max(readings);
    let mut text =
        format!("in {} of {} while the program ran", thousands(readings.into()), count(of.into(), "reading"));
    if let (Some(first), Some(last)) = (first_ns, last_ns) {
        text.push_str(&format!(", from {} to {} after the first", duration(first), duration(last)));
    }
    match (leak.is_left, verdict.readings) {
        (true, _) => text.push_str("; left at the end"),
        (false, 0) => {}
        (false, _) => text.push_str("; not left at the end"),
    }
    Some(text)
}

/// How the program was watched while it ran: "60 readings in 30 s, 0.2 s of CPU time". None if it was not.
pub(super) fn watched(verdict: &Verdict) -> Option<String> {
    let watched = verdict.watched.as_ref()?;
    let span = watched.span_ns.map(|ns| format!(" in {}", duration(ns))).unwrap_or_default();
    Some(format!(
        "{}{span}, {} of CPU time",
        count(watched.readings.into(), "reading"),
        precise(watched.cpu_ns)
    ))
}

/// What a watch could not do, sentences.
fn unwatched(verdict: &Verdict) -> Vec<String> {
    let Some(watched) = &verdict.watched else { return Vec::new() };
    let mut texts = Vec::new();
    if watched.failed > 0 {
        let all = count(u64::from(watched.failed) + u64::from(watched.readings), "reading");
        let why = watched.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        texts
            .push(format!("{} of {all} while the program ran failed{why}", thousands(watched.failed.into())));
    }
    if watched.left_out > 0 {
        let found = count(watched.left_out, "finding");
        texts.push(format!("{found} while the program ran left out: there are too many kinds"));
    }
    texts
}

/// What could not be judged, sentences.
pub(super) fn all_unjudged(verdict: &Verdict) -> Vec<String> {
    let unjudged = verdict.unjudged.iter().map(|one| unjudged(one, &verdict.noun));
    unjudged.chain(unwatched(verdict)).collect()
}

/// What was left out, and why.
pub(super) fn ignored(verdict: &Verdict) -> Vec<String> {
    left_out(&verdict.noun, verdict.ignored, verdict.silenced.as_ref(), 0)
}

/// What could not be judged, a sentence.
fn unjudged(unjudged: &Unjudged, noun: &str) -> String {
    match unjudged {
        Unjudged::NoReading => "the program was not read".to_owned(),
        Unjudged::EndNotRead => "the end of the program was not read: what it left is not known".to_owned(),
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
