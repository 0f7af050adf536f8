//! What GitHub's runner is given.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::{has_something_to_say, to_stderr};
use crate::analysis::gate::Verdict;
use crate::cli::error::{CliError, Result};
use crate::cli::output::tell;
use crate::report::gate::{annotations, summary};
use crate::report::roots::Roots;

/// GitHub refuses the summary of a step that is larger than 1 MiB, bytes. Some room is left for other programs.
const MAX_SUMMARY: u64 = 1_000 << 10;

/// Whether this is a step of a workflow.
pub(super) fn is_there() -> bool {
    env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Annotates the places of failures. The runner reads standard error as it reads standard output, and standard output is
/// the program's.
pub(super) fn annotate(verdict: &Verdict, roots: &Roots) -> Result {
    if !verdict.fails() {
        return Ok(());
    }
    Ok(to_stderr(|out| annotations(verdict, roots, out))?)
}

/// Appends to the summary of the step, if there is something to say and room for it.
pub(super) fn summarize(verdict: &Verdict, roots: &Roots) -> Result {
    let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from)
    else {
        return Ok(());
    };
    if !has_something_to_say(verdict) {
        return Ok(());
    }
    let failed = |source| CliError::Io { what: format!("cannot write {}", path.display()), source };
    // A pipe of that name must not make the program wait for a reader.
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(&path)
        .map_err(failed)?;
    let there = file.metadata().map_err(failed)?.len();
    let room = usize::try_from(MAX_SUMMARY.saturating_sub(there)).unwrap_or(0);
    match summary(verdict, roots, room) {
        // One write, because other gates append to the same file.
        Some(text) => file.write_all(format!("{text}\n").as_bytes()).map_err(failed),
        None => {
            tell(&format!("loiter gate: {} is full, so that nothing was added", path.display()));
            Ok(())
        }
    }
}
