//! Limits on the number of tasks of a running process, what trips them, and what was learned.
//!
//! Sentences are worded in `words`, once for text and JSON.

mod json;
mod text;
mod words;

pub use json::Lines;
pub use text::{begin, command, end, event, learned};

use crate::analysis::trip::{Baseline, Event, Rules, Sample, Watch};
use crate::snapshot::Snapshot;

/// What a watch begins with.
#[derive(Debug, Clone, Copy)]
pub struct Begin<'a> {
    /// The first reading.
    pub snapshot: &'a Snapshot,
    /// The counts of it.
    pub now: &'a Sample,
    /// The limits, and what was learned.
    pub watch: &'a Watch,
    /// How long the process is watched, nanoseconds.
    pub span_ns: u64,
}

/// What was learned.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// The last reading.
    pub snapshot: &'a Snapshot,
    /// What the readings say.
    pub baseline: &'a Baseline,
    /// What the thresholds are made with.
    pub rules: &'a Rules,
    /// The file that keeps it.
    pub file: &'a str,
}

/// How the command that was run for a trip ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    /// The command, as the user gave it.
    pub command: String,
    /// "exit status 0", "killed after 60 s", "cannot start mail: No such file or directory".
    pub how: String,
    /// It did what it was to do.
    pub succeeded: bool,
    /// How long it ran, nanoseconds.
    pub took_ns: u64,
    /// The last lines of its output.
    pub output: Vec<String>,
}

/// A trip in one sentence. None for a recovery.
pub fn sentence(event: &Event, noun: &str) -> Option<String> {
    match event {
        Event::Tripped(trip) => Some(words::tripped(trip, noun)),
        Event::Recovered { .. } => None,
    }
}
