//! What a command reads: a process, an address that serves profiles, or what a file holds.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::error::{CliError, Result};
use super::parse;
use crate::snapshot::Snapshot;

mod address;
mod compressed;
mod early;
mod file;
mod http;
mod process;

pub(super) use process::{describe, inspect, options};

/// What a command reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A process.
    Pid(u32),
    /// A file: what it is stands in it.
    File(PathBuf),
    /// The same from standard input.
    Stdin,
    /// An address of Go's net/http/pprof.
    Address(String),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(pid) => Source::Pid(pid),
            Err(_) if text == "-" => Source::Stdin,
            Err(_) if address::is_address(text) => Source::Address(text.to_owned()),
            Err(_) => Source::File(text.into()),
        })
    }
}

/// The source of a command, and how it is to be read.
#[derive(Debug, Clone, Args)]
pub(super) struct SourceArgs {
    /// A pid, a file, an http address of Go's pprof, or - for standard input
    ///
    /// A number is a pid; write ./123 for a file of that name. A file is a saved snapshot, a core file,
    /// or what Go wrote: a goroutine profile (debug=1, debug=2 or pprof) or a log with a crash or a
    /// SIGQUIT dump in it; as it is or compressed with gzip or zstd. http://host:6060 stands for
    /// http://host:6060/debug/pprof/goroutine?debug=2, which stops the whole program while it writes;
    /// with ?debug=1 stacks are only counted, which is quicker. An answer may be 1 GiB long and take five
    /// minutes; what is no dump is not read to its end.
    #[arg(value_name = "SOURCE")]
    pub(super) source: Source,

    #[command(flatten)]
    pub(super) how: ReadArgs,
}

/// How sources are to be read.
#[derive(Debug, Clone, Args)]
pub(super) struct ReadArgs {
    /// Stop the whole process while it is read, for one consistent picture
    ///
    /// After DURATION (5s if it is not given) the process runs on, and the reading fails if it was not
    /// done by then. It runs on, too, however loiter ends. Without this option nothing is stopped but,
    /// one at a time and for microseconds, the threads that are running tasks.
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

    /// Stop nothing at all: the stacks of running tasks stay unknown
    #[arg(long)]
    no_pause: bool,

    /// The executable that a core file belongs to
    ///
    /// Needed where it is no longer at the path that the core file names.
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,
}

/// How long a process may be stopped: between a hundredth of a second and an hour.
fn freeze_limit(text: &str) -> Result<Duration, String> {
    let limit = Duration::from_nanos(parse::duration(text)?);
    let range = Duration::from_millis(10)..=Duration::from_secs(3600);
    if range.contains(&limit) { Ok(limit) } else { Err("use something between 10ms and 1h".to_owned()) }
}

/// A snapshot, and where it came from.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) snapshot: Snapshot,
    /// It is not of this moment.
    pub(super) saved: bool,
}

impl SourceArgs {
    /// Reads the source.
    pub(super) fn open(&self) -> Result<Opened> {
        self.how.open(&self.source)
    }
}

impl ReadArgs {
    /// Reads a source.
    pub(super) fn open(&self, source: &Source) -> Result<Opened> {
        if self.exe.is_some() && !matches!(source, Source::File(_) | Source::Stdin) {
            return Err(CliError::Usage("--exe is for core files only".to_owned()));
        }
        match source {
            Source::Pid(pid) => process::read(*pid, self),
            Source::Stdin => file::read_stdin(self),
            Source::File(path) => file::read(path, self),
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
        assert_eq!(parse("99999999999"), Source::File("99999999999".into()));
        assert_eq!(parse("http://localhost:6060"), Source::Address("http://localhost:6060".to_owned()));
        assert_eq!(parse("https.txt"), Source::File("https.txt".into()));
    }
}
