//! What the user wants to see: the view, its groups, filter and order.

use std::sync::Arc;

use super::filter_query::Wanted;
use crate::analysis::GroupKey;
use crate::analysis::flame::FlameOptions;
use crate::session::Picture;
use crate::snapshot::{Snapshot, Task};

/// The views, in the order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Everything at a glance, over time.
    #[default]
    Overview,
    /// Tasks that have something in common.
    Groups,
    /// Single tasks.
    Tasks,
    /// Tasks by their creator.
    Creators,
    /// Stacks, merged.
    Flame,
    /// What looks like a leak.
    Findings,
    /// The scheduler, the heap and the process.
    Scheduler,
}

impl View {
    /// All of them.
    pub const ALL: [View; 7] = [
        View::Overview,
        View::Groups,
        View::Tasks,
        View::Creators,
        View::Flame,
        View::Findings,
        View::Scheduler,
    ];

    /// The text of its tab.
    pub fn name(self) -> &'static str {
        match self {
            View::Overview => "Overview",
            View::Groups => "Groups",
            View::Tasks => "Tasks",
            View::Creators => "Creators",
            View::Flame => "Flame",
            View::Findings => "Findings",
            View::Scheduler => "Scheduler",
        }
    }

    /// Its position among all views.
    pub fn position(self) -> usize {
        View::ALL.iter().position(|&view| view == self).unwrap_or(0)
    }
}

/// The order of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupSort {
    /// The largest first.
    #[default]
    Count,
    /// The group that grew most first.
    Change,
    /// The group that grows fastest first.
    Rate,
    /// The group with the oldest task first.
    Age,
    /// The group that used most CPU time first. Only while that is sampled.
    Cpu,
    /// The group whose tasks are running or ready to run most of their time first.
    Active,
    /// By name.
    Name,
}

impl GroupSort {
    /// All of them, in the order in which `s` cycles through them.
    pub const ALL: [GroupSort; 7] = [
        GroupSort::Count,
        GroupSort::Change,
        GroupSort::Rate,
        GroupSort::Age,
        GroupSort::Cpu,
        GroupSort::Active,
        GroupSort::Name,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            GroupSort::Count => "count",
            GroupSort::Change => "change",
            GroupSort::Rate => "growth",
            GroupSort::Age => "age",
            GroupSort::Cpu => "CPU",
            GroupSort::Active => "time running or runnable",
            GroupSort::Name => "name",
        }
    }
}

/// The order of tasks that were created alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CreatorSort {
    /// Most tasks first, descendants included.
    #[default]
    Count,
    /// Most CPU time first, descendants included. Only while that is sampled.
    Cpu,
}

/// The order of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskSort {
    /// The lowest id first.
    #[default]
    Id,
    /// The oldest first.
    Age,
    /// The task that used most CPU time first. Only while that is sampled.
    Cpu,
    /// The task that is running or ready to run most of its time first.
    Active,
    /// By what they do or wait for.
    State,
    /// By function.
    Name,
    /// The task whose stack takes the most memory first.
    Memory,
}

impl TaskSort {
    /// All of them, in the order in which `s` cycles through them.
    pub const ALL: [TaskSort; 7] = [
        TaskSort::Id,
        TaskSort::Age,
        TaskSort::Cpu,
        TaskSort::Active,
        TaskSort::State,
        TaskSort::Name,
        TaskSort::Memory,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            TaskSort::Id => "id",
            TaskSort::Age => "age",
            TaskSort::Cpu => "CPU",
            TaskSort::Active => "time running or runnable",
            TaskSort::State => "state",
            TaskSort::Name => "name",
            TaskSort::Memory => "memory",
        }
    }
}

/// The next element of a list; after the last one, the first.
pub fn next<T: Copy + PartialEq>(all: &[T], now: T) -> T {
    let at = all.iter().position(|&one| one == now).unwrap_or(0);
    all.get((at + 1) % all.len().max(1)).copied().unwrap_or(now)
}

/// A group that the tasks are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// The key of its row.
    pub key: u64,
    /// Its name. Raw from the target.
    pub name: String,
}

/// Finds a task again in another picture of the same process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskKey {
    /// The process: after a restart another task may have the same id.
    life: u32,
    runtime: u8,
    id: Option<u64>,
    /// The address, or the index if the task has neither id nor address.
    address: u64,
}

impl TaskKey {
    /// The key of a task of a picture. None if there is no such task.
    pub fn of(picture: &Picture, index: u32) -> Option<Self> {
        picture.snapshot.tasks.get(index as usize).map(|task| Self::new(picture.life, task, index))
    }

    /// The key of a task in the process of this number; `index`: its row.
    pub(super) fn new(life: u32, task: &Task, index: u32) -> Self {
        let nameless = task.id.is_none() && task.address == 0;
        let address = if nameless { index.into() } else { task.address };
        TaskKey { life, runtime: task.runtime, id: task.id, address }
    }

    /// The task's index in a picture. None if it is not there.
    pub fn find(&self, picture: &Picture) -> Option<u32> {
        if picture.life != self.life {
            return None;
        }
        let snapshot = &picture.snapshot;
        let key = (self.runtime, self.id, self.address);
        let of = |task: &Task| (task.runtime, task.id, task.address);
        // Tasks are sorted, except in files that were made by hand.
        let found = snapshot.tasks.binary_search_by_key(&key, of).ok();
        let found = found.or_else(|| {
            let is = |(nth, task): (usize, &Task)| TaskKey::new(self.life, task, nth as u32) == *self;
            snapshot.tasks.iter().enumerate().position(is)
        });
        found.map(|index| index as u32)
    }
}

/// A picture to compare with.
#[derive(Debug, Clone)]
pub struct Mark {
    /// The snapshot of that reading.
    pub snapshot: Arc<Snapshot>,
    /// When it was read, nanoseconds since the first reading.
    pub elapsed_ns: Option<u64>,
}

/// What the user wants to see.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The view that is shown.
    pub view: View,
    /// What tasks are grouped by.
    pub key: GroupKey,
    /// Which tasks are shown.
    pub wanted: Arc<Wanted>,
    /// Include the runtime's own tasks.
    pub system: bool,
    /// The order of groups.
    pub group_sort: GroupSort,
    /// The order of tasks.
    pub task_sort: TaskSort,
    /// The order of creators.
    pub creator_sort: CreatorSort,
    /// Reversed order.
    pub reverse: bool,
    /// Only the tasks of one group.
    pub within: Option<Within>,
    /// How stacks are merged.
    pub flame: FlameOptions,
    /// The task shown in detail.
    pub task: Option<TaskKey>,
    /// Changes are counted from this picture on. None: from as far back as counts are kept.
    pub mark: Option<Mark>,
}
