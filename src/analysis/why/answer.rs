//! What keeps whom waiting: all causes of a system, and how many tasks depend on each.

use std::cmp::Reverse;

use rustc_hash::{FxHashMap, FxHashSet};

use super::cause::{Cause, cause};
use super::chain::Chain;
use super::graph::{EdgeKind, Graph, Node, NodeId};
use super::system::System;
use crate::analysis::frames::{shown_frames, user_frame};
use crate::analysis::known::KnownTasks;
use crate::analysis::modules::Owners;
use crate::analysis::signature::{By, SignatureOptions, Signatures};
use crate::snapshot::{
    Age, Frame, FunctionId, ObjectKind, Snapshot, StackId, StrId, Task, TaskState, WaitOp,
};

/// The graph of a system, and the questions that it answers.
#[derive(Debug)]
pub struct Why<'a> {
    graph: Graph<'a>,
    /// Whose code is whose, for each process.
    owners: Vec<Owners>,
}

/// Every cause for which tasks wait.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The causes: the one that most tasks depend on first, of equals the oldest.
    pub causes: Vec<Found>,
    /// Tasks that wait for connections, timers or signals, as usual.
    pub usual: u64,
    /// Tasks that went on between the readings and keep nobody waiting.
    pub moving: u64,
    /// Tasks that wait, without the runtimes' own, in the processes that the question is about.
    pub waiting: u64,
}

/// A cause, and who depends on it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// The largest group of equal tasks, followed to the cause.
    pub chain: Chain,
    /// Tasks that depend on it, also through others.
    pub tasks: u64,
    /// How many equal causes there are, each with other tasks that depend on it.
    pub causes: u64,
    /// The longest time that one of the tasks waits.
    pub oldest: Age,
    /// The groups of equal tasks that depend on it, the largest first: how many, and one of them.
    pub groups: Vec<(u64, NodeId)>,
}

/// Where the first way from each node leads.
struct Ways {
    /// The last node of the way, or the least node of the cycle that it ends in.
    root: Vec<u32>,
    /// The last task on the way. [`NOBODY`] if there is none.
    last: Vec<u32>,
    /// Whether the root is that of a cycle.
    is_cycle: Vec<bool>,
}

const NOBODY: u32 = u32::MAX;
/// The chains of this many causes are followed.
const FOLLOWED: usize = 500;
/// Of equally large groups, this many are compared.
const ALIKE: usize = 4;

/// What equal tasks share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Alike {
    process: u32,
    place: Option<(FunctionId, u32)>,
    reason: Option<StrId>,
    wait: Option<(WaitOp, ObjectKind)>,
}

impl<'a> Why<'a> {
    /// Makes the graph of a system.
    pub fn new(system: &'a System) -> Self {
        let owners = system.processes.iter().map(|seen| Owners::new(&seen.first)).collect();
        Why { graph: Graph::new(system), owners }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph<'a> {
        &self.graph
    }

    /// The frame that the user looks for on the stack of a task.
    pub fn place(&self, task: NodeId) -> Option<Frame> {
        let (snapshot, what) = self.graph.task(task)?;
        let owners = self.owners.get(self.graph.process_of(task)? as usize)?;
        let shown = shown_frames(snapshot, snapshot.stack_of(what), false);
        user_frame(snapshot, owners, &shown).map(|shown| shown.frame)
    }

    /// Follows tasks of one process (rows of its first reading): one chain for each group of equal ones, the largest
    /// group first.
    pub fn of_tasks(&self, process: u32, rows: &[u32]) -> Vec<Chain> {
        let ways = self.ways();
        let mut places = Places::new(self);
        let mut groups: FxHashMap<(Alike, u32), Equal> = FxHashMap::default();
        for node in rows.iter().filter_map(|&row| self.graph.task_node(process, row)) {
            let Some((_, task)) = self.graph.task(node) else { continue };
            let alike = places.alike(node, task);
            let root = ways.last.get(node.index()).copied().unwrap_or(NOBODY);
            let end = if root == node.0 { NOBODY } else { root };
            groups.entry((alike, end)).or_insert(Equal::new(node)).add(&self.graph, node, task);
        }
        let mut groups: Vec<Equal> = groups.into_values().collect();
        groups.sort_by_key(|group| (Reverse(group.count), group.node));
        groups.iter().map(|group| group.chain(&self.graph)).collect()
    }

    /// Every cause of the system, and who depends on it.
    pub fn causes(&self) -> Answer {
        let ways = self.ways();
        let mut places = Places::new(self);
        let mut found: Vec<Gathered> = Vec::new();
        let mut by_key: FxHashMap<_, usize> = FxHashMap::default();
        let mut known: FxHashMap<NodeId, Cause> = FxHashMap::default();
        let mut waiting = 0_u64;
        for (node, task) in self.graph.tasks() {
            if task.system || !waits(task) {
                continue;
            }
            let asked = self.is_asked(node);
            if asked {
                waiting = waiting.saturating_add(task.count());
            }
            let root = NodeId(ways.root.get(node.index()).copied().unwrap_or(node.0));
            let is_cycle = ways.is_cycle.get(node.index()).copied().unwrap_or(false);
            let last = ways.last.get(node.index()).copied().filter(|&last| last != NOBODY);
            let last = last.map_or(node, NodeId);
            let kind = known.entry(root).or_insert_with(|| match is_cycle {
                true => self.cycle(root),
                // Times differ from task to task.
                false => match cause(&self.graph, root) {
                    Cause::Time(_) => Cause::SomeTime,
                    other => other,
                },
            });
            let of_last = self.graph.task(last).map(|(_, task)| places.alike(last, task));
            let key = (kind.clone(), of_last, if is_cycle { root.0 } else { 0 });
            let at = *by_key.entry(key.clone()).or_insert_with(|| {
                found.push(Gathered { cause: key.0, ..Gathered::default() });
                found.len() - 1
            });
            if let Some(gathered) = found.get_mut(at) {
                gathered.add(&self.graph, node, task, last, places.alike(node, task));
                gathered.asked |= asked;
            }
        }
        // What only the tasks of other processes depend on is not what was asked.
        found.retain(|gathered| gathered.asked);
        let moves = |gathered: &Gathered| gathered.cause == Cause::WentOn && !gathered.presses;
        let (moving, found): (Vec<_>, Vec<_>) = found.into_iter().partition(moves);
        let usual = |gathered: &Gathered| gathered.is_usual(&self.graph, &mut places);
        let (usual, mut pressing): (Vec<_>, Vec<_>) = found.into_iter().partition(usual);
        let first = |gathered: &Gathered| gathered.groups.values().map(|group| group.node).min();
        pressing.sort_by_cached_key(|one| (Reverse(one.tasks), Reverse(one.oldest.nanos()), first(one)));
        let causes = (pressing.into_iter().enumerate())
            .map(|(nth, gathered)| gathered.finish(self, nth < FOLLOWED))
            .collect();
        let tasks = |all: &[Gathered]| all.iter().map(|gathered| gathered.tasks).sum();
        Answer { causes, usual: tasks(&usual), moving: tasks(&moving), waiting }
    }

    /// Whether a task belongs to a process that the question is about.
    fn is_asked(&self, task: NodeId) -> bool {
        let asked = self.graph.system.asked;
        asked == 0 || self.graph.process_of(task).is_some_and(|process| (process as usize) < asked)
    }

    /// The cycle that a node is in, if the first way from each node is followed.
    fn cycle(&self, root: NodeId) -> Cause {
        let next = |&id: &NodeId| self.graph.best(id).map(|edge| edge.to).filter(|&to| to != root);
        // A node that is not in the cycle would be followed without end.
        let members: Vec<NodeId> = std::iter::successors(Some(root), next).take(self.graph.len()).collect();
        self.graph.cycle(&members)
    }

    /// Follows the first way of every node.
    fn ways(&self) -> Ways {
        const UNSEEN: u32 = u32::MAX;
        let len = self.graph.len();
        let mut ways = Ways { root: vec![UNSEEN; len], last: vec![NOBODY; len], is_cycle: vec![false; len] };
        // Where a node is on the present way.
        let mut position = vec![UNSEEN; len];
        let mut path: Vec<NodeId> = Vec::new();
        for start in (0..len as u32).map(NodeId) {
            let mut at = start;
            while let (Some(&root), Some(place)) = (ways.root.get(at.index()), position.get_mut(at.index())) {
                if root != UNSEEN || *place != UNSEEN {
                    break;
                }
                *place = path.len() as u32;
                path.push(at);
                match self.graph.best(at) {
                    Some(edge) => at = edge.to,
                    None => break,
                }
            }
            self.settle(&mut ways, &mut path, &position, at);
        }
        ways
    }

    /// Says of each node of a way where it leads. The way ends at `at`, which is settled, or on the way, or its end.
    fn settle(&self, ways: &mut Ways, path: &mut Vec<NodeId>, position: &[u32], at: NodeId) {
        let known = ways.root.get(at.index()).copied().filter(|&root| root != u32::MAX);
        let is_task = |id: NodeId| matches!(self.graph.node(id), Some(Node::Task { .. }));
        let (mut root, mut last, mut cycle) = match known {
            Some(root) => (
                root,
                ways.last.get(at.index()).copied().unwrap_or(NOBODY),
                ways.is_cycle.get(at.index()).copied().unwrap_or(false),
            ),
            None => (at.0, NOBODY, false),
        };
        if known.is_none() && path.last() != Some(&at) || known.is_none() && self.graph.best(at).is_some() {
            let begin = position.get(at.index()).map_or(0, |&at| at as usize);
            let members = path.get(begin..).unwrap_or_default();
            root = members.iter().min().map_or(at.0, |id| id.0);
            last = members.iter().filter(|&&id| is_task(id)).min().map_or(NOBODY, |id| id.0);
            cycle = true;
        }
        for id in path.drain(..).rev() {
            if last == NOBODY && is_task(id) {
                last = id.0;
            }
            if let (Some(r), Some(l), Some(c)) = (
                ways.root.get_mut(id.index()),
                ways.last.get_mut(id.index()),
                ways.is_cycle.get_mut(id.index()),
            ) {
                (*r, *l, *c) = (root, last, cycle);
            }
        }
    }
}

/// Whether a task waits for something.
fn waits(task: &Task) -> bool {
    matches!(task.state, TaskState::Waiting | TaskState::Syscall)
}

/// Equal tasks.
struct Equal {
    count: u64,
    /// The first of them.
    node: NodeId,
    /// What they wait for.
    things: FxHashSet<NodeId>,
}

impl Equal {
    fn new(node: NodeId) -> Self {
        Equal { count: 0, node, things: FxHashSet::default() }
    }

    fn add(&mut self, graph: &Graph<'_>, node: NodeId, task: &Task) {
        self.count = self.count.saturating_add(task.count());
        self.node = self.node.min(node);
        self.things.extend(graph.waits_of(node).map(|(_, object)| object));
    }

    /// The chain of the first one.
    fn chain(&self, graph: &Graph<'_>) -> Chain {
        Chain { things: self.things.len() as u64, ..graph.chain(self.node, self.count) }
    }
}

/// A cause under construction.
struct Gathered {
    cause: Cause,
    tasks: u64,
    oldest: Age,
    /// The last task of each way.
    last: FxHashMap<NodeId, ()>,
    groups: FxHashMap<Alike, Equal>,
    /// A task waits for another one and is not just ready for work.
    presses: bool,
    /// A task of a process that the question is about depends on it.
    asked: bool,
}

impl Default for Gathered {
    fn default() -> Self {
        Gathered {
            cause: Cause::Running,
            tasks: 0,
            oldest: Age::Unknown,
            last: FxHashMap::default(),
            groups: FxHashMap::default(),
            presses: false,
            asked: false,
        }
    }
}

impl Gathered {
    fn add(&mut self, graph: &Graph<'_>, node: NodeId, task: &Task, last: NodeId, alike: Alike) {
        self.tasks = self.tasks.saturating_add(task.count());
        if task.age.nanos() > self.oldest.nanos() {
            self.oldest = task.age;
        }
        self.last.insert(last, ());
        self.groups.entry(alike).or_insert(Equal::new(node)).add(graph, node, task);
        let op = graph.best(node).map(|edge| edge.kind);
        let ready = matches!(op, Some(EdgeKind::Waits(WaitOp::Receive | WaitOp::Wait)));
        self.presses |= node != last && !ready;
    }

    /// Whether the tasks wait as tasks usually do.
    fn is_usual(&self, graph: &Graph<'_>, places: &mut Places<'_, '_>) -> bool {
        if self.presses {
            return false;
        }
        match self.cause {
            Cause::Clients
            | Cause::Events
            | Cause::Files
            | Cause::Signal
            | Cause::Time(_)
            | Cause::SomeTime
            | Cause::Runtime => true,
            Cause::DeadEnd(_) | Cause::Cycle { forever: true, .. } | Cause::NotAccepted => false,
            _ => self
                .last
                .keys()
                .all(|&last| graph.task(last).is_some_and(|(_, task)| places.is_known(last, task))),
        }
    }

    /// `follow`: the chain is followed. Otherwise it is cut before it begins.
    fn finish(self, why: &Why<'_>, follow: bool) -> Found {
        let graph = &why.graph;
        let mut groups: Vec<Equal> = self.groups.into_values().collect();
        groups.sort_by_key(|group| (Reverse(group.count), group.node));
        // The chain begins with what was asked about. Of equally large groups the one with the longest way says most.
        let asked = || groups.iter().filter(|group| why.is_asked(group.node));
        let most = asked().next().map_or(0, |group| group.count);
        let largest = asked().take_while(|group| group.count == most);
        let mut chains: Vec<Chain> =
            largest.take(if follow { ALIKE } else { 0 }).map(|group| group.chain(graph)).collect();
        chains.sort_by_key(|chain| Reverse(chain.steps.len()));
        let none = Chain { steps: Vec::new(), things: 0, cycle: Vec::new(), is_cut: true };
        Found {
            chain: chains.into_iter().next().unwrap_or(none),
            tasks: self.tasks,
            causes: self.last.len() as u64,
            oldest: self.oldest,
            groups: groups.iter().map(|group| (group.count, group.node)).collect(),
        }
    }
}

/// Where tasks are, found out once for each stack; and which of them usually wait.
struct Places<'w, 'a> {
    why: &'w Why<'a>,
    places: FxHashMap<(u32, StackId), Option<(FunctionId, u32)>>,
    known: KnownTasks,
    usual: Vec<Option<(Signatures, FxHashMap<u32, bool>)>>,
}

impl<'w, 'a> Places<'w, 'a> {
    fn new(why: &'w Why<'a>) -> Self {
        let usual = why.owners.iter().map(|_| None).collect();
        Places { why, places: FxHashMap::default(), known: KnownTasks::default(), usual }
    }

    fn alike(&mut self, node: NodeId, task: &Task) -> Alike {
        let graph = &self.why.graph;
        let process = graph.process_of(node).unwrap_or(0);
        let place = task.stack.and_then(|stack| {
            let place = || self.why.place(node).map(|frame| (frame.function, frame.line));
            *self.places.entry((process, stack)).or_insert_with(place)
        });
        let wait = graph.waits_of(node).next().and_then(|(op, object)| Some((op, graph.kind_of(object)?)));
        Alike { process, place, reason: task.reason, wait }
    }

    /// Whether a task is one that usually waits.
    fn is_known(&mut self, node: NodeId, task: &Task) -> bool {
        let Some(process) = self.why.graph.process_of(node) else { return false };
        let Some(snapshot) = self.why.graph.snapshot(process) else { return false };
        let Some(slot) = self.usual.get_mut(process as usize) else { return false };
        let Some(Node::Task { row, .. }) = self.why.graph.node(node) else { return false };
        let known = &self.known;
        let (_, rows) = slot.get_or_insert_with(|| usual(snapshot, known));
        rows.get(&row).copied().unwrap_or(false) && !task.wait_class.never_ends()
    }
}

/// Which tasks of a process usually wait.
fn usual(snapshot: &Snapshot, known: &KnownTasks) -> (Signatures, FxHashMap<u32, bool>) {
    let options = SignatureOptions { by: By::Function, ..SignatureOptions::default() };
    let mut signatures = Signatures::new(options);
    let mut reader = signatures.reader(snapshot);
    let ids: Vec<_> = snapshot.tasks.iter().map(|task| reader.of(task)).collect();
    let mut found = FxHashMap::default();
    for ((row, task), id) in (0..).zip(&snapshot.tasks).zip(ids) {
        let usual = signatures.get(id).is_some_and(|sig| known.find(sig, task.wait_class).is_some());
        found.extend(usual.then_some((row, true)));
    }
    (signatures, found)
}
