//! Live processes and core files: targets that a runtime is read from.

use std::path::Path;

use super::{Opened, ReadArgs};
use crate::cli::error::{CliError, Result};
use crate::process::{self, Target};
use crate::runtimes::{self, Pause, ReadOptions};
use crate::snapshot::RuntimeInfo;

/// Reads a live process.
pub(super) fn read(pid: u32, how: &ReadArgs) -> Result<Opened> {
    let failed = |source| CliError::Target { what: describe(pid), source };
    let target = process::open_pid(pid).map_err(|error| failed(error.into()))?;
    let snapshot = runtimes::snapshot(target.as_ref(), &options(how)).map_err(failed)?;
    Ok(Opened { snapshot, saved: false })
}

/// Reads the core file at `path`, which is `shown` to the user.
pub(super) fn read_core(path: &Path, shown: &str, how: &ReadArgs) -> Result<Opened> {
    let failed = |source| CliError::Target { what: format!("core file {shown}"), source };
    let target = process::open_core(path, how.exe.as_deref()).map_err(|error| failed(error.into()))?;
    let snapshot = runtimes::snapshot(target.as_ref(), &options(how)).map_err(failed)?;
    Ok(Opened { snapshot, saved: true })
}

/// How a live process is to be read.
pub(crate) fn options(how: &ReadArgs) -> ReadOptions {
    let pause = match (how.freeze, how.no_pause) {
        (Some(_), _) => Pause::Everything,
        (_, true) => Pause::Nothing,
        _ => Pause::RunningThreads,
    };
    let freeze_limit = how.freeze.unwrap_or(ReadOptions::FREEZE_LIMIT);
    ReadOptions { pause, freeze_limit, ..ReadOptions::default() }.once()
}

/// "pid 4242 (api-server, user www)", as far as it can be known.
pub(crate) fn describe(pid: u32) -> String {
    let process = process::candidate(pid).ok().flatten();
    process.map_or_else(
        || format!("pid {pid}"),
        |process| format!("pid {pid} ({}, user {})", process.name, process.user()),
    )
}

/// The runtimes in a target, each with the number of its tasks; none if there is nothing to read.
pub(crate) fn inspect(target: &dyn Target) -> Result<Vec<(RuntimeInfo, u64)>, crate::Error> {
    process::supervised(target, None, |target| {
        let attached = runtimes::attach(target)?.into_readable()?;
        attached.iter().map(|runtime| Ok((runtime.info(target)?, runtime.count_tasks(target)?))).collect()
    })
}
