//! Makes the graph: first what each process shows by itself, then what joins them.

use rustc_hash::FxHashMap;

use super::alive::alive;
use super::builder::Builder;
use super::chain::hopes;
use super::ends;
use super::graph::{EdgeKind, Graph, Node, Want};
use super::still::Still;
use super::system::System;
use crate::analysis::contexts::{Above, above};
use crate::snapshot::{
    Actor, By, Certainty, Hold, HoldKind, ObjectId, ObjectKind, Snapshot, TaskState, TimerState, Wait,
};

impl<'a> Graph<'a> {
    /// Makes the graph of processes that were read together.
    pub fn new(system: &'a System) -> Self {
        let mut graph = build(system);
        graph.alive = alive(&graph);
        graph.hopes = hopes(&graph);
        graph
    }
}

fn build(system: &System) -> Graph<'_> {
    let stills: Vec<Still<'_>> = system.processes.iter().map(Still::new).collect();
    let mut graph = Graph {
        system,
        nodes: Vec::new(),
        edges: Vec::new(),
        starts: Vec::new(),
        bases: Vec::new(),
        peers: system.peers.iter().map(|peer| (peer.of, &peer.to)).collect(),
        contexts: FxHashMap::default(),
        searched: FxHashMap::default(),
        others: FxHashMap::default(),
        proofs: stills.iter().map(|still| still.proof).collect(),
        moving: Vec::new(),
        alive: Vec::new(),
        hopes: Vec::new(),
        waiters: Vec::new(),
        moved: 0,
    };
    for (process, seen) in (0..).zip(&system.processes) {
        let first: &Snapshot = &seen.first;
        let tasks = graph.nodes.len() as u32;
        graph.nodes.extend((0..first.tasks.len() as u32).map(|row| Node::Task { process, row }));
        let objects = graph.nodes.len() as u32;
        let all = (0..first.objects.len() as u32).map(ObjectId);
        graph.nodes.extend(all.map(|object| Node::Object { process, object }));
        graph.bases.push((tasks, objects));
    }
    graph.moving = vec![false; graph.nodes.len()];
    let mut builder = Builder { graph, stills, descriptors: Vec::new(), waiters: Vec::new() };
    for (process, seen) in (0..).zip(&system.processes) {
        let first: &Snapshot = &seen.first;
        builder.waits(process, first);
        builder.holds(process, first);
        builder.actors(process, first);
        builder.times(process, first);
    }
    builder.waiters.sort_unstable_by_key(|&(process, object, task, _)| (process, object, task));
    ends::join(&mut builder);
    builder.finish()
}

impl<'a> Builder<'a> {
    /// What the tasks of a process wait for.
    fn waits(&mut self, process: u32, first: &'a Snapshot) {
        for (row, task) in (0..).zip(&first.tasks) {
            let Some(from) = self.graph.task_node(process, row) else { continue };
            let runs = !matches!(task.state, TaskState::Waiting | TaskState::Syscall | TaskState::Unknown);
            let waits = if runs { &[] } else { first.waits_of(task) };
            if !runs && !self.stands(process, first, row) {
                if let Some(moving) = self.graph.moving.get_mut(from.index()) {
                    *moving = true;
                }
                self.graph.moved += waits.len() as u64;
                continue;
            }
            for &Wait { op, object } in waits {
                let Some(what) = first.objects.get(object.index()) else { continue };
                let to = if what.kind == ObjectKind::Descriptor {
                    let want = Want::of(op);
                    let before = self.graph.nodes.len();
                    let node = self.node(Node::Descriptor { process, object, want });
                    if node.index() == before {
                        self.descriptors.push(node);
                    }
                    self.waiters.push((process, object, from, want));
                    node
                } else {
                    self.object(process, object)
                };
                self.edge(from, to, EdgeKind::Waits(op), Certainty::Sure);
            }
        }
    }

    /// Who holds locks.
    fn holds(&mut self, process: u32, first: &'a Snapshot) {
        let later = self.later(process).0;
        let of_first = (0..)
            .zip(&first.tasks)
            .flat_map(|(row, task)| first.holds_of(task).iter().map(move |hold| (row, *hold)));
        for (row, hold) in of_first.chain(later) {
            let still = self.stills.get(process as usize);
            let stood = still.is_some_and(|still| still.task(first, row));
            let stands = stood || still.is_some_and(|still| still.holds_again(first, row, hold.object));
            let certainty = match hold.how {
                HoldKind::Perhaps => Certainty::Perhaps,
                // If it ran, others may have had the lock in between.
                _ if !stood => Certainty::Perhaps,
                _ => Certainty::Sure,
            };
            let to = self.graph.task_node(process, row);
            self.add(process, hold.object, to, EdgeKind::Held(hold.how), certainty, hold.location, stands);
        }
    }

    /// Who is going to act.
    fn actors(&mut self, process: u32, first: &'a Snapshot) {
        let later = self.later(process).1;
        for actor in first.links.actors.iter().chain(&later) {
            let kind = first.objects.get(actor.object.index()).map(|object| object.kind);
            if kind.is_none_or(|kind| kind == ObjectKind::Descriptor) {
                continue;
            }
            if let By::Task(row) = actor.by
                && waits_for_several(first, row, actor.object)
            {
                // It does so only after something else has let it go on.
                continue;
            }
            let (to, stands) = match actor.by {
                By::Task(row) => (self.graph.task_node(process, row), self.stands(process, first, row)),
                By::Timer(at) => (Some(self.node(Node::Time(at))), true),
            };
            let kind = EdgeKind::Acts(actor.action);
            self.add(process, actor.object, to, kind, actor.certainty, actor.location, stands);
        }
        let still = self.stills.get(process as usize);
        for id in (0..first.objects.len() as u32).map(ObjectId) {
            if let Some(how) = still.and_then(|still| still.searched(first, id)) {
                self.graph.searched.insert((process, id), how);
            }
        }
    }

    /// What the second reading adds.
    fn later(&self, process: u32) -> (Vec<(u32, Hold)>, Vec<Actor>) {
        self.stills.get(process as usize).map(Still::found_later).unwrap_or_default()
    }

    /// What time does: timers, deadlines of contexts, the ends of processes.
    fn times(&mut self, process: u32, first: &'a Snapshot) {
        for timer in &first.links.timers {
            if let TimerState::At(at) = timer.state {
                let (from, to) = (self.object(process, timer.object), self.node(Node::Time(at)));
                self.edge(from, to, EdgeKind::Fires, Certainty::Sure);
            }
        }
        for (row, context) in (0..).zip(&first.links.contexts) {
            let Some(object) = context.object else { continue };
            self.graph.contexts.entry((process, object)).or_insert(row);
            let from = self.object(process, object);
            let Above { deadline, parent } = above(first, context);
            if let Some(at) = deadline {
                let to = self.node(Node::Time(at));
                self.edge(from, to, EdgeKind::Deadline, Certainty::Sure);
            }
            if let Some(parent) = parent.filter(|&parent| parent != object) {
                let to = self.object(process, parent);
                self.edge(from, to, EdgeKind::Parent, Certainty::Sure);
            }
        }
        for (id, object) in (0..).map(ObjectId).zip(&first.objects) {
            let pid = u32::try_from(object.address).ok().filter(|_| object.kind == ObjectKind::Process);
            if let Some(pid) = pid {
                let (from, to) = (self.object(process, id), self.node(Node::Exit(pid)));
                self.edge(from, to, EdgeKind::FarEnd, Certainty::Sure);
            }
        }
    }
}

/// Whether a task waits for an object and for others.
fn waits_for_several(snapshot: &Snapshot, row: u32, object: ObjectId) -> bool {
    let waits = snapshot.tasks.get(row as usize).map_or(&[][..], |task| snapshot.waits_of(task));
    waits.len() > 1 && waits.iter().any(|wait| wait.object == object)
}
