//! Chains of waits as a picture: SVG that needs nothing else.

use std::io::{self, Write};

use layout::{Placed, layout};

use super::dot::{Picture, Shape};
use super::escape::escape;
use super::line::width;
use crate::analysis::why::{Chain, Why};
use crate::snapshot::Certainty;

mod layout;

/// Width of a character, height of a line, and the space around the text of a node, pixels. In a font whose characters
/// are equally wide, texts fit into their boxes in every browser.
const CHAR: f64 = 6.65;
const LINE: f64 = 14.0;
const PAD: f64 = 8.0;
const FONT: &str = "'DejaVu Sans Mono',Menlo,Consolas,monospace";
/// Space of a sample in the legend, and the least width of a picture, pixels.
const SAMPLE: f64 = 34.0;
const NARROWEST: f64 = 480.0;

/// Writes chains as a picture.
///
/// # Errors
/// Those of `out`.
pub fn write(why: &Why<'_>, chains: &[&Chain], out: &mut dyn Write) -> io::Result<()> {
    let picture = Picture::new(why, chains);
    let placed = layout(&picture);
    let right = placed.width.max(NARROWEST);
    let (below, end) = below(&picture, (right, placed.height));
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" height=\"{end:.0}\" \
         viewBox=\"0 0 {right:.0} {end:.0}\" font-family=\"{FONT}\" font-size=\"11\">"
    )?;
    writeln!(out, "<title>What keeps tasks waiting</title>")?;
    writeln!(out, "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>")?;
    writeln!(
        out,
        "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>"
    )?;
    let edges = || picture.edges.iter().zip(&placed.routes);
    for ((_, _, _, certainty), route) in edges() {
        line(&route.path, *certainty, " marker-end=\"url(#head)\"", out)?;
    }
    for node in &placed.nodes {
        box_of(node, out)?;
    }
    // Above all lines, so that none runs through a word.
    for ((_, _, text, _), route) in edges() {
        label(route.label, text, out)?;
    }
    out.write_all(&below)?;
    writeln!(out, "</svg>")
}

fn box_of(node: &Placed, out: &mut dyn Write) -> io::Result<()> {
    let Placed { x, y, width, height, shape, .. } = node;
    rect((*x, *y, *width, *height), *shape, out)?;
    for (nth, line) in node.lines.iter().enumerate() {
        let weight = if nth == 0 { " font-weight=\"bold\"" } else { "" };
        let (x, y) = (x + PAD, y + PAD + LINE * (nth as f64 + 0.8));
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\"{weight}>{}</text>", xml(line))?;
    }
    Ok(())
}

/// A line, solid only if what it says is sure.
fn line(path: &str, certainty: Certainty, head: &str, out: &mut dyn Write) -> io::Result<()> {
    let dashes = match certainty {
        Certainty::Sure => "",
        Certainty::Likely => " stroke-dasharray=\"6 3\"",
        Certainty::Perhaps => " stroke-dasharray=\"2 3\"",
    };
    writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"#555\"{dashes}{head}/>")
}

/// A box: left, top, width, height.
fn rect((x, y, width, height): (f64, f64, f64, f64), shape: Shape, out: &mut dyn Write) -> io::Result<()> {
    let radius = if shape == Shape::Thing { height.min(24.0) / 2.0 } else { 3.0 };
    let fill = fill(shape);
    writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\" fill=\"{fill}\" \
         stroke=\"#888\"/>"
    )
}

/// The words beside a line, with a white edge around each letter.
fn label((x, y): (f64, f64), text: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"#444\" font-size=\"10\" stroke=\"white\" stroke-width=\"3\" \
         paint-order=\"stroke\">{}</text>",
        xml(&escape(text))
    )
}

/// What lines and colours mean, and what is not drawn: below the picture. Returns where that ends, too.
fn below(picture: &Picture, (right, top): (f64, f64)) -> (Vec<u8>, f64) {
    let mut out = Vec::new();
    let (mut x, mut y) = (PAD, top + LINE);
    let mut room = |text: &str| {
        let needed = SAMPLE + (width(text) + 3) as f64 * CHAR;
        if x > PAD && x + needed > right {
            (x, y) = (PAD, y + LINE + 4.0);
        }
        x += needed;
        (x - needed, y)
    };
    // Writing to memory does not fail.
    let used = |certainty| picture.edges.iter().any(|edge| edge.3 == certainty);
    let lines = [(Certainty::Sure, "sure"), (Certainty::Likely, "likely"), (Certainty::Perhaps, "perhaps")];
    for (certainty, text) in lines.into_iter().filter(|(certainty, _)| used(*certainty)) {
        let (x, y) = room(text);
        let _ = line(&format!("M{x:.1} {y:.1}h28"), certainty, "", &mut out);
        let _ = label((x + SAMPLE, y + 4.0), text, &mut out);
    }
    let used = |shape| picture.nodes.values().any(|node| node.1 == shape);
    let shapes = [
        (Shape::End, "a chain ends at this task"),
        (Shape::Cycle, "tasks that wait for each other"),
        (Shape::Thing, "what is waited for"),
        (Shape::Outside, "outside, or time"),
    ];
    for (shape, text) in shapes.into_iter().filter(|(shape, _)| used(*shape)) {
        let (x, y) = room(text);
        let _ = rect((x, y - 6.0, 28.0, 12.0), shape, &mut out);
        let _ = label((x + SAMPLE, y + 4.0), text, &mut out);
    }
    let mut end = y;
    if let Some(text) = picture.not_drawn() {
        end += LINE + 4.0;
        let _ = label((PAD, end + 4.0), &text, &mut out);
    }
    (out, end + LINE)
}

/// The colour of a node.
fn fill(shape: Shape) -> &'static str {
    match shape {
        Shape::Task => "#ffffff",
        Shape::End => "#ffe0b0",
        Shape::Cycle => "#ffd0d0",
        Shape::Thing => "#f0f0f0",
        Shape::Outside => "#e0ecff",
    }
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
