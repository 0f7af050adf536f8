//! Which task this thread runs, and its current await place.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use crate::format::{Entry, Location, NO_SLOT, WaitReason};
use crate::sys;

/// What a task waits for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wait {
    pub(crate) reason: WaitReason,
    pub(crate) address: u64,
    pub(crate) text: Option<&'static Location>,
}

struct Current {
    entry: Cell<Option<&'static Entry>>,
    /// Slot of the await place that is being polled.
    slot: Cell<u8>,
    thread: Cell<u32>,
    /// What the future that was polled last in this task waits for, as it reported.
    wait: Cell<Option<Wait>>,
}

thread_local! {
    // Without a destructor, so that destructors of other thread-locals can use it, and access costs no check.
    static CURRENT: Current = const {
        Current {
            entry: Cell::new(None),
            slot: Cell::new(NO_SLOT),
            thread: Cell::new(0),
            wait: Cell::new(None),
        }
    };
}

/// Id of the task that this thread runs. None outside registered tasks.
pub fn current_id() -> Option<u64> {
    let entry = CURRENT.with(|current| current.entry.get())?;
    Some(entry.id.load(Ordering::Relaxed))
}

/// The entry of the task that this thread runs, and the slot of the await place around it.
#[inline(always)]
pub(crate) fn place() -> (Option<&'static Entry>, u8) {
    CURRENT.with(|current| (current.entry.get(), current.slot.get()))
}

/// The calling thread's number, requested from the kernel once.
#[inline(always)]
pub(crate) fn thread() -> u32 {
    CURRENT.with(|current| {
        if current.thread.get() == 0 {
            current.thread.set(sys::thread_id());
        }
        current.thread.get()
    })
}

/// Records what the current task waits for, until the end of its poll.
pub(crate) fn note_wait(wait: Wait) {
    CURRENT.with(|current| current.wait.set(Some(wait)));
}

/// Withdraws that record, if it is unchanged.
pub(crate) fn forget_wait(wait: &Wait) {
    CURRENT.with(|current| {
        if current
            .wait
            .get()
            .is_some_and(|noted| noted.address == wait.address && noted.reason == wait.reason)
        {
            current.wait.set(None);
        }
    });
}

/// Takes that record.
#[inline(always)]
pub(crate) fn take_wait() -> Option<Wait> {
    CURRENT.with(|current| current.wait.take())
}

/// After a fork: the only thread of the child has a new number.
pub(crate) fn forget_thread() {
    CURRENT.with(|current| current.thread.set(0));
}

/// Makes a task the current one until this is dropped, also by a panic.
pub(crate) struct InTask {
    entry: Option<&'static Entry>,
    slot: u8,
}

impl InTask {
    #[inline(always)]
    pub(crate) fn enter(entry: Option<&'static Entry>) -> InTask {
        CURRENT.with(|current| {
            current.wait.set(None);
            InTask { entry: current.entry.replace(entry), slot: current.slot.replace(NO_SLOT) }
        })
    }
}

impl Drop for InTask {
    #[inline(always)]
    fn drop(&mut self) {
        CURRENT.with(|current| {
            current.entry.set(self.entry);
            current.slot.set(self.slot);
        });
    }
}

/// Makes an await place the innermost one until this is dropped.
pub(crate) struct InPlace {
    slot: u8,
}

impl InPlace {
    #[inline(always)]
    pub(crate) fn enter(slot: u8) -> InPlace {
        InPlace { slot: CURRENT.with(|current| current.slot.replace(slot)) }
    }
}

impl Drop for InPlace {
    #[inline(always)]
    fn drop(&mut self) {
        CURRENT.with(|current| current.slot.set(self.slot));
    }
}
