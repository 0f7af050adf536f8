//! Tables: comma-separated values and the like, as log viewers export them.

use super::super::super::go_header::header_in;
use super::super::prefix::moment;
use super::json::{MESSAGES, TIMES, WRITERS, number_time};

/// Bytes that are examined to recognise a table.
const SAMPLE: usize = 64 << 10;
/// The longest field of several lines, bytes.
const MAX_FIELD: usize = 64 << 20;

/// Which columns of a table hold what.
#[derive(Debug, Clone)]
pub(super) struct Table {
    delimiter: u8,
    columns: usize,
    message: usize,
    time: Option<usize>,
    writers: Vec<usize>,
    /// The first row names the columns.
    pub(super) named: bool,
}

/// The parts of a row that matter.
pub(super) struct Row {
    pub(super) message: String,
    pub(super) time_ns: u64,
    pub(super) writer: String,
}

impl Table {
    /// Is the text a table with a program's output in one column?
    pub(super) fn sniff(text: &[u8]) -> Option<Table> {
        let first = text.get(..text.len().min(SAMPLE))?;
        [b',', b';', b'\t']
            .into_iter()
            .find_map(|delimiter| named(first, delimiter))
            .or_else(|| [b',', b';'].into_iter().find_map(|delimiter| nameless(first, delimiter)))
    }

    /// Reads the row that `text` begins with, and returns its length too. None if it is not a row of this table.
    pub(super) fn row(&self, text: &[u8]) -> Option<(Row, usize)> {
        let (fields, length) = fields(text, self.delimiter)?;
        if fields.len() != self.columns {
            return None;
        }
        let time = self
            .time
            .and_then(|at| fields.get(at))
            .map_or(0, |time| moment(time).or_else(|| number_time(time)).unwrap_or(0));
        let writer: Vec<_> =
            self.writers.iter().filter_map(|&at| fields.get(at).map(String::as_str)).collect();
        let writer = writer.join("/");
        let message = fields.into_iter().nth(self.message)?;
        Some((Row { message, time_ns: time, writer }, length))
    }
}

/// A table whose first row names its columns.
fn named(text: &[u8], delimiter: u8) -> Option<Table> {
    let (names, _) = fields(text, delimiter).filter(|(names, _)| names.len() > 1)?;
    let plain = |name: &String| !name.is_empty() && name.len() < 64 && !name.contains('\n');
    if !names.iter().all(plain) {
        return None;
    }
    let at = |keys: &[&str]| {
        keys.iter().find_map(|key| names.iter().position(|name| name.trim().eq_ignore_ascii_case(key)))
    };
    let writers = names.iter().enumerate().filter(|(_, name)| WRITERS.contains(&name.trim()));
    Some(Table {
        delimiter,
        columns: names.len(),
        message: at(&MESSAGES).or_else(|| at(&["_source.message", "log.message", "jsonPayload.message"]))?,
        time: at(&TIMES).or_else(|| at(&["date", "datetime", "timestamp_ns"])),
        writers: writers.map(|(at, _)| at).collect(),
        named: true,
    })
}

/// A table without names: one of its fields is the complete header of a goroutine.
fn nameless(text: &[u8], delimiter: u8) -> Option<Table> {
    let line = text.split(|&b| b == b'\n').find(|line| {
        let quoted = memchr::memchr(b'"', line).is_some() && memchr::memchr(delimiter, line).is_some();
        quoted && memchr::memmem::find(line, b"goroutine ").is_some()
    })?;
    let (fields, _) = fields(line, delimiter).filter(|(fields, _)| fields.len() > 1)?;
    let whole = |field: &String| {
        header_in(field).is_some_and(|(at, end, _)| at == 0 && end == field.trim_end().len())
    };
    let message = fields.iter().position(whole)?;
    let time = fields.iter().position(|field| moment(field).or_else(|| number_time(field)).is_some());
    Some(Table { delimiter, columns: fields.len(), message, time, writers: Vec::new(), named: false })
}

/// The fields of the row that `text` begins with, and its length.
fn fields(text: &[u8], delimiter: u8) -> Option<(Vec<String>, usize)> {
    /// No export has more columns than this.
    const MAX_COLUMNS: usize = 256;
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let (field, length) =
            if rest.first() == Some(&b'"') { quoted(rest)? } else { plain(rest, delimiter) };
        fields.push(field);
        at += length;
        match text.get(at) {
            Some(&byte) if byte == delimiter && fields.len() < MAX_COLUMNS => at += 1,
            Some(b'\r') if text.get(at + 1) == Some(&b'\n') => return Some((fields, at + 2)),
            Some(b'\n') => return Some((fields, at + 1)),
            None => return Some((fields, at)),
            Some(_) => return None,
        }
    }
}

fn plain(text: &[u8], delimiter: u8) -> (String, usize) {
    let end = memchr::memchr3(delimiter, b'\n', b'\r', text).unwrap_or(text.len());
    (String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned(), end)
}

/// A field in quotes; two quotes mean one.
fn quoted(text: &[u8]) -> Option<(String, usize)> {
    let mut bytes = Vec::new();
    let mut at = 1;
    loop {
        let rest = text.get(at..)?;
        let end = memchr::memchr(b'"', rest.get(..rest.len().min(MAX_FIELD))?)?;
        bytes.extend_from_slice(rest.get(..end)?);
        at += end + 1;
        if text.get(at) != Some(&b'"') {
            return Some((String::from_utf8_lossy(&bytes).into_owned(), at));
        }
        bytes.push(b'"');
        at += 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn rows_with_quotes_and_line_feeds() {
        let text =
            b"time,\"message\",pod\n1741511803100,\"goroutine 1 [x] {a: \"\"b\"\"}:\nmain.f()\",web-1\r\nx\n";
        let table = Table::sniff(text).unwrap();
        let (_, names) = fields(text, b',').unwrap();
        let (row, length) = table.row(&text[names..]).unwrap();
        assert_eq!(row.message, "goroutine 1 [x] {a: \"b\"}:\nmain.f()");
        assert_eq!((row.time_ns, row.writer.as_str()), (1_741_511_803_100_000_000, "web-1"));
        assert!(table.row(&text[names + length..]).is_none());
    }

    #[test]
    fn what_is_no_table() {
        assert!(Table::sniff(b"goroutine 1 [chan receive, 2 minutes]:\nmain.f(0x1, 0x2)\n").is_none());
        assert!(Table::sniff(b"a, b\nc, d\n").is_none());
        let table = Table::sniff(b"1,\"goroutine 1 [select, 2 minutes]:\",x\n").unwrap();
        assert_eq!((table.columns, table.message, table.named), (3, 1, false));
    }
}
