//! Reads the target, again and again, on a thread of its own: keys never wait for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::picture::{Picture, SessionView};
use super::record::Recorder;
use super::replay::Replay;
use super::run::Happened;
use super::state::Source;
use super::update::Event;
use crate::snapshot::Snapshot;

/// After something went wrong, the target is not tried again sooner than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// The dashboard takes no more than one part in so many of the time of a processor: what watches must
/// not weigh more than what is watched.
const SHARE: u32 = 5;

/// Processor time of this process.
struct CpuTime(Duration);

impl CpuTime {
    fn now() -> Self {
        // Every Linux has this clock; without it, nothing is held back.
        let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
        CpuTime(time.map(Duration::from).unwrap_or_default())
    }

    fn elapsed(&self) -> Duration {
        CpuTime::now().0.saturating_sub(self.0)
    }
}

/// How long to rest after having used so much of a processor.
fn rest(spent: Duration) -> Duration {
    spent * SHARE
}

/// Why nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass: a runtime that is still starting, a permission that was taken away.
    Passing(String),
    /// The process has ended, and perhaps another one takes its place.
    Ended(String),
    /// It will not pass: the process has ended, and there will be no other one.
    Final(String),
}

/// Something that can be read again and again.
pub trait Input: Send {
    /// Reads it once.
    ///
    /// # Errors
    /// Why it cannot be read, and whether that may pass.
    fn read(&mut self) -> Result<Snapshot, Trouble>;
}

/// Where pictures come from.
pub enum Feed {
    /// A process, and where its readings are kept, if they are.
    Live {
        /// The process.
        input: Box<dyn Input>,
        /// Keeps its readings.
        recorder: Option<Recorder>,
        /// It is read so often.
        interval: Duration,
    },
    /// One saved snapshot.
    File(Box<Snapshot>),
    /// Saved snapshots of one process in time order.
    Replay(Vec<PathBuf>),
}

/// What the reader is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    /// Read so often.
    Interval(Duration),
    /// Show another reading of the replay.
    Seek(i64),
}

/// Starts reading; what is read goes to `out`.
pub(super) fn spawn(feed: Feed, system: bool, out: SyncSender<Happened>) -> Sender<Control> {
    let (control, told) = mpsc::channel();
    thread::spawn(move || {
        let outlet = Outlet { out };
        // If nobody listens any more, there is nothing left to do.
        let _ = match feed {
            Feed::Live { input, recorder, interval } => {
                Live { input, recorder, interval, album: SessionView::new(system), complaint: None }
                    .run(&outlet, &told)
            }
            Feed::File(snapshot) => {
                let picture = SessionView::new(system).add(Arc::new(*snapshot));
                outlet
                    .send(Event::Source(Source::File))
                    .and_then(|()| outlet.send(Event::Picture(picture.into())))
            }
            Feed::Replay(files) => replay(files, system, &outlet, &told),
        };
    });
    control
}

/// Nobody listens any more.
struct Closed;

struct Outlet {
    out: SyncSender<Happened>,
}

impl Outlet {
    fn send(&self, event: Event) -> Result<(), Closed> {
        self.out.send(Happened::Event(event)).map_err(|_| Closed)
    }
}

struct Live {
    input: Box<dyn Input>,
    recorder: Option<Recorder>,
    interval: Duration,
    album: SessionView,
    /// The last complaint about keeping readings, so that it is not made again and again.
    complaint: Option<String>,
}

impl Live {
    fn run(mut self, out: &Outlet, told: &Receiver<Control>) -> Result<(), Closed> {
        loop {
            let (begin, spent) = (Instant::now(), CpuTime::now());
            let pause = match self.input.read() {
                Ok(snapshot) => {
                    let picture = self.take(Arc::new(snapshot), begin, out)?;
                    // A target that takes long to read is left some peace in between, and its machine
                    // most of its time.
                    let pause = (picture.took / 4).max(rest(spent.elapsed()));
                    out.send(Event::Source(Source::Live))?;
                    out.send(Event::Picture(Arc::new(picture)))?;
                    pause
                }
                Err(Trouble::Passing(why)) => {
                    out.send(Event::Source(Source::Trouble(why)))?;
                    PATIENCE
                }
                Err(Trouble::Ended(why)) => {
                    out.send(Event::Source(Source::Ended(why)))?;
                    PATIENCE
                }
                Err(Trouble::Final(why)) => return out.send(Event::Source(Source::Ended(why))),
            };
            self.wait(begin, Instant::now() + pause, told)?;
        }
    }

    fn take(&mut self, snapshot: Arc<Snapshot>, begin: Instant, out: &Outlet) -> Result<Picture, Closed> {
        if let Some(recorder) = &mut self.recorder {
            let problem = recorder.keep(&snapshot).err();
            if let Some(text) = problem.as_ref().filter(|problem| self.complaint.as_ref() != Some(problem)) {
                out.send(Event::Wrote(Err(text.clone())))?;
            }
            self.complaint = problem;
        }
        let mut picture = self.album.add(snapshot);
        picture.took = begin.elapsed();
        Ok(picture)
    }

    /// Waits for the next reading; not before `earliest`.
    fn wait(&mut self, begin: Instant, earliest: Instant, told: &Receiver<Control>) -> Result<(), Closed> {
        loop {
            let due = (begin + self.interval).max(earliest);
            match told.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Control::Interval(interval)) => self.interval = interval,
                Ok(Control::Seek(_)) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Closed),
            }
        }
    }
}

fn replay(files: Vec<PathBuf>, system: bool, out: &Outlet, told: &Receiver<Control>) -> Result<(), Closed> {
    let mut replay = Replay::new(files, system);
    while let Some((done, of)) = replay.open_next() {
        out.send(Event::Source(Source::Opening { done, of }))?;
    }
    if let Some(problem) = replay.problem() {
        out.send(Event::Wrote(Err(problem)))?;
    }
    let Some(mut at) = replay.len().checked_sub(1) else {
        let why = "none of the recorded snapshots can be read".to_owned();
        return out.send(Event::Source(Source::Ended(why)));
    };
    loop {
        match replay.picture(at) {
            Ok(picture) => {
                out.send(Event::Source(Source::Replay { at, of: replay.len() }))?;
                out.send(Event::Picture(Arc::new(picture)))?;
            }
            Err(problem) => out.send(Event::Wrote(Err(problem)))?,
        }
        let last = replay.len() - 1;
        let to = |at: usize, by: i64| at.saturating_add_signed(by as isize).min(last);
        let before = at;
        while at == before {
            // Several at once, if keys came faster than files can be read.
            let mut control = Some(told.recv().map_err(|_| Closed)?);
            while let Some(Control::Seek(by)) = control {
                at = to(at, by);
                control = told.try_recv().ok();
            }
        }
    }
}
