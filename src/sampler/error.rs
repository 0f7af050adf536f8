//! Why a process cannot be sampled.

use crate::cause::ErrorKind;
use crate::process::{OsError, TargetError};

/// Why a process cannot be sampled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// The request makes no sense.
    #[error("{problem}")]
    Options {
        /// What is wrong with it.
        problem: String,
    },
    /// The process cannot be read at all.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The kernel refuses perf events.
    #[error("{what}")]
    Refused {
        /// What was tried: "perf_event_open on thread 4242".
        what: String,
        /// What the kernel answered.
        source: OsError,
        /// The reason that was found, then what helps: one per line.
        remedy: Vec<String>,
    },
    /// This kernel or this machine has no such event.
    #[error("{what}")]
    Missing {
        /// What was tried.
        what: String,
        /// What the kernel answered.
        source: OsError,
        /// The reason, then what helps: one per line.
        remedy: Vec<String>,
    },
    /// A limit of the kernel or of this user is in the way.
    #[error("{what}")]
    Limit {
        /// What was tried.
        what: String,
        /// What the kernel answered.
        source: OsError,
        /// The limit, then what helps: one per line.
        remedy: Vec<String>,
    },
    /// Something else went wrong.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the kernel answered.
        source: OsError,
    },
}

impl SamplerError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            SamplerError::Options { .. } | SamplerError::Missing { .. } => ErrorKind::Unsupported,
            SamplerError::Target(error) => error.kind(),
            SamplerError::Refused { .. } => ErrorKind::Permission,
            SamplerError::Limit { .. } => ErrorKind::TooLarge,
            SamplerError::Io { source, .. } => ErrorKind::of_io(source.as_io()),
        }
    }

    /// The reason and what helps, a line each.
    pub fn remedy(&self) -> &[String] {
        match self {
            SamplerError::Target(TargetError::Permission { remedy, .. })
            | SamplerError::Refused { remedy, .. }
            | SamplerError::Missing { remedy, .. }
            | SamplerError::Limit { remedy, .. } => remedy,
            _ => &[],
        }
    }
}
