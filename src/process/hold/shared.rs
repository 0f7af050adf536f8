//! A page of memory that the keeper and the worker share.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64};

/// What one of them must know if the other ends.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The number of the call that was received last. The kernel counts them up by one. 0: none yet.
    pub(super) last: AtomicU64,
    /// The probe was answered.
    pub(super) probed: AtomicBool,
}

/// The page. It stays mapped until the process ends; processes that are forked share it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page(NonNull<Words>);

// SAFETY: the page is never unmapped, and all that is in it is atomic.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    pub(super) fn new() -> io::Result<Page> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, which replaces no other. The kernel rounds its size up to a page.
        let at = unsafe { libc::mmap(ptr::null_mut(), size_of::<Words>(), protection, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // The kernel has filled it with zeros, which are valid words.
        Ok(Page(NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?))
    }

    pub(super) fn words(&self) -> &Words {
        // SAFETY: the mapping has room for them, is aligned to a page, holds valid words, and is never unmapped.
        unsafe { self.0.as_ref() }
    }
}
