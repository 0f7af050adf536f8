//! How much of a process one search for holders may read.

use super::stopped::{Candidate, MAX_STACK};
use crate::runtimes::go::mark;

/// Total bytes of stacks that are read.
const MAX_BYTES: u64 = 32 << 20;
/// Goroutines that are examined.
const MAX_TASKS: usize = 16 << 10;

/// How many goroutines may still be examined.
pub(super) struct Budget {
    bytes: u64,
    tasks: usize,
    /// Goroutines that were not examined.
    pub(super) left_out: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { bytes: MAX_BYTES, tasks: MAX_TASKS, left_out: 0 }
    }

    /// No more goroutines are examined.
    pub(super) fn end(&mut self) {
        self.tasks = 0;
    }

    /// The candidates of a batch that the budget still covers.
    pub(super) fn take(&mut self, mut batch: Vec<Candidate>) -> Vec<Candidate> {
        batch.retain(|candidate| {
            // At most the whole stack is read, mostly much less.
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
