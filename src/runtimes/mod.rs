//! The runtimes that schedule tasks inside a target: Go, and task registries that a program exports.
//!
//! [`snapshot`] finds and reads all of them once. [`Readable`] keeps what was found for the next reading. [`ReadOptions`]
//! says what may be stopped. A reader of a runtime implements [`Attached`].

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cause::full_text;
use crate::process::{Target, TargetError, UnreadableImage, supervised};
use crate::snapshot::{Header, ReadMode, RuntimeInfo, Snapshot, SnapshotBuilder};
use crate::{Error, Result};

#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
pub(crate) mod go;
mod images;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
pub(crate) mod registry;

pub use go::GoError;
pub use registry::RegistryError;

pub use crate::symbols::pclntab::PclntabError;

/// How a target is to be read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// What may be stopped.
    pub pause: Pause,
    /// The target is let go after so long, and the reading fails, if everything is stopped.
    pub freeze_limit: Duration,
    /// Worker threads for reading; all cores by default.
    pub threads: NonZeroUsize,
    /// Frames kept of one stack; deeper ones are [`crate::snapshot::StackStatus::Truncated`].
    pub max_depth: usize,
    /// CPU time that the search for holders of locks may take in one reading. A reading goes on where the
    /// one before had to end.
    pub holders: Duration,
    /// Set from outside, it ends a reading soon.
    pub stop: Option<Arc<AtomicBool>>,
}

impl ReadOptions {
    /// How long everything is stopped at most, unless told otherwise.
    pub const FREEZE_LIMIT: Duration = Duration::from_secs(5);

    /// For a command that reads once and ends.
    #[must_use]
    pub fn once(self) -> Self {
        ReadOptions { holders: ONCE * SLOWNESS, ..self }
    }

    /// For readings that follow one another every `pace`: the search for holders gets a tenth of that.
    #[must_use]
    pub fn paced(self, pace: Duration) -> Self {
        ReadOptions { holders: (pace / 10).clamp(LEAST, ONCE) * SLOWNESS, ..self }
    }
}

/// CPU time for the search for holders in a command that reads once, and the least of it: with less it
/// would not get on.
const ONCE: Duration = Duration::from_millis(300);
const LEAST: Duration = Duration::from_millis(5);
/// A build without optimisation runs code ahead so many times more slowly.
const SLOWNESS: u32 = if cfg!(debug_assertions) { 20 } else { 1 };

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            pause: Pause::RunningThreads,
            freeze_limit: ReadOptions::FREEZE_LIMIT,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_depth: 100_000,
            holders: Duration::from_secs(10),
            stop: None,
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
pub trait Attached: Send + Sync {
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

/// What [`attach`] found in a target.
#[derive(Default)]
pub struct FoundRuntimes {
    /// Everything that schedules tasks and can be read.
    pub runtimes: Vec<Box<dyn Attached>>,
    /// Runtimes that are there but cannot be made sense of. One does not hide the others.
    pub problems: Vec<Error>,
    /// What else was looked at and left out, and why; a sentence each.
    pub left_out: Vec<String>,
    /// What is there but has never been used; a sentence each. Worth saying only if that is all.
    pub unused: Vec<String>,
}

impl FoundRuntimes {
    /// The runtimes, or why there is none: the first one's problem, where one is there at all.
    ///
    /// # Errors
    /// That problem.
    pub fn into_readable(mut self) -> Result<Vec<Box<dyn Attached>>> {
        if self.runtimes.is_empty() && !self.problems.is_empty() {
            return Err(self.problems.remove(0));
        }
        Ok(self.runtimes)
    }

    /// Keeps what could not be looked at: the executable may well be Go's, so that nothing is known without it.
    fn keep_unreadable(&mut self, images: Vec<UnreadableImage>) {
        const NAMED: usize = 4;
        let (programs, libraries): (Vec<_>, Vec<_>) =
            images.into_iter().partition(|image| image.is_executable);
        for UnreadableImage { path, why, .. } in programs {
            let what = format!("open its executable {path}");
            self.problems.push(TargetError::io(what, std::io::Error::other(why)).into());
        }
        let more = libraries.len().saturating_sub(NAMED);
        for UnreadableImage { path, why, .. } in libraries.into_iter().take(NAMED) {
            self.left_out.push(format!("{path} was not looked at: {why}"));
        }
        if more > 0 {
            self.left_out.push(format!("{more} files more were not looked at, either"));
        }
    }

    /// Keeps what came of looking for one kind of runtime. Only that the target itself cannot be
    /// read ends the search.
    fn keep<T: Attached + 'static>(&mut self, found: Result<Vec<T>>) -> Result<()> {
        match found {
            Ok(all) => self.runtimes.extend(all.into_iter().map(|one| Box::new(one) as Box<dyn Attached>)),
            Err(Error::Target(error)) => return Err(error.into()),
            Err(error) => self.problems.push(error),
        }
        Ok(())
    }
}

/// Everything in `target` that schedules tasks.
///
/// # Errors
/// When the target cannot be read.
pub fn attach(target: &dyn Target) -> Result<FoundRuntimes> {
    let mut found = FoundRuntimes::default();
    let go = go::attach(target)?;
    found.keep(Ok(go.runtimes))?;
    found.problems.extend(go.problems);
    found.left_out.extend(go.left_out);
    let registries = registry::attach(target)?;
    found.keep(Ok(registries.found))?;
    found.problems.extend(registries.problems);
    found.left_out.extend(registries.left_out);
    found.unused.extend(registries.unused);
    found.keep_unreadable(target.unreadable_images());
    Ok(found)
}

/// Takes a snapshot of everything that schedules tasks in `target`.
///
/// # Errors
/// Whatever reading the target gives, and [`Error::NoRuntime`] where there is nothing to read.
pub fn snapshot(target: &dyn Target, options: &ReadOptions) -> Result<Snapshot> {
    Readable::find(target)?.read(target, options)
}

/// The runtimes of a target that can be read, again and again: finding them is most of the work of
/// reading a small program. A target that does not answer is given up; see [`supervised`].
#[derive(Clone)]
pub struct Readable {
    inner: Arc<Inner>,
}

struct Inner {
    runtimes: Vec<Box<dyn Attached>>,
    /// What the user should know of what cannot be read.
    warnings: Vec<String>,
    /// When they were found, on the target's CLOCK_MONOTONIC.
    found_at_ns: Option<u64>,
}

impl Readable {
    /// Finds them.
    ///
    /// # Errors
    /// Whatever reading the target gives, and [`Error::NoRuntime`] where there is nothing to read.
    pub fn find(target: &dyn Target) -> Result<Readable> {
        let inner = supervised(target, None, Inner::find)?;
        Ok(Readable { inner: Arc::new(inner) })
    }

    /// Reads all tasks of the target in which they were found.
    ///
    /// # Errors
    /// Whatever reading the target gives.
    pub fn read(&self, target: &dyn Target, options: &ReadOptions) -> Result<Snapshot> {
        let (inner, own) = (Arc::clone(&self.inner), options.clone());
        supervised(target, options.stop.as_deref(), move |target| inner.read(target, &own))
    }
}

impl Inner {
    fn find(target: &dyn Target) -> Result<Inner> {
        let mut found = attach(target)?;
        if found.runtimes.is_empty() && found.problems.is_empty() {
            // Nothing is found either in a process that is just giving its memory back: when it is
            // looked at again, it has ended.
            target.mappings()?;
            found = attach(target)?;
        }
        let warnings: Vec<String> = found
            .problems
            .iter()
            .map(|problem| full_text(problem))
            .chain(found.left_out.iter().cloned())
            .collect();
        let unused = found.unused.clone();
        let runtimes = found.into_readable()?;
        if runtimes.is_empty() {
            target.mappings()?;
            let info = target.info();
            let mut looked_at = vec!["no image of the process has a Go line table (pclntab)".to_owned()];
            if warnings.is_empty() && unused.is_empty() {
                looked_at.push("none has the note of a task registry (loiter-registry)".to_owned());
            }
            looked_at.extend(warnings);
            looked_at.extend(unused);
            if target.core_extent().is_some_and(|extent| extent.missing > 0) {
                looked_at.push("the core file is cut: what is missing may have held one".to_owned());
            }
            return Err(Error::NoRuntime { name: info.name.clone(), pid: info.pid.unwrap_or(0), looked_at });
        }
        Ok(Inner { runtimes, warnings, found_at_ns: target.monotonic_ns() })
    }

    fn read(&self, target: &dyn Target, options: &ReadOptions) -> Result<Snapshot> {
        let mut builder = SnapshotBuilder::new();
        builder.header = header(target);
        builder.header.warnings.clone_from(&self.warnings);
        if let (Some(now), Some(then)) = (target.monotonic_ns(), self.found_at_ns) {
            let age = &mut builder.header.target.age_ns;
            *age = age.map(|age| age.saturating_add(now.saturating_sub(then)));
        }
        if let Some(extent) = target.core_extent() {
            builder.header.reading.core_bytes = Some(extent.bytes);
            builder.header.reading.core_bytes_missing = extent.missing;
        }
        read_tasks(target, options, &self.runtimes, &mut builder)?;
        images::Images::new(target).note(&mut builder.code);
        let noun = builder.header.runtimes.first().map_or("task", |runtime| &runtime.task_noun);
        let lacks = builder.header.reading.lacks(builder.task_count() as u64, noun);
        builder.header.warnings.extend(lacks);
        builder.header.process = target.figures();
        Ok(builder.finish())
    }
}

fn header(target: &dyn Target) -> Header {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Header {
        loiter: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at_ns: Some(since_epoch.as_nanos() as u64),
        monotonic_ns: target.monotonic_ns(),
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
    let freeze = || target.freeze(options.freeze_limit);
    let frozen = (options.pause == Pause::Everything).then(freeze).transpose()?;
    let begin = Instant::now();
    let read = read_all(target, options, attached, into);
    into.header.reading.duration_ns = begin.elapsed().as_nanos() as u64;
    if let Some(frozen) = frozen {
        // That it was let go early explains whatever else went wrong.
        into.header.reading.pause_ns = frozen.release()?.as_nanos() as u64;
    }
    read
}

/// Reads the tasks of one runtime after another. One that cannot be read is said in a warning, as
/// long as another one can.
fn read_all(
    target: &dyn Target,
    options: &ReadOptions,
    attached: &[Box<dyn Attached>],
    into: &mut SnapshotBuilder,
) -> Result<()> {
    let mut failed = None;
    for runtime in attached {
        let (runtimes, tasks) = (into.header.runtimes.len(), into.task_count());
        let Ok(number) = u8::try_from(runtimes) else { break };
        let read = runtime.info(target).and_then(|info| {
            into.header.runtimes.push(info);
            runtime.read(target, options, number, into)
        });
        match read {
            Ok(()) => {}
            Err(Error::Target(error)) => return Err(error.into()),
            Err(error) => {
                into.header.runtimes.truncate(runtimes);
                into.truncate_tasks(tasks);
                into.header.warnings.push(full_text(&error));
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) if into.header.runtimes.is_empty() => Err(error),
        _ => Ok(()),
    }
}
