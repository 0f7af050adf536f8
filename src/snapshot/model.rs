//! The model: plain data, interned in tables.
//!
//! It serves every runtime: a location is a code address or an await point, a task may have no stack, an age
//! may be only a bound, and what a source cannot know is unknown.

use super::header::{Header, RuntimeInfo};
use super::links::Links;
use super::task::{Task, count_tasks};
use super::waits::{Hold, Wait, WaitObject};
use crate::code::{CodeTables, FunctionId, LocationId, StrId};

/// Everything that was true at one moment, self-contained.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// What was read, when, and how the reading went.
    pub header: Header,
    /// The strings, functions, locations, stacks and label sets that everything else refers to.
    pub code: CodeTables,
    /// Everything that tasks wait for, each stored once.
    pub objects: Vec<WaitObject>,
    /// The tasks' waits; [`Task::waits`] is each task's span of these rows.
    pub waits: Vec<Wait>,
    /// The tasks' locks, if they could be found; [`Task::holds`] is each task's span of these rows.
    pub holds: Vec<Hold>,
    /// What leads from waiting tasks to their causes.
    pub links: Links,
    /// The tasks, in ascending order of id if ids are known. A row may stand for several equal tasks:
    /// [`Snapshot::task_count`] counts the tasks.
    pub tasks: Vec<Task>,
}

impl Snapshot {
    /// The maximum total of tasks that the rows stand for. A larger number is not believed, and sums of
    /// counts stay far from overflow.
    pub const MOST_TASKS: u64 = 1 << 32;

    /// The number of tasks.
    pub fn task_count(&self) -> u64 {
        count_tasks(&self.tasks)
    }

    /// The number of tasks in these rows, given by their indices.
    pub fn count_of(&self, rows: &[u32]) -> u64 {
        count_tasks(rows.iter().filter_map(|&row| self.tasks.get(row as usize)))
    }

    /// The text of a string. Empty for an index out of range.
    pub fn str(&self, id: StrId) -> &str {
        self.code.str(id)
    }

    /// The name of a function. Empty for an index out of range.
    pub fn function_name(&self, id: FunctionId) -> &str {
        self.code.function_name(id)
    }

    /// The locations of a task's stack, innermost first; empty if it has none.
    pub fn stack_of(&self, task: &Task) -> &[LocationId] {
        task.stack.map_or(&[], |id| self.code.stack(id))
    }

    /// What a task waits for.
    pub fn waits_of(&self, task: &Task) -> &[Wait] {
        task.waits.slice(&self.waits)
    }

    /// The locks that a task seems to hold.
    pub fn holds_of(&self, task: &Task) -> &[Hold] {
        task.holds.slice(&self.holds)
    }

    /// The runtime that a task belongs to.
    pub fn runtime_of(&self, task: &Task) -> Option<&RuntimeInfo> {
        self.header.runtimes.get(usize::from(task.runtime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_counts_do_not_overflow() {
        let task = Task { twins: u64::MAX, ..Task::default() };
        assert_eq!((task.count(), count_tasks(&[task, task])), (u64::MAX, u64::MAX));
        let mut snapshot = Snapshot { tasks: vec![task; 2], ..Snapshot::default() };
        snapshot.header.runtimes = vec![RuntimeInfo::default()];
        assert_eq!((snapshot.task_count(), snapshot.count_of(&[0, 1, 9])), (u64::MAX, u64::MAX));
        assert!(snapshot.validate().is_err());
        snapshot.tasks = vec![Task { twins: Snapshot::MOST_TASKS / 2 - 1, ..task }; 2];
        assert_eq!(snapshot.validate(), Ok(()));
        snapshot.tasks.push(Task::default());
        assert!(snapshot.validate().is_err());
    }

    #[test]
    fn who_has_an_id_is_one() {
        let task = Task { twins: 1, id: Some(1), ..Task::default() };
        let mut snapshot = Snapshot { tasks: vec![task], ..Snapshot::default() };
        snapshot.header.runtimes = vec![RuntimeInfo::default()];
        assert!(snapshot.validate().is_err());
        snapshot.tasks = vec![Task { id: None, ..task }];
        assert_eq!(snapshot.validate(), Ok(()));
    }
}
