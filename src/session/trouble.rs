//! Why a target could not be read this time.

use std::fmt;

use crate::source::{SourceError, Successor};

/// Why a target could not be read this time.
#[derive(Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// It may pass: a runtime that is still starting, a permission that was revoked, a server or a process that
    /// does not answer.
    Unreadable(Box<SourceError>),
    /// The process has ended and another one has replaced it, which is read from now on. It cannot be read yet.
    Restarted {
        /// The pid of the process that has ended.
        pid: u32,
        /// The pid of the new one.
        new_pid: u32,
    },
    /// The process has ended.
    Ended {
        /// Its pid.
        pid: u32,
        /// What replaced it. It is not read.
        successor: Successor,
        /// The session continues to look for a process that replaces it.
        waits: bool,
    },
    /// The program that loiter has started has ended.
    ProgramEnded {
        /// "exit status 1", "SIGSEGV". None if it cannot be read, though it has not ended.
        how: Option<String>,
        /// The last line that it printed, if that was kept.
        last_line: Option<String>,
    },
}

impl Trouble {
    /// There will never be another reading.
    pub fn is_final(&self) -> bool {
        matches!(self, Trouble::Ended { waits: false, .. } | Trouble::ProgramEnded { .. })
    }

    /// The process has ended, and no other one has been read in its place so far.
    pub fn is_end(&self) -> bool {
        matches!(self, Trouble::Ended { .. } | Trouble::ProgramEnded { .. })
    }
}

/// The part of an error that is reported: a user knows which process is read.
fn said(error: &SourceError) -> &(dyn std::error::Error + 'static) {
    match error {
        SourceError::Target { source, .. } => source,
        error => error,
    }
}

impl std::error::Error for Trouble {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text of the error itself is the text of the trouble.
        match self {
            Trouble::Unreadable(error) => said(error).source(),
            _ => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreadable(error) => fmt::Display::fmt(said(error), f),
            Trouble::Restarted { pid, new_pid } => {
                write!(f, "process {pid} has ended and was started again as pid {new_pid}")
            }
            Trouble::Ended { pid, successor: Successor::Several(pids), .. } => {
                let pids: Vec<String> = pids.iter().take(8).map(u32::to_string).collect();
                write!(f, "process {pid} has ended; several look like it: {}", pids.join(", "))
            }
            Trouble::Ended { pid, successor: Successor::Pid(new_pid), .. } => {
                write!(f, "process {pid} has ended; it was started again as pid {new_pid}, which is not read")
            }
            Trouble::Ended { pid, successor: Successor::Nobody, waits } => {
                write!(f, "process {pid} has ended{}", if *waits { " (waiting for a new one)" } else { "" })
            }
            Trouble::ProgramEnded { how, last_line } => {
                let how = how.as_deref().unwrap_or("it cannot be read any more");
                write!(f, "the program has ended: {how}")?;
                last_line.as_ref().map_or(Ok(()), |line| write!(f, ": {line}"))
            }
        }
    }
}
