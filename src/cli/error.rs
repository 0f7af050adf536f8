//! What goes wrong, in words, and the remedy.

use std::io::{self, Write};

use super::exit::Exit;
use crate::import::DumpError;
use crate::process::TargetError;
use crate::report::escape;
use crate::session::record::RecordError;
use crate::snapshot::file::FileError;
use crate::source::{AddressError, SourceError};
use crate::{ErrorKind, full_text};

/// What a file may hold.
const ACCEPTED: [&str; 4] = [
    "a file may hold: a snapshot or a recording that loiter saved, a core file,",
    "  a Go dump (debug=2, runtime.Stack, a crash or SIGQUIT), alone or in a log,",
    "  a Go goroutine profile (debug=1 or pprof), a pprof profile of time (CPU, off CPU, wall, block),",
    "  each as it is or compressed with gzip or zstd",
];

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// A target, a dump or an address could not be read.
    #[error(transparent)]
    Source(SourceError),
    /// A process could not be recorded.
    #[error("cannot record {what}")]
    Record {
        /// "pid 4242 (api-server, user www)".
        what: String,
        /// Why.
        source: Box<RecordError>,
    },
    /// A snapshot file could not be read or written.
    #[error("{path}")]
    File {
        /// The file, or "standard input".
        path: String,
        /// Why.
        source: FileError,
    },
    /// A name does not identify a process, or one that loiter has started has ended.
    #[error("{problem}")]
    Message {
        /// What happened.
        problem: String,
        /// What there is instead, a line each.
        remedy: Vec<String>,
        /// The exit code.
        exit: Exit,
    },
    /// Something in the file system or the kernel failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    /// What `--fail-on` names was found.
    #[error("--fail-on {0}")]
    Found(String),
}

/// Outcome of a command.
pub(super) type Result<T = (), E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// The exit code that tells scripts what happened. The reader of the output may stop early.
    pub(super) fn exit(&self) -> Exit {
        match self {
            CliError::Record { source, .. } => exit_of(source.kind()),
            CliError::Source(SourceError::Target { source, .. }) => match source {
                // A file of the target could not be read, which says nothing about the target itself.
                crate::Error::Target(TargetError::Io { .. }) => Exit::Error,
                _ => exit_of(source.kind()),
            },
            CliError::Found(_) => Exit::Findings,
            CliError::Message { exit, .. } => *exit,
            _ if self.is_broken_pipe() => Exit::Ok,
            _ => Exit::Error,
        }
    }

    /// The reader of the output is gone, which is not an error.
    fn is_broken_pipe(&self) -> bool {
        let error = match self {
            CliError::Output(error) => error,
            CliError::File { source: FileError::Io { source, .. }, .. } => source,
            _ => return false,
        };
        error.kind() == io::ErrorKind::BrokenPipe
    }

    /// The message with its causes, without the common prefix.
    pub(super) fn message(&self) -> String {
        match self {
            // These say by themselves which process they mean.
            CliError::Source(SourceError::Target { source, .. }) => match source {
                error if error.is_gone() => full_text(source),
                crate::Error::NoRuntime { .. } => full_text(source),
                crate::Error::Target(
                    TargetError::KernelThread { .. }
                    | TargetError::LetGo { .. }
                    | TargetError::GivenUp { .. },
                ) => full_text(source),
                _ => full_text(self),
            },
            _ => full_text(self),
        }
    }

    /// What helps, a line each.
    pub(super) fn remedy(&self) -> Vec<String> {
        match self {
            CliError::Source(SourceError::Target { source, .. }) => target_remedy(source),
            CliError::Source(SourceError::Dump { source, .. })
                if matches!(**source, DumpError::NoGoroutine { .. }) =>
            {
                ACCEPTED.map(str::to_owned).to_vec()
            }
            CliError::Source(SourceError::Address { source, .. }) => address_remedy(source),
            CliError::Record { source, .. } => record_remedy(source),
            CliError::Message { remedy, .. } => remedy.clone(),
            CliError::Io { what, source } => io_remedy(source, what.contains("write")),
            CliError::File { source: FileError::Io { what, source }, .. } => {
                io_remedy(source, what.contains("write"))
            }
            _ => Vec::new(),
        }
    }

    /// Prints the message and the remedy to stderr, safe for a terminal.
    pub(super) fn print(&self) {
        if self.is_broken_pipe() {
            return;
        }
        let mut text = format!("loiter: {}\n", escape(said_once(&self.message())));
        for line in self.remedy() {
            text.push_str(&format!("  {}\n", escape(&line)));
        }
        // If stderr is closed, the message is lost.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

/// What helps if a target cannot be read.
fn target_remedy(error: &crate::Error) -> Vec<String> {
    use crate::Error::{NoRuntime, Starting, Target};
    let line = match error {
        Target(TargetError::Permission { remedy, .. }) => return remedy.clone(),
        NoRuntime { looked_at, .. } => return looked_at.clone(),
        Target(TargetError::LetGo { reading: None, .. }) => {
            "Try: a longer --freeze=DURATION, or without --freeze.".to_owned()
        }
        Target(TargetError::NoAnswer { pid, .. } | TargetError::LetGo { pid, .. }) => format!(
            "/proc/{pid}/maps names what is mapped there. The process can be read when it answers again."
        ),
        Target(TargetError::Io { source, .. }) if source.raw_os_error() == Some(libc::EMFILE) => {
            "loiter may not open more files: raise the limit (ulimit -n 1024) and try again".to_owned()
        }
        Target(TargetError::NoProcess { .. }) => {
            "Try: loiter ps, which lists the processes that loiter can read".to_owned()
        }
        Starting { .. } => "Try again in a moment".to_owned(),
        _ => return Vec::new(),
    };
    vec![line]
}

/// What helps if an address cannot be read.
fn address_remedy(error: &AddressError) -> Vec<String> {
    let lines: &[&str] = match error {
        AddressError::Status { status: 401 | 403, .. } => {
            &["user and password go into the address: http://user:password@host:6060"]
        }
        AddressError::Status { status: 404, .. } => &[
            "does the program import net/http/pprof, and does this port serve it?",
            "if it is served elsewhere, give the whole path: http://host:6060/path/to/goroutine",
        ],
        _ => &[],
    };
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Permission => Exit::Permission,
        ErrorKind::NotFound | ErrorKind::Gone => Exit::NoProcess,
        ErrorKind::NoRuntime => Exit::NoRuntime,
        ErrorKind::Starting => Exit::Starting,
        ErrorKind::NoAnswer => Exit::NoAnswer,
        _ => Exit::Error,
    }
}

/// What helps if a process cannot be recorded.
fn record_remedy(error: &RecordError) -> Vec<String> {
    match error {
        RecordError::Sampler(error) => error.remedy().to_vec(),
        RecordError::NothingCovered { .. } => vec![
            "Its threads live too briefly for this rate: raise it with -F, or run as root".to_owned(),
            "Without perf events: --mode wall reads all tasks at intervals".to_owned(),
        ],
        RecordError::Empty => {
            vec!["It may only wait: --mode off-cpu shows how long its threads wait, --mode wall what its tasks wait for".to_owned()]
        }
        RecordError::Target(_) => Vec::new(),
    }
}

/// What helps if a file cannot be read or written.
fn io_remedy(error: &io::Error, writing: bool) -> Vec<String> {
    let text = match (error.kind(), writing) {
        (io::ErrorKind::NotFound, true) => "Make the directory first, or name a file elsewhere",
        (io::ErrorKind::NotFound, false) => {
            "There is no such file, seen from the current directory; loiter ps lists processes"
        }
        (io::ErrorKind::PermissionDenied, true) => "Name a file in a directory that you may write to",
        (io::ErrorKind::PermissionDenied, false) => "Run loiter as a user who may read it: sudo",
        (io::ErrorKind::IsADirectory, true) => "Name a file in it",
        (io::ErrorKind::IsADirectory, false) => {
            "Name a file in it; only loiter leaks and loiter watch take directories of snapshots"
        }
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge, true) => {
            "Make room, or name a file elsewhere"
        }
        (io::ErrorKind::ReadOnlyFilesystem, true) => "Name a file elsewhere",
        _ => return Vec::new(),
    };
    vec![text.to_owned()]
}

/// A message without the trailing path of a temporary file: the path that matters was named already.
fn said_once(message: &str) -> &str {
    match message.rfind(" at path \"") {
        Some(at) if message.ends_with('"') => message.get(..at).unwrap_or(message),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_said_once_and_something_helps() {
        let text = "cannot write /a/x: No such file or directory (os error 2) at path \"/a/.loiter-eNJ\"";
        assert_eq!(said_once(text), "cannot write /a/x: No such file or directory (os error 2)");
        assert_eq!(said_once("x at path \"y\" is odd"), "x at path \"y\" is odd");
        let error =
            |kind: io::ErrorKind, what: &str| CliError::Io { what: what.to_owned(), source: kind.into() };
        assert!(error(io::ErrorKind::NotFound, "cannot write /a/x").remedy()[0].contains("directory first"));
        assert!(error(io::ErrorKind::NotFound, "nosuch").remedy()[0].contains("loiter ps"));
        assert_eq!(error(io::ErrorKind::Interrupted, "x").remedy(), [""; 0]);
    }

    #[test]
    fn a_cause_is_said_once() {
        let io = || io::Error::from_raw_os_error(libc::ENOENT);
        let path = || "/x".to_owned();
        let all = [
            CliError::Source(SourceError::Target {
                what: "pid 7 (a)".to_owned(),
                source: TargetError::io("open /x", io()).into(),
            }),
            CliError::File {
                path: path(),
                source: FileError::Io { what: "cannot open /y".to_owned(), source: io() },
            },
            CliError::File { path: path(), source: FileError::Damaged { source: "its tables end".into() } },
            CliError::Source(SourceError::Dump {
                what: path(),
                source: Box::new(DumpError::TooMany { count: 9, most: 3 }),
            }),
            CliError::Source(SourceError::Address {
                address: "http://x".to_owned(),
                source: AddressError::NoHost,
            }),
            CliError::Message { problem: "no process".to_owned(), remedy: Vec::new(), exit: Exit::NoProcess },
            CliError::Io { what: path(), source: io() },
            CliError::Output(io()),
            CliError::Usage("--every is too short".to_owned()),
            CliError::Found("growth".to_owned()),
        ];
        for error in &all {
            crate::error::tests::assert_said_once(error);
        }
        assert_eq!(all[0].message(), "cannot read pid 7 (a): open /x: ENOENT (no such file or directory)");
        assert_eq!(all[2].message(), "/x: the snapshot is damaged: its tables end");
    }

    #[test]
    fn codes_and_messages() {
        let target = |source: crate::Error| {
            CliError::Source(SourceError::Target { what: "pid 7 (a\x1bb)".to_owned(), source })
        };
        let permission = TargetError::Permission {
            what: "process_vm_readv".to_owned(),
            source: io::Error::from_raw_os_error(libc::EPERM).into(),
            remedy: vec!["Try: sudo".to_owned()],
        };
        let error = target(permission.into());
        assert_eq!(error.exit(), Exit::Permission);
        assert_eq!(
            escape(&error.message()),
            "cannot read pid 7 (a\\x1bb): process_vm_readv: EPERM (operation not permitted)"
        );
        assert_eq!(error.remedy(), ["Try: sudo"]);

        let error = target(TargetError::NoProcess { pid: 7 }.into());
        assert_eq!(
            (error.exit(), error.message().as_str()),
            (Exit::NoProcess, "there is no process with pid 7")
        );
        let error = target(crate::Error::Starting { runtime: "go1.24".to_owned() });
        assert_eq!(error.exit(), Exit::Starting);
        let let_go = TargetError::LetGo { pid: 7, after: std::time::Duration::from_secs(5), reading: None };
        let error = target(let_go.into());
        assert_eq!(error.exit(), Exit::NoAnswer);
        assert_eq!(error.message(), "process 7 was let go after 5 s, before all of it had been read");
        assert!(error.remedy()[0].contains("--freeze=DURATION"));
        let none = crate::Error::NoRuntime { name: "cat".to_owned(), pid: 7, looked_at: Vec::new() };
        assert_eq!(target(none).exit(), Exit::NoRuntime);
        assert_eq!(CliError::Found("growth".to_owned()).exit(), Exit::Findings);
        assert_eq!(CliError::Output(io::ErrorKind::BrokenPipe.into()).exit(), Exit::Ok);
        assert_eq!(CliError::Output(io::ErrorKind::StorageFull.into()).exit(), Exit::Error);
    }
}
