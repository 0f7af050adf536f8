//! The protocols that a reader in another process relies on. Independent of any layout, so that loom can
//! model exactly the code that runs.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Writes the fields that `seq` covers. The caller is the only writer of this group; `fields` stores them relaxed.
#[inline(always)]
pub fn write(seq: &AtomicU32, fields: impl FnOnce()) {
    let before = seq.load(Ordering::Relaxed);
    // A writer that panicked in between left it odd; the next even number is right in both cases.
    let odd = before.wrapping_add(1) | 1;
    seq.store(odd, Ordering::Relaxed);
    fence(Ordering::Release);
    fields();
    seq.store(odd.wrapping_add(1), Ordering::Release);
}

/// Reads the fields that `seq` covers, in the same process; `fields` loads them relaxed. None: they are being
/// written.
pub fn read<T>(seq: &AtomicU32, fields: impl FnOnce() -> T) -> Option<T> {
    let before = seq.load(Ordering::Acquire);
    let value = fields();
    fence(Ordering::Acquire);
    (before & 1 == 0 && seq.load(Ordering::Relaxed) == before).then_some(value)
}

/// Says that one slot of an await chain was changed, after the change. Any thread may call it.
#[inline(always)]
pub fn changed(version: &AtomicU32) {
    version.fetch_add(1, Ordering::Release);
}

/// The end of the list, in [`FreeList`].
pub const END: u32 = u32::MAX;

/// Numbers of free entries: a lock-free stack whose links are in the entries. Its head carries a tag that
/// grows with each change. So a number that was taken and given back meanwhile is noticed.
#[derive(Debug)]
#[repr(transparent)]
pub struct FreeList(AtomicU64);

const EMPTY: u64 = END as u64;

fn head(index: u32, tag: u64) -> u64 {
    (tag << 32) | u64::from(index)
}

impl FreeList {
    /// An empty list.
    #[cfg(not(loom))]
    pub const fn new() -> FreeList {
        FreeList(AtomicU64::new(EMPTY))
    }

    /// An empty list.
    #[cfg(loom)]
    pub fn new() -> FreeList {
        FreeList(AtomicU64::new(EMPTY))
    }

    /// Forgets everything. No other thread may use the list meanwhile.
    pub fn clear(&self) {
        self.0.store(EMPTY, Ordering::Relaxed);
    }

    /// Gives `index` back. `link` is its entry's link.
    pub fn push(&self, index: u32, link: &AtomicU32) {
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            link.store(old as u32, Ordering::Relaxed);
            let new = head(index, (old >> 32).wrapping_add(1));
            match self.0.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// Takes a free number. `link_of` finds the link of an entry.
    pub fn pop<'a>(&self, link_of: impl Fn(u32) -> Option<&'a AtomicU32>) -> Option<u32> {
        let mut old = self.0.load(Ordering::Acquire);
        loop {
            let index = old as u32;
            if index == END {
                return None;
            }
            let next = link_of(index)?.load(Ordering::Relaxed);
            let new = head(next, (old >> 32).wrapping_add(1));
            match self.0.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(now) => old = now,
            }
        }
    }
}

impl Default for FreeList {
    fn default() -> Self {
        Self::new()
    }
}
