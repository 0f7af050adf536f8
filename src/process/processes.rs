//! All processes of the machine, for a list of readable ones.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::proc::{self, Stat};
use super::short_name::short_name;
use super::slow_files::Answers;
use super::{figures, permission, slow_files};

/// A process that may turn out to be readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its pid in loiter's namespace.
    pub pid: u32,
    /// Short name: what it was started as, mostly the file name of its executable; the kernel's name for it if the executable
    /// is not known.
    pub name: String,
    /// File name of its executable. Empty if that cannot be read.
    pub program: String,
    /// The arguments, as the process sees them. Empty for kernel threads and zombies.
    pub command: Vec<String>,
    /// How long it has been running, nanoseconds.
    pub age_ns: u64,
    /// Threads.
    pub threads: u32,
    /// Effective user id.
    pub uid: u32,
    /// One of the kernel's own threads: it cannot be read.
    pub is_kernel_thread: bool,
    /// It has ended: it cannot be read.
    pub is_zombie: bool,
}

impl Candidate {
    /// The name of the user that it runs as, or "uid 123".
    pub fn user(&self) -> String {
        permission::user_name(self.uid)
    }

    /// Fills in the arguments. They are read from the memory of the process, so this may wait: for ever, if a
    /// page is on a file system that does not answer.
    pub fn read_command(&mut self) {
        self.command = proc::command(self.pid).unwrap_or_default();
    }
}

/// The longest wait for the arguments of one process: the first until one process was too slow, then the second.
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(20)];

/// The pids of all processes, ascending.
///
/// # Errors
/// /proc cannot be listed.
pub fn pids() -> io::Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc")?;
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// All processes, in ascending order of pid. Those that end meanwhile are left out; arguments that cannot be
/// read in time are empty.
///
/// # Errors
/// /proc cannot be read.
pub fn processes() -> io::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for pid in pids()? {
        match candidate(pid) {
            Ok(candidate) => candidates.extend(candidate),
            Err(error) if slow_files::is_our_own(&error) => return Err(error),
            // A process of another user, and hidden (hidepid).
            Err(error) => tracing::debug!("process {pid} is left out: {error}"),
        }
    }
    let mut at = 0;
    let mut slow_files = PATIENCE[0];
    while at < candidates.len() {
        let pids: Vec<u32> = candidates.iter().skip(at).map(|candidate| candidate.pid).collect();
        let commands = Answers::of(move |send| {
            pids.iter().all(|&pid| send.send(proc::command(pid).unwrap_or_default()).is_ok());
        })?;
        for candidate in candidates.iter_mut().skip(at) {
            at += 1;
            match commands.next(slow_files) {
                Some(command) => candidate.command = command,
                None => {
                    slow_files = PATIENCE[1];
                    break;
                }
            }
        }
    }
    Ok(candidates)
}

/// What is known of a process, except its arguments: this waits for the process for a second at most. None if the process
/// no longer exists.
///
/// # Errors
/// /proc cannot be read, for another reason.
pub fn candidate(pid: u32) -> io::Result<Option<Candidate>> {
    match known(pid) {
        Err(error) if proc::is_gone(&error) => Ok(None),
        other => other.map(Some),
    }
}

fn known(pid: u32) -> io::Result<Candidate> {
    let stat = Stat::read(pid)?;
    let exe = proc::exe(pid).unwrap_or_default();
    let status = proc::status(pid)?;
    let uid = proc::field(&status, "Uid").and_then(|uids| uids.split_ascii_whitespace().nth(1)?.parse().ok());
    let uid = match uid {
        Some(uid) => uid,
        None => std::fs::metadata(format!("/proc/{pid}"))?.uid(),
    };
    Ok(Candidate {
        pid,
        name: short_name(pid, &stat, &exe),
        program: proc::file_name(&exe).to_owned(),
        command: Vec::new(),
        age_ns: figures::age_ns(&stat),
        threads: stat.threads,
        uid,
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
