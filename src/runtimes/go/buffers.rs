//! Reusable buffers for reads of many ranges.

use crate::process::bytes::word;
use crate::process::{Memory, Range, TargetError};

/// Structs closer together than this are read in one range: the bytes between them cost less than
/// another range does.
const MERGE_GAP: u64 = 1024;

/// Buffers for reads of many ranges.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) ranges: Vec<Range>,
    pub(super) ok: Vec<bool>,
    pub(super) bytes: Vec<u8>,
}

impl Buffers {
    /// Reads `self.ranges`; the bytes of range i follow those of range i - 1.
    pub(super) fn read(&mut self, memory: &dyn Memory) -> Result<(), TargetError> {
        let total: usize = self.ranges.iter().map(|r| r.len).sum();
        if self.bytes.len() < total {
            self.bytes.resize(total, 0);
        }
        self.ok.clear();
        self.ok.resize(self.ranges.len(), false);
        memory.read_many(&self.ranges, &mut self.bytes[..total], &mut self.ok)
    }

    /// Reads structs of `size` bytes at ascending `addresses`, and calls `with` with the number
    /// and the bytes of each that could be read.
    pub(super) fn read_structs(
        &mut self,
        memory: &dyn Memory,
        addresses: &[u64],
        size: usize,
        mut with: impl FnMut(usize, &[u8]),
    ) -> Result<(), TargetError> {
        self.ranges.clear();
        let structs = self.ask_for_structs(addresses, size);
        self.read(memory)?;
        self.each_struct(memory, structs, addresses, size, &mut with);
        Ok(())
    }

    /// The same, and reads words before and after the structs, in one call: the kernel reads ranges in their order
    /// (process_vm_readv(2)). None for words that could not be read, or not in this order.
    pub(super) fn read_structs_between<const N: usize>(
        &mut self,
        memory: &dyn Memory,
        words: [u64; N],
        addresses: &[u64],
        size: usize,
        mut with: impl FnMut(usize, &[u8]),
    ) -> Result<[Option<[u64; N]>; 2], TargetError> {
        let around = words.map(|address| Range { address, len: 8 });
        self.ranges.clear();
        self.ranges.extend(around);
        let structs = self.ask_for_structs(addresses, size);
        let after = structs.end;
        self.ranges.extend(around);
        self.read(memory)?;
        let words = |first: usize| {
            let start: usize = self.ranges.get(..first)?.iter().map(|range| range.len).sum();
            let is_whole = self.ok.get(first..first + N)?.iter().all(|ok| *ok);
            is_whole.then(|| std::array::from_fn(|nth| word(&self.bytes, start + 8 * nth)))
        };
        let (before, after) = (words(0), words(after));
        let in_order = self.each_struct(memory, structs, addresses, size, &mut with);
        Ok([before, after.filter(|_| in_order)])
    }

    /// Adds the ranges of structs to those that are read. Returns which they are.
    fn ask_for_structs(&mut self, addresses: &[u64], size: usize) -> std::ops::Range<usize> {
        let first = self.ranges.len();
        for &address in addresses {
            match self.ranges.get_mut(first..).and_then(<[Range]>::last_mut) {
                Some(last)
                    if address >= last.address
                        && address <= last.address.saturating_add(last.len as u64 + MERGE_GAP) =>
                {
                    last.len = last.len.max((address - last.address) as usize + size);
                }
                _ => self.ranges.push(Range { address, len: size }),
            }
        }
        first..self.ranges.len()
    }

    /// Gives out the structs in these ranges. False if some were read once more, and so later
    /// than what follows them.
    fn each_struct(
        &self,
        memory: &dyn Memory,
        ranges: std::ops::Range<usize>,
        addresses: &[u64],
        size: usize,
        with: &mut dyn FnMut(usize, &[u8]),
    ) -> bool {
        let mut start = self.ranges.iter().take(ranges.start).map(|range| range.len).sum::<usize>();
        let (mut range, mut in_order) = (ranges.start, true);
        for (i, &address) in addresses.iter().enumerate() {
            while range + 1 < ranges.end && self.ranges[range + 1].address <= address {
                start += self.ranges[range].len;
                range += 1;
            }
            let Some(current) = self.ranges.get(range) else { break };
            let at = start + (address - current.address) as usize;
            if self.ok[range] {
                with(i, &self.bytes[at..at + size]);
            } else {
                // One bad address must not lose its neighbours.
                in_order = false;
                let mut alone = vec![0; size];
                if memory.read(address, &mut alone).is_ok() {
                    with(i, &alone);
                }
            }
        }
        in_order
    }
}
