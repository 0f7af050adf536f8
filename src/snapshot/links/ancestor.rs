//! The tasks that a task descends from, as they were when they started the next one.

use crate::code::{LocationId, StackId};

/// A task that started another one, or that started its starter. It may have ended since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestor {
    /// The descendant: a row of [`Snapshot::tasks`](crate::snapshot::Snapshot::tasks).
    pub task: u32,
    /// 1 for the task that started the descendant, 2 for the one that started that task, and so on.
    pub generation: u32,
    /// Its id. None if unknown.
    pub id: Option<u64>,
    /// Its stack when it started the next one, cut where the runtime cut it. Each location has one frame. None if
    /// unknown.
    pub stack: Option<StackId>,
    /// Where it was started itself. None if unknown, and for the first task of a program.
    pub creator: Option<LocationId>,
}
