//! What the views show of a picture: computed on its own thread, so that keys never wait, however many tasks
//! there are.

use std::sync::Arc;

use super::query::{Query, View};
use crate::analysis::filter::Selection;
use crate::analysis::flame::{Flame, flame_selected};
use crate::session::Picture;
use crate::session::record::CpuTimes;
use crate::snapshot::Snapshot;

mod cpu;
mod creators;
mod groups;
mod memory;
mod task;

pub use cpu::CpuTable;
pub use creators::{Tree, TreeNode};
pub(in crate::dashboard) use groups::heading;
pub use groups::{GroupRow, GroupTable, MAX_GROUPS};
pub use memory::Memory;
pub(in crate::dashboard) use task::state;
pub use task::{Closeup, HeldLock, TaskTable, Waiters};

/// What the views show. Only the tables of the current view are computed.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// What it was made from.
    pub picture: Arc<Picture>,
    /// The query.
    pub query: Arc<Query>,
    /// Tasks that pass the filter, out of how many, and how many are hidden.
    pub shown: Shown,
    /// The groups.
    pub groups: GroupTable,
    /// Single tasks.
    pub tasks: TaskTable,
    /// Which task created which.
    pub creators: Tree,
    /// Stacks, merged. None if not requested.
    pub flame: Option<Flame>,
    /// CPU time of the tasks. None if it is not sampled, or not yet known.
    pub cpu: Option<CpuTable>,
    /// One task, as it is or, if it has ended, as it was last seen. None if not requested.
    pub closeup: Option<Closeup>,
}

/// The number of selected tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// Tasks that pass the filter.
    pub tasks: u64,
    /// Tasks without the filter.
    pub considered: u64,
    /// Tasks that would have passed, but are the runtime's own.
    pub hidden_system: u64,
}

impl Shown {
    /// Whether the filter lets everything pass.
    pub fn is_all(&self) -> bool {
        self.tasks == self.considered
    }
}

/// Computes what is shown of a picture. `cpu`: CPU time of its tasks, if that is sampled.
pub fn compute(
    picture: &Arc<Picture>,
    query: &Arc<Query>,
    cpu: Option<&Arc<CpuTimes>>,
    memory: &mut Memory,
) -> Tables {
    let cpu = cpu.and_then(|times| CpuTable::new(picture, times));
    let snapshot = &picture.snapshot;
    let selection = query.wanted.select(snapshot, query.system);
    let elapsed = picture.point().and_then(|point| point.elapsed_ns);
    let groups = if query.view == View::Groups || query.within.is_some() || memory.is_due(elapsed) {
        groups::table(picture, query, &selection, cpu.as_ref(), memory)
    } else {
        GroupTable::default()
    };
    let mut tables = Tables {
        picture: Arc::clone(picture),
        query: Arc::clone(query),
        shown: Shown {
            tasks: selection.count,
            considered: selection.considered,
            hidden_system: selection.hidden_system,
        },
        ..Tables::default()
    };
    if query.view == View::Tasks {
        tables.tasks = task::table(picture, query, within(query, &groups, selection), cpu.as_ref());
    } else if query.view == View::Creators {
        tables.creators = creators::tree(snapshot, &selection.tasks, cpu.as_ref(), query.creator_sort);
    } else if query.view == View::Flame {
        tables.flame = Some(flame(snapshot, &selection, query));
    }
    tables.closeup = memory.look_at(picture, query.task);
    tables.groups = groups;
    tables.cpu = cpu;
    tables
}

/// Merges the stacks of the selected tasks; compares them with the mark, if there is one.
pub(in crate::dashboard) fn flame(snapshot: &Snapshot, selection: &Selection, query: &Query) -> Flame {
    let then =
        query.mark.as_ref().map(|mark| (&*mark.snapshot, query.wanted.select(&mark.snapshot, query.system)));
    let then = then.as_ref().map(|(snapshot, selection)| (*snapshot, selection));
    flame_selected((snapshot, selection), then, false, &query.flame)
}

/// The tasks of the chosen group, or all.
fn within(query: &Query, groups: &GroupTable, selection: Selection) -> Vec<u32> {
    match &query.within {
        None => selection.tasks,
        Some(within) => {
            let row = groups.rows.iter().find(|row| row.key == within.key);
            row.map_or(Vec::new(), |row| row.group.tasks.clone())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
