//! Chains of waits as a graph for Graphviz.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::escape::escape;
use super::units::count;
use super::why::{Words, edge_name};
use crate::analysis::why::{Cause, Chain, Edge, Node, NodeId, Why};
use crate::snapshot::Certainty;

/// Nodes and edges of chains, each once, with their words.
pub(super) struct Picture {
    /// The nodes: what they are called, and how they are drawn.
    pub(super) nodes: BTreeMap<NodeId, (Vec<String>, Shape)>,
    /// The nodes in the order in which the chains lead to them.
    pub(super) order: Vec<NodeId>,
    /// The edges.
    pub(super) edges: Vec<(NodeId, NodeId, &'static str, Certainty)>,
    /// Nodes and edges that are too many to be drawn.
    left_out: u64,
    /// Chains that were not followed to their ends.
    cut: u64,
}

/// How a node is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A task.
    Task,
    /// A task that a chain ends at.
    End,
    /// A task that waits for itself, through others.
    Cycle,
    /// What is waited for.
    Thing,
    /// Something outside.
    Outside,
}

/// At most this many nodes and edges are drawn.
const NODES: usize = 2_000;
const EDGES: usize = 4_000;

impl Picture {
    /// What several chains show together.
    pub(super) fn new(why: &Why<'_>, chains: &[&Chain]) -> Self {
        let words = Words::new(why, chains, false);
        let graph = why.graph();
        // Not those that the tasks may leave another way.
        let is_cycle = |chain: &&&Chain| {
            let end = chain.steps.iter().find_map(|step| match step.end {
                Some(Cause::Cycle { open, .. }) => Some(!open),
                _ => None,
            });
            end == Some(true)
        };
        let cycles: BTreeSet<NodeId> =
            chains.iter().filter(is_cycle).flat_map(|chain| chain.cycle.iter().copied()).collect();
        let cut = chains.iter().filter(|chain| chain.is_cut).count() as u64;
        let (nodes, order, edges) = Default::default();
        let mut picture = Picture { nodes, order, edges, left_out: 0, cut };
        let mut left_out: BTreeSet<NodeId> = BTreeSet::new();
        let mut seen: BTreeSet<(NodeId, NodeId)> = BTreeSet::new();
        for step in chains.iter().flat_map(|chain| &chain.steps) {
            if !picture.nodes.contains_key(&step.node) {
                if picture.nodes.len() >= NODES {
                    left_out.insert(step.node);
                    continue;
                }
                let shape = match graph.node(step.node) {
                    _ if cycles.contains(&step.node) => Shape::Cycle,
                    Some(Node::Task { .. } | Node::Across(_)) if step.end.is_some() => Shape::End,
                    Some(Node::Task { .. } | Node::Across(_)) => Shape::Task,
                    Some(Node::Outside { .. } | Node::Time(_) | Node::Process(_) | Node::Exit(_)) => {
                        Shape::Outside
                    }
                    _ => Shape::Thing,
                };
                picture.nodes.insert(step.node, (words.node(step), shape));
                picture.order.push(step.node);
            }
            let Some(Edge { from, to, kind, certainty, .. }) = step.edge else { continue };
            if picture.nodes.contains_key(&from) && seen.insert((from, to)) {
                if picture.edges.len() >= EDGES {
                    picture.left_out += 1;
                } else {
                    picture.edges.push((from, to, edge_name(kind, certainty), certainty));
                }
            }
        }
        picture.left_out += left_out.len() as u64;
        picture
    }

    /// What is not drawn, a sentence. None if nothing is left out.
    pub(super) fn not_drawn(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.left_out > 0 {
            parts.push(format!("{} not drawn: they are too many", count(self.left_out, "part")));
        }
        if self.cut > 0 {
            parts.push(format!("{} not followed to the end", count(self.cut, "chain")));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
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
            Shape::Cycle => ("box", "#ffd0d0"),
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
    if let Some(text) = picture.not_drawn() {
        writeln!(out, "  label=\"{}\";", quoted(&text))?;
    }
    writeln!(out, "}}")
}

/// Text between quotation marks of DOT.
fn quoted(text: &str) -> String {
    // What does not print becomes text first, so that its backslashes are escaped, too.
    escape(text).replace('\\', "\\\\").replace('"', "\\\"")
}
