//! The registry itself: header, chunks of entries, free entries.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::format::{
    CHAIN_SLOTS, CHUNKS, ENTRY_FIELDS, ENTRY_OFFSETS, Entry, FIRST_CHUNK_ENTRIES, LOCATION_FIELDS,
    LOCATION_OFFSETS, Location, MAGIC, MAJOR, MINOR, RuntimeKind,
};
use crate::seqlock::{END, FreeList};
use crate::sys::{self, StaticRef};

/// Entries that a registry creates at most by default: 256 MiB if all are used.
pub const DEFAULT_LIMIT: u32 = 1 << 20;
/// The highest possible limit: the number of entries in as many chunks as readers accept.
const MOST_ENTRIES: u32 = 1 << NUMBER_BITS;
/// Bits of [`Entry::number`] that are the entry's number in its registry; the higher bits are the number of
/// the registry itself.
const NUMBER_BITS: u32 = 26;
/// Registries of one copy of the crate: as many as a reader reads.
const REGISTRIES: usize = 64;
/// Free entries move between threads in batches of this many; a thread keeps two batches at most.
const BATCH: u32 = 16;

/// Keeps counters that different threads write on different cache lines.
#[repr(C, align(64))]
struct Line<T>(T);

/// The fields that seldom change.
#[repr(C)]
struct Rare {
    dropped: AtomicU64,
    strings_dropped: AtomicU64,
    high_water: AtomicU32,
    /// Not part of the format: the number of this registry in this copy of the crate. 0 for the main one, and
    /// for any registry that has no number yet.
    number: AtomicU32,
}

/// A set of tasks that loiter can read from outside.
///
/// Most programs use the existing registry, [`Registry::main`]. A program that wants to keep some tasks
/// separate makes a static of its own:
///
/// ```
/// use loiter_registry::{Registration, Registry, RuntimeKind};
///
/// static ACTORS: Registry = Registry::new("actors", RuntimeKind::Actors);
/// let task = Registration::new().name("mailbox").registry(&ACTORS).register();
/// assert!(task.id().is_some());
/// ```
#[repr(C, align(64))]
pub struct Registry {
    magic: [u8; 8],
    major: u16,
    minor: u16,
    header_size: u32,
    entry_size: u32,
    location_size: u32,
    n_fields: u32,
    n_location_fields: u32,
    field_off: [u32; 32],
    location_off: [u32; 8],
    first_chunk_entries: u32,
    n_chunks: u32,
    chain_slots: u32,
    runtime_kind: AtomicU32,
    clock_id: AtomicU32,
    poll_clock_id: AtomicU32,
    flags: AtomicU32,
    pid: AtomicU32,
    name: AtomicPtr<u8>,
    name_len: u32,
    epoch: AtomicU32,
    producer: AtomicPtr<u8>,
    producer_len: u32,
    entry_limit: AtomicU32,
    next_registry: StaticRef<Registry>,
    chunk: [AtomicPtr<Entry>; CHUNKS],
    _reserved: [u64; 7],
    spawned: Line<AtomicU64>,
    finished: Line<AtomicU64>,
    rare: Line<Rare>,
    free: Line<FreeList>,
}

const PRODUCER: &str = concat!("loiter-registry ", env!("CARGO_PKG_VERSION"));

/// The registry that this copy of the crate provides, to which the note points.
pub(crate) static MAIN: Registry = Registry::new("", RuntimeKind::Other);

/// The registries of this copy of the crate by number, from 1; the main one is number 0.
static NUMBERED: [StaticRef<Registry>; REGISTRIES] = [const { StaticRef::none() }; REGISTRIES];

impl Registry {
    /// A registry with a name chosen by the program, to be put into a static.
    pub const fn new(name: &'static str, runtime: RuntimeKind) -> Registry {
        Registry {
            magic: MAGIC,
            major: MAJOR,
            minor: MINOR,
            header_size: size_of::<Registry>() as u32,
            entry_size: size_of::<Entry>() as u32,
            location_size: size_of::<Location>() as u32,
            n_fields: ENTRY_FIELDS,
            n_location_fields: LOCATION_FIELDS,
            field_off: ENTRY_OFFSETS,
            location_off: LOCATION_OFFSETS,
            first_chunk_entries: FIRST_CHUNK_ENTRIES,
            n_chunks: CHUNKS as u32,
            chain_slots: CHAIN_SLOTS as u32,
            runtime_kind: AtomicU32::new(runtime as u32),
            clock_id: AtomicU32::new(libc::CLOCK_MONOTONIC_COARSE as u32),
            poll_clock_id: AtomicU32::new(libc::CLOCK_MONOTONIC_COARSE as u32),
            flags: AtomicU32::new(0),
            pid: AtomicU32::new(0),
            name: AtomicPtr::new(name.as_ptr().cast_mut()),
            name_len: name.len() as u32,
            epoch: AtomicU32::new(0),
            producer: AtomicPtr::new(PRODUCER.as_ptr().cast_mut()),
            producer_len: PRODUCER.len() as u32,
            entry_limit: AtomicU32::new(DEFAULT_LIMIT),
            next_registry: StaticRef::none(),
            chunk: [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS],
            _reserved: [0; 7],
            spawned: Line(AtomicU64::new(0)),
            finished: Line(AtomicU64::new(0)),
            rare: Line(Rare {
                dropped: AtomicU64::new(0),
                strings_dropped: AtomicU64::new(0),
                high_water: AtomicU32::new(0),
                number: AtomicU32::new(0),
            }),
            free: Line(FreeList::new()),
        }
    }

    /// The registry that tasks go to by default.
    pub fn main() -> &'static Registry {
        &MAIN
    }

    /// Limits the number of entries that are ever created, and so the memory: 256 bytes each. Tasks without
    /// an entry run as usual and are counted, see [`Registry::dropped`]. At most 2^26.
    pub fn set_limit(&self, entries: u32) {
        self.entry_limit.store(entries.min(MOST_ENTRIES), Ordering::Relaxed);
    }

    /// Takes times from CLOCK_MONOTONIC instead of CLOCK_MONOTONIC_COARSE, which is a few milliseconds late
    /// and costs a third. For polls that are to be timed individually. Call it at the start: times already
    /// taken keep their precision.
    pub fn use_precise_clock(&self) {
        self.clock_id.store(libc::CLOCK_MONOTONIC as u32, Ordering::Relaxed);
        self.poll_clock_id.store(libc::CLOCK_MONOTONIC as u32, Ordering::Relaxed);
    }

    /// Tasks registered since the start.
    pub fn spawned(&self) -> u64 {
        self.spawned.0.load(Ordering::Relaxed)
    }

    /// How many of these are over.
    pub fn finished(&self) -> u64 {
        self.finished.0.load(Ordering::Relaxed)
    }

    /// Tasks that were not registered because the limit was reached.
    pub fn dropped(&self) -> u64 {
        self.rare.0.dropped.load(Ordering::Relaxed)
    }

    /// Names and places that were not kept because there were too many different ones.
    pub fn strings_dropped(&self) -> u64 {
        self.rare.0.strings_dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn string_dropped(&self) {
        self.rare.0.strings_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Says what runs the tasks, if that has not been said before.
    #[cfg(feature = "tokio")]
    pub(crate) fn suggest_runtime(&self, kind: RuntimeKind) {
        if self.runtime_kind.load(Ordering::Relaxed) == 0 {
            self.runtime_kind.store(kind as u32, Ordering::Relaxed);
        }
    }

    #[cfg(all(feature = "tokio-hooks", tokio_unstable))]
    pub(crate) fn has_hooks(&self) {
        self.flags.fetch_or(crate::format::FLAG_HOOKS, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        sys::clock(self.clock_id.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn poll_now(&self) -> u64 {
        sys::clock(self.poll_clock_id.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn issue_id(&self) -> u64 {
        self.spawned.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A free entry. None: the limit is reached.
    #[inline]
    pub(crate) fn take(&'static self) -> Option<&'static Entry> {
        if self.pid.load(Ordering::Relaxed) == 0 {
            self.start();
        }
        let reused = if self.is_main() {
            AT_HAND.try_with(Magazine::pop).unwrap_or_else(|_| self.take_batch())
        } else {
            self.take_batch()
        };
        let found = reused.or_else(|| self.grow()).and_then(|number| self.entry(number));
        if found.is_none() {
            self.rare.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Gives an entry back, unless it is from before a fork: its registry no longer exists.
    #[inline]
    pub(crate) fn give_back(&'static self, entry: &'static Entry) {
        let number = entry.number.load(Ordering::Relaxed) & (MOST_ENTRIES - 1);
        if !self.entry(number).is_some_and(|now| std::ptr::eq(now, entry)) {
            return;
        }
        self.finished.0.fetch_add(1, Ordering::Relaxed);
        if !self.is_main() || AT_HAND.try_with(|own| own.push(number, entry)).is_err() {
            entry.next_in_batch().store(END, Ordering::Relaxed);
            self.free.0.push(number, entry.next_batch());
        }
    }

    /// The registry that an entry belongs to.
    #[inline(always)]
    pub(crate) fn of(entry: &Entry) -> &'static Registry {
        match entry.number.load(Ordering::Relaxed) >> NUMBER_BITS {
            0 => &MAIN,
            number => Registry::numbered(number),
        }
    }

    #[cold]
    fn numbered(number: u32) -> &'static Registry {
        NUMBERED.get(number as usize).and_then(StaticRef::load).unwrap_or(&MAIN)
    }

    #[inline(always)]
    fn is_main(&self) -> bool {
        std::ptr::eq(self, &MAIN)
    }

    /// The first of a batch of linked free entries. Without a magazine for the others, batches contain one entry.
    fn take_batch(&self) -> Option<u32> {
        self.free.0.pop(|number| Some(self.entry(number)?.next_batch()))
    }

    #[inline(always)]
    pub(crate) fn entry(&self, index: u32) -> Option<&'static Entry> {
        let number = index as usize + FIRST_CHUNK_ENTRIES as usize;
        let chunk = number.ilog2() - FIRST_CHUNK_ENTRIES.ilog2();
        let entries = (FIRST_CHUNK_ENTRIES as usize) << chunk;
        sys::entry_at(self.chunk.get(chunk as usize)?, number - entries, entries)
    }

    #[cold]
    fn grow(&self) -> Option<u32> {
        if !self.is_main() && self.rare.0.number.load(Ordering::Acquire) == 0 {
            return None; // there are too many registries: no reader would find it
        }
        let limit = self.entry_limit.load(Ordering::Relaxed);
        let mut index = self.rare.0.high_water.load(Ordering::Relaxed);
        loop {
            if index >= limit {
                return None;
            }
            let chunk = (index as usize + FIRST_CHUNK_ENTRIES as usize).ilog2() - FIRST_CHUNK_ENTRIES.ilog2();
            let entries = (FIRST_CHUNK_ENTRIES as usize) << chunk;
            if !sys::ensure_chunk(self.chunk.get(chunk as usize)?, entries) {
                return None;
            }
            match self.rare.0.high_water.compare_exchange_weak(
                index,
                index + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    let registry = self.rare.0.number.load(Ordering::Relaxed);
                    self.entry(index)?.number.store(registry << NUMBER_BITS | index, Ordering::Relaxed);
                    return Some(index);
                }
                Err(now) => index = now,
            }
        }
    }

    /// Called before the first task: records which process owns the registry, and makes sure that it is found.
    #[cold]
    fn start(&'static self) {
        static WATCHING: AtomicBool = AtomicBool::new(false);
        sys::keep_note();
        if !WATCHING.swap(true, Ordering::AcqRel) {
            sys::watch_forks(restart_all);
        }
        if !self.is_main() {
            self.enlist();
        }
        self.pid.store(sys::pid(), Ordering::Release);
    }

    /// Gives this registry a number, and links it after the main one, before those that are already there. It
    /// does so once, in the thread that is first.
    fn enlist(&'static self) {
        for (number, place) in NUMBERED.iter().enumerate().skip(1) {
            match place.replace(None, self) {
                Ok(()) => {
                    self.rare.0.number.store(number as u32, Ordering::Release);
                    return self.link();
                }
                // Another thread does the same; this one does not wait for it.
                Err(Some(first)) if std::ptr::eq(first, self) => {
                    return self.rare.0.number.store(number as u32, Ordering::Release);
                }
                Err(_) => {}
            }
        }
    }

    fn link(&'static self) {
        let mut next = MAIN.next_registry.load();
        loop {
            self.next_registry.store_relaxed(next);
            match MAIN.next_registry.replace(next, self) {
                Ok(()) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Forgets all tasks. Called in the child of a fork, before anything else runs there: the parent's
    /// entries stay mapped for the tasks that still refer to them, and are not read again.
    fn restart(&self) {
        if self.pid.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.rare.0.high_water.store(0, Ordering::Relaxed);
        for chunk in &self.chunk {
            chunk.store(std::ptr::null_mut(), Ordering::Relaxed);
        }
        for counter in [&self.spawned.0, &self.finished.0, &self.rare.0.dropped, &self.rare.0.strings_dropped]
        {
            counter.store(0, Ordering::Relaxed);
        }
        self.free.0.clear();
        self.pid.store(sys::pid(), Ordering::Release);
    }

    /// The bytes of the header as a reader sees them, for tests of the format.
    #[doc(hidden)]
    pub fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("spawned", &self.spawned())
            .field("finished", &self.finished())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// [`Registry::restart`] for all of them, in the child of a fork.
extern "C" fn restart_all() {
    crate::current::forget_thread();
    MAIN.restart();
    for registry in std::iter::successors(MAIN.next_registry.load(), |last| last.next_registry.load()) {
        registry.restart();
    }
}

/// Free entries of the main registry that a thread keeps, so that threads do not contend for the head of the
/// list at every spawn and end: two batches, each linked through its entries.
struct Magazine {
    epoch: Cell<u32>,
    /// The batch that entries are taken from and given to; [`END`] if it is empty.
    open: Cell<u32>,
    /// The maximum number of its entries.
    len: Cell<u32>,
    /// A full batch, or [`END`].
    full: Cell<u32>,
}

thread_local! {
    static AT_HAND: Magazine = const {
        Magazine { epoch: Cell::new(0), open: Cell::new(END), len: Cell::new(0), full: Cell::new(END) }
    };
}

impl Magazine {
    #[inline(always)]
    fn pop(&self) -> Option<u32> {
        self.forget_before_fork();
        if self.open.get() == END {
            self.open.set(self.another_batch()?);
            self.len.set(BATCH);
        }
        let number = self.open.get();
        let next = MAIN.entry(number)?.next_in_batch().load(Ordering::Relaxed);
        self.open.set(next);
        self.len.set(if next == END { 0 } else { self.len.get().saturating_sub(1) });
        Some(number)
    }

    #[inline(always)]
    fn push(&self, number: u32, entry: &Entry) {
        self.forget_before_fork();
        if self.len.get() >= BATCH {
            let full = self.full.replace(self.open.replace(END));
            self.len.set(0);
            Self::give_away(full);
        }
        entry.next_in_batch().store(self.open.replace(number), Ordering::Relaxed);
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    fn another_batch(&self) -> Option<u32> {
        match self.full.replace(END) {
            END => MAIN.take_batch(),
            full => Some(full),
        }
    }

    /// Gives a batch to other threads.
    #[inline]
    fn give_away(batch: u32) {
        if batch != END
            && let Some(entry) = MAIN.entry(batch)
        {
            MAIN.free.0.push(batch, entry.next_batch());
        }
    }

    /// Numbers from before a fork are meaningless after it.
    #[inline(always)]
    fn forget_before_fork(&self) {
        let epoch = MAIN.epoch.load(Ordering::Relaxed);
        if self.epoch.get() != epoch {
            self.epoch.set(epoch);
            self.open.set(END);
            self.len.set(0);
            self.full.set(END);
        }
    }
}

impl Drop for Magazine {
    fn drop(&mut self) {
        self.forget_before_fork();
        Self::give_away(self.open.replace(END));
        Self::give_away(self.full.replace(END));
    }
}

const _: () = assert!(size_of::<Registry>() == 768);
const _: () = assert!(std::mem::offset_of!(Registry, chunk) == 264);
const _: () = assert!(std::mem::offset_of!(Registry, spawned) == 512);
const _: () = assert!(std::mem::offset_of!(Registry, free) == 704);
