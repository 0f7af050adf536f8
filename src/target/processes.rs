//! All processes of the machine, for a list of what could be read.

use std::os::unix::fs::MetadataExt;

use super::proc::{self, Stat};
use super::{figures, permission};

/// A process that may turn out to be readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its pid in loiter's namespace.
    pub pid: u32,
    /// Short name: the file name of the executable where that can be read, else the kernel's.
    pub name: String,
    /// The arguments, as the process sees them. Empty for kernel threads and zombies.
    pub command: Vec<String>,
    /// How long it has been running, nanoseconds.
    pub age_ns: u64,
    /// Threads.
    pub threads: u32,
    /// Effective user id.
    pub uid: u32,
    /// One of the kernel's own threads: there is nothing to read.
    pub is_kernel_thread: bool,
    /// It has ended: there is nothing to read.
    pub is_zombie: bool,
}

impl Candidate {
    /// The name of the user that it runs as, or "uid 123".
    pub fn user(&self) -> String {
        permission::user_name(self.uid)
    }
}

/// All processes, in ascending order of pid. Those that end meanwhile are left out.
///
/// # Errors
/// /proc cannot be listed.
pub fn processes() -> std::io::Result<Vec<Candidate>> {
    let pids = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut candidates: Vec<Candidate> = pids.filter_map(candidate).collect();
    candidates.sort_by_key(|candidate| candidate.pid);
    Ok(candidates)
}

fn candidate(pid: u32) -> Option<Candidate> {
    let stat = Stat::read(pid).ok()?;
    let exe = proc::exe(pid).unwrap_or_default();
    let name = if exe.is_empty() { &stat.comm } else { proc::file_name(&exe) };
    let owner = || std::fs::metadata(format!("/proc/{pid}")).map(|metadata| metadata.uid()).ok();
    let uids = proc::status(pid).ok();
    let uid =
        uids.and_then(|status| proc::field(&status, "Uid")?.split_ascii_whitespace().nth(1)?.parse().ok());
    Some(Candidate {
        pid,
        name: name.to_owned(),
        command: proc::command(pid).unwrap_or_default(),
        age_ns: figures::age_ns(&stat),
        threads: stat.threads,
        uid: uid.or_else(owner)?,
        is_kernel_thread: stat.is_kernel_thread(),
        is_zombie: stat.is_dead() && stat.threads <= 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_among_them() {
        let all = processes().expect("/proc is there");
        let us = all.iter().find(|candidate| candidate.pid == std::process::id()).expect("we are listed");
        assert!(us.threads >= 1 && !us.is_kernel_thread && !us.is_zombie && !us.command.is_empty());
        assert!(us.age_ns > 0 && us.age_ns < 86_400_000_000_000);
    }
}
