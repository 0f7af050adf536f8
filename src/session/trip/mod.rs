//! Follows a process whose number of tasks is limited, and keeps what is known of it in a file.
//!
//! A [`Follower`] reads the process on time. Named by its pid it ends with the process; named by its name it goes on
//! with the process that replaces it. [`StateFile`] keeps what [`crate::analysis::trip`] has learned and what it must
//! remember, so that a process can be followed by one loiter after the other.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{Pacing, Session, SessionOptions, Trouble};
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::Snapshot;
use crate::source::{self, Source};

mod state;
mod who;

pub use state::{State, StateError, StateFile};
pub use who::{Kin, Who};

/// What a reading brought.
#[derive(Debug)]
pub enum Seen {
    /// The tasks of the process.
    Reading {
        /// They.
        snapshot: Box<Snapshot>,
        /// The process is another one than at the reading before, or runs another program.
        another: bool,
    },
    /// Nothing this time.
    Missed(Trouble),
    /// The process has ended, and no other one will be read.
    Ended(Trouble),
}

/// Reads a process on time. See the [module](self).
#[derive(Debug)]
pub struct Follower {
    session: Session,
    /// How many programs had been read at the last reading.
    programs: u32,
}

impl Follower {
    /// Opens a process that is read every so often. It is never stopped. If `stop` is set, a reading ends soon. `cache` is the
    /// folder with what is known of debug information.
    ///
    /// # Errors
    /// See [`Session::open`].
    pub fn open(
        source: &Source,
        stop: Option<&Arc<AtomicBool>>,
        every: Duration,
        cache: Option<PathBuf>,
    ) -> source::Result<Follower> {
        let restart = matches!(source, Source::Name(_));
        // Start functions and creators are known of running tasks, too: nothing need be stopped for them.
        let read =
            ReadOptions { pause: Pause::Nothing, stop: stop.cloned(), cache, ..ReadOptions::default() };
        let options = SessionOptions { read, interval: Some(every), pacing: Pacing::Sparing, restart };
        let mut session = Session::open(source, options)?;
        session.count_only();
        Ok(Follower { session, programs: 0 })
    }

    /// Waits until the next reading is due: see [`Session::wait`].
    pub fn wait(&mut self, nap: impl FnMut(Duration) -> ControlFlow<(), Option<Duration>>) -> bool {
        self.session.wait(nap)
    }

    /// Reads the process now.
    pub fn read(&mut self) -> Seen {
        match self.session.read() {
            Ok(snapshot) => {
                let programs = self.session.programs();
                let before = std::mem::replace(&mut self.programs, programs);
                Seen::Reading { snapshot: Box::new(snapshot), another: before != 0 && before != programs }
            }
            Err(trouble) if trouble.is_final() => Seen::Ended(trouble),
            Err(trouble) => Seen::Missed(trouble),
        }
    }
}
