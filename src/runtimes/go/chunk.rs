//! Goroutines that are read together.

use super::goroutine::Goroutine;
use super::waits::{RawChannel, RawWait};

/// Goroutines read at a time: few enough for their stacks to stay in the cache, many enough for few system
/// calls.
pub(super) const CHUNK: usize = 1024;

/// The result of reading some goroutines.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Goroutines that have not run since the last reading: their rows say all.
    pub(super) same: Vec<Same>,
    /// What is in the channels that they wait for, where that may have changed: the numbers of the waits.
    pub(super) channels: Vec<(u32, Option<RawChannel>)>,
    /// All other goroutines.
    pub(super) goroutines: Vec<Goroutine>,
    pub(super) waits: Vec<RawWait>,
    /// Running goroutines, which are read through their threads.
    pub(super) running: Vec<u64>,
    pub(super) retried: u64,
    pub(super) torn: u64,
    pub(super) ended: u64,
    /// Goroutines whose structs cannot be read.
    pub(super) missing: u64,
}

/// A goroutine that has not run since the last reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Same {
    /// Its row in what is known.
    pub(super) row: u32,
    /// What its `waitsince` is now.
    pub(super) since: i64,
    /// Nor had it between that reading and the one before.
    pub(super) settled: bool,
}
