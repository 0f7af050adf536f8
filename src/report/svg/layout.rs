//! Where the nodes and lines of a picture are.
//!
//! What is connected is one block. In a block each node is a layer below the node that leads to it first, and the nodes
//! of a layer are in the order of those that lead to them, so that few lines cross. Blocks fill rows, as words do.

use std::collections::BTreeMap;

use super::{CHAR, LINE, PAD};
use crate::analysis::why::NodeId;
use crate::report::dot::{Picture, Shape};
use crate::report::escape::escape;
use crate::report::line::width;

/// Space between the nodes of a layer, between layers, and between blocks, pixels.
const ACROSS: f64 = 24.0;
const DOWN: f64 = 56.0;
const APART: f64 = 48.0;
/// A row of blocks is not wider, unless one block is.
const ROW: f64 = 1_600.0;
/// Space for a line that passes nodes on their right, and between two of them.
const SIDE: f64 = 40.0;
const LANE: f64 = 10.0;
/// Longer texts are broken, columns: at the next place that suits, at the latest after `LONGEST`.
const WIDEST: usize = 44;
const LONGEST: usize = 64;
/// Lines of one text of a node.
const LINES: usize = 8;

/// Where a node is, and what it says.
pub(super) struct Placed {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) lines: Vec<String>,
    pub(super) shape: Shape,
}

/// A line from one node to another, and where its words begin.
pub(super) struct Route {
    pub(super) path: String,
    pub(super) label: (f64, f64),
}

/// A picture whose parts have their places.
pub(super) struct Layout {
    pub(super) nodes: Vec<Placed>,
    /// In the order of the edges of the picture.
    pub(super) routes: Vec<Route>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Puts each node and each line into its place.
pub(super) fn layout(picture: &Picture) -> Layout {
    let layers = layers(picture);
    let mut placed: BTreeMap<NodeId, Placed> = BTreeMap::new();
    let mut routes: Vec<(usize, Route)> = Vec::new();
    // Where the next block begins, the end of the present row, and the end of the widest one.
    let (mut x, mut y, mut bottom, mut right) = (PAD, PAD, PAD, 0.0_f64);
    for block in blocks(picture) {
        let mut part = Block::new(picture, &block, &layers);
        if x > PAD && x + part.width > ROW {
            (x, y) = (PAD, bottom + APART);
        }
        part.nodes.values_mut().for_each(|node| {
            node.x += x;
            node.y += y;
        });
        routes.extend(part.routes(x + part.inner, &layers));
        bottom = bottom.max(y + part.height);
        right = right.max(x + part.width);
        x += part.width + APART;
        placed.append(&mut part.nodes);
    }
    routes.sort_by_key(|(edge, _)| *edge);
    Layout {
        nodes: placed.into_values().collect(),
        routes: routes.into_iter().map(|(_, route)| route).collect(),
        width: right + PAD,
        height: bottom + PAD,
    }
}

/// Nodes that are connected with each other, and the edges between them as positions.
#[derive(Default)]
struct Members {
    nodes: Vec<NodeId>,
    edges: Vec<usize>,
}

/// The blocks, in the order in which the chains lead to them.
fn blocks(picture: &Picture) -> Vec<Members> {
    let mut neighbours: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for (from, to, ..) in &picture.edges {
        neighbours.entry(*from).or_default().push(*to);
        neighbours.entry(*to).or_default().push(*from);
    }
    let mut block_of: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut blocks: Vec<Members> = Vec::new();
    for &start in &picture.order {
        if block_of.contains_key(&start) {
            continue;
        }
        let mut members = Members::default();
        let mut queue = vec![start];
        while let Some(id) = queue.pop() {
            if block_of.insert(id, blocks.len()).is_none() {
                members.nodes.push(id);
                queue.extend(neighbours.get(&id).into_iter().flatten());
            }
        }
        members.nodes.sort_unstable();
        blocks.push(members);
    }
    for (nth, (from, ..)) in picture.edges.iter().enumerate() {
        let block = block_of.get(from).and_then(|&block| blocks.get_mut(block));
        block.into_iter().for_each(|block| block.edges.push(nth));
    }
    blocks
}

/// The layer of each node: one below what leads to it first.
fn layers(picture: &Picture) -> BTreeMap<NodeId, usize> {
    let mut layers: BTreeMap<NodeId, usize> = BTreeMap::new();
    // Edges are in the order in which the chains were followed.
    for (from, to, ..) in &picture.edges {
        let above = *layers.entry(*from).or_insert(0);
        layers.entry(*to).or_insert(above + 1);
    }
    layers
}

/// A block on its own, at the origin.
struct Block<'p> {
    picture: &'p Picture,
    edges: Vec<usize>,
    nodes: BTreeMap<NodeId, Placed>,
    /// Its width without and with the lines on its right.
    inner: f64,
    width: f64,
    height: f64,
}

impl<'p> Block<'p> {
    fn new(picture: &'p Picture, members: &Members, layers: &BTreeMap<NodeId, usize>) -> Self {
        let layer_of = |id: &NodeId| layers.get(id).copied().unwrap_or(0);
        let mut rows: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
        members.nodes.iter().for_each(|id| rows.entry(layer_of(id)).or_default().push(*id));
        let mut above: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for (from, to, ..) in members.edges.iter().filter_map(|&nth| picture.edges.get(nth)) {
            above.entry(*to).or_default().push(*from);
        }
        let mut nodes: BTreeMap<NodeId, Placed> = BTreeMap::new();
        let (mut inner, mut y): (f64, f64) = (0.0, 0.0);
        for row in rows.values() {
            // In the order of what leads here.
            let centre = |id: &NodeId| {
                let from = above.get(id).into_iter().flatten().filter_map(|from| nodes.get(from));
                let centres: Vec<f64> = from.map(|node| node.x + node.width / 2.0).collect();
                centres.iter().sum::<f64>() / (centres.len().max(1) as f64)
            };
            let mut order: Vec<(f64, NodeId)> = row.iter().map(|id| (centre(id), *id)).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let (mut x, mut tallest): (f64, f64) = (0.0, 0.0);
            for (_, id) in order {
                let Some(node) = picture.nodes.get(&id) else { continue };
                let placed = Placed { x, y, ..of_text(node) };
                x += placed.width + ACROSS;
                tallest = tallest.max(placed.height);
                nodes.insert(id, placed);
            }
            inner = inner.max(x - ACROSS);
            y += tallest + DOWN;
        }
        // Layers are centred.
        for row in rows.values() {
            let end = row.iter().filter_map(|id| nodes.get(id)).map(|node| node.x + node.width);
            let shift = (inner - end.fold(0.0, f64::max)) / 2.0;
            for id in row {
                nodes.entry(*id).and_modify(|node| node.x += shift);
            }
        }
        let mut block =
            Block { picture, edges: members.edges.clone(), nodes, inner, width: inner, height: y - DOWN };
        let around = block.around(layers);
        // The words of these lines begin on them.
        let words = around.iter().filter_map(|&nth| picture.edges.get(nth));
        let widest = words.map(|(_, _, text, _)| width(text)).max();
        if let Some(widest) = widest {
            block.width += SIDE + LANE * around.len() as f64 + widest as f64 * CHAR;
        }
        block
    }

    /// The edges that do not lead to the next layer: they pass the others on the right.
    fn around(&self, layers: &BTreeMap<NodeId, usize>) -> Vec<usize> {
        let leads_down = |nth: &usize| {
            let edge = self.picture.edges.get(*nth);
            let layers = edge.and_then(|(from, to, ..)| Some((layers.get(from)?, layers.get(to)?)));
            layers.is_some_and(|(from, to)| from + 1 == *to)
        };
        self.edges.iter().copied().filter(|nth| !leads_down(nth)).collect()
    }

    /// The lines, when the nodes have their places. `end`: where the nodes of the block end on the right.
    fn routes(&self, end: f64, layers: &BTreeMap<NodeId, usize>) -> Vec<(usize, Route)> {
        let around = self.around(layers);
        let route = |&nth: &usize| {
            let (from, to, ..) = self.picture.edges.get(nth)?;
            let (from, to) = (self.nodes.get(from)?, self.nodes.get(to)?);
            let lane = around.iter().position(|&other| other == nth);
            Some((
                nth,
                match lane {
                    Some(lane) => aside(from, to, end + SIDE / 2.0 + LANE * lane as f64),
                    None => down(from, to),
                },
            ))
        };
        self.edges.iter().filter_map(route).collect()
    }
}

/// A line to the next layer.
fn down(from: &Placed, to: &Placed) -> Route {
    let (x1, y1) = (from.x + from.width / 2.0, from.y + from.height);
    let (x2, y2) = (to.x + to.width / 2.0, to.y);
    let middle = (y1 + y2) / 2.0;
    let path = format!("M{x1:.1} {y1:.1}C{x1:.1} {middle:.1} {x2:.1} {middle:.1} {x2:.1} {y2:.1}");
    Route { path, label: ((x1 + x2) / 2.0 + 4.0, middle + 3.0) }
}

/// A line to another layer, or to the same node: around the right side of all.
fn aside(from: &Placed, to: &Placed, side: f64) -> Route {
    let (x1, y1) = (from.x + from.width, from.y + from.height * 0.6);
    let (x2, y2) = (to.x + to.width, to.y + to.height * 0.4);
    let turn = if y2 < y1 { -8.0 } else { 8.0 };
    let path = format!(
        "M{x1:.1} {y1:.1}H{:.1}Q{side:.1} {y1:.1} {side:.1} {:.1}V{:.1}Q{side:.1} {y2:.1} {:.1} {y2:.1}H{x2:.1}",
        side - 8.0,
        y1 + turn,
        y2 - turn,
        side - 8.0
    );
    Route { path, label: (side + 4.0, (y1 + y2) / 2.0 + 3.0) }
}

/// A node at the origin that has room for its text.
fn of_text((texts, shape): &(Vec<String>, Shape)) -> Placed {
    let lines: Vec<String> = texts.iter().flat_map(|text| broken(&escape(text))).collect();
    let widest = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    let (width, height) = (widest as f64 * CHAR + 2.0 * PAD, lines.len() as f64 * LINE + 2.0 * PAD);
    Placed { x: 0.0, y: 0.0, width, height, lines, shape: *shape }
}

/// Breaks a long text: at a space, behind a separator of names, or where a word begins inside a name.
fn broken(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut at = 0;
    for c in text.chars() {
        let columns = width(c.encode_utf8(&mut [0; 4]));
        let suits = matches!(c, ' ' | '.' | '/' | '(' | '[') || c.is_uppercase() || at >= LONGEST;
        if at >= WIDEST && suits && columns > 0 {
            if lines.len() == LINES {
                lines.last_mut().into_iter().for_each(|line| line.push('…'));
                break;
            }
            lines.push(String::new());
            at = 0;
            if c == ' ' {
                continue;
            }
        }
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
        at += columns;
    }
    lines
}
