//! Finds the headers of all tasks in a process's own memory.
//!
//! A header (tokio, src/runtime/task/core.rs) is 32 bytes at least: the state, a link of a queue, the vtable, the number
//! of the list that owns the task. Whatever list or runtime a task is in, its header is in anonymous memory and names
//! its vtable, so all memory that is in use is searched for the addresses of vtables. Nothing is stopped. What is found
//! must look like a live task: freed memory and copies on stacks do not.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustc_hash::FxHashMap;

use super::find::Vtable;
use crate::process::bytes::u64_at;
use crate::process::{Mapping, Memory, Target, TargetError};

/// Memory searched in one reading, bytes.
const MAX_BYTES: u64 = 64 << 30;
/// Bytes read at a time: they stay in the cache.
const BLOCK: u64 = 1 << 20;
/// Bytes read behind a block, for headers at its end.
const BEHIND: u64 = 512;
/// Tasks kept.
const MAX_TASKS: usize = 1 << 24;
/// Where programs have their memory ends here (x86-64).
const USER: u64 = 1 << 47;
/// A thread's stack has a smaller inaccessible mapping than this before it.
const MAX_GUARD: u64 = 64 << 10;

/// Bits of a task's state (tokio, src/runtime/task/state.rs).
pub(super) mod state {
    pub(in super::super) const RUNNING: u64 = 1;
    pub(in super::super) const COMPLETE: u64 = 2;
    pub(in super::super) const NOTIFIED: u64 = 4;
    pub(in super::super) const JOIN_INTEREST: u64 = 8;
    pub(in super::super) const CANCELLED: u64 = 32;
    /// The number of references is above the flags.
    pub(in super::super) const REFERENCES: u32 = 6;
    /// More are not believed.
    pub(in super::super) const MAX_REFERENCES: u64 = 1 << 20;
}

/// A task's header, with what its vtable says where to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) address: u64,
    pub(super) state: u64,
    /// The number of the list that owns it. 0: a job of the blocking pool.
    pub(super) owner: u64,
    pub(super) id: u64,
    /// The scheduler, of tasks that are no blocking jobs.
    pub(super) scheduler: u64,
    /// Where it was spawned: a `Location`. 0: unknown.
    pub(super) spawned_at: u64,
    /// Index of its vtable.
    pub(super) vtable: u32,
}

impl Header {
    pub(super) fn references(&self) -> u64 {
        self.state >> state::REFERENCES
    }

    pub(super) fn has(&self, bits: u64) -> bool {
        self.state & bits != 0
    }

    /// Nothing holds a waker of the task: the references are those of its list and of its `JoinHandle`. Only an abort
    /// can move it.
    pub(super) fn has_no_waker(&self) -> bool {
        let idle = !self.has(state::RUNNING | state::COMPLETE | state::NOTIFIED | state::CANCELLED);
        idle && self.owner != 0 && self.references() == 1 + u64::from(self.has(state::JOIN_INTEREST))
    }
}

/// The vtables of a process, for looking up what memory holds.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) vtables: Vec<Vtable>,
    by_address: FxHashMap<u64, u32>,
    first: u64,
    span: u64,
}

impl Known {
    pub(super) fn new(mut vtables: Vec<Vtable>) -> Known {
        vtables.sort_unstable_by_key(|vtable| vtable.address);
        let first = vtables.first().map_or(0, |vtable| vtable.address);
        let span = vtables.last().map_or(0, |vtable| vtable.address) - first;
        let by_address = vtables.iter().zip(0..).map(|(vtable, index)| (vtable.address, index)).collect();
        Known { vtables, by_address, first, span }
    }

    pub(super) fn of(&self, header: &Header) -> Option<&Vtable> {
        self.vtables.get(header.vtable as usize)
    }

    fn index(&self, word: u64) -> Option<u32> {
        if word.wrapping_sub(self.first) > self.span {
            return None;
        }
        self.by_address.get(&word).copied()
    }
}

/// The result of a search.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In order of address.
    pub(super) headers: Vec<Header>,
    /// Memory was left out because there is too much of it, or tasks were.
    pub(super) cut: bool,
}

/// A piece of memory to be searched.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u64,
    end: u64,
    /// The end of the memory in use that it is a part of.
    readable: u64,
    on_stack: bool,
}

/// Searches the memory of a process.
///
/// # Errors
/// If the target cannot be read.
pub(super) fn scan(target: &dyn Target, known: &Known, threads: NonZeroUsize) -> Result<Scan, TargetError> {
    let (pieces, mut cut) = pieces(target)?;
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let found = Mutex::new((Vec::new(), None));
    let work = || {
        let (mut headers, mut buffer) = (Vec::new(), Vec::new());
        let mut failed = None;
        while !over.load(Ordering::Relaxed) {
            let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            if let Err(error) = search(target, known, *piece, &mut buffer, &mut headers) {
                failed = Some(error);
                over.store(true, Ordering::Relaxed);
            }
            if headers.len() >= MAX_TASKS {
                over.store(true, Ordering::Relaxed);
            }
        }
        let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.0.append(&mut headers);
        found.1 = found.1.take().or(failed);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get().min(pieces.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let (mut headers, failed) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = failed {
        return Err(error);
    }
    cut |= headers.len() >= MAX_TASKS;
    headers.truncate(MAX_TASKS);
    // Each thread found its own in order, which a stable sort makes use of.
    headers.sort_by_key(|header| header.address);
    headers.dedup_by_key(|header| header.address);
    Ok(Scan { headers, cut })
}

/// The memory that may hold tasks, and whether some was left out.
fn pieces(target: &dyn Target) -> Result<(Vec<Piece>, bool), TargetError> {
    let mappings = target.mappings()?;
    let mut pieces = Vec::new();
    let mut left = MAX_BYTES;
    for (nth, mapping) in mappings.iter().enumerate() {
        if !may_hold_tasks(mapping) {
            continue;
        }
        let before = nth.checked_sub(1).and_then(|before| mappings.get(before));
        let on_stack = before.is_some_and(|before| is_guard(before, mapping));
        for (start, end) in target.present(mapping.start, mapping.end) {
            let end = end.min(start.saturating_add(left));
            left -= end - start;
            let split = (start..end).step_by(BLOCK as usize);
            pieces.extend(split.map(|at| Piece {
                start: at,
                end: end.min(at.saturating_add(BLOCK)),
                readable: end,
                on_stack,
            }));
        }
    }
    Ok((pieces, left == 0))
}

fn may_hold_tasks(mapping: &Mapping) -> bool {
    let path = mapping.path.as_str();
    let own = path.is_empty() || path == "[heap]" || path.starts_with("[anon:");
    own && mapping.read && mapping.write && mapping.file_id == (0, 0)
}

/// The stacks of threads begin behind a page that nobody may touch.
fn is_guard(before: &Mapping, mapping: &Mapping) -> bool {
    let closed = !before.read && !before.write && !before.execute;
    closed && before.end == mapping.start && before.end - before.start < MAX_GUARD
}

fn search(
    memory: &dyn Memory,
    known: &Known,
    piece: Piece,
    buffer: &mut Vec<u8>,
    into: &mut Vec<Header>,
) -> Result<(), TargetError> {
    let end = piece.end.saturating_add(BEHIND).min(piece.readable);
    buffer.resize(usize::try_from(end - piece.start).unwrap_or(0), 0);
    match memory.read(piece.start, buffer) {
        Ok(()) => {}
        // A part of it was unmapped meanwhile: page by page, as far as there are pages.
        Err(error) if error.is_absent() => {
            for (bytes, at) in buffer.chunks_mut(4096).zip((piece.start..).step_by(4096)) {
                if memory.read(at, bytes).is_err() {
                    bytes.fill(0);
                }
            }
        }
        Err(error) => return Err(error),
    }
    let own = usize::try_from(piece.end - piece.start).unwrap_or(0);
    let before = into.len();
    parse(memory, known, piece.start, buffer, own, into);
    if piece.on_stack {
        // A task is moved from the stack of the thread that spawns it, and the copy stays there for a while. A copy has
        // no owner yet, like a job of the blocking pool.
        let found = into.split_off(before);
        into.extend(found.into_iter().filter(|header| header.owner != 0));
    }
    Ok(())
}

/// The headers that begin in the first `own` bytes of a piece of memory at `base`.
pub(super) fn parse(
    memory: &dyn Memory,
    known: &Known,
    base: u64,
    bytes: &[u8],
    own: usize,
    into: &mut Vec<Header>,
) {
    const VTABLE: usize = 16;
    let (words, _) = bytes.as_chunks::<8>();
    for (nth, word) in words.iter().enumerate().skip(VTABLE / 8) {
        let Some(index) = known.index(u64::from_le_bytes(*word)) else { continue };
        let at = nth * 8 - VTABLE;
        if at >= own || into.len() >= MAX_TASKS {
            break;
        }
        let Some(vtable) = known.vtables.get(index as usize) else { continue };
        into.extend(header(memory, vtable, index, base.saturating_add(at as u64), bytes, at));
    }
}

/// The header at an offset in `bytes`, if it looks like a live task's.
fn header(
    memory: &dyn Memory,
    vtable: &Vtable,
    index: u32,
    address: u64,
    bytes: &[u8],
    at: usize,
) -> Option<Header> {
    let (state, next, owner) = (u64_at(bytes, at)?, u64_at(bytes, at + 8)?, u64_at(bytes, at + 24)?);
    let references = state >> state::REFERENCES;
    let is_pointer = |word: u64| word.is_multiple_of(8) && (4096..USER).contains(&word);
    let live = (1..state::MAX_REFERENCES).contains(&references) && (next == 0 || is_pointer(next));
    if !live || owner > u64::from(u32::MAX) || (owner == 0) != vtable.is_blocking() {
        return None;
    }
    // A future that is aligned to much has them far from its header.
    let field = |offset: u64| match u64_at(bytes, at.saturating_add(usize::try_from(offset).ok()?)) {
        Some(word) => Some(word),
        None => memory.read_u64(address.checked_add(offset)?).ok(),
    };
    let id = field(vtable.id).filter(|&id| id != 0 && id < 1 << 48)?;
    let scheduler =
        if vtable.is_blocking() { 0 } else { field(vtable.scheduler).filter(|&word| is_pointer(word))? };
    let spawned_at = vtable.spawned_at.and_then(field).unwrap_or(0);
    Some(Header { address, state, owner, id, scheduler, spawned_at, vtable: index })
}

#[cfg(test)]
mod tests;
