//! What a command reads: a process, a core file, a saved snapshot.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::error::{CliError, Result};
use crate::runtimes::{self, Pause, ReadOptions};
use crate::snapshot::{RuntimeInfo, Snapshot, file};
use crate::target::{self, Target};

/// What a command reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A process.
    Pid(u32),
    /// A file: what it is stands in it.
    File(PathBuf),
    /// A saved snapshot from standard input.
    Stdin,
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(pid) => Source::Pid(pid),
            Err(_) if text == "-" => Source::Stdin,
            Err(_) => Source::File(text.into()),
        })
    }
}

/// The source of a command, and how it is to be read.
#[derive(Debug, Clone, Args)]
pub(super) struct SourceArgs {
    /// A pid, a saved snapshot, a core file, or - for a snapshot from standard input
    ///
    /// A number is a pid; write ./123 for a file of that name.
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
    /// However loiter ends, the process runs on. Without this option nothing is stopped but, one at
    /// a time and for microseconds, the threads that are running tasks.
    #[arg(long, conflicts_with = "no_pause")]
    freeze: bool,

    /// Stop nothing at all: the stacks of running tasks stay unknown
    #[arg(long)]
    no_pause: bool,

    /// The executable that a core file belongs to
    ///
    /// Needed where it is no longer at the path that the core file names.
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,
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
        if self.exe.is_some() && !matches!(source, Source::File(_)) {
            return Err(CliError::Usage("--exe is for core files only".to_owned()));
        }
        match source {
            Source::Pid(pid) => self.read_process(*pid),
            Source::Stdin => read_snapshot("standard input", io::stdin().lock())
                .map(|snapshot| Opened { snapshot, saved: true }),
            Source::File(path) => self.read_file(path),
        }
    }

    fn read_process(&self, pid: u32) -> Result<Opened> {
        let failed = |source| CliError::Target { what: describe(pid), source };
        let target = target::open_pid(pid).map_err(|error| failed(error.into()))?;
        let snapshot = runtimes::snapshot(target.as_ref(), &self.read_options()).map_err(failed)?;
        Ok(Opened { snapshot, saved: false })
    }

    fn read_file(&self, path: &Path) -> Result<Opened> {
        let shown = path.display().to_string();
        let open = || File::open(path).map_err(|source| CliError::Io { what: shown.clone(), source });
        let mut start = Vec::new();
        (open()?.take(8).read_to_end(&mut start))
            .map_err(|source| CliError::Io { what: shown.clone(), source })?;
        if start == file::MAGIC {
            let snapshot = read_snapshot(&shown, open()?)?;
            return Ok(Opened { snapshot, saved: true });
        }
        if !start.starts_with(b"\x7fELF") {
            let problem = "neither a snapshot that loiter saved nor a core file".to_owned();
            return Err(CliError::NotASource { path: shown, problem });
        }
        let failed = |source| CliError::Target { what: format!("core file {shown}"), source };
        let target = target::open_core(path, self.exe.as_deref()).map_err(|error| failed(error.into()))?;
        let snapshot = runtimes::snapshot(target.as_ref(), &self.read_options()).map_err(failed)?;
        Ok(Opened { snapshot, saved: true })
    }

    /// How a live process is to be read.
    pub(super) fn read_options(&self) -> ReadOptions {
        let pause = match (self.freeze, self.no_pause) {
            (true, _) => Pause::Everything,
            (_, true) => Pause::Nothing,
            _ => Pause::RunningThreads,
        };
        ReadOptions { pause, ..ReadOptions::default() }
    }
}

fn read_snapshot(path: &str, from: impl Read) -> Result<Snapshot> {
    file::read(from).map_err(|source| CliError::File { path: path.to_owned(), source })
}

/// "pid 4242 (api-server, user www)", as far as it can be known.
pub(super) fn describe(pid: u32) -> String {
    let process = target::processes().ok().and_then(|all| all.into_iter().find(|process| process.pid == pid));
    process.map_or_else(
        || format!("pid {pid}"),
        |process| format!("pid {pid} ({}, user {})", process.name, process.user()),
    )
}

/// The runtimes in a target, each with the number of its tasks; none if there is nothing to read.
pub(super) fn inspect(target: &dyn Target) -> Result<Vec<(RuntimeInfo, u64)>, crate::Error> {
    let attached = runtimes::attach(target)?.into_readable()?;
    attached.iter().map(|runtime| Ok((runtime.info(target)?, runtime.count_tasks(target)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pids() {
        let parse = |text: &str| text.parse::<Source>().unwrap_or(Source::Stdin);
        assert_eq!(parse("42"), Source::Pid(42));
        assert_eq!(parse("./42"), Source::File("./42".into()));
        assert_eq!(parse("-"), Source::Stdin);
        assert_eq!(parse("99999999999"), Source::File("99999999999".into()));
    }
}
