//! The layout, as `FORMAT.md` specifies it. All fields that a reader sees are atomic: none can be torn below
//! the size of a field, and no reference to them is ever exclusive.

use std::mem::offset_of;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// First bytes of every registry.
pub const MAGIC: [u8; 8] = *b"LOITERRG";
/// Readers refuse an unknown major version.
pub const MAJOR: u16 = 1;
/// Readers read a newer minor version by its offsets.
pub const MINOR: u16 = 0;
/// Chunk 0 holds this many entries, chunk i 2^i times as many.
pub const FIRST_CHUNK_ENTRIES: u32 = 1024;
/// The maximum number of chunks of a registry.
pub const CHUNKS: usize = 24;
/// Await places per entry.
pub const CHAIN_SLOTS: usize = 13;
/// "No slot": for the place that was polled last and for the place around an outermost one.
pub const NO_SLOT: u8 = 255;
/// A field that this writer does not provide.
pub const ABSENT: u32 = u32::MAX;
/// In [`crate::Registry`]'s flags: the runtime's hooks report tasks, so libraries' tasks are included.
pub const FLAG_HOOKS: u32 = 1;
/// In [`Location`]'s flags: the name is that of the surrounding function.
pub const LOCATION_FUNCTION: u64 = 1;

/// One task. Field order is that of version 1.0; readers go by [`ENTRY_OFFSETS`].
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) seq: AtomicU32,
    pub(crate) generation: AtomicU32,
    pub(crate) id: AtomicU64,
    pub(crate) parent_id: AtomicU64,
    pub(crate) spawned_ns: AtomicU64,
    pub(crate) location: AtomicPtr<Location>,
    pub(crate) type_name: AtomicPtr<u8>,
    pub(crate) name: AtomicPtr<u8>,
    pub(crate) type_name_len: AtomicU32,
    pub(crate) name_len: AtomicU32,
    // The fields that each poll writes, on a cache line of their own.
    pub(crate) poll_seq: AtomicU32,
    pub(crate) state: AtomicU32,
    pub(crate) polls: AtomicU64,
    pub(crate) last_poll_start_ns: AtomicU64,
    pub(crate) last_poll_end_ns: AtomicU64,
    pub(crate) wait_address: AtomicU64,
    pub(crate) wait_location: AtomicPtr<Location>,
    pub(crate) wait_reason: AtomicU32,
    pub(crate) thread: AtomicU32,
    pub(crate) busy_ns: AtomicU64,
    // The other fields, and the await places.
    pub(crate) task_header: AtomicU64,
    pub(crate) kind: AtomicU32,
    /// Used only by the writer: the number of the entry.
    pub(crate) number: AtomicU32,
    pub(crate) chain_seq: AtomicU32,
    pub(crate) chain_lost: AtomicU16,
    pub(crate) chain_last: AtomicU8,
    /// Used only by the writer: slots in use.
    pub(crate) chain_used: AtomicU8,
    pub(crate) chain: [AtomicU64; CHAIN_SLOTS],
}

/// While an entry is free, two fields that are then unused link it to others. They are among the fields that
/// polls write, so a task that is spawned by one thread and ends on another costs these threads as few cache
/// lines as possible.
impl Entry {
    /// All zeroes, as in a new chunk.
    pub(crate) const fn new() -> Entry {
        const NONE: *mut u8 = std::ptr::null_mut();
        Entry {
            seq: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            id: AtomicU64::new(0),
            parent_id: AtomicU64::new(0),
            spawned_ns: AtomicU64::new(0),
            location: AtomicPtr::new(NONE.cast()),
            type_name: AtomicPtr::new(NONE),
            name: AtomicPtr::new(NONE),
            type_name_len: AtomicU32::new(0),
            name_len: AtomicU32::new(0),
            poll_seq: AtomicU32::new(0),
            state: AtomicU32::new(0),
            polls: AtomicU64::new(0),
            last_poll_start_ns: AtomicU64::new(0),
            last_poll_end_ns: AtomicU64::new(0),
            wait_address: AtomicU64::new(0),
            wait_location: AtomicPtr::new(NONE.cast()),
            wait_reason: AtomicU32::new(0),
            thread: AtomicU32::new(0),
            busy_ns: AtomicU64::new(0),
            task_header: AtomicU64::new(0),
            kind: AtomicU32::new(0),
            number: AtomicU32::new(0),
            chain_seq: AtomicU32::new(0),
            chain_lost: AtomicU16::new(0),
            chain_last: AtomicU8::new(0),
            chain_used: AtomicU8::new(0),
            chain: [const { AtomicU64::new(0) }; CHAIN_SLOTS],
        }
    }

    /// The next free entry of the same batch.
    #[inline(always)]
    pub(crate) fn next_in_batch(&self) -> &AtomicU32 {
        &self.thread
    }

    /// For the first entry of a batch: the first entry of the next batch.
    #[inline(always)]
    pub(crate) fn next_batch(&self) -> &AtomicU32 {
        &self.wait_reason
    }
}

/// Offsets of an entry's fields, by the index that the format gives them.
pub const ENTRY_OFFSETS: [u32; 32] = {
    let mut offsets = [ABSENT; 32];
    let known = [
        offset_of!(Entry, seq),
        offset_of!(Entry, generation),
        offset_of!(Entry, id),
        offset_of!(Entry, parent_id),
        offset_of!(Entry, spawned_ns),
        offset_of!(Entry, location),
        offset_of!(Entry, type_name),
        offset_of!(Entry, name),
        offset_of!(Entry, type_name_len),
        offset_of!(Entry, name_len),
        offset_of!(Entry, poll_seq),
        offset_of!(Entry, state),
        offset_of!(Entry, polls),
        offset_of!(Entry, last_poll_start_ns),
        offset_of!(Entry, last_poll_end_ns),
        offset_of!(Entry, wait_address),
        offset_of!(Entry, wait_location),
        offset_of!(Entry, wait_reason),
        offset_of!(Entry, thread),
        offset_of!(Entry, busy_ns),
        offset_of!(Entry, task_header),
        offset_of!(Entry, kind),
        offset_of!(Entry, number),
        offset_of!(Entry, chain_seq),
        offset_of!(Entry, chain_lost),
        offset_of!(Entry, chain_last),
        offset_of!(Entry, chain),
    ];
    let mut i = 0;
    while i < known.len() {
        offsets[i] = known[i] as u32;
        i += 1;
    }
    offsets
};
/// How many of [`ENTRY_OFFSETS`] are used.
pub const ENTRY_FIELDS: u32 = 27;

/// A place in the source. Never changes and lives for ever.
///
/// Made by [`place!`](crate::place) or, inside the crate, from the caller's location.
#[repr(C)]
#[derive(Debug)]
pub struct Location {
    pub(crate) file: *const u8,
    pub(crate) name: *const u8,
    pub(crate) file_len: u32,
    pub(crate) name_len: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) flags: u64,
}

/// Offsets of a location's fields, by the index that the format gives them.
pub const LOCATION_OFFSETS: [u32; 8] = [
    offset_of!(Location, file) as u32,
    offset_of!(Location, name) as u32,
    offset_of!(Location, file_len) as u32,
    offset_of!(Location, name_len) as u32,
    offset_of!(Location, line) as u32,
    offset_of!(Location, column) as u32,
    offset_of!(Location, flags) as u32,
    ABSENT,
];
/// How many of [`LOCATION_OFFSETS`] are used.
pub const LOCATION_FIELDS: u32 = 7;

impl Location {
    /// A place with a chosen name; an empty one for none.
    pub const fn new(file: &'static str, line: u32, column: u32, name: &'static str) -> Location {
        Location {
            file: file.as_ptr(),
            name: name.as_ptr(),
            file_len: clamp(file.len()),
            name_len: clamp(name.len()),
            line,
            column,
            flags: 0,
        }
    }

    /// The same place, marked so that its name is the function's.
    #[must_use]
    pub const fn in_function(mut self) -> Location {
        self.flags |= LOCATION_FUNCTION;
        self
    }

    /// Line in the file, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }
}

const fn clamp(len: usize) -> u32 {
    if len > u32::MAX as usize { u32::MAX } else { len as u32 }
}

/// The kind of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
#[non_exhaustive]
pub enum Kind {
    /// An async task.
    #[default]
    Async = 0,
    /// A job on a pool of blocking threads.
    Blocking = 1,
    /// A thread.
    Thread = 2,
    /// An actor.
    Actor = 3,
    /// A fiber or green thread.
    Fiber = 4,
    /// An async task that is bound to one thread.
    Local = 5,
    /// A callback or timer.
    Callback = 6,
    /// A future that is tracked inside another task.
    Inner = 7,
}

/// The state of a task in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum State {
    Free = 0,
    Created = 1,
    Running = 2,
    Waiting = 3,
    Finished = 4,
    Ready = 5,
}

/// Why a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
#[non_exhaustive]
pub enum WaitReason {
    /// Not said.
    #[default]
    Unknown = 0,
    /// Room in a channel.
    ChannelSend = 1,
    /// A message from a channel.
    ChannelReceive = 2,
    /// A lock.
    Lock = 3,
    /// A lock, for reading.
    ReadLock = 4,
    /// A lock, for writing.
    WriteLock = 5,
    /// A semaphore.
    Semaphore = 6,
    /// A notification or condition.
    Notification = 7,
    /// The end of another task.
    Join = 8,
    /// A time.
    Sleep = 9,
    /// Something to read.
    Read = 10,
    /// Room to write.
    Write = 11,
    /// Other input or output.
    Io = 12,
    /// The others at a barrier.
    Barrier = 13,
    /// Several things at once.
    Select = 14,
    /// Its next turn.
    Yield = 15,
    /// A blocking call.
    BlockingCall = 16,
    /// Work to do.
    Work = 17,
}

/// What runs the tasks of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
#[non_exhaustive]
pub enum RuntimeKind {
    /// Not said.
    #[default]
    Other = 0,
    /// Tokio.
    Tokio = 1,
    /// A pool of threads.
    ThreadPool = 2,
    /// Actors.
    Actors = 3,
    /// Another async executor.
    Executor = 4,
    /// Fibers or green threads.
    Fibers = 5,
    /// An event loop.
    EventLoop = 6,
}

const _: () = assert!(size_of::<Entry>() == 256);
const _: () = assert!(size_of::<Location>() == 40);
