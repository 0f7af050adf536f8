//! Standard error, and how to write to it without waiting for whoever reads it.
//!
//! A write to a pipe that nobody reads takes for ever. A program that is held at its end must not wait for that: after
//! [`aside`], a thread of its own writes, and whoever has something to say goes on.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that wait for a reader. What is more is left out, and that is said.
const MAX_WAITING: usize = 64 << 20;

/// Standard error as all of loiter's messages use it. A text that is written at once stays together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !ASIDE.add(bytes) {
            io::stderr().lock().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From here on, a thread writes what is written to [`Stderr`]. If it cannot be started, all is as before.
pub(super) fn aside() {
    // What is not written when the process ends is lost, so nothing waits for this thread.
    let started = thread::Builder::new().name("stderr".to_owned()).spawn(|| ASIDE.work());
    ASIDE.queue().is_on = started.is_ok();
}

/// Waits until all that was written was taken, no longer than `limit`.
pub(super) fn wait_for_reader(limit: Duration) {
    let waits = |queue: &mut Queue| queue.is_on && (queue.is_writing || !queue.texts.is_empty());
    // Whether it was taken or not: there is nobody to tell.
    let _ = ASIDE.taken.wait_timeout_while(ASIDE.queue(), limit, waits);
}

static ASIDE: Aside = Aside { queue: Mutex::new(Queue::new()), added: Condvar::new(), taken: Condvar::new() };

#[derive(Debug)]
struct Aside {
    queue: Mutex<Queue>,
    added: Condvar,
    taken: Condvar,
}

#[derive(Debug)]
struct Queue {
    /// A thread writes.
    is_on: bool,
    /// It is writing a text, which is not in `texts` any more.
    is_writing: bool,
    texts: VecDeque<Vec<u8>>,
    /// Bytes in `texts`.
    waiting: usize,
    /// Bytes that there was no room for since something was added last.
    left_out: usize,
}

impl Queue {
    const fn new() -> Queue {
        Queue { is_on: false, is_writing: false, texts: VecDeque::new(), waiting: 0, left_out: 0 }
    }

    fn add(&mut self, text: Vec<u8>) {
        if self.waiting.saturating_add(text.len()) > MAX_WAITING {
            self.left_out = self.left_out.saturating_add(text.len());
            return;
        }
        for text in self.say_left_out().into_iter().chain([text]) {
            self.waiting = self.waiting.saturating_add(text.len());
            self.texts.push_back(text);
        }
    }

    fn say_left_out(&mut self) -> Option<Vec<u8>> {
        let bytes = std::mem::take(&mut self.left_out);
        let said = format!("loiter: {bytes} bytes of messages were left out, because nobody read them\n");
        (bytes > 0).then(|| said.into_bytes())
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let text = match self.texts.pop_front() {
            Some(text) => {
                self.waiting = self.waiting.saturating_sub(text.len());
                text
            }
            None => self.say_left_out()?,
        };
        self.is_writing = true;
        Some(text)
    }
}

impl Aside {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A list of texts is consistent at every moment.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a text. False if no thread writes.
    fn add(&self, text: &[u8]) -> bool {
        let mut queue = self.queue();
        if queue.is_on {
            queue.add(text.to_vec());
            self.added.notify_one();
        }
        queue.is_on
    }

    /// Writes what is added, for ever.
    fn work(&self) {
        let mut queue = self.queue();
        loop {
            let Some(text) = queue.take() else {
                queue = self.added.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            // If stderr is closed, the message is lost.
            let _ = io::stderr().lock().write_all(&text);
            queue = self.queue();
            queue.is_writing = false;
            self.taken.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_said() {
        let mut queue = Queue::new();
        let take = |queue: &mut Queue| queue.take().map(|text| String::from_utf8_lossy(&text).into_owned());
        queue.add(vec![b'a'; MAX_WAITING - 1]);
        queue.add(b"bb".to_vec());
        queue.add(b"c".to_vec());
        queue.add(b"ddd".to_vec());
        assert_eq!(take(&mut queue).map(|text| text.len()), Some(MAX_WAITING - 1));
        assert!(take(&mut queue).is_some_and(|said| said.contains("2 bytes")));
        assert_eq!(take(&mut queue).as_deref(), Some("c"));
        assert!(take(&mut queue).is_some_and(|said| said.contains("3 bytes")));
        assert_eq!((take(&mut queue), queue.waiting), (None, 0));
    }
}
