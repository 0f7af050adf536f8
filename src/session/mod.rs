//! A target that is read again and again.
//!
//! A [`Session`] opens a process, an address of Go's pprof or a program that loiter started, and reads it as
//! often as asked for. It keeps time, attaches again if necessary, follows a program that is restarted, and
//! reports as [`Trouble`] what went wrong and whether that may pass. It neither prints nor sleeps by itself:
//! the caller of [`Session::wait`] decides how to spend the time until the next reading.
//!
//! A [`SessionView`] combines the readings: it keeps a bounded [series](crate::analysis::Series) and gives a
//! [`Picture`] after each reading. A [`Album`] keeps the readings on disk, and a [`Replay`] goes through
//! them later.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::sync::Arc;
//! use std::thread;
//!
//! use loiter::session::{Session, SessionOptions, SessionView};
//!
//! let mut session = Session::open(&"api-server".parse()?, SessionOptions::default())?;
//! let mut view = SessionView::new(false);
//! while session.wait(|left| {
//!     thread::sleep(left);
//!     ControlFlow::Continue(None)
//! }) {
//!     match session.read() {
//!         Ok(snapshot) => println!("{:?}", view.add(Arc::new(snapshot)).per_minute),
//!         Err(trouble) if trouble.is_final() => break,
//!         Err(trouble) => eprintln!("{trouble}"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A session does not grow with time: see [`SeriesOptions::keep`](crate::analysis::SeriesOptions::keep).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::runtimes::ReadOptions;
use crate::snapshot::Snapshot;
use crate::source::{self, OpenOptions, Program, Source, SourceError};

mod album;
#[cfg(feature = "cli")]
pub(crate) mod gate;
mod history;
mod pace;
mod picture;
mod process;
pub mod record;
mod replay;
mod state_times;
pub mod trip;
mod trouble;
pub mod why;

pub use album::{Album, AlbumError};
pub use history::Point;
pub use pace::Pacing;
pub use picture::{Before, Picture, SessionView};
pub use process::ProgramId;
pub use replay::{Replay, ReplayError, recorded};
pub use state_times::{Shares, StateTimes};
pub use trouble::Trouble;

use pace::Pace;
use process::Process;

/// How a session reads, and how often.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// How a process is read. [`ReadOptions::paced`] is applied to it.
    pub read: ReadOptions,
    /// The time between two readings. None: [`Session::PROCESS`] for a process and [`Session::ADDRESS`] for an
    /// address, whose program stops for every answer.
    pub interval: Option<Duration>,
    /// What happens when a reading takes long.
    pub pacing: Pacing,
    /// Continue with the process that replaces one that has ended: started since then from the same executable
    /// with the same arguments, or under the requested name. Otherwise the end is final.
    pub restart: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            read: ReadOptions::default(),
            interval: None,
            pacing: Pacing::default(),
            restart: true,
        }
    }
}

/// A target that is read again and again. See the [module](self).
pub struct Session {
    input: Input,
    pace: Pace,
}

enum Input {
    Process(Box<Process>),
    Address {
        source: Source,
        options: Box<OpenOptions>,
        /// What the address answered when the session was opened.
        first: Option<Box<Snapshot>>,
    },
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Session {
    /// The time between two readings of a process, unless told otherwise.
    pub const PROCESS: Duration = Duration::from_millis(500);
    /// The same for an address.
    pub const ADDRESS: Duration = Duration::from_secs(5);

    /// Opens a process or an address.
    ///
    /// # Errors
    /// Permanent problems: no such process, no permission, no runtime, an address that does not answer. A
    /// runtime that has not finished starting is no error here. [`SourceError::NotLive`] for a file and for
    /// standard input.
    pub fn open(source: &Source, options: SessionOptions) -> source::Result<Session> {
        let name = if let Source::Name(name) = source { Some(name.clone()) } else { None };
        match source.resolve()? {
            Source::Pid(pid) => Session::of(Process::new(pid, name, None), options),
            source @ Source::Address(_) => {
                let pace = Pace::new(options.interval.unwrap_or(Session::ADDRESS), options.pacing);
                let options = OpenOptions { read: options.read, exe: None };
                let first = Some(Box::new(source::open(&source, &options)?.snapshot));
                Ok(Session { input: Input::Address { source, options: Box::new(options), first }, pace })
            }
            Source::File(path) => Err(SourceError::NotLive { what: path.display().to_string() }),
            Source::Stdin | Source::Name(_) => {
                Err(SourceError::NotLive { what: "standard input".to_owned() })
            }
        }
    }

    /// Waits until a program that was just started can be read, and opens it.
    ///
    /// # Errors
    /// See [`Program::wait_until_readable`].
    pub fn of_program(program: &Arc<Program>, options: SessionOptions) -> source::Result<Session> {
        program.wait_until_readable()?;
        Session::of(Process::new(program.pid(), None, Some(Arc::clone(program))), options)
    }

    fn of(mut process: Process, options: SessionOptions) -> source::Result<Session> {
        let interval = options.interval.unwrap_or(Session::PROCESS);
        process.options = options.read.paced(interval);
        process.restart = options.restart;
        match process.attach() {
            Ok(()) | Err(crate::Error::Starting { .. }) => {}
            Err(source) => return Err(process.failed(source)),
        }
        Ok(Session { input: Input::Process(Box::new(process)), pace: Pace::new(interval, options.pacing) })
    }

    /// From here on, tasks are read for their number: holders of locks, and what leads from waiting tasks to their
    /// causes, are not looked for.
    pub fn count_only(&mut self) {
        if let Input::Process(process) = &mut self.input {
            (process.options.holders, process.options.links) = (Duration::ZERO, Duration::ZERO);
        }
    }

    /// Reads the target once, now.
    ///
    /// # Errors
    /// See [`Trouble`]. Unless that [is final](Trouble::is_final), the next reading may succeed.
    pub fn read(&mut self) -> Result<Snapshot, Trouble> {
        self.pace.begin();
        let read = match &mut self.input {
            Input::Process(process) => process.read(),
            Input::Address { source, options, first } => match first.take() {
                Some(first) => Ok(*first),
                // From here on, a program that ended and one that was restarted look the same.
                None => source::open(source, options)
                    .map(|opened| opened.snapshot)
                    .map_err(|error| Trouble::Unreadable(Box::new(error))),
            },
        };
        self.pace.end(read.is_ok());
        read
    }

    /// Waits until the next reading is due; the first one is due at once. What the caller does with a
    /// reading before this counts as part of it for [`Pacing::Sparing`].
    ///
    /// `nap` is called at least once, with the time that is left, which may be zero. It sleeps for no longer
    /// than that and then continues, with another interval if the user wants one, or breaks. Returns false if
    /// it broke.
    pub fn wait(&mut self, mut nap: impl FnMut(Duration) -> ControlFlow<(), Option<Duration>>) -> bool {
        let earliest = self.pace.earliest();
        loop {
            let left = self.pace.due(earliest).saturating_duration_since(Instant::now());
            match nap(left) {
                ControlFlow::Break(()) => return false,
                ControlFlow::Continue(Some(interval)) => self.pace.set_interval(interval),
                ControlFlow::Continue(None) if left.is_zero() => return true,
                ControlFlow::Continue(None) => {}
            }
        }
    }

    /// From the next reading on, it is also looked for the tasks that are going to act on what others wait for
    /// ([`ReadOptions::acting`]). That takes time: a watch asks for it once.
    pub fn look_for_actors(&mut self) {
        if let Input::Process(process) = &mut self.input {
            process.options = std::mem::take(&mut process.options).acting();
        }
    }

    /// The requested time between two readings.
    pub fn interval(&self) -> Duration {
        self.pace.interval()
    }

    /// How late the last reading began.
    pub fn late(&self) -> Duration {
        self.pace.late()
    }

    /// The program that the last reading is of. None for an address, and before the first reading.
    pub fn program(&self) -> Option<ProgramId> {
        match &self.input {
            Input::Process(process) => process.program_id(),
            Input::Address { .. } => None,
        }
    }

    /// How many programs were read so far. It grows when a process is restarted, and when it replaces itself by
    /// another program (execve). Knowledge of one program's tasks does not apply to the next one: see
    /// [`SessionView::begin_anew`].
    pub fn programs(&self) -> u32 {
        match &self.input {
            Input::Process(process) => process.programs,
            Input::Address { .. } => 1,
        }
    }
}
