//! Fills a [`Snapshot`], interning as it goes.

use super::{
    Channel, Header, Hold, Links, LockState, ObjectId, ObjectKind, Snapshot, Span, Task, Wait, WaitObject,
    WaitOp,
};
use crate::code::{CodeBuilder, Interner};

mod checkpoint;
mod objects;
mod order;

pub use checkpoint::Checkpoint;
use objects::Objects;

/// Total waits that are kept.
const MAX_WAITS: usize = 1 << 24;

/// Rows that room is made for before they are there.
const MAX_RESERVED: usize = 1 << 22;

/// Fills a [`Snapshot`], interning as it goes.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    /// The header; the reader that takes the snapshot fills it.
    pub header: Header,
    /// The code tables.
    pub code: CodeBuilder,
    /// What leads from waiting tasks to their causes. [`SnapshotBuilder::finish`] sorts the tables.
    pub links: Links,
    objects: Objects,
    waits: Vec<Wait>,
    holds: Vec<Hold>,
    tasks: Vec<Task>,
    /// They were not added in the order of runtime, id and address.
    unsorted: bool,
    /// Rows that stand for several equal tasks, and their numbers of tasks.
    counted: Interner<Task>,
    counts: Vec<u64>,
    waits_left_out: bool,
}

impl SnapshotBuilder {
    /// An empty snapshot.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of the object of this kind at this address, made by `make` if it is new.
    pub fn object(
        &mut self,
        kind: ObjectKind,
        address: u64,
        make: impl FnOnce(&mut Self) -> Option<Channel>,
    ) -> ObjectId {
        let (id, is_new) = self.objects.find_or_add(kind, address);
        if is_new
            && let Some(channel) = make(self)
            && let Some(object) = self.objects.get_mut(id)
        {
            object.channel = Some(channel);
        }
        id
    }

    /// Is there room for this many more waits? If not, the snapshot says that some were left out.
    pub fn room_for_waits(&mut self, more: usize) -> bool {
        let room = self.waits.len().saturating_add(more) <= MAX_WAITS;
        self.waits_left_out |= !room;
        room
    }

    /// Adds what a task waits for; the result goes into [`Task::waits`].
    pub fn waits(&mut self, waits: impl IntoIterator<Item = Wait>) -> Span {
        Span::append(&mut self.waits, waits)
    }

    /// What a task waits for.
    pub fn waits_of(&self, task: &Task) -> &[Wait] {
        task.waits.slice(&self.waits)
    }

    /// Adds locks that a task seems to hold; the result goes into [`Task::holds`].
    pub fn holds(&mut self, holds: impl IntoIterator<Item = Hold>) -> Span {
        Span::append(&mut self.holds, holds)
    }

    /// The wait objects that were added so far, in the order of their ids.
    pub fn objects(&self) -> &[WaitObject] {
        self.objects.all()
    }

    /// Records a lock's own state.
    pub fn set_lock_state(&mut self, object: ObjectId, state: LockState) {
        if let Some(object) = self.objects.get_mut(object) {
            object.lock = Some(state);
        }
    }

    /// Counts one more task that waits for a channel.
    pub fn count_waiter(&mut self, object: ObjectId, op: WaitOp) {
        let Some(channel) = self.objects.get_mut(object).and_then(|o| o.channel.as_mut()) else {
            return;
        };
        match op {
            WaitOp::Send => channel.senders += 1,
            WaitOp::Receive => channel.receivers += 1,
            _ => {}
        }
    }

    /// The number of task rows that were added so far.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// The task with number `number`, which must be less than [`SnapshotBuilder::task_count`].
    pub fn task_mut(&mut self, number: usize) -> &mut Task {
        &mut self.tasks[number]
    }

    /// The tasks that were added so far, in the order of their numbers.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The tasks that were added from number `first` on.
    pub fn tasks_from(&mut self, first: usize) -> &mut [Task] {
        &mut self.tasks[first..]
    }

    /// Adds a task.
    #[inline]
    pub fn task(&mut self, task: Task) {
        self.tasks.push(task);
        if let [.., before, last] = &*self.tasks {
            self.unsorted |= order::key(before) > order::key(last);
        }
    }

    /// Adds this many equal tasks that the source does not distinguish. Repeated calls with an equal task use
    /// the same row.
    pub fn counted(&mut self, task: Task, count: u64) {
        match self.counted.find(&task, |known| known) {
            Ok(id) => {
                if let Some(sum) = self.counts.get_mut(id as usize) {
                    *sum = sum.saturating_add(count);
                }
            }
            Err(missing) => {
                self.counted.push(missing, task);
                self.counts.push(count);
            }
        }
    }

    /// Makes room for this many more tasks.
    pub fn reserve_tasks(&mut self, more: usize) {
        self.tasks.reserve(more);
    }

    /// Makes room for this many more objects.
    pub fn reserve_objects(&mut self, more: usize) {
        self.objects.reserve(more);
    }

    /// Makes room for what `more` tasks wait for, if they wait as the last ones do, since there were `before` objects,
    /// waits and branches. A table that grows is copied each time.
    pub(crate) fn reserve_alike(&mut self, before: [usize; 3], last: usize, more: usize) {
        let now = self.lengths();
        let alike = |nth: usize| {
            let each =
                now.get(nth).zip(before.get(nth)).map_or(0, |(now, before)| now.saturating_sub(*before));
            (each.saturating_mul(more) / last.max(1)).min(MAX_RESERVED)
        };
        self.reserve_objects(alike(0));
        self.waits.reserve(alike(1));
        self.links.branches.reserve(alike(2));
    }

    /// How many objects, waits and branches there are.
    pub(crate) fn lengths(&self) -> [usize; 3] {
        [self.objects().len(), self.waits.len(), self.links.branches.len()]
    }

    /// The finished snapshot, its tasks sorted by runtime and id.
    pub fn finish(mut self) -> Snapshot {
        self.header.warnings.extend(self.code.warnings());
        if self.waits_left_out {
            let warning = format!("tasks wait for more than {MAX_WAITS} things: the rest is left out");
            self.header.warnings.push(warning);
        }
        let sorted = !self.unsorted && self.counts.is_empty();
        let counted = self.counted.into_values().into_iter().zip(self.counts);
        let rows = counted.filter_map(|(task, count)| Some(Task { twins: count.checked_sub(1)?, ..task }));
        self.tasks.extend(rows);
        if !sorted && let Some(to) = order::sort(&mut self.tasks) {
            self.links.renumber(&to);
        }
        debug_assert!(self.tasks.is_sorted_by_key(order::key), "what tasks are sorted by does not change");
        self.links.sort();
        Snapshot {
            header: self.header,
            code: self.code.finish(),
            objects: self.objects.into_all(),
            waits: self.waits,
            holds: self.holds,
            links: self.links,
            tasks: self.tasks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_room_for_waits_without_end() {
        let mut builder = SnapshotBuilder::new();
        assert!(builder.room_for_waits(MAX_WAITS));
        assert!(!builder.room_for_waits(MAX_WAITS + 1));
        assert_eq!(builder.finish().header.warnings.len(), 1);
    }
}
