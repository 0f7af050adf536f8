//! Which pages of a process are in use (/proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst).
//!
//! A page that a program never touched holds no data of the program. Reading it makes the kernel load or
//! create it, and counts as the program's memory.

use std::fs::File;

use super::sys;

const PAGE: u64 = 4096;
/// Entries read at a time: 256 MiB of address space.
const BATCH: u64 = 1 << 16;
/// Address space examined in one call at most: more is left out.
const MAX_SPAN: u64 = 16 << 30;
/// Parts listed at most: more is left out.
const MAX_PARTS: usize = 1 << 20;

/// The parts of `start..end` that are in memory or in swap, ascending. All of it if that cannot be known.
pub(super) fn in_use(pid: u32, start: u64, end: u64) -> Vec<(u64, u64)> {
    let end = end.min(start.saturating_add(MAX_SPAN));
    let known = File::open(format!("/proc/{pid}/pagemap")).ok().and_then(|map| read(&map, start, end));
    known.unwrap_or_else(|| vec![(start, end)])
}

fn read(map: &File, start: u64, end: u64) -> Option<Vec<(u64, u64)>> {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let mut bytes = vec![0; BATCH as usize * 8];
    let (mut page, last) = (start / PAGE, end.div_ceil(PAGE));
    while page < last && parts.len() < MAX_PARTS {
        let wanted = bytes.get_mut(..(last - page).min(BATCH) as usize * 8)?;
        let len = sys::pread(map, wanted, page * 8).ok()?;
        let entries = wanted.get(..len)?.chunks_exact(8);
        if entries.len() == 0 {
            break;
        }
        for entry in entries.filter_map(|entry| entry.first_chunk()) {
            if is_in_use(u64::from_le_bytes(*entry)) {
                let (from, to) = ((page * PAGE).max(start), (page + 1).saturating_mul(PAGE).min(end));
                match parts.last_mut() {
                    Some(part) if part.1 == from => part.1 = to,
                    _ => parts.push((from, to)),
                }
            }
            page += 1;
        }
    }
    Some(parts)
}

/// Bit 63: in memory; bit 62: in swap.
fn is_in_use(entry: u64) -> bool {
    entry >> 62 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_pages() {
        let mut memory = vec![0u8; 64 * 4096];
        let first = (memory.as_ptr() as u64).next_multiple_of(PAGE);
        let end = first + 60 * PAGE;
        let at = usize::try_from(first + 5 * PAGE - memory.as_ptr() as u64).expect("within it");
        memory[at] = 1;
        let parts = in_use(std::process::id(), first, end);
        assert!(
            parts.iter().any(|&(from, to)| from <= first + 5 * PAGE && first + 5 * PAGE < to),
            "{parts:?}"
        );
        assert!(parts.windows(2).all(|pair| pair[0].1 < pair[1].0), "{parts:?}");
        assert_eq!(std::hint::black_box(&memory)[at], 1);
    }
}
