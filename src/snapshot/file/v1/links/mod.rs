//! The tables of [`Links`]: each is there only if it has rows.

mod codes;
mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;

/// Flags of a descriptor.
mod descriptor_flag {
    pub(super) const READ: u8 = 1 << 0;
    pub(super) const WRITE: u8 = 1 << 1;
    pub(super) const NAME: u8 = 1 << 2;
    pub(super) const FILE: u8 = 1 << 3;
    pub(super) const EXPIRES: u8 = 1 << 4;
}

/// Flags of a socket: figures that are known.
mod socket_flag {
    pub(super) const IDLE_RECEIVE: u8 = 1 << 0;
    pub(super) const IDLE_SEND: u8 = 1 << 1;
    pub(super) const RECEIVED: u8 = 1 << 2;
    pub(super) const SENT: u8 = 1 << 3;
    pub(super) const PEER_INODE: u8 = 1 << 4;
    pub(super) const NAMESPACE: u8 = 1 << 5;
    pub(super) const PEER_FULL: u8 = 1 << 6;
}

/// Flags of a search for actors.
mod searched_flag {
    pub(super) const ALL_TASKS: u8 = 1 << 0;
    pub(super) const OTHER_ROOTS: u8 = 1 << 1;
    pub(super) const GLOBAL: u8 = 1 << 2;
}

/// Flags of the handles of a channel.
mod handles_flag {
    pub(super) const QUEUED: u8 = 1 << 0;
}

/// Flags of a context.
mod context_flag {
    pub(super) const ROOT: u8 = 1 << 0;
    pub(super) const CANCELLED: u8 = 1 << 1;
    pub(super) const NOT_CANCELLED: u8 = 1 << 2;
}
