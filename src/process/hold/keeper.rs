//! The keeper: a process that does nothing but receive held calls, tell the worker of the program's end, and answer
//! when the worker says so, ends, or takes too long.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::desk::Desk;
use super::filter::Answer;
use super::line::{Line, Received, pack};

/// A call is never held longer than this, whatever the worker does.
pub(super) fn time_left(since: Instant, limit: Duration) -> PollTimeout {
    let left = limit.saturating_sub(since.elapsed());
    // One more: a timeout that is rounded down would come too early.
    PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
}

/// Receives and answers until the last process with the filter has ended.
pub(super) fn keep(desk: &Desk, worker: Line, limit: Duration) {
    let mut worker = Some(worker);
    let mut held = Vec::new();
    let mut since: Option<Instant> = None;
    // Ends are no longer looked at: they go on at once.
    let mut is_over = false;
    loop {
        let mut fds = vec![PollFd::new(desk.listener.as_fd(), PollFlags::POLLIN)];
        fds.extend(worker.as_ref().map(|line| PollFd::new(line.fd().as_fd(), PollFlags::POLLIN)));
        let timeout = since.map_or(PollTimeout::NONE, |since| time_left(since, limit));
        // An error is an interruption: the descriptors are our own.
        let _ = poll(&mut fds, timeout);
        let came = |at: usize| fds.get(at).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        let (calls, message) = (came(0), came(1));
        if calls.contains(PollFlags::POLLIN) {
            match desk.next() {
                Ok(Some(call)) if !is_over => {
                    held.push(call.id);
                    since.get_or_insert_with(Instant::now);
                    // If it is gone, the next round sees that. If there is no room, it is told enough.
                    let _ = worker.as_ref().map(|line| line.send(&pack(call)));
                }
                Ok(Some(call)) => desk.answer(call.id, Answer::GoOn),
                Ok(None) | Err(_) => {}
            }
        } else if calls.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return;
        }
        if !message.is_empty()
            && let Some(line) = &worker
        {
            match line.receive::<1>(false) {
                Received::Message(_) => is_over = true,
                Received::Nothing => {}
                Received::Gone => (is_over, worker) = (true, None),
            }
        }
        is_over |= since.is_some_and(|since| since.elapsed() > limit);
        if is_over {
            since = None;
            held.drain(..).for_each(|id| desk.answer(id, Answer::GoOn));
        }
    }
}
