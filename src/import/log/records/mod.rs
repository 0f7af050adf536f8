//! From text to records: lines, and messages out of whatever a log or its viewer put them in.
//!
//! A JSON document, a table and a journal are recognised by their beginning. Everything else is read line by
//! line. Each line may itself be JSON, contain a string that is a dump, or begin a string that continues in
//! the following lines.

use std::borrow::Cow;
use std::rc::Rc;

use super::super::colours;
use super::super::go_header::header_in;
use super::crash::{self, OF_FIELDS};
use container::Containers;
use csv::Table;
use escaped::{Escaped, Joined};

mod container;
mod csv;
mod escaped;
mod journal;
mod json;

/// JSON within JSON is followed this deep.
const MAX_NESTING: usize = 3;

/// The total number of lines examined in search of the ends of strings.
const MAX_LOOKED_AHEAD: usize = 1 << 18;

/// Something that was written at once: a line, or a message of several lines.
pub(super) struct Record<'a> {
    pub(super) text: Cow<'a, str>,
    /// Nanoseconds since the Unix epoch. 0 if unknown.
    pub(super) time_ns: u64,
    /// The writer, if the log names it in a separate field. Empty if it does not.
    pub(super) writer: Rc<str>,
}

/// Takes records.
pub(super) trait Sink<'a> {
    /// Takes one record.
    fn record(&mut self, record: Record<'a>);

    /// Is a dump being read? Then all lines matter, otherwise only those that begin a dump.
    fn interested(&self) -> bool;

    /// Nothing more comes. `half_a_line`: the end of the text, if it is not a whole line.
    fn finish(&mut self, _half_a_line: &str) {}
}

/// Keeps records.
#[derive(Default)]
pub(super) struct Collected<'a> {
    pub(super) records: Vec<Record<'a>>,
}

impl<'a> Sink<'a> for Collected<'a> {
    fn record(&mut self, record: Record<'a>) {
        self.records.push(record);
    }

    fn interested(&self) -> bool {
        true
    }
}

/// Reads all records of a text.
pub(super) fn each<'a>(text: &'a [u8], sink: &mut dyn Sink<'a>) {
    let mut reader = Reader {
        sink,
        containers: Containers::default(),
        key: None,
        unknown_writer: Rc::from(""),
        looked_ahead: 0,
    };
    if journal::is_export(text) {
        journal::export(text, &mut |entry| reader.entry(entry));
    } else if journal::is_verbose(text) {
        journal::verbose(text, &mut |entry| reader.entry(entry));
    } else if let Some(table) = Table::sniff(text) {
        reader.table(text, &table);
    } else if is_document(text) {
        reader.document(text);
    } else {
        reader.lines(text);
    }
}

/// Is it JSON that continues after its first line?
fn is_document(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    match text.first() {
        Some(b'[') => {
            matches!(text.get(1..).unwrap_or_default().trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
        }
        Some(b'{') => {
            let first = text.split(|&b| b == b'\n').next().unwrap_or_default().trim_ascii_end();
            first == b"{" || !first.ends_with(b"}") && matches!(first.last(), Some(b'{' | b'[' | b','))
        }
        _ => false,
    }
}

/// Does a text contain the header of a goroutine and more lines?
fn is_dump(text: &str) -> bool {
    text.contains('\n') && text.contains("oroutine ") && text.lines().any(|line| header_in(line).is_some())
}

struct Reader<'s, 'a> {
    sink: &'s mut dyn Sink<'a>,
    containers: Containers,
    /// The key of the values in which a logger writes the lines of the dump.
    key: Option<&'static str>,
    unknown_writer: Rc<str>,
    /// The number of lines examined in search of the end of a string.
    looked_ahead: usize,
}

/// The lines of a text, one after the other.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let (line, rest) = match memchr::memchr(b'\n', rest) {
            Some(at) => (rest.get(..at)?, rest.get(at + 1..)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(line)
    }
}

impl<'a> Reader<'_, 'a> {
    fn record(&mut self, text: Cow<'a, str>, time_ns: u64, writer: &Rc<str>) {
        self.sink.record(Record { text, time_ns, writer: Rc::clone(writer) });
    }

    fn lines(&mut self, text: &'a [u8]) {
        let mut lines = Lines { rest: Some(text.strip_suffix(b"\n").unwrap_or(text)) };
        while let Some(line) = lines.next() {
            self.line(line, &mut lines);
        }
        if let Some(message) = self.containers.finish() {
            let unknown_writer = Rc::clone(&self.unknown_writer);
            self.message(message.text, message.time_ns, &unknown_writer, 0, None);
        }
    }

    fn line(&mut self, line: &'a [u8], following: &mut Lines<'a>) {
        let line = text_of(line);
        // A line of a dump by itself.
        if is_plain(&line) {
            let unknown_writer = Rc::clone(&self.unknown_writer);
            self.record(line, 0, &unknown_writer);
            return;
        }
        let unknown_writer = Rc::clone(&self.unknown_writer);
        match line {
            Cow::Borrowed(line) => match colours::strip(line) {
                Cow::Borrowed(line) => {
                    if let Some(message) = self.containers.unwrap(line) {
                        self.message(message.text, message.time_ns, &unknown_writer, 0, Some(following));
                    }
                }
                Cow::Owned(line) => self.owned(line, following),
            },
            Cow::Owned(line) => self.owned(colours::strip(&line).into_owned(), following),
        }
    }

    fn owned(&mut self, line: String, following: &mut Lines<'a>) {
        let unknown_writer = Rc::clone(&self.unknown_writer);
        let message =
            self.containers.unwrap(&line).map(|message| (message.text.into_owned(), message.time_ns));
        if let Some((text, time_ns)) = message {
            self.message(text.into(), time_ns, &unknown_writer, 0, Some(following));
        }
    }

    /// A line as the program wrote it, or as its logger did.
    fn message(
        &mut self,
        text: Cow<'a, str>,
        time_ns: u64,
        writer: &Rc<str>,
        depth: usize,
        following: Option<&mut Lines<'a>>,
    ) {
        let likely = escaped::is_likely(&text);
        let worth_a_look =
            self.sink.interested() || likely || text.contains("goroutine ") || crash::find(&text).is_some();
        if !worth_a_look || depth >= MAX_NESTING {
            self.record(text, time_ns, writer);
            return;
        }
        // rsyslog writes tabs like this.
        let text =
            if text.contains("#011") && !likely { Cow::Owned(text.replace("#011", "\t")) } else { text };
        if self.json(&text, time_ns, writer, depth) {
            return;
        }
        if likely || crash::find(&text).is_some() && text.contains(['"', '\'']) {
            match escaped::find(&text) {
                Some(Escaped::Strings(dumps)) => {
                    self.before_dump(&text, time_ns, writer);
                    dumps.into_iter().for_each(|dump| self.whole(dump, &text, time_ns, writer));
                    return;
                }
                Some(Escaped::Line(dump)) => {
                    self.whole(dump, "", time_ns, writer);
                    return;
                }
                Some(Escaped::Open { at, quote }) => {
                    if let Some(following) = following
                        && self.joined(&text, at, quote, time_ns, writer, following)
                    {
                        return;
                    }
                    if let Some(dump) = escaped::dump_in(text.clone().into_owned()) {
                        self.whole(dump, "", time_ns, writer);
                        return;
                    }
                }
                None => {}
            }
        }
        if let Some(line) = self.value(&text) {
            self.record(colours::strip(&line).into_owned().into(), timestamp_of(&text, time_ns), writer);
            return;
        }
        self.record(text, time_ns, writer);
    }

    /// A dump that was one string in the log.
    fn whole(&mut self, dump: String, around: &str, time_ns: u64, writer: &Rc<str>) {
        let own = writer_before(around);
        let writer = match own {
            Some(own) if writer.is_empty() => &Rc::from(own),
            _ => writer,
        };
        let dump = match colours::strip(&dump) {
            Cow::Borrowed(_) => dump,
            Cow::Owned(plain) => plain,
        };
        self.record(dump.into(), timestamp_of(around, time_ns), writer);
    }

    /// The text in the line before a dump that is a string: a crash, perhaps.
    fn before_dump(&mut self, text: &str, time_ns: u64, writer: &Rc<str>) {
        let Some((before, _)) = text.split_once("goroutine ") else { return };
        // The string may begin with the program's message, which is then part of the dump.
        let quote = before.rfind(['"', '\'']).unwrap_or(0);
        let before = before.get(..quote).unwrap_or_default();
        if let Some(at) = crash::find(before) {
            let said = before.get(at..).unwrap_or_default();
            let said = said.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ')' && c != '"');
            let said = said
                .rsplit_once(' ')
                .filter(|(_, last)| last.ends_with("stack") || last.ends_with("stacktrace"))
                .map_or(said, |(said, _)| said);
            self.record(said.to_owned().into(), timestamp_of(text, time_ns), writer);
        }
    }

    /// A line that contains an object, perhaps after other text.
    fn json(&mut self, text: &str, time_ns: u64, writer: &Rc<str>, depth: usize) -> bool {
        /// The longest text before the object, bytes.
        const BEFORE: usize = 512;
        let trimmed = text.trim_end();
        if !trimmed.ends_with(['}', ']']) {
            return false;
        }
        let Some(at) = trimmed.find('{').filter(|&at| at <= BEFORE) else { return false };
        let at = if trimmed.starts_with('[') && trimmed.ends_with(']') { 0 } else { at };
        let (before, object) = trimmed.split_at(at);
        // Labels in a profile look like this, and are not an object.
        if before.ends_with("# labels: ") {
            return false;
        }
        let mut pieces = Vec::new();
        if !json::read(object, &mut |piece| pieces.push(piece)) {
            return false;
        }
        let before = if before.trim().is_empty() { "" } else { before };
        for piece in pieces {
            let time_ns = if piece.time_ns == 0 { timestamp_of(before, time_ns) } else { piece.time_ns };
            let writer = if piece.writer.is_empty() { writer } else { &piece.writer };
            self.piece(piece.text, before, time_ns, writer, depth);
        }
        true
    }

    /// A text out of JSON or a table.
    fn piece(&mut self, text: String, before: &str, time_ns: u64, writer: &Rc<str>, depth: usize) {
        let text = match colours::strip(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(plain) => plain,
        };
        let trimmed = text.trim_end_matches(['\n', '\r']);
        if trimmed.contains('\n') {
            if is_dump(&text) || crash::find(&text).is_some() {
                self.whole(text, before, time_ns, writer);
            } else {
                let unnamed = Rc::from(OF_FIELDS);
                let writer = if writer.is_empty() { &unnamed } else { writer };
                for line in trimmed.lines() {
                    self.message(format!("{before}{line}").into(), time_ns, writer, depth + 1, None);
                }
            }
        } else {
            // Plain lines have other writers.
            let unnamed = Rc::from(OF_FIELDS);
            let writer = if writer.is_empty() { &unnamed } else { writer };
            self.message(format!("{before}{trimmed}").into(), time_ns, writer, depth + 1, None);
        }
    }

    /// A string that continues in the following lines.
    fn joined(
        &mut self,
        first: &str,
        at: usize,
        quote: char,
        time_ns: u64,
        writer: &Rc<str>,
        following: &mut Lines<'a>,
    ) -> bool {
        let mut ahead = Lines { rest: following.rest };
        let mut joined = Joined::new(first, at, quote);
        loop {
            self.looked_ahead += 1;
            if self.looked_ahead > MAX_LOOKED_AHEAD {
                return false;
            }
            let Some(line) = ahead.next() else { return false };
            match joined.push(&text_of(line)) {
                Some(true) => break,
                Some(false) => {}
                None => return false,
            }
        }
        let text = joined.into_text();
        if self.json(&text, time_ns, writer, 0) {
            following.rest = ahead.rest;
            return true;
        }
        let Some(Escaped::Strings(dumps)) = escaped::find(&text) else { return false };
        following.rest = ahead.rest;
        self.before_dump(&text, time_ns, writer);
        dumps.into_iter().for_each(|dump| self.whole(dump, &text, time_ns, writer));
        true
    }

    /// The value in which a logger wrote a line of the dump: `msg="goroutine 1 [running]:"`.
    fn value(&mut self, text: &str) -> Option<String> {
        const KEYS: [&str; 6] = ["msg=", "message=", "log=", "line=", "text=", "MESSAGE="];
        let find = |key: &'static str| {
            let at = text.match_indices(key).map(|(at, _)| at).find(|&at| {
                at == 0 || text.get(..at).is_some_and(|before| before.ends_with([' ', '\t', '{']))
            })?;
            let rest = text.get(at + key.len()..)?;
            let value = match super::super::quoted::unquote(rest) {
                Some((value, after)) if after.is_empty() || after.starts_with([' ', '\t', '}']) => value,
                Some(_) => return None,
                None if rest.starts_with('"') => return None,
                None => rest.split(' ').next().unwrap_or_default().to_owned(),
            };
            Some((key, at, value))
        };
        let (key, at, value) = match self.key {
            Some(key) => find(key)?,
            None => {
                let (key, at, value) = KEYS.iter().find_map(|key| find(key))?;
                let begins = |(start, end, _): (usize, usize, _)| start == 0 && end == value.trim_end().len();
                let header = header_in(&value).is_some_and(begins);
                (header || crash::find(&value) == Some(0)).then_some((key, at, value))?
            }
        };
        self.key = Some(key);
        let before = text.get(..at).unwrap_or_default();
        // The text before the first key is the prefix of something else.
        let prefix = before.find('=').map_or(before, |equals| {
            let key = before.get(..equals).unwrap_or_default();
            key.rfind(char::is_whitespace).and_then(|blank| before.get(..=blank)).unwrap_or_default()
        });
        Some(format!("{prefix}{value}"))
    }

    fn entry(&mut self, entry: journal::Entry) {
        let writer = Rc::from(entry.writer());
        if let Some(message) = entry.message {
            self.piece(message, "", entry.time_ns, &writer, 0);
        }
    }

    fn table(&mut self, text: &'a [u8], table: &Table) {
        let mut rest = text;
        let mut first = table.named;
        while !rest.is_empty() {
            match table.row(rest) {
                Some((row, length)) => {
                    rest = rest.get(length..).unwrap_or_default();
                    if !std::mem::take(&mut first) {
                        self.piece(row.message, "", row.time_ns, &Rc::from(row.writer), 0);
                    }
                }
                // A damaged row.
                None => {
                    let mut lines = Lines { rest: Some(rest) };
                    let line = lines.next().unwrap_or_default();
                    let unknown_writer = Rc::clone(&self.unknown_writer);
                    self.record(text_of(line), 0, &unknown_writer);
                    rest = lines.rest.unwrap_or_default();
                }
            }
        }
    }

    fn document(&mut self, text: &'a [u8]) {
        let failed = json::document(text, &mut |piece| {
            self.piece(piece.text, "", piece.time_ns, &piece.writer, 0);
        });
        if let Err(line) = failed {
            // The rest may be anything.
            let mut lines = Lines { rest: Some(text) };
            for _ in 0..line {
                lines.next();
            }
            if let Some(rest) = lines.rest {
                self.lines(rest);
            }
        }
    }
}

/// A line as text, without the carriage returns at its end.
fn text_of(line: &[u8]) -> Cow<'_, str> {
    let end = line.iter().rposition(|&b| b != b'\r').map_or(0, |at| at + 1);
    String::from_utf8_lossy(line.get(..end).unwrap_or_default())
}

/// Is it a line of a dump without anything around it, or with nothing around it that must be taken apart?
fn is_plain(line: &str) -> bool {
    let bytes = line.as_bytes();
    let like_a_line = match bytes.first() {
        None => return true,
        Some(b'g') => return bytes.starts_with(b"goroutine ") && bytes.ends_with(b"]:"),
        Some(b'{' | b'[' | b'"' | b'2') => false,
        Some(b'\t') => true,
        Some(b'c') if bytes.starts_with(b"created by ") => true,
        Some(_) => bytes.last() == Some(&b')') && memchr::memchr(b'=', bytes).is_none(),
    };
    like_a_line
        && memchr::memchr3(0x1b, b'\\', b'#', bytes).is_none()
        && memchr::memchr2(b'"', b'\'', bytes).is_none()
}

fn timestamp_of(around: &str, time_ns: u64) -> u64 {
    if time_ns == 0 { super::prefix::timestamp(around) } else { time_ns }
}

/// The writer of a line, if its viewer puts it first: `web-1  | ...`, `[pod/web-1/app] ...`.
fn writer_before(line: &str) -> Option<&str> {
    let first = line.split_whitespace().next()?;
    let rest = line.trim_start().get(first.len()..)?.trim_start();
    let named = rest.starts_with("| ") || first.starts_with("[pod/") && first.ends_with(']');
    named.then_some(first)
}
