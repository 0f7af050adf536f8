//! The library's error.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;

use crate::import::DumpError;
use crate::import::pprof::PprofError;
use crate::process::{OsError, TargetError};
use crate::snapshot::file::FileError;

/// Result of the library's top-level functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error, whatever its type.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// What can go wrong.
///
/// Its text is one link of a chain: the cause is in [`std::error::Error::source`], and only there. [`full_text`]
/// joins the chain, as `anyhow`'s `{:#}` does.
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
    /// A runtime was recognised, but something in it could not be found or makes no sense.
    #[error("{runtime}")]
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
    /// A dump or a profile could not be read.
    #[error(transparent)]
    Dump(#[from] DumpError),
}

impl From<PprofError> for Error {
    fn from(error: PprofError) -> Self {
        Error::Dump(error.into())
    }
}

/// What a caller can do about an error; the variants of the error types say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such process or file.
    NotFound,
    /// The process has ended.
    Gone,
    /// The kernel refuses. The remedy is in [`TargetError::Permission`].
    Permission,
    /// The process did not answer in time, or had to be let go before it had been read.
    NoAnswer,
    /// The caller gave the reading up.
    GivenUp,
    /// A thread could not be stopped.
    CannotStop,
    /// Nothing in it schedules tasks in a way that loiter knows.
    NoRuntime,
    /// The runtime has not started yet: worth another try in a moment.
    Starting,
    /// A runtime was recognised but cannot be read.
    NotReadable,
    /// The input is fine, but this version of loiter cannot use it: a newer format, a profile of something else.
    Unsupported,
    /// The input is damaged or something else than it should be.
    Corrupt,
    /// The input exceeds a limit that protects loiter.
    TooLarge,
    /// The operating system reported something else; [`Error::raw_os_error`] has its number.
    Io,
}

impl ErrorKind {
    /// The kind of an error of the operating system.
    pub(crate) fn of_io(error: &io::Error) -> ErrorKind {
        match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            io::ErrorKind::TimedOut => ErrorKind::NoAnswer,
            _ => ErrorKind::Io,
        }
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
            Error::Dump(error) => error.kind(),
        }
    }

    /// The number of the operating system's error behind it (`EPERM` is 1), where there is one.
    pub fn raw_os_error(&self) -> Option<i32> {
        chain(self).find_map(|error| {
            let known = error.downcast_ref::<OsError>().and_then(OsError::raw_os_error);
            known.or_else(|| error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error))
        })
    }
}

/// An error, its cause, the cause of that, and so on.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error and its causes in one line: "process_vm_readv: EPERM (operation not permitted)".
///
/// A cause that the text before it ends with already, as errors of some other crates have it, is not repeated.
pub fn full_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for cause in chain(error).skip(1) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            // Writing into a string cannot fail.
            let _ = write!(text, ": {cause}");
        }
    }
    text
}

/// What a cause is about, for an error that has no place for it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct About {
    /// The part: "its header".
    pub(crate) what: String,
    /// What is wrong with it.
    pub(crate) source: Cause,
}

impl About {
    pub(crate) fn new(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        About { what: what.into(), source: source.into() }
    }
}

#[cfg(test)]
pub(crate) mod tests;
