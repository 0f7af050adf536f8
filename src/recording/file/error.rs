//! Why a recording's file could not be written or read.

use std::io;

use super::VERSION;
use crate::cause::{Cause, ErrorKind};
use crate::code::Invalid;
use crate::snapshot::file;

/// Why a recording's file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file could not be opened, read or written.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// It does not begin like a recording.
    #[error("not a loiter recording")]
    NotARecording,
    /// A later loiter wrote it.
    #[error("written by a newer loiter (format {found}; this one reads up to {VERSION})")]
    Newer {
        /// The version that the file gives.
        found: u16,
    },
    /// It ends too early.
    #[error("the recording is cut short: it ends in its {part}")]
    Truncated {
        /// Where: "header", "tables".
        part: &'static str,
    },
    /// It would cost more than a file of its size may.
    #[error("the recording is too large: {problem}")]
    TooLarge {
        /// What is too large, and what the limit is.
        problem: String,
    },
    /// Its contents make no sense.
    #[error("the recording is damaged")]
    Damaged {
        /// What makes no sense: a sentence, [`Invalid`], or a decoder's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl FileError {
    pub(super) fn io(what: &str, source: io::Error) -> Self {
        FileError::Io { what: what.to_owned(), source }
    }

    pub(super) fn damaged(source: impl Into<Cause>) -> Self {
        FileError::Damaged { source: source.into() }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            FileError::Io { source, .. } => ErrorKind::of_io(source),
            FileError::Newer { .. } => ErrorKind::Unsupported,
            FileError::TooLarge { .. } => ErrorKind::TooLarge,
            FileError::NotARecording | FileError::Truncated { .. } | FileError::Damaged { .. } => {
                ErrorKind::Corrupt
            }
        }
    }
}

impl From<io::Error> for FileError {
    fn from(source: io::Error) -> Self {
        FileError::io("cannot write the file", source)
    }
}

impl From<Invalid> for FileError {
    fn from(invalid: Invalid) -> Self {
        FileError::damaged(invalid)
    }
}

/// Both kinds of files have the same kind of tables, whose reader and writer give the errors of snapshot files.
impl From<file::FileError> for FileError {
    fn from(error: file::FileError) -> Self {
        match error {
            file::FileError::Io { source, .. } => FileError::io("cannot read or write the recording", source),
            file::FileError::Truncated { part } => FileError::Truncated { part },
            file::FileError::TooLarge { problem } => FileError::TooLarge { problem },
            file::FileError::Damaged { source } => FileError::Damaged { source },
            other => FileError::damaged(other.to_string()),
        }
    }
}
