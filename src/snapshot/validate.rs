//! Checks that every index of a snapshot is within its table.

use super::Snapshot;
pub use crate::code::Invalid;
use crate::code::{StrId, check};

impl Snapshot {
    /// Checks that every index is within its table, every location has a frame, no stack is absurdly deep and
    /// every row of waits and holds belongs to one task on average, so that code that works on the snapshot
    /// need not check again.
    ///
    /// # Errors
    /// The first problem found.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.code.validate()?;
        self.validate_waits()?;
        self.validate_tasks()
    }

    fn has_string(&self, id: StrId) -> bool {
        id.index() < self.code.strings.len()
    }

    fn validate_waits(&self) -> Result<(), Invalid> {
        for (row, object) in self.objects.iter().enumerate() {
            let element = object.channel.and_then(|c| c.element);
            check(element.is_none_or(|id| self.has_string(id)), "object", row, "its type does not exist")?;
        }
        for (row, wait) in self.waits.iter().enumerate() {
            check(wait.object.index() < self.objects.len(), "wait", row, "its object does not exist")?;
        }
        for (row, hold) in self.holds.iter().enumerate() {
            check(hold.object.index() < self.objects.len(), "hold", row, "its object does not exist")?;
            let location = hold.location.is_none_or(|id| id.index() < self.code.locations.len());
            check(location, "hold", row, "its location does not exist")?;
        }
        Ok(())
    }

    fn validate_tasks(&self) -> Result<(), Invalid> {
        let runtimes = self.header.runtimes.len();
        // Tasks do not share these rows, so all tasks together have at most as many as the tables.
        let [mut waits, mut holds, mut tasks] = [0_u64; 3];
        for (row, task) in self.tasks.iter().enumerate() {
            check(usize::from(task.runtime) < runtimes, "task", row, "its runtime does not exist")?;
            check(
                task.reason.is_none_or(|id| self.has_string(id)),
                "task",
                row,
                "its reason does not exist",
            )?;
            let creator = task.creator.is_none_or(|id| id.index() < self.code.locations.len());
            check(creator, "task", row, "its creator does not exist")?;
            let entry = task.entry.is_none_or(|id| id.index() < self.code.functions.len());
            check(entry, "task", row, "its entry function does not exist")?;
            let labels = task.labels.is_none_or(|id| id.index() < self.code.label_sets.len());
            check(labels, "task", row, "its labels do not exist")?;
            let stack = task.stack.is_none_or(|id| id.index() < self.code.stacks.len());
            check(stack, "task", row, "its stack does not exist")?;
            check(
                task.waits.end() <= self.waits.len() as u64,
                "task",
                row,
                "what it waits for does not exist",
            )?;
            check(task.holds.end() <= self.holds.len() as u64, "task", row, "what it holds does not exist")?;
            waits = waits.saturating_add(task.waits.len.into());
            let ok = waits <= self.waits.len() as u64;
            check(ok, "task", row, "it and those before it wait for more than the table of waits has")?;
            holds = holds.saturating_add(task.holds.len.into());
            let ok = holds <= self.holds.len() as u64;
            check(ok, "task", row, "it and those before it hold more than the table of holds has")?;
            let single = task.id.is_some() || !task.waits.is_empty() || !task.holds.is_empty();
            check(task.twins == 0 || !single, "task", row, "it is a single task and stands for several")?;
            tasks = tasks.saturating_add(task.count());
            check(tasks <= Self::MOST_TASKS, "task", row, "it and those before it stand for too many")?;
        }
        Ok(())
    }
}
