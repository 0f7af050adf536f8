//! What threads do over time, by the kernel's perf events: samples of those that run, and when they leave and get a
//! CPU.
//!
//! Nothing is stopped, and nothing has to be undone: the events end with loiter, whatever happens to it.
//!
//! Where things are:
//!
//! - `options`: what a sampler is asked for, and what it says of itself; `error` and `rights`: why it cannot be;
//! - `attach` chooses the best manner that the kernel allows, `events` opens the events, on every CPU or for every
//!   thread; `attr` says what they are asked for, `cpus` lists CPUs;
//! - `departures`: samples of threads that leave their CPU;
//! - `ring` reads the rings, `parse` the records;
//! - `hurry` lets a reader run before others;
//! - `off_cpu` makes intervals of switches; `usage` is what the kernel itself counts, to compare with;
//! - `abi` and `sys`: the kernel's side of it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::process::{Moment, permission, proc, sys as process_sys};

mod abi;
mod attach;
mod attr;
mod cpus;
mod departures;
mod error;
mod events;
mod hurry;
pub mod off_cpu;
mod options;
mod pages;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
pub(crate) mod parse;
mod rights;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
pub(crate) mod ring;
mod sys;
pub mod usage;

use attach::Opened;
use departures::Pace;
pub use error::SamplerError;
use events::Events;
pub use hurry::Hurry;
use off_cpu::OffCpu;
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
    /// A thread is about to leave its CPU: [`Record::SwitchedOut`] of this thread follows.
    Departs {
        /// What it did.
        moment: Moment<'a>,
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
        /// As the kernel names it: a path, "//anon", `[vdso]`.
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
    process: OwnedFd,
    event: Event,
    layout: Layout,
    facts: SamplerFacts,
    events: Events,
    departures: Option<Events>,
    pace: Pace,
    is_stopped: bool,
    tally: Tally,
    begun_ns: u64,
    /// Added to loiter's CLOCK_MONOTONIC it gives that of records.
    clock_offset_ns: i64,
    /// Reused from one reading to the next.
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
        let Opened { events, departures, facts } = attach::open(pid, options)?;
        let clock_offset_ns = clock_offset_ns();
        let begun_ns = process_sys::monotonic_ns().saturating_add_signed(clock_offset_ns);
        Ok(Sampler {
            pid,
            process,
            event: options.event,
            layout: attr::layout(options),
            facts,
            events,
            departures,
            pace: Pace::default(),
            is_stopped: false,
            tally: Tally::default(),
            begun_ns,
            clock_offset_ns,
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

    /// When all events were enabled: CLOCK_MONOTONIC, nanoseconds.
    pub fn begun_ns(&self) -> u64 {
        self.begun_ns
    }

    /// Now, by the clock of the records: CLOCK_MONOTONIC, nanoseconds.
    pub fn now_ns(&self) -> u64 {
        process_sys::monotonic_ns().saturating_add_signed(self.clock_offset_ns)
    }

    /// Makes intervals off CPU of the records of this sampler, which must have been asked for switches. Ask for it
    /// before the first [`Sampler::drain`], and hand every record to it.
    pub fn off_cpu(&self) -> OffCpu {
        OffCpu::new(self.begun_ns, &off_cpu::threads_at_start(self.pid))
    }

    /// The process has ended. What it did before can still be drained.
    pub fn has_ended(&self) -> bool {
        process_sys::pidfd_ended(&self.process)
    }

    /// Waits until a quarter of a ring is full, the process has ended, or the time is over. A signal ends it early.
    /// Returns whether the process has ended.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        let mut fds = vec![self.process.as_fd()];
        fds.extend(self.rings().filter_map(Ring::waits_for));
        let ready = sys::wait(&fds, timeout);
        let departures = self.departures.iter_mut().flat_map(|events| &mut events.rings);
        let rings = self.events.rings.iter_mut().chain(departures);
        let waiting = rings.filter(|ring| !ring.is_over());
        for (ring, readiness) in waiting.zip(ready.iter().skip(1)) {
            if *readiness == sys::Readiness::HungUp {
                ring.hung_up();
            }
        }
        ready.first().is_some_and(|process| *process != sys::Readiness::Quiet)
    }

    /// Ends the events: nothing is recorded any more, and a last [`Sampler::drain`] gives the rest. Afterwards
    /// [`Tally::lost`] is complete.
    pub fn stop(&mut self) {
        self.events.disable();
        self.tally.lost = self.tally.lost.max(self.events.lost().unwrap_or(0));
        self.is_stopped = true;
        if let Some(departures) = &self.departures {
            departures.disable();
            let lost = &mut self.tally.departures_lost;
            *lost = (*lost).max(departures.lost().unwrap_or(0));
        }
    }

    /// The rings of all events, those of departures last.
    fn rings(&self) -> impl Iterator<Item = &Ring> {
        self.events.rings.iter().chain(self.departures.iter().flat_map(|events| &events.rings))
    }

    /// Reads everything that happened so far, in the order of time. `with` must not take long: until it is done, the
    /// kernel cannot use the room of these records again.
    pub fn drain(&mut self, with: &mut dyn FnMut(Record<'_>)) {
        // What is later than this is left for the next time. Otherwise a thread's arrival on one CPU, whose ring is
        // read later, could be seen before its departure from another one.
        let until_ns = self.now_ns();
        let mut skipped = Skipped::default();
        self.found.clear();
        let mut found = std::mem::take(&mut self.found);
        let find =
            |(number, ring): (usize, &Ring)| ring.find(number, self.pid, until_ns, &mut found, &mut skipped);
        let read: Vec<usize> = self.rings().enumerate().map(find).collect();
        self.tally.others += skipped.others;
        self.tally.malformed += skipped.malformed;
        // A stable sort: records of one ring with one time keep their order.
        found.sort_by_key(|found| found.stamp.at_ns);
        let (of_events, mut has_started) = (self.events.rings.len(), false);
        for one in &found {
            match one.ring.checked_sub(of_events) {
                None => has_started |= self.deliver(one, with),
                Some(ring) => self.departs(&Found { ring, ..*one }, with),
            }
        }
        self.found = found;
        let departures = self.departures.iter_mut().flat_map(|events| &mut events.rings);
        for (ring, bytes) in self.events.rings.iter_mut().chain(departures).zip(read) {
            ring.advance(bytes);
        }
        if has_started {
            self.tally.threads_missed += self.events.started();
        }
        self.keep_pace();
    }

    /// Pauses samples of departures if there are too many.
    fn keep_pace(&mut self) {
        let Some(events) = self.departures.as_ref().filter(|_| !self.is_stopped) else { return };
        let now_ns = process_sys::monotonic_ns();
        match self.pace.step(now_ns, self.tally.departures) {
            Some(true) => events.disable(),
            Some(false) => events.enable(),
            None => {}
        }
        self.tally.departures_paused_ns = self.pace.paused_ns(now_ns);
    }

    /// Hands over what the rings of departures hold: samples, and how many were lost.
    fn departs(&mut self, found: &Found, with: &mut dyn FnMut(Record<'_>)) {
        let (tid, at_ns) = (found.stamp.tid, found.stamp.at_ns);
        let Some(events) = self.departures.as_ref() else { return };
        let bytes = events.rings[found.ring].unread().bytes(found.place).unwrap_or_default();
        match parse::body(&bytes, attr::DEPARTURE, &mut self.chains) {
            Ok(Body::Sample { .. }) if events.is_second(found.stamp.event, tid) || tid == u32::MAX => {}
            Ok(Body::Sample { in_kernel, registers, chain, kernel_chain, stack, .. }) => {
                self.tally.departures += 1;
                let moment = Moment { tid, at_ns, registers, in_kernel, chain, kernel_chain, stack };
                with(Record::Departs { moment });
            }
            Ok(Body::Lost { count }) => {
                self.tally.departures_lost = self.tally.departures_lost.saturating_add(count);
            }
            Ok(_) => {}
            Err(_) => self.tally.malformed += 1,
        }
    }

    /// A thread has ended. Another one may get its number.
    fn ended(&mut self, tid: u32) {
        self.events.ended(tid);
        if let Some(departures) = &mut self.departures {
            departures.ended(tid);
        }
    }

    /// Hands one record over. True if a thread has started.
    fn deliver(&mut self, found: &Found, with: &mut dyn FnMut(Record<'_>)) -> bool {
        let stamp = found.stamp;
        let (tid, at_ns) = (stamp.tid, stamp.at_ns);
        let unread = self.events.rings[found.ring].unread();
        let bytes = unread.bytes(found.place).unwrap_or_default();
        let Ok(body) = parse::body(&bytes, self.layout, &mut self.chains) else {
            self.tally.malformed += 1;
            return false;
        };
        let is_of_thread = !matches!(body, Body::Lost { .. } | Body::Throttled);
        if is_of_thread && self.events.is_second(stamp.event, tid) {
            if let Body::Ended { tid } = body {
                self.ended(tid);
            }
            return false;
        }
        match body {
            // Some events were enabled before others: what each of them saw until all were would not compare.
            Body::Sample { .. } if at_ns < self.begun_ns => {}
            Body::Sample { period, in_kernel, registers, chain, kernel_chain, stack } => {
                self.tally.samples += 1;
                let moment = Moment { tid, at_ns, registers, in_kernel, chain, kernel_chain, stack };
                // The clock's period is a time. The counter's is a number of cycles that the kernel chose so that the
                // rate is right.
                let weight_ns = if self.event == Event::CpuClock { period } else { self.facts.period_ns };
                with(Record::Sample { moment, weight_ns, cpu: stamp.cpu });
            }
            // A thread that has ended has no id any more when it leaves its last CPU.
            Body::SwitchedOut { .. } | Body::SwitchedIn if tid == u32::MAX => {}
            Body::SwitchedOut { preempted } => with(Record::SwitchedOut { tid, at_ns, preempted }),
            Body::SwitchedIn => with(Record::SwitchedIn { tid, at_ns }),
            Body::Mapped { address, len, offset, path, executable } => {
                with(Record::Mapped { at_ns, address, len, offset, path, executable });
            }
            Body::Started { pid, tid } if pid == self.pid => {
                with(Record::Started { tid, at_ns });
                return true;
            }
            Body::Ended { tid } => {
                self.ended(tid);
                with(Record::Ended { tid, at_ns });
            }
            Body::Named { name, is_exec } => with(Record::Named { tid, at_ns, name, is_exec }),
            Body::Lost { count } => {
                self.tally.lost = self.tally.lost.saturating_add(count);
                with(Record::Lost { count });
            }
            Body::Throttled => self.tally.throttled += 1,
            // The process has forked: the new one is not recorded.
            Body::Started { .. } | Body::Other => {}
        }
        false
    }
}

/// What to add to loiter's CLOCK_MONOTONIC to get the machine's, which records have: time_namespaces(7).
fn clock_offset_ns() -> i64 {
    let text = proc::read_text("/proc/self/timens_offsets").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("monotonic")).unwrap_or_default();
    let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<i64>().unwrap_or(0));
    let (seconds, nanos) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos).saturating_neg()
}
