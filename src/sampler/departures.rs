//! Samples of threads at the moment when they leave their CPU: where each wait begins, however short it is.
//!
//! They have rings of their own: when these run full, no record of a switch is lost, and times stay exact.

use super::attr;
use super::cpus::Cpus;
use super::events::{Events, Failure, Scope};
use super::options::SamplerOptions;
use super::pages::Pages;
use super::sys;
use crate::process::proc;

/// Events that are opened at most: one for each thread on each CPU.
const MOST_EVENTS: usize = 1 << 14;

/// Samples in a window of time. With more, none are taken until the next window: each costs the process some
/// microseconds, so that this is a tenth of a CPU.
const MOST_IN_WINDOW: u64 = 2_000;
const WINDOW_NS: u64 = 100_000_000;

/// Bounds how many samples are taken.
#[derive(Debug, Default)]
pub(super) struct Pace {
    window_ns: u64,
    /// Samples until the window began.
    before: u64,
    paused_since_ns: Option<u64>,
    /// How long none were taken, nanoseconds.
    paused_ns: u64,
}

impl Pace {
    /// What is to be done after so many samples: pause (true), go on (false), or nothing.
    pub(super) fn step(&mut self, now_ns: u64, samples: u64) -> Option<bool> {
        if now_ns.saturating_sub(self.window_ns) >= WINDOW_NS {
            (self.window_ns, self.before) = (now_ns, samples);
            self.paused_ns = self.paused_ns(now_ns);
            return self.paused_since_ns.take().map(|_| false);
        }
        let is_enough = samples.saturating_sub(self.before) >= MOST_IN_WINDOW;
        (is_enough && self.paused_since_ns.is_none()).then(|| {
            self.paused_since_ns = Some(now_ns);
            true
        })
    }

    /// How long none were taken so far, nanoseconds.
    pub(super) fn paused_ns(&self, now_ns: u64) -> u64 {
        let now = self.paused_since_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns));
        self.paused_ns.saturating_add(now)
    }
}

/// Opens the events, or says in a sentence why not. They take the right to sample the kernel.
pub(super) fn open(pid: u32, options: &SamplerOptions) -> Result<Events, String> {
    let cpus = Cpus::online().into_iter().count();
    let threads = proc::threads(pid).map_or(1, |tids| tids.len());
    if threads.saturating_mul(cpus) > MOST_EVENTS {
        return Err(because(&format!("{threads} threads on {cpus} CPUs take too many perf events")));
    }
    let (mut pages, mut may_raise) = (Pages::for_departures(cpus), true);
    loop {
        let attr = attr::of_departures(options, pages);
        match Events::open(pid, attr, Scope::ThreadsOnCpus, pages) {
            Ok(events) => return Ok(events),
            Err(Failure::Ring(error)) => {
                pages = pages.halved().ok_or_else(|| because(&format!("no ring can be mapped ({error})")))?;
            }
            Err(Failure::Files(_)) if may_raise && sys::raise_open_files() => may_raise = false,
            Err(Failure::Files(error)) => {
                return Err(because(&format!("loiter may open no more files ({error})")));
            }
            Err(Failure::Ended) => return Err(because("the process has ended")),
            Err(Failure::Refused(error)) => {
                return Err(because(&format!("the kernel refuses the event context-switches ({error})")));
            }
            Err(Failure::Other { what, error }) => return Err(because(&format!("{what}: {error}"))),
        }
    }
}

fn because(reason: &str) -> String {
    format!("Where threads begin to wait is not sampled, so that short waits have no owner: {reason}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_samples_pause_until_the_next_window() {
        let mut pace = Pace::default();
        assert_eq!(pace.step(WINDOW_NS, 5), None, "the first window begins");
        assert_eq!(pace.step(WINDOW_NS + 10, 4 + MOST_IN_WINDOW), None);
        assert_eq!(pace.step(WINDOW_NS + 20, 5 + MOST_IN_WINDOW), Some(true));
        assert_eq!(pace.step(WINDOW_NS + 30, 9 + MOST_IN_WINDOW), None, "it pauses already");
        assert_eq!(pace.paused_ns(WINDOW_NS + 30), 10);
        assert_eq!(pace.step(2 * WINDOW_NS + 20, 9 + MOST_IN_WINDOW), Some(false));
        assert_eq!(pace.paused_ns(3 * WINDOW_NS), WINDOW_NS);
        assert_eq!(pace.step(2 * WINDOW_NS + 30, 9 + MOST_IN_WINDOW), None);
    }
}
