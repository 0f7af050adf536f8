//! CPU time, as the kernel counts it.

use crate::process::proc::Stat;
use crate::process::ticks_per_second;

/// CPU time of a process, with the threads that have ended. The kernel counts in ticks, usually of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CpuTime {
    /// In the program, nanoseconds.
    pub(super) user_ns: u64,
    /// In the kernel, nanoseconds.
    pub(super) system_ns: u64,
}

impl CpuTime {
    /// Of a process. None if it has gone.
    pub(super) fn of(pid: u32) -> Option<CpuTime> {
        let stat = Stat::read(pid).ok()?;
        let tick_ns = 1_000_000_000 / ticks_per_second();
        let ns = |ticks: u64| ticks.saturating_mul(tick_ns);
        Some(CpuTime { user_ns: ns(stat.utime), system_ns: ns(stat.stime) })
    }
}
