//! The runtimes that schedule tasks inside a target: Go, Tokio, and task registries that a program exports.
//!
//! [`snapshot`] finds and reads all of them once. [`Readable`] keeps what was found for the next reading.
//! [`ReadOptions`] says what may be stopped. A reader of a runtime implements [`Attached`].

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::process::{Target, TargetError, UnreadableImage};
use crate::snapshot::{RuntimeInfo, SnapshotBuilder};
use crate::{Error, Result};

mod executors;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
pub(crate) mod go;
mod images;
#[cfg(feature = "cli")]
pub(crate) mod libtest;
mod native;
mod reading;
#[cfg_attr(not(feature = "test-support"), allow(unreachable_pub))]
pub(crate) mod registry;
mod sampling;
mod threads;
mod tokio;

pub use go::GoError;
pub use registry::RegistryError;

pub use crate::symbols::pclntab::PclntabError;

pub(crate) use images::Images;
pub use native::NativeStacks;
pub use reading::{Readable, snapshot};
pub use sampling::{Attribute, Claim, Owner};

/// How a target is to be read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// What may be stopped.
    pub pause: Pause,
    /// If everything is stopped, the target is let go after this long, and the reading fails.
    pub freeze_limit: Duration,
    /// Worker threads for reading; all cores by default.
    pub threads: NonZeroUsize,
    /// Frames kept of one stack; deeper ones are [`crate::snapshot::StackStatus::Truncated`].
    pub max_depth: usize,
    /// CPU time that the search for holders of locks may take in one reading. A reading continues where the
    /// one before had to end. Zero: they are not looked for.
    pub holders: Duration,
    /// Time for what leads from waiting tasks to their causes: descriptors, timers, contexts and system calls
    /// ([`crate::snapshot::Links`]). What was left out is said there. Zero: nothing is looked for.
    pub links: Duration,
    /// CPU time for the search for those who are going to do what others wait for
    /// ([`crate::snapshot::Actor`]). Zero: they are not looked for.
    pub actors: Duration,
    /// The tasks that tasks descend from, where the runtime keeps them ([`crate::snapshot::Ancestor`]).
    pub ancestors: bool,
    /// Descriptors of the target at whose other ends others wait: who has them is looked for, too, if `actors` is not
    /// zero.
    pub ends: Vec<u32>,
    /// The file with the debug information of the executable, where debuggers would not look for it.
    pub debug_file: Option<PathBuf>,
    /// The folder in which what was found out of debug information is kept by build id, for the next program that reads the
    /// same build. It is made if it is not there, private; other users must not be able to write it. It becomes no larger than 256
    /// MiB. None: nothing is kept, and nothing that was kept is used.
    pub cache: Option<PathBuf>,
    /// The target will be read again: what the next reading need not read anew is kept.
    pub repeated: bool,
    /// If it is set from outside, the reading ends soon.
    pub stop: Option<Arc<AtomicBool>>,
}

impl ReadOptions {
    /// How long everything is stopped at most by default.
    pub const FREEZE_LIMIT: Duration = Duration::from_secs(5);

    /// For a command that reads once and ends.
    #[must_use]
    pub fn once(self) -> Self {
        ReadOptions { holders: ONCE * SLOWNESS, links: ONCE, repeated: false, ..self }
    }

    /// For following waits to their causes, through several processes that are read twice.
    #[must_use]
    pub fn causes(self) -> Self {
        let search = CAUSES * SLOWNESS;
        ReadOptions { holders: search, links: CAUSES, actors: search, repeated: true, ..self }
    }

    /// The same, and the search for those who are going to do what others wait for gets as much time as in a command
    /// that reads once.
    #[must_use]
    pub fn acting(self) -> Self {
        ReadOptions { actors: ONCE * SLOWNESS, ..self }
    }

    /// For readings every `pace`: the search for holders gets a tenth of that.
    #[must_use]
    pub fn paced(self, pace: Duration) -> Self {
        let share = (pace / 10).clamp(LEAST, ONCE);
        ReadOptions { holders: share * SLOWNESS, links: share, repeated: true, ..self }
    }
}

/// CPU time for the search for holders in a command that reads once, and the minimum: with less, the search
/// would not progress.
const ONCE: Duration = Duration::from_millis(300);
const LEAST: Duration = Duration::from_millis(5);
/// The same for each process of which the causes of waits are asked.
const CAUSES: Duration = Duration::from_secs(1);
/// A build without optimisation is this many times slower at running code ahead.
const SLOWNESS: u32 = if cfg!(debug_assertions) { 20 } else { 1 };

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            pause: Pause::RunningThreads,
            freeze_limit: ReadOptions::FREEZE_LIMIT,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_depth: 100_000,
            holders: Duration::from_secs(10),
            links: Duration::from_secs(10),
            actors: Duration::ZERO,
            ancestors: false,
            ends: Vec::new(),
            debug_file: None,
            cache: None,
            repeated: true,
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
    /// What identifies it, with the current figures of the scheduler and the heap.
    fn info(&self, target: &dyn Target) -> Result<RuntimeInfo>;

    /// The current number of tasks, cheaply: an estimate for a list of processes. It includes the runtime's
    /// own tasks if they cannot be distinguished cheaply.
    fn count_tasks(&self, target: &dyn Target) -> Result<u64>;

    /// Does what takes long and needs no stopped target, before all of it is stopped for [`Attached::read`].
    ///
    /// # Errors
    /// If the target cannot be read.
    fn prepare(&self, _target: &dyn Target, _options: &ReadOptions) -> Result<()> {
        Ok(())
    }

    /// Reads every task into `into`, as the tasks of runtime number `runtime` of its header.
    fn read(
        &self,
        target: &dyn Target,
        options: &ReadOptions,
        runtime: u8,
        into: &mut SnapshotBuilder,
    ) -> Result<()>;

    /// What says whose the moments of threads are, as samples of runtime number `runtime`. None if this runtime
    /// cannot say.
    ///
    /// # Errors
    /// If the target cannot be read.
    fn attribution<'a>(
        &'a self,
        _target: &'a dyn Target,
        _runtime: u8,
    ) -> Result<Option<Box<dyn Attribute + 'a>>> {
        Ok(None)
    }
}

/// What [`attach`] found in a target.
#[derive(Default)]
pub struct FoundRuntimes {
    /// Every runtime that can be read.
    pub runtimes: Vec<Box<dyn Attached>>,
    /// Runtimes that are present but cannot be read. One does not hide the others.
    pub problems: Vec<Error>,
    /// What else was examined and left out, and why; one sentence each.
    pub left_out: Vec<String>,
    /// What is present but has never been used; one sentence each. Worth reporting only if there is nothing else.
    pub unused: Vec<String>,
    /// What the origin of the tasks should say besides; one sentence each.
    pub notes: Vec<String>,
    /// A task registry lists the tasks of Tokio.
    exports_tokio: bool,
}

impl FoundRuntimes {
    /// The runtimes or, if none can be read, the first one's problem.
    ///
    /// # Errors
    /// That problem.
    pub fn into_readable(mut self) -> Result<Vec<Box<dyn Attached>>> {
        if self.runtimes.is_empty() && !self.problems.is_empty() {
            return Err(self.problems.remove(0));
        }
        Ok(self.runtimes)
    }

    /// Records images that could not be read: one of them may be a Go executable.
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
            self.left_out.push(format!("{path} was not examined: {why}"));
        }
        if more > 0 {
            self.left_out.push(format!("{more} more files were not examined"));
        }
    }

    /// Adds a runtime that can be read.
    fn add(&mut self, runtime: impl Attached + 'static) {
        self.runtimes.push(Box::new(runtime));
    }

    /// Records a problem with one runtime. Only an unreadable target ends the search.
    fn problem(&mut self, problem: Error) -> Result<()> {
        match problem {
            Error::Target(error) => Err(error.into()),
            problem => {
                self.problems.push(problem);
                Ok(())
            }
        }
    }
}

/// Looks for one kind of runtime in a target. The only error is that the target cannot be read.
type Probe = fn(&dyn Target, &mut FoundRuntimes) -> Result<()>;

/// All known kinds of runtimes.
const PROBES: &[Probe] = &[go::probe, registry::probe, tokio::probe];

/// Every runtime in `target`.
///
/// # Errors
/// If the target cannot be read.
pub fn attach(target: &dyn Target) -> Result<FoundRuntimes> {
    let mut found = FoundRuntimes::default();
    for probe in PROBES {
        probe(target, &mut found)?;
    }
    found.keep_unreadable(target.unreadable_images());
    Ok(found)
}

/// What was looked for in a target without any runtime, and not found.
fn absences(target: &dyn Target) -> Vec<String> {
    let registry = "no image has the note of a task registry (loiter-registry)".to_owned();
    let mut absences = vec![registry, tokio::absence(target)];
    absences.extend(executors::not_read(target));
    absences
}
