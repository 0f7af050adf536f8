//! A live process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::image::OpenedFiles;
use super::memory::ProcessMemory;
use super::patience::{self, Handle};
use super::proc::{self, Stat};
use super::program;
use super::short_name::short_name;
use super::stop::Stopper;
use super::watch::Watch;
use super::{
    Blocked, Frozen, HoldTime, Image, Mapping, Memory, Range, Result, Target, TargetError, ThreadCall,
    UnreadableImage, WithRegisters, calls, descriptors, figures, maps, pages, permission, sys,
};
use crate::snapshot::{Descriptor, ProcessFigures, SourceKind, TargetInfo};

/// A table of thread ids is read again at most this often: the requested ids come from the target's memory
/// and may all be wrong.
const REFRESH: Duration = Duration::from_millis(2);

/// Opens a live process. `pid` may also be the id of any of its threads.
///
/// # Errors
/// There is no such process, it has no memory (a kernel thread, a zombie), it may not be read, or it does not
/// answer.
pub fn open_pid(pid: u32) -> Result<Box<dyn Target>> {
    let missing = |error| permission::no_process(pid, &format!("read /proc/{pid}/status"), error);
    let status = proc::status(pid).map_err(missing)?;
    let leader = proc::number_field(&status, "Tgid").and_then(|tgid| u32::try_from(tgid).ok());
    let pid = leader.unwrap_or(pid);
    let watch = Arc::new(Watch::new(pid));
    let own = Arc::clone(&watch);
    let opened = patience::run(&watch, None, None, move || LiveTarget::open(pid, &status, own));
    opened.map(|target| Box::new(target) as Box<dyn Target>)
}

/// A live process. Clones are the same target.
#[derive(Debug, Clone)]
struct LiveTarget {
    memory: Arc<ProcessMemory>,
    info: TargetInfo,
    files: Arc<OpenedFiles>,
    stopper: Arc<Stopper>,
    /// The target is in another pid namespace than loiter.
    other_namespace: bool,
    inside: Arc<Mutex<Inside>>,
    /// The clock of the target's time namespace minus that of loiter's, nanoseconds.
    monotonic_offset: i128,
}

/// Thread ids as the target sees them, with the ids that loiter sees.
#[derive(Debug, Default)]
struct Inside {
    ours: HashMap<u32, u32>,
    read: Option<Instant>,
}

impl LiveTarget {
    fn open(pid: u32, status: &str, watch: Arc<Watch>) -> Result<LiveTarget> {
        let missing = |error| permission::no_process(pid, &format!("read /proc/{pid}/stat"), error);
        let stat = Stat::read(pid).map_err(missing)?;
        permission::check_readable(pid, &stat)?;
        program::wait(pid);
        let memory = ProcessMemory::open(pid, stat.start_ticks, watch)?;
        let inside = proc::field(status, "NSpid").map_or(1, |ids| ids.split_ascii_whitespace().count());
        let mut target = LiveTarget {
            memory: Arc::new(memory),
            info: info(pid, &stat),
            files: Arc::default(),
            stopper: Arc::new(Stopper::new(pid)),
            other_namespace: inside > 1,
            inside: Arc::default(),
            monotonic_offset: monotonic_offset(pid),
        };
        target.check_memory()?;
        let images = target.images()?;
        let executable = images.iter().find(|image| image.is_executable);
        target.info.build_id = executable.and_then(Image::build_id);
        Ok(target)
    }

    fn pid(&self) -> u32 {
        self.stopper.pid
    }

    /// Reads one byte, to find out now whether that is allowed.
    fn check_memory(&self) -> Result<()> {
        let mappings = self.mappings()?;
        let Some(mapping) = mappings.iter().find(|mapping| mapping.read && !mapping.path.starts_with("[v"))
        else {
            let pid = self.pid();
            let ended = |error| permission::ended(pid, &format!("read /proc/{pid}/stat"), error);
            let Stat { comm: name, .. } = Stat::read(pid).map_err(ended)?;
            return Err(TargetError::Zombie { pid, name });
        };
        match self.memory.read(mapping.start, &mut [0]) {
            // For example, a page of a truncated file: the other pages are readable.
            Err(TargetError::Unmapped { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The identity of a process, as far as it can be known without reading its memory.
fn info(pid: u32, stat: &Stat) -> TargetInfo {
    let exe = proc::exe(pid).unwrap_or_default();
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    TargetInfo {
        source: SourceKind::Process,
        pid: Some(pid),
        name: short_name(pid, stat, &exe),
        command: proc::command(pid).unwrap_or_default(),
        build_id: None,
        start_ticks: Some(stat.start_ticks),
        age_ns: Some(figures::age_ns(stat)),
        host: known(proc::read_text("/proc/sys/kernel/hostname").unwrap_or_default().trim()),
        exe: known(&exe),
    }
}

/// How far the target's CLOCK_MONOTONIC is ahead of ours: both are shifted from the machine's clock by the
/// offsets in timens_offsets (time_namespaces(7)).
fn monotonic_offset(pid: u32) -> i128 {
    let offset = |path: String| {
        let text = proc::read_text(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("monotonic"))?;
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<i64>().ok());
        let (seconds, nanos) = (numbers.next()??, numbers.next()??);
        Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
    };
    let theirs = offset(format!("/proc/{pid}/timens_offsets")).unwrap_or(0);
    theirs - offset("/proc/self/timens_offsets".to_owned()).unwrap_or(0)
}

impl Memory for LiveTarget {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        self.memory.read(address, buf)
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        self.memory.read_many(ranges, buf, ok)
    }
}

impl Target for LiveTarget {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn pid_inside(&self) -> u32 {
        let inside = || inside(&proc::status(self.pid()).ok()?);
        if self.other_namespace { inside().unwrap_or(self.pid()) } else { self.pid() }
    }

    fn foreign_machine(&self) -> Option<String> {
        program::foreign_machine(self.pid())
    }

    fn mappings(&self) -> Result<Vec<Mapping>> {
        let read = || {
            let path = format!("/proc/{}/maps", self.memory.through());
            match proc::read_bounded(&path, maps::MAX_BYTES) {
                // The thread has ended, perhaps not the process.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {
                    Ok(Vec::new())
                }
                read => read.map_err(|error| permission::explain(self.pid(), &format!("open {path}"), error)),
            }
        };
        let mut bytes = read()?;
        if bytes.is_empty() {
            self.memory.change_thread()?;
            bytes = read()?;
        }
        self.memory.check_alive()?;
        // Without memory but not yet ended: it is about to end.
        if bytes.is_empty() { Err(TargetError::Ended { pid: self.pid() }) } else { Ok(maps::parse(&bytes)) }
    }

    fn images(&self) -> Result<Vec<Image>> {
        let mappings = self.mappings()?;
        let images = self.files.images(self.memory.through(), &mappings, &self.memory)?;
        self.memory.check_alive()?;
        Ok(images)
    }

    fn unreadable_images(&self) -> Vec<UnreadableImage> {
        self.files.unreadable()
    }

    fn present(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        pages::in_use(self.memory.through(), start, end)
    }

    fn threads(&self) -> Result<Vec<u32>> {
        let pid = self.pid();
        let ended = |error| permission::ended(pid, &format!("list /proc/{pid}/task"), error);
        let threads = proc::threads(pid).map_err(ended)?;
        self.memory.check_alive()?;
        Ok(threads)
    }

    fn thread_from_inside(&self, tid: u32) -> Option<u32> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&ours) = inside.ours.get(&tid) {
            return Some(ours);
        }
        if !self.other_namespace {
            let path = format!("/proc/{}/task/{tid}", self.pid());
            std::fs::metadata(path).ok()?;
            inside.ours.insert(tid, tid);
            return Some(tid);
        }
        if inside.read.is_some_and(|read| read.elapsed() < REFRESH) {
            return None;
        }
        inside.ours = threads_inside(self.pid());
        inside.read = Some(Instant::now());
        inside.ours.get(&tid).copied()
    }

    fn with_stopped_thread(&self, tid: u32, with: &mut WithRegisters<'_>) -> Result<HoldTime> {
        self.stopper.with_stopped_thread(tid, with)
    }

    fn blocked_at(&self, tid: u32) -> Option<Blocked> {
        proc::blocked_at(self.pid(), tid)
    }

    fn held_at(&self, tid: u32) -> Option<Blocked> {
        proc::held_at(self.pid(), tid)
    }

    fn call_of(&self, tid: u32) -> Option<ThreadCall> {
        let call = calls::of_thread(self.pid(), tid)?;
        Some(ThreadCall { foreign: self.foreign_machine().is_some(), ..call })
    }

    fn descriptors(&self, numbers: &[u32]) -> Result<Vec<Descriptor>> {
        let found = descriptors::of_process(self.pid(), numbers, &|| self.monotonic_ns())?;
        self.memory.check_alive()?;
        Ok(found)
    }

    fn freeze(&self, limit: Duration) -> Result<Frozen> {
        self.memory.check_alive()?;
        self.stopper.freeze(limit)
    }

    fn is_static(&self) -> bool {
        false
    }

    fn monotonic_ns(&self) -> Option<u64> {
        let now = i128::from(sys::monotonic_ns()) + self.monotonic_offset;
        u64::try_from(now).ok()
    }

    fn figures(&self) -> ProcessFigures {
        figures::of_process(self.pid())
    }

    fn handle(&self) -> Option<Handle> {
        let (watch, stopper) = (Arc::clone(self.memory.watch()), Arc::clone(&self.stopper));
        Some(Handle { target: Box::new(self.clone()), watch, stopper })
    }
}

/// The last of the ids in NSpid is the one in the innermost namespace: the thread's own.
fn inside(status: &str) -> Option<u32> {
    proc::field(status, "NSpid")?.split_ascii_whitespace().next_back()?.parse().ok()
}

/// loiter's id for each id that the threads of a process have in their own namespace.
fn threads_inside(pid: u32) -> HashMap<u32, u32> {
    let inner = |tid: u32| {
        let status = proc::read_text(format!("/proc/{pid}/task/{tid}/status")).ok()?;
        Some((inside(&status)?, tid))
    };
    proc::threads(pid).unwrap_or_default().into_iter().filter_map(inner).collect()
}
