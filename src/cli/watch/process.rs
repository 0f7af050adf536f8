//! A process that is read again and again, and found again when it was restarted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dashboard::reader::{Input, Trouble};
use crate::process::{self, Target, TargetError};
use crate::runtimes::{ReadOptions, Readable};
use crate::snapshot::{Snapshot, TargetInfo};
use crate::source::{Program, Successor, find_successor};

/// How long the end of a program may take to be known, once its memory is gone.
const DYING: Duration = Duration::from_secs(2);

/// A process that is read again and again.
pub(super) struct Process {
    pub(super) pid: u32,
    /// It was asked for by this name.
    pub(super) name: Option<String>,
    /// Loiter has started it.
    pub(super) program: Option<Arc<Program>>,
    options: ReadOptions,
    /// Who it is: another process may get its pid.
    who: Option<TargetInfo>,
    /// When it was certainly there.
    seen: Instant,
    attached: Option<(Box<dyn Target>, Readable)>,
}

impl Process {
    pub(super) fn new(pid: u32, options: ReadOptions) -> Self {
        let seen = Instant::now();
        Process { pid, name: None, program: None, options, who: None, seen, attached: None }
    }

    pub(super) fn attach(&mut self) -> Result<(), crate::Error> {
        let target = process::open_pid(self.pid)?;
        let start_ticks = target.info().start_ticks;
        if self.who.as_ref().is_some_and(|before| before.start_ticks != start_ticks) {
            return Err(TargetError::NoProcess { pid: self.pid }.into());
        }
        // Anew each time: a program that calls execve is another one with the same pid.
        self.who = Some(target.info().clone());
        let readable = Readable::find(target.as_ref())?;
        self.attached = Some((target, readable));
        Ok(())
    }

    fn try_to_read(&mut self) -> Result<Snapshot, crate::Error> {
        if self.attached.is_none() {
            self.attach()?;
        }
        let Some((target, readable)) = &self.attached else {
            return Err(TargetError::NoProcess { pid: self.pid }.into());
        };
        let snapshot = readable.read(target.as_ref(), &self.options);
        match &snapshot {
            Ok(_) => self.seen = Instant::now(),
            // It may have become another program: everything is looked for anew.
            Err(_) => self.attached = None,
        }
        snapshot
    }

    /// It has ended: finds the one that took its place.
    fn find_again(&mut self) -> Trouble {
        if let Some(program) = &self.program {
            let how = program.ended_within(DYING).unwrap_or_else(|| "it cannot be read any more".to_owned());
            let words = program.last_words().pop().map_or_else(String::new, |line| format!(": {line}"));
            return Trouble::Final(format!("the program has ended: {how}{words}"));
        }
        let pid = self.pid;
        let found = match &self.who {
            Some(who) => find_successor(who, self.name.as_deref(), self.seen),
            None => Successor::Nobody,
        };
        match found {
            Successor::Pid(new) => {
                (self.pid, self.who, self.attached) = (new, None, None);
                Trouble::Passing(format!("process {pid} has ended and was started again as pid {new}"))
            }
            Successor::Nobody => Trouble::Ended(format!("process {pid} has ended (waiting for a new one)")),
            Successor::Several(pids) => {
                let pids: Vec<String> = pids.iter().take(8).map(u32::to_string).collect();
                Trouble::Ended(format!("process {pid} has ended; several look like it: {}", pids.join(", ")))
            }
        }
    }
}

impl Input for Process {
    fn read(&mut self) -> Result<Snapshot, Trouble> {
        let error = match self.try_to_read() {
            Ok(snapshot) => return Ok(snapshot),
            Err(error) if !is_gone(&error) => return Err(Trouble::Passing(crate::full_text(&error))),
            Err(_) => self.find_again(),
        };
        match error {
            // The new one may be readable already.
            Trouble::Passing(why) => self.try_to_read().map_err(|_| Trouble::Passing(why)),
            other => Err(other),
        }
    }
}

/// There is nobody to be read any more.
fn is_gone(error: &crate::Error) -> bool {
    use TargetError::{Ended, NoProcess, Zombie};
    matches!(error, crate::Error::Target(NoProcess { .. } | Ended { .. } | Zombie { .. }))
}
