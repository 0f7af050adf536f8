//! What the state file says of the process that is read.

use std::path::Path;

use crate::analysis::trip::{Rules, Watch};
use crate::cli::error::{CliError, Result};
use crate::cli::output::tell;
use crate::full_text;
use crate::report::units::duration;
use crate::session::trip::{Kin, State, StateFile, Who};

/// Opens the state file.
pub(super) fn open(path: &Path) -> Result<(StateFile, Option<State>)> {
    StateFile::open(path)
        .map_err(|error| CliError::Usage(format!("--state {}: {}", path.display(), full_text(&error))))
}

/// Writes the state file.
pub(super) fn save(file: &mut StateFile, state: &State) -> Result {
    file.save(state)
        .map_err(|source| CliError::Io { what: format!("cannot write {}", file.path().display()), source })
}

/// The watch of a process, continued from a state. Says what is not as it was.
pub(super) fn watch(rules: Rules, path: Option<&Path>, state: &State, who: &Who) -> Result<Watch> {
    let path = path.map_or_else(String::new, |path| path.display().to_string());
    if let Some((learned_from, _)) = &state.learned {
        match learned_from.kin(who) {
            Kin::OtherProgram => return Err(another(&path, learned_from, who)),
            Kin::OtherBuild => tell(&format!(
                "{path} was learned from another build of {}; its thresholds are used (--learn learns them anew)",
                who.name
            )),
            Kin::Same | Kin::OtherProcess => {}
        }
    }
    let before = state.watched.as_ref().map(|watched| watched.kin(who));
    if let Some((watched, Kin::OtherProgram)) = state.watched.as_ref().zip(before) {
        return Err(another(&path, watched, who));
    }
    let memory = state.memory.clone();
    if memory.period_ns != 0 && memory.period_ns != rules.period_ns {
        tell(&format!(
            "{path} has periods of {}, and they now are {}: rows of periods begin anew",
            duration(memory.period_ns),
            duration(rules.period_ns)
        ));
    }
    let baseline = state.learned.as_ref().map(|(_, baseline)| baseline.clone());
    let mut watch = Watch::new(rules, baseline, memory);
    if matches!(before, Some(Kin::OtherProcess | Kin::OtherBuild)) {
        tell(&format!("{} was started again since {path} was written: rows of periods begin anew", who.name));
        watch.another_process();
    }
    Ok(watch)
}

fn another(path: &str, was: &Who, is: &Who) -> CliError {
    CliError::Usage(format!(
        "{path} is of {}, and this is {}: name another file with --state, or learn with --learn",
        was.name, is.name
    ))
}
