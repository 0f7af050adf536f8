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
    if let Some(text) = stack_note(branch.stack_status, frames.is_empty(), &page.snapshot.header) {
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

#[cfg(test)]
mod tests {
    use super::super::TextOptions;
    use super::*;
    use crate::analysis::modules::Owners;
    use crate::code::{FunctionRole, Location};
    use crate::snapshot::{FunctionKind, SnapshotBuilder, Span, StackStatus, WaitClass};

    /// A branch without frames, of a reason.
    fn branch(
        builder: &mut SnapshotBuilder,
        depth: u32,
        (nth, of): (u64, u64),
        reason: &str,
        function: &str,
    ) -> Branch {
        let code = &mut builder.code;
        let function = (!function.is_empty())
            .then(|| code.function_with(function, "api", FunctionKind::Normal, FunctionRole::default()));
        let stack = function.map(|function| {
            let frame = code.frame(function, "/srv/api.rs", 7);
            let location = code.location(Location::in_source(vec![frame]));
            code.stack(vec![location])
        });
        let reason = Some(code.string(reason));
        let (stack_status, wait_class) = (StackStatus::Complete, WaitClass::Other);
        let (task, number, waits) = (0, 0, Span::default());
        Branch { task, number, depth, nth, of, stack, stack_status, reason, wait_class, waits }
    }

    #[test]
    fn what_is_further_inside_comes_first() {
        let mut builder = SnapshotBuilder::new();
        let all = [
            branch(&mut builder, 1, (1, 2), "notify", ""),
            branch(&mut builder, 1, (2, 2), "select: \x1b[31msleep", "api::serve"),
            branch(&mut builder, 2, (1, 70), "sleep", "api::wait"),
        ];
        let snapshot = builder.finish();
        let (options, owners) = (TextOptions::default(), Owners::new(&snapshot));
        let mut out = Vec::new();
        let mut page = Page { snapshot: &snapshot, options: &options, owners: &owners, out: &mut out };
        write(&mut page, &all).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let place = lines[3].rsplit(' ').next().unwrap();
        assert_eq!(lines[0], "┌ branch 1 of 2: notify");
        assert!(lines[1].starts_with("├ branch 2 of 2: select: ") && !lines[1].contains('\x1b'), "{text}");
        assert_eq!(lines[2], "│ ┌ branch 1 of 70: sleep");
        assert!(place.ends_with("api.rs:7"), "{text}");
        assert_eq!(lines[3], format!("│ │ api::wait {place}"));
        assert_eq!(lines[4], "│ ├ 69 more branches, not read");
        assert_eq!(lines[5], format!("│ api::serve {place}"));
        assert_eq!(lines.len(), 6, "{text}");
    }
}
