//! How much of a process one search for holders may look at.

use super::stopped::{Candidate, MAX_STACK};
use crate::runtimes::go::mark;

/// Bytes of stacks that are read in all.
const MAX_BYTES: u64 = 32 << 20;
/// Goroutines that are looked at.
const MAX_TASKS: usize = 16 << 10;

/// How many goroutines may still be looked at.
pub(super) struct Budget {
    bytes: u64,
    tasks: usize,
    /// Goroutines that were not looked at.
    pub(super) left_out: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { bytes: MAX_BYTES, tasks: MAX_TASKS, left_out: 0 }
    }

    /// Nobody else is looked at.
    pub(super) fn end(&mut self) {
        self.tasks = 0;
    }

    /// Those of a batch for which there is enough left.
    pub(super) fn take(&mut self, mut batch: Vec<Candidate>) -> Vec<Candidate> {
        batch.retain(|candidate| {
            // What is read is at most the stack; of most, much less.
            let bytes = candidate.task.mark.map_or(0, mark::stack_depth).min(MAX_STACK);
            let enough = self.bytes >= bytes && self.tasks > 0;
            if enough {
                self.bytes -= bytes;
                self.tasks -= 1;
            } else {
                self.left_out += 1;
            }
            enough
        });
        batch
    }
}
