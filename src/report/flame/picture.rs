//! A flame graph in text: a row of boxes for each depth, the outermost at the top.

use std::io::{self, Write};

use anstyle::{Ansi256Color, Style};
use rustc_hash::FxHashSet;

use super::super::escape::escape;
use super::super::line::{DIM, HEAD, Line, PLAIN, STATE, width};
use super::super::units::{age, count, thousands};
use super::palette::{Rgb, color, legend};
use super::{Caption, Colors, amount, change, share};
use crate::analysis::flame::{Flame, NodeId};

/// The appearance of a picture.
#[derive(Debug, Clone, Copy)]
pub struct PictureOptions {
    /// Columns.
    pub width: usize,
    /// With colours.
    pub color: bool,
    /// What colours mean.
    pub colors: Colors,
    /// Frames narrower than this are left out, percent of the whole width; frames narrower than a column are, too.
    pub min_width: f64,
}

/// Boxes that get a letter because their name does not fit.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// At most this many rows. Deeper frames are left out, and counted.
const MAX_ROWS: usize = 300;

/// At most this many names are listed for frames that follow each other without a branch.
const MAX_CHAIN: usize = 24;

/// Columns that a box needs to show part of a name beside its letter.
const PART: usize = 12;

/// A frame with its place in the picture.
#[derive(Debug, Clone, Copy)]
struct Block {
    node: NodeId,
    start: usize,
    columns: usize,
    letter: Option<char>,
}

impl Block {
    /// Columns between its brackets; a box of one or two columns has none.
    fn inside(&self) -> usize {
        if self.columns < 3 { self.columns } else { self.columns - 2 }
    }
}

/// Draws a graph, and below it the names that did not fit. `notes` are written at the end.
///
/// # Errors
/// Those of `out`.
pub fn write(
    flame: &Flame,
    caption: &Caption,
    options: &PictureOptions,
    notes: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    let head = [(HEAD, caption.title.clone()), (HEAD, caption.subtitle(flame))];
    Line::new(options.color).wrap(&head, " · ", 2, options.width, out)?;
    write_legend(flame, options, out)?;
    writeln!(out)?;
    let (mut rows, left_out) = layout(flame, options);
    let unnamed = give_letters(flame, &mut rows);
    for row in &rows {
        write_row(flame, row, options, out)?;
    }
    write_names(flame, caption, &rows, options, out)?;
    let mut notes = notes.to_vec();
    if unnamed > 0 {
        notes.insert(0, format!("{} narrower ones have no name here", thousands(unnamed)));
    }
    if left_out > 0 {
        let hint = "-o FILE.svg, or --function and other filters, show them";
        let frames = count(left_out, "frame");
        notes.insert(0, format!("{frames} too narrow or too deep for the picture ({hint})"));
    }
    if !notes.is_empty() {
        writeln!(out)?;
    }
    for note in &notes {
        let words: Vec<_> = note.split(' ').map(|word| (DIM, word.to_owned())).collect();
        let mut line = Line::new(options.color);
        line.push(PLAIN, " ");
        line.wrap(&words, " ", 3, options.width, out)?;
    }
    Ok(())
}

/// The meaning of the colours or, without colours, what the tasks wait for.
fn write_legend(flame: &Flame, options: &PictureOptions, out: &mut dyn Write) -> io::Result<()> {
    if !options.color && (flame.is_difference() || options.colors == Colors::Package) {
        return Ok(());
    }
    let mut line = Line::new(options.color);
    line.push(PLAIN, " ");
    for (nth, (rgb, text)) in legend(flame, options.colors, 8).into_iter().enumerate() {
        if line.width() + 4 + width(&text) > options.width {
            break;
        }
        line.pad(0, if nth > 0 { 2 } else { 1 });
        if options.color {
            line.push(background(rgb), "  ").push(PLAIN, " ");
        }
        line.push(PLAIN, &text);
    }
    line.write(out)
}

/// The boxes of each row from left to right, and how many frames do not fit.
fn layout(flame: &Flame, options: &PictureOptions) -> (Vec<Vec<Block>>, u64) {
    let all = flame.node(NodeId::ALL).width.max(1);
    let column = |offset: u64| (u128::from(offset) * options.width as u128 / u128::from(all)) as usize;
    let least = (all as f64 * options.min_width / 100.0) as u64;
    let mut rows: Vec<Vec<Block>> = Vec::new();
    // For each depth, where the next frame begins.
    let mut offsets = vec![0_u64];
    let mut left_out = 0;
    let mut at = 0;
    while let Some(node) = flame.nodes.get(at) {
        let depth = node.depth as usize;
        let offset = offsets.get(depth).copied().unwrap_or_default();
        offsets.truncate(depth);
        offsets.push(offset.saturating_add(node.width));
        let (start, end) = (column(offset), column(offset.saturating_add(node.width)));
        if end <= start || depth >= MAX_ROWS || node.width < least {
            left_out += u64::from(node.end.0).saturating_sub(at as u64);
            at = node.end.index();
            continue;
        }
        if rows.len() <= depth {
            rows.push(Vec::new());
        }
        if let Some(row) = rows.get_mut(depth) {
            row.push(Block { node: NodeId(at as u32), start, columns: end - start, letter: None });
        }
        // Its children begin where it begins.
        offsets.push(offset);
        at += 1;
    }
    (rows, left_out)
}

/// Letters for the widest boxes whose names do not fit, in the order in which they are drawn. A box that
/// follows another without a branch shares its letter. Returns how many boxes get none.
fn give_letters(flame: &Flame, rows: &mut [Vec<Block>]) -> u64 {
    let fits = |b: &Block| b.columns > 2 && width(&short_name(flame, b.node)) <= b.inside();
    // In a difference, frames that did not change get no letter.
    let same = |b: &Block| flame.is_difference() && flame.was(b.node).weight == flame.node(b.node).now.weight;
    let no_room: FxHashSet<NodeId> =
        rows.iter().flatten().filter(|b| !fits(b) && !same(b)).map(|b| b.node).collect();
    let shares = |b: &Block| {
        let parent = flame.node(b.node).parent;
        no_room.contains(&parent) && only_child(flame, parent) == Some(b.node)
    };
    let mut cut: Vec<&mut Block> =
        rows.iter_mut().flatten().filter(|b| no_room.contains(&b.node) && !shares(b)).collect();
    let left = cut.len().saturating_sub(LETTERS.len()) as u64;
    if left > 0 {
        cut.sort_by_key(|b| std::cmp::Reverse(b.columns));
        cut.truncate(LETTERS.len());
        cut.sort_by_key(|b| (flame.node(b.node).depth, b.start));
    }
    for (b, &letter) in cut.into_iter().zip(LETTERS) {
        b.letter = Some(char::from(letter));
    }
    left
}

/// The child of a node, if no task ends there or goes another way.
fn only_child(flame: &Flame, node: NodeId) -> Option<NodeId> {
    flame.children(node).next().filter(|&child| flame.node(child).width == flame.node(node).width)
}

/// A name without the directories of its package: "http.(*conn).serve". Escaped.
fn short_name(flame: &Flame, node: NodeId) -> String {
    let name = escape(&flame.name(node).text);
    // Type arguments may have slashes of their own.
    let end = name.find(['[', '(', '<', ' ']).unwrap_or(name.len());
    let start = name.get(..end).and_then(|head| head.rfind('/')).map_or(0, |slash| slash + 1);
    name.get(start..).unwrap_or_default().to_owned()
}

fn write_row(flame: &Flame, row: &[Block], options: &PictureOptions, out: &mut dyn Write) -> io::Result<()> {
    let mut line = Line::new(options.color);
    for b in row {
        line.pad(b.start, 0);
        let style = background(color(flame, b.node, options.colors));
        line.push(style, &label(flame, b));
    }
    line.write(out)
}

/// The text of a box, as wide as the box.
fn label(flame: &Flame, b: &Block) -> String {
    let inside = b.inside();
    let text = match b.letter {
        Some(letter) if inside >= PART => {
            format!("{letter} {}", cut(&short_name(flame, b.node), inside - 2))
        }
        Some(letter) => letter.to_string(),
        None => whole_label(flame, b.node, inside),
    };
    let spaces = " ".repeat(inside.saturating_sub(width(&text)));
    match (b.columns, text.is_empty()) {
        (1, true) => "|".to_owned(),
        (2, true) => "[]".to_owned(),
        (1 | 2, false) => format!("{text}{spaces}"),
        _ => format!("[{text}{spaces}]"),
    }
}

/// As much of name and figures as fits: the whole name and the figures, the short name and the figures, or a
/// name alone. Empty if not even the short name fits.
fn whole_label(flame: &Flame, node: NodeId, room: usize) -> String {
    let name = escape(&flame.name(node).text).into_owned();
    let short = short_name(flame, node);
    let figures =
        if flame.is_difference() { change(flame, node) } else { amount(flame, flame.node(node).now.weight) };
    let candidates = [format!("{name}  {figures}"), format!("{short}  {figures}"), name, short];
    candidates.into_iter().find(|text| width(text) <= room).unwrap_or_default()
}

/// The beginning of escaped text that fits into some columns, with a mark for the cut.
fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut part = String::new();
    for c in text.chars() {
        part.push(c);
        if width(&part) + 1 > columns {
            part.pop();
            break;
        }
    }
    part.push('…');
    part
}

/// The names of the boxes that have letters.
fn write_names(
    flame: &Flame,
    caption: &Caption,
    rows: &[Vec<Block>],
    options: &PictureOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let lettered: Vec<_> = rows.iter().flatten().filter_map(|b| Some((b.letter?, b.node))).collect();
    if lettered.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let weights = lettered.iter().map(|&(_, node)| width(&weight(flame, node))).max().unwrap_or(0);
    for (letter, node) in lettered {
        let mut line = Line::new(options.color);
        let style = background(color(flame, node, options.colors));
        line.push(PLAIN, " ").push(style, &letter.to_string());
        line.right(HEAD, &weight(flame, node), 4 + weights).pad(0, 2);
        let mut words = chain(flame, node);
        words.push((STATE, details(flame, node, caption)));
        line.wrap(&words, "  ", 8 + weights, options.width, out)?;
    }
    Ok(())
}

/// The whole name of a node, then the short names of the nodes that follow it without a branch.
fn chain(flame: &Flame, node: NodeId) -> Vec<(Style, String)> {
    let mut names = vec![(PLAIN, flame.name(node).text.clone())];
    let mut at = node;
    while let Some(next) = only_child(flame, at).filter(|_| names.len() < MAX_CHAIN) {
        names.push((PLAIN, format!("> {}", short_name(flame, next))));
        at = next;
    }
    if only_child(flame, at).is_some() {
        names.push((PLAIN, "> ...".to_owned()));
    }
    names
}

/// "select, 2 goroutines, 41 min or more", "select, 2 goroutines, was 3".
fn details(flame: &Flame, node: NodeId, caption: &Caption) -> String {
    let figures = flame.node(node).now;
    let mut details: Vec<_> =
        flame.reasons_of(node).first().map(|&(id, _)| flame.reason(id).to_owned()).into_iter().collect();
    details.push(count(figures.count, &caption.noun));
    if flame.is_difference() {
        details.push(format!("was {}", thousands(flame.was(node).count)));
    }
    details.push(age(figures.oldest));
    details.retain(|text| !text.is_empty());
    details.join(", ")
}

fn weight(flame: &Flame, node: NodeId) -> String {
    if flame.is_difference() { change(flame, node) } else { share(flame, node) }
}

/// Black on the nearest of the 256 colours that terminals share.
fn background(Rgb(r, g, b): Rgb) -> Style {
    // The levels of a channel are 0, 95, 135, 175, 215 and 255.
    let level = |c: u8| (u16::from(c).saturating_sub(35) / 40).min(5) as u8;
    let grey = r == g && g == b;
    let index = if grey {
        232 + (u16::from(r).saturating_sub(8) / 10).min(23) as u8
    } else {
        16 + 36 * level(r) + 6 * level(g) + level(b)
    };
    Style::new().fg_color(Some(Ansi256Color(16).into())).bg_color(Some(Ansi256Color(index).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_names_are_as_wide_as_their_room() {
        for (text, columns, part) in [
            ("main.run", 8, "main.run"),
            ("main.run", 7, "main.r…"),
            ("東京東京", 7, "東京東…"),
            ("東京東京", 6, "東京…"),
            ("main.run", 1, "…"),
        ] {
            assert_eq!(cut(text, columns), part);
            assert!(width(part) <= columns);
        }
    }

    #[test]
    fn greys_and_colours_of_terminals() {
        assert_eq!(background(Rgb(255, 255, 255)).get_bg_color(), Some(Ansi256Color(255).into()));
        assert_eq!(background(Rgb(0xe2, 0xe2, 0xe2)).get_bg_color(), Some(Ansi256Color(253).into()));
        assert_eq!(background(Rgb(0xf0, 0x8a, 0x24)).get_bg_color(), Some(Ansi256Color(208).into()));
    }
}
