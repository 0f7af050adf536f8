//! What a program says when it crashes, in the lines before its goroutines.

use super::prefix::Prefix;

/// How such a line begins.
const BEGINNINGS: [&str; 8] = [
    "panic: ",
    "fatal error: ",
    "SIGQUIT: quit",
    "SIGABRT: abort",
    "SIGSEGV: segmentation violation",
    "SIGTRAP: trace trap",
    "[signal ",
    "http: panic serving ",
];
/// Lines kept; the rest of a chain of panics is not.
const MAX_LINES: usize = 8;
/// Bytes kept of one.
const MAX_LENGTH: usize = 1000;
/// What was said further above the goroutines than this has nothing to do with them.
const MAX_DISTANCE: u64 = 64;

/// Where in a line the program says why it crashes.
pub(super) fn find(line: &str) -> Option<usize> {
    // All of them have this in them, and hardly any line of a dump has.
    memchr::memmem::find(line.as_bytes(), b": ")?;
    let at = BEGINNINGS.iter().filter_map(|beginning| line.find(beginning)).min()?;
    // "http: panic: x" is no crash, "12:00:00 panic: x" is; the header that follows decides.
    let before = line.get(..at)?;
    (before.is_empty() || before.ends_with(char::is_whitespace)).then_some(at)
}

/// What was said since the last goroutine.
#[derive(Debug, Default)]
pub(super) struct Crash {
    /// Whole lines, and where in them the message begins.
    lines: Vec<(String, usize)>,
    time_ns: u64,
    distance: u64,
}

/// What a crash said.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) said: Vec<String>,
    /// Nanoseconds since the Unix epoch. 0 if unknown.
    pub(super) time_ns: u64,
}

impl Crash {
    /// Takes a line in which the message begins at `at`.
    pub(super) fn add(&mut self, line: &str, at: usize, time_ns: u64) {
        if self.lines.is_empty() {
            self.time_ns = time_ns;
        }
        self.distance = 0;
        if self.lines.len() < MAX_LINES {
            let end = line.len().min(at.saturating_add(MAX_LENGTH));
            self.lines.push((line.get(..line.floor_char_boundary(end)).unwrap_or(line).to_owned(), at));
        }
    }

    /// One more line that says nothing.
    pub(super) fn another_line(&mut self) {
        self.distance += 1;
        if self.distance > MAX_DISTANCE {
            self.lines.clear();
        }
    }

    /// What was said, now that `before` is known to stand before the lines of the dump. Lines that have
    /// something else before them were not the runtime's.
    pub(super) fn take(&mut self, before: &str, prefix: &Prefix) -> Said {
        let said: Vec<String> = (self.lines.drain(..))
            .filter_map(|(line, at)| {
                let message = line.get(at..)?.trim_end();
                let by_runtime = at == 0
                    || prefix.strip(&line).trim_start() == line.get(at..)?
                    || before.is_empty() && message.starts_with("http: panic serving ")
                    || line.get(..at)?.trim().is_empty();
                by_runtime.then(|| message.to_owned())
            })
            .collect();
        Said { said, time_ns: std::mem::take(&mut self.time_ns) }
    }
}
