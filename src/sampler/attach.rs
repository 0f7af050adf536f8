//! Opens the events of a process in the best manner that the kernel allows.

use std::io;

use super::events::{Events, Failure, Manner, Scope};
use super::options::SamplerOptions;
use super::pages::Pages;
use super::rights::{self, Findings};
use super::sys;
use super::{SamplerError, SamplerFacts, attr, departures};
use crate::process::TargetError;

/// The events of a process.
#[derive(Debug)]
pub(super) struct Opened {
    /// Those that tell everything else.
    pub(super) events: Events,
    /// Of threads that leave their CPU, if they were asked for and are allowed.
    pub(super) departures: Option<Events>,
    pub(super) facts: SamplerFacts,
}

/// Opens the events of a process, and says how.
pub(super) fn open(pid: u32, options: &SamplerOptions) -> Result<Opened, SamplerError> {
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
            Ok((events, manner, mut reduced)) => {
                let asked = options.departures && manner.kernel && manner.scope != Scope::Threads;
                let departures = asked.then(|| departures::open(pid, options));
                let departures = departures.and_then(|opened| opened.map_err(|why| reduced.push(why)).ok());
                let facts = facts(options, &events, manner, departures.is_some(), reduced);
                return Ok(Opened { events, departures, facts });
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
        let attr = attr::of_time(options, manner, pages);
        match Events::open(pid, attr, manner.scope, pages) {
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

fn facts(
    options: &SamplerOptions,
    events: &Events,
    manner: Manner,
    departures: bool,
    reduced: Vec<String>,
) -> SamplerFacts {
    SamplerFacts {
        event: options.cpu.then(|| options.event.name()),
        period_ns: options.period_ns(),
        every_cpu: manner.scope == Scope::EveryCpu,
        kernel: manner.kernel,
        departures,
        rings: events.rings.len(),
        ring_bytes: events.pages().bytes(),
        reduced,
    }
}
