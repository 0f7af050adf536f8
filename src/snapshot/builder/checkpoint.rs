//! Takes back what was added to a snapshot since a checkpoint.

use super::SnapshotBuilder;
use crate::snapshot::{Links, Reading, WaitObject};

/// What a [`SnapshotBuilder`] contained at one moment.
#[derive(Debug)]
pub struct Checkpoint {
    runtimes: usize,
    warnings: usize,
    reading: Reading,
    /// Copied: later readers add to the known facts of an object.
    objects: Vec<WaitObject>,
    waits: usize,
    waits_left_out: bool,
    holds: usize,
    links: Links,
    tasks: usize,
    /// The number of tasks that each row of equal tasks stands for.
    counts: Vec<u64>,
}

impl SnapshotBuilder {
    /// Records the present state, for [`SnapshotBuilder::roll_back`].
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            runtimes: self.header.runtimes.len(),
            warnings: self.header.warnings.len(),
            reading: self.header.reading.clone(),
            objects: self.objects().to_vec(),
            waits: self.waits.len(),
            waits_left_out: self.waits_left_out,
            holds: self.holds.len(),
            links: self.links.clone(),
            tasks: self.tasks.len(),
            counts: self.counts.clone(),
        }
    }

    /// Takes back everything that was added since: runtimes, tasks, their waits and holds, warnings and the counts of
    /// the reading. Stopped threads stay counted. The code tables keep entries that are no longer used.
    pub fn roll_back(&mut self, to: Checkpoint) {
        let now = &self.header.reading;
        self.header.reading = Reading {
            threads_stopped: now.threads_stopped,
            longest_thread_stop_ns: now.longest_thread_stop_ns,
            ..to.reading
        };
        self.header.runtimes.truncate(to.runtimes);
        self.header.warnings.truncate(to.warnings);
        self.objects.roll_back(to.objects);
        self.waits.truncate(to.waits);
        self.waits_left_out = to.waits_left_out;
        self.holds.truncate(to.holds);
        self.links = to.links;
        self.tasks.truncate(to.tasks);
        self.counted.truncate(to.counts.len());
        self.counts = to.counts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{
        Channel, Hold, HoldKind, LockState, ObjectKind, RuntimeInfo, Snapshot, Task, Wait, WaitOp,
    };

    /// A runtime with one task that sends on a channel and holds a lock, and three equal tasks.
    fn add(into: &mut SnapshotBuilder, runtime: u8, channel: u64, lock: u64) {
        into.header
            .runtimes
            .push(RuntimeInfo { name: format!("runtime {runtime}"), ..RuntimeInfo::default() });
        into.header.warnings.push(format!("a warning of {runtime}"));
        into.header.reading.torn += 1;
        into.header.reading.threads_stopped += 2;
        let made =
            Channel { len: 0, cap: 0, closed: false, senders: 0, receivers: 0, more: false, element: None };
        let channel = into.object(ObjectKind::Channel, channel, |_| Some(made));
        into.count_waiter(channel, WaitOp::Send);
        let waits = into.waits([Wait { op: WaitOp::Send, object: channel }]);
        let object = into.object(ObjectKind::Mutex, lock, |_| None);
        into.set_lock_state(object, LockState::Exclusive);
        let holds = into.holds([Hold { object, how: HoldKind::Exclusive, location: None }]);
        into.task(Task { runtime, id: Some(7), waits, holds, ..Task::default() });
        into.counted(Task { runtime, ..Task::default() }, 3);
    }

    fn taken_back(channel: u64, lock: u64) -> Snapshot {
        let mut builder = SnapshotBuilder::new();
        add(&mut builder, 0, 0x10, 0x20);
        let before = builder.checkpoint();
        add(&mut builder, 1, channel, lock);
        builder.roll_back(before);
        add(&mut builder, 1, 0x50, 0x60);
        builder.finish()
    }

    #[test]
    fn nothing_is_left_of_what_was_taken_back() {
        let mut expected = SnapshotBuilder::new();
        add(&mut expected, 0, 0x10, 0x20);
        add(&mut expected, 1, 0x50, 0x60);
        let mut expected = expected.finish();
        expected.header.reading.threads_stopped = 6;
        assert_eq!(taken_back(0x30, 0x40), expected, "objects of its own");
        assert_eq!(taken_back(0x10, 0x20), expected, "objects that another runtime knows, too");
        assert_eq!(taken_back(0x50, 0x60), expected, "objects that come again");
    }

    #[test]
    fn that_there_was_no_room_is_taken_back() {
        let mut builder = SnapshotBuilder::new();
        let before = builder.checkpoint();
        assert!(!builder.room_for_waits(usize::MAX));
        builder.roll_back(before);
        assert!(builder.finish().header.warnings.is_empty());
    }
}
