//! How much one search for holders may cost.

use std::cell::Cell;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::stopped::{Candidate, MAX_STACK};

/// Bytes of stacks that are read in all.
const MAX_BYTES: u64 = 32 << 20;
/// Goroutines that are looked at.
const MAX_TASKS: usize = 16 << 10;

/// CPU time of the calling thread: how busy the machine is must not change what is found.
#[derive(Debug)]
pub(super) struct Clock {
    began: Duration,
    limit: Duration,
    is_over: Cell<bool>,
}

impl Clock {
    /// A clock that allows this much from now on.
    pub(super) fn new(limit: Duration) -> Self {
        Clock { began: thread_time(), limit, is_over: Cell::new(false) }
    }

    /// Looks at the time. Costs a system call.
    pub(super) fn look(&self) {
        if self.spent() >= self.limit {
            self.is_over.set(true);
        }
    }

    /// Was it over when it was last looked at?
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// What has been used so far.
    pub(super) fn spent(&self) -> Duration {
        thread_time().saturating_sub(self.began)
    }

    /// Was most of the time still left when so much had been used? Whoever takes longer from then on always
    /// will.
    pub(super) fn was_early(&self, spent: Duration) -> bool {
        spent < self.limit / 4
    }
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

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
            let bytes = candidate.task.mark.map_or(0, |mark| mark >> 8).min(MAX_STACK);
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
