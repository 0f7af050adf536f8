//! One reading of a target: all of its runtimes, into one snapshot.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::threads::Threads;
use super::{Attached, Attribute, Pause, ReadOptions, absences, attach, images};
use crate::cause::full_text;
use crate::process::{Target, supervised};
use crate::snapshot::{Header, ReadMode, RuntimeInfo, Snapshot, SnapshotBuilder};
use crate::{Error, Result};

/// Takes a snapshot of all tasks in `target`.
///
/// # Errors
/// Any error of reading the target, and [`Error::NoRuntime`] if there is nothing to read.
pub fn snapshot(target: &dyn Target, options: &ReadOptions) -> Result<Snapshot> {
    Readable::find(target)?.read(target, &ReadOptions { repeated: false, ..options.clone() })
}

/// The readable runtimes of a target, kept for repeated readings: finding them is most of the work of reading
/// a small program. A target that does not answer is given up; see [`supervised`].
#[derive(Clone)]
pub struct Readable {
    inner: Arc<Inner>,
}

struct Inner {
    runtimes: Vec<Box<dyn Attached>>,
    /// What the user should know about what cannot be read.
    warnings: Vec<String>,
    /// What the origin of the tasks should say besides.
    notes: Vec<String>,
    /// When they were found, on the target's CLOCK_MONOTONIC.
    found_at_ns: Option<u64>,
}

impl Readable {
    /// Finds the runtimes of a target.
    ///
    /// # Errors
    /// Any error of reading the target, and [`Error::NoRuntime`] if there is nothing to read.
    pub fn find(target: &dyn Target) -> Result<Readable> {
        let inner = supervised(target, None, Inner::find)?;
        Ok(Readable { inner: Arc::new(inner) })
    }

    /// The threads of a target as its tasks, as far as the kernel tells what they do: for a process without a runtime
    /// that loiter knows. Nothing is stopped, and there are no stacks.
    pub fn of_threads(target: &dyn Target) -> Readable {
        let runtimes: Vec<Box<dyn Attached>> = vec![Box::new(Threads)];
        let inner =
            Inner { runtimes, warnings: Vec::new(), notes: Vec::new(), found_at_ns: target.monotonic_ns() };
        Readable { inner: Arc::new(inner) }
    }

    /// Reads all tasks of the target in which the runtimes were found.
    ///
    /// # Errors
    /// Any error of reading the target.
    pub fn read(&self, target: &dyn Target, options: &ReadOptions) -> Result<Snapshot> {
        let (inner, own) = (Arc::clone(&self.inner), options.clone());
        supervised(target, options.stop.as_deref(), move |target| inner.read(target, &own))
    }

    /// What identifies each runtime, by its number. One that cannot be read now has an error.
    pub(crate) fn infos(&self, target: &dyn Target) -> Vec<Result<RuntimeInfo>> {
        self.inner.runtimes.iter().map(|runtime| runtime.info(target)).collect()
    }

    /// Does what takes long, before the target is sampled. What fails now fails again where it is needed.
    pub(crate) fn prepare(&self, target: &dyn Target, options: &ReadOptions) {
        let runtimes = self.inner.runtimes.iter();
        let _ = runtimes.map(|runtime| runtime.prepare(target, options)).all(|done| done.is_ok());
    }

    /// What says whose the moments of threads are: one for each runtime that can say it. The runtimes are numbered from
    /// `first` on.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub(crate) fn attributions<'a>(
        &'a self,
        target: &'a dyn Target,
        first: u8,
    ) -> Result<Vec<Box<dyn Attribute + 'a>>> {
        let numbered = self.inner.runtimes.iter().zip(first..=u8::MAX);
        numbered.filter_map(|(runtime, number)| runtime.attribution(target, number).transpose()).collect()
    }
}

impl Inner {
    fn find(target: &dyn Target) -> Result<Inner> {
        let mut found = attach(target)?;
        if found.runtimes.is_empty() && found.problems.is_empty() {
            // A process that is releasing its memory also has no runtime: at the next check, it has ended.
            target.mappings()?;
            found = attach(target)?;
        }
        let warnings: Vec<String> = found
            .problems
            .iter()
            .map(|problem| full_text(problem))
            .chain(found.left_out.iter().cloned())
            .collect();
        let (unused, notes) = (found.unused.clone(), found.notes.clone());
        let runtimes = found.into_readable()?;
        if runtimes.is_empty() {
            target.mappings()?;
            let info = target.info();
            let mut looked_at = Vec::new();
            if let Some(machine) = target.foreign_machine() {
                looked_at.push(format!(
                    "the program is built for {machine}: loiter reads programs for x86-64 (64-bit)"
                ));
            }
            looked_at.push("no image of the process has a Go line table (pclntab)".to_owned());
            if warnings.is_empty() && unused.is_empty() {
                looked_at.extend(absences(target));
            }
            looked_at.extend(warnings);
            looked_at.extend(unused);
            if target.core_extent().is_some_and(|extent| extent.missing > 0) {
                looked_at.push("the core file is cut: the missing part may contain one".to_owned());
            }
            return Err(Error::NoRuntime { name: info.name.clone(), pid: info.pid.unwrap_or(0), looked_at });
        }
        Ok(Inner { runtimes, warnings, notes, found_at_ns: target.monotonic_ns() })
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
        if let Some(first) = builder.header.runtimes.first_mut() {
            first.provenance.extend(self.notes.iter().cloned());
        }
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

/// Reads all tasks, with the target stopped if requested.
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
    if options.pause == Pause::Everything {
        // What fails here fails again, and is said then.
        let _ = attached.iter().try_for_each(|runtime| runtime.prepare(target, options));
    }
    let freeze = || target.freeze(options.freeze_limit);
    let frozen = (options.pause == Pause::Everything).then(freeze).transpose()?;
    let begin = Instant::now();
    let read = read_all(target, options, attached, into);
    into.header.reading.duration_ns = begin.elapsed().as_nanos() as u64;
    if let Some(frozen) = frozen {
        // If it was let go early, that explains all other failures.
        into.header.reading.pause_ns = frozen.release()?.as_nanos() as u64;
    }
    read
}

/// Reads the tasks of one runtime after another. A runtime that cannot be read becomes a warning, as long as
/// another one can be read: everything that it had added by then is removed.
fn read_all(
    target: &dyn Target,
    options: &ReadOptions,
    attached: &[Box<dyn Attached>],
    into: &mut SnapshotBuilder,
) -> Result<()> {
    let mut failed = None;
    for runtime in attached {
        let Ok(number) = u8::try_from(into.header.runtimes.len()) else { break };
        let before = into.checkpoint();
        let read = runtime.info(target).and_then(|info| {
            into.header.runtimes.push(info);
            runtime.read(target, options, number, into)
        });
        match read {
            Ok(()) => {}
            Err(Error::Target(error)) => return Err(error.into()),
            Err(error) => {
                into.roll_back(before);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::{Frozen, HoldTime, Image, Mapping, Memory, Range, TargetError, WithRegisters};
    use crate::snapshot::{
        Hold, HoldKind, ObjectKind, ProcessFigures, RuntimeInfo, TargetInfo, Task, Wait, WaitOp,
    };

    /// A target without any memory.
    struct Empty(TargetInfo);

    impl Memory for Empty {
        fn read(&self, address: u64, buf: &mut [u8]) -> crate::process::Result<()> {
            Err(TargetError::Unmapped { address, len: buf.len() })
        }

        fn read_many(&self, _: &[Range], _: &mut [u8], ok: &mut [bool]) -> crate::process::Result<()> {
            ok.fill(false);
            Ok(())
        }
    }

    impl Target for Empty {
        fn info(&self) -> &TargetInfo {
            &self.0
        }

        fn mappings(&self) -> crate::process::Result<Vec<Mapping>> {
            Ok(Vec::new())
        }

        fn images(&self) -> crate::process::Result<Vec<Image>> {
            Ok(Vec::new())
        }

        fn threads(&self) -> crate::process::Result<Vec<u32>> {
            Ok(Vec::new())
        }

        fn thread_from_inside(&self, _: u32) -> Option<u32> {
            None
        }

        fn with_stopped_thread(&self, _: u32, _: &mut WithRegisters<'_>) -> crate::process::Result<HoldTime> {
            Ok(HoldTime::ZERO)
        }

        fn freeze(&self, _: Duration) -> crate::process::Result<Frozen> {
            Ok(Frozen::new(|| Ok(HoldTime::ZERO)))
        }

        fn is_static(&self) -> bool {
            true
        }

        fn monotonic_ns(&self) -> Option<u64> {
            None
        }

        fn figures(&self) -> ProcessFigures {
            ProcessFigures::default()
        }
    }

    /// A runtime with one task, which fails after it has added everything.
    struct Made {
        name: &'static str,
        fails: bool,
    }

    impl Attached for Made {
        fn info(&self, _: &dyn Target) -> Result<RuntimeInfo> {
            Ok(RuntimeInfo { name: self.name.to_owned(), ..RuntimeInfo::default() })
        }

        fn count_tasks(&self, _: &dyn Target) -> Result<u64> {
            Ok(1)
        }

        fn read(
            &self,
            _: &dyn Target,
            _: &ReadOptions,
            runtime: u8,
            into: &mut SnapshotBuilder,
        ) -> Result<()> {
            into.header.warnings.push(format!("{} says so", self.name));
            into.header.reading.torn += 1;
            let object = into.object(ObjectKind::Mutex, 0x10, |_| None);
            let waits = into.waits([Wait { op: WaitOp::Lock, object }]);
            let holds = into.holds([Hold { object, how: HoldKind::Exclusive, location: None }]);
            into.task(Task { runtime, id: Some(1), waits, holds, ..Task::default() });
            let (runtime, source) = (self.name.to_owned(), "gave up".into());
            if self.fails { Err(Error::Runtime { runtime, source }) } else { Ok(()) }
        }
    }

    fn read(runtimes: &[(&'static str, bool)]) -> Result<Snapshot> {
        let mut builder = SnapshotBuilder::new();
        let made = |&(name, fails)| Box::new(Made { name, fails }) as Box<dyn Attached>;
        let all: Vec<_> = runtimes.iter().map(made).collect();
        read_all(&Empty(TargetInfo::default()), &ReadOptions::default(), &all, &mut builder)?;
        Ok(builder.finish())
    }

    #[test]
    fn a_runtime_that_fails_leaves_nothing_behind() {
        let expected = read(&[("first", false), ("last", false)]).unwrap();
        let mut found = read(&[("first", false), ("broken", true), ("last", false)]).unwrap();
        let warning = found.header.warnings.remove(1);
        assert!(warning.starts_with("broken") && warning.ends_with("gave up"), "{warning}");
        assert_eq!(found, expected);
        assert!(read(&[("broken", true)]).is_err(), "there is no other one");
    }
}
