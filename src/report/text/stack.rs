//! The lines of a stack, and the place where a task was started.

use std::io;

use anstyle::Style;

use super::super::escape::escape;
use super::super::line::{DIM, Line, PLAIN, TITLE, width};
use super::super::path::short_path;
use super::super::units::count;
use super::Page;
use crate::analysis::ShownFrame;
use crate::snapshot::{Frame, Snapshot, StackStatus};

/// Column at which what belongs to a task or a group begins.
pub(super) const INDENT: usize = 8;

/// Column of the places where there is room: the same for all stacks of a report.
const PLACES: usize = 48;

/// Frames shown at each end of a very deep stack.
const ENDS: usize = 50;

/// A function and its place, not yet escaped.
struct Row<'a> {
    function: &'a str,
    place: String,
}

/// "internal/fetch/fetch.go:88".
pub(super) fn place(page: &Page<'_>, frame: Frame) -> String {
    place_of(page.snapshot, frame, page.options.full_paths)
}

/// The same without a page; "" if it is not known. Raw from the target: escape before printing.
pub fn place_of(snapshot: &Snapshot, frame: Frame, full_path: bool) -> String {
    let path = snapshot.str(frame.file);
    if path.is_empty() {
        return String::new();
    }
    let package = snapshot.functions.get(frame.function.index()).map_or("", |f| snapshot.str(f.package));
    let module = snapshot.header.runtimes.first().map_or("", |runtime| &runtime.module);
    let path = if full_path { path } else { short_path(path, package, module) };
    if frame.line == 0 { path.to_owned() } else { format!("{path}:{}", frame.line) }
}

/// Writes frames, one a line, their places in a column of their own, and what is wrong with them.
pub(super) fn write(page: &mut Page<'_>, frames: &[ShownFrame], status: StackStatus) -> io::Result<()> {
    let elided = if page.options.all_frames { 0 } else { frames.len().saturating_sub(2 * ENDS) };
    let (inner, outer) = if elided > 0 {
        (frames.get(..ENDS).unwrap_or_default(), frames.get(ENDS + elided..).unwrap_or_default())
    } else {
        (frames, &[][..])
    };
    write_rows(page, inner)?;
    if elided > 0 {
        note(page, &format!("... {} more (--all-frames shows them)", count(elided as u64, "frame")))?;
        write_rows(page, outer)?;
    }
    match status {
        StackStatus::Complete => Ok(()),
        StackStatus::Truncated => note(page, "... the outer frames were not read: too many"),
        StackStatus::Broken => note(page, "... the stack could not be followed any further"),
        StackStatus::Gaps => note(page, "... and more, which were not kept"),
        StackStatus::Torn => note(page, "would not hold still: stack unknown"),
        StackStatus::Running => note(page, "running: stack not read"),
        StackStatus::Unknown if frames.is_empty() => note(page, "stack unknown"),
        StackStatus::Unknown => Ok(()),
    }
}

fn note(page: &mut Page<'_>, text: &str) -> io::Result<()> {
    page.line().pad(INDENT, 0).push(DIM, text).write(page.out)
}

fn write_rows(page: &mut Page<'_>, frames: &[ShownFrame]) -> io::Result<()> {
    let snapshot = page.snapshot;
    let rows: Vec<_> = frames
        .iter()
        .map(|f| Row { function: snapshot.function_name(f.frame.function), place: place(page, f.frame) })
        .collect();
    let widest = |of: &dyn Fn(&Row<'_>) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let functions = widest(&|row| width(&escape(row.function)));
    let places = widest(&|row| width(&escape(&row.place)));
    // Where both columns do not fit, long functions push their places to the right or down.
    let room = page.options.width.saturating_sub(INDENT + 2 + places);
    let column = INDENT + functions.min(room) + 2;
    let column = if PLACES + places <= page.options.width { column.max(PLACES) } else { column };
    for row in &rows {
        let mut line = page.line();
        line.pad(INDENT, 0).push(PLAIN, row.function);
        if row.function.is_empty() {
            line.push(DIM, &row.place);
        } else {
            put_place(page, &mut line, &row.place, column)?;
        }
        line.write(page.out)?;
    }
    Ok(())
}

/// Puts a place behind a function: at `column`, or further right, or in a line of its own.
fn put_place(page: &mut Page<'_>, line: &mut Line, place: &str, column: usize) -> io::Result<()> {
    if place.is_empty() {
        return Ok(());
    }
    let end = line.width().saturating_add(2).max(column) + width(&escape(place));
    if end > page.options.width && line.width() > INDENT {
        line.write(page.out)?;
        line.pad(INDENT + 4, 0);
    } else {
        line.pad(column, 2);
    }
    line.push(DIM, place);
    Ok(())
}

/// "created by fetch.fetchAll  internal/fetch/fetch.go:84", to be added to a line.
pub(super) fn creator_pieces(page: &Page<'_>, frame: Frame) -> [(Style, String); 4] {
    let function = page.snapshot.function_name(frame.function).to_owned();
    let place = place(page, frame);
    let gap = if function.is_empty() { "" } else { "  " };
    [(TITLE, "created by ".to_owned()), (PLAIN, function), (PLAIN, gap.to_owned()), (DIM, place)]
}

/// Writes where a task was started, in a line of its own; `suffix` follows the function.
pub(super) fn creator(page: &mut Page<'_>, frame: Frame, suffix: &str) -> io::Result<()> {
    let place = place(page, frame);
    let mut line = page.line();
    line.pad(INDENT, 0).push(TITLE, "created by ");
    let function = page.snapshot.function_name(frame.function);
    if function.is_empty() {
        line.push(DIM, &place).push(PLAIN, suffix);
        return line.write(page.out);
    }
    line.push(PLAIN, function).push(PLAIN, suffix);
    let end = width(&escape(&place));
    let column = if PLACES + end <= page.options.width { PLACES } else { INDENT };
    put_place(page, &mut line, &place, column)?;
    line.write(page.out)
}
