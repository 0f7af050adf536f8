//! Live processes and core files: their memory, mappings, ELF images, threads and registers.
//!
//! [`open_pid`] and [`open_core`] give a [`Target`]. [`processes()`] lists what runs on this machine. Nothing
//! here knows what a goroutine is. Data from a target is treated as hostile.
//!
//! Where things are:
//!
//! - bytes of a target: `live` and `memory`, `core` with `core_memory` and `core_notes`; `vectors` reads many ranges in
//!   one call, `paged` single words, `pages` says which pages are in use;
//! - files: `maps`, `image` with `image_file`, `elf` and `function_symbols`; `slow_files` gives up on a file system that does not answer;
//! - stops: `stop` is the guard, `tracer` the process that does it, `job_control` holds Ctrl-Z back meanwhile,
//!   `registers` tells what a stopped thread's registers are, `moment` what a sampler catches of a thread;
//! - the end of a program: `hold` holds it there;
//! - readings that hang: `watch` notes what each thread reads, `patience` gives up on it, `limit` ends a search;
//! - what tasks wait for in the kernel: `calls`, `descriptors`, `sockets`;
//! - what the kernel says: `proc`, `processes`, `figures`, `permission`, `sys`.

use std::sync::Arc;

use crate::snapshot::{Age, Descriptor, ProcessFigures, TargetInfo};

pub(crate) mod bytes;
pub mod calls;
mod core;
mod core_memory;
mod core_notes;
pub mod descriptors;
mod elf;
mod error;
mod figures;
mod function_symbols;
#[cfg(feature = "cli")]
pub(crate) mod hold;
mod image;
mod image_file;
mod job_control;
mod limit;
mod live;
mod maps;
mod memory;
mod moment;
pub(crate) mod paged;
mod pages;
mod patience;
pub(crate) mod permission;
pub(crate) mod proc;
mod processes;
mod program;
pub(crate) mod registers;
mod short_name;
mod slow_files;
pub mod sockets;
mod stop;
pub(crate) mod sys;
mod tracer;
mod vectors;
mod watch;

pub use core::open_core;
pub use elf::{Section, Segment, Symbol, Symbols};
pub use error::{OsError, TargetError};
pub(crate) use function_symbols::{FunctionSymbol, FunctionSymbols};
pub use image_file::ImageFile;
#[cfg(feature = "dashboard")]
pub(crate) use job_control::while_nothing_is_held;
pub use limit::Limit;
pub use live::open_pid;
pub use moment::Moment;
pub use patience::{Handle, supervised};
pub use processes::{Candidate, candidate, pids, processes};
pub(crate) use program::{Mark, beginning, begun};
#[cfg(feature = "demo")]
pub(crate) use sys::allow_readers;
pub(crate) use sys::{Meeting, end_with_us, let_us_trace, meet_before_exec, monotonic_ns, thread_cpu_time};
#[cfg(feature = "cli")]
pub(crate) use tracer::end_all_stops;
#[cfg(feature = "cli")]
pub(crate) use watch::be_patient_for;

/// Result of reading a target.
pub type Result<T, E = TargetError> = std::result::Result<T, E>;

/// A piece of a target's address space to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub address: u64,
    /// Bytes.
    pub len: usize,
}

/// Memory that can be read.
pub trait Memory: Send + Sync {
    /// Fills `buf` completely from `address`, or returns an error.
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()>;

    /// Reads many ranges at once, one after another into `buf`, which must have room for all of them. `ok[i]`
    /// says whether range `i` was read whole; the bytes of a range that was not are undefined. An error is
    /// returned only when nothing can be read at all (the process is gone, no permission), never because some
    /// ranges are unmapped.
    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()>;

    /// Reads a little-endian u64.
    fn read_u64(&self, address: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a little-endian u32.
    fn read_u32(&self, address: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads `len` bytes into a new vector. The caller must already have bounded `len`.
    fn read_vec(&self, address: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }
}

/// Reads several little-endian u64 in one call, which takes hardly longer than to read one of them. They need not have
/// been there at the same moment.
pub(crate) fn read_words<const N: usize>(memory: &dyn Memory, addresses: [u64; N]) -> Result<[u64; N]> {
    let ranges = addresses.map(|address| Range { address, len: 8 });
    let (mut words, mut ok) = ([[0; 8]; N], [false; N]);
    memory.read_many(&ranges, words.as_flattened_mut(), &mut ok)?;
    match addresses.into_iter().zip(ok).find(|(_, ok)| !ok) {
        Some((address, _)) => Err(TargetError::Unmapped { address, len: 8 }),
        None => Ok(words.map(u64::from_le_bytes)),
    }
}

/// One mapping of a target's address space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
    /// Path, `[stack]` and the like, or empty for anonymous memory. As the target sees it.
    pub path: String,
    /// Device and inode, to distinguish files; (0, 0) for anonymous memory.
    pub file_id: (u64, u64),
}

impl Mapping {
    /// Whether this is a part of the image's file. The kernel marks the path of a file that has been deleted.
    pub fn is_of(&self, image: &Image) -> bool {
        image::plain(&self.path) == image::plain(&image.path)
    }
}

/// An ELF file mapped into the target: the executable, a shared library, the vDSO.
#[derive(Debug, Clone)]
pub struct Image {
    /// Path as the target sees it.
    pub path: String,
    /// What to add to an address in the file (p_vaddr, symbol value) to get the target's address.
    pub bias: u64,
    /// It is the main executable.
    pub is_executable: bool,
    /// The file, opened so that deleted and containerised binaries work.
    pub file: Arc<ImageFile>,
}

/// A mapped file that could not be opened or read, though it should be possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableImage {
    /// Path as the target sees it.
    pub path: String,
    /// It is the main executable.
    pub is_executable: bool,
    /// Why: the call and the errno, or that its file system does not answer.
    pub why: String,
}

/// The general registers of a thread. One machine today: x86-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers {
    /// Program counter.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer.
    pub bp: u64,
    /// Base of thread-local storage (fs_base on x86-64).
    pub tls: u64,
    /// All general registers, in the order in which instructions number them.
    pub general: [u64; 16],
}

/// Where a thread waits in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Program counter: after the instruction that called the kernel.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// How often it has gone to sleep so far. If two checks find the same address and the same number, the
    /// thread has not run in between.
    pub sleeps: u64,
}

/// A system call that a thread is in, from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadCall {
    /// Its number.
    pub number: u32,
    /// The program is built for another machine: the number and the arguments are not those of x86-64.
    pub foreign: bool,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// The thread's stack pointer.
    pub sp: u64,
    /// The thread's program counter.
    pub pc: u64,
    /// How often the thread has gone to sleep so far: see [`Blocked::sleeps`].
    pub sleeps: u64,
    /// The kernel function in which it sleeps. None if it may not be read.
    pub kernel_function: Option<String>,
    /// How long it has been in it.
    pub age: Age,
}

/// What is done with a stopped thread; called with its registers.
pub type WithRegisters<'a> = dyn FnMut(&Registers) + Send + 'a;

/// How much of a core file is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoreExtent {
    /// Its size, bytes.
    pub bytes: u64,
    /// Bytes that it should have beyond these, according to its own headers.
    pub missing: u64,
}

/// How long a thread or a process was held.
pub type HoldTime = std::time::Duration;

/// A process or a core file that can be read.
pub trait Target: Memory {
    /// What identifies it.
    fn info(&self) -> &TargetInfo;

    /// Its pid in its own pid namespace.
    fn pid_inside(&self) -> u32 {
        self.info().pid.unwrap_or(0)
    }

    /// The machine that its program is built for, where that is not x86-64 ("32-bit x86").
    fn foreign_machine(&self) -> Option<String> {
        None
    }

    /// Its mappings as they are now, in ascending order.
    fn mappings(&self) -> Result<Vec<Mapping>>;

    /// The ELF files mapped into it, the main executable first.
    fn images(&self) -> Result<Vec<Image>>;

    /// The mapped files that the last call of [`Target::images`] could not identify.
    fn unreadable_images(&self) -> Vec<UnreadableImage> {
        Vec::new()
    }

    /// Its threads (tids in loiter's pid namespace), as they are now.
    fn threads(&self) -> Result<Vec<u32>>;

    /// Translates a thread id from the target's own pid namespace (as its memory holds it) into the id that
    /// [`Target::threads`] uses.
    fn thread_from_inside(&self, tid: u32) -> Option<u32>;

    /// Stops one thread, calls `with` with its registers while it is stopped, and lets it go. On a frozen
    /// target and on a core file nothing has to be stopped. Returns how long it was held. Whatever happens to
    /// loiter, the thread runs on within one second of its stop. If that is before `with` is done, there is
    /// an error, and what `with` found is worthless.
    fn with_stopped_thread(&self, tid: u32, with: &mut WithRegisters<'_>) -> Result<HoldTime>;

    /// Where a thread waits, if it waits in the kernel. Found without disturbing it, because a stop makes
    /// some system calls (such as `epoll_wait`) return early with EINTR. None for a running thread, and where
    /// this cannot be known.
    fn blocked_at(&self, _tid: u32) -> Option<Blocked> {
        None
    }

    /// The same, but only for a thread that would not stop: it is in the call that ends the process, or in a sleep that
    /// cannot be interrupted. None for any other thread.
    fn held_at(&self, _tid: u32) -> Option<Blocked> {
        None
    }

    /// The system call that a thread is in, if it sleeps in one. None where this cannot be known.
    fn call_of(&self, _tid: u32) -> Option<ThreadCall> {
        None
    }

    /// What these descriptors of the process are, and the sockets among them. One that is not open is left out. Of a
    /// core file nothing is known.
    ///
    /// # Errors
    /// If the process has ended, or the list of its descriptors may not be read.
    fn descriptors(&self, _numbers: &[u32]) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    /// Stops every thread until the guard is dropped, for no longer than `limit`. Whatever happens to
    /// loiter, SIGKILL and SIGSTOP included, the target runs on. While frozen,
    /// [`Target::with_stopped_thread`] works from any thread of loiter. On a core file it does nothing.
    fn freeze(&self, limit: std::time::Duration) -> Result<Frozen>;

    /// Nothing in it can change: a core file.
    fn is_static(&self) -> bool;

    /// How much of a core file is present. None for a live process.
    fn core_extent(&self) -> Option<CoreExtent> {
        None
    }

    /// The parts of `start..end` that a search should read, ascending: those that are in a core file, and
    /// those that a live process has used. Reading any other page shows nothing, and makes the kernel set up
    /// a page for the target.
    fn present(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        vec![(start, end)]
    }

    /// CLOCK_MONOTONIC of the target's machine now, nanoseconds (in the target's time namespace where that
    /// can be known). None for a core file.
    fn monotonic_ns(&self) -> Option<u64>;

    /// What the operating system reports about it.
    fn figures(&self) -> ProcessFigures;

    /// The same target for another thread, so that a reading that hangs can be given up; see [`supervised`].
    /// None for a target that cannot hang.
    fn handle(&self) -> Option<Handle> {
        None
    }
}

/// Keeps the target stopped until it is dropped.
pub struct Frozen {
    release: Option<Box<dyn FnOnce() -> Result<HoldTime> + Send>>,
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Frozen")
    }
}

impl Frozen {
    /// A guard that calls `release` once, on [`Frozen::release`] or on drop.
    pub fn new(release: impl FnOnce() -> Result<HoldTime> + Send + 'static) -> Self {
        Frozen { release: Some(Box::new(release)) }
    }

    /// Lets the target go and returns how long all of it was stopped.
    ///
    /// # Errors
    /// [`TargetError::LetGo`] if it was let go before: not everything was read at the same moment.
    pub fn release(mut self) -> Result<HoldTime> {
        self.release.take().map_or(Ok(HoldTime::ZERO), |release| release())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            // A caller that drops the guard does not need the time, and has not finished reading.
            let _ = release();
        }
    }
}
