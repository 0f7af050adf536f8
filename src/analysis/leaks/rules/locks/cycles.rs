//! Tasks that are known to wait for each other, in words.
//!
//! The holders of one snapshot were seen at one moment, so that a ring of them is no chance: nobody in it can
//! go on unless somebody outside unlocks what is not theirs.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::{Claim, many, time};
use super::Study;
use super::describe::{function, holder, lock_name, number, place, place_name, task_name};
use super::graph::{Cycle, Step};
use crate::analysis::leaks::finding::{Holder, Sureness};
use crate::snapshot::HoldKind;
use crate::snapshot::WaitClass;

/// Tasks of a ring that are named.
const NAMED: usize = 4;

/// A finding for each set of kinds of tasks that wait for each other.
pub(super) fn claims(study: &Study<'_, '_>) -> Vec<Claim> {
    let rings = study.graph.rings();
    let mut alike: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (nth, ring) in rings.iter().enumerate() {
        let mut kinds = kinds_of(study, ring);
        kinds.sort_unstable();
        if !kinds.is_empty() {
            alike.entry(kinds).or_default().push(nth);
        }
    }
    let mut blocked: Vec<Vec<u32>> = vec![Vec::new(); rings.len()];
    for (task, ring) in study.graph.stuck() {
        blocked.get_mut(ring).into_iter().for_each(|list| list.push(task));
    }
    let mut claims: Vec<(usize, Claim)> = (alike.into_values())
        .filter_map(|same| {
            let all: Vec<(&Cycle, &[u32])> = (same.iter())
                .filter_map(|&nth| Some((rings.get(nth)?, blocked.get(nth)?.as_slice())))
                .collect();
            Some((*same.first()?, claim(study, &all)?))
        })
        .collect();
    claims.sort_by_key(|(first, _)| *first);
    claims.into_iter().map(|(_, claim)| claim).collect()
}

/// The kinds of its tasks that the user wants to hear of, those that are named first. What is proven of some
/// of them must not be said of the others.
fn kinds_of(study: &Study<'_, '_>, ring: &Cycle) -> Vec<usize> {
    let tasks = ring.steps.iter().map(|step| &step.task).chain(&ring.tasks);
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

fn claim(study: &Study<'_, '_>, rings: &[(&Cycle, &[u32])]) -> Option<Claim> {
    let (first, _) = rings.first()?;
    let shape = Shape::of(first);
    let mut because = shape.words(study, first);
    if let [_, others @ ..] = rings
        && !others.is_empty()
    {
        let tasks = others.iter().map(|(ring, _)| ring.tasks.len() as u64).sum();
        because.push(format!(
            "in the same way {} in {}",
            are_stuck(tasks),
            many(others.len() as u64, "more ring")
        ));
    }
    let inside: usize = rings.iter().map(|(ring, _)| ring.tasks.len()).sum();
    let blocked: usize = rings.iter().map(|(_, blocked)| blocked.len()).sum();
    let unnamed = first.tasks.len().saturating_sub(first.steps.len()) + blocked.saturating_sub(inside);
    let unnamed = unnamed as u64;
    let s = if unnamed == 1 { "s" } else { "" };
    because.extend((unnamed > 0).then(|| format!("{} wait{s} for these locks", many(unnamed, "more task"))));
    let standing = rings.iter().flat_map(|(ring, _)| &ring.tasks).map(|&task| study.standing_ns(task));
    let standing = standing.max().unwrap_or(0);
    because.extend(
        (standing > 0).then(|| format!("the first of them has stood still for at least {}", time(standing))),
    );
    let mut kinds = kinds_of(study, first);
    kinds.extend(rings.iter().flat_map(|(ring, _)| kinds_of(study, ring)));
    if !kinds.iter().any(|&kind| is_proven(study, kind)) {
        kinds.extend(waiting_kinds(study, rings));
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
    let (cause, next) = shape.meaning();
    Some(Claim { kinds, holders, ..Claim::of(0, Sureness::Stuck, because) }.meaning(cause, next))
}

fn are_stuck(tasks: u64) -> String {
    if tasks == 1 { "1 other task waits".to_owned() } else { format!("{} wait", many(tasks, "other task")) }
}

/// Kinds of tasks most of which wait for locks of these rings: what keeps them is the same.
fn waiting_kinds(study: &Study<'_, '_>, rings: &[(&Cycle, &[u32])]) -> Vec<usize> {
    let mut counts: FxHashMap<usize, u64> = FxHashMap::default();
    for &task in rings.iter().flat_map(|(_, blocked)| *blocked) {
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

/// What kind of mistake a ring is.
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
    fn of(ring: &Cycle) -> Self {
        let shared = |step: &Step| step.held.is_some_and(|held| held.how == HoldKind::Shared);
        match ring.steps.as_slice() {
            [step] if shared(step) => Shape::Upgrade,
            [_] => Shape::Twice,
            [a, b] if a.lock == b.lock && a.reads && shared(b) => Shape::ReadTwice(1),
            [a, b] if a.lock == b.lock && b.reads && shared(a) => Shape::ReadTwice(0),
            _ => Shape::Order,
        }
    }

    fn words(self, study: &Study<'_, '_>, ring: &Cycle) -> Vec<String> {
        let (steps, mut names) = (ring.steps.as_slice(), Names { study, named: FxHashSet::default() });
        match (self, steps) {
            (Shape::Twice | Shape::Upgrade, [step]) => vec![alone(study, step)],
            (Shape::ReadTwice(1), [reader, writer]) => vec![read_twice(study, reader, writer)],
            (Shape::ReadTwice(_), [writer, reader]) => vec![read_twice(study, reader, writer)],
            _ => {
                let next = steps.iter().cycle().skip(1);
                let clauses = steps.iter().zip(next).take(NAMED);
                let mut clauses: Vec<String> = clauses.map(|(a, b)| names.clause(a, b.task)).collect();
                if let left @ 1.. = steps.len().saturating_sub(NAMED) {
                    clauses.push(format!(
                        "and so on over {}, back to the first",
                        many(left as u64, "more task")
                    ));
                }
                clauses
            }
        }
    }

    fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Shape::Twice => (
                "a task waits for a lock that it holds itself: one path locks it twice",
                "never lock again what a caller holds: divide the function into one that locks and one that expects \
                 the lock to be held",
            ),
            Shape::Upgrade => (
                "a task holds a lock for reading and waits to lock it for writing: it waits for itself",
                "unlock for reading first, and look again at what was read once the lock is held for writing",
            ),
            Shape::ReadTwice(_) => (
                "a task locks for reading twice, and a writer came in between: a writer that waits holds back all new \
                 readers",
                "lock for reading once: never call with the lock held what locks it again",
            ),
            Shape::Order => (
                "they wait for each other: these locks are taken in different orders",
                "take locks in one order everywhere (by address or name), and never lock again what the caller holds",
            ),
        }
    }
}

/// Tasks are introduced once.
struct Names<'a, 's, 'b> {
    study: &'a Study<'s, 'b>,
    named: FxHashSet<u32>,
}

impl Names<'_, '_, '_> {
    /// "goroutine 18 (main.transfer)" for the first, "19 (main.transfer)" for others, then only "18".
    fn name(&mut self, task: u32) -> String {
        let name = if self.named.is_empty() { task_name(self.study, task) } else { number(self.study, task) };
        let function = function(self.study, task);
        if self.named.insert(task) && !function.is_empty() { format!("{name} ({function})") } else { name }
    }

    /// "goroutine 18 (main.f) waits for the mutex 0x10, which 19 (main.g) holds".
    fn clause(&mut self, step: &Step, next: u32) -> String {
        let known = self.named.contains(&step.task);
        let who = if known { number(self.study, step.task) } else { self.name(step.task) };
        let lock = lock_name(self.study, step.lock);
        let next = self.name(next);
        let verb = match (step.reads, step.held.map(|held| held.how)) {
            (true, _) => "to read-lock",
            (false, Some(HoldKind::Shared)) => "to lock",
            (false, _) => "for",
        };
        match step.held.map(|held| held.how) {
            None => format!("{who} waits {verb} {lock}, behind {next}, which waits to lock it"),
            Some(HoldKind::Shared) => format!("{who} waits {verb} {lock}, which {next} holds for reading"),
            Some(_) => format!("{who} waits {verb} {lock}, which {next} holds"),
        }
    }
}

/// "main.(*cache).Refresh cache.go:41 is to unlock it"; empty if the place is not known.
fn unlocks(study: &Study<'_, '_>, step: &Step) -> String {
    let location = step.held.and_then(|held| held.location);
    let place = location.and_then(|location| place(study.context.snapshot, location));
    place.map(|place| format!("{} is to unlock it", place_name(&place))).unwrap_or_default()
}

fn waits_in(study: &Study<'_, '_>, task: u32) -> String {
    let function = function(study, task);
    let inside = if function.is_empty() { String::new() } else { format!(" in {function}") };
    format!("{} waits{inside}", task_name(study, task))
}

/// A task waits for what it holds.
fn alone(study: &Study<'_, '_>, step: &Step) -> String {
    let verb = match (step.reads, step.held.map(|held| held.how)) {
        (true, _) => "to read-lock",
        (false, Some(HoldKind::Shared)) => "to lock",
        (false, _) => "for",
    };
    let reading =
        if step.held.is_some_and(|held| held.how == HoldKind::Shared) { " for reading" } else { "" };
    let unlocks = unlocks(study, step);
    let unlocks = if unlocks.is_empty() { unlocks } else { format!(": {unlocks}") };
    format!(
        "{} {verb} {} that it holds itself{reading}{unlocks}",
        waits_in(study, step.task),
        lock_name(study, step.lock)
    )
}

/// A task waits behind a writer for what it reads already.
fn read_twice(study: &Study<'_, '_>, reader: &Step, writer: &Step) -> String {
    let unlocks = unlocks(study, writer);
    let unlocks = if unlocks.is_empty() { unlocks } else { format!(" ({unlocks})") };
    let (first, other) = (number(study, reader.task), number(study, writer.task));
    let function = function(study, writer.task);
    let other = if function.is_empty() { other } else { format!("{other} ({function})") };
    format!(
        "{} to read-lock {} that it holds for reading already{unlocks}, behind {other}, which waits to lock it until \
         {first} unlocks",
        waits_in(study, reader.task),
        lock_name(study, reader.lock)
    )
}
