//! Waiting for a file system for a limited time. If it does not answer (its server is gone, a FUSE daemon
//! hangs), a thread that opens or reads one of its files waits for ever.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A call that takes longer than this is given up.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

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

/// Runs `work` on a thread of its own, and waits for it for `limit` at most. A thread that is stuck in the
/// kernel is left behind: it ends when the file system answers, or with loiter.
///
/// # Errors
/// Those of `work`, no answer in time, and that no thread can be started.
pub(super) fn within_limit<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // If it took too long, there is no receiver.
    let run = move || drop(sender.send(work()));
    thread::Builder::new().name("file".to_owned()).stack_size(STACK).spawn(run)?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| Err(no_answer_within(limit)))
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
}
