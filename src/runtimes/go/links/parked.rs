//! Goroutines that do not move while it is found out what they wait for.

use super::layout::LinkLayout;
use crate::process::bytes::word;
use crate::process::{Memory, TargetError};
use crate::runtimes::go::buffers::Buffers;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::offsets::Offsets;
use crate::snapshot::{SnapshotBuilder, Task, TaskState};

/// A goroutine at the place where the reading found it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked {
    /// Number of the task in the builder.
    pub(super) task: usize,
    pub(super) raw: Raw,
    /// The timer that wakes it from a sleep; 0 if it never slept.
    pub(super) timer: u64,
    /// When it does, from 1.23 on.
    pub(super) sleep_when: Option<u64>,
}

/// Reads goroutines and what they point to, many at a time.
pub(super) struct Structs<'a> {
    pub(super) memory: &'a dyn Memory,
    offsets: &'a Offsets,
    layout: LinkLayout,
    /// Nothing in the memory can move.
    still: bool,
    buffers: Buffers,
}

impl<'a> Structs<'a> {
    pub(super) fn new(memory: &'a dyn Memory, offsets: &'a Offsets, layout: LinkLayout, still: bool) -> Self {
        Structs { memory, offsets, layout, still, buffers: Buffers::default() }
    }

    /// Nothing in the memory can move.
    pub(super) fn is_still(&self) -> bool {
        self.still
    }

    /// The goroutines of these tasks that have not moved since they were read.
    pub(super) fn parked(
        &mut self,
        tasks: &[usize],
        into: &SnapshotBuilder,
    ) -> Result<Vec<Parked>, TargetError> {
        let (offsets, layout) = (self.offsets, self.layout);
        let tasks: Vec<(usize, Task)> =
            tasks.iter().filter_map(|&number| Some((number, *into.tasks().get(number)?))).collect();
        let addresses: Vec<u64> = tasks.iter().map(|(_, task)| task.address).collect();
        let mut found = Vec::with_capacity(tasks.len());
        self.each(&addresses, size_of_g(offsets, layout), |i, bytes| {
            let (number, task) = &tasks[i];
            let raw = Raw::parse(task.address, bytes, offsets);
            if is_the_one(&raw, task) {
                let timer = layout.g_timer.map_or(0, |at| word(bytes, at));
                let sleep_when = layout.g_sleep_when.map(|at| word(bytes, at));
                found.push(Parked { task: *number, raw, timer, sleep_when });
            }
        })?;
        Ok(found)
    }

    /// What was found for goroutines that have not moved meanwhile.
    pub(super) fn unmoved<T>(&mut self, found: Vec<(Parked, T)>) -> Result<Vec<(Parked, T)>, TargetError> {
        if self.still {
            return Ok(found);
        }
        let addresses: Vec<u64> = found.iter().map(|(parked, _)| parked.raw.address).collect();
        let mut same = vec![false; found.len()];
        let offsets = self.offsets;
        self.each(&addresses, offsets.g_size, |i, bytes| {
            let now = Raw::parse(addresses[i], bytes, offsets);
            same[i] = found[i].0.raw.same_as(&now);
        })?;
        let mut same = same.into_iter();
        Ok(found.into_iter().filter(|_| same.next().unwrap_or(false)).collect())
    }

    /// Reads `size` bytes at each address, in any order; calls `with` with the number and the bytes of each that
    /// could be read.
    pub(super) fn each(
        &mut self,
        addresses: &[u64],
        size: usize,
        mut with: impl FnMut(usize, &[u8]),
    ) -> Result<(), TargetError> {
        let mut order: Vec<(u64, usize)> = addresses.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let ascending: Vec<u64> = order.iter().map(|(address, _)| *address).collect();
        self.buffers.read_structs(self.memory, &ascending, size, |i, bytes| with(order[i].1, bytes))
    }

    /// The words at these addresses; None where there is no memory.
    pub(super) fn words(&mut self, addresses: &[u64]) -> Result<Vec<Option<u64>>, TargetError> {
        let mut found = vec![None; addresses.len()];
        self.each(addresses, 8, |i, bytes| found[i] = Some(word(bytes, 0)))?;
        Ok(found)
    }
}

/// How much of a g is read.
fn size_of_g(offsets: &Offsets, layout: LinkLayout) -> usize {
    let behind = [layout.g_timer, layout.g_sleep_when].into_iter().flatten().map(|at| at + 8).max();
    offsets.g_size.max(behind.unwrap_or(0))
}

/// Is this the goroutine that the task was made from, and does it still wait at the same place?
fn is_the_one(raw: &Raw, task: &Task) -> bool {
    task.id == Some(raw.goid)
        && raw.state() == task.state
        && matches!(task.state, TaskState::Waiting | TaskState::Syscall)
        && task.mark.is_some()
        && task.mark == raw.mark()
}
