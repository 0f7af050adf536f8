//! Which findings are about tasks that only wait for the tasks of another finding.

use rustc_hash::FxHashMap;

use super::context::Context;
use super::finding::Finding;
use crate::snapshot::{By, Certainty, HoldKind, ObjectId};

/// A finding, and the kinds of tasks that it is about.
pub(super) type Found = (Finding, Vec<usize>);

/// A finding whose tasks wait for the tasks of another finding, and for nothing else, becomes part of that one: there
/// is one cause. Only what is at least likely counts, and a finding never joins a less sure one, so that no verdict
/// becomes surer and none is hidden.
pub(super) fn join(context: &Context<'_>, found: Vec<Found>) -> Vec<Finding> {
    let leads_to = leads_to(context);
    let mut by_kind: FxHashMap<usize, usize> = FxHashMap::default();
    for (nth, (_, kinds)) in found.iter().enumerate() {
        by_kind.extend(kinds.iter().map(|&kind| (kind, nth)));
    }
    // The finding that all kinds of a finding lead to.
    let next: Vec<Option<usize>> = (found.iter().enumerate())
        .map(|(nth, (finding, kinds))| {
            let mut targets =
                kinds.iter().map(|&kind| by_kind.get(&leads_to.get(kind).copied().flatten()?).copied());
            let first = targets.next().flatten()?;
            let one = targets.all(|target| target == Some(first));
            let sure = found.get(first).is_some_and(|(other, _)| other.sureness >= finding.sureness);
            (one && sure && first != nth).then_some(first)
        })
        .collect();
    // Where each one ends up. Findings that lead to each other stay apart.
    let end = |from: usize| {
        let mut at = from;
        for _ in 0..found.len() {
            match next.get(at).copied().flatten() {
                Some(to) => at = to,
                None => return at,
            }
        }
        from
    };
    let ends: Vec<usize> = (0..found.len()).map(end).collect();
    let mut findings: Vec<Option<Finding>> = found.into_iter().map(|(finding, _)| Some(finding)).collect();
    for (nth, &to) in ends.iter().enumerate().filter(|(nth, to)| nth != *to) {
        // One that waits in a cycle leads to itself.
        let Some(dependent) = findings.get_mut(nth).and_then(Option::take) else { continue };
        if let Some(Some(finding)) = findings.get_mut(to) {
            finding.dependents.extend(dependent.parts);
        }
    }
    findings.into_iter().flatten().collect()
}

/// For each kind of tasks the kind that all of them wait for.
fn leads_to(context: &Context<'_>) -> Vec<Option<usize>> {
    let snapshot = context.snapshot;
    let mut kind_of: FxHashMap<u32, usize> = FxHashMap::default();
    for (nth, kind) in context.kinds.iter().enumerate() {
        kind_of.extend(kind.tasks.iter().map(|&task| (task, nth)));
    }
    // The kinds of those that surely hold an object or are likely to act on it.
    let mut actors: FxHashMap<ObjectId, Option<usize>> = FxHashMap::default();
    let mut note = |object: ObjectId, task: u32| {
        let kind = kind_of.get(&task).copied();
        let known = actors.entry(object).or_insert(kind);
        if *known != kind {
            *known = None;
        }
    };
    for (row, task) in (0..).zip(&snapshot.tasks) {
        let sure = snapshot.holds_of(task).iter().filter(|hold| hold.how != HoldKind::Perhaps);
        sure.for_each(|hold| note(hold.object, row));
    }
    for actor in snapshot.links.actors.iter().filter(|actor| actor.certainty < Certainty::Perhaps) {
        // A timer that will act is no task that has to.
        let By::Task(row) = actor.by else { continue };
        note(actor.object, row);
    }
    let leads = |nth: usize, tasks: &[u32]| {
        let mut targets = tasks.iter().map(|&row| {
            let task = snapshot.tasks.get(row as usize)?;
            let [wait] = snapshot.waits_of(task) else { return None };
            actors.get(&wait.object).copied().flatten()
        });
        let first = targets.next().flatten()?;
        (first != nth && targets.all(|target| target == Some(first))).then_some(first)
    };
    context.kinds.iter().enumerate().map(|(nth, kind)| leads(nth, &kind.tasks)).collect()
}
