//! One look at a program: readings and a verdict.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::program::HeldProgram;
use super::{FAREWELL, Found, Moment, Options};
use crate::analysis::gate::{Terms, judge};
use crate::cause::full_text;
use crate::process::hold::Event;
use crate::session::Trouble;
use crate::session::process::Process;
use crate::source::SourceError;

/// The time between two readings: it doubles from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(160);

pub(super) struct Look<'a> {
    program: &'a mut dyn HeldProgram,
    options: &'a Options,
    found: Found,
    since: Instant,
}

impl<'a> Look<'a> {
    pub(super) fn new(program: &'a mut dyn HeldProgram, options: &'a Options) -> Look<'a> {
        let found = Found {
            moment: Moment::Never,
            readings: Vec::new(),
            verdict: None,
            trouble: None,
            held: Duration::ZERO,
            status: None,
            instead: None,
        };
        Look { program, options, found, since: Instant::now() }
    }

    /// The program is held: thread `tid` is about to end it.
    pub(super) fn at_end(mut self, tid: u32) -> Option<Found> {
        let is_traced = self.program.is_traced();
        self.found.moment = if is_traced { Moment::TracedEnd } else { Moment::End };
        // Of a traced program nothing goes on: it cannot settle.
        let settle = if is_traced { Duration::ZERO } else { self.options.settle };
        let ending = (!is_traced).then_some(tid);
        if !self.program.was_started() {
            return None;
        }
        self.read(settle, ending);
        self.found.status = self.program.status();
        Some(self.finish())
    }

    /// The program ended without being held.
    pub(super) fn never(self) -> Found {
        self.finish()
    }

    /// The program runs for too long: it is looked at, and then ended.
    pub(super) fn too_late(mut self, after: Duration) -> Option<Found> {
        self.found.moment = Moment::Timeout(after);
        self.read(Duration::ZERO, None);
        self.program.signal(libc::SIGTERM);
        let deadline = Instant::now() + FAREWELL;
        loop {
            match self.program.wait(Some(deadline)) {
                // Its handler of SIGTERM ends it: what it leaves now is what counts.
                Event::Held(tid) => {
                    self.found.readings.clear();
                    let ending = (!self.program.is_traced()).then_some(tid);
                    self.read(self.options.settle, ending);
                    self.found.status = self.program.status();
                    break;
                }
                Event::TimedOut => {
                    self.program.signal(libc::SIGKILL);
                    break;
                }
                Event::Ended | Event::NotStarted => break,
            }
        }
        Some(self.finish())
    }

    fn finish(mut self) -> Found {
        self.found.held = self.since.elapsed();
        self.found
    }

    /// Reads the program until nothing is left that may still end, for no longer than `settle`.
    fn read(&mut self, settle: Duration, ending: Option<u32>) {
        let terms =
            Terms { ending: ending.map(|tid| inside(self.program.pid(), tid)), ..self.options.terms.clone() };
        let mut process = Process::new(self.program.pid(), None, None);
        process.options = self.options.read.clone();
        process.restart = false;
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match process.read() {
                Ok(snapshot) => self.found.readings.push(Arc::new(snapshot)),
                Err(trouble) => {
                    self.found.trouble = Some(said(&trouble));
                    return;
                }
            }
            let verdict = judge(&self.found.readings, &terms);
            let may_change = verdict.has_left();
            self.found.verdict = Some(verdict);
            let left = settle.saturating_sub(begun.elapsed());
            if !may_change || left.is_zero() || self.program.has_ended() {
                return;
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// The id of a thread as its own process sees it.
fn inside(pid: u32, tid: u32) -> u32 {
    crate::process::thread_inside(pid, tid).unwrap_or(tid)
}

/// Why a program could not be read, in words.
fn said(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Unreadable(error) => match error.as_ref() {
            SourceError::Target { source, .. } => full_text(source),
            error => full_text(error),
        },
        Trouble::Ended { .. } | Trouble::ProgramEnded { .. } | Trouble::Restarted { .. } => {
            "it was ended while it was read".to_owned()
        }
    }
}
