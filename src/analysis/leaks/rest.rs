//! Tasks that are not a finding: healthy ones, and undecided ones.
//!
//! Tasks are healthy if they are well known to be parked, or were watched for long enough to show that they do
//! not grow. All others are undecided, with the reason; they are never called healthy.

use std::cmp::Reverse;

use rustc_hash::FxHashSet;

use super::context::{Context, noun};
use super::evidence::{Doubt, RestName, Steady, Why};
use super::finding::Rest;
use super::rules::outliving;
use super::task_group::TaskGroup;
use crate::snapshot::{Begins, WaitClass};

/// One reading does not show that this many running or runnable tasks are healthy.
const BUSY: u64 = 1_000;

/// The undecided and the healthy tasks, by kind and reason, the largest number first.
pub(super) fn classify(context: &Context<'_>, found: &FxHashSet<usize>) -> (Vec<Rest>, Vec<Rest>) {
    let (mut undecided, mut healthy) = (Vec::new(), Vec::new());
    let staying = outliving::undecided(context);
    for (nth, kind) in context.kinds.iter().enumerate() {
        if found.contains(&nth) || kind.left_out.is_some() {
            continue;
        }
        let (name, why) = class(context, kind);
        let doubt = doubt(kind).or_else(|| staying.get(&nth).cloned());
        match doubt {
            Some(doubt) => {
                let name = if name == RestName::Other { place(context, kind) } else { name };
                add(&mut undecided, kind, name, Why::Undecided(doubt));
            }
            None => add(&mut healthy, kind, name, why),
        }
    }
    for rest in [&mut undecided, &mut healthy] {
        // Tasks without a name of their own come last.
        rest.sort_by_key(|one| (one.name == RestName::Other, Reverse(one.count)));
    }
    (undecided, healthy)
}

fn add(rest: &mut Vec<Rest>, kind: &TaskGroup<'_>, name: RestName, why: Why) {
    match rest.iter_mut().find(|other| other.name == name && other.why == why) {
        Some(other) => other.count = other.count.saturating_add(kind.count()),
        None => rest.push(Rest { name, why, count: kind.count() }),
    }
}

/// Why it is undecided whether these are healthy. None if they are, as far as the series shows.
fn doubt(kind: &TaskGroup<'_>) -> Option<Doubt> {
    let few_by_nature = kind.known.is_some_and(|known| !known.grows) || started_by_init(kind);
    let works = kind.waits == WaitClass::Nothing && kind.count() < BUSY;
    kind.doubt.clone().filter(|_| !few_by_nature && !works)
}

fn place(context: &Context<'_>, kind: &TaskGroup<'_>) -> RestName {
    RestName::Place {
        noun: noun(context, &[kind]),
        doing: kind.what.clone(),
        function: kind.at.map(|at| at.function.to_string()).unwrap_or_default(),
    }
}

fn started_by_init(kind: &TaskGroup<'_>) -> bool {
    kind.signature.creator.as_ref().is_some_and(|creator| creator.role.begins == Begins::Package)
}

/// What these tasks are, and why they are not a finding.
fn class(context: &Context<'_>, kind: &TaskGroup<'_>) -> (RestName, Why) {
    if let Some(known) = kind.known {
        return (RestName::Known(known.names), Why::UsuallyParked(known.why));
    }
    let steady = kind.calm.unwrap_or(Steady::NotGrowing { watched_ns: context.watched_ns() });
    if started_by_init(kind) {
        return (RestName::OfInit, Why::StartedOnce((!context.is_short()).then_some(steady)));
    }
    let shared = || context.summaries(kind).iter().any(|s| !s.alternative && s.objects < s.waits);
    match kind.waits {
        WaitClass::Unknown => (RestName::UnknownState, Why::Number(steady)),
        WaitClass::Nothing => (RestName::Running, Why::Runnable),
        WaitClass::Timer | WaitClass::Sleep => (RestName::Timer, Why::Timers(steady)),
        WaitClass::Range | WaitClass::Receive | WaitClass::Select if shared() => {
            (RestName::PoolWorker, Why::Pool(steady))
        }
        _ => (RestName::Other, Why::NoOtherSign(steady)),
    }
}
