//! What tasks do, and why they wait.

use crate::snapshot::{TaskState, WaitClass};

/// Why tasks wait, or their state where they give no reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// In the runtime's words. Raw from the target.
    pub text: String,
    /// What that is.
    pub doing: Doing,
}

/// What tasks do that have the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// They give no reason: this is their state.
    State(TaskState),
    /// They wait. Of several classes, the plainest.
    Waits(WaitClass),
}
