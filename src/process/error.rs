//! What can go wrong when a target is read.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use super::permission::errno_text;

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
    #[error("{what}: {errno}")]
    Permission {
        /// What was tried: "process_vm_readv", "ptrace(PTRACE_SEIZE)", "open /proc/1/maps".
        what: String,
        /// Name and text of the errno.
        errno: String,
        /// What was found out about the reason, and the remedy; a line each.
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
    /// A process that has ended but has not been waited for by its parent.
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
    /// A read of the process has not come back. It may still do so.
    #[error("{what} of pid {pid} did not return within {} s{hint}", after.as_secs())]
    NoAnswer {
        /// The pid.
        pid: u32,
        /// What is read: "reading address 0x7f0000001000".
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// What it may be, in parentheses, or empty.
        hint: &'static str,
    },
    /// The process was let go before it had been read: the time of a stop was over.
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
    /// Whoever wanted the reading no longer waits for it.
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
    #[error("{what}: {}", in_words(source))]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
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

/// "EMFILE (too many open files)"; an error without a number as it is.
fn in_words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| errno_text(Errno::from_raw(errno)))
}

impl TargetError {
    /// The process has ended, or there is none: it can never be read again.
    pub fn is_gone(&self) -> bool {
        matches!(self, TargetError::NoProcess { .. } | TargetError::Ended { .. } | TargetError::Zombie { .. })
    }

    /// The process did not answer in time, or had to be let go before it had been read. The next reading
    /// may succeed.
    pub fn is_no_answer(&self) -> bool {
        matches!(self, TargetError::NoAnswer { .. } | TargetError::LetGo { .. })
    }

    /// There is no such memory, which says nothing about the rest of the target.
    pub fn is_absent(&self) -> bool {
        matches!(self, TargetError::Unmapped { .. } | TargetError::NotInCore { .. })
    }
}
