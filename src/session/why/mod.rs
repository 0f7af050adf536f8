//! Reads processes that wait for each other, so that a waiting task can be followed to its cause through all of them.
//!
//! An [`Inquiry`] begins with one process, or with all of this machine. [`Inquiry::follow`] reads those that have the
//! other ends of what its tasks wait for, then those that these wait for, and so on; then it reads all of them again.
//! What is the same in both readings held at one moment together: the one between the last first reading and the
//! first second one. Nothing is stopped for that.
//!
//! ```no_run
//! use loiter::analysis::why::Why;
//! use loiter::session::why::{Inquiry, InquiryOptions};
//! use loiter::source::OpenOptions;
//!
//! let inquiry = Inquiry::of(&"api-server".parse()?, &OpenOptions::default(), InquiryOptions::default())?;
//! let found = inquiry.follow(None, &mut |step| eprintln!("{step}"))?;
//! for cause in Why::new(&found.system).causes().causes {
//!     println!("{} tasks depend on one cause", cause.tasks);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::analysis::why::{SeenProcess, System};
use crate::process::{Limit, TargetError};
use crate::runtimes::ReadOptions;
use crate::session::process::ProgramId;
use crate::snapshot::Snapshot;
use crate::source::{self, OpenOptions, Source, SourceError, running_processes};

mod again;
mod ends;
mod follow;
mod glance;
mod reach;
mod seen;

use seen::{Refused, Seen};

/// Of all processes of the machine, at most this many are looked at.
const GLANCED: usize = 512;

/// Time for one search through the descriptors and sockets of all processes.
const SEARCH: Duration = Duration::from_secs(10);

/// How far an inquiry goes.
#[derive(Debug, Clone)]
pub struct InquiryOptions {
    /// How processes are read. [`ReadOptions::causes`] is applied to it.
    pub read: ReadOptions,
    /// Other processes are read, too.
    pub others: bool,
    /// At most this many steps from process to process.
    pub depth: u32,
    /// At most this many processes are read.
    pub processes: usize,
    /// After this time nothing new is looked for. What was begun is finished.
    pub limit: Duration,
    /// How often everything is read anew if something in the way moved.
    pub retries: u32,
    /// If it is set from outside, the reading that goes on is given up and nothing new is begun: what the inquiry returns
    /// is of no use. It takes the place of [`ReadOptions::stop`].
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for InquiryOptions {
    fn default() -> Self {
        InquiryOptions {
            read: ReadOptions::default(),
            others: true,
            depth: 16,
            processes: 64,
            limit: Duration::from_secs(30),
            retries: 3,
            stop: None,
        }
    }
}

impl InquiryOptions {
    /// What the inquiry returns is of no use.
    fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

/// What an inquiry does at the moment. Displayed, it is a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InquiryStep<'a> {
    /// It reads a process.
    Reads {
        /// Its pid.
        pid: u32,
        /// Its short name.
        name: &'a str,
    },
    /// It looks for those who have the other ends of this many descriptors.
    Looks(usize),
    /// It reads this many processes again.
    ReadsAgain(usize),
}

impl fmt::Display for InquiryStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InquiryStep::Reads { pid, name } => write!(f, "reading pid {pid} ({name})"),
            InquiryStep::Looks(1) => write!(f, "looking for the other end of a descriptor"),
            InquiryStep::Looks(n) => write!(f, "looking for the other ends of {n} descriptors"),
            InquiryStep::ReadsAgain(1) => write!(f, "reading the process again"),
            InquiryStep::ReadsAgain(n) => write!(f, "reading {n} processes again"),
        }
    }
}

/// Called with each step.
pub type OnStep<'a> = dyn FnMut(InquiryStep<'_>) + 'a;

/// What an inquiry found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The processes. Their first readings may be later ones than [`Inquiry::first`].
    pub system: System,
    /// The tasks to be followed, as rows of the first reading of the first process. Tasks that ended meanwhile are
    /// left out.
    pub from: Vec<u32>,
    /// How often everything was read anew because something in the way moved.
    pub retries: u32,
}

/// Processes that are read to follow waits. See the [module](self).
pub struct Inquiry {
    options: InquiryOptions,
    /// When it began.
    begin: Instant,
    seen: Vec<Seen>,
    /// It began with one process, the first one.
    of_one: bool,
    /// Snapshots that cannot be read again.
    saved: Option<Arc<Snapshot>>,
    left_out: Vec<String>,
}

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiry").field("processes", &self.seen.len()).finish_non_exhaustive()
    }
}

impl Inquiry {
    fn new(options: InquiryOptions) -> Self {
        let stop = options.stop.clone().or_else(|| options.read.stop.clone());
        let read = ReadOptions { stop: stop.clone(), ..options.read.clone().causes() };
        Inquiry {
            options: InquiryOptions { read, stop, ..options },
            begin: Instant::now(),
            seen: Vec::new(),
            of_one: false,
            saved: None,
            left_out: Vec::new(),
        }
    }

    /// Begins with a process, which is read, or with a file.
    ///
    /// # Errors
    /// The process or the file cannot be read. A process without a runtime is read as its threads.
    pub fn of(source: &Source, open: &OpenOptions, options: InquiryOptions) -> source::Result<Inquiry> {
        let mut inquiry = Inquiry::new(options);
        match source.resolve()? {
            Source::Pid(pid) => {
                let failed = |source| source::SourceError::Target { what: source::describe(pid), source };
                let mut seen = Seen::open(pid, 0).map_err(failed)?;
                seen.read(&inquiry.options.read).map_err(failed)?;
                inquiry.seen.push(seen);
                inquiry.of_one = true;
            }
            other => {
                let open = OpenOptions { read: inquiry.options.read.clone(), exe: open.exe.clone() };
                let saved = Arc::new(source::open(&other, &open)?.snapshot);
                return Ok(Inquiry::of_saved(saved, inquiry.options));
            }
        }
        Ok(inquiry)
    }

    /// Begins with a program that runs, which is read.
    ///
    /// # Errors
    /// The process cannot be read, or it runs this program no longer.
    pub fn of_program(program: ProgramId, options: InquiryOptions) -> source::Result<Inquiry> {
        let pid = program.pid();
        let inquiry = Inquiry::of(&Source::Pid(pid), &OpenOptions::default(), options)?;
        match ProgramId::of(pid) {
            // It ran all the time: a program that was replaced does not come back.
            Ok(now) if now == program => Ok(inquiry),
            _ => Err(SourceError::Target {
                what: source::describe(pid),
                source: TargetError::NoProcess { pid }.into(),
            }),
        }
    }

    /// Begins with a snapshot that was taken earlier, and ends there: nothing else is read.
    pub fn of_saved(snapshot: Arc<Snapshot>, options: InquiryOptions) -> Inquiry {
        let mut inquiry = Inquiry::new(options);
        let what = "one saved reading of one process: what is at the other ends of connections and pipes is not known";
        inquiry.left_out.push(what.to_owned());
        inquiry.saved = Some(snapshot);
        inquiry
    }

    /// The same tasks in [`Inquiry::first`], as its rows; `rows` are those of an earlier reading of the program. Tasks that
    /// have ended are left out.
    pub fn rows_of(&self, before: &Arc<Snapshot>, rows: &[u32]) -> Vec<u32> {
        let first = self.saved.as_ref().or_else(|| self.seen.first()?.first.as_ref());
        first.map_or(Vec::new(), |first| seen::same_tasks(before, rows, first))
    }

    /// Begins with every process of this machine that has a runtime and can be read, as far as the options allow: first
    /// with those whose tasks have waited for each other for the longest time.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub fn of_all(options: InquiryOptions, on_step: &mut OnStep<'_>) -> source::Result<Inquiry> {
        let mut inquiry = Inquiry::new(options);
        let (mut refused, mut not_read) = (0, 0);
        let glance = glance::options(&inquiry.options.read);
        let mut found = Vec::new();
        for who in running_processes()? {
            let is_late =
                inquiry.begin.elapsed() >= inquiry.options.limit / 2 || inquiry.options.is_stopped();
            if found.len() >= GLANCED || is_late {
                not_read += 1;
                continue;
            }
            on_step(InquiryStep::Reads { pid: who.pid, name: &who.name });
            let seen = Seen::open_with_runtime(who.pid);
            let look = |seen: Seen| {
                let snapshot = seen.look(&glance)?;
                Ok((glance::longest_waits(&snapshot), seen))
            };
            match seen.and_then(look) {
                Ok(one) => found.push(one),
                Err(error) if error.kind() == crate::ErrorKind::Permission => refused += 1,
                Err(error) => inquiry.left_out.extend(Refused::new(who.pid, error).sentence_if_odd()),
            }
        }
        // Where tasks have waited for each other for the longest time, the cause is most likely.
        found.sort_by_key(|(waits, seen)| (Reverse(*waits), seen.pid));
        for (_, mut seen) in found {
            if inquiry.seen.len() >= inquiry.options.processes || inquiry.is_late() {
                not_read += 1;
                continue;
            }
            on_step(InquiryStep::Reads { pid: seen.pid, name: &seen.name });
            match seen.read(&inquiry.options.read) {
                Ok(()) => inquiry.seen.push(seen),
                Err(error) => inquiry.left_out.extend(Refused::new(seen.pid, error).sentence()),
            }
        }
        if refused > 0 {
            let who = follow::processes(refused);
            inquiry.left_out.push(format!("{who} may not be read: run loiter as root (sudo)"));
        }
        if not_read > 0 {
            inquiry.left_out.push(format!(
                "not examined, because loiter reads at most {} in {} s: {}",
                follow::processes(inquiry.options.processes),
                inquiry.options.limit.as_secs(),
                follow::processes(not_read)
            ));
        }
        Ok(inquiry)
    }

    /// The reading of the process that the inquiry began with. None if there is no process at all.
    pub fn first(&self) -> Option<&Snapshot> {
        self.saved.as_deref().or_else(|| self.seen.first()?.first.as_deref())
    }

    /// How long one search through the descriptors and sockets of all processes may go on.
    fn search_limit(&self) -> Limit {
        Limit::of(SEARCH).or_when(self.options.stop.clone())
    }

    /// Nothing new is begun any more.
    fn is_late(&self) -> bool {
        self.begin.elapsed() >= self.options.limit || self.options.is_stopped()
    }

    /// Follows these tasks (rows of [`Inquiry::first`]), or everything that waits, through other processes, and reads
    /// all processes again.
    ///
    /// # Errors
    /// The process that the inquiry began with has ended meanwhile.
    pub fn follow(mut self, from: Option<&[u32]>, on_step: &mut OnStep<'_>) -> source::Result<Outcome> {
        if let Some(saved) = &self.saved {
            let target = &saved.header.target;
            let mut system = System::default();
            system.processes.push(SeenProcess {
                pid: target.pid.unwrap_or(0),
                name: target.name.clone(),
                first: Arc::clone(saved),
                second: None,
            });
            system.asked = 1;
            system.left_out = self.left_out;
            let from = from.map(<[u32]>::to_vec).unwrap_or_default();
            return Ok(Outcome { system, from, retries: 0 });
        }
        let ends = follow::follow(&mut self, from, on_step);
        again::read_again(self, from, ends, on_step)
    }
}
