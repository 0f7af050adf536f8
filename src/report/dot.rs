//! Chains of waits as a graph for Graphviz.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::escape::escape;
use super::why::{Words, edge_name};
use crate::analysis::why::{Chain, Edge, Node, NodeId, Why};
use crate::snapshot::Certainty;

/// Nodes and edges of chains, each once, with their words.
pub(super) struct Picture {
    /// The nodes in the order of their numbers: what they are called, and their process.
    pub(super) nodes: BTreeMap<NodeId, (Vec<String>, Shape)>,
    /// The edges.
    pub(super) edges: Vec<(NodeId, NodeId, &'static str, Certainty)>,
}

/// How a node is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A task.
    Task,
    /// A task that a chain ends at.
    End,
    /// What is waited for.
    Thing,
    /// Something outside.
    Outside,
}

/// At most this many nodes are drawn.
pub(super) const NODES: usize = 2_000;

impl Picture {
    /// What several chains show together.
    pub(super) fn new(why: &Why<'_>, chains: &[&Chain]) -> Self {
        let words = Words::new(why, chains, false);
        let graph = why.graph();
        let mut nodes = BTreeMap::new();
        let mut edges: Vec<(NodeId, NodeId, &'static str, Certainty)> = Vec::new();
        let mut seen: BTreeSet<(NodeId, NodeId)> = BTreeSet::new();
        for step in chains.iter().flat_map(|chain| &chain.steps) {
            if !nodes.contains_key(&step.node) {
                if nodes.len() >= NODES {
                    break;
                }
                let shape = match graph.node(step.node) {
                    Some(Node::Task { .. } | Node::Across(_)) if step.end.is_some() => Shape::End,
                    Some(Node::Task { .. }) => Shape::Task,
                    Some(Node::Outside { .. } | Node::Time(_) | Node::Process(_) | Node::Exit(_)) => {
                        Shape::Outside
                    }
                    _ => Shape::Thing,
                };
                nodes.insert(step.node, (words.node(step), shape));
            }
            if let Some(Edge { from, to, kind, certainty, .. }) = step.edge
                && nodes.contains_key(&from)
                && seen.insert((from, to))
            {
                edges.push((from, to, edge_name(kind), certainty));
            }
        }
        Picture { nodes, edges }
    }
}

/// Writes chains as a graph for `dot`.
///
/// # Errors
/// Those of `out`.
pub fn write(why: &Why<'_>, chains: &[&Chain], out: &mut dyn Write) -> io::Result<()> {
    let picture = Picture::new(why, chains);
    writeln!(out, "digraph why {{")?;
    writeln!(out, "  rankdir=TB;")?;
    writeln!(out, "  node [fontname=\"sans-serif\", fontsize=10, style=filled, fillcolor=white];")?;
    writeln!(out, "  edge [fontname=\"sans-serif\", fontsize=9];")?;
    for (id, (lines, shape)) in &picture.nodes {
        let (shape, colour) = match shape {
            Shape::Task => ("box", "white"),
            Shape::End => ("box", "#ffe0b0"),
            Shape::Thing => ("ellipse", "#f0f0f0"),
            Shape::Outside => ("hexagon", "#e0ecff"),
        };
        let label: Vec<String> = lines.iter().map(|line| quoted(line)).collect();
        writeln!(
            out,
            "  n{} [label=\"{}\", shape={shape}, fillcolor=\"{colour}\"];",
            id.0,
            label.join("\\n")
        )?;
    }
    for (from, to, label, certainty) in &picture.edges {
        let style = match certainty {
            Certainty::Sure => "solid",
            Certainty::Likely => "dashed",
            Certainty::Perhaps => "dotted",
        };
        writeln!(out, "  n{} -> n{} [label=\"{}\", style={style}];", from.0, to.0, quoted(label))?;
    }
    writeln!(out, "}}")
}

/// Text between quotation marks of DOT.
fn quoted(text: &str) -> String {
    // What does not print becomes text first, so that its backslashes are escaped, too.
    escape(text).replace('\\', "\\\\").replace('"', "\\\"")
}
