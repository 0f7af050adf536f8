//! A process that is read again and again, and found again when it was restarted.

use std::fs;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHasher;

use super::Trouble;
use crate::process::{self, Target, TargetError};
use crate::runtimes::{ReadOptions, Readable};
use crate::snapshot::{Snapshot, TargetInfo};
use crate::source::{Program, SourceError, Successor, describe, find_successor};

/// How long the end of a program may take to be known, once its memory is gone.
const DYING: Duration = Duration::from_secs(2);
/// A process that replaces itself by another program (execve) while it is read is read again, so many times in
/// all.
const PROGRAMS: usize = 4;

/// A process that is read again and again.
pub(super) struct Process {
    pid: u32,
    /// The name that it was asked for by, if it was.
    name: Option<String>,
    /// Loiter has started it.
    program: Option<Arc<Program>>,
    pub(super) options: ReadOptions,
    /// The process that takes its place is read when it has ended.
    pub(super) restart: bool,
    /// Programs that were read so far, one after the other.
    pub(super) programs: u32,
    /// "pid 4242 (api-server, user www)".
    what: String,
    /// Who it is: another process may get its pid.
    who: Option<TargetInfo>,
    /// What the kernel told the program that was attached last when it began.
    began: Option<u64>,
    /// When it was certainly there.
    seen: Instant,
    attached: Option<(Box<dyn Target>, Readable)>,
}

impl Process {
    pub(super) fn new(pid: u32, name: Option<String>, program: Option<Arc<Program>>) -> Self {
        Process {
            pid,
            name,
            program,
            options: ReadOptions::default(),
            restart: true,
            programs: 0,
            what: describe(pid),
            who: None,
            began: None,
            seen: Instant::now(),
            attached: None,
        }
    }

    /// Finds the runtimes of the process.
    pub(super) fn attach(&mut self) -> Result<(), crate::Error> {
        // Before anything is read: what is read of another program that takes its place is noticed later.
        let began = beginning(self.pid);
        let target = process::open_pid(self.pid)?;
        let start_ticks = target.info().start_ticks;
        if self.who.as_ref().is_some_and(|before| before.start_ticks != start_ticks) {
            return Err(TargetError::NoProcess { pid: self.pid }.into());
        }
        self.who = Some(target.info().clone());
        let readable = Readable::find(target.as_ref())?;
        if self.programs == 0 || is_another(self.began, began) {
            self.programs += 1;
        }
        self.began = began;
        self.attached = Some((target, readable));
        Ok(())
    }

    /// The error with the process that it is of.
    pub(super) fn failed(&self, source: crate::Error) -> SourceError {
        SourceError::Target { what: self.what.clone(), source }
    }

    pub(super) fn read(&mut self) -> Result<Snapshot, Trouble> {
        match self.try_to_read() {
            Ok(snapshot) => Ok(snapshot),
            Err(error) if !error.is_gone() => Err(Trouble::Unreadable(Box::new(self.failed(error)))),
            Err(_) => match self.find_again() {
                // The new process may be readable already.
                trouble @ Trouble::Restarted { .. } => self.try_to_read().map_err(|_| trouble),
                trouble => Err(trouble),
            },
        }
    }

    fn try_to_read(&mut self) -> Result<Snapshot, crate::Error> {
        for _ in 0..PROGRAMS {
            if self.attached.is_none() {
                self.attach()?;
            }
            let Some((target, readable)) = &self.attached else { break };
            let snapshot = readable.read(target.as_ref(), &self.options);
            // What was read may be of two programs then, or of one that was never looked at.
            if is_another(self.began, beginning(self.pid)) {
                self.attached = None;
                continue;
            }
            match &snapshot {
                Ok(_) => self.seen = Instant::now(),
                // The next reading looks for everything anew.
                Err(_) => self.attached = None,
            }
            return snapshot;
        }
        Err(TargetError::GivenUp { pid: self.pid }.into())
    }

    /// It has ended: finds the one that took its place.
    fn find_again(&mut self) -> Trouble {
        if let Some(program) = &self.program {
            let how = program.ended_within(DYING);
            return Trouble::ProgramEnded { how, last_line: program.last_lines().pop() };
        }
        let pid = self.pid;
        let name = self.name.as_deref().filter(|_| self.restart);
        let found = self.who.as_ref().map(|who| find_successor(who, name, self.seen));
        match found.unwrap_or(Successor::Nobody) {
            Successor::Pid(new_pid) if self.restart => {
                (self.pid, self.who, self.began, self.attached) = (new_pid, None, None, None);
                self.what = describe(new_pid);
                // Counted already, whether or not this one can be read at once.
                self.programs += 1;
                Trouble::Restarted { pid, new_pid }
            }
            successor => Trouble::Ended { pid, successor, waits: self.restart },
        }
    }
}

/// Something that a program keeps from its beginning to its end, and that the next program of the same process
/// (after execve) does not have: the addresses at which the kernel has put what it tells the program, which are
/// random. None if that cannot be known.
fn beginning(pid: u32) -> Option<u64> {
    let vector = fs::read(format!("/proc/{pid}/auxv")).ok().filter(|vector| !vector.is_empty())?;
    let mut hasher = FxHasher::default();
    vector.hash(&mut hasher);
    Some(hasher.finish())
}

fn is_another(before: Option<u64>, now: Option<u64>) -> bool {
    before.zip(now).is_some_and(|(before, now)| before != now)
}
