//! Single tasks, and one from close by.

use std::cmp::Reverse;

use super::Picture;
use crate::analysis::frames::{frame_name, shown_frames};
use crate::dashboard::query::{Query, TaskKey, TaskSort};
use crate::snapshot::{ObjectId, Snapshot, Task, Wait};

/// Neighbours of a task (children, others that wait for the same) that are listed.
const LISTED: usize = 100;

/// The tasks, in the order asked for: indices into the snapshot's.
#[derive(Debug, Clone, Default)]
pub struct TaskTable {
    /// The tasks.
    pub order: Vec<u32>,
}

/// One task from close by.
#[derive(Debug, Clone, Default)]
pub struct Closeup {
    /// Its index in the snapshot's tasks.
    pub task: u32,
    /// What it waits for, and who else does.
    pub waits: Vec<Waiters>,
    /// The task that started it, if that still lives.
    pub parent: Option<u32>,
    /// Tasks that it started and that still live: the first ones.
    pub children: Vec<u32>,
    /// How many there are.
    pub children_total: u64,
}

/// What a task waits for, and who else does.
#[derive(Debug, Clone)]
pub struct Waiters {
    /// What it waits for.
    pub wait: Wait,
    /// Others that wait for the same thing, and how: the first ones.
    pub others: Vec<(u32, Wait)>,
    /// How many there are.
    pub total: u64,
}

/// Sorts tasks.
pub(super) fn table(picture: &Picture, query: &Query, mut tasks: Vec<u32>) -> TaskTable {
    let snapshot = &*picture.snapshot;
    let task = |index: u32| snapshot.tasks.get(index as usize);
    match query.task_sort {
        TaskSort::Id => {}
        TaskSort::Age => tasks.sort_by_cached_key(|&index| Reverse(picture.age(index).nanos())),
        TaskSort::State => tasks.sort_by_key(|&index| task(index).map(|task| state(snapshot, task))),
        TaskSort::Memory => tasks.sort_by_key(|&index| Reverse(task(index).map(|task| task.stack_bytes))),
        TaskSort::Name => {
            // Once for each stack: there are far fewer of them than tasks.
            let name = |locations: &[_]| {
                let frames = shown_frames(snapshot, locations, false);
                frames.last().map(|f| frame_name(snapshot, f.frame).into_owned()).unwrap_or_default()
            };
            let names: Vec<String> = snapshot.stacks.iter().map(|stack| name(&stack.locations)).collect();
            let of = |task: &Task| task.stack.and_then(|id| names.get(id.index()));
            tasks.sort_by_key(|&index| task(index).map(of));
        }
    }
    if query.reverse {
        tasks.reverse();
    }
    TaskTable { order: tasks }
}

/// Why a task waits, or what it does.
pub(in crate::dashboard) fn state<'a>(snapshot: &'a Snapshot, task: &Task) -> &'a str {
    task.reason.map_or(task.state.name(), |reason| snapshot.str(reason))
}

/// Looks at one task. None if it is not in the snapshot.
pub(super) fn closeup(snapshot: &Snapshot, key: TaskKey) -> Option<Closeup> {
    let index = key.find(snapshot)?;
    let task = snapshot.tasks.get(index as usize)?;
    let mut closeup = Closeup { task: index, ..Closeup::default() };
    closeup.waits = snapshot.waits_of(task).iter().map(|&wait| waiters(snapshot, wait, index)).collect();
    let same_runtime = |other: &Task| other.runtime == task.runtime;
    for (nth, other) in snapshot.tasks.iter().enumerate() {
        let nth = nth as u32;
        if task.parent.is_some() && other.id == task.parent && same_runtime(other) && nth != index {
            closeup.parent = Some(nth);
        }
        if task.id.is_some() && other.parent == task.id && same_runtime(other) && nth != index {
            closeup.children_total += 1;
            if closeup.children.len() < LISTED {
                closeup.children.push(nth);
            }
        }
    }
    Some(closeup)
}

fn waiters(snapshot: &Snapshot, wait: Wait, but: u32) -> Waiters {
    let mut waiters = Waiters { wait, others: Vec::new(), total: 0 };
    let waits_for = |task: &Task, object: ObjectId| {
        snapshot.waits_of(task).iter().find(|wait| wait.object == object).copied()
    };
    for (nth, task) in snapshot.tasks.iter().enumerate().filter(|&(nth, _)| nth as u32 != but) {
        let Some(other) = waits_for(task, wait.object) else { continue };
        waiters.total += 1;
        if waiters.others.len() < LISTED {
            waiters.others.push((nth as u32, other));
        }
    }
    waiters
}
