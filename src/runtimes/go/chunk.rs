//! What is read of some goroutines together.

use super::goroutine::Goroutine;
use super::waits::RawWait;

/// The result of reading some goroutines.
#[derive(Debug, Default)]
pub(super) struct Chunk {
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
