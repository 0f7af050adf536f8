//! Finds processes by name, never by a guess.

use std::collections::HashSet;
use std::fs;

use super::{NameError, Result, SourceError};
use crate::process::{self, Candidate};

/// Generations of parents that are examined.
const GENERATIONS: usize = 64;

/// The pid of the process with this name: what it was started as, the file name of its executable, the kernel's name for it,
/// or the file name of its first argument.
///
/// loiter itself and its parents (a shell, sudo) never match.
///
/// # Errors
/// [`SourceError::Name`] if several processes have the name, or none.
pub fn find_by_name(name: &str) -> Result<u32> {
    let all = running_processes()?;
    let of_name = all.iter().filter(|who| is_named(who, name)).cloned();
    let parents = parents(std::process::id(), parent);
    let (mut processes, parents): (Vec<Candidate>, Vec<Candidate>) =
        of_name.partition(|who| !parents.contains(&who.pid));
    processes.sort_by_key(|who| who.pid);
    let name = name.to_owned();
    Err(match processes.as_slice() {
        [one] => return Ok(one.pid),
        [] if parents.is_empty() => NameError::Nobody { similar: similar(&all, &name), name },
        [] => NameError::OnlyParents { name, processes: parents },
        _ => NameError::Several { name, processes },
    }
    .into())
}

/// Does a process have this name?
pub fn is_process_name(name: &str) -> bool {
    running_processes().is_ok_and(|all| all.iter().any(|who| is_named(who, name)))
}

/// All processes, without kernel threads, zombies and loiter itself.
///
/// # Errors
/// `/proc` cannot be read.
pub fn running_processes() -> Result<Vec<Candidate>> {
    let all = process::processes()
        .map_err(|source| SourceError::Io { what: "cannot list the processes".to_owned(), source })?;
    let own = std::process::id();
    let alive = |who: &Candidate| !who.is_kernel_thread && !who.is_zombie && who.pid != own;
    Ok(all.into_iter().filter(alive).collect())
}

fn similar(all: &[Candidate], name: &str) -> Vec<Candidate> {
    let lower = name.to_lowercase();
    let is_like = |who: &&Candidate| names(who).iter().any(|other| is_like(&other.to_lowercase(), &lower));
    all.iter().filter(is_like).cloned().collect()
}

/// All names of a process.
fn names(who: &Candidate) -> Vec<String> {
    let mut names = vec![who.name.clone(), who.program.clone()];
    // Its name may differ from that of its executable.
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

/// Does one name contain the other, or differ by a typing error: one letter added, missing or changed, or two
/// letters swapped?
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
        // Neither this process nor the one that started it, whatever their names.
        let own = process::processes().expect("/proc is there");
        let own = own.iter().find(|who| who.pid == std::process::id()).expect("we are there");
        assert!(!matches!(find_by_name(&own.name), Ok(pid) if pid == own.pid));
    }
}
