//! Runs a program, and looks at what it leaves when it ends.
//!
//! [`run`] becomes the program, or its parent: `process/hold` holds it at its end. While it is held, it is read and
//! judged, read again while tasks are left that may still end, and reported on. Only then it goes on. If asked to, a
//! thread also reads it while it runs (`watch`).

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::analysis::gate::{Terms, Verdict, Watch, Watched};
use crate::cause::full_text;
use crate::process::hold::{self, Command, End, HoldError, Side, Traced};
use crate::runtimes::ReadOptions;
use crate::snapshot::Snapshot;

mod look;
mod program;
mod watch;

use look::Look;
use program::HeldProgram;
use watch::Watcher;

/// Beyond the time to settle, a program is never held longer than this: a reading that hangs is left behind.
const LONGEST: Duration = Duration::from_secs(120);
/// A program that is held waits so long for whoever reads the report, and then goes on. What was not taken until then is
/// told while it ends, and after that.
const READER: Duration = Duration::from_secs(1);
/// How long a program may take to end after SIGTERM.
const FAREWELL: Duration = Duration::from_secs(10);

/// How the end of a program is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum How {
    /// By a filter, and where that is refused by a trace.
    #[default]
    Auto,
    /// By a filter, or not at all.
    Seccomp,
    /// By a trace.
    Ptrace,
}

/// What is run, and how.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The program and its arguments.
    pub(crate) words: Vec<OsString>,
    /// Variables of its environment that are changed or added.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// How its end is noticed.
    pub(crate) how: How,
    /// How long it is read again while tasks are left.
    pub(crate) settle: Duration,
    /// After this long it is read and ended.
    pub(crate) timeout: Option<Duration>,
    /// How often it is read while it runs. None: only at its end.
    pub(crate) watch: Option<Duration>,
    /// Its status in place of 0, if the gate fails.
    pub(crate) exit_code: u8,
    /// How it is read.
    pub(crate) read: ReadOptions,
    /// What counts.
    pub(crate) terms: Terms,
}

/// When a program was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It was held at its end.
    End,
    /// It was held at its end by a trace: the threads were gone already.
    TracedEnd,
    /// It ended without a chance to look: by a signal, or it was replaced by nothing that could be held.
    Never,
    /// It ran for too long, and was looked at before it was ended.
    Timeout(Duration),
}

/// What was found of a program.
#[derive(Debug)]
pub(crate) struct Found {
    /// When it was looked at.
    pub(crate) moment: Moment,
    /// The last reading: one while it ran, if there is none of its end.
    pub(crate) last: Option<Arc<Snapshot>>,
    /// The verdict on all readings. Without one, it says so.
    pub(crate) verdict: Verdict,
    /// Why there is no reading, or none after the last one.
    pub(crate) trouble: Option<String>,
    /// How long the program was held until now.
    pub(crate) held: Duration,
    /// The status with which the program is about to end, as far as it is known.
    pub(crate) status: Option<u8>,
}

impl Found {
    /// Adds what was seen while the program ran.
    fn join(&mut self, watch: &Watch, watched: Watched, terms: &Terms) {
        watch.join(&mut self.verdict, terms);
        self.verdict.watched = Some(watched);
        if self.last.is_none() {
            self.last = watch.last().cloned();
        }
    }

    fn not_watched(&mut self, why: String) {
        self.verdict.watched = Some(Watched { failed: 1, trouble: Some(why), ..Watched::default() });
    }
}

/// What is done in the process that accompanies a program.
pub(crate) trait Reporter {
    /// This process accompanies the program from here on. It may have more threads than one.
    fn begin(&mut self);
    /// Tells what was found, while the program is still held. Says whether the gate fails.
    fn report(&mut self, found: &Found) -> bool;
    /// Waits until what was told has been taken, no longer than this.
    fn wait_for_reader(&mut self, limit: Duration);
}

/// Runs the program. Returns in the process that accompanies the program, after its end, or in the program's parent:
/// then with how it ended. If the program could be started in place, this process is it, and does not return.
///
/// # Errors
/// The program cannot be started or held.
pub(crate) fn run(options: &Options, reporter: &mut dyn Reporter) -> Result<Option<End>, HoldError> {
    let command = Command::new(&options.words, &options.environment)?;
    if options.how != How::Ptrace {
        match hold::fork(options.settle.saturating_add(LONGEST)) {
            Ok(Side::Program(program)) => return Err(program.execute(&command)),
            Ok(Side::Worker(mut worker)) => {
                reporter.begin();
                attend(&mut worker, options, reporter);
                reporter.wait_for_reader(LONGEST);
                worker.cover();
                return Ok(None);
            }
            Err(HoldError::Refused(errno)) if options.how == How::Auto => {
                tracing::info!(errno = errno.desc(), "the seccomp filter is refused: the program is traced");
            }
            Err(error) => return Err(error),
        }
    }
    let mut traced = Traced::start(&command)?;
    reporter.begin();
    let instead = attend(&mut traced, options, reporter);
    let end = traced.finish(&command)?;
    // Whoever waits for the program waits for this process.
    reporter.wait_for_reader(READER);
    Ok(Some(match (end, instead) {
        (End::Exited(0), Some(status)) => End::Exited(status),
        (end, _) => end,
    }))
}

/// Waits for the end of the program, looks, reports, and lets it go on. Returns the status that the program should end
/// with in place of 0.
fn attend(program: &mut dyn HeldProgram, options: &Options, reporter: &mut dyn Reporter) -> Option<u8> {
    let deadline = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let watcher = options.watch.map(|every| Watcher::start(program.pid(), every, options));
    let event = program.wait(deadline);
    let watched = watcher.map(|watcher| watcher.map(Watcher::finish));
    let found = match event {
        hold::Event::Held(tid) => Look::new(program, options).at_end(tid),
        hold::Event::TimedOut => Look::new(program, options).too_late(options.timeout.unwrap_or_default()),
        hold::Event::Ended => {
            // The shell that reports on a command that could not be started must not be preceded by us.
            if program.was_started() { Some(Look::new(program, options).never()) } else { None }
        }
        hold::Event::NotStarted => None,
    };
    let Some(mut found) = found else {
        program.let_go();
        return None;
    };
    match watched {
        Some(Ok(Some((watch, watched)))) => found.join(&watch, watched, &options.terms),
        Some(Ok(None)) => found.not_watched("the thread that reads it has failed".to_owned()),
        Some(Err(error)) => found.not_watched(full_text(&error)),
        None => {}
    }
    let fails = reporter.report(&found);
    reporter.wait_for_reader(READER);
    if fails && found.status == Some(0) {
        program.end_with(options.exit_code);
    } else {
        program.let_go();
    }
    fails.then_some(options.exit_code)
}
