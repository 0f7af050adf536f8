//! A program is read while it runs: by a thread of its own, without a pause of the program.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Options;
use super::look::{said, tests_of};
use crate::analysis::gate::{Terms, Watch, Watched};
use crate::process::beginning;
use crate::runtimes::{Pause, ReadOptions};
use crate::session::Trouble;
use crate::session::pace::{Pace, Pacing, cpu_time};
use crate::session::process::Process;
use crate::source::SourceError;

/// How long the process may take to become the program, before it is asked again whether it has.
const BEGINNING: Duration = Duration::from_millis(10);

/// The thread that reads a program while it runs.
#[derive(Debug)]
pub(super) struct Watcher {
    stop: Arc<AtomicBool>,
    /// When it is dropped, the thread does not wait any longer.
    ended: Sender<()>,
    thread: JoinHandle<(Watch, Watched)>,
}

impl Watcher {
    /// Reads the program that process `pid` is going to be, this often.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(pid: u32, every: Duration, options: &Options) -> io::Result<Watcher> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, end) = mpsc::channel();
        let read = ReadOptions {
            pause: Pause::Nothing,
            threads: NonZeroUsize::MIN,
            stop: Some(Arc::clone(&stop)),
            ..options.read.clone().paced(every)
        };
        let reader =
            Reader { pid, read, end, terms: options.terms.clone(), pace: Pace::new(every, Pacing::Sparing) };
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || reader.run())?;
        Ok(Watcher { stop, ended, thread })
    }

    /// Ends the watch: a reading that is being made is given up.
    pub(super) fn finish(self) -> Option<(Watch, Watched)> {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.ended);
        self.thread.join().ok()
    }
}

struct Reader {
    pid: u32,
    read: ReadOptions,
    end: Receiver<()>,
    terms: Terms,
    pace: Pace,
}

impl Reader {
    fn run(mut self) -> (Watch, Watched) {
        let (mut watch, begun) = (Watch::new(&self.terms), cpu_time());
        let (mut failed, mut trouble) = (0_u32, None);
        if self.waits_for_program() {
            let mut process = Process::new(self.pid, None, None);
            process.options = self.read.clone();
            process.restart = false;
            let mut programs = 0;
            while self.waits() {
                self.pace.begin();
                let read = process.read();
                self.pace.end(read.is_ok());
                match read {
                    Ok(snapshot) => {
                        if std::mem::replace(&mut programs, process.programs) != process.programs {
                            // Tasks of two programs are not compared with each other.
                            watch = Watch::new(&self.terms);
                        }
                        if !snapshot.header.runtimes.is_empty() {
                            if watch.watched().readings == 0 {
                                watch.set_tests(tests_of(self.pid, &snapshot));
                            }
                            watch.add(Arc::new(snapshot));
                        }
                    }
                    Err(Trouble::Unreadable(error)) if is_starting(&error) => {}
                    Err(Trouble::Unreadable(_)) if self.is_stopped() => {}
                    Err(error @ Trouble::Unreadable(_)) => {
                        (failed, trouble) = (failed.saturating_add(1), Some(said(&error)));
                    }
                    Err(_) => break,
                }
            }
        }
        let cpu_ns = cpu_time().saturating_sub(begun).as_nanos();
        let cpu_ns = u64::try_from(cpu_ns).unwrap_or(u64::MAX);
        let watched = Watched { failed, trouble, cpu_ns, ..watch.watched() };
        (watch, watched)
    }

    /// Waits until the process, which was forked from this one, has become the program. False if the watch ends before.
    fn waits_for_program(&self) -> bool {
        let own = beginning(std::process::id());
        while beginning(self.pid) == own {
            if self.rests(BEGINNING) {
                return false;
            }
        }
        true
    }

    /// Waits until the next reading is due. False if the watch ends before.
    fn waits(&self) -> bool {
        let due = self.pace.due(self.pace.earliest());
        !self.rests(due.saturating_duration_since(Instant::now()))
    }

    /// Waits for so long. True if the watch ends meanwhile.
    fn rests(&self, time: Duration) -> bool {
        !matches!(self.end.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    fn is_stopped(&self) -> bool {
        self.read.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

/// The runtime has not finished starting: the next reading finds more.
fn is_starting(error: &SourceError) -> bool {
    matches!(error, SourceError::Target { source: crate::Error::Starting { .. }, .. })
}
