//! Exit codes.

use std::process::ExitCode;

/// How loiter ends. The numbers are part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Exit {
    /// The request was carried out.
    Ok = 0,
    /// What `--fail-on` names was found.
    Findings = 1,
    /// The command line makes no sense, or something without an own code failed.
    Error = 2,
    /// The kernel does not let loiter read the process.
    Permission = 3,
    /// There is no such process, or it ended while it was read.
    NoProcess = 4,
    /// The process or core file holds no runtime that loiter can read.
    NoRuntime = 5,
    /// The runtime is there but has not finished starting.
    Starting = 6,
    /// The process does not answer: a read of it does not return, or it had to be resumed before it had been read.
    NoAnswer = 7,
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
        ExitCode::from(exit as u8)
    }
}
