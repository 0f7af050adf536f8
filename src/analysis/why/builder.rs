//! A graph under construction.

use super::graph::{Edge, EdgeKind, Graph, Node, NodeId, Want, rank};
use super::still::Still;
use crate::snapshot::{Certainty, LocationId, ObjectId, Snapshot};

/// A graph under construction.
pub(super) struct Builder<'a> {
    pub(super) graph: Graph<'a>,
    pub(super) stills: Vec<Still<'a>>,
    /// Descriptors that tasks wait for: their nodes.
    pub(super) descriptors: Vec<NodeId>,
    /// Who waits for a descriptor, ascending: process, object, task, and what has to happen.
    pub(super) waiters: Vec<(u32, ObjectId, NodeId, Want)>,
}

impl<'a> Builder<'a> {
    /// The node that is neither a task nor an object, made if it is new.
    pub(super) fn node(&mut self, node: Node) -> NodeId {
        *self.graph.others.entry(node).or_insert_with(|| {
            self.graph.nodes.push(node);
            NodeId(self.graph.nodes.len() as u32 - 1)
        })
    }

    /// Adds an edge.
    pub(super) fn edge(&mut self, from: NodeId, to: NodeId, kind: EdgeKind, certainty: Certainty) {
        self.graph.edges.push(Edge { from, to, kind, certainty, location: None });
    }

    /// The node of an object.
    pub(super) fn object(&self, process: u32, object: ObjectId) -> NodeId {
        let base = self.graph.bases.get(process as usize).map_or(0, |&(_, objects)| objects);
        NodeId(base.saturating_add(object.0))
    }

    /// Whether a task stood still.
    pub(super) fn stands(&self, process: u32, first: &Snapshot, row: u32) -> bool {
        self.stills.get(process as usize).is_some_and(|still| still.task(first, row))
    }

    /// An edge from an object, or the note that there is none because something moved.
    #[allow(clippy::too_many_arguments, reason = "the parts of an edge")]
    pub(super) fn add(
        &mut self,
        process: u32,
        object: ObjectId,
        to: Option<NodeId>,
        kind: EdgeKind,
        certainty: Certainty,
        location: Option<LocationId>,
        stands: bool,
    ) {
        let Some(to) = to else { return };
        if !stands {
            self.graph.moved += 1;
            return;
        }
        let from = self.object(process, object);
        self.graph.edges.push(Edge { from, to, kind, certainty, location });
    }

    /// Sorts the edges.
    pub(super) fn finish(self) -> Graph<'a> {
        let mut graph = self.graph;
        let known = graph.nodes.len();
        graph.edges.retain(|edge| edge.from.index() < known && edge.to.index() < known);
        // Of several edges between two nodes the surest stays; a task may wait in several ways for one thing.
        let way = |edge: &Edge| if let EdgeKind::Waits(op) = edge.kind { Some(op as u8) } else { None };
        graph.edges.sort_by_key(|edge| {
            (edge.from, edge.to, way(edge), edge.certainty, edge.kind, edge.location.is_none())
        });
        graph.edges.dedup_by_key(|edge| (edge.from, edge.to, way(edge)));
        graph.edges.sort_by_key(|edge| (edge.from, rank(edge)));
        let mut starts = vec![0_u32; known + 1];
        for edge in &graph.edges {
            if let Some(count) = starts.get_mut(edge.from.index() + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        graph.starts = starts;
        graph.waiters = vec![0; known];
        let waits = graph.edges.iter().filter(|edge| matches!(edge.kind, EdgeKind::Waits(_)));
        let mut pairs: Vec<(NodeId, NodeId)> = waits.map(|edge| (edge.from, edge.to)).collect();
        // A task that waits for one thing in several ways is one task.
        pairs.sort_unstable();
        pairs.dedup();
        for (from, to) in pairs {
            let tasks = graph.count(from);
            if let Some(count) = graph.waiters.get_mut(to.index()) {
                *count = count.saturating_add(tasks);
            }
        }
        graph.moving.resize(known, false);
        graph
    }
}
