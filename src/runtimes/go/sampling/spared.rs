//! Work that may cost much, and is done as seldom as that demands.

use std::time::Duration;

use crate::process::{monotonic_ns, thread_cpu_time};

/// It takes at most one part in this many of a core's time.
const SHARE: u64 = 100;

/// When some work may be done again, by the CPU time that it took last: a machine that is busy elsewhere delays nothing.
#[derive(Debug, Default)]
pub(super) struct Spared {
    /// Not before this time, CLOCK_MONOTONIC.
    next_ns: u64,
    /// CPU time of this thread when it began.
    before: Duration,
}

impl Spared {
    /// Whether it may be done now.
    pub(super) fn may_be_done(&self) -> bool {
        monotonic_ns() >= self.next_ns
    }

    /// It begins.
    pub(super) fn begin(&mut self) {
        self.before = thread_cpu_time();
    }

    /// It is done.
    pub(super) fn end(&mut self) {
        let spent = thread_cpu_time().saturating_sub(self.before);
        let rest = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).saturating_mul(SHARE - 1);
        self.next_ns = monotonic_ns().saturating_add(rest);
    }
}
