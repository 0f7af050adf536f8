//! The library's error.

use std::error::Error as StdError;
use std::io;

use crate::cause::{ErrorKind, chain};
use crate::import::DumpError;
use crate::import::pprof::PprofError;
use crate::process::{OsError, TargetError};
use crate::recording;
use crate::snapshot::file::FileError;

/// Result of the library's top-level functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
///
/// Its text says by itself what failed. Why is in [`std::error::Error::source`], and only there.
/// [`full_text`](crate::full_text) joins the chain, as `anyhow`'s `{:#}` does.
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
    /// A runtime was recognised, but something in it could not be found or is invalid.
    #[error("{runtime} cannot be read")]
    Runtime {
        /// The runtime, with its version where known.
        runtime: String,
        /// What is missing or wrong: [`crate::runtimes::GoError`], [`crate::runtimes::RegistryError`], or the
        /// error of another runtime's reader.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The runtime is there but has not started yet.
    #[error("{runtime} has not finished starting; try again in a moment")]
    Starting {
        /// The runtime, with its version where known.
        runtime: String,
    },
    /// A snapshot file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A recording's file could not be read or written.
    #[error(transparent)]
    Recording(#[from] recording::file::FileError),
    /// A dump or a profile could not be read.
    #[error(transparent)]
    Dump(#[from] DumpError),
}

impl From<PprofError> for Error {
    fn from(error: PprofError) -> Self {
        Error::Dump(error.into())
    }
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Target(error) => error.kind(),
            Error::NoRuntime { .. } => ErrorKind::NoRuntime,
            Error::Runtime { .. } => ErrorKind::NotReadable,
            Error::Starting { .. } => ErrorKind::Starting,
            Error::File(error) => error.kind(),
            Error::Recording(error) => error.kind(),
            Error::Dump(error) => error.kind(),
        }
    }

    /// The process has ended, or there is none: it can never be read again.
    pub fn is_gone(&self) -> bool {
        matches!(self, Error::Target(error) if error.is_gone())
    }

    /// The number of the operating system's error behind it (`EPERM` is 1), where there is one.
    pub fn raw_os_error(&self) -> Option<i32> {
        chain(self).find_map(|error| {
            let known = error.downcast_ref::<OsError>().and_then(OsError::raw_os_error);
            known.or_else(|| error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
