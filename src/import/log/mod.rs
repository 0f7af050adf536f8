//! Dumps in logs: crashes, SIGQUIT, `runtime.Stack` written line by line or as one string.
//!
//! Bytes become text ([`super::encoding`]), text becomes records ([`records`]: lines, or messages out of JSON, CSV,
//! journals, quoted strings). Each line is given to its writer without the text before and after it ([`streams`],
//! [`wrap`], [`prefix`]), and read by a `DumpReader`. [`crash`] keeps the program's messages, [`collect`] groups goroutines
//! into dumps. If the lines turn out to be in reverse order, everything is repeated from the end.

use super::encoding;
use super::go_dump::{Cut, DumpGoroutine, GoDump};
pub(super) use counted::profiles;
use records::{Collected, Sink};
use streams::Streams;

mod collect;
mod counted;
mod crash;
mod loose;
mod prefix;
mod records;
mod stream;
mod streams;
mod wrap;

/// What was found in a log, or in a dump by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoLog {
    /// The last complete dump; the last dump, if none is complete.
    pub dump: GoDump,
    /// The program's message before it: "panic: ...", "fatal error: ...".
    pub said: Vec<String>,
    /// When it was written according to the log, nanoseconds since the Unix epoch. 0 if the log does not say.
    pub taken_at_ns: u64,
    /// The number of goroutines in each dump of the log, up to a limit of dumps.
    pub dumps: Vec<usize>,
    /// The writer of the dump, if the log names it: "[pod/web-0/app]". Empty if it does not.
    pub writer: String,
    /// The writers of dumps, up to a limit.
    pub writers: Vec<String>,
    /// The lines are in reverse order, and were read from the end.
    pub reversed: bool,
}

impl GoLog {
    /// Looks for dumps in `text`.
    pub fn parse(text: &[u8]) -> GoLog {
        GoLog::of_text(&encoding::decode(text))
    }

    /// The same for decoded text.
    pub(super) fn of_text(text: &[u8]) -> GoLog {
        let last = memchr::memrchr(b'\n', text).map_or(text, |end| text.get(end + 1..).unwrap_or_default());
        let mut forward = Streams::default();
        records::each(text, &mut forward);
        forward.finish(&String::from_utf8_lossy(last));
        let order = forward.order;
        let log = forward.into_log();
        if order.backward > order.forward
            && let Some(turned) = from_the_end(text)
            && turned.frames() > log.frames()
        {
            return turned;
        }
        log
    }

    /// How many frames and creators were understood.
    fn frames(&self) -> usize {
        let of =
            |goroutine: &DumpGoroutine| goroutine.frames.len() + usize::from(goroutine.created_by.is_some());
        self.dump.goroutines.iter().map(of).sum()
    }
}

/// Reads the lines in reverse order. None if they make no more sense that way.
fn from_the_end(text: &[u8]) -> Option<GoLog> {
    let mut collected = Collected::default();
    records::each(text, &mut collected);
    let mut streams = Streams::default();
    for record in collected.records.into_iter().rev() {
        streams.record(record);
    }
    streams.finish("");
    let better = streams.order.forward > streams.order.backward;
    better.then(|| GoLog { reversed: true, ..streams.into_log() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "../log_tests.rs"]
mod tests;
