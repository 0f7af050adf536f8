//! Opens the events of a process in the best manner that the kernel allows.

use std::io;

use super::events::{Events, Failure, Manner, Scope};
use super::options::SamplerOptions;
use super::rights::{self, Findings};
use super::sys;
use super::{SamplerError, SamplerFacts};
use crate::process::TargetError;

/// A ring is never smaller, pages.
const FEWEST_PAGES: usize = 8;
/// Bytes of all rings together, where there is one for each thread.
const MOST_BYTES: usize = 256 << 20;

/// Pages of a ring, a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pages(pub(super) usize);

impl Pages {
    /// Enough for four times what is written between two readings.
    fn for_options(options: &SamplerOptions) -> Pages {
        /// Readings are this far apart at most.
        const BETWEEN_READINGS_MS: u64 = 50;
        /// Call chains are up to 127 words in the kernel and in user code each; registers and the rest take 30.
        const SAMPLE_BYTES: u64 = (2 * 127 + 30) * 8;
        /// A CPU that does little else than switch does it this often in a second, with two records each.
        const SWITCHES_HZ: u64 = 50_000;
        const SWITCH_BYTES: u64 = 2 * 48;
        let sample = SAMPLE_BYTES + u64::from(options.stack_bytes);
        let samples = if options.cpu { u64::from(options.rate_hz) * sample } else { 0 };
        let switches = if options.switches { SWITCHES_HZ * SWITCH_BYTES } else { 0 };
        let bytes = 4 * (samples + switches) * BETWEEN_READINGS_MS / 1000;
        let pages = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(sys::page_size());
        Pages(pages.clamp(4 * FEWEST_PAGES, 1 << 14).next_power_of_two())
    }

    /// The same, for this many rings.
    fn for_rings(self, rings: usize) -> Pages {
        let most = MOST_BYTES / sys::page_size() / rings.max(1);
        // The largest power of two that is not larger.
        let most = if most.is_power_of_two() { most } else { most.next_power_of_two() / 2 };
        Pages(self.0.min(most.max(FEWEST_PAGES)))
    }

    fn halved(self) -> Option<Pages> {
        (self.0 > FEWEST_PAGES).then_some(Pages(self.0 / 2))
    }

    pub(super) fn bytes(self) -> usize {
        self.0 * sys::page_size()
    }
}

/// Opens the events of a process, and says how.
pub(super) fn open(pid: u32, options: &SamplerOptions) -> Result<(Events, SamplerFacts), SamplerError> {
    let findings = Findings::look(pid);
    let manners = [
        Manner { scope: Scope::EveryCpu, kernel: true },
        Manner { scope: Scope::ThreadsOnCpus, kernel: true },
        Manner { scope: Scope::ThreadsOnCpus, kernel: false },
    ];
    let is_wanted = |manner: &Manner| {
        options.every_cpu.is_none_or(|every_cpu| every_cpu == (manner.scope == Scope::EveryCpu))
    };
    let mut refused = None;
    for manner in manners.into_iter().filter(is_wanted) {
        match within_limits(pid, options, manner) {
            Ok((events, manner, reduced)) => {
                let facts = facts(options, &events, manner, reduced);
                return Ok((events, facts));
            }
            Err(Failure::Refused(error)) => refused = Some((manner, error)),
            Err(Failure::Ended) => return Err(TargetError::Ended { pid }.into()),
            Err(Failure::Ring(error)) => return Err(rights::ring(error)),
            Err(Failure::Files(error)) => return Err(rights::files(error)),
            Err(Failure::Other { what, error }) => {
                return Err(SamplerError::Io { what: what.to_owned(), source: error.into() });
            }
        }
    }
    let (manner, error) = refused.unwrap_or((manners[0], io::ErrorKind::Unsupported.into()));
    Err(findings.explain(pid, options.event, manner, error))
}

/// Opens events in one manner. Where a limit is in the way, it is raised, or smaller rings and fewer files are used.
fn within_limits(
    pid: u32,
    options: &SamplerOptions,
    mut manner: Manner,
) -> Result<(Events, Manner, Vec<String>), Failure> {
    let wanted = Pages::for_options(options);
    let (mut pages, mut may_raise) = (wanted, true);
    let mut reduced = Vec::new();
    loop {
        match Events::open(pid, options, manner, pages) {
            Ok(events) => {
                if pages != wanted {
                    reduced.push(smaller(wanted, pages, manner.scope));
                }
                return Ok((events, manner, reduced));
            }
            Err(Failure::Ring(error)) => pages = pages.halved().ok_or(Failure::Ring(error))?,
            Err(Failure::Files(_)) if may_raise && sys::raise_open_files() => may_raise = false,
            Err(Failure::Files(_)) if manner.scope == Scope::ThreadsOnCpus => {
                let threads = crate::process::proc::threads(pid).map_or(1, |tids| tids.len());
                manner.scope = Scope::Threads;
                pages = pages.for_rings(threads);
                reduced.push(
                    "The limit of open files (ulimit -n) allows one perf event for each thread only: what a new \
                     thread does before it is noticed is not sampled."
                        .to_owned(),
                );
            }
            Err(other) => return Err(other),
        }
    }
}

fn smaller(wanted: Pages, pages: Pages, scope: Scope) -> String {
    let why = match scope {
        Scope::Threads => "there is one for each thread, or the limit of locked memory is reached",
        _ => "the limit of locked memory is reached (kernel.perf_event_mlock_kb, ulimit -l)",
    };
    let (wanted, pages) = (wanted.bytes() >> 10, pages.bytes() >> 10);
    format!(
        "The rings for samples have {pages} KiB instead of {wanted} KiB, because {why}: samples may be lost."
    )
}

fn facts(options: &SamplerOptions, events: &Events, manner: Manner, reduced: Vec<String>) -> SamplerFacts {
    SamplerFacts {
        event: options.cpu.then(|| options.event.name()),
        period_ns: options.period_ns(),
        every_cpu: manner.scope == Scope::EveryCpu,
        kernel: manner.kernel,
        rings: events.rings.len(),
        ring_bytes: events.pages().bytes(),
        reduced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_hold_four_times_what_is_written_between_readings() {
        let with = |rate_hz, stack_bytes, switches| {
            let options = SamplerOptions { rate_hz, stack_bytes, switches, ..SamplerOptions::default() };
            Pages::for_options(&options).bytes()
        };
        // 99 * 0.05 s * 4 * (4096 + 2272) bytes.
        assert_eq!(with(99, 4096, false), 128 << 10);
        assert_eq!(with(999, 16 << 10, false), 4 << 20);
        assert!(with(99, 4096, true) >= 960_000);
        assert!(with(1, 0, false) >= FEWEST_PAGES * sys::page_size());
        assert!(with(20_000, 48 << 10, true) <= 64 << 20);
    }

    #[test]
    fn many_rings_are_small_ones() {
        let pages = Pages(1024);
        assert_eq!(pages.for_rings(1), pages);
        let many = pages.for_rings(1000);
        assert!(many.bytes() * 1000 <= MOST_BYTES && many.0.is_power_of_two(), "{many:?}");
        assert_eq!(pages.for_rings(1 << 20), Pages(FEWEST_PAGES));
        assert_eq!(Pages(FEWEST_PAGES).halved(), None);
    }
}
