//! Chains of waits as a picture: SVG that needs nothing else.
//!
//! Each node is a layer below the node that leads to it first. Within a layer, nodes are in the order of those that
//! lead to them, so that few lines cross.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::dot::{Picture, Shape};
use super::escape::escape;
use super::line::width;
use crate::analysis::why::{Chain, NodeId, Why};
use crate::snapshot::Certainty;

/// Width of a character, height of a line, and the space around the text of a node, pixels.
const CHAR: f64 = 6.4;
const LINE: f64 = 14.0;
const PAD: f64 = 8.0;
/// Space between the nodes of a layer, and between layers, pixels.
const ACROSS: f64 = 24.0;
const DOWN: f64 = 56.0;
/// Longer lines of a node are broken, characters.
const WIDEST: usize = 44;

/// Where a node is, and what it says.
struct Placed {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    lines: Vec<String>,
    shape: Shape,
}

/// Writes chains as a picture.
///
/// # Errors
/// Those of `out`.
pub fn write(why: &Why<'_>, chains: &[&Chain], out: &mut dyn Write) -> io::Result<()> {
    let picture = Picture::new(why, chains);
    let (placed, right, bottom) = layout(&picture);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" height=\"{bottom:.0}\" \
         viewBox=\"0 0 {right:.0} {bottom:.0}\" font-family=\"sans-serif\" font-size=\"11\">"
    )?;
    writeln!(out, "<title>What keeps tasks waiting</title>")?;
    writeln!(out, "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>")?;
    writeln!(
        out,
        "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>"
    )?;
    for (from, to, label, certainty) in &picture.edges {
        if let (Some(from), Some(to)) = (placed.get(from), placed.get(to)) {
            edge(from, to, label, *certainty, out)?;
        }
    }
    for node in placed.values() {
        box_of(node, out)?;
    }
    writeln!(out, "</svg>")
}

/// Puts each node into its place. Returns the places and the size of the picture.
fn layout(picture: &Picture) -> (BTreeMap<NodeId, Placed>, f64, f64) {
    let layers = layers(picture);
    let mut placed: BTreeMap<NodeId, Placed> = BTreeMap::new();
    let mut right: f64 = 0.0;
    let mut y = PAD;
    for layer in &layers {
        // In the order of what leads here.
        let above = |id: &NodeId| {
            let from = picture.edges.iter().filter(|edge| edge.1 == *id);
            let centres: Vec<f64> =
                from.filter_map(|edge| placed.get(&edge.0)).map(|node| node.x + node.width / 2.0).collect();
            centres.iter().sum::<f64>() / (centres.len().max(1) as f64)
        };
        let mut order: Vec<(f64, NodeId)> = layer.iter().map(|id| (above(id), *id)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut x = PAD;
        let mut tallest: f64 = 0.0;
        for (_, id) in order {
            let Some((lines, shape)) = picture.nodes.get(&id) else { continue };
            let lines: Vec<String> = lines.iter().flat_map(|line| broken(&escape(line))).collect();
            let widest = lines.iter().map(|line| width(line)).max().unwrap_or(0) as f64;
            let size = (widest * CHAR + 2.0 * PAD, lines.len() as f64 * LINE + 2.0 * PAD);
            placed.insert(id, Placed { x, y, width: size.0, height: size.1, lines, shape: *shape });
            x += size.0 + ACROSS;
            tallest = tallest.max(size.1);
        }
        right = right.max(x - ACROSS + PAD);
        y += tallest + DOWN;
    }
    // Layers are centred.
    for layer in &layers {
        let end =
            layer.iter().filter_map(|id| placed.get(id)).map(|node| node.x + node.width).fold(0.0, f64::max);
        let shift = (right - PAD - end) / 2.0;
        for id in layer {
            placed.entry(*id).and_modify(|node| node.x += shift);
        }
    }
    // Lines that lead back run on the right.
    (placed, right.max(200.0) + 60.0, (y - DOWN + PAD).max(60.0))
}

/// The nodes of each layer: one below what leads to them first.
fn layers(picture: &Picture) -> Vec<Vec<NodeId>> {
    let mut layer: BTreeMap<NodeId, usize> = BTreeMap::new();
    // Edges are in the order in which the chains were followed.
    for (from, to, ..) in &picture.edges {
        let above = *layer.entry(*from).or_insert(0);
        layer.entry(*to).or_insert(above + 1);
    }
    picture.nodes.keys().for_each(|id| _ = layer.entry(*id).or_insert(0));
    let deepest = layer.values().max().map_or(0, |deepest| deepest + 1);
    let mut layers = vec![Vec::new(); deepest];
    for (id, nth) in layer {
        layers.get_mut(nth).map(|layer: &mut Vec<NodeId>| layer.push(id)).unwrap_or_default();
    }
    layers
}

/// Breaks a long line.
fn broken(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut at = 0;
    for c in text.chars() {
        if at >= WIDEST && (c == ' ' || at >= 2 * WIDEST) {
            lines.push(String::new());
            at = 0;
            if c == ' ' {
                continue;
            }
        }
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
        at += 1;
    }
    lines
}

fn box_of(node: &Placed, out: &mut dyn Write) -> io::Result<()> {
    let (fill, radius) = match node.shape {
        Shape::Task => ("#ffffff", 3),
        Shape::End => ("#ffe0b0", 3),
        Shape::Thing => ("#f0f0f0", 12),
        Shape::Outside => ("#e0ecff", 3),
    };
    let Placed { x, y, width, height, .. } = node;
    writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\" fill=\"{fill}\" \
         stroke=\"#888\"/>"
    )?;
    for (nth, line) in node.lines.iter().enumerate() {
        let weight = if nth == 0 { " font-weight=\"bold\"" } else { "" };
        let (x, y) = (x + PAD, y + PAD + LINE * (nth as f64 + 0.8));
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\"{weight}>{}</text>", xml(line))?;
    }
    Ok(())
}

fn edge(
    from: &Placed,
    to: &Placed,
    label: &str,
    certainty: Certainty,
    out: &mut dyn Write,
) -> io::Result<()> {
    let dashes = match certainty {
        Certainty::Sure => "",
        Certainty::Likely => " stroke-dasharray=\"6 3\"",
        Certainty::Perhaps => " stroke-dasharray=\"2 3\"",
    };
    let (x1, y1) = (from.x + from.width / 2.0, from.y + from.height);
    let (x2, y2) = (to.x + to.width / 2.0, to.y);
    let (path, x, y) = if y2 > y1 {
        let middle = (y1 + y2) / 2.0;
        let path = format!("M{x1:.1} {y1:.1}C{x1:.1} {middle:.1} {x2:.1} {middle:.1} {x2:.1} {y2:.1}");
        (path, (x1 + x2) / 2.0 + 4.0, middle + 3.0)
    } else {
        // Back to a layer above, or to the same node: around the right side of both.
        let (x1, y1) = (from.x + from.width, from.y + from.height / 2.0);
        let (x2, y2) = (to.x + to.width, to.y + to.height / 2.0);
        let side = x1.max(x2) + 40.0;
        let path = format!("M{x1:.1} {y1:.1}C{side:.1} {y1:.1} {side:.1} {y2:.1} {x2:.1} {y2:.1}");
        (path, side - 34.0, (y1 + y2) / 2.0)
    };
    writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"#555\"{dashes} marker-end=\"url(#head)\"/>")?;
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"#555\" font-size=\"9\">{}</text>",
        xml(&escape(label))
    )
}

/// Text in XML.
fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
