//! One task in lines of text: what it does, its stack, and the tasks that it is linked to.

use std::sync::Arc;

use super::branches;
pub use super::detail_row::{PieceKind, Row, frames, place};
use super::query::TaskKey;
use super::shares;
use super::tables::{Closeup, CpuTable, HeldLock, Tables, Waiters};
use crate::analysis::frames::{creator_frame, shown_frames};
use crate::analysis::locks::HoldSummary;
use crate::analysis::waits::WaitSummary;
use crate::report::line::wrapped;
use crate::report::task_facts::{self, Fact, facts, stack_note};
use crate::report::text::{hold_sentences, task_noun, wait_sentences};
use crate::report::units::{count, duration, thousands};
use crate::session::Picture;
use crate::session::record::CpuNs;
use crate::snapshot::{Frame, HoldKind, ObjectId, Snapshot, StackStatus, Task, Wait, WaitOp};

/// The selected task, in lines.
pub fn rows(tables: &Tables, columns: usize) -> Vec<Row> {
    let Some(closeup) = &tables.closeup else {
        return vec![Row::new(PieceKind::Dim, " This task has ended.")];
    };
    let picture = &*closeup.of;
    let snapshot = &*picture.snapshot;
    let Some(task) = snapshot.tasks.get(closeup.task as usize) else { return Vec::new() };
    let mut rows = stack(picture, closeup.task, columns);
    if let Some(row) = rows.get_mut(1) {
        *row = ended(&tables.picture, picture);
    }
    // CPU time is that of the shown picture's tasks.
    let cpu = tables.cpu.as_ref().filter(|_| Arc::ptr_eq(&closeup.of, &tables.picture));
    let cpu = cpu.map(|cpu| (cpu, cpu.of(task, closeup.task)));
    rows.splice(2..2, time(picture, &[closeup.task], cpu, columns));
    rows.push(Row::default());
    rows.extend(sentences(snapshot, (&closeup.waits_for, &closeup.holds), 1, " ", columns));
    rows.extend(waits(picture, closeup));
    rows.extend(held(picture, closeup));
    rows.extend(family(picture, closeup, task));
    rows
}

/// How some tasks spent their time, if there are readings to compare; and the CPU time that they used, if that is
/// sampled.
pub(super) fn time(
    picture: &Picture,
    tasks: &[u32],
    cpu: Option<(&CpuTable, Option<CpuNs>)>,
    columns: usize,
) -> Vec<Row> {
    const INDENT: usize = 8;
    let mut rows = Vec::new();
    if picture.times.is_some() {
        let text = match picture.shares(tasks) {
            Some(shares) => shares::times(&shares, columns.saturating_sub(INDENT + 1)),
            None => "not known of single tasks: there are too many".to_owned(),
        };
        rows.push(Row::new(PieceKind::Title, "  time  ").add(PieceKind::Plain, &text));
    }
    if let Some((table, ns)) = cpu {
        rows.push(Row::new(PieceKind::Title, "  CPU   ").add(PieceKind::Plain, &shares::used(table, ns)));
    }
    rows
}

/// The name and facts of a task, an empty line, its stack, and the place where it was created.
pub fn stack(picture: &Picture, index: u32, columns: usize) -> Vec<Row> {
    let snapshot = &*picture.snapshot;
    let Some(task) = snapshot.tasks.get(index as usize) else { return Vec::new() };
    let mut rows = vec![head(picture, index, task), Row::default()];
    let shown = shown_frames(snapshot, snapshot.stack_of(task), false);
    rows.extend(branches::rows(snapshot, snapshot.branches_of(index), columns));
    rows.extend(frames(snapshot, &shown, columns));
    rows.extend(status(snapshot, task.stack_status, shown.is_empty()));
    if shown.is_empty()
        && let Some(entry) = task.entry
    {
        rows.push(Row::new(PieceKind::Plain, &format!(" entry function {}", snapshot.function_name(entry))));
    }
    if let Some(frame) = task.creator.and_then(|id| creator_frame(snapshot, id)) {
        rows.push(creator(snapshot, frame));
    }
    if let Some(set) = task.labels.and_then(|id| snapshot.code.label_sets.get(id.index())) {
        let pair = |&(key, value): &(_, _)| format!("{}={}", snapshot.str(key), snapshot.str(value));
        let text: Vec<_> = set.pairs.iter().map(pair).collect();
        rows.push(Row::new(PieceKind::Title, " labels  ").add(PieceKind::Plain, &text.join(", ")));
    }
    rows
}

/// Says that a task is not in the shown picture; an empty line if it is.
fn ended(now: &Picture, last: &Picture) -> Row {
    if (now.life, now.number) == (last.life, last.number) {
        return Row::default();
    }
    let (now_ns, last_ns) = (now.snapshot.header.taken_at_ns, last.snapshot.header.taken_at_ns);
    let ago = now_ns.zip(last_ns).and_then(|(now, last)| now.checked_sub(last));
    let text = match ago {
        // A replay can go back to before the task was created.
        _ if now.number < last.number => " not created yet: this shows a later reading".to_owned(),
        Some(ns) if now.life != last.life => {
            format!(" ended {} ago with its process: this shows the last reading of it", duration(ns))
        }
        Some(ns) => format!(" ended {} ago: this shows the last reading of it", duration(ns)),
        None => " ended: this shows the last reading of it".to_owned(),
    };
    Row::new(PieceKind::State, &text)
}

/// Where Enter leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// The task.
    pub to: TaskKey,
    /// What it is: "goroutine 12", "holder goroutine 7". Raw from the target.
    pub name: String,
}

/// Where Enter leads from a line: to its `link`, or, if it has none, to the holder of the lock that the task
/// waits for.
pub fn lead(closeup: &Closeup, link: Option<TaskKey>) -> Option<Lead> {
    let picture = &closeup.of;
    let name = |index: u32| {
        let task = picture.snapshot.tasks.get(index as usize)?;
        Some(task_facts::name(&picture.snapshot, task))
    };
    if let Some(to) = link {
        return Some(Lead { to, name: name(to.find(picture)?)? });
    }
    let waits = closeup.waits.iter().find(|waits| !waits.holders.is_empty())?;
    let holder = waits.holders.first()?;
    let (to, name) = (TaskKey::of(picture, holder.task)?, name(holder.task)?);
    let perhaps = if holder.how == HoldKind::Perhaps { "perhaps " } else { "" };
    let more = if waits.holders_total > 1 {
        format!(", one of {}", thousands(waits.holders_total))
    } else {
        String::new()
    };
    Some(Lead { to, name: format!("{perhaps}holder {name}{more}") })
}

fn head(picture: &Picture, index: u32, task: &Task) -> Row {
    let snapshot = &*picture.snapshot;
    let facts: Vec<String> = facts(snapshot, task, picture.age(index)).iter().map(Fact::words).collect();
    Row::new(PieceKind::Head, &format!(" {}", task_facts::name(snapshot, task)))
        .add(PieceKind::State, &format!("  {}  ", task_facts::doing(snapshot, task)))
        .add(PieceKind::Plain, &facts.join(", "))
}

/// What a column of ids says of a task: its id, or how many equal tasks it stands for.
pub fn id(task: &Task) -> String {
    match task.count() {
        1 => task_facts::id(task),
        equal => times(equal),
    }
}

/// "x1,388", "x20.0M": how many equal tasks a row stands for, in ten columns at most.
fn times(equal: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M")];
    match UNITS.into_iter().find(|&(unit, _)| equal >= unit) {
        Some((unit, name)) => format!("x{:.1}{name}", equal as f64 / unit as f64),
        None => format!("x{}", thousands(equal)),
    }
}

/// "created by fetch.fetchAll  internal/fetch/fetch.go:84".
pub fn creator(snapshot: &Snapshot, frame: Frame) -> Row {
    Row::new(PieceKind::Title, "  created by ")
        .add(PieceKind::Plain, snapshot.function_name(frame.function))
        .add(PieceKind::Dim, &format!("  {}", place(snapshot, frame)))
}

/// A line that says what of a stack is missing, if something is. `empty`: no frame is shown.
pub fn status(snapshot: &Snapshot, status: StackStatus, empty: bool) -> Option<Row> {
    let note = stack_note(status, empty, &snapshot.header)?;
    Some(Row::new(PieceKind::Dim, &format!("  {note}")))
}

/// What tasks wait for and what they hold, one sentence per line. Long sentences continue on the next line.
pub fn sentences(
    snapshot: &Snapshot,
    (waits, holds): (&[WaitSummary], &[HoldSummary]),
    tasks: u64,
    indent: &str,
    columns: usize,
) -> Vec<Row> {
    let waits = wait_sentences(snapshot, waits, false);
    let holds = hold_sentences(snapshot, holds, tasks, false);
    let room = columns.saturating_sub(indent.len());
    let mut rows = Vec::new();
    for sentence in waits.iter().chain(&holds) {
        for (nth, line) in wrapped(sentence, room, 2).iter().enumerate() {
            let hanging = if nth > 0 { "  " } else { "" };
            rows.push(Row::new(PieceKind::Plain, &format!("{indent}{hanging}{line}")));
        }
    }
    rows
}

/// The holders of what the task waits for, and the other tasks that wait for it.
fn waits(picture: &Picture, closeup: &Closeup) -> Vec<Row> {
    let snapshot = &*picture.snapshot;
    let mut rows = Vec::new();
    for Waiters { wait, holders, holders_total, others, total } in &closeup.waits {
        let title = |text: &str, total| {
            let tasks = count(total, task_noun(snapshot));
            Row::new(PieceKind::Title, &format!(" {text} {:#x}: {tasks}", address(snapshot, wait.object)))
        };
        if *holders_total > 0 {
            let sure = holders.first().is_some_and(|holder| holder.how != HoldKind::Perhaps);
            rows.push(title(if sure { "holders of" } else { "possible holders of" }, *holders_total));
            rows.extend(holders.iter().map(|holder| neighbour(picture, holder.task, how(holder.how))));
            rows.extend(more(*holders_total, holders.len()));
        }
        if *total > 0 {
            rows.push(title("also at", *total));
            rows.extend(others.iter().map(|&(other, wait)| neighbour(picture, other, attempt(wait.op))));
            rows.extend(more(*total, others.len()));
        }
    }
    rows
}

/// The tasks that wait for what the task holds.
fn held(picture: &Picture, closeup: &Closeup) -> Vec<Row> {
    let snapshot = &*picture.snapshot;
    let mut rows = Vec::new();
    for HeldLock { hold, waiters, total } in closeup.held.iter().filter(|held| held.total > 0) {
        let (at, tasks) = (address(snapshot, hold.object), count(*total, task_noun(snapshot)));
        rows.push(Row::new(PieceKind::Title, &format!(" waiting for {at:#x}: {tasks}")));
        rows.extend(
            waiters.iter().map(|&(task, wait): &(u32, Wait)| neighbour(picture, task, attempt(wait.op))),
        );
        rows.extend(more(*total, waiters.len()));
    }
    if closeup.held_more > 0 {
        let locks = count(closeup.held_more, "more lock");
        rows.push(Row::new(PieceKind::Dim, &format!(" tasks wait for {locks} that it holds")));
    }
    rows
}

fn address(snapshot: &Snapshot, object: ObjectId) -> u64 {
    snapshot.objects.get(object.index()).map_or(0, |object| object.address)
}

fn how(how: HoldKind) -> &'static str {
    match how {
        HoldKind::Exclusive => "holds",
        HoldKind::Shared => "reads",
        HoldKind::Perhaps => "perhaps",
    }
}

fn attempt(op: WaitOp) -> &'static str {
    match op {
        WaitOp::Send => "sends",
        WaitOp::Receive => "receives",
        WaitOp::Lock => "locks",
        WaitOp::ReadLock => "read-locks",
        WaitOp::Wait => "waits",
        WaitOp::Read => "reads",
        WaitOp::Write => "writes",
        WaitOp::Accept => "accepts",
        WaitOp::Connect => "connects",
        WaitOp::Resume => "rests as",
    }
}

/// The task's parent and children.
fn family(picture: &Picture, closeup: &Closeup, task: &Task) -> Vec<Row> {
    let snapshot = &*picture.snapshot;
    let mut rows = Vec::new();
    match (closeup.parent, task.parent) {
        (Some(parent), _) => {
            rows.push(Row::new(PieceKind::Title, " created by"));
            rows.push(neighbour(picture, parent, ""));
        }
        (None, Some(id)) => {
            rows.push(
                Row::new(PieceKind::Title, " created by").add(PieceKind::Plain, &format!(" {id} (ended)")),
            );
        }
        (None, None) => {}
    }
    if closeup.children_total > 0 {
        let count = count(closeup.children_total, task_noun(snapshot));
        rows.push(Row::new(PieceKind::Title, &format!(" created {count} that are still alive")));
        rows.extend(closeup.children.iter().map(|&child| neighbour(picture, child, "")));
        rows.extend(more(closeup.children_total, closeup.children.len()));
    }
    rows
}

/// A line that leads to another task.
fn neighbour(picture: &Picture, index: u32, how: &str) -> Row {
    let snapshot = &*picture.snapshot;
    let Some(task) = snapshot.tasks.get(index as usize) else { return Row::default() };
    let reason = task_facts::doing(snapshot, task);
    let name = picture.function(task);
    let mut row = Row::new(PieceKind::Head, &format!("   {:<8}", id(task)));
    if !how.is_empty() {
        row = row.add(PieceKind::Plain, &format!(" {how}"));
    }
    row = row.add(PieceKind::State, &format!(" {reason}")).add(PieceKind::Plain, &format!("  {name}"));
    row.link = TaskKey::of(picture, index);
    row
}

fn more(total: u64, listed: usize) -> Option<Row> {
    let left = total.saturating_sub(listed as u64);
    (left > 0)
        .then(|| Row::new(PieceKind::Dim, &format!("   and {}", count(left, "more").trim_end_matches('s'))))
}
