//! The memory of a live process.
//!
//! process_vm_readv takes up to 1,024 ranges a call; the speed of everything else depends on it. Where it is
//! forbidden (seccomp) or missing, /proc/PID/mem does the same, one range at a time.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::proc::{self, Stat};
use super::vectors::{BOUNCE, MAX_BYTES, MAX_VECTORS, Reading, SCRATCH, remote};
use super::watch::Watch;
use super::{Memory, Range, Result, TargetError, permission, sys};

/// The memory of a live process.
#[derive(Debug)]
pub(super) struct ProcessMemory {
    pid: u32,
    start_ticks: u64,
    pidfd: Option<OwnedFd>,
    /// The thread through which memory is read. The leader, unless it has ended before others.
    through: AtomicU32,
    /// process_vm_readv is refused or missing.
    no_vectors: AtomicBool,
    mem: OnceLock<File>,
    /// A read may hang: each is recorded here.
    watch: Arc<Watch>,
}

impl ProcessMemory {
    /// Finds out how the memory of `pid` can be read.
    pub(super) fn open(pid: u32, start_ticks: u64, watch: Arc<Watch>) -> Result<ProcessMemory> {
        let pidfd = match sys::pidfd_open(pid) {
            // Without a pidfd, the start time distinguishes the process from a later one with its pid.
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => None,
            Err(errno) => return Err(permission::ended(pid, "pidfd_open", errno.into())),
            Ok(pidfd) => Some(pidfd),
        };
        let memory = ProcessMemory {
            pid,
            start_ticks,
            pidfd,
            through: AtomicU32::new(pid),
            no_vectors: AtomicBool::new(false),
            mem: OnceLock::new(),
            watch,
        };
        // If the pid was given to another process since its start was read, the pidfd is of that process.
        memory.check_alive()?;
        if Stat::read(pid).is_ok_and(|stat| stat.is_dead()) {
            memory.change_thread()?;
        }
        Ok(memory)
    }

    /// What watches its reads.
    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// The id under which /proc shows the memory: that of a thread that still has it.
    pub(super) fn through(&self) -> u32 {
        self.through.load(Ordering::Relaxed)
    }

    /// An error if the process has ended, even if its pid has been given to another since.
    pub(super) fn check_alive(&self) -> Result<()> {
        let ended = match &self.pidfd {
            Some(pidfd) => sys::pidfd_ended(pidfd),
            None => false,
        };
        let pid = self.pid;
        if ended {
            return Err(TargetError::Ended { pid });
        }
        let unknown = |error| permission::ended(pid, &format!("read /proc/{pid}/stat"), error);
        let same = Stat::read(pid).map_err(unknown)?.start_ticks == self.start_ticks;
        if same { Ok(()) } else { Err(TargetError::Ended { pid }) }
    }

    /// The cheap half of [`ProcessMemory::check_alive`]: one system call.
    fn has_ended(&self) -> bool {
        self.pidfd.as_ref().is_some_and(sys::pidfd_ended)
    }

    /// After ESRCH: switches to another thread if only the used one has ended.
    pub(super) fn change_thread(&self) -> Result<()> {
        self.check_alive()?;
        let old = self.through();
        let lives =
            |&tid: &u32| tid != old && Stat::read_thread(self.pid, tid).is_ok_and(|stat| !stat.is_dead());
        let unknown = |error| permission::ended(self.pid, &format!("list /proc/{}/task", self.pid), error);
        let other = proc::threads(self.pid).map_err(unknown)?.into_iter().find(lives);
        let other = other.ok_or(TargetError::Ended { pid: self.pid })?;
        self.through.store(other, Ordering::Relaxed);
        Ok(())
    }

    fn mem(&self) -> Result<&File> {
        if let Some(file) = self.mem.get() {
            return Ok(file);
        }
        let path = format!("/proc/{}/mem", self.through());
        let file = File::open(&path)
            .map_err(|error| permission::explain(self.pid, &format!("open {path}"), error))?;
        Ok(self.mem.get_or_init(|| file))
    }

    /// One call of process_vm_readv; returns how many bytes were read.
    fn transfer(&self, into: &mut [u8], from: &[RemoteIoVec]) -> Result<usize> {
        for _ in 0..3 {
            let pid = Pid::from_raw(i32::try_from(self.through()).unwrap_or(i32::MAX));
            match process_vm_readv(pid, &mut [IoSliceMut::new(into)], from) {
                Ok(n) => return Ok(n),
                Err(Errno::ESRCH) => self.change_thread()?,
                Err(errno @ (Errno::EPERM | Errno::ENOSYS)) => {
                    return self.without_vectors(errno, into, from);
                }
                Err(Errno::ENOMEM) => {
                    let source = Errno::ENOMEM.into();
                    return Err(TargetError::io("process_vm_readv", source));
                }
                // EFAULT, and EINVAL for an address that wraps: the first range cannot be read.
                Err(_) => return Ok(0),
            }
        }
        Err(TargetError::Ended { pid: self.pid })
    }

    /// Switches to /proc/PID/mem if that can be opened; else explains why process_vm_readv failed.
    fn without_vectors(&self, errno: Errno, into: &mut [u8], from: &[RemoteIoVec]) -> Result<usize> {
        match self.mem() {
            Ok(_) => {}
            // For example, loiter has no descriptor left.
            Err(error @ TargetError::Io { .. }) => return Err(error),
            Err(_) => return Err(permission::explain(self.pid, "process_vm_readv", errno.into())),
        }
        self.no_vectors.store(true, Ordering::Relaxed);
        self.transfer_from_mem(into, from)
    }

    /// The same as [`ProcessMemory::transfer`], one range at a time.
    fn transfer_from_mem(&self, into: &mut [u8], from: &[RemoteIoVec]) -> Result<usize> {
        let mem = self.mem()?;
        let mut done = 0;
        for range in from {
            let Some(buf) = into.get_mut(done..done + range.len) else { break };
            let mut filled = 0;
            while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match sys::pread(mem, rest, (range.base as u64).saturating_add(filled as u64)) {
                    // No memory any more: the program has ended, or has executed another one.
                    Ok(0) => return Err(TargetError::Ended { pid: self.pid }),
                    Ok(n) => filled += n,
                    Err(_) => return Ok(done + filled),
                }
            }
            done += filled;
        }
        Ok(done)
    }

    fn transfer_any(&self, into: &mut [u8], from: &[RemoteIoVec]) -> Result<usize> {
        let start = from.first().map_or(0, |first| first.base as u64);
        let end = from.last().map_or(0, |last| (last.base as u64).saturating_add(last.len as u64));
        self.watch.during(start..end, || {
            if self.no_vectors.load(Ordering::Relaxed) {
                self.transfer_from_mem(into, from)
            } else {
                self.transfer(into, from)
            }
        })
    }
}

impl Memory for ProcessMemory {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let unmapped = TargetError::Unmapped { address, len: buf.len() };
            let Some(from) = address.checked_add(done as u64) else { return Err(unmapped) };
            let Some(rest) = buf.get_mut(done..) else { return Err(unmapped) };
            let from = [remote(from, rest.len().min(MAX_BYTES))];
            match self.transfer_any(rest, &from)? {
                0 => return Err(unmapped),
                n => done += n,
            }
        }
        Ok(())
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        ok.fill(false);
        SCRATCH.with_borrow_mut(|scratch| {
            let mut reading = Reading { ranges, next: 0, at: 0, limit: MAX_VECTORS };
            while reading.next < ranges.len() {
                let batch = reading.gather(buf.len(), scratch);
                let n = match batch.span {
                    0 => 0,
                    span if batch.has_gaps => {
                        scratch.bounce.resize(BOUNCE, 0);
                        let into = scratch.bounce.get_mut(..span).unwrap_or_default();
                        self.transfer_any(into, &scratch.vectors)?
                    }
                    span => {
                        let into = buf.get_mut(reading.at..reading.at + span).unwrap_or_default();
                        self.transfer_any(into, &scratch.vectors)?
                    }
                };
                reading.account(&batch, n, scratch, buf, ok);
            }
            Ok(())
        })?;
        // Checked after reading: if the process still lives, the pid was its own all along.
        if self.has_ended() { Err(TargetError::Ended { pid: self.pid }) } else { Ok(()) }
    }
}
