//! Chains as lines of some width: the text of `loiter why` and the dashboard share them.

use super::Row;
use crate::report::escape::escape;
use crate::report::line::{width, wrapped_from};
use crate::report::units::count;

/// A chain is not indented further than this many levels.
const DEEPEST: usize = 24;

/// How a piece of a line stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The task at the head of a chain.
    Head,
    /// The end of a chain.
    End,
    /// Everything else.
    Plain,
    /// What matters less.
    Dim,
}

/// A line on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLine {
    /// Its pieces from left to right, with the spaces between them. Raw from the target: escape before printing.
    pub pieces: Vec<(Look, String)>,
    /// The row that it belongs to.
    pub row: Option<usize>,
}

/// How chains are put on a page.
#[derive(Debug, Clone, Copy)]
pub struct PageOptions {
    /// Columns.
    pub width: usize,
    /// At most this many rows of one chain, from its beginning and from its end.
    pub most: usize,
    /// With the directories of packages and files, however long they are.
    pub full: bool,
    /// What shows all rows, in brackets: " (-v shows them)".
    pub hint: &'static str,
}

/// Puts the rows of a chain on lines.
pub fn lines(rows: &[Row], options: &PageOptions) -> Vec<PageLine> {
    let mut rows = rows.to_vec();
    shorten(&mut rows, options);
    let left = rows.len().saturating_sub(options.most);
    let half = options.most / 2;
    let (head, tail) = if left > 0 { (half, half + left) } else { (rows.len(), rows.len()) };
    let shown = || rows.iter().take(head).chain(rows.iter().skip(tail));
    let widest = |of: &dyn Fn(&Row) -> usize| shown().map(of).max().unwrap_or(0);
    let text = widest(&|row| indent(row) + wide(&row.text));
    let function = widest(&|row| wide(&row.function));
    let place = widest(&|row| wide(&row.place));
    // The places have a column of their own, as far to the left as most lines allow.
    let right = options.width.saturating_sub(function + 2 + place);
    let column = (text + 2).max(options.width / 3).min(right);
    let mut lines = Vec::new();
    for (nth, row) in rows.iter().enumerate() {
        if nth == head && left > 0 {
            let text = format!("  ... {}{}", count(left as u64, "more step"), options.hint);
            lines.push(PageLine { pieces: vec![(Look::Dim, text)], row: None });
        }
        if nth < head || nth >= tail {
            let pieces = self::row(row, nth == 0, (column, function), options.width);
            lines.extend(pieces.into_iter().map(|pieces| PageLine { pieces, row: Some(nth) }));
        }
    }
    lines
}

/// Leaves the directories of packages and files out if they would take too much of the line.
fn shorten(rows: &mut [Row], options: &PageOptions) {
    let widest = |of: fn(&Row) -> &str| rows.iter().map(|row| wide(of(row))).max().unwrap_or(0);
    let places = widest(|row| &row.function) + 2 + widest(|row| &row.place);
    if options.full || places <= options.width * 3 / 5 {
        return;
    }
    for row in rows {
        for text in [&mut row.function, &mut row.place] {
            if let Some(slash) = text.rfind('/') {
                text.drain(..=slash);
            }
        }
    }
}

/// The lines of one row: its place is behind the text if there is room, else on a line of its own.
fn row(row: &Row, first: bool, (column, function): (usize, usize), limit: usize) -> Vec<Vec<(Look, String)>> {
    let start = indent(row);
    let mut line = Pieces::default();
    if row.depth > 0 {
        line.pad(start - 2, 0);
        line.push(Look::Dim, "└ ");
    }
    let look = match (first, row.ends) {
        (true, _) => Look::Head,
        (false, true) => Look::End,
        (false, false) => Look::Plain,
    };
    let mut lines = Vec::new();
    let has_place = !row.function.is_empty() || !row.place.is_empty();
    let behind = start + wide(&row.text) + 2;
    let place = wide(&row.function) + 2 + wide(&row.place);
    if !has_place || behind > column && behind + place > limit {
        for (nth, text) in wrapped_from(&row.text, start, limit, start + 2).iter().enumerate() {
            if nth > 0 {
                lines.push(std::mem::take(&mut line).0);
                line.pad(start + 2, 0);
            }
            line.push(look, text);
        }
        if !has_place {
            lines.push(line.0);
            return lines;
        }
        lines.push(std::mem::take(&mut line).0);
        line.pad(column, 0);
    } else {
        line.push(look, &row.text);
        line.pad(column, 2);
    }
    line.push(Look::Plain, &row.function);
    line.pad(column + function + 2, 2);
    line.push(Look::Dim, &row.place);
    lines.push(line.0);
    lines
}

/// A line under construction.
#[derive(Default)]
struct Pieces(Vec<(Look, String)>);

impl Pieces {
    fn push(&mut self, look: Look, text: &str) {
        self.0.push((look, text.to_owned()));
    }

    /// Adds spaces up to a column; at least `gap` of them.
    fn pad(&mut self, column: usize, gap: usize) {
        let used: usize = self.0.iter().map(|(_, text)| wide(text)).sum();
        let spaces = column.saturating_sub(used).max(gap);
        self.push(Look::Plain, &" ".repeat(spaces));
    }
}

/// The column where the text of a row begins.
fn indent(row: &Row) -> usize {
    2 * row.depth.min(DEEPEST)
}

fn wide(text: &str) -> usize {
    width(&escape(text))
}
