//! Learns what a writer puts around the lines of a goroutine: from its header, and the lines that follow.

use std::borrow::Cow;
use std::rc::Rc;

use super::super::go_call::{Place, is_call};
use super::super::go_dump::DumpGoroutine;
use super::super::go_header::header_in;
use super::super::go_lines::ON_OTHER_THREAD;
use super::prefix::{Prefix, Suffix};

/// Lines examined after a header to learn what is around them.
pub(super) const AHEAD: usize = 24;
/// Bytes of a line that are examined.
const LOOKED_AT: usize = 4096;

/// A line on its way to its writer's reader.
pub(super) struct OneLine<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) time_ns: u64,
    pub(super) writer: Rc<str>,
    /// The message that it came from, if the message has several lines.
    pub(super) message: Option<u64>,
}

/// A header, until the text around the lines of its goroutine is known.
pub(super) struct Held<'a> {
    pub(super) header: OneLine<'a>,
    /// Where the header begins and ends in its line, bytes.
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) goroutine: DumpGoroutine,
    pub(super) following: Vec<OneLine<'a>>,
}

/// What was learnt about a prefix and a suffix of one shape.
#[derive(Clone)]
pub(super) enum Known {
    /// The prefix, cut to the words that precede the following lines, and whether the suffix follows them.
    Wrap { prefix: Prefix, suffix: bool },
    /// The line only looks like a header.
    NoHeader,
}

impl Held<'_> {
    /// The text before and after the header in its line.
    pub(super) fn around(&self) -> (&str, &str) {
        let text = &self.header.text;
        (text.get(..self.at).unwrap_or_default(), text.get(self.end..).unwrap_or_default())
    }

    /// What is around the header, judged by the lines that follow. `in_panic`: it may be a part of a panic's
    /// message.
    pub(super) fn learn(&self, in_panic: bool) -> Known {
        let Held { header, following, .. } = self;
        let (before, after) = self.around();
        let suffix = Suffix::learn(after);
        let mut prefix = Prefix::learn(before);
        let mine =
            || following.iter().filter(|line| line.writer == header.writer && line.message == header.message);
        let texts = || mine().map(|line| start(&line.text));
        prefix.refine(texts());
        let looked_at = if in_panic { 1 } else { AHEAD };
        let fits = texts().take(looked_at).filter_map(|text| {
            if let Some((at, _, _)) = header_in(text) {
                let same = prefix.strip_all(text.get(..at)?).is_some_and(str::is_empty);
                return (same && !prefix.name().is_empty() && suffix.is_empty())
                    .then_some((prefix.len(), true));
            }
            let (matched, rest) = prefix.strip(text);
            match suffix.strip(rest) {
                Some(rest) if is_stack_line(rest) => Some((matched, true)),
                _ if is_stack_line(rest) => Some((matched, false)),
                _ => None,
            }
        });
        let fits: Vec<_> = fits.collect();
        let whole = fits.iter().find(|&&(matched, _)| matched == prefix.len());
        match whole.or(fits.first()) {
            Some(&(matched, with_suffix)) => {
                prefix.truncate(matched);
                if suffix.is_empty() || with_suffix || !in_sentence(after) {
                    Known::Wrap { prefix, suffix: with_suffix && !suffix.is_empty() }
                } else {
                    Known::NoHeader
                }
            }
            // No following line belongs to it.
            None if in_panic || !suffix.is_empty() => Known::NoHeader,
            None => Known::Wrap { prefix, suffix: false },
        }
    }
}

/// The first bytes of a line, enough to recognise it.
fn start(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or(text)
}

/// Is it a line of a goroutine other than its first?
pub(super) fn is_stack_line(line: &str) -> bool {
    let text = line.trim();
    is_call(text)
        || text.starts_with("non-Go function")
        || text.starts_with(ON_OTHER_THREAD)
        || Place::parse(text).is_some_and(|place| place.is_plausible() && place.is_sure())
}

/// Do words follow the header, as in a sentence?
fn in_sentence(after: &str) -> bool {
    after.split_whitespace().any(|word| word.chars().all(char::is_alphabetic))
}

/// Prefixes and suffixes that differ only in their numbers have the same key.
pub(super) fn key(before: &str, after: &str) -> String {
    let mut key = String::with_capacity(before.len() + after.len());
    for c in before.chars().chain(['\0']).chain(after.trim_end().chars()).take(LOOKED_AT) {
        let c = if c.is_ascii_digit() { '0' } else { c };
        if !(c == '0' && key.ends_with('0')) {
            key.push(c);
        }
    }
    key
}
