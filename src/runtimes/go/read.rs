//! Reading goroutines that do not run: many at a time, without a pause, and verified.
//!
//! A goroutine's struct is read, then its stack and what it waits for, then the struct again. If it changed
//! in between, the result may be a mixture. It is read again, in smaller batches. A goroutine that never
//! settles is marked torn.

mod again;

pub(super) use again::Again;

use super::buffers::Buffers;
use super::chunk::Chunk;
use super::goroutine::{Goroutine, Raw, status};
use super::offsets::Offsets;
use super::stacks::StackCache;
use super::unwind::{CodeAddress, Start, Unwinder, Window};
use super::waits;
use crate::process::{Range, Target, TargetError};
use crate::snapshot::StackStatus;

/// Attempts to read a goroutine before it is given up as torn.
const ATTEMPTS: u32 = 8;
/// Stacks up to this size are read together; larger ones alone.
const SMALL_STACK: u64 = 16 << 10;
/// Bytes of stacks read together.
const BATCH_BYTES: usize = 1 << 20;
/// No more than this much of one stack is read.
pub(super) const MAX_STACK_READ: u64 = 64 << 20;
/// No more than this much of a stack is read page by page, where it cannot be read whole.
const MAX_PART: usize = 1 << 20;
/// No more than this much while a thread of a running program is stopped for it.
const MAX_STACK_READ_HELD: u64 = 1 << 20;

/// Reads goroutines; one per thread, with reusable buffers.
pub(super) struct Reader<'a> {
    pub(super) target: &'a dyn Target,
    pub(super) offsets: &'a Offsets,
    pub(super) unwinder: Unwinder<'a>,
    pub(super) stacks: StackCache<'a>,
    /// Nothing in the target can move while it is read.
    still: bool,
    pub(super) buffers: Buffers,
    stack_buffer: Vec<u8>,
    /// Where the stack in `stack_buffer` begins, and whether it was cut.
    last: Option<(Start, bool)>,
    /// The registers of the running goroutine that was read last, if they are those of its innermost frame.
    pub(super) registers: Option<[u64; 16]>,
    pcs: Vec<CodeAddress>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        target: &'a dyn Target,
        offsets: &'a Offsets,
        unwinder: Unwinder<'a>,
        stacks: StackCache<'a>,
        still: bool,
    ) -> Self {
        Reader {
            target,
            offsets,
            unwinder,
            stacks,
            still,
            buffers: Buffers::default(),
            stack_buffer: Vec::new(),
            last: None,
            registers: None,
            pcs: Vec::new(),
        }
    }

    /// Reads the goroutines at `addresses`, which must be in ascending order.
    pub(super) fn read(&mut self, addresses: &[u64]) -> Result<Chunk, TargetError> {
        let mut chunk = Chunk::default();
        chunk.goroutines.reserve(addresses.len());
        let pending = self.read_once(addresses, &mut chunk)?;
        self.retry(pending, &mut chunk)?;
        Ok(chunk)
    }

    /// Reads goroutines that moved until they settle, or gives them up.
    fn retry(&mut self, mut pending: Vec<u64>, chunk: &mut Chunk) -> Result<(), TargetError> {
        for attempt in 1..ATTEMPTS {
            if pending.is_empty() {
                return Ok(());
            }
            chunk.retried += pending.len() as u64;
            // The smaller the batch, the shorter the time in which a goroutine can move.
            let batch = if attempt < 3 { 32 } else { 1 };
            let mut again = Vec::new();
            for batch in pending.chunks(batch) {
                again.append(&mut self.read_once(batch, chunk)?);
            }
            pending = again;
        }
        self.give_up(&pending, chunk)
    }

    /// Reads each goroutine once; returns the goroutines that moved meanwhile.
    fn read_once(&mut self, addresses: &[u64], chunk: &mut Chunk) -> Result<Vec<u64>, TargetError> {
        let raws = self.structs(addresses, chunk)?;
        self.read_rest(raws, chunk)
    }

    /// Reads the rest of goroutines whose structs were read; returns the goroutines that moved meanwhile.
    fn read_rest(&mut self, raws: Vec<Raw>, chunk: &mut Chunk) -> Result<Vec<u64>, TargetError> {
        let first_goroutine = chunk.goroutines.len();
        let first_wait = chunk.waits.len();
        let mut moved = Vec::new();
        for raw in raws {
            if raw.is_over() {
                chunk.ended += 1;
            } else if raw.status == status::RUNNING {
                chunk.running.push(raw.address);
            } else if raw.status == status::COPYSTACK && !self.still {
                moved.push(raw.address);
            } else {
                chunk.goroutines.push(Goroutine::without_stack(raw, self.without()));
            }
        }
        self.read_stacks(&mut chunk.goroutines[first_goroutine..])?;
        let found = &mut chunk.goroutines[first_goroutine..];
        if found.is_empty() {
            return Ok(moved);
        }
        waits::read(self.target, self.offsets, &mut self.buffers, found, &mut chunk.waits)?;
        if self.still {
            chunk.torn += torn(&chunk.goroutines[first_goroutine..]);
            return Ok(moved);
        }
        self.verify(chunk, first_goroutine, &mut moved)?;
        if chunk.goroutines.len() == first_goroutine {
            chunk.waits.truncate(first_wait);
        }
        Ok(moved)
    }

    /// Reads the structs again and removes from the chunk what has changed.
    fn verify(&mut self, chunk: &mut Chunk, first: usize, moved: &mut Vec<u64>) -> Result<(), TargetError> {
        let addresses: Vec<u64> = chunk.goroutines[first..].iter().map(|g| g.raw.address).collect();
        let mut same = vec![false; addresses.len()];
        let (offsets, goroutines) = (self.offsets, &chunk.goroutines[first..]);
        self.buffers.read_structs(self.target, &addresses, offsets.g_size, |i, bytes| {
            let now = Raw::parse(addresses[i], bytes, offsets);
            same[i] = goroutines[i].raw.same_as(&now) && goroutines[i].stack_status != StackStatus::Torn;
        })?;
        let mut kept = first;
        for (at, i) in (first..chunk.goroutines.len()).enumerate() {
            if same[at] {
                chunk.goroutines[kept] = chunk.goroutines[i];
                kept += 1;
            } else {
                moved.push(addresses[at]);
            }
        }
        chunk.goroutines.truncate(kept);
        moved.sort_unstable();
        Ok(())
    }

    /// Lists the goroutines that did not settle, as far as they are known.
    fn give_up(&mut self, pending: &[u64], chunk: &mut Chunk) -> Result<(), TargetError> {
        for raw in self.structs(pending, chunk)? {
            match raw.status {
                status::RUNNING => chunk.running.push(raw.address),
                _ if raw.is_over() => chunk.ended += 1,
                _ => {
                    chunk.goroutines.push(Goroutine::without_stack(raw, StackStatus::Torn));
                    chunk.torn += 1;
                }
            }
        }
        Ok(())
    }

    /// The structs at `addresses` that can be read; the others are counted.
    fn structs(&mut self, addresses: &[u64], chunk: &mut Chunk) -> Result<Vec<Raw>, TargetError> {
        let mut all = Vec::with_capacity(addresses.len());
        let offsets = self.offsets;
        self.buffers.read_structs(self.target, addresses, offsets.g_size, |i, bytes| {
            all.push(Raw::parse(addresses[i], bytes, offsets));
        })?;
        all.retain(|raw| !raw.glance().parked.is_blank());
        chunk.missing += (addresses.len() - all.len()) as u64;
        Ok(all)
    }

    /// The status of a stack without frames.
    fn without(&self) -> StackStatus {
        if self.still { StackStatus::Broken } else { StackStatus::Torn }
    }

    /// Reads and unwinds the stacks of goroutines that do not run.
    fn read_stacks(&mut self, goroutines: &mut [Goroutine]) -> Result<(), TargetError> {
        let mut batch: Vec<usize> = Vec::with_capacity(goroutines.len());
        let mut bytes = 0;
        self.buffers.ranges.clear();
        for i in 0..goroutines.len() {
            let raw = goroutines[i].raw;
            let (_, sp, _) = raw.parked_at();
            if !raw.on_stack(sp) {
                continue;
            }
            let len = raw.stack_hi - sp;
            if len > SMALL_STACK {
                self.read_large_stack(&mut goroutines[i])?;
                continue;
            }
            self.buffers.ranges.push(Range { address: sp, len: len as usize });
            batch.push(i);
            bytes += len as usize;
            if bytes >= BATCH_BYTES {
                self.unwind_batch(goroutines, &mut batch)?;
                bytes = 0;
            }
        }
        self.unwind_batch(goroutines, &mut batch)
    }

    fn unwind_batch(
        &mut self,
        goroutines: &mut [Goroutine],
        batch: &mut Vec<usize>,
    ) -> Result<(), TargetError> {
        self.buffers.read(self.target)?;
        let mut at = 0;
        for (n, &i) in batch.iter().enumerate() {
            let Range { address, len } = self.buffers.ranges[n];
            if self.buffers.ok[n] {
                let window = Window { base: address, bytes: &self.buffers.bytes[at..at + len], cut: false };
                let start = parked(&goroutines[i].raw);
                self.pcs.clear();
                let status = self.unwinder.unwind(start, window, &mut self.pcs);
                let without = self.without();
                keep(&mut goroutines[i], &mut self.stacks, &self.pcs, status, without);
            } else {
                self.read_part(&mut goroutines[i], address, len);
            }
            at += len;
        }
        batch.clear();
        self.buffers.ranges.clear();
        Ok(())
    }

    /// Takes the readable part of a stack that cannot be read whole.
    fn read_part(&mut self, goroutine: &mut Goroutine, address: u64, len: usize) {
        let start = parked(&goroutine.raw);
        let bytes = self.readable(address, len);
        self.pcs.clear();
        let window = Window { base: address, bytes: &bytes, cut: true };
        let status = missing_part(self.unwinder.unwind(start, window, &mut self.pcs));
        keep(goroutine, &mut self.stacks, &self.pcs, status, StackStatus::Missing);
    }

    /// The bytes from `address` on, up to the first page that cannot be read.
    fn readable(&self, address: u64, len: usize) -> Vec<u8> {
        const PAGE: u64 = 4096;
        let mut bytes = Vec::new();
        while bytes.len() < len.min(MAX_PART) {
            let at = address.saturating_add(bytes.len() as u64);
            let piece = usize::try_from(PAGE - at % PAGE).unwrap_or(0).min(len - bytes.len());
            let Ok(mut more) = self.target.read_vec(at, piece) else { break };
            bytes.append(&mut more);
        }
        bytes
    }

    fn read_large_stack(&mut self, goroutine: &mut Goroutine) -> Result<(), TargetError> {
        let start = parked(&goroutine.raw);
        self.pcs.clear();
        let mut pcs = std::mem::take(&mut self.pcs);
        let status = self.unwind_up_to(MAX_STACK_READ, start, goroutine.raw.stack_hi, &mut pcs)?;
        let without = if status == StackStatus::Missing { status } else { self.without() };
        keep(goroutine, &mut self.stacks, &pcs, status, without);
        self.pcs = pcs;
        Ok(())
    }

    /// Reads the stack from `start.sp` to `end` and unwinds it, while its thread is held. Of a deep stack it
    /// reads no more than fits well under a millisecond, unless nothing runs anyway.
    pub(super) fn unwind_held(
        &mut self,
        start: Start,
        end: u64,
        out: &mut Vec<CodeAddress>,
    ) -> Result<StackStatus, TargetError> {
        let most = if self.still { MAX_STACK_READ } else { MAX_STACK_READ_HELD };
        self.unwind_up_to(most, start, end, out)
    }

    /// The stack that was read last, if its goroutine was held or the stack is large.
    pub(super) fn last_stack(&self) -> Option<(Start, Window<'_>)> {
        let (start, cut) = self.last?;
        Some((start, Window { base: start.sp, bytes: &self.stack_buffer, cut }))
    }

    /// Reads the stack from `start.sp` to `end`, but no more than `most` bytes, and unwinds it.
    fn unwind_up_to(
        &mut self,
        most: u64,
        start: Start,
        end: u64,
        out: &mut Vec<CodeAddress>,
    ) -> Result<StackStatus, TargetError> {
        let wanted = end.saturating_sub(start.sp);
        let len = wanted.min(most);
        self.last = None;
        self.stack_buffer.resize(len as usize, 0);
        match self.target.read(start.sp, &mut self.stack_buffer) {
            Ok(()) => {}
            Err(error) if error.is_absent() => {
                let bytes = self.readable(start.sp, len as usize);
                let window = Window { base: start.sp, bytes: &bytes, cut: true };
                return Ok(missing_part(self.unwinder.unwind(start, window, out)));
            }
            Err(error) => return Err(error),
        }
        self.last = Some((start, len < wanted));
        let window = Window { base: start.sp, bytes: &self.stack_buffer, cut: len < wanted };
        let status = self.unwinder.unwind(start, window, out);
        if len > SMALL_STACK {
            // One deep stack should not hold its memory for the rest of the reading.
            self.stack_buffer.shrink_to(1 << 20);
        }
        Ok(status)
    }
}

fn torn(goroutines: &[Goroutine]) -> u64 {
    goroutines.iter().filter(|g| g.stack_status == StackStatus::Torn).count() as u64
}

fn parked(raw: &Raw) -> Start {
    let (pc, sp, bp) = raw.parked_at();
    Start { pc, sp, bp, interrupted: false }
}

/// The status of a stack whose outer part cannot be read: where the unwinder ran out of bytes, bytes are
/// missing, not too many.
fn missing_part(status: StackStatus) -> StackStatus {
    if status == StackStatus::Truncated { StackStatus::Missing } else { status }
}

/// Keeps what the unwinder found. A stack without a single frame gets the status `without`: the registers did
/// not belong to it, or nothing of it can be read.
pub(super) fn keep(
    goroutine: &mut Goroutine,
    stacks: &mut StackCache<'_>,
    pcs: &[CodeAddress],
    status: StackStatus,
    without: StackStatus,
) {
    if pcs.is_empty() {
        goroutine.stack_status = without;
        return;
    }
    let (number, kept) = stacks.number(pcs);
    goroutine.stack = Some(number);
    goroutine.stack_status = if kept < pcs.len() { StackStatus::Truncated } else { status };
}
