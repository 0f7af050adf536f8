//! What the labels of goroutines say, read again in one call.
//!
//! The memory of labels is used again when nobody has them any more. So what was read there counts only if the goroutine
//! had these labels before and has them afterwards. What a set of labels says is found out once, by following pointers;
//! later the same bytes in the same places say the same.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::code::{CodeBuilder, LabelSetId};
use crate::process::bytes::word;
use crate::process::{Memory, Range, Result};
use crate::runtimes::go::labels::LabelSets;

/// Sets of labels whose bytes are kept. With more, they are read anew.
const MAX_SETS: usize = 4096;
/// Bytes of one set that are kept, and the pieces of memory that they are in. Longer sets are read anew each time.
const MAX_BYTES: usize = 4096;
const MAX_PIECES: usize = 64;

/// A goroutine's struct, and the address of the labels that it has.
pub(super) type Labelled = (u64, u64);

/// The labels of the goroutines of a target.
pub(super) struct LabelTexts<'a> {
    memory: &'a dyn Memory,
    /// The 24 of Go 1.24. None if the version is not known.
    minor: Option<u32>,
    /// Where a goroutine's struct refers to its labels.
    offset: u64,
    /// By address.
    known: FxHashMap<u64, Known>,
    /// Read since the last refresh, while the goroutine had them.
    fresh: FxHashMap<Labelled, LabelSetId>,
}

/// A set of labels that was read, and the bytes that say so.
struct Known {
    set: LabelSetId,
    pieces: Vec<Range>,
    bytes: Vec<u8>,
}

impl<'a> LabelTexts<'a> {
    pub(super) fn new(memory: &'a dyn Memory, minor: Option<u32>, offset: u64) -> Self {
        LabelTexts { memory, minor, offset, known: FxHashMap::default(), fresh: FxHashMap::default() }
    }

    /// Reads again what these goroutines' labels say, as far as they are known, in one call.
    pub(super) fn refresh(&mut self, all: impl Iterator<Item = Labelled>) {
        self.fresh.clear();
        let mut wanted: Vec<Labelled> = all.filter(|(_, labels)| self.known.contains_key(labels)).collect();
        // By their labels.
        wanted.sort_unstable_by_key(|&(goroutine, labels)| (labels, goroutine));
        wanted.dedup();
        self.again(&wanted);
    }

    /// What the labels of a goroutine say, if it still has them. None: that is not known.
    pub(super) fn of(&mut self, labelled: Labelled, into: &mut CodeBuilder) -> Option<LabelSetId> {
        if let Some(&set) = self.fresh.get(&labelled) {
            return Some(set);
        }
        self.again(&[labelled]);
        if let Some(&set) = self.fresh.get(&labelled) {
            return Some(set);
        }
        let (goroutine, labels) = labelled;
        let noted = Noted { memory: self.memory, reads: Mutex::default() };
        let set = LabelSets::new(&noted, self.minor).of(labels, into)?;
        // While the goroutine has them, their memory cannot be used for others.
        let still = self.memory.read_u64(self.place(goroutine)?).ok()?;
        if still != labels {
            return None;
        }
        if self.known.len() >= MAX_SETS {
            self.known.clear();
        }
        let reads = noted.reads.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some((pieces, bytes)) = reads.pieces() {
            self.known.insert(labels, Known { set, pieces, bytes });
        }
        self.fresh.insert(labelled, set);
        Some(set)
    }

    fn place(&self, goroutine: u64) -> Option<u64> {
        goroutine.checked_add(self.offset)
    }

    /// Reads known labels again, and then whether the goroutines still have them; sorted by their labels.
    fn again(&mut self, wanted: &[Labelled]) {
        let mut ranges = Vec::with_capacity(8 * wanted.len());
        let sets = wanted.chunk_by(|(_, one), (_, other)| one == other).filter_map(|of_one| of_one.first());
        for (_, labels) in sets.clone() {
            ranges.extend(self.known.get(labels).iter().flat_map(|known| &known.pieces));
        }
        let of_texts = ranges.len();
        if of_texts == 0 {
            return;
        }
        // The kernel reads them in this order (process_vm_readv(2)).
        ranges.extend(
            wanted
                .iter()
                .map(|&(goroutine, _)| Range { address: self.place(goroutine).unwrap_or(u64::MAX), len: 8 }),
        );
        let (mut bytes, mut ok) =
            (vec![0; ranges.iter().map(|range| range.len).sum()], vec![false; ranges.len()]);
        if self.memory.read_many(&ranges, &mut bytes, &mut ok).is_err() {
            return;
        }
        let (mut at, mut nth) = (0, 0);
        for (_, labels) in sets {
            let Some(known) = self.known.get(labels) else { continue };
            let (len, pieces) = (known.bytes.len(), known.pieces.len());
            let is_same = bytes.get(at..at + len) == Some(&known.bytes)
                && ok.get(nth..nth + pieces).is_some_and(|ok| ok.iter().all(|ok| *ok));
            (at, nth) = (at + len, nth + pieces);
            if !is_same {
                self.known.remove(labels);
            }
        }
        for (place, &labelled) in wanted.iter().enumerate() {
            let still = ok.get(of_texts + place) == Some(&true) && word(&bytes, at + 8 * place) == labelled.1;
            if let Some(known) = self.known.get(&labelled.1).filter(|_| still) {
                self.fresh.insert(labelled, known.set);
            }
        }
    }
}

/// Memory that notes what was read of it.
struct Noted<'a> {
    memory: &'a dyn Memory,
    reads: Mutex<Reads>,
}

#[derive(Default)]
struct Reads {
    pieces: Vec<Range>,
    bytes: Vec<u8>,
    /// They are not all that decided what was read.
    is_cut: bool,
}

impl Reads {
    /// The pieces with their bytes. None if these are not all.
    fn pieces(self) -> Option<(Vec<Range>, Vec<u8>)> {
        (!self.is_cut).then_some((self.pieces, self.bytes))
    }
}

impl Memory for Noted<'_> {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        let read = self.memory.read(address, buf);
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be read now may be there later.
        if read.is_ok()
            && reads.pieces.len() < MAX_PIECES
            && reads.bytes.len().saturating_add(buf.len()) <= MAX_BYTES
        {
            reads.pieces.push(Range { address, len: buf.len() });
            reads.bytes.extend_from_slice(buf);
        } else {
            reads.is_cut = true;
        }
        read
    }

    /// Labels are not read in this way: it is not noted.
    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).is_cut = true;
        self.memory.read_many(ranges, buf, ok)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::process::TargetError;

    /// Bytes at address 0x1000, and how often they were read.
    struct Bytes(Mutex<Vec<u8>>, AtomicUsize);

    impl Bytes {
        fn put(&self, at: u64, bytes: &[u8]) {
            let at = (at - 0x1000) as usize;
            self.0.lock().expect("not poisoned")[at..at + bytes.len()].copy_from_slice(bytes);
        }

        fn put_words<const N: usize>(&self, at: u64, words: [u64; N]) {
            self.put(at, words.map(u64::to_le_bytes).as_flattened());
        }

        fn calls(&self) -> usize {
            self.1.swap(0, Ordering::Relaxed)
        }

        fn copy(&self, address: u64, buf: &mut [u8]) -> Result<()> {
            let unmapped = TargetError::Unmapped { address, len: buf.len() };
            let at = address.checked_sub(0x1000).and_then(|at| usize::try_from(at).ok());
            let bytes = self.0.lock().expect("not poisoned");
            let found = at.and_then(|at| bytes.get(at..at.checked_add(buf.len())?));
            buf.copy_from_slice(found.ok_or(unmapped)?);
            Ok(())
        }
    }

    impl Memory for Bytes {
        fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.copy(address, buf)
        }

        fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            let mut at = 0;
            for (range, ok) in ranges.iter().zip(ok) {
                *ok = self.copy(range.address, &mut buf[at..at + range.len]).is_ok();
                at += range.len;
            }
            Ok(())
        }
    }

    const OFFSET: u64 = 8;
    const ONE: u64 = 0x1200;
    const OTHER: u64 = 0x1300;
    const LABELS: u64 = 0x1010;

    /// Two goroutines with the labels kind=a, as a list of pairs.
    fn memory() -> Bytes {
        let memory = Bytes(Mutex::new(vec![0; 0x400]), AtomicUsize::default());
        memory.put_words(LABELS, [0x1020, 1, 0x1100, 4, 0x1104, 1]);
        memory.put(0x1100, b"kinda");
        memory.put_words(ONE + OFFSET, [LABELS]);
        memory.put_words(OTHER + OFFSET, [LABELS]);
        memory
    }

    fn said(into: CodeBuilder, set: LabelSetId) -> String {
        let code = into.finish();
        let text = |id: crate::code::StrId| code.strings[id.index()].clone();
        let pairs = &code.label_sets[set.index()].pairs;
        pairs.iter().map(|&(key, value)| format!("{}={}", text(key), text(value))).collect()
    }

    #[test]
    fn known_labels_of_all_goroutines_are_read_again_in_one_call() {
        let (memory, mut into) = (memory(), CodeBuilder::new());
        let mut texts = LabelTexts::new(&memory, Some(24), OFFSET);
        let set = texts.of((ONE, LABELS), &mut into).expect("it has them");
        memory.calls();
        texts.refresh([(OTHER, LABELS), (ONE, LABELS), (ONE, LABELS), (ONE, 0x1018)].into_iter());
        assert_eq!(memory.calls(), 1);
        assert_eq!(texts.of((ONE, LABELS), &mut into), Some(set));
        assert_eq!(texts.of((OTHER, LABELS), &mut into), Some(set));
        assert_eq!(memory.calls(), 0, "nothing is read again");
        assert_eq!(said(into, set), "kind=a");
    }

    #[test]
    fn memory_of_labels_that_is_used_again_says_something_else() {
        let (memory, mut into) = (memory(), CodeBuilder::new());
        let mut texts = LabelTexts::new(&memory, Some(24), OFFSET);
        let set = texts.of((ONE, LABELS), &mut into);
        memory.put(0x1104, b"b");
        texts.refresh([(ONE, LABELS)].into_iter());
        let other = texts.of((ONE, LABELS), &mut into);
        assert_ne!(set, other);
        assert_eq!(said(into, other.expect("it has them")), "kind=b");
    }

    #[test]
    fn labels_that_a_goroutine_has_no_more_are_not_its_own() {
        let (memory, mut into) = (memory(), CodeBuilder::new());
        let mut texts = LabelTexts::new(&memory, Some(24), OFFSET);
        let set = texts.of((ONE, LABELS), &mut into);
        memory.put_words(ONE + OFFSET, [0]);
        texts.refresh([(ONE, LABELS), (OTHER, LABELS)].into_iter());
        assert_eq!(texts.of((ONE, LABELS), &mut into), None);
        assert_eq!(texts.of((OTHER, LABELS), &mut into), set);
        assert!(set.is_some());
    }
}
