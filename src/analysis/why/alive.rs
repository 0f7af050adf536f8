//! Which nodes can go on at all.
//!
//! A node can go on if it does not wait, if time or someone outside lets it go on, if a node that it waits for can,
//! or if not everything that could let it go on is known. What is left waits for ever: dead ends and cycles, and all
//! that depends on them.

use super::graph::{Edge, EdgeKind, Graph, Node, NodeId};
use super::still::Proof;
use crate::snapshot::{Action, Certainty, HoldKind, LockState, ObjectKind, TimerState};

/// What lets a node go on.
enum Needs {
    /// Nothing: it can.
    Nothing,
    /// Any of its edges.
    Any,
    /// All of the edges that are more than a guess.
    All,
}

/// For each node whether it can go on.
pub(super) fn alive(graph: &Graph<'_>) -> Vec<bool> {
    let ids = || (0..graph.nodes.len() as u32).map(NodeId);
    // How many edges have still to be decided, and where they come from.
    let mut missing: Vec<u32> = Vec::with_capacity(graph.nodes.len());
    let mut all: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    let mut queue: Vec<NodeId> = Vec::new();
    for id in ids() {
        let needs = needs(graph, id);
        all.push(matches!(needs, Needs::All));
        missing.push(match needs {
            Needs::Nothing => {
                queue.push(id);
                0
            }
            Needs::Any => 1,
            Needs::All => graph.edges_of(id).iter().filter(|edge| counts(edge.certainty)).count() as u32,
        });
    }
    let mut back: Vec<(NodeId, NodeId)> = (graph.edges.iter())
        .filter(|edge| !all.get(edge.from.index()).is_some_and(|&all| all) || counts(edge.certainty))
        .map(|edge| (edge.to, edge.from))
        .collect();
    back.sort_unstable();
    let mut alive: Vec<bool> = missing.iter().map(|&missing| missing == 0).collect();
    while let Some(id) = queue.pop() {
        let start = back.partition_point(|&(to, _)| to < id);
        for &(_, from) in back.get(start..).unwrap_or_default().iter().take_while(|&&(to, _)| to == id) {
            let (Some(missing), Some(alive)) = (missing.get_mut(from.index()), alive.get_mut(from.index()))
            else {
                continue;
            };
            *missing = missing.saturating_sub(1);
            if *missing == 0 && !*alive {
                *alive = true;
                queue.push(from);
            }
        }
    }
    alive
}

/// Whether an edge leads from a coroutine to the task that it is.
fn is_coroutine(edge: &Edge) -> bool {
    edge.kind == EdgeKind::Acts(Action::Yield) && edge.certainty == Certainty::Sure
}

fn counts(certainty: Certainty) -> bool {
    certainty != Certainty::Perhaps
}

fn needs(graph: &Graph<'_>, id: NodeId) -> Needs {
    let edges = graph.edges_of(id);
    match graph.node(id) {
        Some(Node::Task { .. }) => match graph.task(id) {
            Some((_, task)) if edges.is_empty() && task.wait_class.never_ends() => Needs::Any,
            _ if edges.is_empty() => Needs::Nothing,
            _ => Needs::Any,
        },
        Some(Node::Object { .. }) => object(graph, id),
        Some(Node::Descriptor { .. } | Node::Exit(_)) if !edges.is_empty() => Needs::Any,
        Some(Node::End { .. }) => {
            let ends = &graph.system.ends;
            let proved = graph.weakest_proof() == Proof::Twice;
            if proved && ends.is_whole && ends.unreadable.is_empty() && !edges.is_empty() {
                Needs::Any
            } else {
                Needs::Nothing
            }
        }
        _ => Needs::Nothing,
    }
}

fn object(graph: &Graph<'_>, id: NodeId) -> Needs {
    let Some((snapshot, object, what)) = graph.object(id) else { return Needs::Nothing };
    // What was not read at one moment leaves every way open.
    if graph.process_of(id).is_none_or(|process| graph.proof(process) == Proof::Once) {
        return Needs::Nothing;
    }
    let edges = graph.edges_of(id);
    let holders = edges
        .iter()
        .filter(|edge| matches!(edge.kind, EdgeKind::Held(HoldKind::Exclusive | HoldKind::Shared)));
    match (what.kind, what.lock) {
        (ObjectKind::Process | ObjectKind::Task, _) if !edges.is_empty() => Needs::Any,
        // A coroutine that was resumed is the only one that can go on with it.
        (ObjectKind::Coroutine, _) if edges.iter().any(is_coroutine) => Needs::Any,
        (
            ObjectKind::Channel
            | ObjectKind::Cond
            | ObjectKind::WaitGroup
            | ObjectKind::Timer
            | ObjectKind::Coroutine,
            lock,
        ) => {
            let searched = graph.searched(id);
            let whole = searched.is_some_and(|how| how.all_tasks && how.other_roots && !how.is_global);
            let closed = what.channel.is_some_and(|channel| channel.closed);
            let timer = snapshot.timer_of(object).map(|timer| timer.state);
            let clock = matches!(timer, Some(TimerState::Unknown | TimerState::Fake));
            // Both a context and a timer may end the wait at a time that is not known.
            let context = graph.context(id).map(|context| context.deadline);
            let context = matches!(context, Some(TimerState::Unknown | TimerState::Fake));
            let done = edges.iter().filter(|edge| counts(edge.certainty)).count() as u64;
            match lock {
                _ if !whole || closed || clock || context => Needs::Nothing,
                Some(LockState::Outstanding(n)) if done == u64::from(n) && done > 0 => Needs::All,
                _ => Needs::Any,
            }
        }
        (_, Some(LockState::Shared(n))) => {
            if n > 0 && holders.count() as u64 >= u64::from(n) {
                Needs::All
            } else {
                Needs::Nothing
            }
        }
        (_, Some(LockState::Free | LockState::Outstanding(_))) => Needs::Nothing,
        (_, Some(LockState::Exclusive) | None) => {
            if holders.count() > 0 {
                Needs::Any
            } else {
                Needs::Nothing
            }
        }
    }
}
