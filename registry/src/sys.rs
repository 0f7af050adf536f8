//! The unsafe part: memory for entries, the kernel's clocks and ids, the note that loiter finds.

use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::format::{Entry, Location};
use crate::registry::Registry;
use crate::task::Task;

// SAFETY: a Location never changes after it was made, and its pointers lead to 'static strings.
unsafe impl Send for Location {}
// SAFETY: as above.
unsafe impl Sync for Location {}

/// A future and its task, over together. The task says whether the future is still there: an Option
/// would take another word in each task of the program, which often is one word too many for the
/// allocator's next smaller size.
pub(crate) struct FutureOfTask<F> {
    /// There as long as `task` is not over.
    future: ManuallyDrop<F>,
    task: Task,
}

impl<F> FutureOfTask<F> {
    pub(crate) fn new(future: F, task: Task) -> Self {
        FutureOfTask { future: ManuallyDrop::new(future), task }
    }

    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    /// Both, unless they are over.
    #[inline(always)]
    pub(crate) fn parts(self: Pin<&mut Self>) -> Option<(Pin<&mut F>, &mut Task)> {
        // SAFETY: nothing is moved out of `this`.
        let this = unsafe { self.get_unchecked_mut() };
        if this.task.is_over() {
            return None;
        }
        // SAFETY: the future is pinned as `self` is: it is not moved before it is dropped, by `end`.
        Some((unsafe { Pin::new_unchecked(&mut *this.future) }, &mut this.task))
    }

    /// Drops the future, in the name of the task, then the task.
    #[inline]
    pub(crate) fn end(self: Pin<&mut Self>) {
        // SAFETY: the future is dropped where it is, and the task may be moved.
        let this = unsafe { self.get_unchecked_mut() };
        // Over before anything else, so that a future that panics is not dropped again.
        let task = mem::replace(&mut this.task, Task::OVER);
        if !task.is_over() {
            let _current = task.enter();
            // SAFETY: the task was not over, so the future is there; from now on nobody believes so.
            unsafe { ManuallyDrop::drop(&mut this.future) };
        }
    }
}

impl<F> Drop for FutureOfTask<F> {
    fn drop(&mut self) {
        // SAFETY: what is being dropped is not moved any more.
        unsafe { Pin::new_unchecked(self) }.end();
    }
}

/// Pages of zeroes for `entries` entries. Null if the kernel has no more memory.
///
/// Zeroes are valid entries (free ones), and pages that are never touched cost nothing.
fn map_entries(entries: usize) -> *mut Entry {
    let Some(bytes) = entries.checked_mul(size_of::<Entry>()) else { return ptr::null_mut() };
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing
    // that exists.
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

/// The chunk behind `chunk`, made if it is not there yet. False if there is no memory.
pub(crate) fn ensure_chunk(chunk: &AtomicPtr<Entry>, entries: usize) -> bool {
    if !chunk.load(Ordering::Acquire).is_null() {
        return true;
    }
    let new = map_entries(entries);
    if new.is_null() {
        return false;
    }
    if chunk.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: this mapping was made above with this size, and nobody else has seen it.
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

/// The registry at a place of the table of registries.
pub(crate) fn registry_at(place: &AtomicPtr<Registry>) -> Option<&'static Registry> {
    // SAFETY: the table holds nulls and what `Registry::enlist` made from `&'static Registry`.
    unsafe { place.load(Ordering::Acquire).as_ref() }
}

/// The registries of a list, from its first link on.
pub(crate) fn registries_after(
    first: &'static AtomicPtr<Registry>,
) -> impl Iterator<Item = &'static Registry> {
    let mut link = first;
    std::iter::from_fn(move || {
        // SAFETY: links are null or made from `&'static Registry`, by `Registry::link` alone.
        let registry: &'static Registry = unsafe { link.load(Ordering::Acquire).as_ref() }?;
        link = crate::registry::next_of(registry);
        Some(registry)
    })
}

/// Nanoseconds on one of the kernel's clocks; 0 if there is no such clock.
#[inline]
pub(crate) fn clock(id: u32) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer.
    unsafe { libc::clock_gettime(id as libc::clockid_t, &mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// The process, as it sees itself.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// The calling thread, as the process sees it.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: gettid takes nothing and always succeeds.
    (unsafe { libc::syscall(libc::SYS_gettid) }) as u32
}

extern "C" fn after_fork() {
    crate::registry::restart_all();
}

/// Has every registry start again from nothing in children that `fork` makes.
pub(crate) fn watch_forks() {
    // SAFETY: the handler is a plain function that only stores to atomics, which is allowed in the
    // child of a process with threads.
    unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
}

/// Name of the note's symbol: one for each version of this crate, so that two of them can be
/// linked into one program.
macro_rules! note_symbol {
    () => {
        concat!("__loiter_registry_note_", env!("CARGO_PKG_VERSION"))
    };
}

// Only the assembler can write "address of that, less the address of this", which needs no
// relocation at run time. "R" keeps the section when unused ones are dropped. The alignment of 4
// is part of the format: with 8, readers would expect the parts of a note to be padded to 8.
std::arch::global_asm!(
    ".pushsection .note.loiter.registry,\"aR\",%note",
    ".balign 4",
    concat!(".globl ", note_symbol!()),
    concat!(".hidden ", note_symbol!()),
    concat!(note_symbol!(), ":"),
    ".4byte 7",
    ".4byte 8",
    ".4byte 1",
    ".ascii \"loiter\\0\\0\"",
    ".8byte {registry} - .",
    ".popsection",
    registry = sym crate::registry::MAIN,
);

unsafe extern "C" {
    #[link_name = concat!("__loiter_registry_note_", env!("CARGO_PKG_VERSION"))]
    static NOTE: [u8; 28];
}

/// Has the linker take the note along: it is in an object file of its own, and nothing else
/// refers to that.
pub(crate) fn keep_note() {
    std::hint::black_box(&raw const NOTE);
}
