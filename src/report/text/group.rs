//! One group.

use std::io;

use super::super::line::{HEAD, PLAIN, STATE};
use super::super::runtime_names::runtime_label;
use super::super::units::{ages, thousands};
use super::parts::{labels, list, words};
use super::stack::{self, INDENT};
use super::{Page, branches, locks, waits};
use crate::analysis::Group;
use crate::analysis::branches::{Branches, of_tasks};
use crate::analysis::frames::{creator_frame, frame_name};
use crate::analysis::group::Common;
use crate::analysis::tally::Tally;
use crate::report::escape;
use crate::report::line::width;
use crate::snapshot::{Begins, FunctionId, LocationId, ObjectId, Snapshot, StackStatus, Task, TaskState};

/// Wider titles do not widen the column for all groups.
const WIDEST_TITLE: usize = 40;

/// Where the columns of all groups are.
pub(super) struct Columns {
    count: usize,
    title: usize,
    age: usize,
}

impl Columns {
    /// Wide enough for all groups, except for very long titles.
    pub(super) fn of(page: &Page<'_>, groups: &[Group]) -> Self {
        let widest = |of: &dyn Fn(&Group) -> usize| groups.iter().map(of).max().unwrap_or(0);
        let count = widest(&|g| thousands(g.count).len()).max(INDENT - 2);
        let title = widest(&|g| width(&escape(&title(page.snapshot, g))).min(WIDEST_TITLE)).max(16);
        let age = widest(&|g| age(g).len()).max(16);
        Columns { count, title: count + 2 + title + 2, age: count + 2 + title + 2 + age + 2 }
    }
}

/// The heading of a group. Raw from the target: escape before printing.
pub fn title(snapshot: &Snapshot, group: &Group) -> String {
    let function = |id| snapshot.function_name(id).to_owned();
    match &group.common {
        Common::Stack => state(snapshot, group),
        Common::Function(id) => id.map_or("(no function)".to_owned(), function),
        Common::State(state, reason) => reason.map_or(state.name(), |id| snapshot.str(id)).to_owned(),
        Common::Creator(id) => (id.and_then(|id| creator_frame(snapshot, id)))
            .map_or("(no creator)".to_owned(), |frame| frame_name(snapshot, frame).into_owned()),
        Common::Label(value) => value.map_or("(no such label)".to_owned(), |id| snapshot.str(id).to_owned()),
        Common::WaitsOn(things) => match things.as_slice() {
            [] => "(object unknown)".to_owned(),
            [thing] => address(snapshot, *thing),
            things => format!("{} objects", things.len()),
        },
    }
}

fn address(snapshot: &Snapshot, id: ObjectId) -> String {
    snapshot.objects.get(id.index()).map_or(String::new(), |object| format!("{:#x}", object.address))
}

/// The state of a group of equal stacks: the wait reason, or the state if there is none.
pub fn state(snapshot: &Snapshot, group: &Group) -> String {
    match group.reasons.most().flatten() {
        Some(reason) => snapshot.str(reason).to_owned(),
        None => group.states.most().unwrap_or(TaskState::Unknown).name().to_owned(),
    }
}

/// The ages of a group. For tasks that wait, an unknown age is mentioned too.
pub(super) fn age(group: &Group) -> String {
    let text = ages(&group.ages);
    let waits = matches!(group.states.most(), Some(TaskState::Waiting | TaskState::Syscall));
    if text.is_empty() && waits { "age unknown".to_owned() } else { text }
}

/// Writes a group.
pub(super) fn write(page: &mut Page<'_>, group: &Group, columns: &Columns) -> io::Result<()> {
    let n = group.count;
    let mut line = page.line();
    line.right(HEAD, &thousands(n), columns.count).pad(columns.count + 2, 2);
    line.push(STATE, &title(page.snapshot, group)).pad(columns.title, 2);
    line.push(PLAIN, &age(group));
    let by_stack = group.common == Common::Stack;
    let mut creator = group.creators.only().flatten().and_then(|id| creator_frame(page.snapshot, id));
    creator = creator.filter(|_| by_stack);
    if let Some(frame) = creator {
        let pieces = stack::creator_pieces(page, frame);
        let wide: usize = pieces.iter().map(|(_, text)| width(&escape(text))).sum();
        if columns.age.max(line.width() + 2) + wide <= page.options.width {
            line.pad(columns.age, 2);
            for (style, text) in &pieces {
                line.push(*style, text);
            }
            creator = None;
        }
    }
    line.write(page.out)?;
    if by_stack {
        match of_tasks(page.snapshot, &group.tasks) {
            Branches::Same(same) => branches::write(page, same)?,
            Branches::Differ => {
                words(page, "several branches, which differ from task to task (--each shows them)")?
            }
        }
    }
    if by_stack || !group.frames.is_empty() {
        let status = group.stack_statuses.only().unwrap_or(StackStatus::Complete);
        stack::write(page, &group.frames, status)?;
    }
    if let Some(frame) = creator {
        stack::creator(page, frame, "")?;
    }
    if page.snapshot.header.runtimes.len() > 1 {
        let label = |number| runtime_label(page.snapshot, number);
        let runtimes: Vec<_> = group.runtimes.entries.iter().map(|&(nth, n)| (label(nth), n)).collect();
        let one = runtimes.len() == 1;
        let runtimes =
            if one { runtimes.into_iter().map(|(text, _)| text).collect() } else { numbered(runtimes) };
        list(page, "runtime", &runtimes)?;
    }
    if !by_stack {
        write_mix(page, group)?;
    }
    list(page, "labels", &labels(page.snapshot, &group.labels, n))?;
    let full_paths = page.options.full_paths;
    if let Some(calls) = waits::calls(page.snapshot, group.tasks.iter().copied()) {
        words(page, &calls)?;
    }
    let waits = waits::sentences(page.snapshot, &group.waits, full_paths);
    for sentence in waits.iter().chain(&locks::hold_sentences(page.snapshot, &group.holds, n, full_paths)) {
        words(page, sentence)?;
    }
    write_marks(page, group, n)
}

/// States and creators, unless the grouping makes them the same for all.
fn write_mix(page: &mut Page<'_>, group: &Group) -> io::Result<()> {
    let snapshot = page.snapshot;
    if !matches!(group.common, Common::State(..)) {
        let states: Vec<_> = if group.reasons.only() == Some(None) {
            group.states.entries.iter().map(|&(state, n)| (state.name().to_owned(), n)).collect()
        } else {
            let reasons = group.reasons.entries.iter();
            let reasons = reasons.filter_map(|&(id, n)| Some((snapshot.str(id?).to_owned(), n)));
            let mut states: Vec<_> = reasons.chain(without_reason(snapshot, group)).collect();
            states.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
            states
        };
        list(page, "states", &numbered(states))?;
    }
    let tasks = || group.tasks.iter().filter_map(|&index| snapshot.tasks.get(index as usize));
    let orphans = tasks().filter(|task| task.creator.is_none()).all(|task| is_main(snapshot, task));
    let nobody = if orphans { "the runtime, at the start" } else { "unknown" };
    let creator = |id: Option<LocationId>| match id.and_then(|id| creator_frame(snapshot, id)) {
        Some(frame) => {
            let text = format!("{} {}", snapshot.function_name(frame.function), stack::place(page, frame));
            text.trim_ascii().to_owned()
        }
        None => nobody.to_owned(),
    };
    if group.creators.only() == Some(None) {
        return Ok(());
    }
    let creators: Vec<_> = group.creators.entries.iter().map(|&(id, n)| (creator(id), n)).collect();
    list(page, "created by", &numbered(creators))
}

/// What the tasks without a wait reason do: "running", "runnable".
fn without_reason(snapshot: &Snapshot, group: &Group) -> Vec<(String, u64)> {
    let tasks = group.tasks.iter().filter_map(|&index| snapshot.tasks.get(index as usize));
    let states = Tally::of(tasks.filter(|task| task.reason.is_none()).map(|task| (task.state, task.count())));
    states.entries.iter().map(|&(state, n)| (state.name().to_owned(), n)).collect()
}

/// Whether this task runs the main function. Only the runtime creates that task.
fn is_main(snapshot: &Snapshot, task: &Task) -> bool {
    let main = |id: FunctionId| {
        let function = snapshot.code.functions.get(id.index());
        function.is_some_and(|function| function.role.begins == Begins::Program)
    };
    let outermost = || {
        let stack = snapshot.code.stacks.get(task.stack?.index())?;
        let location = snapshot.code.locations.get(stack.locations.last()?.index())?;
        location.frames.last().map(|frame| frame.function)
    };
    // If the runtime adds a last frame of its own, the main function is the frame before it.
    let below = || {
        let stack = snapshot.code.stacks.get(task.stack?.index())?;
        let at = stack.locations.len().checked_sub(2)?;
        let location = snapshot.code.locations.get(stack.locations.get(at)?.index())?;
        location.frames.last().map(|frame| frame.function)
    };
    task.entry.or_else(outermost).is_some_and(main) || below().is_some_and(main)
}

/// Marks of the tasks: leaked, locked to thread.
fn write_marks(page: &mut Page<'_>, group: &Group, n: u64) -> io::Result<()> {
    let mut marks = Vec::new();
    let mut mark = |count: u64, text: &str| match count {
        0 => {}
        count if count == n => marks.push(text.to_owned()),
        count => marks.push(format!("{text} ({})", thousands(count))),
    };
    mark(group.leaked, "leaked: the runtime proved that they can never run again");
    mark(group.locked, "locked to thread");
    if marks.is_empty() { Ok(()) } else { words(page, &marks.join(", ")) }
}

fn numbered(entries: Vec<(String, u64)>) -> Vec<String> {
    entries.into_iter().map(|(text, n)| format!("{text} ({})", thousands(n))).collect()
}
