//! Opens everything that a user can name, as a snapshot, a recording or a target.
//!
//! A [`Source`] is made from the user's text: a pid, the name of a running process, a file (a saved snapshot or
//! recording, a core file, a Go dump or profile, plain or compressed), an http address of Go's pprof, or `-` for
//! standard input. Addresses need the feature `http`. [`open`] reads it once and wants a snapshot; [`open_any`] takes
//! recordings, too. To read a process or an address
//! again and again, see [`crate::session`]. loiter starts a [`Program`], and ends it when loiter ends.
//!
//! ```no_run
//! use loiter::source::{self, OpenOptions, Source};
//!
//! let source: Source = "api-server".parse()?;
//! let opened = source::open(&source, &OpenOptions::default())?;
//! println!("{} tasks", opened.snapshot.task_count());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This module neither prints nor asks: the [errors](SourceError) contain what a user must know.

use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::str::FromStr;

use crate::process::Target;
use crate::recording::Recording;
use crate::runtimes::ReadOptions;
use crate::snapshot::Snapshot;

mod compressed;
#[cfg(feature = "http")]
mod early;
mod error;
mod file;
#[cfg(feature = "http")]
mod http;
#[cfg(not(feature = "http"))]
#[path = "no_http.rs"]
mod http;
mod names;
mod process;
mod program;
mod readable;
mod successor;
mod tail;
mod zstd;

pub use error::{AddressError, NameError, SourceError};
pub use names::{find_by_name, is_process_name, running_processes};
pub use process::{describe, inspect};
pub use program::{Program, ProgramEnd, ProgramOutput};
pub use readable::{Answer, Found, ask};
pub use successor::{Successor, find_successor};
#[cfg(feature = "cli")]
pub(crate) use tail::Tail;

/// Result of opening a source.
pub type Result<T, E = SourceError> = std::result::Result<T, E>;

/// What a user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The process with this pid.
    Pid(u32),
    /// The process with this name.
    Name(String),
    /// A file. Its first bytes show what it is.
    File(PathBuf),
    /// Standard input, treated like a file.
    Stdin,
    /// An address of Go's net/http/pprof.
    Address(String),
}

impl FromStr for Source {
    type Err = Infallible;

    /// A number is a pid, `-` is standard input. For other texts the file system decides: a text that names
    /// no file is a process name, unless it looks like a file name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(pid) => Source::Pid(pid),
            Err(_) if text == "-" => Source::Stdin,
            Err(_) if is_address(text) => Source::Address(text.to_owned()),
            Err(_) if is_there(text) || looks_like_a_file(text) => Source::File(text.into()),
            Err(_) => Source::Name(text.to_owned()),
        })
    }
}

/// Is this the address of a server?
fn is_address(text: &str) -> bool {
    let begins =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    begins("http:") || begins("https:")
}

/// A file has this name, or that cannot be determined.
fn is_there(path: &str) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// A text that means a file, even if that file is missing.
fn looks_like_a_file(text: &str) -> bool {
    const ENDINGS: [&str; 15] = [
        "loiter", "baseline", "core", "gz", "zst", "txt", "log", "json", "dump", "out", "pb", "pprof",
        "prof", "csv", "trace",
    ];
    let ending = text.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    text.is_empty()
        || text.contains('/')
        || text.starts_with("core.")
        || ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// How a source is read.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// How a process or a core file is read. Files and addresses ignore it.
    pub read: ReadOptions,
    /// The executable of a core file, if it is no longer at the path in the core file.
    pub exe: Option<PathBuf>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions { read: ReadOptions::default().once(), exe: None }
    }
}

/// A snapshot, and whether it was taken just now.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The snapshot is of an earlier moment: it comes from a file.
    pub saved: bool,
}

/// What a source holds.
#[derive(Debug)]
pub enum Input {
    /// Tasks at one moment.
    Snapshot(Opened),
    /// What tasks did over a while: a saved recording, or a profile of time that another program wrote.
    Recording(Recording),
}

impl Input {
    /// The snapshot; `what` names the source in the error.
    fn snapshot(self, what: impl FnOnce() -> String) -> Result<Opened> {
        match self {
            Input::Snapshot(opened) => Ok(opened),
            Input::Recording(_) => Err(SourceError::NotASnapshot { what: what() }),
        }
    }
}

/// Reads a source once, as a snapshot.
///
/// # Errors
/// See [`SourceError`]; [`SourceError::NotASnapshot`] if it is a recording.
pub fn open(source: &Source, options: &OpenOptions) -> Result<Opened> {
    open_any(source, options)?.snapshot(|| match source {
        Source::File(path) => path.display().to_string(),
        Source::Address(address) => http::without_password(address),
        Source::Pid(_) | Source::Name(_) | Source::Stdin => "standard input".to_owned(),
    })
}

/// Reads a source once, as a snapshot or a recording.
///
/// # Errors
/// See [`SourceError`].
pub fn open_any(source: &Source, options: &OpenOptions) -> Result<Input> {
    match source {
        Source::Pid(pid) => process::read(*pid, options).map(Input::Snapshot),
        Source::Name(name) => process::read(find_by_name(name)?, options).map(Input::Snapshot),
        Source::Stdin => file::read_stdin(options),
        Source::File(path) => file::read(path, options),
        Source::Address(address) => http::read(address),
    }
}

/// Opens the process or the core file that a source means, without reading its tasks.
///
/// # Errors
/// See [`SourceError`]; [`SourceError::NotATarget`] for an address and for files other than core files.
pub fn open_target(source: &Source, options: &OpenOptions) -> Result<Box<dyn Target>> {
    match source {
        Source::Pid(pid) => process::open(*pid),
        Source::Name(name) => process::open(find_by_name(name)?),
        Source::Stdin => file::open_stdin(options),
        Source::File(path) => file::open(path, options),
        Source::Address(address) => Err(SourceError::NotATarget { what: http::without_password(address) }),
    }
}

impl Source {
    /// The same source, with a name replaced by the pid of its process.
    ///
    /// # Errors
    /// No process has the name, or several do.
    pub fn resolve(&self) -> Result<Source> {
        match self {
            Source::Name(name) => find_by_name(name).map(Source::Pid),
            other => Ok(other.clone()),
        }
    }

    /// The host whose program stops while it answers, because the source is an address without a form of the
    /// profile, and loiter asks for debug=2. None for other sources.
    pub fn stops_host(&self) -> Option<String> {
        match self {
            Source::Address(address) => http::stops_host(address),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_text_of_a_source_means() {
        let parse = |text: &str| text.parse::<Source>().unwrap_or(Source::Stdin);
        assert_eq!(parse("42"), Source::Pid(42));
        assert_eq!(parse("./42"), Source::File("./42".into()));
        assert_eq!(parse("-"), Source::Stdin);
        assert_eq!(parse("99999999999"), Source::Name("99999999999".to_owned()));
        assert_eq!(parse("no-such-server"), Source::Name("no-such-server".to_owned()));
        assert_eq!(parse("api.test"), Source::Name("api.test".to_owned()));
        assert_eq!(parse("Cargo.toml"), Source::File("Cargo.toml".into()));
        assert_eq!(parse("src"), Source::File("src".into()));
        for missing in ["", "no/such", "./no-such", "no-such.loiter", "core.1", "no-such.PB.GZ"] {
            assert_eq!(parse(missing), Source::File(missing.into()));
        }
        assert_eq!(parse("http://localhost:6060"), Source::Address("http://localhost:6060".to_owned()));
        assert_eq!(parse("https.txt"), Source::File("https.txt".into()));
    }

    #[test]
    fn only_processes_and_core_files_are_targets() {
        let open = |text: &str| open_target(&text.parse().unwrap_or(Source::Stdin), &OpenOptions::default());
        assert!(open(&std::process::id().to_string()).is_ok());
        for (text, what) in [("http://user:secret@host:1", "host:1"), ("./Cargo.toml", "./Cargo.toml")] {
            let error = open(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(error, format!("{what} is neither a process nor a core file"));
        }
    }

    #[test]
    fn errors_say_their_cause_once() {
        let error = match open(&Source::Pid(u32::MAX), &OpenOptions::default()) {
            Err(error) => error,
            Ok(_) => panic!("there is no such process"),
        };
        assert!(error.is_gone() && !error.is_no_answer());
        assert_eq!(error.to_string(), format!("cannot read pid {}", u32::MAX));
        assert_eq!(
            crate::full_text(&error),
            format!("cannot read pid {0}: there is no process with pid {0}", u32::MAX)
        );
    }
}
