//! Lines of text about a task, and frames in such lines.

use super::query::TaskKey;
use crate::analysis::frames::ShownFrame;
use crate::report::escape;
use crate::report::line::width;
use crate::report::text::place_of;
use crate::snapshot::{Frame, Snapshot};

/// What a piece of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// A count or a name at the head.
    Head,
    /// Why a task waits.
    State,
    /// Says what follows: "created by".
    Title,
    /// Text.
    Plain,
    /// A file, or something else that matters less.
    Dim,
}

/// A line: pieces of escaped text, and the task that it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The pieces, from left to right.
    pub pieces: Vec<(PieceKind, String)>,
    /// Enter goes there.
    pub link: Option<TaskKey>,
}

impl Row {
    /// A line of one piece.
    pub fn new(kind: PieceKind, text: &str) -> Self {
        Row::default().add(kind, text)
    }

    /// Adds a piece; escapes it.
    #[must_use]
    pub fn add(mut self, kind: PieceKind, text: &str) -> Self {
        self.pieces.push((kind, escape(text).into_owned()));
        self
    }

    /// Its text.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| width(text)).sum()
    }

    /// Adds spaces up to a column.
    pub(super) fn pad(self, column: usize) -> Self {
        let spaces = column.saturating_sub(self.width()).max(2);
        self.add(PieceKind::Plain, &" ".repeat(spaces))
    }
}

/// Frames in two columns; if both do not fit, files have lines of their own.
pub fn frames(snapshot: &Snapshot, shown: &[ShownFrame], columns: usize) -> Vec<Row> {
    let texts: Vec<(String, String)> = (shown.iter())
        .map(|f| (snapshot.function_name(f.frame.function).to_owned(), place(snapshot, f.frame)))
        .collect();
    let widest = |of: fn(&(String, String)) -> &String| {
        texts.iter().map(|pair| width(&escape(of(pair)))).max().unwrap_or(0)
    };
    let (functions, places) = (widest(|pair| &pair.0), widest(|pair| &pair.1));
    let column = (functions + 4).min(columns.saturating_sub(places + 1));
    let mut rows = Vec::new();
    for (function, place) in &texts {
        let row = Row::new(PieceKind::Plain, &format!("  {function}"));
        let end = row.width().saturating_add(2).max(column) + width(&escape(place));
        if place.is_empty() {
            rows.push(row);
        } else if end <= columns {
            rows.push(row.pad(column).add(PieceKind::Dim, place));
        } else {
            rows.push(row);
            rows.push(Row::new(PieceKind::Dim, &format!("      {place}")));
        }
    }
    rows
}

/// "internal/fetch/fetch.go:84".
pub fn place(snapshot: &Snapshot, frame: Frame) -> String {
    place_of(snapshot, frame, false)
}
