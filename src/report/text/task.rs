//! One task.

use std::io;

use super::super::line::{HEAD, PLAIN, STATE};
use super::super::units::{age, count, duration};
use super::parts::{id, labels, list, words};
use super::stack;
use super::{Page, header, locks, waits};
use crate::analysis::frames::{creator_frame, shown_frames};
use crate::analysis::tally::Tally;
use crate::analysis::waits::WaitTable;
use crate::snapshot::{Task, TaskState};

/// Writes a task: "goroutine 18  chan receive  3 min  locked to thread", then what belongs to it.
pub(super) fn write(page: &mut Page<'_>, task: &Task, table: &WaitTable<'_>) -> io::Result<()> {
    let snapshot = page.snapshot;
    let noun = snapshot.runtime_of(task).map_or("task", |runtime| &runtime.task_noun);
    let mut line = page.line();
    let who = match task.count() {
        1 => format!("{noun} {}", id(task)),
        equal => format!("{} {}", count(equal, noun), id(task)),
    };
    line.push(HEAD, &who).pad(0, 2);
    line.push(STATE, task.reason.map_or(task.state.name(), |reason| snapshot.str(reason)));
    let mut facts = vec![age(task.age)];
    if task.reason.is_some() && task.state != TaskState::Waiting {
        facts.push(task.state.name().to_owned());
    }
    facts.extend(task.lifetime_ns.map(|ns| format!("started {} ago", duration(ns))));
    facts.extend(task.polls.map(|polls| match polls {
        0 => "never polled".to_owned(),
        polls => format!("polled {}", count(polls, "time")),
    }));
    if let Some(thread) = task.thread {
        facts.push(format!("on thread {thread}"));
    }
    let marks =
        [(task.locked_to_thread, "locked to thread"), (task.system, "system"), (task.leaked, "leaked")];
    facts.extend(marks.iter().filter(|(is, _)| *is).map(|(_, text)| (*text).to_owned()));
    if snapshot.header.runtimes.len() > 1 {
        facts.push(header::runtime_label(snapshot, task.runtime));
    }
    for fact in facts.iter().filter(|fact| !fact.is_empty()) {
        line.pad(0, 2).push(PLAIN, fact);
    }
    line.write(page.out)?;

    let frames = shown_frames(snapshot, snapshot.stack_of(task), page.options.all_frames);
    stack::write(page, &frames, task.stack_status)?;
    if frames.is_empty()
        && let Some(entry) = task.entry
    {
        words(page, &format!("started with {}", snapshot.function_name(entry)))?;
    }
    if let Some(frame) = task.creator.and_then(|id| creator_frame(snapshot, id)) {
        let by = task.parent.map_or(String::new(), |parent| format!(" in {noun} {parent}"));
        stack::creator(page, frame, &by)?;
    }
    if let Some(set) = task.labels.and_then(|id| snapshot.code.label_sets.get(id.index())) {
        let tally = Tally { entries: set.pairs.iter().map(|&pair| (pair, 1)).collect() };
        list(page, "labels", &labels(snapshot, &tally, 1))?;
    }
    let one = || [task].into_iter();
    let full_paths = page.options.full_paths;
    let waits = waits::sentences(snapshot, &table.summarize(one()), full_paths);
    let holds = locks::hold_sentences(snapshot, &table.holds(one()), 1, full_paths);
    for sentence in waits.iter().chain(&holds) {
        words(page, sentence)?;
    }
    Ok(())
}
