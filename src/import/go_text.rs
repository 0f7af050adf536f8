//! The text that `runtime.Stack`, a goroutine profile with debug=2, SIGQUIT and a crash produce.
//!
//! `go_dump` has its contents, `go_lines` reads its lines, `go_header` the first line of each goroutine.

use super::go_dump::GoDump;
use super::go_lines::DumpReader;

impl GoDump {
    /// Reads a dump out of `text`.
    pub fn parse(text: &[u8]) -> GoDump {
        let mut reader = DumpReader::default();
        for line in text.strip_suffix(b"\n").unwrap_or(text).split(|&b| b == b'\n') {
            reader.line(&String::from_utf8_lossy(line));
        }
        reader.finish(text.ends_with(b"\n"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "go_text_tests.rs"]
mod tests;
