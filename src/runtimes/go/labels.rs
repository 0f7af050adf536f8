//! Labels of a goroutine: `g.labels`, in its two formats.
//!
//! Up to 1.23 it points to a `map[string]string` (`src/runtime/pprof/label.go`,
//! `src/runtime/map.go`), from 1.24 on to a list of key and value pairs.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::names;
use crate::code::{CodeBuilder, LabelSetId};
use crate::process::Memory;
use crate::process::bytes::word;

/// More labels than this on one goroutine are not read.
const MAX_LABELS: u64 = 1024;
/// Longest key or value that is read, bytes.
const MAX_TEXT: u64 = 64 << 10;
/// Largest map that is read: 2 to this power buckets.
const MAX_BUCKET_BITS: u8 = 8;

/// The texts of a set of labels, pairs of key and value.
type Texts = Arc<[(String, String)]>;

/// The labels that a reading met, by their address, for the next one.
pub(super) type KnownLabels = FxHashMap<u64, Texts>;

/// Turns labels into sets of the snapshot; remembers those that were read.
pub(super) struct LabelSets<'a> {
    memory: &'a dyn Memory,
    minor: Option<u32>,
    before: KnownLabels,
    known: FxHashMap<u64, Option<LabelSetId>>,
    texts: FxHashMap<LabelSetId, Texts>,
}

impl<'a> LabelSets<'a> {
    /// `minor` is the 24 of Go 1.24, None where the version is not known.
    pub(super) fn new(memory: &'a dyn Memory, minor: Option<u32>) -> Self {
        let (before, known, texts) = Default::default();
        LabelSets { memory, minor, before, known, texts }
    }

    /// The same, with what the last reading met.
    pub(super) fn after(self, before: KnownLabels) -> Self {
        LabelSets { before, ..self }
    }

    /// The set of the labels at `address`; 0 means a goroutine without labels.
    pub(super) fn of(&mut self, address: u64, into: &mut CodeBuilder) -> Option<LabelSetId> {
        self.of_goroutine(address, false, into)
    }

    /// The same, of a goroutine. `settled`: it had these labels before the last reading began, so that it has kept
    /// them alive since. Labels do not change.
    pub(super) fn of_goroutine(
        &mut self,
        address: u64,
        settled: bool,
        into: &mut CodeBuilder,
    ) -> Option<LabelSetId> {
        if address == 0 {
            return None;
        }
        let (memory, minor, before, texts) = (self.memory, self.minor, &mut self.before, &mut self.texts);
        *self.known.entry(address).or_insert_with(|| {
            let known = if settled { before.remove(&address) } else { None };
            let pairs = known.or_else(|| read(memory, address, minor).map(Texts::from));
            let pairs = pairs.filter(|pairs| !pairs.is_empty())?;
            let set = into.labels(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())));
            texts.entry(set).or_insert(pairs);
            Some(set)
        })
    }

    /// What this reading met, for the next one.
    pub(super) fn into_known(self) -> KnownLabels {
        let texts = |set| self.texts.get(&set).cloned();
        self.known.iter().filter_map(|(address, set)| Some((*address, texts((*set)?)?))).collect()
    }
}

/// The labels at `address`, pairs of key and value. None if the memory there makes no sense.
fn read(memory: &dyn Memory, address: u64, minor: Option<u32>) -> Option<Vec<(String, String)>> {
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
    // While a map grows, its entries are spread over both arrays of buckets. Label maps are complete when
    // they are attached to a goroutine, but may still be growing.
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
    /// Buckets in a chain. A map with few labels never has more than a few.
    const MAX_CHAIN: u32 = 64;
    for _ in 0..MAX_CHAIN {
        let bytes = memory.read_vec(address, BUCKET).ok()?;
        for slot in (0..8).filter(|slot| bytes[*slot] >= MIN_TOP_HASH) {
            if labels.len() as u64 >= MAX_LABELS {
                return None;
            }
            labels.push((text(memory, &bytes, 8 + 16 * slot)?, text(memory, &bytes, 136 + 16 * slot)?));
        }
        address = word(&bytes, BUCKET - 8);
        if address == 0 {
            return Some(());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Range, Result, TargetError};

    /// Bytes at address 0x1000.
    struct Bytes(Vec<u8>);

    impl Memory for Bytes {
        fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
            let unmapped = TargetError::Unmapped { address, len: buf.len() };
            let at = address.checked_sub(0x1000).and_then(|at| usize::try_from(at).ok());
            let found = at.and_then(|at| self.0.get(at..at.checked_add(buf.len())?));
            buf.copy_from_slice(found.ok_or(unmapped)?);
            Ok(())
        }

        fn read_many(&self, _: &[Range], _: &mut [u8], ok: &mut [bool]) -> Result<()> {
            ok.fill(false);
            Ok(())
        }
    }

    fn put(bytes: &mut [u8], at: usize, value: u64) {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    #[test]
    fn a_list_of_pairs() {
        let mut bytes = vec![0; 256];
        put(&mut bytes, 0, 0x1010);
        put(&mut bytes, 8, 1);
        for (at, value) in [(16, 0x1080), (24, 5), (32, 0x1085), (40, 2)] {
            put(&mut bytes, at, value);
        }
        bytes[128..135].copy_from_slice(b"route/v");
        let expected = vec![("route".to_owned(), "/v".to_owned())];
        assert_eq!(read(&Bytes(bytes.clone()), 0x1000, Some(24)), Some(expected));
        // An impossible length.
        put(&mut bytes, 8, 1 << 40);
        assert_eq!(read(&Bytes(bytes), 0x1000, Some(24)), None);
    }

    #[test]
    fn a_chain_of_buckets_without_end() {
        // The map's variable, its header, and a bucket whose overflow is itself.
        let mut bytes = vec![0; 1024];
        put(&mut bytes, 0, 0x1010);
        put(&mut bytes, 16, 1);
        put(&mut bytes, 16 + 16, 0x1100);
        put(&mut bytes, 256 + BUCKET - 8, 0x1100);
        assert_eq!(read(&Bytes(bytes), 0x1000, Some(23)), None);
    }
}
