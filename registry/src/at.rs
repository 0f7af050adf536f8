//! Await places: the positions in its code where a task awaits.

use std::future::Future;
use std::panic;
use std::pin::Pin;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::current::{self, InPlace, Wait};
use crate::format::{Entry, Location, NO_SLOT, WaitReason};
use crate::{places, seqlock};

/// Marks the places where futures are awaited.
pub trait AwaitExt: Future + Sized {
    /// Marks the place of this call, with a name for it: while the future is pending, loiter shows the place
    /// in the stack of the task.
    ///
    /// ```
    /// # async fn read(_: u32) -> u32 { 1 }
    /// use loiter_registry::AwaitExt;
    ///
    /// # async fn main_job() {
    /// let answer = read(7).at("reading the answer").await;
    /// # }
    /// ```
    #[track_caller]
    fn at(self, name: &'static str) -> At<Self> {
        At::new(self, places::of_caller(panic::Location::caller(), name))
    }

    /// Says what the task waits for while this future is pending: a reason, and the address of a lock, a
    /// channel or another object that other tasks may wait for too.
    fn waiting_for<T: ?Sized>(self, reason: WaitReason, object: *const T) -> Waiting<Self> {
        let address = object.cast::<()>().addr() as u64;
        Waiting { inner: self, wait: Wait { reason, address, text: None } }
    }

    /// The same, with a reason in the program's own words.
    #[track_caller]
    fn waiting_because<T: ?Sized>(self, reason: &'static str, object: *const T) -> Waiting<Self> {
        let address = object.cast::<()>().addr() as u64;
        let text = places::of_caller(panic::Location::caller(), reason);
        Waiting { inner: self, wait: Wait { reason: WaitReason::Unknown, address, text } }
    }
}

impl<F: Future> AwaitExt for F {}

/// A static [`Location`] of the place of this call, with the name of the surrounding function or with a given name.
///
/// ```
/// let here = loiter_registry::place!("waiting for the parser");
/// assert_eq!(here.line(), line!() - 1);
/// ```
#[macro_export]
macro_rules! place {
    () => {{
        fn here() {}
        static HERE: ::std::sync::OnceLock<$crate::Location> = ::std::sync::OnceLock::new();
        HERE.get_or_init(|| {
            let function = $crate::function_around(::std::any::type_name_of_val(&here));
            $crate::Location::new(file!(), line!(), column!(), function).in_function()
        })
    }};
    ($name:expr) => {{
        static HERE: $crate::Location = $crate::Location::new(file!(), line!(), column!(), $name);
        &HERE
    }};
}

/// Marks a future with the function, file and line of this call, or with a name, file and line.
///
/// ```
/// use loiter_registry::at;
/// # async fn read(_: u32) -> u32 { 1 }
///
/// async fn main_job() -> u32 {
///     at!(read(7)).await + at!(read(8), "the second one").await
/// }
/// ```
#[macro_export]
macro_rules! at {
    ($future:expr) => {
        $crate::At::new($future, Some($crate::place!()))
    };
    ($future:expr, $name:expr) => {
        $crate::At::new($future, Some($crate::place!($name)))
    };
}

/// The function in which a function `here` was defined, from the name of the type of `here`.
#[doc(hidden)]
pub fn function_around(here: &'static str) -> &'static str {
    let mut name = here.strip_suffix("::here").unwrap_or(here);
    while let Some(shorter) = name.strip_suffix("::{{closure}}") {
        name = shorter;
    }
    name
}

pin_project! {
    /// A future whose place is marked while it is pending. Made by [`AwaitExt::at`] and
    /// [`at!`](crate::at).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct At<F> {
        #[pin]
        inner: Option<F>,
        held: Held,
    }

    impl<F> PinnedDrop for At<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // The inner future is dropped before its place is released.
            this.inner.set(None);
            this.held.release();
        }
    }
}

impl<F> At<F> {
    /// Marks `location` while `inner` is pending.
    pub fn new(inner: F, location: Option<&'static Location>) -> At<F> {
        At { inner: Some(inner), held: Held { location, entry: None, value: 0, slot: NO_SLOT } }
    }
}

impl<F: Future> Future for At<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            panic!("a marked future was polled after it was finished");
        };
        let result = {
            let _place = InPlace::enter(this.held.hold());
            inner.poll(cx)
        };
        if result.is_ready() {
            this.inner.set(None);
            this.held.release();
        }
        result
    }
}

/// A slot in the chain of a task.
#[derive(Debug)]
struct Held {
    location: Option<&'static Location>,
    entry: Option<&'static Entry>,
    /// The value stored in the slot. 0: the chain was full.
    value: u64,
    slot: u8,
}

impl Held {
    /// Takes a slot of the current task, if none was taken yet. Returns the slot that is around what is polled now.
    #[inline(always)]
    fn hold(&mut self) -> u8 {
        let (entry, around) = current::place();
        let Some(entry) = entry else { return around };
        if !self.entry.is_some_and(|held| std::ptr::eq(held, entry)) || !self.is_there(entry) {
            self.take(entry, around);
        }
        if self.value == 0 {
            return around;
        }
        entry.chain_last.store(self.slot, Relaxed);
        self.slot
    }

    /// Whether the slot is still ours: it is not, if the entry went to another task meanwhile.
    #[inline(always)]
    fn is_there(&self, entry: &Entry) -> bool {
        self.value == 0
            || entry.chain.get(self.slot as usize).is_some_and(|slot| slot.load(Relaxed) == self.value)
    }

    #[cold]
    fn take(&mut self, entry: &'static Entry, around: u8) {
        self.release(); // the future was moved here from another task
        let Some(location) = self.location else { return };
        let serial = u64::from(entry.chain_seq.load(Relaxed)) & 0xff;
        let address = std::ptr::from_ref(location).addr() as u64;
        let value = (address << 16) | (u64::from(around) << 8) | serial;
        self.entry = Some(entry);
        for (number, slot) in entry.chain.iter().enumerate() {
            if slot.load(Relaxed) == 0 && slot.compare_exchange(0, value, Release, Relaxed).is_ok() {
                self.slot = number as u8;
                self.value = value;
                entry.chain_used.fetch_add(1, Relaxed);
                seqlock::changed(&entry.chain_seq);
                return;
            }
        }
        entry.chain_lost.fetch_add(1, Relaxed);
        seqlock::changed(&entry.chain_seq);
    }

    #[inline]
    fn release(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let (value, number) = (std::mem::take(&mut self.value), self.slot);
        if value == 0 {
            // Not below zero: the entry may have been cleared since.
            let _ = entry.chain_lost.fetch_update(Release, Relaxed, |lost| lost.checked_sub(1));
            seqlock::changed(&entry.chain_seq);
            return;
        }
        let Some(slot) = entry.chain.get(number as usize) else { return };
        if entry.chain_last.load(Relaxed) == number {
            entry.chain_last.store((value >> 8) as u8, Relaxed);
        }
        // Compared, because the slot may have been cleared and taken by another task since.
        if slot.compare_exchange(value, 0, Release, Relaxed).is_ok() {
            entry.chain_used.fetch_sub(1, Relaxed);
            seqlock::changed(&entry.chain_seq);
        }
    }
}

/// Empties the chain of a task that is over. It is already empty unless marked futures were forgotten, or
/// outlive the task elsewhere.
#[inline]
pub(crate) fn clear(entry: &Entry) {
    if entry.chain_used.load(Relaxed) != 0 || entry.chain_lost.load(Relaxed) != 0 {
        clear_all(entry);
    }
}

#[cold]
fn clear_all(entry: &Entry) {
    entry.chain_used.store(0, Relaxed);
    entry.chain_last.store(NO_SLOT, Relaxed);
    entry.chain_lost.store(0, Relaxed);
    for slot in &entry.chain {
        slot.store(0, Relaxed);
        seqlock::changed(&entry.chain_seq);
    }
}

pin_project! {
    /// A future that says what it waits for. Made by [`AwaitExt::waiting_for`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Waiting<F> {
        #[pin]
        inner: F,
        wait: Wait,
    }

    impl<F> PinnedDrop for Waiting<F> {
        fn drop(this: Pin<&mut Self>) {
            // The future was cancelled in the same poll in which it was pending.
            current::forget_wait(&this.wait);
        }
    }
}

impl<F: Future> Future for Waiting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let result = this.inner.poll(cx);
        if result.is_pending() {
            current::note_wait(*this.wait);
        }
        result
    }
}
