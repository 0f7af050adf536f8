//! Dumps in logs: crashes, SIGQUIT, `runtime.Stack` written line by line or as one string.
//!
//! Each line is freed of what the log put around it, outermost first: the container runtime
//! ([`container`]), JSON ([`json`]), a string in quotes ([`quoted_dumps`]), and whatever stands before
//! the first line of a goroutine ([`prefix`]). Lines of other writers in between do no harm.

use std::borrow::Cow;

use super::go_header::header;
use super::go_lines::{DumpReader, Line};
use super::go_text::{DumpGoroutine, GoDump};
use super::quoted::unquote;
use collect::Collector;
use container::Containers;
use crash::Crash;
use prefix::Prefix;

mod collect;
mod container;
mod crash;
mod json;
mod prefix;

/// JSON within JSON is followed this deep.
const MAX_NESTING: usize = 3;

/// What was found in a log, or in a dump by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoLog {
    /// The last complete dump; the last one, if none is complete.
    pub dump: GoDump,
    /// What the program said before it: "panic: ...", "fatal error: ...".
    pub said: Vec<String>,
    /// When the log says that it was written, nanoseconds since the Unix epoch. 0 if it does not.
    pub taken_at_ns: u64,
    /// The goroutines of each dump in the log, as many dumps as are worth counting.
    pub dumps: Vec<usize>,
}

impl GoLog {
    /// Looks for dumps in `text`.
    pub fn parse(text: &[u8]) -> GoLog {
        let mut reader = LogReader::default();
        for line in text.strip_suffix(b"\n").unwrap_or(text).split(|&b| b == b'\n') {
            reader.raw_line(&String::from_utf8_lossy(line));
        }
        reader.finish(text.ends_with(b"\n"))
    }
}

#[derive(Default)]
struct LogReader {
    containers: Containers,
    prefix: Prefix,
    reader: DumpReader,
    crash: Crash,
    dumps: Collector,
    /// Something else was written since the last goroutine was over.
    junk: bool,
    /// With GOTRACEBACK=crash one thread after the other adds to the dump; this stands between them.
    another_thread: bool,
    /// The line comes out of a JSON object.
    in_json: bool,
    /// So did the last header of a goroutine: blank lines and others between goroutines will, too.
    dump_in_json: bool,
    other_lines: u64,
}

impl LogReader {
    fn raw_line(&mut self, line: &str) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(message) = self.containers.unwrap(line) {
            self.message(&message.text, message.time_ns, 0);
        }
    }

    /// A line as the program wrote it, or as its logger did.
    fn message(&mut self, text: &str, time_ns: u64, depth: usize) {
        let looks_like_json = depth < MAX_NESTING && text.trim_start().starts_with('{');
        if looks_like_json
            && self.is_worth_a_look(text)
            && let Some(found) = json::read(text)
        {
            let time_ns = if found.time_ns == 0 { time_ns } else { found.time_ns };
            found.dumps.iter().for_each(|dump| self.whole_dump(dump, time_ns));
            if let Some(message) = found.message {
                let lines = message.strip_suffix('\n').unwrap_or(&message).split('\n');
                lines.for_each(|line| self.message(line, time_ns, depth + 1));
            }
            return;
        }
        if text.contains("goroutine ") && text.contains("\\n") {
            let dumps = quoted_dumps(text);
            if !dumps.is_empty() {
                let time_ns = if time_ns == 0 { prefix::timestamp(text) } else { time_ns };
                dumps.iter().for_each(|dump| self.whole_dump(dump, time_ns));
                return;
            }
        }
        self.in_json = depth > 0;
        self.plain(text, time_ns);
    }

    /// Outside of a dump most lines need no second look.
    fn is_worth_a_look(&self, text: &str) -> bool {
        self.reader.within()
            || self.dump_in_json
            || text.contains("goroutine ")
            || crash::find(text).is_some()
    }

    /// A dump that was one string in the log.
    fn whole_dump(&mut self, text: &str, time_ns: u64) {
        self.end_dump();
        let prefix = std::mem::take(&mut self.prefix);
        text.lines().for_each(|line| self.plain(line, time_ns));
        self.end_dump();
        self.prefix = prefix;
    }

    fn plain(&mut self, text: &str, time_ns: u64) {
        if let Some(at) = header_in(text) {
            let (before, line) = text.split_at(at);
            self.prefix = Prefix::learn(before);
            self.begin_goroutine(before, line, time_ns);
            return;
        }
        let crash = crash::find(text);
        let stripped = untabbed(self.prefix.strip(text));
        let is_crash = crash.is_some_and(|at| stripped.len() == text.len() - at);
        if self.reader.within() {
            if !is_crash {
                self.line_of_dump(&stripped);
            }
        } else if crash.is_none() {
            self.line_between(stripped.trim());
        }
        if let Some(at) = crash {
            let time_ns = if time_ns == 0 { prefix::timestamp(text) } else { time_ns };
            self.crash.add(text, at, time_ns);
        }
    }

    /// A line within a goroutine, if it belongs there.
    fn line_of_dump(&mut self, line: &str) {
        match self.reader.line(line) {
            Line::Other => self.other_lines += 1,
            Line::Part | Line::Blank | Line::Header => self.keep_finished(false),
        }
    }

    /// A line of something else.
    fn line_between(&mut self, line: &str) {
        self.crash.another_line();
        self.junk |= !line.is_empty();
        self.another_thread |= line == "-----";
    }

    fn begin_goroutine(&mut self, before: &str, line: &str, time_ns: u64) {
        self.dump_in_json = self.in_json;
        let cut = self.reader.is_cut(true);
        let mut crash = self.crash.take(before, &self.prefix);
        if std::mem::take(&mut self.another_thread) {
            crash.said.clear();
            self.junk = false;
        }
        self.reader.line(line);
        self.keep_finished(cut);
        if !crash.said.is_empty() {
            self.dumps.end();
        }
        let time_ns = [crash.time_ns, time_ns, prefix::timestamp(before)].into_iter().find(|&ns| ns != 0);
        self.dumps.begin(crash.said, time_ns.unwrap_or(0), std::mem::take(&mut self.junk));
    }

    fn keep_finished(&mut self, cut: bool) {
        for goroutine in self.reader.take_finished() {
            self.dumps.add(goroutine, cut);
        }
    }

    fn end_dump(&mut self) {
        let cut = self.reader.is_cut(true);
        self.reader.line("");
        self.keep_finished(cut);
        self.dumps.end();
        self.junk = false;
    }

    fn finish(mut self, whole_line: bool) -> GoLog {
        if let Some(message) = self.containers.finish() {
            self.message(&message.text, message.time_ns, 0);
        }
        let cut = self.reader.is_cut(whole_line);
        self.reader.line("");
        self.keep_finished(cut);
        let mut log = self.dumps.finish();
        log.dump.other_lines = self.other_lines;
        log
    }
}

/// Where in a line the header of a goroutine begins.
fn header_in(text: &str) -> Option<usize> {
    /// A header is the end of its line: what stands before it may hold the word a few times.
    const TRIES: usize = 8;
    let text = text.trim_end();
    if !text.ends_with(':') {
        return None;
    }
    let mut places = text.match_indices("goroutine ").take(TRIES);
    places.find_map(|(at, _)| header(text.get(at..)?).map(|_| at))
}

/// The dumps that stand in a line in quotes, with their line feeds escaped.
fn quoted_dumps(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let Some((string, after)) = rest.get(at..).and_then(unquote) else { break };
        if is_dump(&string) {
            found.push(string);
        }
        rest = after;
    }
    found
}

/// Does a text hold the header of a goroutine and more than that?
fn is_dump(text: &str) -> bool {
    text.contains('\n') && text.lines().any(|line| header_in(line).is_some())
}

/// rsyslog writes tabs as "#011".
fn untabbed(text: &str) -> Cow<'_, str> {
    match text.strip_prefix("#011") {
        Some(rest) => format!("\t{rest}").into(),
        None => text.into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "../log_tests.rs"]
mod tests;
