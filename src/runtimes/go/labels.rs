//! Labels of a goroutine: `g.labels`, in the two shapes that it has had.
//!
//! Up to 1.23 it points to a `map[string]string` (`src/runtime/pprof/label.go`,
//! `src/runtime/map.go`), from 1.24 on to a list of key and value pairs.

use super::goroutine::word;
use super::names;
use crate::target::Memory;

/// More labels than this on one goroutine are not read.
const MAX_LABELS: u64 = 1024;
/// Longest key or value that is read, bytes.
const MAX_TEXT: u64 = 64 << 10;
/// Largest map that is read: 2 to this power buckets.
const MAX_BUCKET_BITS: u8 = 8;

/// The labels at `address`, pairs of key and value. None where what stands there makes no sense.
pub(super) fn read(memory: &dyn Memory, address: u64, minor: Option<u32>) -> Option<Vec<(String, String)>> {
    match minor {
        Some(minor) if minor < 24 => map(memory, address),
        Some(_) => list(memory, address),
        None => list(memory, address).or_else(|| map(memory, address)),
    }
}

fn list(memory: &dyn Memory, address: u64) -> Option<Vec<(String, String)>> {
    /// A key and a value, each a pointer and a length.
    const PAIR: usize = 32;
    let (data, len) = (memory.read_u64(address).ok()?, memory.read_u64(address.checked_add(8)?).ok()?);
    if len > MAX_LABELS {
        return None;
    }
    if len == 0 {
        return Some(Vec::new());
    }
    let bytes = memory.read_vec(data, PAIR * len as usize).ok()?;
    bytes.chunks_exact(PAIR).map(|pair| Some((text(memory, pair, 0)?, text(memory, pair, 16)?))).collect()
}

fn text(memory: &dyn Memory, bytes: &[u8], at: usize) -> Option<String> {
    names::text(memory, word(bytes, at), word(bytes, at + 8), MAX_TEXT)
}

/// A `map[string]string` as it was up to 1.23: `hmap` and its buckets of eight.
fn map(memory: &dyn Memory, address: u64) -> Option<Vec<(String, String)>> {
    const COUNT: usize = 0;
    const BUCKET_BITS: usize = 9;
    const BUCKETS: usize = 16;
    const OLD_BUCKETS: usize = 24;
    const HMAP_SIZE: usize = 48;
    let map = memory.read_u64(address).ok()?;
    if map == 0 {
        return Some(Vec::new());
    }
    let header = memory.read_vec(map, HMAP_SIZE).ok()?;
    let (count, bits) = (word(&header, COUNT), header[BUCKET_BITS]);
    if count > MAX_LABELS || bits > MAX_BUCKET_BITS {
        return None;
    }
    let mut labels = Vec::new();
    // While a map grows its entries are in either array of buckets; label maps are complete when
    // they are hung on a goroutine, but may still be growing.
    let old = word(&header, OLD_BUCKETS);
    for (buckets, bits) in [(word(&header, BUCKETS), bits), (old, bits.saturating_sub(1))] {
        for number in (0..1u64 << bits).take_while(|_| buckets != 0) {
            bucket(memory, buckets.checked_add(number * BUCKET as u64)?, &mut labels)?;
        }
    }
    (labels.len() as u64 == count).then_some(labels)
}

/// Bytes of a bucket: eight hash bytes, eight keys, eight values, a pointer to the next bucket.
const BUCKET: usize = 8 + 8 * 16 + 8 * 16 + 8;

fn bucket(memory: &dyn Memory, mut address: u64, labels: &mut Vec<(String, String)>) -> Option<()> {
    /// Hash bytes below this mark an empty slot or one whose entry has moved.
    const MIN_TOP_HASH: u8 = 5;
    while address != 0 {
        let bytes = memory.read_vec(address, BUCKET).ok()?;
        for slot in (0..8).filter(|slot| bytes[*slot] >= MIN_TOP_HASH) {
            if labels.len() as u64 >= MAX_LABELS {
                return None;
            }
            labels.push((text(memory, &bytes, 8 + 16 * slot)?, text(memory, &bytes, 136 + 16 * slot)?));
        }
        let next = word(&bytes, BUCKET - 8);
        if next == address {
            return None;
        }
        address = next;
        if labels.is_empty() && address != 0 {
            // An empty bucket has no overflow; only a hostile chain of them goes on for ever.
            return None;
        }
    }
    Some(())
}
