//! The messages of a crashing program, in the lines before its goroutines.

use std::rc::Rc;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::super::noise::{is_log_line, is_moment};
use super::prefix::{Prefix, Suffix};

/// The writer of lines that were fields of something, if nothing names their writer.
pub(super) const OF_FIELDS: &str = "\u{1}";

/// How such a line begins. [`signal`] recognises signals.
const BEGINNINGS: [&str; 14] = [
    "panic: ",
    "fatal error: ",
    "fatal: morestack on ",
    "fatal: systemstack called from ",
    "[signal ",
    "Exception 0x",
    "unexpected fault address ",
    "http: panic serving ",
    "http2: panic serving ",
    "Observed a panic",
    "runtime: out of memory",
    "runtime: goroutine stack exceeds ",
    "runtime: program exceeds ",
    "runtime: may need to increase max user processes",
];
/// Each of them contains one of these; lines of a dump hardly ever do.
static PARTS: LazyLock<[Finder<'static>; 8]> = LazyLock::new(|| {
    ["panic", "fatal", "SIG", "[signal ", "Exception 0x", "unexpected fault", "runtime: ", "max user"]
        .map(Finder::new)
});
/// At most this many lines are kept of a chain of panics.
const MAX_LINES: usize = 8;
/// Bytes kept of one line.
const MAX_LENGTH: usize = 1000;
/// Messages more lines than this above the goroutines are unrelated to them.
const MAX_DISTANCE: u64 = 64;
/// What a test that timed out prints before the names of the running tests.
const RUNNING_TESTS: &str = "running tests:";

/// Where in a line the program's reason for the crash begins.
pub(super) fn find(line: &str) -> Option<usize> {
    PARTS.iter().find(|part| part.find(line.as_bytes()).is_some())?;
    let at = BEGINNINGS.iter().filter_map(|beginning| line.find(beginning)).chain(signal(line)).min()?;
    let before = line.get(..at)?;
    // "http: panic: x" is not a crash, "12:00:00 panic: x" is; the header that follows decides.
    let logged = before.ends_with("http: ") && line.get(at..)?.starts_with("panic: ");
    let word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
    (!logged && !word).then_some(at)
}

/// "SIGQUIT: quit", for any signal.
fn signal(line: &str) -> Option<usize> {
    line.match_indices("SIG").map(|(at, _)| at).find(|&at| {
        let Some((name, text)) = line.get(at + 3..).and_then(|rest| rest.split_once(": ")) else {
            return false;
        };
        (2..=9).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'+')
            && text.starts_with(|c: char| c.is_ascii_lowercase())
    })
}

/// What was said since the last goroutine.
#[derive(Debug, Default)]
pub(super) struct Crash {
    lines: Vec<Spoken>,
    /// The last line may continue in the next.
    open: bool,
    distance: u64,
}

#[derive(Debug)]
struct Spoken {
    /// The whole line.
    line: String,
    /// Where in it the message begins.
    at: usize,
    /// It continues the line before it.
    text: bool,
    writer: Rc<str>,
    time_ns: u64,
}

/// What a crash said.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) said: Vec<String>,
    /// Nanoseconds since the Unix epoch. 0 if unknown.
    pub(super) time_ns: u64,
}

/// Can both be the same writer? A field and a plain line may come from the same one.
fn is_same(a: &str, b: &str) -> bool {
    a.trim_start_matches(OF_FIELDS) == b.trim_start_matches(OF_FIELDS)
}

impl Crash {
    /// Takes a line whose message begins at `at`.
    pub(super) fn add(&mut self, line: &str, at: usize, writer: &Rc<str>, time_ns: u64) {
        self.push(line, at, false, writer, time_ns);
        self.open = true;
    }

    fn push(&mut self, line: &str, at: usize, text: bool, writer: &Rc<str>, time_ns: u64) {
        self.distance = 0;
        if self.lines.len() < MAX_LINES {
            let end = line.len().min(at.saturating_add(MAX_LENGTH));
            let line = line.get(..line.floor_char_boundary(end)).unwrap_or(line).to_owned();
            self.lines.push(Spoken { line, at, text, writer: Rc::clone(writer), time_ns });
        }
    }

    /// Does the line, which comes next, continue the message? The text of a panic is indented below its first
    /// line, whatever it contains.
    pub(super) fn goes_on(&self, line: &str, writer: &Rc<str>) -> bool {
        self.more(line, writer).is_some_and(|more| !more.trim().is_empty())
    }

    fn more<'a>(&self, line: &'a str, writer: &Rc<str>) -> Option<&'a str> {
        let last = self.lines.last().filter(|last| self.open && is_same(&last.writer, writer))?;
        let first = self.lines.iter().rev().find(|spoken| !spoken.text).unwrap_or(last);
        let before = first.line.get(..first.at).unwrap_or_default();
        let rest = Prefix::learn(before).strip_all(line).or_else(|| {
            // The prefix of the first line may have been cut.
            let (stamps, _) = line.split_once('\t')?;
            stamps
                .split_whitespace()
                .all(|word| word.starts_with(|c: char| c.is_ascii_digit()))
                .then(|| line.get(stamps.len()..).unwrap_or_default())
        })?;
        let tests = last.text && last.line.starts_with(RUNNING_TESTS);
        let indented = rest.starts_with(char::is_whitespace);
        (indented || rest.starts_with(RUNNING_TESTS) || tests && rest.trim_end().ends_with(')'))
            .then_some(rest)
    }

    /// Takes a line if it continues the message.
    pub(super) fn take_more(&mut self, line: &str, writer: &Rc<str>) -> bool {
        let Some(more) = self.more(line, writer) else {
            self.open = false;
            return false;
        };
        let text = more.trim();
        if text.is_empty() {
            return true;
        }
        match self.lines.last_mut() {
            // The tests are listed in one sentence.
            Some(last) if last.text && last.line.starts_with(RUNNING_TESTS) => {
                if last.line.len() + text.len() < MAX_LENGTH {
                    let comma = if last.line == RUNNING_TESTS { " " } else { ", " };
                    last.line = format!("{}{comma}{text}", last.line);
                }
            }
            _ => self.push(text, 0, true, writer, 0),
        }
        true
    }

    /// Another line without a message.
    pub(super) fn another_line(&mut self) {
        self.open = false;
        self.distance += 1;
        if self.distance > MAX_DISTANCE {
            self.lines.clear();
        }
    }

    /// The message of a dump's writer, now that the text before and after its lines is known. Lines with
    /// words before them were not the runtime's. `of_another` recognises lines of other writers.
    pub(super) fn take(
        &mut self,
        writer: &Rc<str>,
        prefix: &Prefix,
        suffix: &Suffix,
        of_another: impl Fn(&str) -> bool,
    ) -> Said {
        self.open = false;
        let mut taken = Said::default();
        let mut first_taken = Some(false);
        self.lines.retain(|spoken| {
            if !is_same(&spoken.writer, writer) {
                return true;
            }
            // A continuation belongs to the line that it continues.
            let mine = match spoken.text {
                true => first_taken,
                false if of_another(&spoken.line) => None,
                false => spoken.is_of(prefix),
            };
            first_taken = mine;
            let Some(mine) = mine else { return true };
            if mine {
                let message = spoken.line.get(spoken.at..).unwrap_or_default().trim_end();
                let message = suffix.strip(message).unwrap_or(message);
                // Shells repeat the message within words of their own.
                let repeated =
                    |said: &String| message.len() > said.len() && message.starts_with(said.as_str());
                if !message.is_empty() && !taken.said.iter().any(repeated) {
                    taken.said.push(message.to_owned());
                }
                if taken.time_ns == 0 {
                    taken.time_ns = spoken.time_ns;
                }
            }
            false
        });
        taken
    }
}

impl Spoken {
    /// Did the writer with this prefix write it? None if it seems to be a different writer.
    fn is_of(&self, prefix: &Prefix) -> Option<bool> {
        let before = self.line.get(..self.at)?;
        let (_, rest) = prefix.strip(&self.line);
        let message = self.line.len() - self.at;
        let words = rest.get(..rest.len().saturating_sub(message)).unwrap_or_default();
        // The prefix's names must be there, except levels.
        let named = prefix.names().filter(|name| !is_log_line(&format!("{name} x")));
        let missing = named.into_iter().any(|name| !before.split_whitespace().any(|word| word == name));
        (!missing).then(|| before.trim().is_empty() || is_put_before(words))
    }
}

/// Can something other than the program have put these words before a message? Loggers put times, levels and
/// names, which end in a colon or a bracket; sentences end in words.
fn is_put_before(words: &str) -> bool {
    let words = words.trim_end();
    let last = words.rsplit(char::is_whitespace).next().unwrap_or_default();
    let number = |c: char| c.is_ascii_digit() || ".:+-TZ".contains(c);
    words.is_empty()
        || !last.ends_with(|c: char| c.is_alphanumeric())
        || is_moment(last)
        || last.starts_with(|c: char| c.is_ascii_digit()) && last.chars().all(number)
        || words.split_whitespace().count() <= 3 && is_log_line(&format!("{words} x"))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn finds_what_a_crash_says() {
        for (line, at) in [
            ("panic: x", Some(0)),
            ("SIGUSR1: user-defined signal 1", Some(0)),
            ("^\\SIGQUIT: quit", Some(2)),
            ("Exception 0xc0000005 0x0 0x0 0x0", Some(0)),
            ("##[error]panic: x", Some(9)),
            ("2026/11/21 10:00:00 http2: panic serving 1.2.3.4:5: x", Some(20)),
            ("MESSAGE=fatal error: x", Some(8)),
            ("http: panic: x", None),
            ("dispanic: x", None),
            ("SIGNAL: NO", None),
            ("main.panic()", None),
        ] {
            assert_eq!(find(line), at, "{line}");
        }
    }
}
