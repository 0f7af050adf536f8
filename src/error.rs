//! The library's error.

use crate::process::TargetError;

/// Result of the library's top-level functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target could not be read.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target holds no runtime that loiter knows.
    #[error("{name} (pid {pid}) holds no runtime that loiter can read")]
    NoRuntime {
        /// Name of the program.
        name: String,
        /// Its pid.
        pid: u32,
        /// What was looked at, a line each.
        looked_at: Vec<String>,
    },
    /// A runtime was recognised, but something in it could not be found or made sense of.
    #[error("{runtime}: {problem}")]
    Runtime {
        /// The runtime, with its version where known.
        runtime: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// The runtime is there but has not started yet.
    #[error("{runtime} has not finished starting; try again in a moment")]
    Starting {
        /// The runtime, with its version where known.
        runtime: String,
    },
}

impl Error {
    /// The process has ended, or there is none: it can never be read again.
    pub fn is_gone(&self) -> bool {
        matches!(self, Error::Target(error) if error.is_gone())
    }
}
