//! What can go wrong when a Go runtime is read.

use crate::process::TargetError;
use crate::symbols::pclntab::PclntabError;

/// What can go wrong when a Go runtime is read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoError {
    /// The target could not be read.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A global variable could not be found.
    #[error("cannot find {what}: {tried}")]
    NotFound {
        /// What was searched for.
        what: &'static str,
        /// Where it was searched for.
        tried: String,
    },
    /// The line table makes no sense.
    #[error("line table")]
    LineTable(#[from] PclntabError),
    /// What was found makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// The runtime has not started its scheduler yet.
    #[error("the runtime has not started its scheduler yet")]
    Starting,
}

impl GoError {
    /// The library's error, with the runtime's name.
    pub(super) fn of(self, runtime: &str) -> crate::Error {
        match self {
            GoError::Target(error) => error.into(),
            GoError::Starting => crate::Error::Starting { runtime: runtime.to_owned() },
            other => crate::Error::Runtime { runtime: runtime.to_owned(), source: other.into() },
        }
    }
}
