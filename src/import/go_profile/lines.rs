//! The lines of a goroutine profile with debug=1, one by one, as Go writes them or as a log, a page or a
//! paste changed them: something before each, tabs that became blanks, no `#`.

use super::super::quoted::unquote;
use super::ProfileFrame;

/// Positions in a line where something may begin that are examined.
const TRIES: usize = 8;
/// Addresses of a stack: Go keeps at most 1,024, and by default 128.
pub(super) const MAX_PCS: usize = 1024;
/// What may follow a line: the end of a JSON string, a comma.
const BEHIND: &[char] = &['"', '\'', ',', ';', '}', ']', ')', '`', '\r', ' ', '\t'];

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// "goroutine profile: total 852": subject and number.
    Title(String, u64),
    /// "426 @ 0x4416ea 0x450c79": count and addresses.
    Record(Record),
    /// More addresses: the line was broken.
    Addresses(Vec<u64>),
    /// `# labels: {"key":"value"}`
    Labels(Vec<(String, String)>),
    /// Address, function and source location, and whether something else precedes them.
    Frame(ProfileFrame, bool),
    /// Nothing, or only punctuation.
    Blank,
    /// Something else.
    Other,
}

/// The first line of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// The text before the line.
    pub(super) before: String,
    /// How many goroutines have this stack.
    pub(super) count: u64,
    /// The addresses.
    pub(super) pcs: Vec<u64>,
    /// Senseless text follows the addresses, or there are too many addresses.
    pub(super) odd: bool,
    /// Only a number precedes the count: the line's number in a log, or cycles.
    pub(super) numbered: bool,
}

impl Line {
    pub(super) fn read(line: &str) -> Line {
        if !line.contains(|c: char| c.is_alphanumeric()) {
            return Line::Blank;
        }
        // Go's own form: names and labels may contain text that looks like other lines.
        if let Some(text) = line.strip_prefix("# labels: ") {
            return labels(text).map_or(Line::Other, Line::Labels);
        }
        if let Some(frame) = line.strip_prefix('#').and_then(by_tabs) {
            return Line::Frame(frame, false);
        }
        (labels_behind_something(line).map(Line::Labels))
            .or_else(|| frame_behind_something(line))
            .or_else(|| title(line))
            .or_else(|| record(line))
            .or_else(|| addresses(line).map(Line::Addresses))
            .unwrap_or(Line::Other)
    }
}

fn title(line: &str) -> Option<Line> {
    let (before, after) = line.split_once(" profile: total ")?;
    let word = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let start = before.trim_end_matches(word).len();
    let kind = before.get(start..).filter(|kind| !kind.is_empty())?;
    let total = after.trim_end_matches(BEHIND).parse().ok()?;
    Some(Line::Title(kind.to_owned(), total))
}

fn record(line: &str) -> Option<Line> {
    let trimmed = line.trim_end_matches(BEHIND);
    let at = match line.find(" @ 0x") {
        Some(at) => at,
        // Nothing is known of a goroutine that is just starting.
        None => trimmed.strip_suffix(" @")?.len(),
    };
    let (before, after) = line.split_at_checked(at)?;
    let start = before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (prefix, count) = before.split_at_checked(start)?;
    // "v1.2", "-3": not a count.
    if prefix.ends_with(|c: char| c.is_alphanumeric() || "-+._:/".contains(c)) {
        return None;
    }
    let mut rest = after.get(2..)?.split_ascii_whitespace().peekable();
    let mut pcs = Vec::new();
    while let Some(pc) = rest.peek().and_then(|word| hex(word.trim_end_matches(BEHIND))) {
        rest.next();
        if pcs.len() == MAX_PCS {
            rest = "left out".split_ascii_whitespace().peekable();
            break;
        }
        pcs.push(pc);
    }
    let odd = rest.any(|word| word.contains(|c: char| c.is_alphanumeric()));
    let numbered = !prefix.trim().is_empty() && prefix.trim().bytes().all(|b| b.is_ascii_digit());
    Some(Line::Record(Record { before: prefix.to_owned(), count: count.parse().ok()?, pcs, odd, numbered }))
}

/// Two or more addresses only.
fn addresses(line: &str) -> Option<Vec<u64>> {
    let pcs: Vec<u64> = line.split_ascii_whitespace().map(hex).collect::<Option<_>>()?;
    (pcs.len() > 1).then_some(pcs)
}

fn labels_behind_something(line: &str) -> Option<Vec<(String, String)>> {
    let (before, after) = line.split_once("labels: {")?;
    // A label's text is in quotes.
    (!before.contains('"') || before.trim_end().ends_with('#')).then_some(())?;
    let end = after.rfind('}')?;
    labels(&format!("{{{}}}", after.get(..end)?))
}

/// `{"key":"value", "k2":"v2"}`
fn labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (key, after) = unquote(rest)?;
        let (value, after) = unquote(after.strip_prefix(':')?)?;
        labels.push((key, value));
        rest = match after.strip_prefix(", ") {
            Some(more) if !more.is_empty() => more,
            Some(_) => return None,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(labels)
}

/// A frame whose address follows other text, or only blanks.
fn frame_behind_something(line: &str) -> Option<Line> {
    let places = line.match_indices("0x").take(TRIES);
    places.map(|(at, _)| line.split_at(at)).find_map(|(before, rest)| {
        let stands_free = before.is_empty() || before.ends_with([' ', '\t', '#']);
        let before = before.trim();
        let in_front = before.strip_suffix('#');
        let rest = rest.trim_end_matches(BEHIND);
        let frame = stands_free.then(|| by_tabs(rest).or_else(|| by_blanks(rest)))??;
        // An address alone is weaker evidence.
        let is_one = !frame.function.is_empty() || in_front.is_some() || before.is_empty();
        is_one.then(|| Line::Frame(frame, !in_front.unwrap_or(before).is_empty()))
    })
}

/// Columns, separated by one or more tabs: address, function+offset, file:line.
fn by_tabs(text: &str) -> Option<ProfileFrame> {
    let mut columns = text.split('\t').filter(|column| !column.is_empty());
    let mut frame = ProfileFrame { pc: hex(columns.next()?)?, ..ProfileFrame::default() };
    if let Some(function) = columns.next() {
        let (name, offset) = function.rsplit_once('+').unwrap_or((function, "0x0"));
        frame.function = name.to_owned();
        frame.offset = hex(offset)?;
        let (file, line) = columns.next()?.rsplit_once(':')?;
        frame.file = file.to_owned();
        frame.line = line.parse().ok()?;
    }
    columns.next().is_none().then_some(frame)
}

/// The same with tabs that became blanks: a function ends at its offset.
fn by_blanks(text: &str) -> Option<ProfileFrame> {
    let (pc, rest) = text.split_once(|c: char| c.is_whitespace())?;
    let pc = hex(pc)?;
    let rest = rest.trim_start();
    let mut offsets = rest.match_indices("+0x").take(TRIES);
    let (function, offset, place) = offsets.find_map(|(at, _)| {
        let (function, after) = rest.split_at(at);
        let (offset, place) = after.get(1..)?.split_once(|c: char| c.is_whitespace())?;
        Some((function, hex(offset)?, place.trim_start()))
    })?;
    let (file, line) = place.rsplit_once(':')?;
    let named = !function.is_empty() && !file.is_empty();
    let line = line.parse().ok()?;
    named.then(|| ProfileFrame { pc, offset, function: function.to_owned(), file: file.to_owned(), line })
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pc: u64, function: &str, offset: u64, file: &str, line: u32) -> Line {
        Line::Frame(ProfileFrame { pc, offset, function: function.into(), file: file.into(), line }, false)
    }

    #[test]
    fn lines_as_go_writes_them() {
        let record =
            |count, pcs: &[u64]| Line::Record(Record { count, pcs: pcs.to_vec(), ..Record::default() });
        for (text, line) in [
            ("goroutine profile: total 12", Line::Title("goroutine".into(), 12)),
            ("goroutineleak profile: total 1", Line::Title("goroutineleak".into(), 1)),
            ("10 @ 0x4a 0x4b", record(10, &[0x4a, 0x4b])),
            ("1 @", record(1, &[])),
            (
                "#\t0x4a\tmain.(*T).wait[...]+0x2b\t\t/src/x y.go:12",
                frame(0x4a, "main.(*T).wait[...]", 0x2b, "/src/x y.go", 12),
            ),
            ("#\t0x4c", frame(0x4c, "", 0, "", 0)),
            ("# labels: {}", Line::Labels(vec![])),
            (
                "# labels: {\"1 @ 0x1\":\"a profile: total 3\"}",
                Line::Labels(vec![("1 @ 0x1".into(), "a profile: total 3".into())]),
            ),
            ("", Line::Blank),
            ("# labels: {", Line::Other),
        ] {
            assert_eq!(Line::read(text), line, "{text:?}");
        }
    }

    #[test]
    fn lines_as_others_hand_them_on() {
        let record =
            |count, pcs: &[u64]| Line::Record(Record { count, pcs: pcs.to_vec(), ..Record::default() });
        let behind_text = |text: &str, line: Line| match line {
            Line::Record(record) => Line::Record(Record { before: text.to_owned(), ..record }),
            other => other,
        };
        let wait = || frame(0x4a, "main.wait", 0x2b, "/src/x y.go", 12);
        let behind = || match wait() {
            Line::Frame(frame, _) => Line::Frame(frame, true),
            other => other,
        };
        for (text, line) in [
            ("\u{feff}goroutine profile: total 12", Line::Title("goroutine".into(), 12)),
            ("{\"msg\":\"goroutine profile: total 12\"}", Line::Title("goroutine".into(), 12)),
            ("pump-1  | 10 @ 0x4a 0x4b", behind_text("pump-1  | ", record(10, &[0x4a, 0x4b]))),
            ("Nov 21 app[12]: 10 @ 0x4a 0x4b\",", behind_text("Nov 21 app[12]: ", record(10, &[0x4a, 0x4b]))),
            (
                "10 @ 0x4a 0x4b and so on",
                Line::Record(Record { count: 10, pcs: vec![0x4a, 0x4b], odd: true, ..Record::default() }),
            ),
            (
                "17 10 @ 0x4a",
                Line::Record(Record {
                    before: "17 ".into(),
                    count: 10,
                    pcs: vec![0x4a],
                    odd: false,
                    numbered: true,
                }),
            ),
            ("0x4a 0x4b", Line::Addresses(vec![0x4a, 0x4b])),
            ("\t0x4a\tmain.wait+0x2b\t/src/x y.go:12", wait()),
            ("#    0x4a    main.wait+0x2b    /src/x y.go:12", wait()),
            ("# 0x4a main.wait+0x2b /src/x y.go:12", wait()),
            ("0x4a main.wait+0x2b /src/x y.go:12", wait()),
            ("> #\t0x4a\tmain.wait+0x2b\t/src/x y.go:12\"}", behind()),
            ("Nov 21 10:00:00 host app[0x1]: #\t0x4a\tmain.wait+0x2b\t/src/x y.go:12", behind()),
            ("web_1 | # labels: {\"a\":\"b\"}", Line::Labels(vec![("a".into(), "b".into())])),
            (" labels: {\"a\":\"b\"}", Line::Labels(vec![("a".into(), "b".into())])),
        ] {
            assert_eq!(Line::read(text), line, "{text:?}");
        }
        for text in [
            "heap profile: 1: 32 [1: 32] @ heap/1048576",
            "1: 32 [1: 32] @ 0x4a 0x4b",
            "v1.2 @ 0x4a",
            "connected to 0x4a",
            "main.main(0xc000112000)",
            "\t/src/x.go:12 +0x1a4",
            "goroutine profile: total many",
            "0x4a main.wait /src/x.go",
        ] {
            assert_eq!(Line::read(text), Line::Other, "{text:?}");
        }
    }
}
