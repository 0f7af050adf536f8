//! How much CPU time one search for holders may take.

use std::cell::Cell;
use std::time::Duration;

use crate::process::thread_cpu_time;

/// CPU time of the calling thread: the machine's load must not change what is found.
#[derive(Debug)]
pub(in crate::runtimes::go) struct Clock {
    began: Duration,
    limit: Duration,
    is_over: Cell<bool>,
}

impl Clock {
    /// A clock that allows this much from now on.
    pub(in crate::runtimes::go) fn new(limit: Duration) -> Self {
        Clock { began: thread_cpu_time(), limit, is_over: Cell::new(false) }
    }

    /// Checks the time. Costs a system call.
    pub(in crate::runtimes::go) fn look(&self) {
        if self.spent() >= self.limit {
            self.is_over.set(true);
        }
    }

    /// Was the time used up at the last check?
    pub(in crate::runtimes::go) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// What has been used so far.
    pub(in crate::runtimes::go) fn spent(&self) -> Duration {
        thread_cpu_time().saturating_sub(self.began)
    }

    /// Was most of the time still left after `spent`? An examination that began this early and did not finish
    /// never will.
    pub(in crate::runtimes::go) fn was_early(&self, spent: Duration) -> bool {
        spent < self.limit / 4
    }
}
