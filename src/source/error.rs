//! Why a source that a user named cannot be read.
//!
//! The text of an error does not repeat its cause: that is its [`source`](std::error::Error::source).
//! [`crate::full_text`] joins the two.

use std::io;
use std::time::Duration;

use crate::cause::ErrorKind;
use crate::import::DumpError;
use crate::process::Candidate;
use crate::recording;
use crate::snapshot::file::FileError;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A process or a core file cannot be read.
    #[error("cannot read {what}")]
    Target {
        /// "pid 4242 (api-server, user www)", "core file core.4242".
        what: String,
        /// Why.
        source: crate::Error,
    },
    /// A saved snapshot cannot be read.
    #[error("{path}")]
    File {
        /// The file, or "standard input".
        path: String,
        /// Why.
        source: FileError,
    },
    /// A saved recording cannot be read.
    #[error("{path}")]
    Recording {
        /// The file, or "standard input".
        path: String,
        /// Why.
        source: recording::file::FileError,
    },
    /// It is a recording, and a snapshot is needed.
    #[error("{what} is a recording: it says where time went, not which tasks there were at one moment")]
    NotASnapshot {
        /// The file, the address, or "standard input".
        what: String,
    },
    /// A file or an answer contains no readable dump.
    #[error("{what}")]
    Dump {
        /// The file, the address, or "standard input".
        what: String,
        /// Why.
        source: Box<DumpError>,
    },
    /// An address returns nothing that can be read.
    #[error("{address}")]
    Address {
        /// The address, without user and password.
        address: String,
        /// Why.
        source: AddressError,
    },
    /// The file system or the kernel refused something.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A name does not identify one process.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A program that loiter started ended too early.
    #[error("{program} has ended before it could be read: {how}")]
    ProgramEnded {
        /// The program, as the user named it.
        program: String,
        /// "exit status 1", "SIGSEGV".
        how: String,
        /// The last lines that it printed, if those were kept.
        output: Vec<String>,
    },
    /// It can be read once, but not again and again.
    #[error("{what} cannot be read again and again: that takes a process or an address")]
    NotLive {
        /// The file, or "standard input".
        what: String,
    },
    /// It gives a snapshot, but has no memory that could be read.
    #[error("{what} is neither a process nor a core file")]
    NotATarget {
        /// The file, the address, or "standard input".
        what: String,
    },
}

impl SourceError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            SourceError::Target { source, .. } => source.kind(),
            SourceError::File { source, .. } => source.kind(),
            SourceError::Recording { source, .. } => source.kind(),
            SourceError::Dump { source, .. } => source.kind(),
            SourceError::Address { source, .. } => source.kind(),
            SourceError::Io { source, .. } => ErrorKind::of_io(source),
            SourceError::Name(_) => ErrorKind::NotFound,
            SourceError::ProgramEnded { .. } => ErrorKind::Gone,
            SourceError::NotASnapshot { .. }
            | SourceError::NotATarget { .. }
            | SourceError::NotLive { .. } => ErrorKind::Unsupported,
        }
    }

    /// The process has ended, or there is none.
    pub fn is_gone(&self) -> bool {
        matches!(self, SourceError::Target { source, .. } if source.is_gone())
    }

    /// The process did not answer in time. It may answer next time.
    pub fn is_no_answer(&self) -> bool {
        matches!(self, SourceError::Target { source: crate::Error::Target(error), .. } if error.is_no_answer())
    }
}

/// Why an address returns nothing that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is not an address.
    #[error("no address: {problem}")]
    Invalid {
        /// What is wrong with it. Contains no password.
        problem: String,
    },
    /// This loiter was built without HTTP.
    #[error("this build of loiter cannot read addresses (it has no feature http)")]
    NotBuilt,
    /// The processor lacks what the cryptography of https needs.
    #[error("this processor cannot do https: it lacks AES, AVX2, BMI or ADX")]
    CannotEncrypt,
    /// The connection was not made in time.
    #[error("no connection within {} s", within.as_secs_f64())]
    NoConnection {
        /// How long loiter waited.
        within: Duration,
    },
    /// The answer was not complete in time.
    #[error("no whole answer within {} s", within.as_secs_f64())]
    TooSlow {
        /// How long loiter waited.
        within: Duration,
    },
    /// The host has no address.
    #[error("there is no host of that name")]
    NoHost,
    /// The server answered with an error.
    #[error("the server says {status}{}", if line.is_empty() { String::new() } else { format!(": {line}") })]
    Status {
        /// The HTTP status.
        status: u16,
        /// The first line of the answer. May be empty.
        line: String,
    },
    /// The answer is too large.
    #[error("the answer is larger than {} MiB, which is the most that is read", most >> 20)]
    TooLarge {
        /// The limit in bytes.
        most: u64,
    },
    /// A redirect points to text that is not an address.
    #[error("redirected to {to}: {why}")]
    BadRedirect {
        /// Its target.
        to: String,
        /// What is wrong with its target.
        why: String,
    },
    /// There were too many redirects.
    #[error("redirected more than {most} times")]
    Redirects {
        /// How many redirects are followed.
        most: u32,
    },
    /// The answer ended before it was complete.
    #[error("the answer broke off after {got}{} bytes: {why}",
        announced.map_or(String::new(), |length| format!(" of {length} announced")))]
    BrokenOff {
        /// Bytes that were received.
        got: u64,
        /// The announced length in bytes, if any.
        announced: Option<u64>,
        /// What happened.
        why: Box<AddressError>,
    },
    /// The beginning of the answer shows that it is not a dump.
    #[error("no dump in its first {} KiB, and not read any further", read >> 10)]
    NoDump {
        /// Bytes that were read.
        read: usize,
    },
    /// The connection failed, or the answer cannot be decompressed.
    #[error(transparent)]
    Io(io::Error),
    /// Something in HTTP or TLS failed.
    #[error("{problem}")]
    Protocol {
        /// What happened.
        problem: String,
    },
}

impl AddressError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            AddressError::NotBuilt => ErrorKind::Unsupported,
            AddressError::NoConnection { .. } | AddressError::TooSlow { .. } => ErrorKind::NoAnswer,
            AddressError::NoHost => ErrorKind::NotFound,
            AddressError::Status { status: 401 | 403, .. } => ErrorKind::Permission,
            AddressError::Status { status: 404, .. } => ErrorKind::NotFound,
            AddressError::TooLarge { .. } => ErrorKind::TooLarge,
            AddressError::Invalid { .. } | AddressError::NoDump { .. } => ErrorKind::Corrupt,
            AddressError::BrokenOff { why, .. } => why.kind(),
            AddressError::Io(error) => ErrorKind::of_io(error),
            _ => ErrorKind::Io,
        }
    }
}

/// Why a name does not identify one process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Several processes have the name.
    #[error("{} processes are named {name}: which one is meant?", processes.len())]
    Several {
        /// The name.
        name: String,
        /// The processes, by pid. There are at least two.
        processes: Vec<Candidate>,
    },
    /// Only loiter's own parents have the name: a shell, sudo.
    #[error("only what started this loiter is named {name}: give its pid if you mean it")]
    OnlyParents {
        /// The name.
        name: String,
        /// The parents with the name.
        processes: Vec<Candidate>,
    },
    /// No process has the name, and no file, if files were asked for.
    #[error("no process is named {name}{}", without_file(name))]
    Nobody {
        /// The name.
        name: String,
        /// Processes with a similar name.
        similar: Vec<Candidate>,
    },
}
/// What else is not there. A command that takes only processes may be given a name that a file has.
fn without_file(name: &str) -> &'static str {
    if std::path::Path::new(name).exists() { "" } else { ", and there is no such file" }
}
