//! What keeps whom waiting: all causes of a system, and how many tasks depend on each.

use std::cmp::Reverse;

use rustc_hash::{FxHashMap, FxHashSet};

use super::cause::{Cause, Dead, cause};
use super::chain::Chain;
use super::ends::is_main;
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
    /// The groups of equal tasks that depend on it, the largest first. Each task is in one of them.
    pub groups: Vec<Group>,
}

/// Equal tasks that depend on one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The first of them.
    pub task: NodeId,
    /// How many they are.
    pub tasks: u64,
    /// How many of them the chain does not name.
    pub unnamed: u64,
}

/// Where the first way from a node leads.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// The last node of the way, or the least node of the cycle that it ends in.
    root: u32,
    /// The last task on the way. [`NOBODY`] if there is none.
    last: u32,
    /// Whether it ends in a cycle.
    is_cycle: bool,
    /// Whether the node is in that cycle itself.
    is_member: bool,
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
    /// The tasks of a cycle are not put together with those that wait for it.
    is_member: bool,
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
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows.dedup();
        for node in rows.iter().filter_map(|&row| self.graph.task_node(process, row)) {
            let Some((_, task)) = self.graph.task(node) else { continue };
            let Some(way) = ways.get(node.index()) else { continue };
            let alike = places.alike(node, task, way.is_member);
            let is_end = way.last == node.0 && !way.is_member;
            let end = if is_end { NOBODY } else { way.last };
            groups.entry((alike, end)).or_default().add(node, task);
        }
        sorted(groups.into_values()).iter().map(|group| group.follow(&self.graph).0).collect()
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
            let Some(way) = ways.get(node.index()) else { continue };
            let (root, is_cycle) = (NodeId(way.root), way.is_cycle);
            let last = Some(way.last).filter(|&last| last != NOBODY).map_or(node, NodeId);
            let kind = known.entry(root).or_insert_with(|| match is_cycle {
                true => self.cycle(root),
                // Times differ from task to task.
                false => match cause(&self.graph, root) {
                    Cause::Time(_) => Cause::SomeTime,
                    other => other,
                },
            });
            let of_last = self.graph.task(last).map(|(_, task)| places.alike(last, task, is_cycle));
            let key = (kind.clone(), of_last, if is_cycle { root.0 } else { 0 });
            let at = *by_key.entry(key.clone()).or_insert_with(|| {
                found.push(Gathered { cause: key.0, ..Gathered::default() });
                found.len() - 1
            });
            if let Some(gathered) = found.get_mut(at) {
                gathered.add(&self.graph, node, task, last, places.alike(node, task, way.is_member));
                gathered.asked = gathered.asked.saturating_add(if asked { task.count() } else { 0 });
            }
        }
        // What only the tasks of other processes depend on is not what was asked.
        found.retain(|gathered| gathered.asked > 0);
        let moves = |gathered: &Gathered| gathered.cause == Cause::WentOn && !gathered.presses;
        let (moving, found): (Vec<_>, Vec<_>) = found.into_iter().partition(moves);
        let usual = |gathered: &Gathered| gathered.is_usual(&self.graph, &mut places);
        let (usual, mut pressing): (Vec<_>, Vec<_>) = found.into_iter().partition(usual);
        let first = |gathered: &Gathered| gathered.groups.values().filter_map(Equal::first).min();
        pressing.sort_by_cached_key(|one| (Reverse(one.tasks), Reverse(one.oldest.nanos()), first(one)));
        let causes = (pressing.into_iter().enumerate())
            .map(|(nth, gathered)| gathered.finish(self, nth < FOLLOWED))
            .collect();
        let tasks = |all: &[Gathered]| all.iter().map(|gathered| gathered.asked).sum();
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
    fn ways(&self) -> Vec<Way> {
        const UNSEEN: u32 = u32::MAX;
        let mut ways: Vec<Option<Way>> = vec![None; self.graph.len()];
        // Where a node is on the present way.
        let mut position = vec![UNSEEN; self.graph.len()];
        let mut path: Vec<NodeId> = Vec::new();
        for start in (0..self.graph.len() as u32).map(NodeId) {
            let mut at = start;
            while let (Some(None), Some(place)) = (ways.get(at.index()), position.get_mut(at.index())) {
                if *place != UNSEEN {
                    break;
                }
                *place = path.len() as u32;
                path.push(at);
                match self.graph.best(at) {
                    Some(edge) => at = edge.to,
                    None => break,
                }
            }
            self.settle(&mut ways, &path, &position, at);
            path.clear();
        }
        let nowhere = |id| Way { root: id, last: NOBODY, is_cycle: false, is_member: false };
        (0..).zip(ways).map(|(id, way)| way.unwrap_or(nowhere(id))).collect()
    }

    /// Says of each node of a way where it leads. The way ends at `at`, which is settled, or on the way, or its end.
    fn settle(&self, ways: &mut [Option<Way>], path: &[NodeId], position: &[u32], at: NodeId) {
        let is_task = |id: NodeId| matches!(self.graph.node(id), Some(Node::Task { .. }));
        let known = ways.get(at.index()).copied().flatten();
        // The nodes of the cycle that the way ends in are the last ones.
        let begin = match position.get(at.index()) {
            Some(&begin) if known.is_none() && self.graph.best(at).is_some() => begin as usize,
            _ => path.len(),
        };
        let members = path.get(begin..).unwrap_or_default();
        let mut way = match members.iter().min() {
            Some(least) => {
                let last = members.iter().filter(|&&id| is_task(id)).min();
                let last = last.map_or(NOBODY, |id| id.0);
                Way { root: least.0, last, is_cycle: true, is_member: false }
            }
            None => known.unwrap_or(Way { root: at.0, last: NOBODY, is_cycle: false, is_member: false }),
        };
        for (nth, &id) in path.iter().enumerate().rev() {
            if way.last == NOBODY && is_task(id) {
                way.last = id.0;
            }
            if let Some(slot) = ways.get_mut(id.index()) {
                *slot = Some(Way { is_member: nth >= begin, ..way });
            }
        }
    }
}

/// Whether a task waits for something.
fn waits(task: &Task) -> bool {
    matches!(task.state, TaskState::Waiting | TaskState::Syscall)
}

/// Equal tasks.
#[derive(Default)]
struct Equal {
    count: u64,
    /// Ascending.
    tasks: Vec<NodeId>,
}

impl Equal {
    /// Tasks come in the order of their nodes.
    fn add(&mut self, node: NodeId, task: &Task) {
        self.count = self.count.saturating_add(task.count());
        self.tasks.push(node);
    }

    fn first(&self) -> Option<NodeId> {
        self.tasks.first().copied()
    }

    /// The chain of the first one, and every task that it names.
    fn follow(&self, graph: &Graph<'_>) -> (Chain, FxHashSet<NodeId>) {
        graph.follow(self.first().unwrap_or(NodeId(NOBODY)), &self.tasks)
    }
}

/// The largest group first.
fn sorted(groups: impl Iterator<Item = Equal>) -> Vec<Equal> {
    let mut groups: Vec<Equal> = groups.collect();
    groups.sort_by_key(|group| (Reverse(group.count), group.first()));
    groups
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
    /// How many of the tasks are in processes that the question is about.
    asked: u64,
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
            asked: 0,
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
        self.groups.entry(alike).or_default().add(node, task);
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
            // The main function of a server has nothing more to do, and must not end.
            Cause::DeadEnd(Dead::NoCases) => self.last.keys().all(|&last| is_main(graph, last)),
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
        let groups = sorted(self.groups.into_values());
        // The chain begins with what was asked about. Of equally large groups the one with the longest way says most.
        let asked = || groups.iter().filter(|group| group.first().is_some_and(|task| why.is_asked(task)));
        let most = asked().next().map_or(0, |group| group.count);
        let largest = asked().take_while(|group| group.count == most);
        let followed = largest.take(if follow { ALIKE } else { 0 }).map(|group| group.follow(graph));
        let longest = followed.min_by_key(|(chain, _)| Reverse(chain.steps.len()));
        let (chain, named) = longest.unwrap_or_else(|| {
            let none = Chain { steps: Vec::new(), things: 0, cycle: Vec::new(), is_cut: true };
            (none, FxHashSet::default())
        });
        let unnamed = |group: &Equal| {
            let others = group.tasks.iter().filter(|task| !named.contains(task));
            others.map(|&task| graph.count(task)).sum()
        };
        let group =
            |group: &Equal| Some(Group { task: group.first()?, tasks: group.count, unnamed: unnamed(group) });
        Found {
            groups: groups.iter().filter_map(group).collect(),
            chain,
            tasks: self.tasks,
            causes: self.last.len() as u64,
            oldest: self.oldest,
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

    fn alike(&mut self, node: NodeId, task: &Task, is_member: bool) -> Alike {
        let graph = &self.why.graph;
        let process = graph.process_of(node).unwrap_or(0);
        let place = task.stack.and_then(|stack| {
            let place = || self.why.place(node).map(|frame| (frame.function, frame.line));
            *self.places.entry((process, stack)).or_insert_with(place)
        });
        let wait = graph.waits_of(node).next().and_then(|(op, object)| Some((op, graph.kind_of(object)?)));
        Alike { process, is_member, place, reason: task.reason, wait }
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
