//! Waiting for a file system no longer than some time: one that does not answer (a server that is gone, a
//! FUSE daemon that hangs) would hold whoever opens or reads a file of it for ever.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A call that takes longer than this is given up.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// The stack of a thread that makes one call.
const STACK: usize = 256 << 10;

/// Does `work` on a thread of its own, and waits for it for [`LIMIT`] at most.
///
/// # Errors
/// Those of [`within_limit`].
pub(super) fn within<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    within_limit(LIMIT, work)
}

/// Does `work` on a thread of its own, and waits for it for `limit` at most. A thread that is stuck in the
/// kernel is left behind: it ends when the file system answers, or with loiter.
///
/// # Errors
/// Those of `work`, no answer in time, and that there can be no thread.
pub(super) fn within_limit<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // Nobody listens any more if it took too long.
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

/// loiter itself lacks what it needs, which is nothing of the file.
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
