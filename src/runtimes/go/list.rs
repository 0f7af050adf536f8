//! The list of all goroutines: `runtime.allgptr` and `runtime.allglen`.

use super::GoError;
use super::offsets::Offsets;
use crate::target::Memory;

/// More goroutines than this are not believed.
pub(super) const MAX_TASKS: u64 = 1 << 25;

/// Is `ptr` the address of allgptr and `len` that of allglen? Tested on the goroutines themselves.
pub(super) fn check(memory: &dyn Memory, offsets: &Offsets, ptr: u64, len: u64) -> bool {
    let (Ok(len), Ok(array)) = (memory.read_u64(len), memory.read_u64(ptr)) else { return false };
    if !(1..MAX_TASKS).contains(&len) || array == 0 || array % 8 != 0 {
        return false;
    }
    // The last entry may be one that was read before allgptr moved on, so test the first ones and
    // one in the middle.
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

/// Reads the addresses of all goroutine structs, in the order in which they were made.
///
/// The length is read before the pointer: the array only grows, and a new one is published before
/// the new length (`runtime.allgadd`, `runtime.forEachGRace`).
pub(super) fn read(memory: &dyn Memory, allgptr: u64, allglen: u64) -> Result<Vec<u64>, GoError> {
    let len = memory.read_u64(allglen)?;
    let array = memory.read_u64(allgptr)?;
    if len == 0 || array == 0 {
        return Err(GoError::Starting);
    }
    if len >= MAX_TASKS {
        return Err(GoError::Malformed(format!("the target says that it has {len} goroutine structs")));
    }
    // Read in pieces, so that a length that is not true fails before memory is taken for it.
    const PIECE: u64 = 1 << 16;
    let mut all = Vec::new();
    let mut at = 0;
    while at < len {
        let count = (len - at).min(PIECE);
        let bytes = memory.read_vec(array.wrapping_add(8 * at), 8 * count as usize)?;
        all.extend(bytes.chunks_exact(8).filter_map(|b| b.try_into().ok().map(u64::from_le_bytes)));
        at += count;
    }
    Ok(all)
}
