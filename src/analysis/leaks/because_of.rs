//! Which finding keeps the tasks of another one waiting.
//!
//! The graph of waits leads from the tasks of a finding to those that they wait for. If nearly all of them end at the
//! tasks of one other finding, or at one task, both are one story. No finding is changed by that: it keeps its rules
//! and its evidence. Where the graph only guesses, where one of several tasks might act, and where not every task was
//! examined, nothing is joined.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::context::Context;
use super::finding::{BecauseOf, Culprit, Doing, Finding};
use super::naming::doing;
use crate::analysis::why::{EdgeKind, Graph, Node, NodeId, SeenProcess, System};
use crate::snapshot::{Certainty, HoldKind, LockState, ObjectKind, TaskState, WaitClass};

/// Chains are followed for at most this many nodes.
const DEEPEST: u32 = 128;
/// All tasks of a finding but one in this many have to wait for the same.
const REST: u64 = 10;

/// Where a way through the graph ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    /// At a task of this finding.
    Finding(usize),
    /// At this task, which is in no finding.
    Task(NodeId),
    /// It is not known, or several tasks could end the wait.
    Unclear,
}

/// Says of each finding what it is because of, and puts those of one story together: first what the others wait for.
/// The findings come with their groups.
pub(super) fn join(context: &Context<'_>, mut found: Vec<(Finding, Vec<usize>)>) -> Vec<Finding> {
    let snapshot = context.snapshot;
    let known = !snapshot.links.actors.is_empty() || snapshot.tasks.iter().any(|task| !task.holds.is_empty());
    let Some(first) = context.series.last_shared().filter(|_| known && !found.is_empty()) else {
        return found.into_iter().map(|(finding, _)| finding).collect();
    };
    let seen = SeenProcess { pid: 0, name: String::new(), first: Arc::clone(first), second: None };
    let system = System { processes: vec![seen], ..System::default() };
    let graph = Graph::new(&system);
    let mut findings: FxHashMap<u32, usize> = FxHashMap::default();
    for (nth, (_, kinds)) in found.iter().enumerate() {
        let tasks = kinds.iter().filter_map(|&kind| context.kinds.get(kind)).flat_map(|kind| &kind.tasks);
        findings.extend(tasks.map(|&task| (task, nth)));
    }
    let because: Vec<Option<BecauseOf>> = (found.iter().enumerate())
        .map(|(own, (finding, kinds))| {
            let mut walk = Walk { graph: &graph, findings: &findings, own, ends: FxHashMap::default() };
            let (end, tasks) = walk.end_of(context, finding, kinds)?;
            let culprit = match end {
                End::Finding(nth) => Culprit::Finding(nth),
                End::Task(node) => Culprit::Task(task(context, &graph, node, finding)?),
                End::Unclear => return None,
            };
            Some(BecauseOf { tasks, culprit })
        })
        .collect();
    for ((finding, _), because) in found.iter_mut().zip(because) {
        finding.because_of = because;
    }
    in_stories(found.into_iter().map(|(finding, _)| finding).collect())
}

/// The task at the end of the ways, as a finding names it. None if it may have gone on meanwhile, or if the finding
/// names it already as the holder of a lock.
fn task(context: &Context<'_>, graph: &Graph<'_>, node: NodeId, finding: &Finding) -> Option<Doing> {
    let Some(Node::Task { row, .. }) = graph.node(node) else { return None };
    let member = context.series.members().iter().find(|member| member.task == row);
    let stands = context.standing_ns(row, member);
    let watched = context.watched_ns().unwrap_or(u64::MAX);
    if stands < context.options.min_age_ns.min(watched) {
        return None;
    }
    let kind = context.kinds.iter().find(|kind| kind.tasks.contains(&row));
    let doing = doing(context, row, member, kind)?;
    let same = |other: &Doing| (other.id, other.address) == (doing.id, doing.address);
    let is_named = finding
        .holders
        .iter()
        .any(|holder| same(&holder.task) || holder.chain.as_ref().is_some_and(|(_, end)| same(end)));
    (!is_named).then_some(doing)
}

/// Follows the waits of the tasks of one finding.
struct Walk<'w, 'a> {
    graph: &'w Graph<'a>,
    /// Tasks and the findings that they are in.
    findings: &'w FxHashMap<u32, usize>,
    own: usize,
    /// Where the ways from each node end. Unclear as long as they are followed.
    ends: FxHashMap<NodeId, End>,
}

impl Walk<'_, '_> {
    /// Where nearly all tasks of the finding end, and how many these are.
    fn end_of(&mut self, context: &Context<'_>, finding: &Finding, kinds: &[usize]) -> Option<(End, u64)> {
        let mut counts: FxHashMap<End, u64> = FxHashMap::default();
        for &row in kinds.iter().filter_map(|&kind| context.kinds.get(kind)).flat_map(|kind| &kind.tasks) {
            let (Some(node), Some(task)) = (self.graph.task_node(0, row), context.task(row)) else {
                continue;
            };
            let end = self.follow(node, 0);
            // A task that ends at itself waits for nothing that is known.
            if end != End::Unclear && end != End::Task(node) {
                *counts.entry(end).or_default() += task.count();
            }
        }
        let (end, tasks) = counts.into_iter().max_by_key(|&(_, tasks)| tasks)?;
        (tasks >= finding.now - finding.now / REST).then_some((end, tasks))
    }

    /// Where the ways from a node end.
    fn follow(&mut self, node: NodeId, depth: u32) -> End {
        if let Some(&end) = self.ends.get(&node) {
            return end;
        }
        if depth >= DEEPEST {
            return End::Unclear;
        }
        self.ends.insert(node, End::Unclear);
        let end = match self.graph.node(node) {
            Some(Node::Task { row, .. }) => match self.findings.get(&row) {
                Some(&finding) if finding != self.own => End::Finding(finding),
                _ => self.task(node, depth),
            },
            Some(Node::Object { .. }) => self.object(node, depth),
            _ => End::Unclear,
        };
        self.ends.insert(node, end);
        end
    }

    /// A task that waits for nothing inside the program is an end. One that waits for several things goes on with any
    /// of them.
    fn task(&mut self, node: NodeId, depth: u32) -> End {
        let graph = self.graph;
        let Some((_, task)) = graph.task(node) else { return End::Unclear };
        let outside = |to: NodeId| match graph.node(to) {
            Some(Node::Object { .. }) => graph.kind_of(to) == Some(ObjectKind::Timer),
            Some(Node::Task { .. }) | None => false,
            _ => true,
        };
        match graph.edges_of(node) {
            _ if task.system => End::Unclear,
            [] if is_end(task.state, task.wait_class) => End::Task(node),
            [only] if outside(only.to) => End::Task(node),
            // Whatever it waits for itself: the others wait for it.
            edges => match self.same(edges.iter().map(|edge| edge.to), depth) {
                End::Unclear => End::Task(node),
                end => end,
            },
        }
    }

    fn object(&mut self, node: NodeId, depth: u32) -> End {
        let graph = self.graph;
        let Some((_, _, what)) = graph.object(node) else { return End::Unclear };
        let edges = || graph.edges_of(node).iter().filter(|edge| edge.certainty < Certainty::Perhaps);
        // Time will end the wait.
        if edges().any(|edge| matches!(edge.kind, EdgeKind::Fires | EdgeKind::Deadline)) {
            return End::Unclear;
        }
        let acting = edges().count() as u64;
        match (what.kind, what.lock) {
            (ObjectKind::Mutex | ObjectKind::RwMutex, Some(LockState::Free)) => return End::Unclear,
            (ObjectKind::Mutex | ObjectKind::RwMutex, _) => {}
            (ObjectKind::Channel | ObjectKind::WaitGroup | ObjectKind::Cond, _) => {
                let searched = graph.searched(node);
                let whole = searched.is_some_and(|how| how.all_tasks && how.other_roots && !how.is_global);
                // If the calls that are outstanding are those of known tasks, no other task has one to make.
                let sure = || edges().filter(|edge| edge.certainty == Certainty::Sure).count() as u64;
                let all_known =
                    matches!(what.lock, Some(LockState::Outstanding(n)) if sure() == u64::from(n));
                if !(whole || all_known) || what.channel.is_some_and(|channel| channel.closed) {
                    return End::Unclear;
                }
            }
            _ => return End::Unclear,
        }
        let is_reader = |kind: EdgeKind| kind == EdgeKind::Held(HoldKind::Shared);
        let all_needed = match what.lock {
            Some(LockState::Outstanding(n)) => acting <= n.into(),
            Some(LockState::Shared(n)) => acting <= n.into() && edges().all(|edge| is_reader(edge.kind)),
            _ => false,
        };
        let to: Vec<NodeId> = edges().map(|edge| edge.to).collect();
        if !all_needed {
            return self.same(to.into_iter(), depth);
        }
        // Each of them has to act: one that does not is enough.
        let ends: Vec<End> = to.into_iter().map(|to| self.follow(to, depth + 1)).collect();
        one(ends.iter().copied().filter(|end| matches!(end, End::Finding(_))))
            .or_else(|| one(ends.iter().copied()))
            .unwrap_or(End::Unclear)
    }

    /// Where all of these ways end, if it is the same.
    fn same(&mut self, to: impl Iterator<Item = NodeId>, depth: u32) -> End {
        let ends: Vec<End> = to.map(|to| self.follow(to, depth + 1)).collect();
        one(ends.into_iter()).unwrap_or(End::Unclear)
    }
}

/// The end that all of these are.
fn one(mut ends: impl Iterator<Item = End>) -> Option<End> {
    let first = ends.next()?;
    ends.all(|end| end == first).then_some(first)
}

/// Whether it is known of a task without known waits that it waits for no other task.
fn is_end(state: TaskState, waits: WaitClass) -> bool {
    use WaitClass::{Accept, Call, Io, Network, NilChannel, NoCases, Sleep};
    matches!(state, TaskState::Running | TaskState::Syscall)
        || matches!(waits, Accept | Call | Io | Network | Sleep | NilChannel | NoCases)
}

/// The findings in the order in which they are read: the stories by their first finding, and in each story what is
/// waited for before those that wait for it.
fn in_stories(findings: Vec<Finding>) -> Vec<Finding> {
    let below = |nth: usize| match findings.get(nth)?.because_of.as_ref()?.culprit {
        Culprit::Finding(to) => Some(to),
        Culprit::Task(_) => None,
    };
    let task = |nth: usize| match &findings.get(nth)?.because_of.as_ref()?.culprit {
        Culprit::Task(doing) => Some((doing.id, doing.address)),
        Culprit::Finding(_) => None,
    };
    // What each leads to in the end. Findings that wait for each other have no end: any of them will do.
    let root = |nth: usize| {
        let mut at = nth;
        for _ in 0..findings.len() {
            let Some(to) = below(at) else { break };
            at = to;
        }
        at
    };
    let mut order: Vec<usize> = Vec::new();
    let mut placed = vec![false; findings.len()];
    let is_placed = |placed: &[bool], nth: usize| placed.get(nth).copied().unwrap_or(true);
    for nth in 0..findings.len() {
        if is_placed(&placed, nth) {
            continue;
        }
        // All whose story ends at the same finding, or at the same task.
        let end = root(nth);
        let roots: Vec<usize> = (0..findings.len())
            .filter(|&other| other == end || task(end).is_some() && task(other) == task(end))
            .collect();
        let mut visits: Vec<usize> = roots.into_iter().rev().collect();
        while let Some(at) = visits.pop() {
            if is_placed(&placed, at) {
                continue;
            }
            placed.iter_mut().skip(at).take(1).for_each(|placed| *placed = true);
            order.push(at);
            visits.extend((0..findings.len()).rev().filter(|&other| below(other) == Some(at)));
        }
    }
    let mut moved = vec![0; findings.len()];
    for (now, &before) in order.iter().enumerate() {
        moved.iter_mut().skip(before).take(1).for_each(|to| *to = now);
    }
    let mut findings: Vec<Option<Finding>> = findings.into_iter().map(Some).collect();
    let mut sorted: Vec<Finding> =
        order.iter().filter_map(|&nth| findings.get_mut(nth).and_then(Option::take)).collect();
    for finding in &mut sorted {
        if let Some(BecauseOf { culprit: Culprit::Finding(to), .. }) = &mut finding.because_of {
            *to = moved.get(*to).copied().unwrap_or(*to);
        }
    }
    sorted
}
