//! What is no finding: tasks that look healthy, and those of which it is undecided.
//!
//! Healthy is what is well known to be parked, and what was watched for long enough to say that it does not become
//! more. What was not is undecided, with the reason; it is never called healthy.

use std::cmp::Reverse;

use rustc_hash::FxHashSet;

use super::context::{Context, TaskGroup};
use super::finding::Rest;
use super::merge::noun;
use super::rules::{outliving, time};
use crate::snapshot::{Begins, WaitClass};

/// What has no name of its own.
const OTHERS: [&str; 2] = ["other", "others"];

/// So many tasks that run or want to run are no work that one reading shows to be healthy.
const BUSY: u64 = 1_000;

/// The undecided and the healthy ones, by what they are and why, the largest number first.
pub(super) fn classify(context: &Context<'_>, found: &FxHashSet<usize>) -> (Vec<Rest>, Vec<Rest>) {
    let (mut undecided, mut healthy) = (Vec::new(), Vec::new());
    let staying = outliving::undecided(context);
    for (nth, kind) in context.kinds.iter().enumerate() {
        if found.contains(&nth) || kind.left_out.is_some() {
            continue;
        }
        let (names, why) = class(context, kind);
        let doubt = doubt(kind).or_else(|| staying.get(&nth).cloned());
        match doubt {
            Some(doubt) => {
                let names = if names == OTHERS { place(context, kind) } else { names.map(str::to_owned) };
                add(&mut undecided, kind, names, &doubt);
            }
            None => add(&mut healthy, kind, names.map(str::to_owned), &why),
        }
    }
    for rest in [&mut undecided, &mut healthy] {
        // What has no name comes last.
        rest.sort_by_key(|one| (one.one == OTHERS[0], Reverse(one.count)));
    }
    (undecided, healthy)
}

fn add(rest: &mut Vec<Rest>, kind: &TaskGroup<'_>, [one, many]: [String; 2], why: &str) {
    match rest.iter_mut().find(|other| other.one == one && other.why == why) {
        Some(other) => other.count = other.count.saturating_add(kind.count()),
        None => rest.push(Rest { one, many, why: why.to_owned(), count: kind.count() }),
    }
}

/// Why it is undecided whether these are healthy. None if they are, as far as one can tell.
fn doubt(kind: &TaskGroup<'_>) -> Option<String> {
    let few_by_nature = kind.known.is_some_and(|known| !known.grows) || started_by_init(kind);
    let works = kind.waits == WaitClass::Nothing && kind.count() < BUSY;
    kind.doubt.clone().filter(|_| !few_by_nature && !works)
}

/// "goroutine in chan send (main.handle)".
fn place(context: &Context<'_>, kind: &TaskGroup<'_>) -> [String; 2] {
    let noun = noun(context, &[kind]);
    let at = kind.at.filter(|at| !at.function.is_empty());
    let at = at.map(|at| format!(" ({})", at.function)).unwrap_or_default();
    [format!("{noun} in {}{at}", kind.what), format!("{noun}s in {}{at}", kind.what)]
}

fn started_by_init(kind: &TaskGroup<'_>) -> bool {
    kind.signature.creator.as_ref().is_some_and(|creator| creator.role.begins == Begins::Package)
}

/// What tasks are that are no finding, and why they are none.
fn class(context: &Context<'_>, kind: &TaskGroup<'_>) -> ([&'static str; 2], String) {
    if let Some(known) = kind.known {
        return (known.names, known.why.to_owned());
    }
    let steady = kind.calm.map_or_else(|| steady(context), str::to_owned);
    if started_by_init(kind) {
        let names = ["task of a package's init", "tasks of packages' init"];
        let once = "started once, when the program was";
        return (names, if context.is_short() { once.to_owned() } else { format!("{once}; {steady}") });
    }
    let shared = || context.summaries(kind).iter().any(|s| !s.alternative && s.objects < s.waits);
    match kind.waits {
        WaitClass::Unknown => (["task of unknown state", "tasks of unknown state"], steady),
        WaitClass::Nothing => (["running task", "running tasks"], "they run or want to run".to_owned()),
        WaitClass::Timer | WaitClass::Sleep => {
            (["timer", "timers"], format!("they wait for time to pass; {steady}"))
        }
        WaitClass::Range | WaitClass::Receive | WaitClass::Select if shared() => {
            (["pool worker", "pool workers"], format!("they wait for work on one channel; {steady}"))
        }
        _ => (OTHERS, format!("{steady}, and nothing else speaks against them")),
    }
}

/// What was seen of those that do not become more, and for how long.
fn steady(context: &Context<'_>) -> String {
    match context.watched_ns() {
        // Readings that come on time are a little late.
        Some(ns) => {
            format!("they did not become more while watched ({})", time(ns.saturating_add(100_000_000)))
        }
        None => "they did not become more while watched".to_owned(),
    }
}
