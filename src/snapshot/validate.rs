//! Checks that every index of a snapshot is within its table.

use super::{By, ObjectId, Snapshot, Task};
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
        self.validate_tables()?;
        self.validate_tasks()
    }

    /// The same for everything except the tasks.
    pub(super) fn validate_tables(&self) -> Result<(), Invalid> {
        self.code.validate()?;
        self.validate_waits()?;
        self.validate_links()
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

    fn validate_links(&self) -> Result<(), Invalid> {
        let links = &self.links;
        let is_object = |id: ObjectId| id.index() < self.objects.len();
        let is_task = |row: u32| (row as usize) < self.tasks.len();
        let is_text = |id: Option<StrId>| id.is_none_or(|id| self.has_string(id));
        let ascends = links.descriptors.is_sorted_by(|a, b| a.fd < b.fd)
            && links.timers.is_sorted_by(|a, b| a.object < b.object)
            && links.calls.is_sorted_by(|a, b| a.task < b.task)
            && links.actors.is_sorted_by_key(|actor| actor.object)
            && links.ancestors.is_sorted_by(|a, b| (a.task, a.generation) < (b.task, b.generation))
            && links.branches.is_sorted_by(|a, b| (a.task, a.number) < (b.task, b.number))
            && links.handles.is_sorted_by(|a, b| a.object < b.object)
            && links.searched.is_sorted_by(|a, b| a.object < b.object);
        check(ascends, "link", 0, "it and others of its table are not in their order")?;
        for (row, timer) in links.timers.iter().enumerate() {
            check(is_object(timer.object), "timer", row, "its object does not exist")?;
        }
        for (row, context) in links.contexts.iter().enumerate() {
            check(context.object.is_none_or(is_object), "context", row, "its object does not exist")?;
            check(is_text(context.type_name), "context", row, "its type does not exist")?;
            let parent = context.parent.is_none_or(|parent| (parent as usize) < links.contexts.len());
            check(parent, "context", row, "its parent does not exist")?;
        }
        for (row, call) in links.calls.iter().enumerate() {
            check(is_task(call.task), "call", row, "its task does not exist")?;
            check(is_text(Some(call.name)), "call", row, "its name does not exist")?;
            check(is_text(call.kernel_function), "call", row, "its kernel function does not exist")?;
        }
        for (row, actor) in links.actors.iter().enumerate() {
            check(is_object(actor.object), "actor", row, "its object does not exist")?;
            let by = if let By::Task(task) = actor.by { is_task(task) } else { true };
            check(by, "actor", row, "its task does not exist")?;
            let location = actor.location.is_none_or(|id| id.index() < self.code.locations.len());
            check(location, "actor", row, "its location does not exist")?;
        }
        for (row, ancestor) in links.ancestors.iter().enumerate() {
            check(is_task(ancestor.task), "ancestor", row, "its task does not exist")?;
            let stack = ancestor.stack.is_none_or(|id| id.index() < self.code.stacks.len());
            check(stack, "ancestor", row, "its stack does not exist")?;
            let creator = ancestor.creator.is_none_or(|id| id.index() < self.code.locations.len());
            check(creator, "ancestor", row, "its creator does not exist")?;
        }
        for (row, branch) in links.branches.iter().enumerate() {
            check(is_task(branch.task), "branch", row, "its task does not exist")?;
            let stack = branch.stack.is_none_or(|id| id.index() < self.code.stacks.len());
            check(stack, "branch", row, "its stack does not exist")?;
            check(is_text(branch.reason), "branch", row, "its reason does not exist")?;
            let waits = branch.waits.end() <= self.waits.len() as u64;
            check(waits, "branch", row, "what it waits for does not exist")?;
        }
        for (row, handles) in links.handles.iter().enumerate() {
            check(is_object(handles.object), "channel", row, "its object does not exist")?;
        }
        for (row, searched) in links.searched.iter().enumerate() {
            check(is_object(searched.object), "search", row, "its object does not exist")?;
        }
        Ok(())
    }

    fn validate_tasks(&self) -> Result<(), Invalid> {
        let mut checks = TaskChecks::new(self);
        self.tasks.iter().enumerate().try_for_each(|(row, task)| checks.check(row, task))
    }
}

/// Checks the tasks of a snapshot, row by row.
#[derive(Debug)]
pub(super) struct TaskChecks {
    /// The lengths of the tables that tasks refer to.
    runtimes: usize,
    strings: usize,
    locations: usize,
    functions: usize,
    label_sets: usize,
    stacks: usize,
    waits: u64,
    holds: u64,
    /// Sums of the rows so far. Tasks do not share waits and holds, so all tasks together have at most as many
    /// as the tables.
    used_waits: u64,
    used_holds: u64,
    tasks: u64,
}

impl TaskChecks {
    /// Checks for the tasks of this snapshot.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        TaskChecks {
            runtimes: snapshot.header.runtimes.len(),
            strings: snapshot.code.strings.len(),
            locations: snapshot.code.locations.len(),
            functions: snapshot.code.functions.len(),
            label_sets: snapshot.code.label_sets.len(),
            stacks: snapshot.code.stacks.len(),
            waits: snapshot.waits.len() as u64,
            holds: snapshot.holds.len() as u64,
            used_waits: 0,
            used_holds: 0,
            tasks: 0,
        }
    }

    /// How many tasks the checked rows stand for.
    pub(super) fn tasks(&self) -> u64 {
        self.tasks
    }

    /// Checks the next row.
    pub(super) fn check(&mut self, row: usize, task: &Task) -> Result<(), Invalid> {
        let check = |ok, problem| check(ok, "task", row, problem);
        check(usize::from(task.runtime) < self.runtimes, "its runtime does not exist")?;
        check(task.reason.is_none_or(|id| id.index() < self.strings), "its reason does not exist")?;
        check(task.creator.is_none_or(|id| id.index() < self.locations), "its creator does not exist")?;
        check(task.entry.is_none_or(|id| id.index() < self.functions), "its entry function does not exist")?;
        check(task.labels.is_none_or(|id| id.index() < self.label_sets), "its labels do not exist")?;
        check(task.stack.is_none_or(|id| id.index() < self.stacks), "its stack does not exist")?;
        check(task.waits.end() <= self.waits, "what it waits for does not exist")?;
        check(task.holds.end() <= self.holds, "what it holds does not exist")?;
        self.used_waits = self.used_waits.saturating_add(task.waits.len.into());
        let problem = "it and those before it wait for more than the table of waits has";
        check(self.used_waits <= self.waits, problem)?;
        self.used_holds = self.used_holds.saturating_add(task.holds.len.into());
        let problem = "it and those before it hold more than the table of holds has";
        check(self.used_holds <= self.holds, problem)?;
        let single = task.id.is_some() || !task.waits.is_empty() || !task.holds.is_empty();
        check(task.twins == 0 || !single, "it is a single task and stands for several")?;
        self.tasks = self.tasks.saturating_add(task.count());
        check(self.tasks <= Snapshot::MOST_TASKS, "it and those before it stand for too many")
    }
}
