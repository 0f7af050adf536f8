//! Unsafe code that does not depend on the registry: memory for entries, references that threads share, the
//! kernel's clocks and ids.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::format::{Entry, Location};

// SAFETY: a Location never changes after it was made, and its pointers point to 'static strings.
unsafe impl Send for Location {}
// SAFETY: as above.
unsafe impl Sync for Location {}

/// Pages of zeroes for `entries` entries. Null if the kernel has no more memory.
///
/// Zeroes are valid entries (free ones), and untouched pages cost nothing.
fn map_entries(entries: usize) -> *mut Entry {
    let Some(bytes) = entries.checked_mul(size_of::<Entry>()) else { return ptr::null_mut() };
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing that exists.
    let at = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED { ptr::null_mut() } else { at.cast() }
}

/// Maps the entries of `chunk`, if it has none yet. False if there is no memory.
pub(crate) fn ensure_chunk(chunk: &AtomicPtr<Entry>, entries: usize) -> bool {
    if !chunk.load(Ordering::Acquire).is_null() {
        return true;
    }
    let new = map_entries(entries);
    if new.is_null() {
        return false;
    }
    if chunk.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: this mapping was made above with this size, and no other thread has seen it.
        unsafe { libc::munmap(new.cast(), entries * size_of::<Entry>()) };
    }
    true
}

/// Entry number `offset` of a chunk that has `entries`; None if the chunk was not made.
#[inline(always)]
pub(crate) fn entry_at(chunk: &AtomicPtr<Entry>, offset: usize, entries: usize) -> Option<&'static Entry> {
    let start = chunk.load(Ordering::Acquire);
    if start.is_null() || offset >= entries {
        return None;
    }
    // SAFETY: only `ensure_chunk` stores here, for the same number of entries; chunks are zeroed,
    // which is a valid Entry of atomics, and are never unmapped once they are stored.
    Some(unsafe { &*start.add(offset) })
}

/// An atomic reference to an object that lives for ever.
#[repr(transparent)]
pub(crate) struct StaticRef<T>(AtomicPtr<T>);

impl<T: Sync + 'static> StaticRef<T> {
    /// Nothing.
    pub(crate) const fn none() -> Self {
        StaticRef(AtomicPtr::new(ptr::null_mut()))
    }

    fn pointer(to: Option<&'static T>) -> *mut T {
        to.map_or(ptr::null_mut(), |to| ptr::from_ref(to).cast_mut())
    }

    fn reference(pointer: *mut T) -> Option<&'static T> {
        // SAFETY: only null and pointers made from `&'static T`, by `pointer`, are ever stored here.
        unsafe { pointer.as_ref() }
    }

    pub(crate) fn load(&self) -> Option<&'static T> {
        Self::reference(self.0.load(Ordering::Acquire))
    }

    /// For a reference that no other thread reads yet.
    pub(crate) fn store_relaxed(&self, to: Option<&'static T>) {
        self.0.store(Self::pointer(to), Ordering::Relaxed);
    }

    /// Stores `to` if the current value is `from`; if not, returns the current value.
    pub(crate) fn replace(&self, from: Option<&'static T>, to: &'static T) -> Result<(), Option<&'static T>> {
        let (from, to) = (Self::pointer(from), Self::pointer(Some(to)));
        let replaced = self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        replaced.map(|_| ()).map_err(Self::reference)
    }
}

/// Nanoseconds on one of the kernel's clocks; 0 if there is no such clock.
#[inline]
pub(crate) fn clock(id: u32) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer.
    unsafe { libc::clock_gettime(id as libc::clockid_t, &mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// The process id, as the process sees it.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// The id of the calling thread, as the process sees it.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: gettid takes nothing and always succeeds.
    (unsafe { libc::syscall(libc::SYS_gettid) }) as u32
}

/// Has `after_fork` called in the children that `fork` makes. It must only store to atomics: the child of a
/// process with threads may not do more.
pub(crate) fn watch_forks(after_fork: extern "C" fn()) {
    // SAFETY: the handler is a plain function and lives for ever.
    unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
}

unsafe extern "C" {
    // The symbol of `note`, whose name contains the version.
    #[link_name = concat!("__loiter_registry_note_", env!("CARGO_PKG_VERSION"))]
    static NOTE: [u8; 28];
}

/// Makes the linker include the note: it is in an object file of its own, and nothing else refers to that.
pub(crate) fn keep_note() {
    std::hint::black_box(&raw const NOTE);
}
