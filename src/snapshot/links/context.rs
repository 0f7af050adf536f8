//! Contexts: what cancels a group of tasks.

use super::timer::TimerState;
use crate::code::StrId;
use crate::snapshot::ids::ObjectId;

/// A context, such as Go's `context.Context`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The channel that is closed when it is cancelled, where a task waits for it.
    pub object: Option<ObjectId>,
    /// Its address in the target.
    pub address: u64,
    /// The name of its type: "context.timerCtx". None if unknown.
    pub type_name: Option<StrId>,
    /// When it is cancelled by itself; [`TimerState::Unknown`] for a type that may have a deadline which is not
    /// known.
    pub deadline: TimerState,
    /// It is cancelled already. None if unknown, and for a type that cannot be.
    pub cancelled: Option<bool>,
    /// Its parent, a row of [`Links::contexts`](super::Links::contexts). None for a root and where it is not known.
    pub parent: Option<u32>,
    /// It has no parent: it is never cancelled from above.
    pub is_root: bool,
}
