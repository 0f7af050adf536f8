//! How much time one search for what leads to causes may take.

use std::time::Duration;

use crate::process::thread_cpu_time;

/// CPU time of the calling thread: the machine's load must not change what is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    end: Duration,
}

impl Budget {
    /// This much from now on.
    pub(super) fn new(limit: Duration) -> Self {
        Budget { end: thread_cpu_time().saturating_add(limit) }
    }

    /// What is left now.
    pub(super) fn left(&self) -> Duration {
        self.end.saturating_sub(thread_cpu_time())
    }

    /// Nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}
