//! What the tasks that are followed depend on, as far as it is known by now.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use crate::analysis::why::{Graph, Node, NodeId};
use crate::snapshot::FileId;

/// What is still to be found out, in the order in which it was reached.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    /// Descriptors: the index of their process, and their number.
    pub(super) descriptors: Vec<(u32, u32)>,
    /// Ends of pipes and connections, and the depth of the process from which each was reached.
    pub(super) ends: Vec<(FileId, u32)>,
    /// Processes that are waited for themselves, in the same way.
    pub(super) processes: Vec<(u32, u32)>,
}

/// Follows the edges of a graph from these nodes. `depth` says how far each process is from the first one.
pub(super) fn reach(graph: &Graph<'_>, from: impl Iterator<Item = NodeId>, depth: &[u32]) -> Frontier {
    let mut frontier = Frontier::default();
    let mut queue: VecDeque<(NodeId, u32)> = from.map(|id| (id, 0)).collect();
    let mut seen: FxHashSet<NodeId> = queue.iter().map(|&(id, _)| id).collect();
    while let Some((id, above)) = queue.pop_front() {
        let own = graph.process_of(id).and_then(|process| depth.get(process as usize).copied());
        let at = own.unwrap_or(above);
        match graph.node(id) {
            Some(Node::Descriptor { process, .. }) => {
                let descriptor = graph.descriptor(id).map(|descriptor| (process, descriptor.fd));
                frontier.descriptors.extend(descriptor);
            }
            Some(Node::End { file, .. }) => frontier.ends.push((file, at)),
            Some(Node::Process(pid) | Node::Exit(pid)) => frontier.processes.push((pid, at)),
            _ => {}
        }
        for edge in graph.edges_of(id) {
            if seen.insert(edge.to) {
                queue.push_back((edge.to, at));
            }
        }
    }
    frontier
}
