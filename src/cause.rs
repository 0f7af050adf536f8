//! What all errors of the library have in common: their kind, and a chain of causes.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;

/// The cause of an error, whatever its type.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// What a caller can do about an error; the variants of the error types say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such process or file.
    NotFound,
    /// The process has ended.
    Gone,
    /// The kernel refuses. The remedy is in [`TargetError::Permission`](crate::process::TargetError::Permission).
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
    /// The operating system reported something else; [`Error::raw_os_error`](crate::Error::raw_os_error) has its number.
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

/// An error, its cause, the cause of that, and so on.
pub(crate) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
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
