//! Exit codes.

use std::process::ExitCode;

/// How loiter ends. The numbers are part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// The request was carried out.
    Ok,
    /// What `--fail-on` names was found.
    Findings,
    /// The command line makes no sense, or something without an own code failed.
    Error,
    /// The kernel does not let loiter read the process.
    Permission,
    /// There is no such process, or it ended while it was read.
    NoProcess,
    /// The process or core file holds no runtime that loiter can read.
    NoRuntime,
    /// The runtime is there but has not finished starting.
    Starting,
    /// The process does not answer: a read of it does not return, or it had to be resumed before it had been read.
    NoAnswer,
    /// What `loiter gate` looks for was found: the number that `--exit-code` names.
    Gate(u8),
}

/// The codes as every command's help explains them; the man pages are made from it.
pub(super) const HELP: &str = "Exit codes:
  0  success
  1  a condition of --fail-on holds (leaks, growth)
  2  wrong usage, or any other error
  3  no permission to read the process
  4  no such process, or it ended while it was read
  5  no runtime that loiter can read
  6  the runtime has not finished starting
  7  the process did not answer in time (a read hangs, or --freeze was too short)";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::Findings => 1,
            Exit::Error => 2,
            Exit::Permission => 3,
            Exit::NoProcess => 4,
            Exit::NoRuntime => 5,
            Exit::Starting => 6,
            Exit::NoAnswer => 7,
            Exit::Gate(status) => status,
        })
    }
}
