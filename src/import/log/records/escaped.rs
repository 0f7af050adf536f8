//! Dumps that are one string with their line feeds escaped: by Go, JSON, YAML or Python in quotes, by rsyslog
//! as `#012`, or without quotes; once or several times over.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::super::quoted::{unquote_lenient, unquote_with};
use super::super::crash;
use super::is_dump;

/// At most this many quotes that do not begin a string are skipped.
const MAX_FAILED: usize = 16;
/// A text is unescaped at most this many times.
const MAX_TIMES: usize = 4;

/// Can the line contain an escaped dump?
pub(super) fn is_likely(text: &str) -> bool {
    text.contains("goroutine") && (text.contains('\\') || text.contains("#012"))
        || text.contains(BASE64)
        || text.contains(DECIMAL)
        || text.contains(DECIMAL_COMMAS)
}

/// "goroutine " in base64, without the characters that depend on what follows.
const BASE64: &str = "Z29yb3V0aW5lI";
/// "panic: " in base64.
const BASE64_PANIC: &str = "cGFuaWM6I";
/// "gorout" as a list of bytes.
const DECIMAL: &str = "103 111 114 111 117 116";
const DECIMAL_COMMAS: &str = "103,111,114,111,117,116";

/// What a line contains.
pub(super) enum Escaped {
    /// Strings in it that are dumps.
    Strings(Vec<String>),
    /// The whole line, unescaped.
    Line(String),
    /// The beginning of a string that continues in the next line, from its quote.
    Open { at: usize, quote: char },
}

/// Looks for dumps in a line.
pub(super) fn find(text: &str) -> Option<Escaped> {
    if text.contains(BASE64) || text.contains(BASE64_PANIC) {
        let found: Vec<_> = words_of_base64(text).filter_map(in_base64).collect();
        if !found.is_empty() {
            return Some(Escaped::Strings(found));
        }
    }
    if let Some(text) = decimal(text) {
        return Some(Escaped::Strings(vec![text]));
    }
    if text.contains("#012") {
        let plain = text.replace("#012", "\n").replace("#011", "\t").replace("#015", "");
        return is_dump(&plain).then_some(Escaped::Line(plain));
    }
    let (found, open) = strings(text);
    if !found.is_empty() {
        return Some(Escaped::Strings(found));
    }
    let whole = if text.contains('\\') { unescape_fully(text) } else { None };
    if let Some((at, quote)) = open {
        return Some(Escaped::Open { at, quote });
    }
    whole.map(Escaped::Line)
}

/// The strings in quotes that are dumps, and the last quote that begins an unfinished string.
fn strings(text: &str) -> (Vec<String>, Option<(usize, char)>) {
    let mut found = Vec::new();
    let mut open = None;
    let mut failed = 0;
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(['"', '\''])).map(|at| from + at) {
        let rest = text.get(at..).unwrap_or_default();
        let quote = rest.chars().next().unwrap_or('"');
        from = at + 1;
        // An apostrophe is inside a word; a quote begins a word, or follows Python's string prefix.
        let before = text.get(..at).unwrap_or_default();
        let prefixed = before.strip_suffix(['b', 'r', 'u', 'f']).unwrap_or(before);
        if quote == '\'' && prefixed.ends_with(char::is_alphanumeric) {
            continue;
        }
        match unquote_with(rest, quote) {
            Some((string, after)) => {
                if let Some(dump) = dump_in(string) {
                    found.push(dump);
                    from = text.len() - after.len();
                } else if quote == '"' {
                    from = text.len() - after.len();
                }
            }
            None => {
                if open.is_none() || quote == '"' {
                    open = Some((at, quote));
                }
                failed += 1;
                if failed == MAX_FAILED {
                    break;
                }
            }
        }
    }
    (found, open)
}

/// The dump in a string, which may be escaped once more.
pub(super) fn dump_in(string: String) -> Option<String> {
    // A message of its own may describe the crash.
    let tells = || string.contains('\n') && string.lines().any(|line| crash::find(line) == Some(0));
    if is_dump(&string) || tells() {
        return Some(string);
    }
    if string.contains("goroutine ") && string.contains('\\') { unescape_fully(&string) } else { None }
}

/// Unescapes until the text is a dump.
fn unescape_fully(text: &str) -> Option<String> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_TIMES {
        let plain = unescape(&text);
        if is_dump(&plain) {
            return Some(plain);
        }
        if plain == text {
            return None;
        }
        text = Cow::Owned(plain);
    }
    None
}

/// The text without its escapes; malformed escapes stay.
pub(super) fn unescape(text: &str) -> String {
    unquote_lenient(text)
}

fn words_of_base64(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '/' && c != '=')
}

/// The dump in a base64 text.
pub(super) fn in_base64(text: &str) -> Option<String> {
    if !text.starts_with(BASE64) && !text.starts_with(BASE64_PANIC) {
        return None;
    }
    // An incomplete end does not matter.
    let text = text.trim_end_matches('=');
    let whole = text.get(..text.len() / 4 * 4)?;
    let mut bytes = STANDARD.decode(whole).ok()?;
    let rest = text.get(whole.len()..)?;
    if rest.len() > 1 {
        let padded = format!("{rest:=<4}");
        bytes.extend(STANDARD.decode(padded).unwrap_or_default());
    }
    let text = String::from_utf8(bytes).ok()?;
    is_dump(&text).then_some(text)
}

/// The dump in a list of decimal bytes: `[103 111 114 ...]`.
fn decimal(text: &str) -> Option<String> {
    let at = text.find(DECIMAL).or_else(|| text.find(DECIMAL_COMMAS))?;
    let start = text.get(..at)?.rfind('[').map_or(at, |open| open + 1);
    let list = text.get(start..)?;
    let list =
        list.get(..list.find(|c: char| !c.is_ascii_digit() && c != ' ' && c != ',').unwrap_or(list.len()))?;
    let bytes: Option<Vec<u8>> = list
        .split([' ', ','])
        .filter(|number| !number.is_empty())
        .map(|number| number.parse().ok())
        .collect();
    let text = String::from_utf8_lossy(&bytes?).into_owned();
    is_dump(&text).then_some(text)
}

/// A string that continues in the following lines until its closing quote.
pub(super) struct Joined {
    text: String,
    quote: char,
    /// How much of it was searched for the quote.
    searched: usize,
    lines: usize,
}

impl Joined {
    /// Lines that may belong to one string.
    const MAX_LINES: usize = 4096;
    const MAX_BYTES: usize = 4 << 20;

    pub(super) fn new(first: &str, at: usize, quote: char) -> Self {
        Joined { text: first.to_owned(), quote, searched: at + 1, lines: 0 }
    }

    /// Takes the next line: YAML folds strings at blanks and indents the continuation, terminals break lines
    /// anywhere. True if the string ends in it, None if it cannot continue.
    pub(super) fn push(&mut self, line: &str) -> Option<bool> {
        self.lines += 1;
        if self.lines > Self::MAX_LINES || self.text.len() + line.len() > Self::MAX_BYTES {
            return None;
        }
        if line.starts_with("  ") {
            let end = self.text.trim_end().len().max(self.searched);
            self.text.truncate(end);
            let continued = self.text.ends_with('\\') && !self.text.ends_with("\\\\");
            if continued {
                self.text.pop();
                self.searched = self.searched.min(self.text.len());
            } else {
                self.text.push(' ');
            }
            let line = line.trim_start();
            // A blank at the beginning of a line is escaped.
            self.text.push_str(line.strip_prefix("\\ ").map_or(line, |_| line.get(1..).unwrap_or_default()));
        } else {
            self.text.push_str(line);
        }
        Some(self.ends())
    }

    fn ends(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let mut at = self.searched;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\\' if at + 1 == bytes.len() => break,
                b'\\' => at += 2,
                byte if byte == self.quote as u8 => return true,
                _ => at += 1,
            }
        }
        self.searched = at.min(bytes.len());
        false
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
