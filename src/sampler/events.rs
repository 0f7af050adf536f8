//! The events of a process and the rings that they write to.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::abi::{Attr, flag};
use super::cpus::Cpus;
use super::pages::Pages;
use super::ring::Ring;
use super::sys::{self, Memory};
use crate::process::proc;

/// The threads of a process are listed this often at most, for a process that starts threads all the time. Those of the
/// later lists were started by threads that had events.
const MAX_LISTS: usize = 8;

/// What events are opened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every CPU, whatever runs there. A ring a CPU.
    EveryCpu,
    /// Each thread on each CPU; the threads that it starts inherit its events. A ring a CPU.
    ThreadsOnCpus,
    /// Each thread. A ring a thread, because the kernel shares rings only among events of one CPU, and without
    /// inheritance, because the kernel maps no ring for an inherited event of any CPU.
    Threads,
}

/// How events are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) scope: Scope,
    /// The kernel's time, too.
    pub(super) kernel: bool,
}

/// Why events could not be opened.
#[derive(Debug)]
pub(super) enum Failure {
    /// The process has ended.
    Ended,
    /// A ring of this size may not be mapped.
    Ring(io::Error),
    /// loiter may open no more files.
    Files(io::Error),
    /// The kernel refuses events of this manner, or does not know them.
    Refused(io::Error),
    /// Something else.
    Other { what: &'static str, error: io::Error },
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Other { what, error }
}

/// The events of a process, enabled, and their rings.
#[derive(Debug)]
pub(super) struct Events {
    pid: u32,
    attr: Attr,
    scope: Scope,
    pages: Pages,
    cpus: Cpus,
    ring_of_cpu: FxHashMap<u32, usize>,
    pub(super) rings: Vec<Ring>,
    /// The thread that each event was opened for, by the event's number.
    owners: FxHashMap<u64, u32>,
    /// Threads that have events of their own.
    with_events: FxHashSet<u32>,
}

impl Events {
    /// Opens and enables the events of a process.
    pub(super) fn open(pid: u32, attr: Attr, scope: Scope, pages: Pages) -> Result<Events, Failure> {
        let mut events = Events {
            pid,
            attr,
            scope,
            pages,
            cpus: Cpus::online(),
            ring_of_cpu: FxHashMap::default(),
            rings: Vec::new(),
            owners: FxHashMap::default(),
            with_events: FxHashSet::default(),
        };
        if scope == Scope::EveryCpu {
            for cpu in events.cpus.clone() {
                events.add(None, Some(cpu))?;
            }
        } else {
            events.every_thread()?;
        }
        // All at once, because opening many takes a while: until then no ring runs full.
        for event in events.rings.iter().flat_map(Ring::events).filter(|_| scope != Scope::Threads) {
            sys::enable(event).map_err(failed("ioctl(PERF_EVENT_IOC_ENABLE)"))?;
        }
        if events.rings.is_empty() { Err(Failure::Ended) } else { Ok(events) }
    }

    /// Pages of each ring.
    pub(super) fn pages(&self) -> Pages {
        self.pages
    }

    /// Opens the events of all threads that have none. A thread that starts meanwhile inherits those of the thread
    /// that starts it, if that has them already. So the threads are listed until there is no new one.
    fn every_thread(&mut self) -> Result<(), Failure> {
        for _ in 0..MAX_LISTS {
            let new = self.threads_without();
            if new.is_empty() {
                break;
            }
            for tid in new {
                self.thread(tid)?;
            }
        }
        Ok(())
    }

    /// Threads that have no events, and now count as threads that have.
    fn threads_without(&mut self) -> Vec<u32> {
        let tids = proc::threads(self.pid).unwrap_or_default();
        tids.into_iter().filter(|&tid| self.with_events.insert(tid)).collect()
    }

    /// Opens the events of a thread. One that has ended gets none.
    fn thread(&mut self, tid: u32) -> Result<(), Failure> {
        if self.scope == Scope::Threads {
            return self.add(Some(tid), None).map(|_| ());
        }
        for cpu in self.cpus.clone() {
            if !self.add(Some(tid), Some(cpu))? {
                break;
            }
        }
        Ok(())
    }

    /// Opens one event. False if the thread has ended.
    fn add(&mut self, tid: Option<u32>, cpu: Option<u32>) -> Result<bool, Failure> {
        let event = match self.open_event(tid, cpu) {
            Ok(event) => Arc::new(event),
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::ESRCH) if tid.is_some() => Ok(false),
                    // The CPU has gone offline.
                    Some(libc::ENODEV) if cpu.is_some() => Ok(true),
                    Some(libc::EMFILE | libc::ENFILE) => Err(Failure::Files(error)),
                    _ => Err(Failure::Refused(error)),
                };
            }
        };
        match cpu.and_then(|cpu| self.ring_of_cpu.get(&cpu)) {
            Some(&ring) => {
                let ring = &mut self.rings[ring];
                sys::set_output(&event, ring.owner()).map_err(failed("ioctl(PERF_EVENT_IOC_SET_OUTPUT)"))?;
                ring.add(Arc::clone(&event));
            }
            None => {
                let memory =
                    Memory::map(&event, self.pages.0).map_err(|error| match error.raw_os_error() {
                        Some(libc::EPERM | libc::ENOMEM) => Failure::Ring(error),
                        _ => Failure::Other { what: "mmap of the ring of a perf event", error },
                    })?;
                if let Some(cpu) = cpu {
                    self.ring_of_cpu.insert(cpu, self.rings.len());
                }
                self.rings.push(Ring::new(memory, Arc::clone(&event)));
            }
        }
        if let Some(tid) = tid {
            let id = sys::id(&event).map_err(failed("ioctl(PERF_EVENT_IOC_ID)"))?;
            self.owners.insert(id, tid);
        }
        // From now on it tells of threads that start: there is no inheritance.
        if self.scope == Scope::Threads {
            sys::enable(&event).map_err(failed("ioctl(PERF_EVENT_IOC_ENABLE)"))?;
        }
        Ok(true)
    }

    fn open_event(&mut self, tid: Option<u32>, cpu: Option<u32>) -> io::Result<OwnedFd> {
        loop {
            match sys::open(&self.attr, tid, cpu) {
                // An older kernel: it is asked for less.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    if self.attr.read_format != 0 {
                        // Before Linux 6.0 no event counts what it lost. Records in the ring do.
                        self.attr.read_format = 0;
                    } else if self.attr.flags & flag::INHERIT_THREAD != 0 {
                        // Before Linux 5.13 processes that are forked inherit events, too. Records name the process,
                        // so those of others are thrown away.
                        self.attr.flags &= !flag::INHERIT_THREAD;
                    } else {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// Whether a record is of an event that a thread inherited, though it has one of its own: it was started while
    /// its events were opened. Its own event writes the same record.
    pub(super) fn is_second(&self, event: u64, tid: u32) -> bool {
        self.with_events.contains(&tid) && self.owners.get(&event).is_some_and(|&owner| owner != tid)
    }

    /// A thread has ended. Another one may get its number.
    pub(super) fn ended(&mut self, tid: u32) {
        self.with_events.remove(&tid);
    }

    /// The process has started threads. Where they inherit no events they get some now. Returns how many could not be
    /// given one.
    pub(super) fn started(&mut self) -> u64 {
        if self.scope != Scope::Threads {
            return 0;
        }
        self.rings.retain(|ring| !ring.is_over() || !ring.unread().is_empty());
        let mut missed = 0;
        for _ in 0..MAX_LISTS {
            let new = self.threads_without();
            if new.is_empty() {
                break;
            }
            missed += new.into_iter().map(|tid| u64::from(self.thread(tid).is_err())).sum::<u64>();
        }
        missed
    }

    /// Lets all events go on after [`Events::disable`].
    pub(super) fn enable(&self) {
        for event in self.rings.iter().flat_map(Ring::events) {
            // It fails only for an event that has ended by itself.
            let _ = sys::enable(event);
        }
    }

    /// Ends all events. What they wrote can still be read.
    pub(super) fn disable(&self) {
        for event in self.rings.iter().flat_map(Ring::events) {
            // It fails only for an event that has ended by itself.
            let _ = sys::disable(event);
        }
    }

    /// Records that were lost so far, as the kernel counts them. None before Linux 6.0.
    pub(super) fn lost(&self) -> Option<u64> {
        if self.attr.read_format == 0 {
            return None;
        }
        let lost = self.rings.iter().flat_map(Ring::events).filter_map(sys::lost);
        Some(lost.fold(0, u64::saturating_add))
    }
}
