//! Reusable buffers for reads of many ranges.

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
        for &address in addresses {
            match self.ranges.last_mut() {
                Some(last)
                    if address >= last.address
                        && address <= last.address.saturating_add(last.len as u64 + MERGE_GAP) =>
                {
                    last.len = last.len.max((address - last.address) as usize + size);
                }
                _ => self.ranges.push(Range { address, len: size }),
            }
        }
        self.read(memory)?;
        let (mut range, mut start) = (0, 0);
        for (i, &address) in addresses.iter().enumerate() {
            while range + 1 < self.ranges.len() && self.ranges[range + 1].address <= address {
                start += self.ranges[range].len;
                range += 1;
            }
            let Some(current) = self.ranges.get(range) else { break };
            let at = start + (address - current.address) as usize;
            if self.ok[range] {
                with(i, &self.bytes[at..at + size]);
            } else {
                // One bad address must not lose its neighbours.
                let mut alone = vec![0; size];
                if memory.read(address, &mut alone).is_ok() {
                    with(i, &alone);
                }
            }
        }
        Ok(())
    }
}
