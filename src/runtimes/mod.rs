//! What schedules tasks inside a target, one folder a runtime behind one trait.

use std::num::NonZeroUsize;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::snapshot::{Header, ReadMode, RuntimeInfo, Snapshot, SnapshotBuilder};
use crate::target::Target;
use crate::{Error, Result};

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
            max_depth: 100_000,
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

/// Everything in `target` that schedules tasks.
///
/// # Errors
/// When the target cannot be read, or a runtime is there that cannot be made sense of.
pub fn attach(target: &dyn Target) -> Result<Vec<Box<dyn Attached>>> {
    let go = go::attach(target)?;
    Ok(go.into_iter().map(|go| Box::new(go) as Box<dyn Attached>).collect())
}

/// Takes a snapshot of everything that schedules tasks in `target`.
///
/// # Errors
/// Whatever reading the target gives, and [`Error::NoRuntime`] where there is nothing to read.
pub fn snapshot(target: &dyn Target, options: &ReadOptions) -> Result<Snapshot> {
    let mut attached = attach(target)?;
    if attached.is_empty() {
        // Nothing is found either in a process that is just giving its memory back: when it is looked
        // at again, it has ended.
        target.mappings()?;
        attached = attach(target)?;
    }
    if attached.is_empty() {
        target.mappings()?;
        let info = target.info();
        return Err(Error::NoRuntime {
            name: info.name.clone(),
            pid: info.pid,
            looked_at: vec!["no image of the process has a Go line table (pclntab)".to_owned()],
        });
    }
    let mut builder = SnapshotBuilder::new();
    builder.header = header(target);
    read_tasks(target, options, &attached, &mut builder)?;
    builder.header.process = target.figures();
    Ok(builder.finish())
}

fn header(target: &dyn Target) -> Header {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Header {
        loiter: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at_ns: since_epoch.as_nanos() as u64,
        monotonic_ns: target.monotonic_ns().unwrap_or(0),
        target: target.info().clone(),
        ..Header::default()
    }
}

/// Reads all tasks, with the target stopped if that was asked for.
fn read_tasks(
    target: &dyn Target,
    options: &ReadOptions,
    attached: &[Box<dyn Attached>],
    into: &mut SnapshotBuilder,
) -> Result<()> {
    into.header.reading.mode = match options.pause {
        _ if target.is_static() => ReadMode::Core,
        Pause::RunningThreads => ReadMode::Live,
        Pause::Nothing => ReadMode::NoPause,
        Pause::Everything => ReadMode::Frozen,
    };
    let frozen = (options.pause == Pause::Everything).then(|| target.freeze()).transpose()?;
    let begin = Instant::now();
    let read = attached.iter().enumerate().try_for_each(|(number, runtime)| {
        let info = runtime.info(target)?;
        into.header.runtimes.push(info);
        runtime.read(target, options, u8::try_from(number).unwrap_or(u8::MAX), into)
    });
    into.header.reading.duration_ns = begin.elapsed().as_nanos() as u64;
    if let Some(frozen) = frozen {
        into.header.reading.pause_ns = frozen.release().as_nanos() as u64;
    }
    read
}
