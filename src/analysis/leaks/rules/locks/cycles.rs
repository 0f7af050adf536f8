//! Deadlocks: tasks that are known to wait for each other.
//!
//! The holders in one snapshot were seen at one moment, so a cycle of them is no coincidence: none of its tasks
//! can go on unless an outside task unlocks a lock that it does not hold.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::Claim;
use super::Study;
use super::describe::{holder, lock_name, place, task_name};
use super::graph::{Cycle, Step};
use crate::analysis::leaks::evidence::{Cause, CycleStep, Evidence, LockEvidence, LockUse};
use crate::analysis::leaks::finding::{Holder, Sureness};
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::HoldKind;
use crate::snapshot::WaitClass;

/// At most this many tasks of a cycle are named.
const NAMED: usize = 4;

/// A claim for each set of groups whose tasks wait for each other.
pub(super) fn claims(study: &Study<'_, '_>) -> Vec<Claim> {
    let cycles = study.graph.cycles();
    let mut alike: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (nth, cycle) in cycles.iter().enumerate() {
        // A guard that was left in a variable makes a cycle that is none: it has to last.
        if cycle.is_guessed() && !study.all_seen_long(cycle.tasks.iter().copied()) {
            continue;
        }
        let mut kinds = kinds_of(study, cycle);
        kinds.sort_unstable();
        if !kinds.is_empty() {
            alike.entry(kinds).or_default().push(nth);
        }
    }
    let mut blocked: Vec<Vec<u32>> = vec![Vec::new(); cycles.len()];
    for (task, cycle) in study.graph.stuck() {
        blocked.get_mut(cycle).into_iter().for_each(|list| list.push(task));
    }
    let mut claims: Vec<(usize, Claim)> = (alike.into_values())
        .filter_map(|same| {
            let all: Vec<(&Cycle, &[u32])> = (same.iter())
                .filter_map(|&nth| Some((cycles.get(nth)?, blocked.get(nth)?.as_slice())))
                .collect();
            Some((*same.first()?, claim(study, &all)?))
        })
        .collect();
    claims.sort_by_key(|(first, _)| *first);
    claims.into_iter().map(|(_, claim)| claim).collect()
}

/// The groups of its tasks that are not left out, groups of named tasks first. A proof about some of the tasks
/// must not be extended to the others.
fn kinds_of(study: &Study<'_, '_>, cycle: &Cycle) -> Vec<usize> {
    let tasks = cycle.steps.iter().map(|step| &step.task).chain(&cycle.tasks);
    let mut seen = FxHashSet::default();
    let kinds: Vec<usize> =
        tasks.filter_map(|&task| study.open_kind_of(task)).filter(|&kind| seen.insert(kind)).collect();
    let (proven, others): (Vec<usize>, Vec<usize>) =
        kinds.into_iter().partition(|&kind| is_proven(study, kind));
    if others.is_empty() { proven } else { others }
}

fn is_proven(study: &Study<'_, '_>, kind: usize) -> bool {
    study.context.kinds.get(kind).is_some_and(|kind| kind.waits.never_ends())
}

fn claim(study: &Study<'_, '_>, cycles: &[(&Cycle, &[u32])]) -> Option<Claim> {
    let (first, _) = cycles.first()?;
    let shape = Shape::of(first);
    let mut because = vec![shape.evidence(study, first)?];
    if let [_, others @ ..] = cycles
        && !others.is_empty()
    {
        let tasks = others.iter().map(|(cycle, _)| cycle.tasks.len() as u64).sum();
        because.push(LockEvidence::MoreCycles { cycles: others.len() as u64, tasks });
    }
    let inside: usize = cycles.iter().map(|(cycle, _)| cycle.tasks.len()).sum();
    let blocked: usize = cycles.iter().map(|(_, blocked)| blocked.len()).sum();
    let unnamed = first.tasks.len().saturating_sub(first.steps.len()) + blocked.saturating_sub(inside);
    let tasks = unnamed as u64;
    because.extend((tasks > 0).then_some(LockEvidence::AlsoWait { tasks }));
    let standing = cycles.iter().flat_map(|(cycle, _)| &cycle.tasks).map(|&task| study.standing_ns(task));
    let at_least_ns = standing.max().unwrap_or(0);
    because.extend((at_least_ns > 0).then_some(LockEvidence::LongestWait { at_least_ns }));
    let is_guessed = cycles.iter().any(|(cycle, _)| cycle.is_guessed());
    if is_guessed {
        let seen = cycles.iter().flat_map(|(cycle, _)| &cycle.tasks).map(|&task| study.seen_ns(task));
        because.push(LockEvidence::SeenWaiting { at_least_ns: seen.min().unwrap_or(0) });
    }
    let mut kinds = kinds_of(study, first);
    kinds.extend(cycles.iter().flat_map(|(cycle, _)| kinds_of(study, cycle)));
    if !kinds.iter().any(|&kind| is_proven(study, kind)) {
        kinds.extend(waiting_kinds(study, cycles));
    }
    let mut seen = FxHashSet::default();
    kinds.retain(|&kind| seen.insert(kind));
    let mut holders: Vec<Holder> = first
        .steps
        .iter()
        .filter_map(|step| holder(study, step.lock, step.held.as_ref()?))
        .take(NAMED)
        .collect();
    holders.sort_by_key(|holder| holder.task.id);
    holders.iter_mut().for_each(|holder| holder.deadlocked = true);
    let because = because.into_iter().map(Evidence::Lock).collect();
    let (sureness, cause) = match is_guessed {
        // A single guard may be one that was dropped; several that fit together are no coincidence.
        true if first.tasks.len() == 1 || study.context.is_short() => {
            (Sureness::Suspect, Cause::LockOrderGuessed)
        }
        true => (Sureness::Likely, Cause::LockOrderGuessed),
        false => (Sureness::Stuck, shape.cause()),
    };
    Some(Claim { kinds, holders, ..Claim::of(0, sureness, because) }.meaning(cause))
}

/// Groups whose tasks mostly wait for locks of these cycles: the same cycles block them.
fn waiting_kinds(study: &Study<'_, '_>, cycles: &[(&Cycle, &[u32])]) -> Vec<usize> {
    let mut counts: FxHashMap<usize, u64> = FxHashMap::default();
    for &task in cycles.iter().flat_map(|(_, blocked)| *blocked) {
        if let Some(kind) = study.open_kind_of(task) {
            *counts.entry(kind).or_default() += 1;
        }
    }
    let most = |&(nth, count): &(usize, u64)| {
        let kind = study.context.kinds.get(nth);
        kind.is_some_and(|kind| kind.waits == WaitClass::Lock && 2 * count > kind.count())
    };
    let mut kinds: Vec<(usize, u64)> = counts.into_iter().filter(most).collect();
    kinds.sort_by_key(|&(kind, count)| (Reverse(count), kind));
    kinds.into_iter().map(|(kind, _)| kind).collect()
}

/// What kind of mistake a cycle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A task locks twice.
    Twice,
    /// It holds a lock for reading and wants to write.
    Upgrade,
    /// It reads twice, and the writer at this step came in between.
    ReadTwice(usize),
    /// Several tasks, several locks.
    Order,
}

impl Shape {
    fn of(cycle: &Cycle) -> Self {
        let shared = |step: &Step| step.held.is_some_and(|held| held.how == HoldKind::Shared);
        match cycle.steps.as_slice() {
            [step] if shared(step) => Shape::Upgrade,
            [_] => Shape::Twice,
            [a, b] if a.lock == b.lock && a.reads && shared(b) => Shape::ReadTwice(1),
            [a, b] if a.lock == b.lock && b.reads && shared(a) => Shape::ReadTwice(0),
            _ => Shape::Order,
        }
    }

    fn evidence(self, study: &Study<'_, '_>, cycle: &Cycle) -> Option<LockEvidence> {
        match (self, cycle.steps.as_slice()) {
            (Shape::Twice | Shape::Upgrade, [step]) => self_wait(study, step),
            (Shape::ReadTwice(1), [reader, writer]) => read_twice(study, reader, writer),
            (Shape::ReadTwice(_), [writer, reader]) => read_twice(study, reader, writer),
            (_, steps) => Some(LockEvidence::Cycle {
                steps: (steps.iter().zip(steps.iter().cycle().skip(1)).take(NAMED))
                    .filter_map(|(step, next)| cycle_step(study, step, next.task))
                    .collect(),
                more_tasks: steps.len().saturating_sub(NAMED) as u64,
            }),
        }
    }

    fn cause(self) -> Cause {
        match self {
            Shape::Twice => Cause::LockedTwice,
            Shape::Upgrade => Cause::LockUpgrade,
            Shape::ReadTwice(_) => Cause::ReadLockedTwice,
            Shape::Order => Cause::LockOrder,
        }
    }
}

fn wants(step: &Step) -> LockUse {
    if step.reads { LockUse::Shared } else { LockUse::Exclusive }
}

fn held(step: &Step) -> Option<LockUse> {
    step.held.map(|held| match held.how {
        HoldKind::Shared => LockUse::Shared,
        HoldKind::Perhaps => LockUse::Perhaps,
        HoldKind::Exclusive => LockUse::Exclusive,
    })
}

/// The place from which the next task will unlock the lock, if known.
fn unlocks(study: &Study<'_, '_>, step: &Step) -> Option<SignatureFrame> {
    place(study.context.snapshot, step.held?.location?)
}

fn cycle_step(study: &Study<'_, '_>, step: &Step, next: u32) -> Option<CycleStep> {
    Some(CycleStep {
        task: task_name(study, step.task),
        lock: lock_name(study, step.lock)?,
        wants: wants(step),
        next: task_name(study, next),
        held: held(step),
    })
}

/// A task waits for a lock that it holds.
fn self_wait(study: &Study<'_, '_>, step: &Step) -> Option<LockEvidence> {
    Some(LockEvidence::SelfWait {
        task: task_name(study, step.task),
        lock: lock_name(study, step.lock)?,
        wants: wants(step),
        held: held(step).unwrap_or(LockUse::Exclusive),
        unlocks: unlocks(study, step),
    })
}

/// A task waits behind a writer to read a lock that it already holds for reading.
fn read_twice(study: &Study<'_, '_>, reader: &Step, writer: &Step) -> Option<LockEvidence> {
    Some(LockEvidence::ReadTwice {
        task: task_name(study, reader.task),
        lock: lock_name(study, reader.lock)?,
        unlocks: unlocks(study, writer),
        writer: task_name(study, writer.task),
    })
}
