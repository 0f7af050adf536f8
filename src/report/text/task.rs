//! One task.

use std::io;

use super::super::line::{HEAD, PLAIN, STATE};
use super::super::task_facts::{self, Fact};
use super::parts::{labels, list, words};
use super::stack;
use super::{Page, branches, locks, waits};
use crate::analysis::frames::{creator_frame, shown_frames};
use crate::analysis::tally::Tally;
use crate::analysis::waits::WaitTable;

/// Writes a task: "goroutine 18  chan receive  3 min  locked to thread", then its details.
pub(super) fn write(page: &mut Page<'_>, row: u32, table: &WaitTable<'_>) -> io::Result<()> {
    let snapshot = page.snapshot;
    let Some(task) = snapshot.tasks.get(row as usize) else { return Ok(()) };
    let mut line = page.line();
    line.push(HEAD, &task_facts::name(snapshot, task)).pad(0, 2);
    line.push(STATE, task_facts::doing(snapshot, task));
    // JSON also has the memory of a stack.
    let facts = task_facts::facts(snapshot, task, task.age).into_iter();
    for fact in facts.filter(|fact| !matches!(fact, Fact::StackBytes(_))) {
        line.pad(0, 2).push(PLAIN, &fact.words());
    }
    line.write(page.out)?;

    branches::write(page, snapshot.branches_of(row))?;
    let frames = shown_frames(snapshot, snapshot.stack_of(task), page.options.all_frames);
    stack::write(page, &frames, task.stack_status)?;
    if frames.is_empty()
        && let Some(entry) = task.entry
    {
        words(page, &format!("entry function {}", snapshot.function_name(entry)))?;
    }
    if let Some(frame) = task.creator.and_then(|id| creator_frame(snapshot, id)) {
        let noun = snapshot.runtime_of(task).map_or("task", |runtime| &runtime.task_noun);
        let by = task.parent.map_or(String::new(), |parent| format!(" in {noun} {parent}"));
        stack::creator(page, frame, &by)?;
    }
    if let Some(set) = task.labels.and_then(|id| snapshot.code.label_sets.get(id.index())) {
        let tally = Tally { entries: set.pairs.iter().map(|&pair| (pair, 1)).collect() };
        list(page, "labels", &labels(snapshot, &tally, 1))?;
    }
    if let Some(calls) = waits::calls(snapshot, [row].into_iter()) {
        words(page, &calls)?;
    }
    let one = || [task].into_iter();
    let full_paths = page.options.full_paths;
    let waits = waits::sentences(snapshot, &table.summarize(one()), full_paths);
    let holds = locks::hold_sentences(snapshot, &table.holds(one()), 1, full_paths);
    let joined = snapshot.waits_of(task).iter().filter_map(|wait| snapshot.joined_task(wait.object));
    let joined: Vec<String> = joined.map(|row| task_facts::long_name(snapshot, row)).collect();
    if joined.len() > 1 {
        list(page, "waits for", &joined)?;
    }
    for sentence in waits.iter().chain(&holds) {
        words(page, sentence)?;
    }
    Ok(())
}
