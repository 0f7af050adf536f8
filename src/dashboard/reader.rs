//! Reads the target repeatedly, on its own thread, so that keys never wait for it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::Instant;

use super::event::Happened;
use super::state::Source;
use super::update::Event;
use crate::full_text;
use crate::session::{Album, Picture, Replay, Session, SessionView};
use crate::snapshot::Snapshot;

/// Where pictures come from.
pub enum Feed {
    /// A target that is read repeatedly.
    Live {
        /// Reads it.
        session: Box<Session>,
        /// Keeps its readings on disk, if requested.
        album: Option<Album>,
    },
    /// One saved snapshot.
    File(Box<Snapshot>),
    /// Saved snapshots of one process in time order.
    Replay(Vec<PathBuf>),
}

/// Orders to the reader.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    /// Read at this interval.
    Interval(std::time::Duration),
    /// Show another reading of the replay.
    Seek(i64),
}

/// Starts reading; readings go to `out`.
pub(super) fn spawn(feed: Feed, system: bool, out: SyncSender<Happened>) -> Sender<Control> {
    let (control, told) = mpsc::channel();
    thread::spawn(move || {
        let outlet = Outlet { out };
        // If the receiver is gone, there is nothing left to do.
        let _ = match feed {
            Feed::Live { session, album } => {
                let view = SessionView::new(system);
                Live { session, album, view, programs: 0, complaint: None }.run(&outlet, &told)
            }
            Feed::File(snapshot) => {
                let mut picture = SessionView::new(system).add(Arc::new(*snapshot));
                // There will be no other reading.
                picture.times = None;
                outlet
                    .send(Event::Source(Source::File))
                    .and_then(|()| outlet.send(Event::Picture(picture.into())))
            }
            Feed::Replay(files) => replay(files, system, &outlet, &told),
        };
    });
    control
}

/// The receiver is gone.
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
    session: Box<Session>,
    album: Option<Album>,
    view: SessionView,
    /// How many programs were read so far.
    programs: u32,
    /// The last complaint about keeping readings, so that it is not repeated.
    complaint: Option<String>,
}

impl Live {
    fn run(mut self, out: &Outlet, told: &Receiver<Control>) -> Result<(), Closed> {
        while self.session.wait(|left| match told.recv_timeout(left) {
            Ok(Control::Interval(interval)) => ControlFlow::Continue(Some(interval)),
            Ok(Control::Seek(_)) | Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(None),
            Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
        }) {
            let begin = Instant::now();
            match self.session.read() {
                Ok(snapshot) => {
                    let picture = self.take(Arc::new(snapshot), begin, out)?;
                    out.send(Event::Source(Source::Live))?;
                    out.send(Event::Picture(Arc::new(picture)))?;
                }
                Err(trouble) => {
                    self.view.missed();
                    let (why, last) = (full_text(&trouble), trouble.is_final());
                    let source = if trouble.is_end() { Source::Ended(why) } else { Source::Trouble(why) };
                    out.send(Event::Source(source))?;
                    if last {
                        return Ok(());
                    }
                }
            }
        }
        Err(Closed)
    }

    fn take(&mut self, snapshot: Arc<Snapshot>, begin: Instant, out: &Outlet) -> Result<Picture, Closed> {
        if let Some(album) = &mut self.album {
            let problem = album.keep(&snapshot).err().map(|error| full_text(&error));
            if let Some(text) = problem.as_ref().filter(|problem| self.complaint.as_ref() != Some(problem)) {
                out.send(Event::Wrote(Err(text.clone())))?;
            }
            self.complaint = problem;
        }
        if std::mem::replace(&mut self.programs, self.session.programs()) != self.session.programs() {
            self.view.begin_anew();
        }
        let mut picture = self.view.add(snapshot);
        picture.took = begin.elapsed();
        picture.program = self.session.program();
        Ok(picture)
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
            Err(problem) => out.send(Event::Wrote(Err(full_text(&problem))))?,
        }
        let last = replay.len() - 1;
        let to = |at: usize, by: i64| at.saturating_add_signed(by as isize).min(last);
        let before = at;
        while at == before {
            // Several orders at once, if keys came faster than files can be read.
            let mut control = Some(told.recv().map_err(|_| Closed)?);
            while let Some(Control::Seek(by)) = control {
                at = to(at, by);
                control = told.try_recv().ok();
            }
        }
    }
}
