//! What each thread of loiter is reading of a target, recorded so that another thread can see whether it
//! progresses.

use std::cell::Cell;
use std::ops::Range as Span;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::{Result, TargetError, sys};

/// A read that makes no progress for this long is given up, unless set otherwise.
const LIMIT: Duration = Duration::from_secs(5);
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data behind these locks is consistent at every moment, so a panic elsewhere does not matter.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one thread is reading.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) tid: u32,
    /// The number of the [`Watch`] that it works for; 0: none.
    pub(super) owner: AtomicU64,
    /// The first address, and the one after the last.
    pub(super) start: AtomicU64,
    pub(super) end: AtomicU64,
    /// Counts the reads.
    pub(super) serial: AtomicU64,
    /// The file, if a file is read and not memory.
    pub(super) file: Mutex<Option<String>>,
}

/// The slots of all threads.
pub(super) static PLACES: Mutex<Vec<Weak<Place>>> = Mutex::new(Vec::new());

thread_local! {
    static PLACE: Arc<Place> = {
        let place = Arc::new(Place { tid: sys::thread_id(), ..Place::default() });
        let mut all = lock(&PLACES);
        all.retain(|place| place.strong_count() > 0);
        all.push(Arc::downgrade(&place));
        place
    };
    /// The number of the [`Watch`] that this thread works for.
    pub(super) static OWNER: Cell<u64> = const { Cell::new(0) };
    /// How long this thread waits for a read that makes no progress.
    pub(super) static PATIENCE: Cell<Duration> = const { Cell::new(LIMIT) };
}

/// From now on the calling thread gives up a read that makes no progress for `limit`, instead of 5 s.
#[cfg(feature = "cli")]
pub(crate) fn be_patient_for(limit: Duration) {
    PATIENCE.set(limit);
}

impl Place {
    fn during<T>(&self, owner: u64, addresses: Span<u64>, read: impl FnOnce() -> T) -> T {
        self.serial.store(self.serial.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.start.store(addresses.start, Ordering::Relaxed);
        self.end.store(addresses.end, Ordering::Relaxed);
        self.owner.store(owner, Ordering::Release);
        let read = read();
        self.owner.store(0, Ordering::Release);
        read
    }
}

/// Runs `work` on a file that may not answer, and records that.
pub(super) fn with_file<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    let owner = OWNER.get();
    if owner == 0 {
        return work();
    }
    PLACE.with(|place| {
        *lock(&place.file) = Some(path.display().to_string());
        let done = place.during(owner, 0..0, work);
        *lock(&place.file) = None;
        done
    })
}

/// Watches the readings of a target.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) number: u64,
    pub(super) pid: u32,
    /// No caller waits for the reading any more: it is to end soon.
    pub(super) given_up: AtomicBool,
}

impl Watch {
    pub(super) fn new(pid: u32) -> Watch {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Watch { number: NEXT.fetch_add(1, Ordering::Relaxed), pid, given_up: AtomicBool::new(false) }
    }

    /// Reads memory somewhere between two addresses, and records that.
    pub(super) fn during<T>(&self, addresses: Span<u64>, read: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(TargetError::GivenUp { pid: self.pid });
        }
        PLACE.with(|place| place.during(self.number, addresses, read))
    }
}
