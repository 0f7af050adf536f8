//! What a target's tasks did over a while: samples with weights, each with its time, thread, task and stack.
//!
//! A [`Recording`] is plain data, like a [`Snapshot`](crate::snapshot::Snapshot). It does not depend on how it was
//! made or how it will be shown. [`mod@file`] saves and loads it; a [`RecordingBuilder`] makes one.

mod builder;
pub mod file;
mod header;
mod sample;
mod validate;

pub(crate) use builder::MAX_STACKED;
pub use builder::RecordingBuilder;
pub use header::*;
pub use sample::*;

use crate::code::CodeTables;

/// What a target's tasks did over a while.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Recording {
    /// What was recorded, how, what it covers, what was lost and what it cost.
    pub header: RecordingHeader,
    /// The code tables.
    pub code: CodeTables,
    /// Every thread that a sample was taken of, by thread id. A thread id that was used twice has two rows.
    pub threads: Vec<SampledThread>,
    /// Every task that a sample is of. One row may stand for many tasks: see [`SampledTask::id`].
    pub tasks: Vec<SampledTask>,
    /// The samples, in the order of their times.
    pub samples: Vec<Sample>,
}
