//! The branches of a task or a group: above the frame that polls them, as what is further inside comes first.

use std::io;

use super::super::line::{DIM, PLAIN, STATE};
use super::super::task_facts::stack_note;
use super::super::units::thousands;
use super::Page;
use super::stack::{self, INDENT};
use crate::analysis::branches::missing_after;
use crate::analysis::frames::shown_frames;
use crate::snapshot::Branch;

/// Branches within more branches than these are not indented any further.
const DEEPEST: u32 = 8;
/// Without `--all-frames`, a task's branches are shown up to this number.
const SHOWN: usize = 24;

/// Writes branches: "┌ branch 1 of 3: notify", and the stack of each.
pub(super) fn write(page: &mut Page<'_>, branches: &[Branch]) -> io::Result<()> {
    let shown = if page.options.all_frames { branches.len() } else { branches.len().min(SHOWN) };
    // The branches whose frames are still to come: those that the present one is within.
    let mut open: Vec<(Branch, u64)> = Vec::new();
    for (nth, branch) in branches.iter().take(shown).enumerate() {
        while let Some((outer, missing)) = open.pop_if(|(outer, _)| outer.depth >= branch.depth) {
            frames(page, &outer, missing)?;
        }
        head(page, branch)?;
        open.push((*branch, missing_after(branches, nth)));
    }
    while let Some((outer, missing)) = open.pop() {
        frames(page, &outer, missing)?;
    }
    match branches.len() - shown {
        0 => Ok(()),
        more => note(page, 1, &format!("├ {} (--all-frames shows them)", more_branches(more as u64))),
    }
}

fn more_branches(n: u64) -> String {
    format!("{} more {}", thousands(n), if n == 1 { "branch" } else { "branches" })
}

fn head(page: &mut Page<'_>, branch: &Branch) -> io::Result<()> {
    let corner = if branch.nth == 1 { "┌" } else { "├" };
    let title = format!("{corner} branch {} of {}: ", thousands(branch.nth), thousands(branch.of));
    let reason = branch.reason.map_or("unknown", |id| page.snapshot.str(id)).to_owned();
    let mut line = page.line();
    line.pad(INDENT, 0).push(DIM, &bars(branch.depth)).push(DIM, &title).push(STATE, &reason);
    line.write(page.out)
}

/// The branch's own frames, and how many branches beside it were not read.
fn frames(page: &mut Page<'_>, branch: &Branch, missing: u64) -> io::Result<()> {
    let locations = branch.stack.map_or(&[][..], |id| page.snapshot.code.stack(id));
    let frames = shown_frames(page.snapshot, locations, page.options.all_frames);
    for shown in &frames {
        let (name, place) =
            (stack::function_name(page, shown.frame).to_owned(), stack::place(page, shown.frame));
        let mut line = page.line();
        line.pad(INDENT, 0).push(DIM, &bars(branch.depth)).push(DIM, "│   ").push(PLAIN, &name);
        stack::put_place(page, &mut line, &place, stack::PLACES)?;
        line.write(page.out)?;
    }
    if let Some(text) = stack_note(branch.stack_status, frames.is_empty(), page.snapshot.header.reading.mode)
    {
        note(page, branch.depth, &format!("│   {text}"))?;
    }
    match missing {
        0 => Ok(()),
        missing => note(page, branch.depth, &format!("├ {}, not read", more_branches(missing))),
    }
}

fn note(page: &mut Page<'_>, depth: u32, text: &str) -> io::Result<()> {
    page.line().pad(INDENT, 0).push(DIM, &bars(depth)).push(DIM, text).write(page.out)
}

/// What is left of a branch of this depth.
fn bars(depth: u32) -> String {
    "│ ".repeat(depth.saturating_sub(1).min(DEEPEST) as usize)
}
