//! The scheduler's own clock, which every CPU has for itself.

use std::io;
use std::thread;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::process::proc;

/// When a thread last ran, nanoseconds on the clock of the CPU that it last ran on. While it sleeps, it is the moment at
/// which it went to sleep. None without CONFIG_SCHED_DEBUG.
pub(super) fn last_ran(path: &str) -> Option<u64> {
    parse(&proc::read_text(path).ok()?)
}

/// The line "se.exec_start : 10381764.123456": milliseconds.
fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("se.exec_start"))?;
    let (_, value) = line.split_once(':')?;
    let (millis, rest) = value.trim().split_once('.')?;
    let rest = rest.get(..6)?;
    millis.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(rest.parse().ok()?)
}

/// What the clock of a CPU shows now, or a moment ago. A thread of loiter runs there for a moment.
///
/// # Errors
/// If loiter may not run on that CPU.
pub(super) fn clock_of(cpu: usize) -> io::Result<u64> {
    let read = move || {
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &only)?;
        // The scheduler notes the time when it is called.
        thread::yield_now();
        last_ran("/proc/thread-self/sched").ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
    };
    let reader = thread::Builder::new().name("clock".to_owned()).stack_size(128 << 10).spawn(read)?;
    reader.join().unwrap_or_else(|_| Err(io::Error::other("the thread has panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_at_which_it_last_ran() {
        let text =
            "x (1, #threads: 1)\n---\nse.exec_start                                :      10381764.000456\n";
        assert_eq!(parse(text), Some(10_381_764_000_456));
        for odd in
            ["", "se.exec_start", "se.exec_start : 1", "se.exec_start : 1.5", "se.exec_start : -1.123456"]
        {
            assert_eq!(parse(odd), None, "{odd}");
        }
        assert_eq!(parse(&format!("se.exec_start : {}.123456", u64::MAX)), None);
    }
}
