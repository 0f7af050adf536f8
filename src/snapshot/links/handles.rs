//! Who can still use a channel.

use crate::snapshot::ids::ObjectId;

/// What a channel says of the handles to it, in runtimes that count them. A task that holds one need not be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handles {
    /// The channel.
    pub object: ObjectId,
    /// Handles that can send on it. None is left if it is 0.
    pub senders: u64,
    /// For channels without a limit, which have no [`Channel`](crate::snapshot::Channel): the elements in it.
    pub queued: Option<u64>,
}
