//! What the user does not want to see.

use std::str::FromStr;

use crate::analysis::Pattern;
use crate::analysis::parse_error::ParseError;
use crate::analysis::signature::Signature;

/// A pattern of something to be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignore {
    /// A function on the stack, the function that started the task, or the module of either.
    Anything(Pattern, Pattern),
    /// A function on the stack.
    Function(Pattern),
    /// The function that started the task.
    Creator(Pattern),
    /// The module of the code where the tasks are or were started.
    Module(Pattern),
}

/// Patterns from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreFile {
    /// Which file.
    pub path: String,
    /// Its patterns.
    pub patterns: Vec<Ignore>,
}

/// What an ignore file left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silenced {
    /// Which file.
    pub path: String,
    /// How many tasks, without those that other options leave out.
    pub tasks: u64,
}

/// Patterns that one file may have.
const MAX_PATTERNS: usize = 10_000;

impl FromStr for Ignore {
    type Err = ParseError;

    /// `function:PATTERN`, `creator:PATTERN`, `module:PATTERN`, or a pattern for any of them.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let (kind, pattern) = match text.split_once(':') {
            Some((kind @ ("function" | "creator" | "module"), pattern)) => (kind, pattern.trim()),
            _ => ("", text),
        };
        if pattern.is_empty() {
            return Err(ParseError::new("a pattern is missing"));
        }
        Ok(match kind {
            "function" => Ignore::Function(Pattern::anywhere(pattern)),
            "creator" => Ignore::Creator(Pattern::anywhere(pattern)),
            "module" => Ignore::Module(Pattern::whole(pattern)),
            _ => Ignore::Anything(Pattern::anywhere(pattern), Pattern::whole(pattern)),
        })
    }
}

impl Ignore {
    /// Whether it matches tasks of this kind, whose code belongs to these modules.
    pub fn matches<'a>(&self, signature: &Signature, mut modules: impl Iterator<Item = &'a str>) -> bool {
        let function = |p: &Pattern| signature.frames.iter().any(|place| p.matches(&place.function));
        let creator = |p: &Pattern| signature.creator.iter().any(|place| p.matches(&place.function));
        match self {
            Ignore::Anything(name, module) => {
                function(name) || creator(name) || modules.any(|path| module.matches(path))
            }
            Ignore::Function(pattern) => function(pattern),
            Ignore::Creator(pattern) => creator(pattern),
            Ignore::Module(pattern) => modules.any(|path| pattern.matches(path)),
        }
    }
}

/// Why an ignore file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreFileError {
    /// A line makes no sense.
    #[error("line {number}")]
    Line {
        /// The number of the line, from 1.
        number: usize,
        /// What is wrong with it.
        source: ParseError,
    },
    /// It has too many patterns.
    #[error("it has more than {most} patterns")]
    TooMany {
        /// The most that are read.
        most: usize,
    },
}

/// Reads an ignore file: one pattern a line; empty lines and what follows a `#` at the beginning of a
/// line or after a space are comments.
///
/// # Errors
/// [`IgnoreFileError`] for the first line that makes no sense, and for too many patterns.
pub fn parse_file(text: &str) -> Result<Vec<Ignore>, IgnoreFileError> {
    let mut all = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let line = line.find(" #").and_then(|at| line.get(..at)).unwrap_or(line).trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if all.len() == MAX_PATTERNS {
            return Err(IgnoreFileError::TooMany { most: MAX_PATTERNS });
        }
        all.push(line.parse().map_err(|source| IgnoreFileError::Line { number: nth + 1, source })?);
    }
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::analysis::signature::SignatureFrame;

    fn signature() -> Signature {
        let place = |function: &str| SignatureFrame {
            function: function.into(),
            package: "".into(),
            line: 1,
            ..SignatureFrame::default()
        };
        Signature {
            runtime: "go".into(),
            doing: "".into(),
            frames: vec![place("ex.com/lib.(*Client).deliver")],
            creator: Some(place("ex.com/lib.New")),
        }
    }

    #[test]
    fn patterns_name_functions_creators_and_modules() {
        let matches = |text: &str| {
            text.parse::<Ignore>().unwrap().matches(&signature(), ["ex.com/lib", "ex.com/api"].into_iter())
        };
        for text in
            ["deliver", "lib.New", "ex.com/api", "function:*deliver", "creator:New", "module:ex.com/*"]
        {
            assert!(matches(text), "{text}");
        }
        for text in ["collect", "function:lib.New", "creator:deliver", "module:ex.com", "module:lib"] {
            assert!(!matches(text), "{text}");
        }
        assert!("".parse::<Ignore>().is_err());
        assert!("module: ".parse::<Ignore>().is_err());
    }

    #[test]
    fn files_have_comments() {
        let all = parse_file("# ours\n\ncreator:lib.New # on purpose\n  module:ex.com/x\n").unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all.first(), Some(&Ignore::Creator(Pattern::anywhere("lib.New"))));
        assert!(parse_file(&"a\n".repeat(MAX_PATTERNS + 1)).is_err());
        assert_eq!(
            crate::full_text(&parse_file("a\nfunction:\n").unwrap_err()),
            "line 2: a pattern is missing"
        );
    }
}
