//! Makes readings of all tasks on a thread of its own, so that a long one does not keep the sampler from being drained.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;
use std::time::Duration;

use crate::process::{Target, monotonic_ns, thread_cpu_time};
use crate::runtimes::{ReadOptions, Readable};
use crate::session::pace::cpu_time;
use crate::snapshot::Snapshot;

/// Makes readings, one at a time. It ends when it is dropped, and gives up a reading that is not over.
pub(in crate::session::record) struct Reader {
    ask: Sender<()>,
    answers: Receiver<crate::Result<Snapshot>>,
    asked: Option<Asked>,
    stop: Arc<AtomicBool>,
}

/// A reading that is being made.
struct Asked {
    began_ns: u64,
    spent: Duration,
}

/// A reading that was made.
pub(in crate::session::record) struct Made {
    /// When it began, CLOCK_MONOTONIC.
    pub(super) began_ns: u64,
    /// CPU time that it took.
    pub(super) cost: Duration,
    pub(super) read: crate::Result<Snapshot>,
}

impl Reader {
    /// Starts the thread. All calls that follow must be made by one thread, which is the only other one that uses much
    /// CPU time.
    pub(in crate::session::record) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        target: &'scope dyn Target,
        readable: &'scope Readable,
        options: &ReadOptions,
    ) -> Reader {
        let (ask, asked) = channel();
        let (answer, answers) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let options = ReadOptions { stop: Some(Arc::clone(&stop)), ..options.clone() };
        scope.spawn(move || {
            while let Ok(()) = asked.recv() {
                // Nobody hears the answer when the recording is over.
                let _ = answer.send(readable.read(target, &options));
            }
        });
        Reader { ask, answers, asked: None, stop }
    }

    /// A reading is being made.
    pub(in crate::session::record) fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Begins a reading, unless one is being made.
    pub(in crate::session::record) fn begin(&mut self) {
        if self.asked.is_none() && self.ask.send(()).is_ok() {
            self.asked = Some(Asked { began_ns: monotonic_ns(), spent: spent_elsewhere() });
        }
    }

    /// The reading that was begun, if it is over.
    pub(in crate::session::record) fn made(&mut self) -> Option<Made> {
        let read = match self.answers.try_recv() {
            Ok(read) => read,
            Err(TryRecvError::Empty) => return None,
            // It panicked, which is told when the threads are joined.
            Err(TryRecvError::Disconnected) => {
                self.asked = None;
                return None;
            }
        };
        let Asked { began_ns, spent } = self.asked.take()?;
        Some(Made { began_ns, cost: spent_elsewhere().saturating_sub(spent), read })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// CPU time of this process without that of the calling thread.
fn spent_elsewhere() -> Duration {
    let own = thread_cpu_time();
    cpu_time().saturating_sub(own)
}
