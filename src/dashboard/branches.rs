//! The futures that a task polls together, in lines of text: above the frame that polls them.

use super::detail_row::{PieceKind, Row, frames};
use crate::analysis::branches::missing_after;
use crate::analysis::frames::shown_frames;
use crate::report::task_facts::stack_note;
use crate::report::units::thousands;
use crate::snapshot::{Branch, Snapshot};

/// A task's branches are shown up to this number.
const SHOWN: usize = 64;
/// Branches within more branches than these are not indented any further.
const DEEPEST: u32 = 8;

/// The lines of branches: "┌ branch 1 of 3: notify", each with its stack.
pub(super) fn rows(snapshot: &Snapshot, branches: &[Branch], columns: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    // The branches whose frames are still to come: those that the present one is within.
    let mut open: Vec<(Branch, u64)> = Vec::new();
    for (nth, branch) in branches.iter().take(SHOWN).enumerate() {
        while let Some((outer, missing)) = open.pop_if(|(outer, _)| outer.depth >= branch.depth) {
            rows.extend(inside(snapshot, &outer, missing, columns));
        }
        let corner = if branch.nth == 1 { "┌" } else { "├" };
        let title = format!("{corner} branch {} of {}: ", thousands(branch.nth), thousands(branch.of));
        let reason = branch.reason.map_or("unknown", |id| snapshot.str(id));
        rows.push(start(branch.depth).add(PieceKind::Dim, &title).add(PieceKind::State, reason));
        open.push((*branch, missing_after(branches, nth)));
    }
    while let Some((outer, missing)) = open.pop() {
        rows.extend(inside(snapshot, &outer, missing, columns));
    }
    let more = branches.len().saturating_sub(SHOWN);
    if more > 0 {
        rows.push(start(1).add(PieceKind::Dim, &format!("├ more branches: {}", thousands(more as u64))));
    }
    rows
}

/// The frames of a branch, and how many branches beside it were not read.
fn inside(snapshot: &Snapshot, branch: &Branch, missing: u64, columns: usize) -> Vec<Row> {
    let shown = shown_frames(snapshot, branch.stack.map_or(&[][..], |id| snapshot.code.stack(id)), false);
    let bars = format!("{}│ ", bars(branch.depth));
    let room = columns.saturating_sub(2 + 2 * branch.depth.min(DEEPEST) as usize);
    let mut rows = Vec::new();
    for row in frames(snapshot, &shown, room) {
        let mut own = Row::new(PieceKind::Dim, &bars);
        own.pieces.extend(row.pieces);
        rows.push(own);
    }
    let note = stack_note(branch.stack_status, shown.is_empty(), &snapshot.header);
    rows.extend(note.map(|text| Row::new(PieceKind::Dim, &format!("{bars}  {text}"))));
    if missing > 0 {
        let text = format!("├ more branches that were not read: {}", thousands(missing));
        rows.push(start(branch.depth).add(PieceKind::Dim, &text));
    }
    rows
}

fn start(depth: u32) -> Row {
    Row::new(PieceKind::Dim, &bars(depth))
}

/// What is left of a branch of this depth.
fn bars(depth: u32) -> String {
    format!("  {}", "│ ".repeat(depth.saturating_sub(1).min(DEEPEST) as usize))
}
