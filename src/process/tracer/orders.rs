//! The messages between loiter and its tracer process: packets on a socket, and a list of threads to stop in
//! shared memory.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

use crate::process::registers::WORDS;

/// What the tracer is to do.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Order {
    /// One of the numbers below.
    pub(super) what: u32,
    /// How long threads may take to stop, milliseconds.
    pub(super) patience_ms: u32,
    /// When they are let go at the latest, CLOCK_MONOTONIC, nanoseconds. The deadline of the first stop order
    /// applies to those that follow.
    pub(super) deadline_ns: u64,
    /// The [`Block`] of threads to be stopped.
    pub(super) block: usize,
}

/// Stop these threads, and hold them with those that are already held.
pub(super) const STOP: u32 = 1;
/// Let everything go, and answer.
pub(super) const RELEASE: u32 = 2;
/// Let everything go as if the deadline had passed. There is no answer.
pub(super) const LET_GO: u32 = 3;

/// Let everything go, and end. There is no answer.
pub(super) const END: u32 = 4;

/// What the tracer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Answer {
    /// One of the numbers below.
    pub(super) what: u32,
    /// Why it failed (0: it did not fail).
    pub(super) errno: i32,
    /// The tracer ends itself: that is the only way to let go of a thread that does not stop.
    pub(super) ends: u32,
    /// Not used; no byte is left undefined.
    pub(super) zero: u32,
    /// How long something was held, nanoseconds.
    pub(super) held_ns: u64,
}

impl Answer {
    pub(super) const NONE: Answer = Answer { what: 0, errno: 0, ends: 0, zero: 0, held_ns: 0 };
}

/// The tracer is ready for orders, or cannot do its work.
pub(super) const READY: u32 = 1;
/// The threads of the block have been handled. Each has its own outcome.
pub(super) const STOPPED: u32 = 2;
/// Nothing is held any more.
pub(super) const RELEASED: u32 = 3;

/// State that both sides read without a message.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The threads were let go before loiter asked for that. Set before they are.
    pub(super) let_go: AtomicBool,
    /// Loiter knows that the threads that have not stopped will not: they are not waited for any longer.
    pub(super) hopeless: AtomicBool,
}

/// The outcome for a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) enum Outcome {
    /// It was not tried.
    Untouched,
    /// Seized and interrupted; it has not stopped yet.
    Coming,
    /// It is stopped.
    Stopped,
    /// It has ended.
    Gone,
    /// It cannot be seized.
    Refused(Errno),
}

/// A thread to be stopped. Written by the tracer, read by loiter after the answer.
#[derive(Debug)]
pub(in crate::process) struct Thread {
    pub(in crate::process) tid: u32,
    state: AtomicU32,
    errno: AtomicI32,
    /// The signal to deliver when it continues (0: none).
    signal: AtomicI32,
    /// Why its registers are not known (0: they are).
    no_registers: AtomicI32,
    words: [AtomicU64; WORDS],
}

impl Thread {
    fn new(tid: u32) -> Thread {
        Thread {
            tid,
            state: AtomicU32::new(0),
            errno: AtomicI32::new(0),
            signal: AtomicI32::new(0),
            no_registers: AtomicI32::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    pub(in crate::process) fn outcome(&self) -> Outcome {
        match self.state.load(Ordering::Acquire) {
            1 => Outcome::Coming,
            2 => Outcome::Stopped,
            3 => Outcome::Gone,
            4 => Outcome::Refused(Errno::from_raw(self.errno.load(Ordering::Relaxed))),
            _ => Outcome::Untouched,
        }
    }

    pub(super) fn set(&self, outcome: Outcome) {
        let state = match outcome {
            Outcome::Untouched => 0,
            Outcome::Coming => 1,
            Outcome::Stopped => 2,
            Outcome::Gone => 3,
            Outcome::Refused(errno) => {
                self.errno.store(errno as i32, Ordering::Relaxed);
                4
            }
        };
        self.state.store(state, Ordering::Release);
    }

    /// Its id and the reason, if it cannot be seized.
    pub(in crate::process) fn refused(&self) -> Option<(u32, Errno)> {
        match self.outcome() {
            Outcome::Refused(errno) => Some((self.tid, errno)),
            _ => None,
        }
    }

    pub(super) fn signal(&self) -> i32 {
        self.signal.load(Ordering::Relaxed)
    }

    pub(super) fn stopped_by(&self, signal: i32, registers: Result<[u64; WORDS], Errno>) {
        self.signal.store(signal, Ordering::Relaxed);
        match registers {
            Ok(words) => {
                for (to, from) in self.words.iter().zip(words) {
                    to.store(from, Ordering::Relaxed);
                }
                self.no_registers.store(0, Ordering::Relaxed);
            }
            Err(errno) => self.no_registers.store(errno as i32, Ordering::Relaxed),
        }
        self.set(Outcome::Stopped);
    }

    /// The registers of a stopped thread.
    pub(in crate::process) fn registers(&self) -> Result<[u64; WORDS], Errno> {
        match self.no_registers.load(Ordering::Relaxed) {
            0 => Ok(std::array::from_fn(|at| {
                self.words.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
            })),
            errno => Err(Errno::from_raw(errno)),
        }
    }
}

/// Threads that are stopped with one order.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) threads: Box<[Thread]>,
    /// The block of the previous order; only the tracer uses it.
    pub(super) before: AtomicPtr<Block>,
}

impl Block {
    pub(super) fn new(tids: &[u32]) -> Arc<Block> {
        let threads = tids.iter().map(|&tid| Thread::new(tid)).collect();
        Arc::new(Block { threads, before: AtomicPtr::new(ptr::null_mut()) })
    }
}
