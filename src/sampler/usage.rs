//! CPU time of a process and of its threads, as the kernel counts it.

use nix::sys::time::TimeValLike;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::process::{proc, sys};

/// CPU time that a process has used since it started, in threads that have ended, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTime {
    /// All of it, nanoseconds.
    pub total_ns: u64,
    /// In the kernel, nanoseconds. Exact to a tick (10 ms), and on many kernels only sampled at ticks.
    pub kernel_ns: u64,
}

impl CpuTime {
    /// The CPU time of a process until now. None if it is gone. A process that has ended still has it until its parent
    /// notices.
    pub fn of(pid: u32) -> Option<CpuTime> {
        let stat = proc::Stat::read(pid).ok()?;
        let tick_ns = 1_000_000_000 / sys::ticks_per_second();
        let kernel_ns = stat.stime.saturating_mul(tick_ns);
        let in_ticks = stat.utime.saturating_add(stat.stime).saturating_mul(tick_ns);
        // The process's own clock is exact; stat counts ticks.
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok();
        let exact = clock.and_then(|clock| clock_gettime(clock).ok());
        let exact = exact.and_then(|time| u64::try_from(time.num_nanoseconds()).ok());
        let total_ns = exact.unwrap_or(in_ticks);
        Some(CpuTime { total_ns, kernel_ns: kernel_ns.min(total_ns) })
    }

    /// What was used between an earlier reading and this one.
    pub fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            total_ns: self.total_ns.saturating_sub(earlier.total_ns),
            kernel_ns: self.kernel_ns.saturating_sub(earlier.kernel_ns),
        }
    }

    /// In user code, nanoseconds.
    pub fn user_ns(self) -> u64 {
        self.total_ns.saturating_sub(self.kernel_ns)
    }
}

/// What the scheduler has counted of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadTime {
    /// Time on a CPU, nanoseconds. While a thread runs it lags behind by a tick.
    pub ran_ns: u64,
    /// Time that it waited for a CPU, nanoseconds.
    pub waited_ns: u64,
    /// How often it got a CPU.
    pub slices: u64,
}

impl ThreadTime {
    /// From /proc/`pid`/task/`tid`/schedstat. None if the thread is gone or the kernel does not count.
    pub fn of(pid: u32, tid: u32) -> Option<ThreadTime> {
        Self::parse(&proc::read_text(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?)
    }

    fn parse(text: &str) -> Option<ThreadTime> {
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().ok());
        let (ran_ns, waited_ns, slices) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(ThreadTime { ran_ns, waited_ns, slices })
    }
}

/// The name of a thread, at most 15 bytes, as the target chose it. None if it is gone.
pub fn thread_name(pid: u32, tid: u32) -> Option<String> {
    let name = proc::read_text(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
    Some(name.strip_suffix('\n').unwrap_or(&name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_time_grows_by_what_we_use() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).expect("we are there");
        let mut sum = 0_u64;
        while CpuTime::of(pid).expect("we are there").since(before).total_ns < 5_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(before.user_ns() + before.kernel_ns == before.total_ns);
        assert_eq!(CpuTime::of(u32::MAX), None);
    }

    #[test]
    fn schedstat() {
        let parsed = ThreadTime { ran_ns: 5, waited_ns: 6, slices: 7 };
        assert_eq!(ThreadTime::parse("5 6 7\n"), Some(parsed));
        for odd in ["", "5", "5 6", "a 6 7"] {
            assert_eq!(ThreadTime::parse(odd), None, "{odd:?}");
        }
        let pid = std::process::id();
        assert!(ThreadTime::of(pid, pid).is_some());
        assert!(thread_name(pid, pid).is_some_and(|name| !name.ends_with('\n')));
    }
}
