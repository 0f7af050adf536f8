//! The list of all goroutines: `runtime.allgptr` and `runtime.allglen`.

use super::GoError;
use super::offsets::Offsets;
use crate::process::bytes::words;
use crate::process::{Memory, Target, TargetError};

/// A larger number of goroutines is not believed.
pub(super) const MAX_TASKS: u64 = 1 << 25;

/// Goroutines read at a time: few enough for their stacks to stay in the cache, many enough for few system
/// calls.
pub(super) const CHUNK: usize = 1024;

/// Is `ptr` the address of allgptr and `len` that of allglen? Tested on the goroutines themselves.
pub(super) fn check(memory: &dyn Memory, offsets: &Offsets, ptr: u64, len: u64) -> bool {
    let (Ok(len), Ok(array)) = (memory.read_u64(len), memory.read_u64(ptr)) else { return false };
    if !(1..MAX_TASKS).contains(&len) || array == 0 || array % 8 != 0 {
        return false;
    }
    // The last entry may have been read before allgptr moved on, so test the first ones and one in the
    // middle.
    let sample = (0..len.min(4)).chain([len / 2]);
    sample
        .into_iter()
        .all(|i| memory.read_u64(array.wrapping_add(8 * i)).is_ok_and(|g| is_goroutine(memory, offsets, g)))
}

/// Could there be a g at this address?
pub(super) fn is_goroutine(memory: &dyn Memory, offsets: &Offsets, g: u64) -> bool {
    const SCAN: u32 = 0x1000;
    const MAX_STACK: u64 = 1 << 32;
    if g == 0 || !g.is_multiple_of(8) {
        return false;
    }
    let word = |offset: usize| memory.read_u64(g.wrapping_add(offset as u64));
    let (Ok(lo), Ok(hi)) = (word(offsets.g_stack_lo), word(offsets.g_stack_hi)) else { return false };
    let Ok(status) = memory.read_u32(g.wrapping_add(offsets.g_status as u64)) else { return false };
    let Ok(goid) = word(offsets.g_goid) else { return false };
    // A dead one may have lost its stack.
    let stack = (lo == 0 && hi == 0) || (lo < hi && hi - lo <= MAX_STACK && hi % 8 == 0);
    stack && status & !SCAN <= 16 && goid < 1 << 56
}

/// The list of goroutines.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The addresses of their structs, in the order in which they were made.
    pub(super) addresses: Vec<u64>,
    /// How many more goroutines there are whose addresses are not in the core file.
    pub(super) missing: u64,
}

/// Reads the addresses of all goroutine structs.
///
/// The length is read before the pointer: the array only grows, and a new one is published before
/// the new length (`runtime.allgadd`, `runtime.forEachGRace`).
pub(super) fn read(target: &dyn Target, allgptr: u64, allglen: u64) -> Result<List, GoError> {
    let len = target.read_u64(allglen)?;
    let array = target.read_u64(allgptr)?;
    if len == 0 || array == 0 {
        return Err(GoError::Starting);
    }
    if len >= MAX_TASKS {
        return Err(GoError::Malformed(format!("the process claims to have {len} goroutine structs")));
    }
    // Read in pieces, so that a false length fails before memory is allocated for it.
    const PIECE: u64 = 1 << 16;
    const SMALL_PIECE: u64 = 64;
    let mut list = List::default();
    let mut at = 0;
    while at < len {
        let count = (len - at).min(PIECE);
        match list.piece(target, array.wrapping_add(8 * at), count) {
            // Of a truncated core file, what is present counts. In a live process the length is wrong.
            Err(error) if error.is_absent() && target.is_static() => {
                for small in (at..at + count).step_by(SMALL_PIECE as usize) {
                    let few = (at + count - small).min(SMALL_PIECE);
                    if list.piece(target, array.wrapping_add(8 * small), few).is_err() {
                        list.missing += few;
                    }
                }
                if list.addresses.is_empty() {
                    return Err(error.into());
                }
            }
            read => read?,
        }
        at += count;
    }
    Ok(list)
}

impl List {
    fn piece(&mut self, memory: &dyn Memory, address: u64, count: u64) -> Result<(), TargetError> {
        let bytes = memory.read_vec(address, 8 * count as usize)?;
        // A bad sector of a core file reads as zeros.
        let before = self.addresses.len();
        self.addresses.extend(words(&bytes).filter(|address| *address != 0));
        if (self.addresses.len() - before) as u64 != count {
            self.missing += count - (self.addresses.len() - before) as u64;
        }
        Ok(())
    }
}
