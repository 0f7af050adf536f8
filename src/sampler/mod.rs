//! What threads do over time, by the kernel's perf events: samples of those that run, and when they leave and get a
//! CPU.
//!
//! Nothing is stopped, and nothing has to be undone: the events end with loiter, whatever happens to it.
//!
//! Where things are:
//!
//! - `options`: what a sampler is asked for, and what it says of itself; `error` and `rights`: why it cannot be;
//! - `attach` opens the events, on every CPU or for every thread; `cpus` lists CPUs;
//! - `ring` reads the rings, `parse` the records;
//! - `abi` and `sys`: the kernel's side of it.

use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::process::{Moment, TargetError, permission, proc, sys as process_sys};

mod abi;
mod attach;
mod cpus;
mod error;
mod options;
pub mod parse;
mod rights;
mod ring;
mod sys;

use attach::{Failure, Manner, Opened, Pages};
pub use error::SamplerError;
pub use options::{Event, MAX_RATE_HZ, MAX_STACK_BYTES, SamplerFacts, SamplerOptions, Tally};
use parse::{Body, Layout};
use ring::{Found, Ring, Skipped};

/// What a sampler reads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A thread ran.
    Sample {
        /// What it did.
        moment: Moment<'a>,
        /// CPU time that the sample stands for, nanoseconds.
        weight_ns: u64,
        /// Where it ran.
        cpu: u32,
    },
    /// A thread left its CPU.
    SwitchedOut {
        /// The thread.
        tid: u32,
        /// CLOCK_MONOTONIC, nanoseconds.
        at_ns: u64,
        /// It wanted to run on. Otherwise it is blocked.
        preempted: bool,
    },
    /// A thread got a CPU.
    SwitchedIn {
        /// The thread.
        tid: u32,
        /// CLOCK_MONOTONIC, nanoseconds.
        at_ns: u64,
    },
    /// The process mapped something that can be executed.
    Mapped {
        /// CLOCK_MONOTONIC, nanoseconds.
        at_ns: u64,
        /// First address.
        address: u64,
        /// Bytes.
        len: u64,
        /// In the file, bytes.
        offset: u64,
        /// As the kernel names it: a path, "//anon", "[vdso]".
        path: &'a [u8],
        /// It can be executed.
        executable: bool,
    },
    /// The process started a thread.
    Started {
        /// The thread.
        tid: u32,
        /// CLOCK_MONOTONIC, nanoseconds.
        at_ns: u64,
    },
    /// A thread ended.
    Ended {
        /// The thread.
        tid: u32,
        /// CLOCK_MONOTONIC, nanoseconds.
        at_ns: u64,
    },
    /// A thread has another name.
    Named {
        /// The thread.
        tid: u32,
        /// CLOCK_MONOTONIC, nanoseconds.
        at_ns: u64,
        /// At most 15 bytes.
        name: &'a [u8],
        /// Because the process became another program.
        is_exec: bool,
    },
    /// Records were lost before this one.
    Lost {
        /// How many.
        count: u64,
    },
}

/// Samples one process until it is dropped.
#[derive(Debug)]
pub struct Sampler {
    pid: u32,
    process: std::os::fd::OwnedFd,
    options: SamplerOptions,
    facts: SamplerFacts,
    layout: Layout,
    opened: Opened,
    tally: Tally,
    found: Vec<Found>,
    chains: Vec<u64>,
}

impl Sampler {
    /// Opens the events of a process and enables them. From then on records collect in the rings.
    ///
    /// # Errors
    /// If the process is not there, or the kernel refuses.
    pub fn attach(pid: u32, options: &SamplerOptions) -> Result<Sampler, SamplerError> {
        options.check()?;
        let stat_file = format!("open /proc/{pid}/stat");
        let stat = proc::Stat::read(pid).map_err(|error| permission::no_process(pid, &stat_file, error))?;
        permission::check_readable(pid, &stat)?;
        let process = process_sys::pidfd_open(pid)
            .map_err(|errno| permission::no_process(pid, "pidfd_open", errno.into()))?;
        let (opened, manner, pages, reduced) = open_somehow(pid, options)?;
        let facts = SamplerFacts {
            event: options.cpu.then(|| options.event.name()),
            period_ns: options.period_ns(),
            every_cpu: manner.every_cpu,
            kernel: manner.kernel,
            rings: opened.rings.len(),
            ring_bytes: pages.bytes(),
            reduced,
        };
        Ok(Sampler {
            pid,
            process,
            options: options.clone(),
            facts,
            layout: attach::layout(options),
            opened,
            tally: Tally::default(),
            found: Vec::new(),
            chains: Vec::new(),
        })
    }

    /// How it works.
    pub fn facts(&self) -> &SamplerFacts {
        &self.facts
    }

    /// What was read so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The process has ended. What it did before can still be drained.
    pub fn has_ended(&self) -> bool {
        process_sys::pidfd_ended(&self.process)
    }

    /// Waits until a quarter of a ring is full, the process has ended, or the time is over.
    pub fn wait(&mut self, timeout: Duration) {
        use std::os::fd::AsFd;
        let mut fds = vec![self.process.as_fd()];
        fds.extend(self.opened.rings.iter().filter_map(Ring::waits_for));
        let ready = sys::wait(&fds, timeout);
        let waiting = self.opened.rings.iter_mut().filter(|ring| !ring.is_over());
        for (ring, readiness) in waiting.zip(ready.into_iter().skip(1)) {
            if readiness == sys::Readiness::HungUp {
                ring.hung_up();
            }
        }
    }

    /// Ends the events: nothing is recorded any more, and a last [`Sampler::drain`] gives the rest.
    pub fn stop(&mut self) {
        for event in &self.opened.events {
            // It fails only for an event that has ended by itself.
            let _ = sys::disable(event);
        }
    }

    /// Reads everything that happened so far, in the order of time.
    pub fn drain(&mut self, with: &mut dyn FnMut(Record<'_>)) {
        let until_ns = process_sys::monotonic_ns();
        let mut skipped = Skipped::default();
        self.found.clear();
        let mut read = Vec::with_capacity(self.opened.rings.len());
        for (number, ring) in self.opened.rings.iter().enumerate() {
            read.push(ring.find(number, self.pid, until_ns, &mut self.found, &mut skipped));
        }
        self.tally.others += skipped.others;
        self.tally.malformed += skipped.malformed;
        // A stable sort: records of one ring with one time keep their order.
        self.found.sort_by_key(|found| found.stamp.at_ns);
        let found = std::mem::take(&mut self.found);
        for one in &found {
            self.deliver(one, with);
        }
        self.found = found;
        for (ring, bytes) in self.opened.rings.iter_mut().zip(read) {
            ring.advance(bytes);
        }
    }

    fn deliver(&mut self, found: &Found, with: &mut dyn FnMut(Record<'_>)) {
        let stamp = found.stamp;
        let (tid, at_ns) = (stamp.tid, stamp.at_ns);
        let unread = self.opened.rings[found.ring].unread();
        let bytes = unread.bytes(found.place).unwrap_or_default();
        let Ok(body) = parse::body(&bytes, self.layout, &mut self.chains) else {
            self.tally.malformed += 1;
            return;
        };
        if is_second(&self.opened.owners, &self.opened.with_events, stamp.event, tid)
            && !matches!(body, Body::Lost { .. })
        {
            return;
        }
        match body {
            Body::Sample { period, in_kernel, registers, chain, kernel_chain, stack } => {
                self.tally.samples += 1;
                let moment = Moment { tid, at_ns, registers, in_kernel, chain, kernel_chain, stack };
                let weight_ns = match self.options.event {
                    Event::CpuClock => period,
                    Event::Cycles => self.facts.period_ns,
                };
                with(Record::Sample { moment, weight_ns, cpu: stamp.cpu });
            }
            Body::SwitchedOut { preempted } => with(Record::SwitchedOut { tid, at_ns, preempted }),
            Body::SwitchedIn => with(Record::SwitchedIn { tid, at_ns }),
            Body::Mapped { address, len, offset, path, executable } => {
                with(Record::Mapped { at_ns, address, len, offset, path, executable });
            }
            Body::Started { pid, tid } if pid == self.pid => with(Record::Started { tid, at_ns }),
            Body::Ended { tid } => {
                self.opened.with_events.remove(&tid);
                with(Record::Ended { tid, at_ns });
            }
            Body::Named { name, is_exec } => with(Record::Named { tid, at_ns, name, is_exec }),
            Body::Lost { count } => {
                self.tally.lost = self.tally.lost.saturating_add(count);
                with(Record::Lost { count });
            }
            Body::Throttled => self.tally.throttled += 1,
            Body::Started { .. } | Body::Other => {}
        }
    }
}

/// Whether a record is of an event that a thread inherited, though it has one of its own: it was started while its
/// events were opened. Its own event writes the same record.
fn is_second(owners: &FxHashMap<u64, u32>, with_events: &FxHashSet<u32>, event: u64, tid: u32) -> bool {
    with_events.contains(&tid) && owners.get(&event).is_some_and(|&owner| owner != tid)
}

/// Opens the events in the best manner that the kernel allows, with the largest rings.
fn open_somehow(
    pid: u32,
    options: &SamplerOptions,
) -> Result<(Opened, Manner, Pages, Vec<String>), SamplerError> {
    let mut reduced = Vec::new();
    let manners = [
        Manner { every_cpu: true, kernel: true },
        Manner { every_cpu: false, kernel: true },
        Manner { every_cpu: false, kernel: false },
    ];
    let wanted = manners
        .into_iter()
        .filter(|manner| options.every_cpu.is_none_or(|wanted| wanted == manner.every_cpu));
    let mut refused = None;
    for manner in wanted {
        let mut pages = Pages::for_options(options);
        loop {
            match attach::open(pid, options, manner, pages) {
                Ok(opened) => return Ok((opened, manner, pages, reduced)),
                Err(Failure::Refused(error)) => {
                    refused = Some(error);
                    break;
                }
                Err(Failure::Ring(error)) => match pages.halved() {
                    Some(fewer) => pages = fewer,
                    None => {
                        let what = "mapping a ring for perf events".to_owned();
                        return Err(SamplerError::Limit { what, source: error.into(), remedy: Vec::new() });
                    }
                },
                Err(Failure::Files(error)) => {
                    let what = "opening perf events".to_owned();
                    return Err(SamplerError::Limit { what, source: error.into(), remedy: Vec::new() });
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
    }
    reduced.clear();
    Err(refused.unwrap_or_else(|| TargetError::NoProcess { pid }.into()))
}
