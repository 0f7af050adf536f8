//! One look at a program: readings and a verdict.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::program::HeldProgram;
use super::{FAREWELL, Found, Moment, Options};
use crate::analysis::gate::{Terms, Verdict, judge};
use crate::analysis::lore;
use crate::cause::full_text;
use crate::process::hold::Event;
use crate::process::open_pid;
use crate::runtimes::libtest;
use crate::session::Trouble;
use crate::session::process::Process;
use crate::snapshot::Snapshot;
use crate::source::SourceError;

/// The time between two readings: it doubles from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(160);

pub(super) struct Look<'a> {
    program: &'a mut dyn HeldProgram,
    options: &'a Options,
    found: Found,
    /// As they are judged.
    readings: Vec<Arc<Snapshot>>,
    since: Instant,
}

impl<'a> Look<'a> {
    pub(super) fn new(program: &'a mut dyn HeldProgram, options: &'a Options) -> Look<'a> {
        let found = Found {
            moment: Moment::Never,
            last: None,
            verdict: Verdict::default(),
            trouble: None,
            held: Duration::ZERO,
            status: None,
        };
        Look { program, options, found, readings: Vec::new(), since: Instant::now() }
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
        match self.program.wait(Some(Instant::now() + FAREWELL)) {
            // Its handler of SIGTERM ends it: what it leaves now is what counts.
            Event::Held(tid) => {
                self.readings.clear();
                let ending = (!self.program.is_traced()).then_some(tid);
                self.read(self.options.settle, ending);
                self.found.status = self.program.status();
            }
            Event::TimedOut => self.program.signal(libc::SIGKILL),
            Event::Ended | Event::NotStarted => {}
        }
        Some(self.finish())
    }

    fn finish(mut self) -> Found {
        if self.readings.is_empty() {
            self.found.verdict = judge(&[], &self.options.terms);
        }
        self.found.held = self.since.elapsed();
        self.found
    }

    /// Reads the program until nothing is left that may still end, for no longer than `settle`.
    fn read(&mut self, settle: Duration, ending: Option<u32>) {
        let is_frozen = self.found.moment == Moment::TracedEnd;
        let mut terms = Terms { ending, is_frozen, ..self.options.terms.clone() };
        let mut process = Process::new(self.program.pid(), None, None);
        process.options = self.options.read.clone();
        process.restart = false;
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match process.read() {
                Ok(snapshot) => {
                    if self.readings.is_empty() {
                        terms.tests = tests_of(self.program.pid(), &snapshot);
                    }
                    self.add(snapshot);
                }
                Err(trouble) => {
                    self.found.trouble = Some(said(&trouble));
                    return;
                }
            }
            self.found.verdict = judge(&self.readings, &terms);
            let left = settle.saturating_sub(begun.elapsed());
            // The first reading may take longer than that (debug information): what moved meanwhile gets a second one.
            let is_over = left.is_zero() && (settle.is_zero() || self.readings.len() > 1);
            if !self.found.verdict.has_left() || is_over || self.program.has_ended() {
                return;
            }
            thread::sleep(pause.min(left.max(FIRST_PAUSE)));
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// A reading, to be judged together with those before.
    fn add(&mut self, snapshot: Snapshot) {
        let whole = Arc::new(snapshot);
        self.found.last = Some(Arc::clone(&whole));
        self.readings.push(whole);
    }
}

/// The tests that a program lists, if those of its runtimes are not known by the names of their functions.
pub(super) fn tests_of(pid: u32, reading: &Snapshot) -> Arc<[String]> {
    if reading.header.runtimes.iter().all(|runtime| lore::of(&runtime.name).tests.is_some()) {
        return Arc::default();
    }
    match open_pid(pid).and_then(|target| libtest::tests(target.as_ref())) {
        Ok(tests) => tests.into(),
        Err(error) => {
            tracing::warn!("the tests of the program are not known: {}", full_text(&error));
            Arc::default()
        }
    }
}

/// Why a program could not be read, in words.
pub(super) fn said(trouble: &Trouble) -> String {
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
