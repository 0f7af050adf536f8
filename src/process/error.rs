//! What can go wrong when a target is read.

use std::fmt;
use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::cause::ErrorKind;

/// What can go wrong when a target is read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// There is no such process.
    #[error("there is no process with pid {pid}")]
    NoProcess {
        /// The pid asked for.
        pid: u32,
    },
    /// The process ended while it was being read.
    #[error("process {pid} ended while it was being read")]
    Ended {
        /// The pid.
        pid: u32,
    },
    /// The kernel refused.
    #[error("{what}")]
    Permission {
        /// What was tried: "process_vm_readv", "ptrace(PTRACE_SEIZE)", "open /proc/1/maps".
        what: String,
        /// What the kernel answered: EPERM, EACCES or ENOSYS.
        source: OsError,
        /// What was found out about the reason, and the remedy; one per line.
        remedy: Vec<String>,
    },
    /// One of the kernel's own threads.
    #[error("pid {pid} ({name}) is a kernel thread: it has no memory of its own")]
    KernelThread {
        /// The pid.
        pid: u32,
        /// Its short name.
        name: String,
    },
    /// A process that has ended but that its parent has not waited for.
    #[error("process {pid} ({name}) has ended and only waits for its parent to notice (a zombie)")]
    Zombie {
        /// The pid.
        pid: u32,
        /// Its short name.
        name: String,
    },
    /// A thread could not be stopped; it runs on.
    #[error("cannot stop thread {tid}: {problem}")]
    CannotStop {
        /// The thread.
        tid: u32,
        /// Why: it has ended, is traced by a debugger, does not react.
        problem: String,
    },
    /// A read of the process has not returned. It may still do so.
    #[error("{what} of pid {pid} did not return within {} s{hint}", after.as_secs())]
    NoAnswer {
        /// The pid.
        pid: u32,
        /// What is read: "reading address 0x7f0000001000".
        what: String,
        /// How long loiter waited for it.
        after: Duration,
        /// A possible cause, in parentheses, or empty.
        hint: &'static str,
    },
    /// The process was let go before it had been read completely: the time of a stop was over.
    #[error(
        "process {pid} was let go after {} s, before all of it had been read{}",
        after.as_secs_f64(),
        reading.as_ref().map_or_else(String::new, |what| format!(": {what} had not returned")),
    )]
    LetGo {
        /// The pid.
        pid: u32,
        /// How long it was held.
        after: Duration,
        /// The read that took so long, if it was a single one.
        reading: Option<String>,
    },
    /// The caller of the reading no longer waits for it.
    #[error("the reading of pid {pid} was given up")]
    GivenUp {
        /// The pid.
        pid: u32,
    },
    /// An address that is not mapped.
    #[error("cannot read {len} bytes at {address:#x}")]
    Unmapped {
        /// First address.
        address: u64,
        /// Bytes.
        len: usize,
    },
    /// Memory that a core file does not hold.
    #[error("{len} bytes at {address:#x} are not in the core file: {why}")]
    NotInCore {
        /// First address.
        address: u64,
        /// Bytes.
        len: usize,
        /// "it is cut", "they were left out when it was written".
        why: String,
    },
    /// A file (an ELF image, a core file, something in /proc) could not be read.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: OsError,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// An error of the operating system. Its text contains the name of its number: "EMFILE (too many open
/// files)". An error without a number keeps its original text.
#[derive(Debug)]
pub struct OsError(io::Error);

impl OsError {
    /// The number (`EPERM` is 1), if it has one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.raw_os_error()
    }

    /// The standard library's kind of this error.
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind()
    }

    /// As the standard library's error.
    pub fn as_io(&self) -> &io::Error {
        &self.0
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.raw_os_error() {
            Some(errno) => f.write_str(&errno_text(Errno::from_raw(errno))),
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for OsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<io::Error> for OsError {
    fn from(error: io::Error) -> Self {
        OsError(error)
    }
}

impl From<OsError> for io::Error {
    fn from(error: OsError) -> Self {
        error.0
    }
}

/// "EPERM (operation not permitted)".
pub(super) fn errno_text(errno: Errno) -> String {
    let text = errno.desc();
    let lower = text.chars().next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    format!("{errno:?} ({lower}{})", text.get(lower.len()..).unwrap_or_default())
}

impl TargetError {
    /// Something in the file system or the kernel failed.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        TargetError::Io { what: what.into(), source: source.into() }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TargetError::NoProcess { .. } => ErrorKind::NotFound,
            TargetError::Ended { .. } | TargetError::Zombie { .. } => ErrorKind::Gone,
            TargetError::Permission { .. } => ErrorKind::Permission,
            TargetError::KernelThread { .. } => ErrorKind::NoRuntime,
            TargetError::CannotStop { .. } => ErrorKind::CannotStop,
            TargetError::NoAnswer { .. } | TargetError::LetGo { .. } => ErrorKind::NoAnswer,
            TargetError::GivenUp { .. } => ErrorKind::GivenUp,
            TargetError::Unmapped { .. } | TargetError::NotInCore { .. } | TargetError::Malformed { .. } => {
                ErrorKind::Corrupt
            }
            TargetError::Io { source, .. } => ErrorKind::of_io(source.as_io()),
        }
    }

    /// Whether the process has ended, or never existed: it can never be read again.
    pub fn is_gone(&self) -> bool {
        matches!(self, TargetError::NoProcess { .. } | TargetError::Ended { .. } | TargetError::Zombie { .. })
    }

    /// Whether the process did not answer in time, or had to be let go before it had been read. The next
    /// reading may succeed.
    pub fn is_no_answer(&self) -> bool {
        matches!(self, TargetError::NoAnswer { .. } | TargetError::LetGo { .. })
    }

    /// Whether there is no such memory; that says nothing about the rest of the target.
    pub fn is_absent(&self) -> bool {
        matches!(self, TargetError::Unmapped { .. } | TargetError::NotInCore { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_has_name_and_text() {
        assert_eq!(errno_text(Errno::EPERM), "EPERM (operation not permitted)");
        let numbered = OsError::from(io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(
            (numbered.to_string().as_str(), numbered.raw_os_error()),
            ("EMFILE (too many open files)", Some(24))
        );
        let unnumbered = OsError::from(io::Error::other("its file system hangs"));
        assert_eq!(
            (unnumbered.to_string().as_str(), unnumbered.raw_os_error()),
            ("its file system hangs", None)
        );
    }
}
