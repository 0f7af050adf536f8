//! Opens the events of a process and the rings that they write to.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::abi::{self, Attr, flag};
use super::cpus::Cpus;
use super::options::{Event, SamplerOptions};
use super::parse::Layout;
use super::ring::Ring;
use super::sys::{self, Memory};
use super::{SamplerError, rights};
use crate::process::{TargetError, proc};

/// A ring is never smaller, pages.
const FEWEST_PAGES: usize = 8;

/// What is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// Every CPU, whatever runs there. Otherwise each thread on each CPU.
    pub(super) every_cpu: bool,
    /// The kernel's time, too.
    pub(super) kernel: bool,
}

/// The events of a process, enabled, and their rings.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) rings: Vec<Ring>,
    pub(super) events: Vec<Arc<OwnedFd>>,
    /// The thread that each event was opened for. Threads that it starts inherit the event.
    pub(super) owners: FxHashMap<u64, u32>,
    /// Threads that have events of their own.
    pub(super) with_events: FxHashSet<u32>,
}

/// Why a process could not be opened.
#[derive(Debug)]
pub(super) enum Failure {
    /// A ring of this size may not be mapped.
    Ring(io::Error),
    /// No event more can be opened by this process.
    Files(io::Error),
    /// The kernel refuses this manner.
    Refused(SamplerError),
    /// Nothing helps.
    Final(SamplerError),
}

/// Pages of a ring, a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pages(pub(super) usize);

impl Pages {
    /// Enough for four times what is written between two readings.
    pub(super) fn for_options(options: &SamplerOptions) -> Pages {
        /// Readings are this far apart at most.
        const BETWEEN_READINGS_NS: u64 = 50_000_000;
        /// Call chains are up to 127 words, in the kernel and out of it; registers and the rest take 30.
        const SAMPLE_BYTES: u64 = (127 + 30) * 8;
        /// A CPU that does little else than switch does it this often in a second, with two records each.
        const SWITCHES_HZ: u64 = 50_000;
        const SWITCH_BYTES: u64 = 2 * 48;
        let sample = SAMPLE_BYTES + u64::from(options.stack_bytes);
        let samples = if options.cpu { u64::from(options.rate_hz) * sample } else { 0 };
        let switches = if options.switches { SWITCHES_HZ * SWITCH_BYTES } else { 0 };
        let bytes = 4 * (samples + switches) * (BETWEEN_READINGS_NS / 1_000_000) / 1000;
        let pages = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(sys::page_size());
        Pages(pages.clamp(4 * FEWEST_PAGES, 1 << 16).next_power_of_two())
    }

    pub(super) fn halved(self) -> Option<Pages> {
        (self.0 > FEWEST_PAGES).then_some(Pages(self.0 / 2))
    }

    pub(super) fn bytes(self) -> usize {
        self.0 * sys::page_size()
    }
}

/// What is in the samples that these options ask for.
pub(super) fn layout(options: &SamplerOptions) -> Layout {
    Layout { moments: options.cpu, stack: options.cpu && options.stack_bytes > 0 }
}

fn attr(options: &SamplerOptions, manner: Manner, pages: Pages) -> Attr {
    let layout = layout(options);
    let mut flags = flag::DISABLED
        | flag::EXCLUDE_HV
        | flag::EXCLUDE_IDLE
        | flag::WATERMARK
        | flag::SAMPLE_ID_ALL
        | flag::USE_CLOCKID
        | flag::TASK
        | flag::COMM
        | flag::COMM_EXEC
        | flag::MMAP
        | flag::MMAP2;
    let mut set = |bit, is_set| flags |= if is_set { bit } else { 0 };
    set(flag::CONTEXT_SWITCH, options.switches);
    set(flag::EXCLUDE_KERNEL, !manner.kernel);
    set(flag::EXCLUDE_CALLCHAIN_KERNEL, !options.kernel || !manner.kernel);
    set(flag::INHERIT | flag::INHERIT_THREAD, !manner.every_cpu);
    set(flag::FREQ, options.cpu && options.event == Event::Cycles);
    let (kind, config, period) = match options.event {
        _ if !options.cpu => (abi::TYPE_SOFTWARE, abi::SOFTWARE_DUMMY, 0),
        Event::CpuClock => (abi::TYPE_SOFTWARE, abi::SOFTWARE_CPU_CLOCK, options.period_ns()),
        Event::Cycles => (abi::TYPE_HARDWARE, abi::HARDWARE_CYCLES, u64::from(options.rate_hz)),
    };
    Attr {
        kind,
        size: abi::ATTR_SIZE,
        config,
        sample_period: period,
        sample_type: layout.sample_type(),
        flags,
        wakeup_watermark: u32::try_from(pages.bytes() / 4).unwrap_or(u32::MAX),
        sample_regs_user: if layout.moments { abi::REGISTERS } else { 0 },
        sample_stack_user: if layout.stack { options.stack_bytes.next_multiple_of(8) } else { 0 },
        clockid: libc::CLOCK_MONOTONIC,
        ..Attr::default()
    }
}

/// Opens and enables the events of a process.
pub(super) fn open(
    pid: u32,
    options: &SamplerOptions,
    manner: Manner,
    pages: Pages,
) -> Result<Opened, Failure> {
    let mut opener = Opener {
        pid,
        event: options.event,
        attr: attr(options, manner, pages),
        manner,
        pages,
        cpus: Cpus::online(),
        ring_of_cpu: FxHashMap::default(),
        opened: Opened::default(),
    };
    if manner.every_cpu {
        opener.every_cpu()?
    } else {
        opener.every_thread()?
    }
    Ok(opener.opened)
}

struct Opener {
    pid: u32,
    event: Event,
    attr: Attr,
    manner: Manner,
    pages: Pages,
    cpus: Cpus,
    ring_of_cpu: FxHashMap<u32, usize>,
    opened: Opened,
}

impl Opener {
    fn every_cpu(&mut self) -> Result<(), Failure> {
        for cpu in self.cpus.clone() {
            self.event(None, cpu)?;
        }
        Ok(())
    }

    /// Threads that start meanwhile inherit the events of the thread that starts them, if it has them already. So
    /// the threads are listed until there is no new one.
    fn every_thread(&mut self) -> Result<(), Failure> {
        loop {
            let tids = proc::threads(self.pid).unwrap_or_default();
            let tids: Vec<u32> =
                tids.into_iter().filter(|&tid| self.opened.with_events.insert(tid)).collect();
            if tids.is_empty() {
                break;
            }
            for tid in tids {
                for cpu in self.cpus.clone() {
                    if !self.event(Some(tid), cpu)? {
                        break;
                    }
                }
            }
        }
        if self.opened.events.is_empty() {
            return Err(Failure::Final(TargetError::Ended { pid: self.pid }.into()));
        }
        Ok(())
    }

    /// Opens and enables one event. False if the thread has ended.
    fn event(&mut self, tid: Option<u32>, cpu: u32) -> Result<bool, Failure> {
        let event = match self.open(tid, cpu) {
            Ok(event) => Arc::new(event),
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::ESRCH) if tid.is_some() => Ok(false),
                    // The CPU has gone offline.
                    Some(libc::ENODEV) => Ok(true),
                    Some(libc::EMFILE | libc::ENFILE) => Err(Failure::Files(error)),
                    Some(libc::EACCES | libc::EPERM) => {
                        Err(Failure::Refused(rights::explain(self.pid, self.event, self.manner, error)))
                    }
                    _ => Err(Failure::Final(rights::explain(self.pid, self.event, self.manner, error))),
                };
            }
        };
        let failed = |what: &str, error: io::Error| {
            Failure::Final(SamplerError::Io { what: format!("{what} of a perf event"), source: error.into() })
        };
        match self.ring_of_cpu.get(&cpu) {
            Some(&ring) => {
                let ring = &mut self.opened.rings[ring];
                sys::set_output(&event, ring.owner())
                    .map_err(|error| failed("PERF_EVENT_IOC_SET_OUTPUT", error))?;
                ring.add(Arc::clone(&event));
            }
            None => {
                let memory = Memory::map(&event, self.pages.0).map_err(Failure::Ring)?;
                self.ring_of_cpu.insert(cpu, self.opened.rings.len());
                self.opened.rings.push(Ring::new(memory, Arc::clone(&event)));
            }
        }
        if let Some(tid) = tid {
            let id = sys::id(&event).map_err(|error| failed("PERF_EVENT_IOC_ID", error))?;
            self.opened.owners.insert(id, tid);
        }
        sys::enable(&event).map_err(|error| failed("PERF_EVENT_IOC_ENABLE", error))?;
        self.opened.events.push(event);
        Ok(true)
    }

    fn open(&mut self, tid: Option<u32>, cpu: u32) -> io::Result<OwnedFd> {
        match sys::open(&self.attr, tid, Some(cpu)) {
            // Before Linux 5.13 only the inheritance by all children is known. Records name the process, so those of
            // forked ones are thrown away.
            Err(error)
                if error.raw_os_error() == Some(libc::EINVAL)
                    && self.attr.flags & flag::INHERIT_THREAD != 0 =>
            {
                self.attr.flags &= !flag::INHERIT_THREAD;
                sys::open(&self.attr, tid, Some(cpu))
            }
            other => other,
        }
    }
}
