//! The text before and after each line of a dump in a log: learnt from the first line of a goroutine and the
//! lines that follow.

use super::super::noise::is_moment;

/// The words before the header of a goroutine. The lines that follow begin with the same words, some of them
/// with other numbers: all of the words or the first few, because a logger may have put its own words before
/// the first line only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    /// The blanks after it.
    blanks: String,
    /// Its numbers differ from line to line: a time, a counter.
    moves: bool,
}

impl Prefix {
    /// Learns from the text before a header.
    pub(super) fn learn(before: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = before;
        while !rest.is_empty() {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let blanks = after.len() - after.trim_start().len();
            let (blanks, after) = after.split_at(blanks);
            words.push(Word { text: word.to_owned(), blanks: blanks.to_owned(), moves: moves(word) });
            rest = after;
        }
        Prefix { words }
    }

    /// The number of words.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// Removes the words from number `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        self.words.truncate(len);
    }

    /// Strips the prefix's words that the line begins with, and returns their number and the rest.
    pub(super) fn strip<'a>(&self, line: &'a str) -> (usize, &'a str) {
        let mut rest = line;
        for (nth, word) in self.words.iter().enumerate() {
            let Some(after) = word.strip(rest) else { return (nth, rest) };
            let last = nth + 1 == self.words.len();
            let fewer = after.len() - after.trim_start().len();
            // The line's own text may begin with blanks, too.
            let take = if last { same_start(&word.blanks, after) } else { fewer };
            if take == 0 && !word.blanks.is_empty() && !after.is_empty() {
                return (nth, rest);
            }
            rest = after.get(take..).unwrap_or_default();
        }
        (self.words.len(), rest)
    }

    /// The line without the words, if it begins with all of them.
    pub(super) fn strip_all<'a>(&self, line: &'a str) -> Option<&'a str> {
        let (matched, rest) = self.strip(line);
        (matched == self.words.len()).then_some(rest)
    }

    /// Does the same writer put these words before its lines?
    pub(super) fn same_writer(&self, other: &Prefix) -> bool {
        self.words.len() == other.words.len()
            && self
                .words
                .iter()
                .zip(&other.words)
                .all(|(a, b)| a.text == b.text || a.strip(&b.text) == Some(""))
    }

    /// Learns from other lines which numbers identify the writer: those in names, and those that reappear
    /// after others.
    pub(super) fn refine<'a>(&mut self, lines: impl Iterator<Item = &'a str> + Clone) {
        for nth in 0..self.words.len() {
            let Some(word) =
                self.words.get(nth).filter(|word| word.text.contains(|c: char| c.is_ascii_digit()))
            else {
                continue;
            };
            let seen: Vec<&str> = lines.clone().filter_map(|line| self.word_of(nth, line)).collect();
            let own = word.text.as_str();
            let named = !word.moves;
            let others = seen.iter().filter(|&&text| text != own).count();
            let first_other = seen.iter().position(|&text| text != own).unwrap_or(seen.len());
            let comes_back = seen.get(first_other..).unwrap_or_default().contains(&own);
            let counts =
                seen.len() >= 3 && others == seen.len() && seen.windows(2).all(|pair| pair[0] != pair[1]);
            let moves = if named { counts } else { is_moving(own) || !comes_back };
            if let Some(word) = self.words.get_mut(nth) {
                word.moves = moves;
            }
        }
    }

    /// Marks the numbers as moving that move in a prefix of the same shape.
    pub(super) fn move_like(&mut self, other: &Prefix) {
        for (word, like) in self.words.iter_mut().zip(&other.words) {
            word.moves = like.moves;
        }
    }

    /// The word at position `nth` in a line, if all words before it have the same shape.
    fn word_of<'a>(&self, nth: usize, line: &'a str) -> Option<&'a str> {
        let mut rest = line;
        for word in self.words.get(..nth)? {
            rest = strip_word(&word.text, rest)?.trim_start();
        }
        let after = strip_word(&self.words.get(nth)?.text, rest)?;
        rest.get(..rest.len() - after.len())
    }

    /// What distinguishes the writer from others.
    pub(super) fn name(&self) -> String {
        self.names().collect::<Vec<_>>().join(" ")
    }

    /// The words of its name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.words.iter().filter(|word| !word.moves && !word.text.is_empty());
        names.map(|word| word.text.as_str())
    }
}

impl Word {
    fn strip<'a>(&self, text: &'a str) -> Option<&'a str> {
        if self.moves { strip_word(&self.text, text) } else { text.strip_prefix(self.text.as_str()) }
    }
}

/// Do its numbers change in the next line, judged by the word alone?
fn moves(word: &str) -> bool {
    is_moving(word) || !word.contains(char::is_alphabetic)
}

/// Does it contain a time, or a source file and line?
fn is_moving(word: &str) -> bool {
    let bare = |c: char| !c.is_ascii_alphanumeric();
    let value = word.rsplit('=').next().unwrap_or(word).trim_matches(bare);
    is_moment(value) || word.contains(".go:") || word.contains(".s:")
}

/// The length of the common start, bytes.
fn same_start(blanks: &str, text: &str) -> usize {
    blanks.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count()
}

/// The text after a word of the same shape: numbers may have other values and lengths.
fn strip_word<'a>(word: &str, text: &'a str) -> Option<&'a str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (mut left, mut rest) = (word, text);
    while let Some(c) = left.chars().next() {
        let after = if c.is_ascii_digit() {
            let (in_word, in_text) = (digits(left), digits(rest));
            (in_text > 0).then(|| left.get(in_word..).zip(rest.get(in_text..))).flatten()
        } else {
            left.strip_prefix(c).zip(rest.strip_prefix(c))
        };
        let Some((left_after, rest_after)) = after else {
            // Some loggers drop trailing zeros of times, and the point.
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            let (other, after) = text.split_at(end);
            return (is_moving(word) && is_moving(other) && same_ends(word, other)).then_some(after);
        };
        (left, rest) = (left_after, rest_after);
    }
    Some(rest)
}

/// Do both have the same text around their digits?
fn same_ends(a: &str, b: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit();
    let start = |text: &str| text.find(digit).and_then(|at| text.get(..at)).map(str::to_owned);
    let end = |text: &str| text.rfind(digit).and_then(|at| text.get(at + 1..)).map(str::to_owned);
    start(a) == start(b) && end(a) == end(b)
}

/// The text after each line: "wasm_exec.js:47:14", a quote and a comma, the frame of a box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Suffix {
    /// From the last to the first, with numbers as "0".
    words: Vec<String>,
    /// Nothing separates it from the line.
    glued: bool,
}

impl Suffix {
    /// Learns from the text after a header.
    pub(super) fn learn(after: &str) -> Self {
        let words = after.split_whitespace().rev().map(shape).collect();
        Suffix { words, glued: after.starts_with(|c: char| !c.is_whitespace()) }
    }

    /// Is there none?
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The line without the suffix, if it ends with it.
    pub(super) fn strip<'a>(&self, line: &'a str) -> Option<&'a str> {
        let mut rest = line.trim_end();
        for (nth, word) in self.words.iter().enumerate() {
            let first = nth + 1 == self.words.len();
            rest = strip_end(word, rest)?;
            if !(first && self.glued) {
                if !rest.is_empty() && !rest.ends_with(char::is_whitespace) {
                    return None;
                }
                rest = rest.trim_end();
            }
        }
        Some(rest)
    }
}

/// A word with each of its numbers as "0".
fn shape(word: &str) -> String {
    let mut shape = String::with_capacity(word.len());
    for c in word.chars() {
        let c = if c.is_ascii_digit() { '0' } else { c };
        if !(c == '0' && shape.ends_with('0')) {
            shape.push(c);
        }
    }
    shape
}

/// The text before a word of this shape.
fn strip_end<'a>(shape: &str, text: &'a str) -> Option<&'a str> {
    let mut rest = text;
    for c in shape.chars().rev() {
        if c == '0' {
            let without = rest.trim_end_matches(|c: char| c.is_ascii_digit());
            rest = Some(without).filter(|without| without.len() < rest.len())?;
        } else {
            rest = rest.strip_suffix(c)?;
        }
    }
    Some(rest)
}

/// The time with a zone (RFC 3339) in one of the first words of a line, nanoseconds since the Unix epoch. 0
/// if there is none.
pub(super) fn timestamp(line: &str) -> u64 {
    /// Timestamps come first, or after a host or a container.
    const WORDS: usize = 6;
    let around = |c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '-';
    (line.split_ascii_whitespace().take(WORDS))
        .filter_map(|word| moment(word.rsplit('=').next()?.trim_matches(around)))
        .next()
        .unwrap_or(0)
}

/// Reads a time like "2026-11-21T10:00:00.123Z".
pub(super) fn moment(text: &str) -> Option<u64> {
    // Shorter text cannot have a date, a time and a zone.
    let plausible = text.len() >= 20 && text.len() < 48 && text.starts_with(|c: char| c.is_ascii_digit());
    let moment: jiff::Timestamp = plausible.then(|| text.parse().ok())??;
    u64::try_from(moment.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_what_it_learnt() {
        for (before, line, rest) in [
            ("", "main.main()", "main.main()"),
            ("    ", "    \t/src/x.go:1", "\t/src/x.go:1"),
            ("    ", "main.main()", "main.main()"),
            ("2026-11-21T10:00:00.5Z ", "2026-11-21T10:00:00.123456Z \t/x.go:1", "\t/x.go:1"),
            ("2026-11-21T10:00:00.5Z ", "2026-11-21T10:00:00.123456Z", ""),
            ("2026-11-21T10:00:00.5Z ", "2026-11-21T10:00:01Z main.f()", "main.f()"),
            ("Nov  1 10:00:00 host app[12]: ", "Nov 21 10:00:00 host app[12]: main.f()", "main.f()"),
            ("Nov 21 10:00:00 host app[12]: ", "Nov 21 10:00:01 host other[3]: x", "other[3]: x"),
            ("Nov 21 10:00:00 host app[12]: ", "Nov 21 10:00:01 host app[3]: x", "app[3]: x"),
            ("web_1  | ", "web_1  | main.f()", "main.f()"),
            ("web_1  | ", "web_2  | main.f()", "web_2  | main.f()"),
            ("web_1  | ", "db_1   | main.f()", "db_1   | main.f()"),
            ("2026/11/21 10:00:00 stack: ", "main.f()", "main.f()"),
            ("10:00:00 2026/11/21 stack: ", "10:00:01 main.f()", "main.f()"),
            ("ü ", "ü main.f()", "main.f()"),
        ] {
            assert_eq!(Prefix::learn(before).strip(line).1, rest, "{before:?} {line:?}");
        }
    }

    #[test]
    fn counters_and_names_are_told_apart() {
        let refined = |before: &str, lines: &[&str]| {
            let mut prefix = Prefix::learn(before);
            prefix.refine(lines.iter().copied());
            prefix.words.iter().map(|word| word.moves).collect::<Vec<_>>()
        };
        assert_eq!(refined("seq=1 ", &["seq=2 a", "seq=3 b", "seq=4 c"]), [true]);
        assert_eq!(refined("web-1 ", &["web-2 a", "web-1 b", "web-2 c"]), [false]);
        assert_eq!(refined("12 | ", &["13 | a", "12 | b", "13 | c"]), [false, true]);
        assert_eq!(refined("12 | ", &["12 | a", "13 | b", "14 | c"]), [true, true]);
        assert_eq!(refined("10:00:01 x7: ", &["10:00:01 x7: a", "10:00:02 x7: a"]), [true, false]);
    }

    #[test]
    fn strips_what_stands_behind() {
        for (after, line, rest) in [
            (" wasm_exec.js:47:14", "main.f() wasm_exec.js:47:9", Some("main.f()")),
            (" wasm_exec.js:47:14", "main.f()", None),
            ("\",", "\t/x.go:1 +0x1\",", Some("\t/x.go:1 +0x1")),
            ("    │", "main.f() │", Some("main.f()")),
            ("    │", "│", Some("")),
            ("\t1741511803100", "main.f()\t1741511803177", Some("main.f()")),
            ("", "main.f() ", Some("main.f()")),
        ] {
            assert_eq!(Suffix::learn(after).strip(line), rest, "{after:?} {line:?}");
        }
    }

    #[test]
    fn reads_moments_with_a_zone_only() {
        let second = 1_795_255_200_000_000_000;
        for (line, ns) in [
            ("2026-11-21T10:00:00Z stderr F goroutine", second),
            ("host [2026-11-21T11:00:00.5+01:00] goroutine", second + 500_000_000),
            ("ts=2026-11-21T10:00:00Z level=error", second),
            ("time=\"2026-11-21T10:00:00Z\" level=error", second),
            ("2026/11/21 10:00:00 goroutine", 0),
            ("2026-11-21T10:00:00 goroutine", 0),
            ("", 0),
        ] {
            assert_eq!(timestamp(line), ns, "{line}");
        }
    }
}
