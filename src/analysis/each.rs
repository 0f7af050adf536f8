//! Tasks one by one.

use std::cmp::Reverse;

use super::filter::Filter;
use super::frames::shown_frames;
use super::group::SortBy;
use crate::snapshot::{Snapshot, Task};

/// The result of picking tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Each {
    /// The tasks, as indices into [`Snapshot::tasks`], in the requested order, up to the limit.
    pub tasks: Vec<u32>,
    /// How many tasks passed the filter; one of `tasks` may stand for several.
    pub total_tasks: u64,
    /// Tasks without any condition.
    pub considered: u64,
    /// Tasks that would have passed it but are the runtime's own.
    pub hidden_system: u64,
}

/// Picks the tasks that pass `filter`, sorts them, and keeps the first `limit` (all, if None). Sorted by count,
/// rows that stand for the most tasks come first; single tasks stay in the order of their ids.
pub fn each(snapshot: &Snapshot, filter: &Filter, sort: SortBy, limit: Option<usize>) -> Each {
    let selection = filter.select(snapshot);
    let total_tasks = selection.count;
    let mut tasks = selection.tasks;
    let task = |&index: &u32| snapshot.tasks.get(index as usize);
    match sort {
        SortBy::Count => tasks.sort_by_key(|index| Reverse(task(index).map_or(0, Task::count))),
        SortBy::Id => {}
        SortBy::Age => tasks.sort_by_key(|index| Reverse(task(index).and_then(|t| t.age.nanos()))),
        SortBy::Name => {
            tasks.sort_by_cached_key(|index| task(index).map(|t| names(snapshot, t, filter.all_frames)));
        }
    }
    tasks.truncate(limit.unwrap_or(usize::MAX));
    Each { tasks, total_tasks, considered: selection.considered, hidden_system: selection.hidden_system }
}

/// The functions of a task's stack, innermost first.
fn names<'a>(snapshot: &'a Snapshot, task: &Task, all_frames: bool) -> Vec<&'a str> {
    (shown_frames(snapshot, snapshot.stack_of(task), all_frames).iter())
        .map(|f| snapshot.function_name(f.frame.function))
        .collect()
}
