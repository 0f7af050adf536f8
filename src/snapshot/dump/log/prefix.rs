//! What stands before each line of a dump in a log: learnt from the first line of a goroutine.

/// The words before the header of a goroutine. The same words, with other numbers in them, stand before
/// the lines that follow, all of them or the first few: a logger may have put its own words before the
/// first line only.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    /// Each with the blanks behind it.
    words: Vec<(String, String)>,
}

impl Prefix {
    /// Learns from what stands before a header.
    pub(super) fn learn(before: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = before;
        while !rest.is_empty() {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let blanks = after.len() - after.trim_start().len();
            let (blanks, after) = after.split_at(blanks);
            words.push((word.to_owned(), blanks.to_owned()));
            rest = after;
        }
        Prefix { words }
    }

    /// The line without as many of the words as it begins with.
    pub(super) fn strip<'a>(&self, line: &'a str) -> &'a str {
        let mut rest = line;
        for (nth, (word, blanks)) in self.words.iter().enumerate() {
            let Some(after) = strip_word(word, rest) else { break };
            let last = nth + 1 == self.words.len();
            let fewer = after.len() - after.trim_start().len();
            // What belongs to the line itself may begin with blanks, too.
            let take = if last { same_start(blanks, after) } else { fewer };
            if take == 0 && !blanks.is_empty() && !after.is_empty() {
                break;
            }
            rest = after.get(take..).unwrap_or_default();
        }
        rest
    }
}

/// The bytes that both begin with.
fn same_start(blanks: &str, text: &str) -> usize {
    blanks.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count()
}

/// What follows a word of the same shape: numbers may be others and of other length.
fn strip_word<'a>(word: &str, text: &'a str) -> Option<&'a str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (mut word, mut text) = (word, text);
    while let Some(c) = word.chars().next() {
        if c.is_ascii_digit() {
            let (in_word, in_text) = (digits(word), digits(text));
            if in_text == 0 {
                return None;
            }
            (word, text) = (word.get(in_word..)?, text.get(in_text..)?);
        } else {
            (word, text) = (word.strip_prefix(c)?, text.strip_prefix(c)?);
        }
    }
    Some(text)
}

/// The moment that one of the first words of a line gives with its zone (RFC 3339), nanoseconds since
/// the Unix epoch. 0 if none does.
pub(super) fn timestamp(line: &str) -> u64 {
    /// Timestamps stand in front, behind a host or a container at most.
    const WORDS: usize = 6;
    let around = |c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '-';
    (line.split_ascii_whitespace().take(WORDS))
        .filter_map(|word| moment(word.rsplit('=').next()?.trim_matches(around)))
        .next()
        .unwrap_or(0)
}

/// Reads a moment like "2026-11-21T10:00:00.123Z".
pub(super) fn moment(text: &str) -> Option<u64> {
    // Nothing shorter has a date, a time and a zone.
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
            ("Nov  1 10:00:00 host app[12]: ", "Nov 21 10:00:00 host app[12]: main.f()", "main.f()"),
            ("Nov 21 10:00:00 host app[12]: ", "Nov 21 10:00:01 host other[3]: x", "other[3]: x"),
            ("web_1  | ", "web_1  | main.f()", "main.f()"),
            ("web_1  | ", "db_1   | main.f()", "db_1   | main.f()"),
            ("2026/11/21 10:00:00 stack: ", "main.f()", "main.f()"),
            ("10:00:00 2026/11/21 stack: ", "10:00:01 main.f()", "main.f()"),
            ("ü ", "ü main.f()", "main.f()"),
        ] {
            assert_eq!(Prefix::learn(before).strip(line), rest, "{before:?} {line:?}");
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
