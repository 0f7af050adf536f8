//! Futures that a task polls together.

use crate::code::{StackId, StrId};
use crate::snapshot::ids::Span;
use crate::snapshot::task::StackStatus;
use crate::snapshot::wait_class::WaitClass;

/// One of several futures that a task polls together, as in `select!` and `join!`. Its stack goes on, inwards, from the
/// innermost frame of the task, or of the branch that it is within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// The task: a row of [`Snapshot::tasks`](crate::snapshot::Snapshot::tasks).
    pub task: u32,
    /// Its number among the branches of the task, from 0: each comes before those within it.
    pub number: u32,
    /// 1 for the task's own. Else it is within the nearest branch before it whose depth is less.
    pub depth: u32,
    /// Which one it is of those that are polled together, from 1. Those that are missing were not read: too many.
    pub nth: u64,
    /// How many are polled together.
    pub of: u64,
    /// Its own part of the stack. None if it has no frame of its own.
    pub stack: Option<StackId>,
    /// How far that can be trusted.
    pub stack_status: StackStatus,
    /// Why it waits, in the runtime's words; "done" if it has ended already.
    pub reason: Option<StrId>,
    /// The kind of wait.
    pub wait_class: WaitClass,
    /// What it waits for: a part of [`Task::waits`](crate::snapshot::Task::waits).
    pub waits: Span,
}
