//! Live processes and core files: targets that a runtime is read from.

use std::path::Path;

use super::{OpenOptions, Opened, Result, SourceError};
use crate::process::{self, Target};
use crate::runtimes;
use crate::snapshot::RuntimeInfo;

/// Opens a live process.
pub(super) fn open(pid: u32) -> Result<Box<dyn Target>> {
    process::open_pid(pid).map_err(|error| SourceError::Target { what: describe(pid), source: error.into() })
}

/// Reads a live process.
pub(super) fn read(pid: u32, options: &OpenOptions) -> Result<Opened> {
    let target = open(pid)?;
    let snapshot = runtimes::snapshot(target.as_ref(), &options.read)
        .map_err(|source| SourceError::Target { what: describe(pid), source })?;
    Ok(Opened { snapshot, saved: false })
}

/// Opens the core file at `path`; `shown` is its name for the user.
pub(super) fn open_core(path: &Path, shown: &str, options: &OpenOptions) -> Result<Box<dyn Target>> {
    process::open_core(path, options.exe.as_deref()).map_err(|error| of_core(shown, error.into()))
}

/// Reads a core file.
pub(super) fn read_core(target: &dyn Target, shown: &str, options: &OpenOptions) -> Result<Opened> {
    let snapshot = runtimes::snapshot(target, &options.read).map_err(|error| of_core(shown, error))?;
    Ok(Opened { snapshot, saved: true })
}

fn of_core(shown: &str, source: crate::Error) -> SourceError {
    SourceError::Target { what: format!("core file {shown}"), source }
}

/// "pid 4242 (api-server, user www)", as far as it is known.
pub fn describe(pid: u32) -> String {
    let process = process::candidate(pid).ok().flatten();
    process.map_or_else(
        || format!("pid {pid}"),
        |process| format!("pid {pid} ({}, user {})", process.name, process.user()),
    )
}

/// The runtimes in a target, each with its number of tasks; empty if there is nothing to read. The tasks are
/// not read.
///
/// # Errors
/// Any error of reading the target.
pub fn inspect(target: &dyn Target) -> Result<Vec<(RuntimeInfo, u64)>, crate::Error> {
    process::supervised(target, None, |target| {
        let attached = runtimes::attach(target)?.into_readable()?;
        attached.iter().map(|runtime| Ok((runtime.info(target)?, runtime.count_tasks(target)?))).collect()
    })
}
