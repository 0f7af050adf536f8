//! Waiting for a file system for a limited time. If it does not answer (its server is gone, a FUSE daemon
//! hangs), a thread that opens or reads one of its files waits for ever.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::{proc, sys};

/// A call that takes longer than this is given up.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// A machine that gives the call no CPU is waited for as long as this.
const STARVED: Duration = Duration::from_secs(30);

/// The stack of a thread that makes one call.
const STACK: usize = 256 << 10;

/// Runs `work` on a thread of its own, and waits for it for [`LIMIT`] at most.
///
/// # Errors
/// Those of [`within_limit`].
pub(super) fn within<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    within_limit(LIMIT, work)
}

/// Runs `work` on a thread of its own, and waits for it for `limit` at most.
///
/// # Errors
/// Those of `work`, no answer in time, and that no thread can be started.
pub(super) fn within_limit<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    // If it took too long, nobody wants it.
    let answers = Answers::of(|send| {
        let _ = send.send(work());
    })?;
    answers.next(limit).unwrap_or_else(|| Err(no_answer_within(limit)))
}

/// What a thread of its own finds out about files. One that is stuck in the kernel is left behind: it ends when the file
/// system answers, or with loiter.
pub(super) struct Answers<T> {
    receiver: Receiver<T>,
    /// The thread. 0: it has not begun.
    thread: Arc<AtomicU32>,
}

impl<T: Send + 'static> Answers<T> {
    /// Starts a thread that sends answers.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn of(work: impl FnOnce(&Sender<T>) + Send + 'static) -> io::Result<Answers<T>> {
        let (sender, receiver) = mpsc::channel();
        let thread = Arc::new(AtomicU32::new(0));
        let its = Arc::clone(&thread);
        let run = move || {
            its.store(sys::thread_id(), Ordering::Relaxed);
            work(&sender);
        };
        thread::Builder::new().name("file".to_owned()).stack_size(STACK).spawn(run)?;
        Ok(Answers { receiver, thread })
    }

    /// The next answer. None if there is none within `limit`; that the thread lacks a CPU does not count.
    pub(super) fn next(&self, limit: Duration) -> Option<T> {
        let begin = Instant::now();
        loop {
            match self.receiver.recv_timeout(limit) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if begin.elapsed() < STARVED && self.lacks_cpu() => {}
                // It may have been about to answer.
                Err(RecvTimeoutError::Timeout) => return self.receiver.try_recv().ok(),
            }
        }
    }

    /// Whether the thread could run and does not, or has not begun: no file system keeps it waiting.
    fn lacks_cpu(&self) -> bool {
        let tid = self.thread.load(Ordering::Relaxed);
        tid == 0 || proc::Stat::read_thread(std::process::id(), tid).is_ok_and(|stat| stat.state == 'R')
    }
}

/// The error of a file system that does not answer.
pub(super) fn no_answer() -> io::Error {
    no_answer_within(LIMIT)
}

fn no_answer_within(limit: Duration) -> io::Error {
    let text = format!("no answer within {} s: its file system hangs", limit.as_secs_f32());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// Whether loiter itself lacks a resource; the file is not at fault.
pub(super) fn is_our_own(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back() {
        assert_eq!(within(|| Ok(7)).expect("it answers"), 7);
        let error =
            within(|| Err::<(), _>(io::Error::from_raw_os_error(libc::ENOENT))).expect_err("it fails");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn one_that_sleeps_is_given_up_and_one_that_works_is_not() {
        let (end, ended) = mpsc::channel::<()>();
        let sleeps = Answers::of(move |send| {
            let _ = ended.recv();
            let _ = send.send(());
        });
        let sleeps = sleeps.expect("a thread can be started");
        while sleeps.lacks_cpu() {
            thread::yield_now();
        }
        assert_eq!(sleeps.next(Duration::from_millis(1)), None);
        drop(end);
        assert_eq!(sleeps.next(LIMIT), Some(()));
        let works = || {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(100) {
                std::hint::spin_loop();
            }
            Ok(7)
        };
        assert_eq!(within_limit(Duration::from_millis(1), works).expect("it works"), 7);
    }
}
