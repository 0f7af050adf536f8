//! Follows a task, or equal tasks, to the cause.

use rustc_hash::{FxHashMap, FxHashSet};

use super::cause::{Cause, cause};
use super::graph::{Edge, EdgeKind, Graph, Node, NodeId, Want, rank};
use crate::snapshot::{Certainty, FileId, ObjectKind, TimerState, WaitOp};

/// At most this many steps of one chain.
const STEPS: usize = 50_000;
/// At most this many ways of one task, and of one object whose actors all have to act.
const WAYS: usize = 8;

/// From tasks to the cause: a tree in the order in which it is read, as a select has several ways out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Chain {
    /// The steps, each above those that it leads to. The first one is where the question begins.
    pub steps: Vec<Step>,
    /// How many different things the tasks of the first step wait for. The chain follows one of them.
    pub things: u64,
    /// The tasks of the cycle that the chain ends in, each waiting for the next one.
    pub cycle: Vec<NodeId>,
    /// The chain is longer: the rest was not followed.
    pub is_cut: bool,
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// How many steps are above this one.
    pub depth: u32,
    /// Where it leads.
    pub node: NodeId,
    /// How many equal tasks it stands for, if it is a task. Else 1. The first step does not stand for tasks that later
    /// steps name.
    pub count: u64,
    /// How it was reached. None for the first step.
    pub edge: Option<Edge>,
    /// Which of the ways of the step above it is, from 0.
    pub nth: u32,
    /// Ways of the step above that are not listed.
    pub unlisted: u64,
    /// The chain ends here.
    pub end: Option<Cause>,
    /// It was followed already, further above.
    pub is_repeated: bool,
}

impl Chain {
    /// Where the first way ends, and why. A chain that was cut has none.
    pub fn cause(&self) -> Option<(NodeId, &Cause)> {
        self.steps.iter().find_map(|step| Some((step.node, step.end.as_ref()?)))
    }
}

/// A visit of a walk that is still to be made.
enum Visit {
    /// A step, and the tasks that it stands for.
    Enter(Step, Vec<NodeId>),
    Leave(NodeId),
}

/// A way on: an edge, and the equal tasks that it stands for. None if it leads to no task.
struct Way {
    edge: Edge,
    tasks: Vec<NodeId>,
}

impl Graph<'_> {
    /// Follows a node to its cause.
    pub fn chain(&self, from: NodeId) -> Chain {
        self.follow(from, &[]).0
    }

    /// Follows the first of some equal tasks to its cause. Returns every task that the chain names, too. The first step
    /// stands for the equal tasks that no later step names.
    pub(super) fn follow(&self, from: NodeId, equal: &[NodeId]) -> (Chain, FxHashSet<NodeId>) {
        let (mut chain, mut named) = self.walk(from);
        let rest = || equal.iter().copied().filter(|&task| task != from && !named.contains(&task));
        let all = || std::iter::once(from).chain(rest());
        let tasks = all().map(|task| self.count(task)).sum();
        let things: FxHashSet<NodeId> =
            all().flat_map(|task| self.waits_of(task).map(|(_, to)| to)).collect();
        if let Some(first) = chain.steps.first_mut() {
            first.count = tasks;
        }
        chain.things = things.len() as u64;
        named.insert(from);
        named.extend(equal);
        (chain, named)
    }

    /// Follows a node to its cause. Returns every task that is named below the first step, too.
    fn walk(&self, from: NodeId) -> (Chain, FxHashSet<NodeId>) {
        let mut chain = Chain { steps: Vec::new(), things: 1, cycle: Vec::new(), is_cut: false };
        let mut named: FxHashSet<NodeId> = FxHashSet::default();
        let first = Step {
            depth: 0,
            node: from,
            count: self.count(from),
            edge: None,
            nth: 0,
            unlisted: 0,
            end: None,
            is_repeated: false,
        };
        // The position of each node on the way from the start, and all that were followed.
        let mut path: Vec<NodeId> = Vec::new();
        let mut on_path: FxHashMap<NodeId, usize> = FxHashMap::default();
        let mut seen: FxHashSet<NodeId> = FxHashSet::default();
        let mut visits = vec![Visit::Enter(first, Vec::new())];
        while let Some(visit) = visits.pop() {
            let (mut step, tasks) = match visit {
                Visit::Enter(step, tasks) => (step, tasks),
                Visit::Leave(node) => {
                    path.pop();
                    on_path.remove(&node);
                    continue;
                }
            };
            if chain.steps.len() >= STEPS {
                chain.is_cut = true;
                break;
            }
            let node = step.node;
            if let Some(&at) = on_path.get(&node) {
                let members = path.get(at..).unwrap_or_default();
                step.end = Some(self.cycle(members));
                if chain.cycle.is_empty() {
                    let members = members.iter().copied();
                    chain.cycle =
                        members.filter(|&id| matches!(self.node(id), Some(Node::Task { .. }))).collect();
                }
            } else if !seen.insert(node) {
                step.is_repeated = true;
            } else {
                let (ways, unlisted) = self.ways(node);
                if ways.is_empty() {
                    step.end = Some(cause(self, node));
                }
                on_path.insert(node, path.len());
                path.push(node);
                visits.push(Visit::Leave(node));
                for (nth, Way { edge, tasks }) in (0..).zip(ways).collect::<Vec<_>>().into_iter().rev() {
                    let next = Step {
                        depth: step.depth.saturating_add(1),
                        node: edge.to,
                        count: tasks.iter().map(|&task| self.count(task)).sum::<u64>().max(1),
                        edge: Some(edge),
                        nth,
                        unlisted: if nth == 0 { unlisted } else { 0 },
                        end: None,
                        is_repeated: false,
                    };
                    visits.push(Visit::Enter(next, tasks));
                }
            }
            named.extend(tasks);
            chain.steps.push(step);
        }
        (chain, named)
    }

    /// How many tasks a node stands for by itself. 1 if it is no task.
    pub(super) fn count(&self, node: NodeId) -> u64 {
        self.task(node).map_or(1, |(_, task)| task.count())
    }

    /// The node of the task that a node is about: of one that waits at the far end, the task itself.
    fn about(&self, node: NodeId) -> Option<NodeId> {
        match self.node(node)? {
            Node::Task { .. } => Some(node),
            Node::Across(task) => Some(task),
            _ => None,
        }
    }

    /// What a cycle of these nodes is, each of which leads to the next one.
    pub(super) fn cycle(&self, members: &[NodeId]) -> Cause {
        let next = members.iter().skip(1).chain(members.first());
        let open = members.iter().zip(next).any(|(&from, &to)| {
            let edges = self.edges_of(from);
            let is_task = matches!(self.node(from), Some(Node::Task { .. }));
            let sure = edges.iter().any(|edge| edge.to == to && edge.certainty != Certainty::Perhaps);
            is_task && edges.len() > 1 || !sure
        });
        let forever = members.iter().all(|&id| !self.is_alive(id));
        Cause::Cycle { forever, open: open && !forever }
    }

    /// The ways on from a node that are worth following, and how many others there are.
    fn ways(&self, node: NodeId) -> (Vec<Way>, u64) {
        let edges = self.edges_of(node);
        let is_task = matches!(self.node(node), Some(Node::Task { .. }));
        let follows_all = is_task || self.needs_all(node);
        let mut ways: Vec<Way> = Vec::new();
        let mut others = 0;
        let mut order: Vec<&Edge> = edges.iter().filter(|edge| self.is_worth(edge, edges)).collect();
        order.sort_by_key(|edge| self.order(edge));
        let mut known: FxHashMap<_, usize> = FxHashMap::default();
        for edge in order {
            let kind = if let EdgeKind::OpenAs(_) = edge.kind { EdgeKind::OpenAs(0) } else { edge.kind };
            // Tasks at one place that act in one way are followed as one.
            let place = self.task(edge.to).map(|(_, task)| (task.stack, task.reason));
            let key = (kind, edge.certainty, self.process_of(edge.to), place, edge.location);
            let same = place.is_some().then(|| known.get(&key)).flatten();
            if let Some(way) = same.and_then(|&at| ways.get_mut(at)) {
                way.tasks.extend(self.about(edge.to));
            } else if ways.len() < if follows_all { WAYS } else { 1 } || edge.kind == EdgeKind::Deadline {
                known.insert(key, ways.len());
                ways.push(Way { edge: *edge, tasks: self.about(edge.to).into_iter().collect() });
            } else {
                others += self.count(edge.to);
            }
        }
        (ways, others)
    }

    /// Whether an edge says something that the others do not: the deadline of a descriptor is a property of it, and
    /// a guess is left out where more is known.
    fn is_worth(&self, edge: &Edge, all: &[Edge]) -> bool {
        let from = self.node(edge.from);
        let better = all.first().is_some_and(|first| first.certainty < Certainty::Perhaps);
        let is_guess = edge.certainty == Certainty::Perhaps && better;
        match from {
            Some(Node::Descriptor { .. }) if edge.kind == EdgeKind::Deadline => all.len() == 1,
            // An event loop is there twice: as what goes on with something else, and as what waits.
            Some(Node::End { .. }) => match self.node(edge.to) {
                Some(Node::Across(task)) => all.iter().all(|other| other.to != task),
                _ => true,
            },
            _ => !is_guess,
        }
    }

    /// The edge of a node that is followed first.
    pub(super) fn best(&self, node: NodeId) -> Option<&Edge> {
        let edges = self.edges_of(node);
        let worth = edges.iter().filter(|edge| self.is_worth(edge, edges));
        worth.min_by_key(|edge| self.order(edge))
    }

    /// The order in which the ways of one node are followed: of a task's waits the most hopeful first, of those that
    /// are to act the surest.
    fn order(&self, edge: &Edge) -> impl Ord + use<> {
        let hope = match (self.node(edge.from), edge.kind) {
            (Some(Node::Task { .. }), _) => self.hopes.get(edge.to.index()).copied().unwrap_or(4),
            (Some(Node::End { file, want }), kind) => self.distance(file, want, kind, edge.to),
            (_, EdgeKind::Fires) => 0,
            (_, EdgeKind::Deadline) => 3,
            (_, EdgeKind::Parent) => 2,
            // Of those that all have to act, the one that cannot decides.
            _ if self.needs_all(edge.from) && !self.is_alive(edge.to) => 0,
            _ => 1,
        };
        (hope, rank(edge))
    }

    /// How far a holder of an end is from what is waited for: first who reads or writes it in a call now, then processes
    /// that have only the end that is needed, last those that have both, which many only inherit.
    fn distance(&self, file: FileId, want: Want, kind: EdgeKind, to: NodeId) -> u8 {
        if kind == EdgeKind::Serves {
            return 0;
        }
        let pid = match self.node(to) {
            Some(Node::Process(pid)) => Some(pid),
            _ => self.process_of(to).and_then(|process| self.process(process)).map(|seen| seen.pid),
        };
        let mut own = self.system.ends.of(file).iter().filter(|end| Some(end.pid) == pid);
        let has_both = own.any(|end| match want {
            Want::Written => end.access.read,
            Want::Read => end.access.write,
            _ => false,
        });
        if has_both { 2 } else { 1 }
    }

    /// Whether all that are to act on an object have to.
    fn needs_all(&self, node: NodeId) -> bool {
        let Some((_, _, object)) = self.object(node) else { return false };
        use crate::snapshot::LockState::{Outstanding, Shared};
        matches!(self.node(node), Some(Node::Object { .. }))
            && matches!(object.lock, Some(Shared(_) | Outstanding(_)))
    }

    /// What a task waits for: each way of waiting with the object.
    pub fn waits_of(&self, task: NodeId) -> impl Iterator<Item = (WaitOp, NodeId)> {
        self.edges_of(task).iter().filter_map(|edge| match edge.kind {
            EdgeKind::Waits(op) => Some((op, edge.to)),
            _ => None,
        })
    }

    /// The kind of an object.
    pub fn kind_of(&self, object: NodeId) -> Option<ObjectKind> {
        self.object(object).map(|(_, _, object)| object.kind)
    }

    /// When the timer of an object fires.
    pub fn timer_state(&self, object: NodeId) -> Option<TimerState> {
        let (snapshot, id, _) = self.object(object)?;
        snapshot.timer_of(id).map(|timer| timer.state)
    }
}

/// How much hope there is that something happens to each node that tasks wait for.
pub(super) fn hopes(graph: &Graph<'_>) -> Vec<u8> {
    let hope = |id: NodeId| {
        // An answer that never comes is what a task waits for, whatever else may come.
        if let Some(hope) = answers(graph, id).filter(|&hope| hope == ANSWER || graph.is_alive(id)) {
            return hope;
        }
        let edges = graph.edges_of(id);
        let fires = edges.iter().any(|edge| edge.kind == EdgeKind::Fires);
        let known = edges.iter().any(|edge| {
            edge.certainty < Certainty::Perhaps && edge.kind != EdgeKind::Deadline && graph.is_alive(edge.to)
        });
        let deadline = edges.iter().any(|edge| edge.kind == EdgeKind::Deadline);
        match graph.is_alive(id) {
            false => 6,
            true if fires => 0,
            true if known => 2,
            true if deadline => 3,
            true => 4,
        }
    };
    (0..graph.nodes.len() as u32).map(|id| hope(NodeId(id))).collect()
}

/// There is much hope that the answer comes.
const ANSWER: u8 = 1;

/// How much hope there is for a descriptor that a task reads from, if that can be told. An event loop reads from all its
/// connections: it waits for an answer where it sent something last, and not where it received something last, or
/// where the other end waits for it.
fn answers(graph: &Graph<'_>, id: NodeId) -> Option<u8> {
    const ITS_OWN_TURN: u8 = 5;
    let Some(Node::Descriptor { want: Want::Written, .. }) = graph.node(id) else { return None };
    let far_end = graph.edges_of(id).iter().find(|edge| edge.kind == EdgeKind::FarEnd)?;
    let waits_there = |edge: &Edge| matches!(graph.node(edge.to), Some(Node::Across(_)));
    let holders = graph.edges_of(far_end.to);
    if !holders.is_empty() && holders.iter().all(waits_there) {
        return Some(ITS_OWN_TURN);
    }
    let socket = graph.descriptor(id)?.socket.as_ref()?;
    let (received, sent) = (socket.received_bytes?, socket.sent_bytes?);
    // These times count from the beginning of the connection if there was nothing.
    let sent_last = match (received, sent) {
        (0, 0) => return None,
        (0, _) => true,
        (_, 0) => false,
        _ => socket.idle_send_ns? < socket.idle_receive_ns?,
    };
    Some(if sent_last { ANSWER } else { ITS_OWN_TURN })
}
