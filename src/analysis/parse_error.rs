//! The error of texts that users type: keys, kinds, patterns.

/// A text that is not one of the known ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{hint}")]
pub struct ParseError {
    hint: &'static str,
}

impl ParseError {
    pub(crate) const fn new(hint: &'static str) -> Self {
        ParseError { hint }
    }

    /// What the user can write, or what is missing: "use function, line or creator".
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}
