//! One process of an inquiry.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::analysis::why::SeenProcess;
use crate::process::sockets::unix_address;
use crate::process::{self, Target, TargetError, beginning, begun, calls};
use crate::runtimes::{ReadOptions, Readable};
use crate::session::process::is_another;
use crate::snapshot::{Endpoint, Snapshot, SystemCall, Task};
use crate::{Error, ErrorKind, Result, full_text, source};

/// A process that is read twice.
pub(super) struct Seen {
    pub(super) pid: u32,
    pub(super) name: String,
    /// How many steps lead to it from the process that the inquiry began with.
    pub(super) depth: u32,
    /// Its descriptors at whose other ends others wait: who has them is asked.
    pub(super) ends: BTreeSet<u32>,
    /// It notices if another process gets the pid.
    target: Box<dyn Target>,
    readable: Readable,
    /// What the kernel told the program when it began: another one has another.
    began: Option<u64>,
    pub(super) first: Option<Arc<Snapshot>>,
    pub(super) second: Option<Arc<Snapshot>>,
}

impl Seen {
    /// Finds the runtimes of a process. One without any is read as its threads.
    pub(super) fn open(pid: u32, depth: u32) -> Result<Seen> {
        Seen::open_as(pid, depth, |target| match Readable::find(target) {
            Err(Error::NoRuntime { .. }) => Ok(Readable::of_threads(target)),
            found => found,
        })
    }

    /// The same for one that has a runtime.
    pub(super) fn open_with_runtime(pid: u32) -> Result<Seen> {
        Seen::open_as(pid, 0, Readable::find)
    }

    fn open_as(pid: u32, depth: u32, find: impl Fn(&dyn Target) -> Result<Readable>) -> Result<Seen> {
        let began = begun(pid);
        let target = process::open_pid(pid)?;
        let readable = find(target.as_ref())?;
        let name = target.info().name.clone();
        let ends = BTreeSet::new();
        Ok(Seen { pid, name, depth, ends, target, readable, began, first: None, second: None })
    }

    /// Reads it without keeping that.
    pub(super) fn look(&self, options: &ReadOptions) -> Result<Arc<Snapshot>> {
        self.snapshot(options)
    }

    fn snapshot(&self, options: &ReadOptions) -> Result<Arc<Snapshot>> {
        let snapshot = self.readable.read(self.target.as_ref(), options)?;
        // What was read may then be of two programs.
        if is_another(self.began, beginning(self.pid)) {
            return Err(TargetError::NoProcess { pid: self.pid }.into());
        }
        Ok(Arc::new(snapshot))
    }

    /// Reads it for the first time. A second reading of before is forgotten.
    pub(super) fn read(&mut self, options: &ReadOptions) -> Result<()> {
        self.second = None;
        let ends = self.ends.iter().copied().collect();
        self.first = Some(self.snapshot(&ReadOptions { ends, ..options.clone() })?);
        Ok(())
    }

    /// Reads it again, to see what has not moved.
    pub(super) fn read_again(&mut self, options: &ReadOptions) -> Result<()> {
        self.second = Some(self.snapshot(options)?);
        Ok(())
    }

    /// The address that a unix socket is being connected to, or that a datagram is being sent to, by a call that waits in the
    /// first reading. The kernel does not say it of the socket. None if several calls have different ones.
    pub(super) fn addressed(&self, fd: u32) -> Option<Endpoint> {
        let calls = &self.first.as_ref()?.links.calls;
        let all = calls.iter().filter(|call| call.arguments[0] as u32 == fd);
        let mut addresses = all.filter_map(|call| self.address_in(call));
        let first = addresses.next()?;
        addresses.all(|other| other == first).then_some(first)
    }

    /// The address of a unix socket in the arguments of a call.
    fn address_in(&self, call: &SystemCall) -> Option<Endpoint> {
        let target = self.target.as_ref();
        let [_, second, third, _, fifth, sixth] = call.arguments;
        let (address, len) = match calls::name(call.number)? {
            "connect" => (second, third),
            "sendto" => (fifth, sixth),
            // `struct msghdr` begins with the address and its length.
            "sendmsg" => {
                (target.read_u64(second).ok()?, target.read_u32(second.checked_add(8)?).ok()?.into())
            }
            _ => return None,
        };
        // The upper half of an `int` argument has no meaning.
        unix_address(target, address, u64::from(len as u32))
    }

    /// What was read, for analysis. None before the first reading.
    pub(super) fn seen(&self) -> Option<SeenProcess> {
        Some(SeenProcess {
            pid: self.pid,
            name: self.name.clone(),
            first: Arc::clone(self.first.as_ref()?),
            second: self.second.clone(),
        })
    }
}

/// A process that could not be read.
pub(super) struct Refused {
    pid: u32,
    error: Error,
}

impl Refused {
    pub(super) fn new(pid: u32, error: Error) -> Self {
        Refused { pid, error }
    }

    /// Who it is, why it was left out, and what helps.
    pub(super) fn sentence(&self) -> Option<String> {
        let who = source::describe(self.pid);
        if self.error.is_gone() {
            return Some(format!("{who} has ended or is another program by now: it was left out"));
        }
        let remedy = match &self.error {
            Error::Target(TargetError::Permission { remedy, .. }) => remedy.first().map(String::as_str),
            _ => None,
        };
        let remedy = remedy.map(|line| format!(" ({line})")).unwrap_or_default();
        Some(format!("{who} could not be read: {}{remedy}", full_text(&self.error)))
    }

    /// The same, unless it is as usual: it has no runtime, or it has ended.
    pub(super) fn sentence_if_odd(&self) -> Option<String> {
        let is_usual = self.error.is_gone() || self.error.kind() == ErrorKind::NoRuntime;
        self.sentence().filter(|_| !is_usual)
    }
}

/// The rows of the same tasks in another reading of the process.
pub(super) fn same_tasks(before: &Arc<Snapshot>, rows: &[u32], now: &Arc<Snapshot>) -> Vec<u32> {
    if Arc::ptr_eq(before, now) {
        return rows.to_vec();
    }
    let identity = |task: &Task| (task.runtime, task.id, task.address);
    let known: FxHashMap<_, u32> = now.tasks.iter().map(identity).zip(0..).collect();
    let task = |row: &u32| before.tasks.get(*row as usize);
    rows.iter().filter_map(|row| known.get(&identity(task(row)?)).copied()).collect()
}
