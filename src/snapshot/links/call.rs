//! System calls.

use crate::code::StrId;
use crate::snapshot::task::Age;

/// A system call that a task is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCall {
    /// The task, as a row of [`Snapshot::tasks`](crate::snapshot::Snapshot::tasks).
    pub task: u32,
    /// Its name: "read"; "system call 999" for an unknown number.
    pub name: StrId,
    /// Its number on x86-64. [`SystemCall::FOREIGN`] in a program for another machine.
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// The kernel function in which the thread sleeps ("anon_pipe_read"). None if it may not be read.
    pub kernel_function: Option<StrId>,
    /// How long the thread has been in it.
    pub age: Age,
}

impl SystemCall {
    /// No system call of x86-64: the numbers of the program are those of another machine.
    pub const FOREIGN: u32 = u32::MAX;
}
