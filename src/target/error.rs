//! What can go wrong when a target is read.

use std::io;

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
    /// There is no such memory, which says nothing about the rest of the target.
    pub fn is_absent(&self) -> bool {
        matches!(self, TargetError::Unmapped { .. } | TargetError::NotInCore { .. })
    }
}
