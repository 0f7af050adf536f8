//! The text of a baseline.
//!
//! ```text
//! # loiter baseline 1
//!
//! [PROGRAM]
//! FUNCTION | CREATOR | REASON | until YYYY-MM-DD # comment
//! ```
//!
//! `*` stands for any characters, `-` for a name that is not known. `\|`, `\#` and `\\` stand for these characters
//! themselves, `\u{a}` for one that does not print. A `#` begins a comment at the beginning of a line or after a space.

use std::fmt::Write;

use super::{Baseline, Date, Line, Section};
use crate::analysis::{ParseError, Pattern};

/// The first line of every baseline that loiter writes. `loiter leaks` distinguishes a baseline from a snapshot by it.
pub const MAGIC: &str = "# loiter baseline 1";
/// The largest file that is read, bytes: 1 MiB.
pub const MAX_SIZE: u64 = 1 << 20;
/// Lines that one file may have.
pub const MAX_LINES: usize = 10_000;
/// What a new file begins with, after [`MAGIC`].
const ABOUT: [&str; 4] = [
    "# FUNCTION | CREATOR | REASON, each a pattern, then perhaps: | until YYYY-MM-DD # comment",
    "# Tasks that a line names are known and pass. The lines below [PROGRAM] count for that program only.",
    "# loiter gate --write-baseline renews it, and keeps dates and comments of lines that are still needed.",
    "",
];

/// Why a baseline cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// A line makes no sense.
    #[error("line {number}")]
    Line {
        /// The number of the line, from 1.
        number: usize,
        /// What is wrong with it.
        source: ParseError,
    },
    /// It has too many lines.
    #[error("it has more than {most} lines")]
    TooMany {
        /// The most that are read.
        most: usize,
    },
    /// It is of a later version.
    #[error("it is a baseline of a version that this loiter does not know: {MAGIC:?} is the one it knows")]
    Version,
}

/// Whether a file that begins with these bytes is a baseline, of this version or another.
pub fn is_baseline(beginning: &[u8]) -> bool {
    let magic = MAGIC.trim_end_matches(|c: char| c.is_ascii_digit());
    beginning.starts_with(magic.as_bytes())
}

/// Reads a baseline.
///
/// # Errors
/// [`BaselineError`] for the first line that makes no sense, for too many lines, and for a later version.
pub fn parse(text: &str) -> Result<Baseline, BaselineError> {
    let mut baseline = Baseline::default();
    let mut above: Vec<String> = Vec::new();
    let mut section = Section::default();
    let mut first = true;
    for (nth, raw) in text.lines().enumerate() {
        if nth == MAX_LINES {
            return Err(BaselineError::TooMany { most: MAX_LINES });
        }
        let wrong = |source| BaselineError::Line { number: nth + 1, source };
        let line = raw.trim();
        if nth == 0 && is_baseline(line.as_bytes()) && line != MAGIC {
            return Err(BaselineError::Version);
        }
        if line.is_empty() || line.starts_with('#') {
            above.push(line.to_owned());
        } else if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').ok_or(wrong(ParseError::new("a ] is missing at the end")))?;
            let program = unescape(name.trim()).map_err(wrong)?;
            if program.is_empty() {
                return Err(wrong(ParseError::new("the name of a program is missing in the brackets")));
            }
            let done = std::mem::replace(
                &mut section,
                Section { program, above: std::mem::take(&mut above), lines: Vec::new() },
            );
            add(&mut baseline, done, first);
            first = false;
        } else {
            let entry = entry(line, nth + 1).map_err(wrong)?;
            section.lines.push(Line { above: std::mem::take(&mut above), ..entry });
        }
    }
    add(&mut baseline, section, first);
    baseline.below = above;
    Ok(baseline)
}

/// Adds a section that has ended. A name that is there already goes on.
fn add(baseline: &mut Baseline, section: Section, first: bool) {
    match baseline.sections.iter_mut().find(|other| other.program == section.program && !first) {
        Some(other) => {
            other.above.extend(section.above);
            other.lines.extend(section.lines);
        }
        None if section.program.is_empty() && section.lines.is_empty() => {}
        None => baseline.sections.push(section),
    }
}

/// Reads a line that is neither empty, nor a comment, nor the name of a program.
fn entry(line: &str, number: usize) -> Result<Line, ParseError> {
    let (fields, comment) = split(line);
    let mut fields = fields.into_iter().map(|field| field.trim().to_owned());
    let mut next = || {
        let field = fields.next().filter(|field| !field.is_empty());
        field.ok_or(ParseError::new("use FUNCTION | CREATOR | REASON; - stands for a name that is not known"))
    };
    let pattern = |field: String| unescape(&field).map(|text| Pattern::whole(&text));
    let (function, creator, reason) = (pattern(next()?)?, pattern(next()?)?, pattern(next()?)?);
    let until = match fields.next() {
        None => None,
        Some(field) => {
            let day = field.strip_prefix("until ");
            let day = day.ok_or(ParseError::new("after the reason, only `until YYYY-MM-DD` may follow"))?;
            Some(day.trim().parse::<Date>()?)
        }
    };
    if fields.next().is_some() {
        return Err(ParseError::new("there are too many fields"));
    }
    Ok(Line { function, creator, reason, until, comment, above: Vec::new(), number })
}

/// The fields of a line, still escaped, and its comment.
fn split(line: &str) -> (Vec<&str>, String) {
    let (mut fields, mut begin, mut escaped, mut before) = (Vec::new(), 0, false, ' ');
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '|' => {
                fields.push(line.get(begin..at).unwrap_or_default());
                begin = at + 1;
            }
            '#' if before.is_whitespace() => {
                fields.push(line.get(begin..at).unwrap_or_default());
                let comment = line.get(at + 1..).unwrap_or_default().trim();
                return (fields, comment.to_owned());
            }
            _ => {}
        }
        before = c;
    }
    fields.push(line.get(begin..).unwrap_or_default());
    (fields, String::new())
}

/// The text of a field. `-` alone is an empty one.
fn unescape(field: &str) -> Result<String, ParseError> {
    const PROBLEM: ParseError = ParseError::new(r"after \ only | # \ or u{...} may follow");
    if field == "-" {
        return Ok(String::new());
    }
    let mut text = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some(c @ ('|' | '#' | '\\')) => text.push(c),
            Some('u') => {
                let (digits, after) = rest.as_str().split_once('}').ok_or(PROBLEM)?;
                let digits = digits.strip_prefix('{').filter(|digits| digits.len() <= 6).ok_or(PROBLEM)?;
                let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).ok_or(PROBLEM)?;
                text.push(c);
                rest = after.chars();
            }
            _ => return Err(PROBLEM),
        }
    }
    Ok(text)
}

/// A field as it is written. `prints`: whether a character prints as itself.
fn escape(text: &str, prints: &dyn Fn(char) -> bool) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let last = text.chars().count() - 1;
    let mut field = String::with_capacity(text.len());
    for (nth, c) in text.chars().enumerate() {
        // Spaces at the ends are lost in reading; a lonely dash and a bracket at the beginning have a meaning.
        let odd = (c.is_whitespace() && (c != ' ' || nth == 0 || nth == last))
            || (c == '[' && nth == 0)
            || text == "-"
            || !prints(c);
        // Writing to a string does not fail.
        let _ = match c {
            '|' | '#' | '\\' => write!(field, "\\{c}"),
            c if odd => write!(field, "\\u{{{:x}}}", u32::from(c)),
            c => write!(field, "{c}"),
        };
    }
    field
}

/// The text of a baseline. `prints` says whether a character prints as itself; all others are escaped.
pub fn write(baseline: &Baseline, prints: &dyn Fn(char) -> bool) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let firsts = baseline.sections.first().map(|section| match section.program.as_str() {
        "" => section.lines.first().map_or(&section.above, |line| &line.above),
        _ => &section.above,
    });
    if firsts.unwrap_or(&baseline.below).first().is_none_or(|first| first != MAGIC) {
        line(MAGIC);
        ABOUT.iter().for_each(|about| line(about));
    }
    for section in &baseline.sections {
        section.above.iter().for_each(|above| line(above));
        if !section.program.is_empty() {
            line(&format!("[{}]", escape(&section.program, prints)));
        }
        for one in &section.lines {
            one.above.iter().for_each(|above| line(above));
            line(&entry_text(one, prints));
        }
    }
    baseline.below.iter().for_each(|below| line(below));
    text
}

/// A line without what is above it: "main.f | main.g | select".
pub fn entry_text(line: &Line, prints: &dyn Fn(char) -> bool) -> String {
    let fields = [&line.function, &line.creator, &line.reason].map(|field| escape(field.text(), prints));
    let mut text = fields.join(" | ");
    if let Some(until) = line.until {
        // Writing to a string does not fail.
        let _ = write!(text, " | until {until}");
    }
    if !line.comment.is_empty() {
        let _ = write!(text, " # {}", line.comment);
    }
    text
}
