//! Memory read by pages that are kept: neighbours in a list are neighbours in memory.

use rustc_hash::FxHashMap;

use super::Memory;
use super::bytes::u64_at;

/// Reads single words through pages that are kept. A kept page is not read again, so use it for one short
/// piece of work. It keeps 64 MiB at most.
pub(crate) struct PagedMemory<'a> {
    memory: &'a dyn Memory,
    /// `None` is a page that cannot be read.
    pages: FxHashMap<u64, Option<Box<[u8]>>>,
}

impl<'a> PagedMemory<'a> {
    const PAGE: u64 = 4096;
    const MAX_PAGES: usize = 1 << 14;

    /// Nothing has been read yet.
    pub(crate) fn new(memory: &'a dyn Memory) -> Self {
        PagedMemory { memory, pages: FxHashMap::default() }
    }

    /// The word at `address`, if it can be read and is aligned.
    pub(crate) fn word(&mut self, address: u64) -> Option<u64> {
        if !address.is_multiple_of(8) {
            return None;
        }
        if self.pages.len() >= Self::MAX_PAGES {
            self.pages.clear();
        }
        let page = address & !(Self::PAGE - 1);
        let memory = self.memory;
        let bytes = self
            .pages
            .entry(page)
            .or_insert_with(|| memory.read_vec(page, Self::PAGE as usize).ok().map(Vec::into_boxed_slice));
        u64_at(bytes.as_ref()?, (address - page) as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::process::{Range, Result, TargetError};

    /// Every word below `end` holds its own address.
    struct Numbers {
        end: u64,
        reads: AtomicU64,
    }

    impl Memory for Numbers {
        fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let (words, _) = buf.as_chunks_mut();
            for (word, at) in words.iter_mut().zip((address..).step_by(8)) {
                if at >= self.end {
                    return Err(TargetError::Unmapped { address, len: 8 });
                }
                *word = at.to_le_bytes();
            }
            Ok(())
        }

        fn read_many(&self, _: &[Range], _: &mut [u8], _: &mut [bool]) -> Result<()> {
            unreachable!("nobody reads many here")
        }
    }

    #[test]
    fn a_page_is_read_once_and_not_all_are_kept() {
        let numbers = Numbers { end: 1 << 40, reads: AtomicU64::new(0) };
        let mut memory = PagedMemory::new(&numbers);
        assert_eq!((memory.word(0x1008), memory.word(0x1ff8)), (Some(0x1008), Some(0x1ff8)));
        assert_eq!(numbers.reads.load(Ordering::Relaxed), 1);
        assert_eq!(memory.word(0x1004), None, "not aligned");
        for page in 0..3 * PagedMemory::MAX_PAGES as u64 {
            assert!(memory.word(page << 12).is_some());
            assert!(memory.pages.len() <= PagedMemory::MAX_PAGES);
        }
    }

    #[test]
    fn what_cannot_be_read_is_asked_for_once() {
        let numbers = Numbers { end: 0x2000, reads: AtomicU64::new(0) };
        let mut memory = PagedMemory::new(&numbers);
        assert_eq!((memory.word(0x2000), memory.word(0x2008)), (None, None));
        assert_eq!(numbers.reads.load(Ordering::Relaxed), 1);
    }
}
