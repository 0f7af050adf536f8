//! Single tasks, and one in detail.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{CpuTable, Picture};
use crate::analysis::frames::{frame_name, shown_frames, user_frame};
use crate::analysis::locks::{HoldSummary, Holder};
use crate::analysis::waits::{WaitSummary, WaitTable};
use crate::dashboard::query::{Query, TaskKey, TaskSort};
use crate::snapshot::{Hold, ObjectId, Snapshot, Task, Wait};

/// At most this many neighbours of a task (children, other waiters) are listed.
const LISTED: usize = 100;
/// At most this many locks of a task are listed with their waiters; the rest is counted.
const LOCKS: usize = 16;

/// The tasks, in the requested order: indices into the snapshot's.
#[derive(Debug, Clone, Default)]
pub struct TaskTable {
    /// The tasks.
    pub order: Vec<u32>,
    /// How many tasks these are: one row may stand for several.
    pub count: u64,
}

/// One task in detail.
#[derive(Debug, Clone, Default)]
pub struct Closeup {
    /// Its picture: the last one that contains the task.
    pub of: Arc<Picture>,
    /// Its index in the tasks of that picture.
    pub task: u32,
    /// What it waits for, summarised.
    pub waits_for: Vec<WaitSummary>,
    /// What it holds, summarised.
    pub holds: Vec<HoldSummary>,
    /// What it waits for, who holds it, and who else waits for it.
    pub waits: Vec<Waiters>,
    /// Who waits for what it holds: the first locks.
    pub held: Vec<HeldLock>,
    /// How many more locks it holds.
    pub held_more: u64,
    /// The task that created it, if it still lives.
    pub parent: Option<u32>,
    /// Living tasks that it created: the first ones.
    pub children: Vec<u32>,
    /// How many there are.
    pub children_total: u64,
}

/// What a task waits for, who holds it, and who else waits for it.
#[derive(Debug, Clone)]
pub struct Waiters {
    /// What it waits for.
    pub wait: Wait,
    /// Others that seem to hold it: the first ones.
    pub holders: Vec<Holder>,
    /// How many do.
    pub holders_total: u64,
    /// Others that wait for the same thing, and how: the first ones.
    pub others: Vec<(u32, Wait)>,
    /// How many there are.
    pub total: u64,
}

/// What a task seems to hold, and who waits for it.
#[derive(Debug, Clone)]
pub struct HeldLock {
    /// What it holds, and how.
    pub hold: Hold,
    /// The tasks that wait for it, and how: the first ones.
    pub waiters: Vec<(u32, Wait)>,
    /// How many there are.
    pub total: u64,
}

/// Sorts tasks.
pub(super) fn table(
    picture: &Picture,
    query: &Query,
    mut tasks: Vec<u32>,
    cpu: Option<&CpuTable>,
) -> TaskTable {
    let snapshot = &*picture.snapshot;
    let task = |index: u32| snapshot.tasks.get(index as usize);
    match query.task_sort {
        TaskSort::Id => {}
        TaskSort::Age => tasks.sort_by_cached_key(|&index| Reverse(picture.age(index).nanos())),
        TaskSort::Cpu => tasks.sort_by_cached_key(|&index| {
            let ns = cpu.zip(task(index)).and_then(|(cpu, task)| cpu.of(task, index));
            Reverse(ns.map(|ns| ns.window))
        }),
        TaskSort::Active => tasks.sort_by_cached_key(|&index| {
            // As whole numbers, which can be compared.
            Reverse(picture.active(&[index]).map(|share| (share * 1e6) as u64))
        }),
        TaskSort::State => tasks.sort_by_key(|&index| task(index).map(|task| state(snapshot, task))),
        TaskSort::Memory => tasks.sort_by_key(|&index| Reverse(task(index).map(|task| task.stack_bytes))),
        TaskSort::Name => {
            // Once for each stack: there are far fewer stacks than tasks.
            let name = |locations: &[_]| {
                let frames = shown_frames(snapshot, locations, false);
                let at = user_frame(snapshot, &picture.owners, &frames);
                at.map(|f| frame_name(snapshot, f.frame).into_owned()).unwrap_or_default()
            };
            let names: Vec<String> =
                snapshot.code.stacks.iter().map(|stack| name(&stack.locations)).collect();
            let of = |task: &Task| task.stack.and_then(|id| names.get(id.index()));
            tasks.sort_by_key(|&index| task(index).map(of));
        }
    }
    if query.reverse {
        tasks.reverse();
    }
    TaskTable { count: snapshot.count_of(&tasks), order: tasks }
}

/// Why a task waits, or what it does.
pub(in crate::dashboard) fn state<'a>(snapshot: &'a Snapshot, task: &Task) -> &'a str {
    task.reason.map_or(task.state.name(), |reason| snapshot.str(reason))
}

/// Looks at one task. None if it is not in the picture.
pub(super) fn closeup(picture: &Arc<Picture>, key: TaskKey) -> Option<Closeup> {
    let snapshot = &*picture.snapshot;
    let index = key.find(picture)?;
    let task = snapshot.tasks.get(index as usize)?;
    let mut closeup = Closeup { of: Arc::clone(picture), task: index, ..Closeup::default() };
    let table = WaitTable::new(snapshot);
    closeup.waits_for = table.summarize([task].into_iter());
    closeup.holds = table.holds([task].into_iter());
    for &wait in snapshot.waits_of(task) {
        let holders = || table.holders(wait.object).filter(|holder| holder.task != index);
        let holders_total = holders().count() as u64;
        let (others, total) = waiters(snapshot, wait.object, index);
        let holders = holders().take(LISTED).collect();
        closeup.waits.push(Waiters { wait, holders, holders_total, others, total });
    }
    for &hold in snapshot.holds_of(task).iter().take(LOCKS) {
        let (waiters, total) = waiters(snapshot, hold.object, index);
        closeup.held.push(HeldLock { hold, waiters, total });
    }
    closeup.held_more = snapshot.holds_of(task).len().saturating_sub(LOCKS) as u64;
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

/// The waiters of an object except one task: the first ones, and how many.
fn waiters(snapshot: &Snapshot, object: ObjectId, but: u32) -> (Vec<(u32, Wait)>, u64) {
    let (mut waiters, mut total) = (Vec::new(), 0);
    let waits_for = |task: &Task| snapshot.waits_of(task).iter().find(|wait| wait.object == object).copied();
    for (nth, task) in snapshot.tasks.iter().enumerate().filter(|&(nth, _)| nth as u32 != but) {
        let Some(wait) = waits_for(task) else { continue };
        total += 1;
        if waiters.len() < LISTED {
            waiters.push((nth as u32, wait));
        }
    }
    (waiters, total)
}
