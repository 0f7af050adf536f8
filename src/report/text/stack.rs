//! The lines of a stack, and the place where a task was created.

use std::io;

use anstyle::Style;

use super::super::escape::escape;
use super::super::line::{DIM, Line, PLAIN, TITLE, width};
use super::super::path::place_of;
use super::super::task_facts::stack_note;
use super::super::units::count;
use super::{Detail, Page};
use crate::analysis::ShownFrame;
use crate::analysis::frames::code_of;
use crate::analysis::owner::Owner;
use crate::snapshot::{Frame, StackStatus};

/// Indentation of the lines of a task or a group, columns.
pub(super) const INDENT: usize = 8;

/// Column of the places if there is room: the same for all stacks of a report.
pub(super) const PLACES: usize = 48;

/// At most this many of the program's own frames are shown of a shortened stack.
const PROGRAM_FRAMES: usize = 3;

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

/// Writes frames, one per line, with their places in a column, and notes about missing parts.
pub(super) fn write(page: &mut Page<'_>, frames: &[ShownFrame], status: StackStatus) -> io::Result<()> {
    let elided = if page.options.all_frames { 0 } else { frames.len().saturating_sub(2 * ENDS) };
    if page.options.detail == Detail::Shortened && !page.options.all_frames {
        write_part(page, frames)?;
    } else if elided > 0 {
        write_rows(page, frames.get(..ENDS).unwrap_or_default())?;
        note(page, &format!("... {} more (--all-frames shows them)", count(elided as u64, "frame")))?;
        write_rows(page, frames.get(ENDS + elided..).unwrap_or_default())?;
    } else {
        write_rows(page, frames)?;
    }
    match stack_note(status, frames.is_empty(), &page.snapshot.header) {
        Some(text) => note(page, text),
        None => Ok(()),
    }
}

/// Writes the part of a stack that belongs to the program, and how much is left out around it.
fn write_part(page: &mut Page<'_>, frames: &[ShownFrame]) -> io::Result<()> {
    let kept = program_part(page, frames);
    let mut left = 0;
    let mut run: Vec<ShownFrame> = Vec::new();
    for (&frame, kept) in frames.iter().zip(kept) {
        match (kept, left) {
            (true, 0) => run.push(frame),
            (true, _) => {
                note(page, &format!("… {}", count(std::mem::take(&mut left), "frame")))?;
                run.push(frame);
            }
            (false, _) => {
                write_rows(page, &std::mem::take(&mut run))?;
                left += 1;
            }
        }
    }
    write_rows(page, &run)?;
    if left > 0 { note(page, &format!("… {}", count(left, "frame"))) } else { Ok(()) }
}

/// Which frames are shown if there is little room: the first few of the program's own. If a stack has none: the
/// frame that the user looks for and the one that the task was started with. A single frame between them is
/// shown, because a note about it would take as much room.
fn program_part(page: &Page<'_>, frames: &[ShownFrame]) -> Vec<bool> {
    let user = page.owners.user_frame(frames.iter().map(|shown| code_of(page.snapshot, shown.frame)));
    let own = |shown: &ShownFrame| page.owners.of(code_of(page.snapshot, shown.frame)) == Owner::Program;
    let mut kept = vec![false; frames.len()];
    let mut keep = |at: usize| kept.get_mut(at).map(|kept| *kept = true);
    if frames.iter().any(own) {
        let own = frames.iter().enumerate().filter(|(_, shown)| own(shown)).map(|(at, _)| at);
        own.take(PROGRAM_FRAMES).for_each(|at| _ = keep(at));
    } else {
        user.into_iter().chain(frames.len().checked_sub(1)).for_each(|at| _ = keep(at));
    }
    let alone = |at: usize| {
        at.checked_sub(1).is_none_or(|before| kept.get(before) == Some(&true))
            && kept.get(at + 1) != Some(&false)
    };
    let alone: Vec<bool> = (0..kept.len()).map(alone).collect();
    kept.iter().zip(alone).map(|(&kept, alone)| kept || alone).collect()
}

fn note(page: &mut Page<'_>, text: &str) -> io::Result<()> {
    page.line().pad(INDENT, 0).push(DIM, text).write(page.out)
}

/// The name of a function: if there is little room, a function of the program itself loses the directories of
/// its package, which its file shows.
pub(super) fn function_name<'a>(page: &Page<'a>, frame: Frame) -> &'a str {
    let code = code_of(page.snapshot, frame);
    let little = match page.options.detail {
        Detail::Full => false,
        Detail::Shortened => true,
        Detail::Line => page.options.cut,
    };
    if !little || page.owners.of(code) != Owner::Program {
        return code.function;
    }
    let start = code.package.rfind('/').map_or(0, |at| at + 1);
    code.function.get(start..).filter(|_| code.function.starts_with(code.package)).unwrap_or(code.function)
}

fn write_rows(page: &mut Page<'_>, frames: &[ShownFrame]) -> io::Result<()> {
    let rows: Vec<_> = frames
        .iter()
        .map(|f| Row { function: function_name(page, f.frame), place: place(page, f.frame) })
        .collect();
    let widest = |of: &dyn Fn(&Row<'_>) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let functions = widest(&|row| width(&escape(row.function)));
    let places = widest(&|row| width(&escape(&row.place)));
    // If both columns do not fit, long functions push their places to the right or down.
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

/// Puts a place behind a function: at `column`, or further right, or on its own line.
pub(super) fn put_place(page: &mut Page<'_>, line: &mut Line, place: &str, column: usize) -> io::Result<()> {
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
    let function = function_name(page, frame).to_owned();
    let place = place(page, frame);
    let gap = if function.is_empty() { "" } else { "  " };
    [(TITLE, "created by ".to_owned()), (PLAIN, function), (PLAIN, gap.to_owned()), (DIM, place)]
}

/// Writes where a task was created, on its own line; `suffix` follows the function.
pub(super) fn creator(page: &mut Page<'_>, frame: Frame, suffix: &str) -> io::Result<()> {
    let place = place(page, frame);
    let mut line = page.line();
    line.pad(INDENT, 0).push(TITLE, "created by ");
    let function = function_name(page, frame);
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
