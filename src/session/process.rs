//! A process that is read again and again, and found again when it was restarted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Trouble;
use crate::process::{self, Target, TargetError, beginning, begun};
use crate::runtimes::{ReadOptions, Readable};
use crate::snapshot::{Snapshot, TargetInfo};
use crate::source::{Program, SourceError, Successor, describe, find_successor};

/// How long after its memory is gone a program's end may take to become known.
const DYING: Duration = Duration::from_secs(2);
/// A process that replaces itself by another program (execve) during a reading is read again, at most this many
/// times in all.
const PROGRAMS: usize = 4;

/// A program that runs: another process with the same pid has another one, and so has a process after execve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramId {
    pid: u32,
    start_ticks: Option<u64>,
    began: Option<u64>,
}

impl ProgramId {
    /// The program that a process runs now.
    ///
    /// # Errors
    /// There is no such process, or it cannot be read.
    pub fn of(pid: u32) -> Result<ProgramId, TargetError> {
        let began = begun(pid);
        let start_ticks = process::open_pid(pid)?.info().start_ticks;
        Ok(ProgramId { pid, start_ticks, began })
    }

    /// One that no process runs.
    #[cfg(test)]
    pub(crate) fn made_up(pid: u32) -> ProgramId {
        ProgramId { pid, start_ticks: None, began: None }
    }

    /// The process.
    pub fn pid(self) -> u32 {
        self.pid
    }

    /// Whether the process still runs it. `target`: the process, opened now.
    pub(super) fn runs(self, target: &dyn Target) -> bool {
        target.info().start_ticks == self.start_ticks && !is_another(self.began, beginning(self.pid))
    }
}

/// A process that is read again and again.
pub(super) struct Process {
    pid: u32,
    /// The name that was used to find it, if any.
    name: Option<String>,
    /// Loiter has started it.
    program: Option<Arc<Program>>,
    pub(super) options: ReadOptions,
    /// After its end, the process that replaces it is read.
    pub(super) restart: bool,
    /// How many programs were read so far.
    pub(super) programs: u32,
    /// "pid 4242 (api-server, user www)".
    what: String,
    /// Its identity: another process may get its pid.
    who: Option<TargetInfo>,
    /// What the kernel told the program that was attached last when it began.
    began: Option<u64>,
    /// When it was last known to exist.
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
        // Before anything is read: a different program that replaces it is noticed later.
        let began = begun(self.pid);
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

    /// The program that is attached. None if none is.
    pub(super) fn program_id(&self) -> Option<ProgramId> {
        self.attached.as_ref()?;
        let start_ticks = self.who.as_ref()?.start_ticks;
        Some(ProgramId { pid: self.pid, start_ticks, began: self.began })
    }

    /// The error together with its process.
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
            // The data may then be of two programs, or of one that was never examined.
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

    /// It has ended: finds the process that replaced it.
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
                // Counted already, even if this one cannot be read at once.
                self.programs += 1;
                Trouble::Restarted { pid, new_pid }
            }
            successor => Trouble::Ended { pid, successor, waits: self.restart },
        }
    }
}

/// Whether a program is another one than before.
pub(super) fn is_another(before: Option<u64>, now: Option<u64>) -> bool {
    before.zip(now).is_some_and(|(before, now)| before != now)
}
