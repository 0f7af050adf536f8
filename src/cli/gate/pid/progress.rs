//! One line on stderr while the user waits, if stderr is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::report::escape;
use crate::report::units::duration;

const OFTEN: Duration = Duration::from_millis(250);

/// The line, and when it was written last.
#[derive(Debug)]
pub(super) struct Progress {
    shown: bool,
    begin: Instant,
    span: Duration,
    last: Option<Instant>,
}

impl Progress {
    pub(super) fn new(begin: Instant, span: Duration) -> Self {
        Progress { shown: io::stderr().is_terminal(), begin, span, last: None }
    }

    /// Says what is done: "watching api", "1,204 goroutines".
    pub(super) fn show(&mut self, doing: &str, tasks: &str) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < OFTEN) {
            return;
        }
        self.last = Some(Instant::now());
        // A line that wraps cannot be erased.
        let doing: String = doing.chars().take(32).collect();
        let left = self.span.saturating_sub(self.begin.elapsed());
        let left = duration(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
        // Progress that cannot be shown is no loss.
        let _ =
            write!(io::stderr(), "\r\x1b[K{}: {tasks}, {left} left (Ctrl-C ends it early)", escape(&doing));
        let _ = io::stderr().flush();
    }

    /// Removes the line.
    pub(super) fn clear(&mut self) {
        if self.last.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
