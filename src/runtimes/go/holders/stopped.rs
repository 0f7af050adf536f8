//! Goroutines that do not move while they are examined: parked ones are read twice, running ones are held by
//! stopping their thread.

use rustc_hash::FxHashMap;

use super::held_locks::Frame;
use crate::process::{Range, Target};
use crate::runtimes::go::arch::state::CpuState;
use crate::runtimes::go::buffers::Buffers;
use crate::runtimes::go::goroutine::{Raw, status};
use crate::runtimes::go::read::Reader;
use crate::runtimes::go::running::{self, Running, Stops};
use crate::runtimes::go::stacks::{StackCache, Stacks};
use crate::runtimes::go::unwind::{Start, Unwinder, Window};
use crate::runtimes::go::{Go, GoError};
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::{Task, TaskState};

/// Of larger stacks only this many bytes are examined.
pub(in crate::runtimes::go) const MAX_STACK: u64 = 1 << 20;

/// Maximum bytes of stacks read together.
const MAX_TOGETHER: usize = 32 << 20;

/// A goroutine that may hold something.
#[derive(Clone, Copy)]
pub(in crate::runtimes::go) struct Candidate {
    pub(in crate::runtimes::go) number: usize,
    pub(in crate::runtimes::go) task: Task,
}

/// A goroutine that does not move.
pub(in crate::runtimes::go) struct View<'v> {
    /// The address of its struct.
    pub(in crate::runtimes::go) g: u64,
    pub(in crate::runtimes::go) frames: &'v [Frame],
    pub(in crate::runtimes::go) stack: Window<'v>,
    /// The registers of the innermost frame, where they are known.
    pub(in crate::runtimes::go) state: Option<CpuState>,
}

/// What is known of a goroutine after its examination.
pub(in crate::runtimes::go) struct Seen<T> {
    pub(in crate::runtimes::go) raw: Raw,
    pub(in crate::runtimes::go) found: Vec<T>,
}

/// Where goroutines are read from, and how.
#[derive(Clone, Copy)]
pub(in crate::runtimes::go) struct Goroutines<'s> {
    pub(in crate::runtimes::go) go: &'s Go,
    pub(in crate::runtimes::go) target: &'s dyn Target,
    pub(in crate::runtimes::go) options: &'s ReadOptions,
}

impl Goroutines<'_> {
    /// Examines goroutines that do not run. Leaves out goroutines that moved meanwhile.
    pub(in crate::runtimes::go) fn parked<T>(
        &self,
        batch: &[Candidate],
        with: &mut dyn FnMut(View<'_>, &Candidate) -> Vec<T>,
    ) -> Result<Vec<Seen<T>>, GoError> {
        let mut batch = batch.to_vec();
        batch.sort_unstable_by_key(|candidate| candidate.task.address);
        let mut buffers = Buffers::default();
        let raws = self.raws(&batch.iter().map(|c| c.task.address).collect::<Vec<_>>(), &mut buffers)?;
        let mut read: Vec<(Candidate, Raw)> = Vec::with_capacity(batch.len());
        buffers.ranges.clear();
        let mut together = 0;
        for candidate in batch {
            let Some(raw) = raws.get(&candidate.task.address) else { continue };
            let (_, sp, _) = raw.parked_at();
            if is_the_one(raw, &candidate.task) && raw.status != status::RUNNING && raw.on_stack(sp) {
                let len = (raw.stack_hi - sp).min(MAX_STACK) as usize;
                together += len;
                if together > MAX_TOGETHER {
                    break;
                }
                buffers.ranges.push(Range { address: sp, len });
                read.push((candidate, *raw));
            }
        }
        buffers.read(self.target)?;
        let mut unwinder = Unwinder::new(&self.go.modules, self.options.max_depth);
        let (mut seen, mut at) = (Vec::new(), 0);
        for ((candidate, raw), (range, ok)) in read.iter().zip(buffers.ranges.iter().zip(&buffers.ok)) {
            let bytes = buffers.bytes.get(at..at + range.len).unwrap_or_default();
            at += range.len;
            if !ok {
                continue;
            }
            let window = Window { base: range.address, bytes, cut: false };
            let (pc, sp, bp) = raw.parked_at();
            let frames = frames(&mut unwinder, Start { pc, sp, bp, interrupted: false }, window);
            let view = View { g: raw.address, frames: &frames, stack: window, state: None };
            let found = with(view, candidate);
            if !found.is_empty() {
                seen.push(Seen { raw: *raw, found });
            }
        }
        self.unmoved(seen)
    }

    /// Examines a running goroutine while its thread is stopped.
    pub(in crate::runtimes::go) fn running<T>(
        &self,
        candidate: &Candidate,
        stops: &mut Stops,
        with: &mut dyn FnMut(View<'_>, &Candidate) -> Vec<T>,
    ) -> Result<Option<Seen<T>>, GoError> {
        if self.options.pause == Pause::Nothing && !self.target.is_static() {
            return Ok(None);
        }
        let stacks = Stacks::default();
        let unwinder = Unwinder::new(&self.go.modules, self.options.max_depth);
        let still = self.target.is_static() || self.options.pause == Pause::Everything;
        let mut reader =
            Reader::new(self.target, &self.go.offsets, unwinder, StackCache::new(&stacks), still);
        let read = running::read(&mut reader, candidate.task.address, true, stops)?;
        let Running::Read(goroutine) = read else { return Ok(None) };
        if Some(goroutine.raw.goid) != candidate.task.id || goroutine.stack.is_none() {
            return Ok(None);
        }
        let mut unwinder = Unwinder::new(&self.go.modules, self.options.max_depth);
        let Some((start, window)) = reader.last_stack() else { return Ok(None) };
        let frames = frames(&mut unwinder, start, window);
        let state = reader.registers.as_ref().map(CpuState::with_registers);
        let view = View { g: goroutine.raw.address, frames: &frames, stack: window, state };
        let found = with(view, candidate);
        Ok((!found.is_empty()).then_some(Seen { raw: goroutine.raw, found }))
    }

    /// What was found for goroutines that have not moved since. A running goroutine was held during its
    /// examination and has continued since; its findings stay.
    pub(in crate::runtimes::go) fn still<T>(&self, seen: Vec<Seen<T>>) -> Result<Vec<T>, GoError> {
        let (running, parked): (Vec<_>, Vec<_>) =
            seen.into_iter().partition(|seen| seen.raw.status == status::RUNNING);
        let parked = self.unmoved(parked)?;
        Ok(running.into_iter().chain(parked).flat_map(|seen| seen.found).collect())
    }

    fn unmoved<T>(&self, mut seen: Vec<Seen<T>>) -> Result<Vec<Seen<T>>, GoError> {
        if self.target.is_static() || self.options.pause == Pause::Everything {
            return Ok(seen);
        }
        let mut addresses: Vec<u64> = seen.iter().map(|seen| seen.raw.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let now = self.raws(&addresses, &mut Buffers::default())?;
        seen.retain(|seen| now.get(&seen.raw.address).is_some_and(|now| seen.raw.same_as(now)));
        Ok(seen)
    }

    /// The goroutine structs at these addresses, in ascending order, by address.
    fn raws(&self, addresses: &[u64], buffers: &mut Buffers) -> Result<FxHashMap<u64, Raw>, GoError> {
        let (offsets, mut raws) = (&self.go.offsets, FxHashMap::default());
        buffers.read_structs(self.target, addresses, offsets.g_size, |i, bytes| {
            raws.insert(addresses[i], Raw::parse(addresses[i], bytes, offsets));
        })?;
        Ok(raws)
    }
}

/// Is this the goroutine that the task was made from? A waiting one must not have moved at all: what it waits
/// for is part of the snapshot.
fn is_the_one(raw: &Raw, task: &Task) -> bool {
    task.id == Some(raw.goid)
        && !raw.is_over()
        && (task.state != TaskState::Waiting || task.mark == raw.mark())
}

/// The frames of a stack, innermost first.
fn frames(unwinder: &mut Unwinder<'_>, start: Start, window: Window<'_>) -> Vec<Frame> {
    let mut frames = Vec::new();
    unwinder.walk(start, window, &mut |pc, sp| frames.push(Frame { pc, sp }));
    frames
}
