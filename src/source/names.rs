//! Processes by name: the one that is meant, never a guess.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::readable;
use crate::cli::error::{CliError, Result};
use crate::cli::exit::Exit;
use crate::process::{self, Candidate};
use crate::report::units::short_duration;

/// Processes that are listed in an error at most; how many more there are is said.
const LISTED: usize = 12;
/// Columns of a command line in such a list.
const COMMAND: usize = 100;
/// Generations of parents that are looked at.
const GENERATIONS: usize = 64;

/// The pid of the process that has this name: the file name of its executable, the name that the kernel
/// shows, or the file name of its first argument.
///
/// Loiter itself and those that started it (sudo, a shell) are never meant.
///
/// # Errors
/// Several processes have it, or none: both with a list of those that there are.
pub(crate) fn find(name: &str) -> Result<u32> {
    let all = everybody()?;
    let (mut matches, parents): (Vec<&Candidate>, Vec<&Candidate>) = {
        let parents = parents(std::process::id(), parent);
        all.iter().filter(|who| is_named(who, name)).partition(|who| !parents.contains(&who.pid))
    };
    matches.sort_by_key(|who| who.pid);
    match matches.as_slice() {
        [one] => Ok(one.pid),
        [] => Err(none(name, &parents, &all)),
        several @ [first, ..] => Err(CliError::Told {
            problem: format!("{} processes are named {name}: which one is meant?", several.len()),
            remedy: {
                let how = format!("Give its pid in place of the name: {} or -p {}", first.pid, first.pid);
                table(several).into_iter().chain([how]).collect()
            },
            exit: Exit::Error,
        }),
    }
}

/// Who cannot read a file of this name may have meant the process of this name: says how it is named.
pub(super) fn or_a_process(path: &Path, error: CliError) -> CliError {
    let name = path.to_str().filter(|name| !name.contains('/'));
    let is_process = |name: &&str| everybody().is_ok_and(|all| all.iter().any(|who| is_named(who, name)));
    let Some(name) = name.filter(is_process) else {
        return error;
    };
    let remedy = error.remedy().into_iter();
    let hint = format!("There is a file of this name; for the process: -p {name}");
    CliError::Told { problem: error.message(), remedy: remedy.chain([hint]).collect(), exit: error.exit() }
}

/// All processes but the kernel's own, those that have ended, and loiter.
pub(crate) fn everybody() -> Result<Vec<Candidate>> {
    let all = process::processes()
        .map_err(|source| CliError::Io { what: "cannot list the processes".to_owned(), source })?;
    let own = std::process::id();
    let alive = |who: &Candidate| !who.is_kernel_thread && !who.is_zombie && who.pid != own;
    Ok(all.into_iter().filter(alive).collect())
}

/// Every name that a process goes by.
fn names(who: &Candidate) -> Vec<String> {
    let mut names = vec![who.name.clone()];
    // It may have taken another one than that of its executable.
    names
        .extend(fs::read_to_string(format!("/proc/{}/comm", who.pid)).map(|comm| comm.trim_end().to_owned()));
    // A login shell has a dash before its name.
    let first = who.command.first().map(|first| first.strip_prefix('-').unwrap_or(first));
    names.extend(first.and_then(|first| first.rsplit('/').next()).map(str::to_owned));
    names
}

pub(super) fn is_named(who: &Candidate, name: &str) -> bool {
    names(who).iter().any(|other| other == name)
}

/// The parents of a process, its parent's parents and so on.
fn parents(of: u32, parent: impl Fn(u32) -> Option<u32>) -> HashSet<u32> {
    let mut parents = HashSet::new();
    let mut at = of;
    for _ in 0..GENERATIONS {
        match parent(at) {
            Some(up @ 1..) if parents.insert(up) => at = up,
            _ => break,
        }
    }
    parents
}

/// The parent of a process.
fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Nobody has this name: what there is instead.
fn none(name: &str, parents: &[&Candidate], all: &[Candidate]) -> CliError {
    let failed =
        |problem: String, list: Vec<String>| CliError::Told { problem, remedy: list, exit: Exit::NoProcess };
    if !parents.is_empty() {
        let problem = format!("only what started this loiter is named {name}: give its pid if you mean it");
        return failed(problem, table(parents));
    }
    let lower = name.to_lowercase();
    let is_like = |who: &&Candidate| names(who).iter().any(|other| is_like(&other.to_lowercase(), &lower));
    let like: Vec<&Candidate> = all.iter().filter(is_like).collect();
    if !like.is_empty() {
        let problem = format!("no process is named {name}, and there is no such file; similar names:");
        return failed(problem, table(&like));
    }
    let there = readable::list(all.to_vec());
    let problem = format!("no process is named {name}, and there is no such file");
    failed(problem, there.lines())
}

/// One name holds the other, or differs by a slip of the finger: one letter more, less or other, or two
/// that have changed places.
fn is_like(other: &str, name: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (other.chars().collect(), name.chars().collect());
    if a.is_empty() || b.len() < 2 {
        return false;
    }
    if other.contains(name) || a.len() > 2 && name.contains(other) {
        return true;
    }
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let rest = |from: &[char], skip: usize| from.get(same + skip..).unwrap_or_default().to_vec();
    let swapped = || {
        let turned = [a.get(same + 1), a.get(same)];
        turned[0].is_some() && turned == [b.get(same), b.get(same + 1)] && rest(&a, 2) == rest(&b, 2)
    };
    b.len() > 3
        && (rest(&a, 1) == rest(&b, 0)
            || rest(&a, 0) == rest(&b, 1)
            || rest(&a, 1) == rest(&b, 1)
            || swapped())
}

/// Pid, age and command of each, a line each.
fn table(of: &[&Candidate]) -> Vec<String> {
    let mut lines = vec![format!("{:>7}  {:<8}  COMMAND", "PID", "AGE")];
    lines.extend(of.iter().take(LISTED).map(|who| line(who)));
    if of.len() > LISTED {
        lines.push(format!("and {} more", of.len() - LISTED));
    }
    lines
}

/// "   4242  3h 12m    prometheus --config.file=a.yml".
fn line(who: &Candidate) -> String {
    format!("{:>7}  {:<8}  {}", who.pid, short_duration(who.age_ns), command(who))
}

/// The command line of a process, as far as it fits.
pub(super) fn command(who: &Candidate) -> String {
    let whole = if who.command.is_empty() { who.name.clone() } else { who.command.join(" ") };
    let short: String = whole.chars().take(COMMAND).collect();
    if short.len() < whole.len() { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_end_and_make_no_loop() {
        let parent = |pid| [None, Some(0), Some(1), Some(2), Some(5), Some(4)].get(pid as usize).copied()?;
        assert_eq!(parents(3, parent), [2, 1].into());
        assert_eq!(parents(4, parent), [5, 4].into());
        assert!(parents(std::process::id(), super::parent).contains(&std::os::unix::process::parent_id()));
    }

    #[test]
    fn slips_of_the_finger() {
        for (other, name, like) in [
            ("prometheus", "prom", true),
            ("prometheus", "prometheus-2", true),
            ("prometheus", "promethues", true),
            ("prometheus", "prometeus", true),
            ("prometheus", "promxetheus", true),
            ("prometheus", "promethexs", true),
            ("prometheus", "etcd", false),
            ("prometheus", "", false),
            ("sh", "shell-game", false),
            ("cat", "car", false),
            ("", "etcd", false),
        ] {
            assert_eq!(is_like(other, name), like, "{other} {name}");
        }
    }

    #[test]
    fn we_are_not_meant() {
        // Neither this process nor the one that started it, whatever they are called.
        let own = process::processes().expect("/proc is there");
        let own = own.iter().find(|who| who.pid == std::process::id()).expect("we are there");
        assert!(!matches!(find(&own.name), Ok(pid) if pid == own.pid));
    }
}
