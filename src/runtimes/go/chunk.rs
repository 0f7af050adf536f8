//! Goroutines that are read together.

use super::goroutine::Goroutine;
use super::waits::RawWait;

/// Goroutines read at a time: few enough for their stacks to stay in the cache, many enough for few system
/// calls.
pub(super) const CHUNK: usize = 1024;

/// The result of reading some goroutines.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Positions in the piece of goroutines that have not run since the last reading: their rows say all.
    pub(super) same: Vec<u32>,
    /// All others.
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
