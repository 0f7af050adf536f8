//! Memory that was read for chains. Each call into the kernel costs much, so the memory of many tasks is read at a time:
//! a walk that lacks some ends, notes what it lacks, and begins again when that is there.

use super::way::{Way, What};
use super::word::{Source, Word};
use crate::process::{Memory, Range};

/// Bytes read at a time: the parts of a future are close to each other.
const PIECE: usize = 512;
/// The same for the task itself, at most.
const FIRST: u64 = 2048;
/// Pieces that are read for one chain at most.
const MAX_PIECES: usize = 2 << 10;
/// Bytes that are read for the chains of several tasks at most.
const MAX_BYTES: usize = 256 << 20;

/// What was read for the chains of several tasks.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// The bytes of all pieces, one after the other.
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    windows: Vec<Own>,
}

/// Memory that was read, or could not be.
#[derive(Debug, Clone, Copy)]
struct Piece {
    range: Range,
    /// Its place in the bytes.
    at: usize,
    is_read: bool,
}

impl Piece {
    /// How far from its beginning this range is, if the range is in it.
    fn offset(&self, address: u64, size: usize) -> Option<usize> {
        let from = usize::try_from(address.wrapping_sub(self.range.address)).ok()?;
        (from.checked_add(size)? <= self.range.len).then_some(from)
    }
}

/// What belongs to one chain.
#[derive(Debug, Default)]
struct Own {
    /// Numbers of pieces.
    pieces: Vec<usize>,
    lacks: Vec<Range>,
    /// What the last walk used.
    used: Vec<Used>,
    /// The way that it went.
    way: Way,
}

#[derive(Debug, Clone, Copy)]
struct Used {
    piece: usize,
    /// Its place in the bytes.
    at: usize,
    size: usize,
}

impl Windows {
    /// Forgets all, and makes windows for tasks: the address of each header, and the length of each task, bytes.
    pub(super) fn begin(&mut self, tasks: impl ExactSizeIterator<Item = (u64, u64)>) {
        self.bytes.clear();
        self.pieces.clear();
        self.windows.resize_with(tasks.len(), Own::default);
        for (own, (address, len)) in self.windows.iter_mut().zip(tasks) {
            own.pieces.clear();
            own.lacks.clear();
            own.used.clear();
            own.way.begin(address);
            own.lacks.push(Range { address, len: usize::try_from(len.min(FIRST)).unwrap_or(PIECE) });
        }
    }

    /// The window for a walk that begins. `at_once`: memory for what lacks, which is then read while the walk goes on.
    pub(super) fn window<'a>(
        &'a mut self,
        nth: usize,
        at_once: Option<&'a dyn Memory>,
    ) -> Option<Window<'a>> {
        let own = self.windows.get_mut(nth)?;
        own.used.clear();
        own.way.begin_again();
        Some(Window { bytes: &mut self.bytes, pieces: &mut self.pieces, own, at_once })
    }

    /// The way that the last walk in a window went.
    pub(super) fn way(&self, nth: usize) -> Option<&Way> {
        self.windows.get(nth).map(|own| &own.way)
    }

    #[cfg(test)]
    pub(super) fn take_way(&mut self, nth: usize) -> Option<Way> {
        self.windows.get_mut(nth).map(|own| std::mem::take(&mut own.way))
    }

    /// Whether the last walk in a window lacked some memory.
    pub(super) fn is_lacking(&self, nth: usize) -> bool {
        self.windows.get(nth).is_some_and(|own| !own.lacks.is_empty())
    }

    /// Reads what lacks in these of the windows.
    pub(super) fn fetch(&mut self, memory: &dyn Memory, which: &[usize]) {
        let (first, mut ranges, begin) = (self.pieces.len(), Vec::new(), self.bytes.len());
        let mut at = begin;
        for nth in which {
            let Some(own) = self.windows.get_mut(*nth) else { continue };
            for range in own.lacks.drain(..) {
                own.pieces.push(self.pieces.len());
                self.pieces.push(Piece { range, at, is_read: false });
                ranges.push(range);
                at += range.len;
            }
        }
        self.bytes.resize(at, 0);
        let ok = read(memory, &ranges, self.bytes.get_mut(begin..).unwrap_or_default());
        for (piece, ok) in self.pieces.iter_mut().skip(first).zip(ok) {
            piece.is_read = ok;
        }
    }

    /// Whether what the last walks used is still the same, for each window. What is around it may have changed.
    pub(super) fn unchanged(&self, memory: &dyn Memory) -> Vec<bool> {
        let ranges: Vec<Range> = self.pieces.iter().map(|piece| piece.range).collect();
        let mut now = vec![0; self.bytes.len()];
        let ok = read(memory, &ranges, &mut now);
        let is_same = |used: &Used| {
            let part = used.at..used.at + used.size;
            ok.get(used.piece) == Some(&true) && now.get(part.clone()) == self.bytes.get(part)
        };
        self.windows.iter().map(|own| own.used.iter().all(is_same)).collect()
    }
}

/// What was read for one chain.
pub(super) struct Window<'a> {
    bytes: &'a mut Vec<u8>,
    pieces: &'a mut Vec<Piece>,
    own: &'a mut Own,
    at_once: Option<&'a dyn Memory>,
}

impl Window<'_> {
    /// The address of the task.
    pub(super) fn task(&self) -> Word {
        Word { value: self.own.way.value(Source::TASK).unwrap_or(0), from: Source::TASK }
    }

    /// A little-endian number of 1 to 8 bytes, by which the walk may go any way.
    pub(super) fn number(&mut self, at: impl Into<Word>, size: u64) -> Option<u64> {
        let at = at.into();
        let number = self.aside(at.value, size)?;
        self.own.way.read(at, size, What::Number, number);
        Some(number)
    }

    /// Which of these values a number has. Some(None): another one.
    pub(super) fn among(
        &mut self,
        at: impl Into<Word>,
        size: u64,
        values: impl IntoIterator<Item = u64>,
    ) -> Option<Option<u64>> {
        let at = at.into();
        let number = self.aside(at.value, size)?;
        let values: Vec<u64> = values.into_iter().collect();
        let which = values.iter().position(|value| *value == number);
        let outcome = which.unwrap_or(values.len()) as u64;
        self.own.way.read(at, size, What::Among(values.into()), outcome);
        Some(which.map(|_| number))
    }

    /// Whether a number has no bits from this one on.
    pub(super) fn is_below(&mut self, at: impl Into<Word>, size: u64, bits: u32) -> Option<bool> {
        let at = at.into();
        let what = What::Below(bits);
        let outcome = what.outcome(self.aside(at.value, size)?);
        self.own.way.read(at, size, what, outcome);
        Some(outcome == 1)
    }

    /// A pointer. Some(None) for a null pointer.
    pub(super) fn link(&mut self, at: impl Into<Word>) -> Option<Option<Word>> {
        let at = at.into();
        let value = self.aside(at.value, 8)?;
        self.own.way.read(at, 8, What::Pointer, u64::from(value != 0));
        Some((value != 0).then(|| self.own.way.source(value)))
    }

    /// A pointer that is not null.
    pub(super) fn pointer(&mut self, at: impl Into<Word>) -> Option<Word> {
        self.link(at).flatten()
    }

    /// A number that the way of the walk does not depend on.
    pub(super) fn keep(&mut self, at: impl Into<Word>, size: u64) -> Option<Word> {
        let at = at.into();
        let value = self.aside(at.value, size)?;
        self.own.way.read(at, size, What::Kept, 0);
        Some(self.own.way.source(value))
    }

    /// The same for a number that others may change while the task rests: it may be another one at the end.
    pub(super) fn count(&mut self, at: impl Into<Word>, size: u64) -> Option<Word> {
        let at = at.into();
        let value = self.aside(at.value, size)?;
        self.own.used.pop();
        self.own.way.read(at, size, What::Counted, 0);
        Some(self.own.way.source(value))
    }

    /// Whether two numbers are the same.
    pub(super) fn same(&mut self, one: Word, other: Word) -> bool {
        let same = one.value == other.value;
        self.own.way.same(one, other, same);
        same
    }

    /// A number that is the same for every task that goes this way, or that is looked at for each anew.
    pub(super) fn aside(&mut self, address: u64, size: u64) -> Option<u64> {
        let size = usize::try_from(size).ok().filter(|size| (1..=8).contains(size))?;
        let mut found = self.known(address, size);
        // The mapping may end before a piece does: then only the number itself is read.
        for _ in 0..2 {
            if found.is_some() || !self.want(address, size) {
                break;
            }
            found = self.known(address, size);
        }
        let Some(used) = found else {
            self.own.way.is_lost = true;
            return None;
        };
        let bytes = self.bytes.get(used.at..used.at + size)?;
        self.own.used.push(used);
        Some(number(bytes))
    }

    /// The place of these bytes, if they were read.
    fn known(&self, address: u64, size: usize) -> Option<Used> {
        self.own.pieces.iter().rev().find_map(|&number| {
            let piece = self.pieces.get(number).filter(|piece| piece.is_read)?;
            Some(Used { piece: number, at: piece.at + piece.offset(address, size)?, size })
        })
    }

    /// Notes that a range lacks, unless it cannot be read. Whether it was read now.
    fn want(&mut self, address: u64, size: usize) -> bool {
        let mine = self.own.pieces.iter().filter_map(|number| self.pieces.get(*number));
        let refused = mine.filter(|piece| piece.offset(address, size).is_some());
        let len = match refused.map(|piece| piece.range.len).min() {
            None => PIECE,
            Some(len) if len > size => size,
            Some(_) => return false,
        };
        if self.own.pieces.len() + self.own.lacks.len() >= MAX_PIECES || self.bytes.len() >= MAX_BYTES {
            return false;
        }
        let range = Range { address, len };
        let Some(memory) = self.at_once else {
            self.own.lacks.push(range);
            return false;
        };
        let at = self.bytes.len();
        self.bytes.resize(at + len, 0);
        let into = self.bytes.get_mut(at..).unwrap_or_default();
        let is_read = memory.read(address, into).is_ok();
        self.own.pieces.push(self.pieces.len());
        self.pieces.push(Piece { range, at, is_read });
        true
    }
}

/// A little-endian number.
pub(super) fn number(bytes: &[u8]) -> u64 {
    if let Ok(bytes) = bytes.try_into() {
        return u64::from_le_bytes(bytes);
    }
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Reads ranges one after the other. Which of them could be read.
pub(super) fn read(memory: &dyn Memory, ranges: &[Range], into: &mut [u8]) -> Vec<bool> {
    let mut ok = vec![false; ranges.len()];
    if memory.read_many(ranges, into, &mut ok).is_err() {
        ok.fill(false);
    }
    ok
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Result, TargetError};
    use std::cell::Cell;

    /// Readable up to an address; each byte is the low byte of its address, plus what changed.
    struct Known(u64, std::sync::Mutex<Cell<u8>>);

    impl Memory for Known {
        fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
            if address + buf.len() as u64 > self.0 {
                return Err(TargetError::Unmapped { address, len: buf.len() });
            }
            let change = self.1.lock().unwrap().get();
            for (byte, at) in buf.iter_mut().zip(address..) {
                *byte = (at as u8).wrapping_add(change);
            }
            Ok(())
        }

        fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
            let mut at = 0;
            for (range, ok) in ranges.iter().zip(ok) {
                *ok = self.read(range.address, &mut buf[at..at + range.len]).is_ok();
                at += range.len;
            }
            Ok(())
        }
    }

    #[test]
    fn what_lacks_is_read_for_all_windows_at_once() {
        let memory = Known(0x9010, Default::default());
        let mut windows = Windows::default();
        windows.begin([(0x1000, 64), (0x2000, 64)].into_iter());
        assert!(windows.is_lacking(0) && windows.is_lacking(1));
        windows.fetch(&memory, &[0, 1]);
        let mut window = windows.window(0, None).unwrap();
        assert_eq!(window.number(0x1001, 2), Some(0x0201));
        assert_eq!(window.number(0x8f80, 8), None, "not yet");
        assert!(windows.is_lacking(0) && !windows.is_lacking(1));
        // A piece there would be longer than what is mapped.
        windows.fetch(&memory, &[0, 1]);
        assert_eq!(windows.window(0, None).unwrap().number(0x8f80, 8), None, "its piece ends too late");
        windows.fetch(&memory, &[0, 1]);
        assert_eq!(windows.window(0, None).unwrap().number(0x8f80, 1), Some(0x80));
        assert_eq!(windows.window(1, None).unwrap().number(0x203f, 1), Some(0x3f));
        assert_eq!(windows.window(1, Some(&memory)).unwrap().number(0x900f, 1), Some(0x0f), "at once");
        assert_eq!(windows.window(1, Some(&memory)).unwrap().number(0x9010, 1), None, "never");
        assert_eq!(windows.window(1, None).unwrap().number(u64::MAX, 8), None);
    }

    #[test]
    fn only_what_was_used_must_be_the_same() {
        let memory = Known(0x9000, Default::default());
        let mut windows = Windows::default();
        windows.begin([(0x1000, 64), (0x2000, 64)].into_iter());
        windows.fetch(&memory, &[0, 1]);
        windows.window(0, None).unwrap().count(0x1000, 8).unwrap();
        windows.window(1, None).unwrap().number(0x2000, 1);
        assert_eq!(windows.unchanged(&memory), [true, true]);
        memory.1.lock().unwrap().set(1);
        assert_eq!(windows.unchanged(&memory), [true, false]);
        windows.window(1, None).unwrap();
        assert_eq!(windows.unchanged(&memory), [true, true], "another walk, which used nothing");
    }
}
