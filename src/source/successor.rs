//! Finds the process that replaced one that has ended.

use std::fs;
use std::time::{Duration, Instant};

use super::names;
use crate::process::Candidate;
use crate::snapshot::TargetInfo;

/// The kernel measures ages in ticks.
const TICK: Duration = Duration::from_millis(20);

/// The replacement of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Successor {
    /// No process so far.
    Nobody,
    /// The process with this pid.
    Pid(u32),
    /// Several processes are possible, and nothing shows which one it is.
    Several(Vec<u32>),
}

/// Looks for the process that replaced `gone`, which still ran at `seen`. It was started since then, from the
/// same executable with the same command line or, if `gone` was requested by `name`, under the same name.
pub fn find_successor(gone: &TargetInfo, name: Option<&str>, seen: Instant) -> Successor {
    let Ok(all) = names::running_processes() else { return Successor::Nobody };
    let young = u64::try_from((seen.elapsed() + TICK).as_nanos()).unwrap_or(u64::MAX);
    let new: Vec<&Candidate> = all.iter().filter(|who| who.age_ns <= young).collect();
    let same = |who: &&&Candidate| {
        who.command == gone.command
            && gone.exe.is_some()
            && executable(who.pid) == gone.exe.as_ref().map(Into::into)
    };
    let found = choose(new.iter().filter(same).map(|who| who.pid).collect());
    match (found, name) {
        (Successor::Nobody, Some(name)) => {
            choose(new.iter().filter(|who| names::is_named(who, name)).map(|who| who.pid).collect())
        }
        (found, _) => found,
    }
}

fn choose(pids: Vec<u32>) -> Successor {
    match pids.as_slice() {
        [] => Successor::Nobody,
        [pid] => Successor::Pid(*pid),
        _ => Successor::Several(pids),
    }
}

/// The path of the executable of a process, as the process sees it.
fn executable(pid: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let path = path.to_string_lossy();
    Some(path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned())
}
