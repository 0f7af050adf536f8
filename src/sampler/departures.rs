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
