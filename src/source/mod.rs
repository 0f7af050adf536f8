//! What a command reads: a process, an address that serves profiles, or what a file holds.

use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::cli::error::{CliError, Result};
use crate::cli::parse;
use crate::snapshot::Snapshot;

mod address;
mod compressed;
mod early;
mod file;
mod http;
mod names;
mod process;
mod program;
mod readable;
mod successor;
mod zstd;

pub(crate) use names::everybody;
pub(crate) use process::{describe, inspect, options};
pub(crate) use program::{Program, ProgramArg};
pub(crate) use readable::{Answer, ask, list};
pub(crate) use successor::{Successor, find as find_successor};

/// What a command reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A process.
    Pid(u32),
    /// The process of this name.
    Name(String),
    /// A file: what it is stands in it.
    File(PathBuf),
    /// The same from standard input.
    Stdin,
    /// An address of Go's net/http/pprof.
    Address(String),
}

impl FromStr for Source {
    type Err = Infallible;

    /// What there is decides between a file and a process: a name that is no file means a process.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(pid) => Source::Pid(pid),
            Err(_) if text == "-" => Source::Stdin,
            Err(_) if address::is_address(text) => Source::Address(text.to_owned()),
            Err(_) if is_there(text) || looks_like_a_file(text) => Source::File(text.into()),
            Err(_) => Source::Name(text.to_owned()),
        })
    }
}

/// A file has this name, or it cannot be known.
fn is_there(path: &str) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Whoever writes this means a file, even if it is missing.
fn looks_like_a_file(text: &str) -> bool {
    const ENDINGS: [&str; 14] = [
        "loiter", "core", "gz", "zst", "txt", "log", "json", "dump", "out", "pb", "pprof", "prof", "csv",
        "trace",
    ];
    let ending = text.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    text.is_empty()
        || text.contains('/')
        || text.starts_with("core.")
        || ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// A process by its pid or its name, even if there is a file of that name.
fn process_source(text: &str) -> Result<Source, String> {
    match text.parse() {
        Ok(pid) => Ok(Source::Pid(pid)),
        Err(_) if text.is_empty() || text.contains('/') => {
            Err("give the pid of a process, or its name".to_owned())
        }
        Err(_) => Ok(Source::Name(text.to_owned())),
    }
}

/// A process in place of a source.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProcessArg {
    /// The process with this pid or name, in place of SOURCE; never a file
    #[arg(short, long, value_name = "PID", value_parser = process_source)]
    pub(crate) pid: Option<Source>,
}

/// The source of a command, and how it is to be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceArgs {
    /// A pid, a process name, a file, an http address of Go's pprof, or - for standard input
    ///
    /// A number is a pid; write ./123 for a file of that name. If no file has the given name, it is the name of
    /// a process: the file name of its executable or of its first argument, or the name that ps shows. The
    /// whole name must match; if several processes match, they are listed. A file is a saved snapshot, a core
    /// file, or output of Go: a goroutine profile (debug=1, debug=2 or pprof), or a log that contains a crash or
    /// a SIGQUIT dump; plain or compressed with gzip or zstd. http://host:6060 means
    /// http://host:6060/debug/pprof/goroutine?debug=2, which stops the whole program while it answers; with
    /// ?debug=1 the program only counts stacks, which is faster. An answer may be up to 1 GiB long and take up
    /// to five minutes; loiter stops reading an answer that is not a dump.
    #[arg(value_name = "SOURCE", required_unless_present = "pid", conflicts_with = "pid")]
    source: Option<Source>,

    #[command(flatten)]
    process: ProcessArg,

    #[command(flatten)]
    pub(crate) how: ReadArgs,
}

/// How sources are to be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReadArgs {
    /// Stop the whole process while it is read, for one consistent snapshot
    ///
    /// The process resumes after DURATION at the latest (default: 5s); the reading fails if it is not finished
    /// by then. The process resumes even if loiter is killed. Without --freeze, only threads that are running
    /// tasks are stopped, one at a time, for microseconds.
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5s",
        value_parser = freeze_limit,
        conflicts_with = "no_pause"
    )]
    freeze: Option<Duration>,

    /// Stop nothing at all; the stacks of running tasks stay unknown
    #[arg(long)]
    no_pause: bool,

    /// The executable that a core file belongs to
    ///
    /// Needed if the executable is no longer at the path that the core file names.
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,
}

/// How long a process may be stopped: between a hundredth of a second and an hour.
fn freeze_limit(text: &str) -> Result<Duration, String> {
    let limit = Duration::from_nanos(parse::duration(text)?);
    let range = Duration::from_millis(10)..=Duration::from_secs(3600);
    if range.contains(&limit) { Ok(limit) } else { Err("use a duration from 10ms to 1h".to_owned()) }
}

/// A snapshot, and where it came from.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) snapshot: Snapshot,
    /// It is not of this moment.
    pub(crate) saved: bool,
}

impl SourceArgs {
    /// Reads the source.
    pub(crate) fn open(&self) -> Result<Opened> {
        match self.process.pid.as_ref().or(self.source.as_ref()) {
            Some(source) => self.how.open(source),
            None => Err(CliError::Usage("name a SOURCE, or a process with -p".to_owned())),
        }
    }
}

impl Source {
    /// The same with a pid in place of a name.
    ///
    /// # Errors
    /// No process has this name, or several have.
    pub(crate) fn resolve(&self) -> Result<Source> {
        match self {
            Source::Name(name) => names::find(name).map(Source::Pid),
            other => Ok(other.clone()),
        }
    }
}

impl ReadArgs {
    /// Reads a source.
    pub(crate) fn open(&self, source: &Source) -> Result<Opened> {
        if self.exe.is_some() && !matches!(source, Source::File(_) | Source::Stdin) {
            return Err(CliError::Usage("--exe is for core files only".to_owned()));
        }
        match source {
            Source::Pid(pid) => process::read(*pid, self),
            Source::Name(name) => process::read(names::find(name)?, self),
            Source::Stdin => file::read_stdin(self),
            Source::File(path) => file::read(path, self).map_err(|error| names::or_a_process(path, error)),
            Source::Address(address) => address::read(address),
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
        assert_eq!(process_source("src"), Ok(Source::Name("src".to_owned())));
        assert_eq!(process_source("7"), Ok(Source::Pid(7)));
        assert!(process_source("/bin/sh").is_err());
        assert_eq!(parse("http://localhost:6060"), Source::Address("http://localhost:6060".to_owned()));
        assert_eq!(parse("https.txt"), Source::File("https.txt".into()));
    }
}
