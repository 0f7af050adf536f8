//! Who has what open on one machine, and the other ends of sockets.

use super::descriptor::{Access, FileId};

/// Who has what open, as far as it was looked for.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Ends {
    /// Ascending by file.
    pub open: Vec<OpenEnd>,
    /// Processes whose descriptors may not be read, as loiter's user: one of them may have an end.
    pub unreadable: Vec<u32>,
    /// Everything was looked at.
    pub is_whole: bool,
}

/// A descriptor of some process that has something open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenEnd {
    /// What is open.
    pub file: FileId,
    /// The process.
    pub pid: u32,
    /// Its short name.
    pub process: String,
    /// The number of its descriptor.
    pub fd: u32,
    /// What it was opened for.
    pub access: Access,
}

/// The other end of a socket or a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The socket or the terminal.
    pub of: FileId,
    /// Its other end.
    pub to: OtherEnd,
}

/// The other end of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherEnd {
    /// Another socket on this machine, or the master of a terminal.
    Socket {
        /// The socket. [`Ends`] has who holds it.
        file: FileId,
        /// Bytes that were received there and not read.
        unread: Option<u32>,
    },
    /// The connection waits in the queue of this listening socket until its process accepts it.
    NotAccepted {
        /// The listening socket.
        listener: FileId,
    },
    /// On another machine, or behind address translation.
    Elsewhere,
    /// The kernel.
    Kernel,
    /// Not known, and why, a clause.
    Unknown(String),
}

impl Ends {
    /// Who has this open.
    pub fn of(&self, file: FileId) -> &[OpenEnd] {
        let start = self.open.partition_point(|end| end.file < file);
        let rest = self.open.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|end| end.file == file)).unwrap_or_default()
    }
}
