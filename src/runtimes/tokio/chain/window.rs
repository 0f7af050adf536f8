//! Memory that was read for chains. Each call into the kernel costs much, so the memory of many tasks is read at a time:
//! a walk that lacks some ends, says what it lacks, and begins again when that is there.

use crate::process::{Memory, Range};

/// Bytes read at a time: the parts of a future are close to each other.
const PIECE: usize = 512;
/// The same for the task itself, at most.
const FIRST: u64 = 2048;
/// Bytes that are read for one chain at most.
const MAX_BYTES: usize = 1 << 20;

/// What was read for one chain.
pub(super) struct Window<'a> {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// What the walk used: places in `bytes` and sizes.
    used: Vec<(usize, usize)>,
    lacks: Vec<Range>,
    /// Memory that is read as soon as something lacks.
    at_once: Option<&'a dyn Memory>,
}

/// Memory that was read, or could not be.
struct Piece {
    address: u64,
    len: usize,
    /// Its place in `bytes`. None if it cannot be read.
    at: Option<usize>,
}

impl Piece {
    /// How far from its beginning this range is, if the range is in it.
    fn offset(&self, address: u64, size: usize) -> Option<usize> {
        let from = usize::try_from(address.wrapping_sub(self.address)).ok()?;
        (from.checked_add(size)? <= self.len).then_some(from)
    }
}

impl<'a> Window<'a> {
    /// The window of a task: the address of its header, and its length, bytes.
    pub(super) fn of(task: u64, len: u64) -> Window<'a> {
        let first = Range { address: task, len: usize::try_from(len.min(FIRST)).unwrap_or(PIECE) };
        Window {
            bytes: Vec::new(),
            pieces: Vec::new(),
            used: Vec::new(),
            lacks: vec![first],
            at_once: None,
        }
    }

    /// From now on, what lacks is read while the walk goes on.
    pub(super) fn read_at_once(&mut self, memory: &'a dyn Memory) {
        self.at_once = Some(memory);
    }

    /// A walk begins.
    pub(super) fn begin(&mut self) {
        self.used.clear();
    }

    /// Whether the last walk lacked some memory.
    pub(super) fn is_lacking(&self) -> bool {
        !self.lacks.is_empty()
    }

    /// A little-endian number of 1 to 8 bytes.
    pub(super) fn number(&mut self, address: u64, size: u64) -> Option<u64> {
        let size = usize::try_from(size).ok().filter(|size| (1..=8).contains(size))?;
        let mut found = self.known(address, size);
        if found.is_none() && self.want(address, size) {
            // The mapping may end before the piece does: then only the number itself is read.
            found = self.known(address, size).or_else(|| {
                self.want(address, size);
                self.known(address, size)
            });
        }
        let at = found?;
        let bytes = self.bytes.get(at..at + size)?;
        self.used.push((at, size));
        Some(number(bytes))
    }

    /// A pointer that is not null.
    pub(super) fn pointer(&mut self, address: u64) -> Option<u64> {
        self.number(address, 8).filter(|pointer| *pointer != 0)
    }

    /// The place of these bytes, if they were read.
    fn known(&self, address: u64, size: usize) -> Option<usize> {
        self.pieces.iter().rev().find_map(|piece| Some(piece.at? + piece.offset(address, size)?))
    }

    /// Notes that a range lacks, unless it cannot be read. Whether it was read now.
    fn want(&mut self, address: u64, size: usize) -> bool {
        let refused = self.pieces.iter().filter(|piece| piece.offset(address, size).is_some());
        let len = match refused.map(|piece| piece.len).min() {
            None => PIECE,
            Some(len) if len > size => size,
            Some(_) => return false,
        };
        if self.bytes.len() >= MAX_BYTES {
            return false;
        }
        let range = Range { address, len };
        let Some(memory) = self.at_once else {
            self.lacks.push(range);
            return false;
        };
        let mut bytes = vec![0; len];
        let read = memory.read(address, &mut bytes);
        self.add(range, read.is_ok().then_some(&bytes));
        true
    }

    fn add(&mut self, Range { address, len }: Range, bytes: Option<&[u8]>) {
        let at = bytes.map(|bytes| {
            self.bytes.extend_from_slice(bytes);
            self.bytes.len() - bytes.len()
        });
        self.pieces.push(Piece { address, len, at });
    }
}

/// Reads what lacks in these of the windows.
pub(super) fn fetch(memory: &dyn Memory, windows: &mut [Window<'_>], which: &[usize]) {
    let mut ranges = Vec::new();
    for window in which.iter().filter_map(|nth| windows.get(*nth)) {
        ranges.extend(window.lacks.iter().copied());
    }
    let (bytes, ok) = read(memory, &ranges);
    let (mut all, mut at) = (ranges.iter().zip(ok), 0);
    for nth in which {
        let Some(window) = windows.get_mut(*nth) else { continue };
        for _ in 0..std::mem::take(&mut window.lacks).len() {
            let Some((range, ok)) = all.next() else { return };
            let own = bytes.get(at..at + range.len).filter(|_| ok);
            at += range.len;
            window.add(*range, own);
        }
    }
}

/// Whether what the walks used is still the same, for each window. What is around it may have changed.
pub(super) fn unchanged(memory: &dyn Memory, windows: &[Window<'_>]) -> Vec<bool> {
    let read_before = |piece: &&Piece| piece.at.is_some();
    let all = windows.iter().flat_map(|window| window.pieces.iter().filter(read_before));
    let ranges: Vec<Range> =
        all.map(|piece| Range { address: piece.address, len: piece.len }).collect();
    let (bytes, ok) = read(memory, &ranges);
    let (mut ok, mut at) = (ok.into_iter(), 0);
    let mut same = Vec::with_capacity(windows.len());
    for window in windows {
        // The pieces of a window are in order in its bytes.
        let now = bytes.get(at..at + window.bytes.len()).unwrap_or_default();
        at += window.bytes.len();
        let pieces = window.pieces.iter().filter(read_before).count();
        let is_read = ok.by_ref().take(pieces).fold(true, |all, ok| all && ok);
        let is_same = |&(at, size): &(usize, usize)| now.get(at..at + size) == window.bytes.get(at..at + size);
        same.push(is_read && window.used.iter().all(is_same));
    }
    same
}

/// The bytes of these ranges one after the other, and which of them could be read.
fn read(memory: &dyn Memory, ranges: &[Range]) -> (Vec<u8>, Vec<bool>) {
    let mut bytes = vec![0; ranges.iter().map(|range| range.len).sum()];
    let mut ok = vec![false; ranges.len()];
    if memory.read_many(ranges, &mut bytes, &mut ok).is_err() {
        ok.fill(false);
    }
    (bytes, ok)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
