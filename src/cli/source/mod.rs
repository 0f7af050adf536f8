//! The options that name a source and say how it is read, and what users are told about sources.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::error::{CliError, Result};
use super::output::tell;
use super::parse;
use crate::runtimes::{Pause, ReadOptions};
use crate::source::{self, Input, OpenOptions, Opened, Program, ProgramOutput, Source, SourceError};

mod cache;
mod error;
mod list;

pub(super) use cache::CacheArgs;
pub(super) use list::list;
#[cfg(feature = "dashboard")]
pub(super) use list::runtime_names;

/// A process by its pid or its name, even if there is a file of that name.
pub(super) fn process_source(text: &str) -> Result<Source, String> {
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
pub(in crate::cli) struct ProcessArg {
    /// The process with this pid or name, in place of SOURCE; never a file
    #[arg(short, long, value_name = "PID", value_parser = process_source)]
    pub(in crate::cli) pid: Option<Source>,
}

/// The source of a command, and how it is to be read.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SourceArgs {
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
    pub(in crate::cli) how: ReadArgs,
}

/// How sources are to be read.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ReadArgs {
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

    /// The file with the debug information of a Rust program
    ///
    /// Needed if it is neither in the program, nor where debuggers look for it: beside the program, or in
    /// /usr/lib/debug. A file that belongs to another build is refused.
    #[arg(long, value_name = "FILE")]
    debug_file: Option<PathBuf>,

    #[command(flatten)]
    cache: CacheArgs,
}

/// How long a process may be stopped: between a hundredth of a second and an hour.
fn freeze_limit(text: &str) -> Result<Duration, String> {
    let limit = Duration::from_nanos(parse::duration(text)?);
    let range = Duration::from_millis(10)..=Duration::from_secs(3600);
    if range.contains(&limit) { Ok(limit) } else { Err("use a duration from 10ms to 1h".to_owned()) }
}

/// What follows `--`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct ProgramArg {
    /// Start this program and read it; the program ends when loiter ends
    ///
    /// Its output goes to standard error; while the dashboard uses the terminal, the last lines are kept and
    /// shown at the end. Its standard input is that of loiter, unless that is a terminal. Ctrl-C reaches only
    /// loiter, which then ends the program with SIGTERM and, if it is still running after 5 s, with SIGKILL. To
    /// keep a program running, start it yourself and give it as SOURCE.
    #[arg(last = true, value_name = "PROGRAM", num_args = 1..)]
    program: Vec<OsString>,
}

impl ProgramArg {
    /// Starts the program, if there is one. `screen`: a dashboard will use the terminal.
    pub(in crate::cli) fn start(&self, screen: bool) -> Result<Option<Arc<Program>>> {
        let Some((file, arguments)) = self.program.split_first() else { return Ok(None) };
        let kept = screen && io::stderr().is_terminal();
        let output = if kept { ProgramOutput::Kept } else { ProgramOutput::Stderr };
        Ok(Some(Arc::new(Program::start(file, arguments, output)?)))
    }

    /// Whether there is a program to be started.
    pub(in crate::cli) fn is_given(&self) -> bool {
        !self.program.is_empty()
    }
}

impl SourceArgs {
    /// Reads the source.
    pub(super) fn open(&self) -> Result<Opened> {
        match self.process.pid.as_ref().or(self.source.as_ref()) {
            Some(source) => self.how.open(source),
            None => Err(CliError::Usage("name a SOURCE, or a process with -p".to_owned())),
        }
    }

    /// Reads the source, which may be a recording.
    pub(super) fn open_any(&self) -> Result<Input> {
        match self.process.pid.as_ref().or(self.source.as_ref()) {
            Some(source) => self.how.open_any(source),
            None => Err(CliError::Usage("name a SOURCE, or a process with -p".to_owned())),
        }
    }
}

impl ReadArgs {
    /// Reads a source, which may be a recording.
    pub(super) fn open_any(&self, source: &Source) -> Result<Input> {
        self.check(source)?;
        warn_of_stop(source);
        source::open_any(source, &self.options()).map_err(|error| match source {
            Source::File(path) => or_a_process(path, error),
            _ => error.into(),
        })
    }

    /// Reads a source.
    pub(super) fn open(&self, source: &Source) -> Result<Opened> {
        self.check(source)?;
        warn_of_stop(source);
        source::open(source, &self.options()).map_err(|error| match source {
            Source::File(path) => or_a_process(path, error),
            _ => error.into(),
        })
    }

    /// `--exe` only applies to files.
    pub(super) fn check(&self, source: &Source) -> Result {
        if self.exe.is_some() && !matches!(source, Source::File(_) | Source::Stdin) {
            return Err(CliError::Usage("--exe is for core files only".to_owned()));
        }
        Ok(())
    }

    /// How a source is read once.
    pub(super) fn options(&self) -> OpenOptions {
        let pause = match (self.freeze, self.no_pause) {
            (Some(_), _) => Pause::Everything,
            (_, true) => Pause::Nothing,
            _ => Pause::RunningThreads,
        };
        let freeze_limit = self.freeze.unwrap_or(ReadOptions::FREEZE_LIMIT);
        let (debug_file, cache) = (self.debug_file.clone(), self.cache.folder());
        let read = ReadOptions { pause, freeze_limit, debug_file, cache, ..ReadOptions::default() }.once();
        OpenOptions { read, exe: self.exe.clone() }
    }
}

/// Says that a program stops while it answers, before it does.
pub(super) fn warn_of_stop(source: &Source) {
    if let Some(host) = source.stops_host() {
        tell(&format!(
            "{host} stops while it writes its goroutines (debug=2); ?debug=1 only counts stacks and is quicker"
        ));
    }
}

/// A user who names a file that cannot be read may have meant the process of this name.
pub(super) fn or_a_process(path: &Path, error: SourceError) -> CliError {
    let name = path.to_str().filter(|name| !name.contains('/') && source::is_process_name(name));
    let error = CliError::from(error);
    let Some(name) = name else { return error };
    let hint = format!("There is a file of this name; for the process: -p {name}");
    let remedy = error.remedy().into_iter().chain([hint]).collect();
    CliError::Message { problem: error.message(), remedy, exit: error.exit() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_means_a_process_even_if_there_is_a_file() {
        assert_eq!(process_source("src"), Ok(Source::Name("src".to_owned())));
        assert_eq!(process_source("7"), Ok(Source::Pid(7)));
        assert!(process_source("/bin/sh").is_err());
    }
}
