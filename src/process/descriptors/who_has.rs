//! Who has something open: one look through the descriptors of all processes.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::{access, info, link, shared};
use crate::process::limit::Limit;
use crate::process::processes::pids;
use crate::process::{proc, short_name, slow_files, sys};
use crate::snapshot::{Ends, FileId, OpenEnd};

/// More ends are not kept.
const MAX_ENDS: usize = 1 << 16;
/// More processes without permission are counted, but not named.
const MAX_UNREADABLE: usize = 1 << 16;
/// A file system that does not answer is waited for so long.
const SLOW: Duration = Duration::from_millis(200);

/// Who has these things open, of all processes that loiter can see, as long as `until` allows. Of files with a
/// name only those are looked at whose inode is a wanted one.
pub fn who_has(wanted: &BTreeSet<FileId>, until: &Limit) -> Ends {
    let mut search = Search {
        inodes: wanted.iter().map(|file| file.inode).collect(),
        wanted,
        until,
        ends: Ends { is_whole: true, ..Ends::default() },
    };
    if !wanted.is_empty() {
        match pids() {
            Ok(pids) => search.ends.is_whole = pids.into_iter().all(|pid| search.process(pid)),
            Err(_) => search.ends.is_whole = false,
        }
    }
    let mut ends = search.ends;
    ends.open.sort_by_key(|end| (end.file, end.pid, end.fd));
    ends
}

struct Search<'a> {
    wanted: &'a BTreeSet<FileId>,
    inodes: FxHashSet<u64>,
    until: &'a Limit,
    ends: Ends,
}

impl Search<'_> {
    /// Returns whether the search may go on.
    fn process(&mut self, pid: u32) -> bool {
        if self.until.is_over() {
            return false;
        }
        let entries = match std::fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(entries) => entries,
            Err(error) => {
                self.refused(pid, &error);
                return true;
            }
        };
        let mut name = None;
        for entry in entries {
            if self.until.is_over() {
                return false;
            }
            let entry = match entry {
                Ok(entry) => entry,
                // A process that ends loses all descriptors.
                Err(error) => {
                    self.refused(pid, &error);
                    return true;
                }
            };
            let Some(fd) = entry.file_name().to_str().and_then(|fd| fd.parse().ok()) else { continue };
            let Some(end) = self.descriptor(pid, fd) else { continue };
            if self.ends.open.len() >= MAX_ENDS {
                return false;
            }
            let name = name.get_or_insert_with(|| name_of(pid)).clone();
            self.ends.open.push(OpenEnd { process: name, ..end });
        }
        true
    }

    fn refused(&mut self, pid: u32, error: &io::Error) {
        // The kernel's own threads and dead processes have nothing open.
        let may_have = || proc::Stat::read(pid).is_ok_and(|stat| !stat.is_kernel_thread() && !stat.is_dead());
        if !proc::is_gone(error) && self.ends.unreadable.len() < MAX_UNREADABLE && may_have() {
            self.ends.unreadable.push(pid);
        }
    }

    /// The end that a descriptor is, if it is wanted.
    fn descriptor(&self, pid: u32, fd: u32) -> Option<OpenEnd> {
        let path = format!("/proc/{pid}/fd/{fd}");
        let text = std::fs::read_link(&path).ok()?;
        let text = text.as_os_str().as_bytes();
        if text == b"anon_inode:[eventfd]" || shared::may_be_master(text) {
            return self.without_inode(pid, fd, text);
        }
        let is_candidate = match link::inode(text) {
            Some(inode) => self.inodes.contains(&inode),
            // Things without an inode of their own share one.
            None if text.starts_with(b"anon_inode:") => false,
            // The file system itself is asked only about files that may be wanted: it may not answer.
            None => info::of(pid, fd).inode.is_none_or(|inode| self.inodes.contains(&inode)),
        };
        if !is_candidate {
            return None;
        }
        let path = CString::new(path).ok()?;
        let has_path = text.starts_with(b"/");
        let its = path.clone();
        let look = move || Ok(sys::file_facts(&its, true)?);
        let facts = if has_path { slow_files::within_limit(SLOW, look) } else { look() };
        let facts = facts.ok()?;
        let file = FileId { device: facts.device, inode: facts.inode };
        let access = access(sys::file_facts(&path, false).ok()?.mode);
        self.wanted.contains(&file).then(|| OpenEnd { file, pid, process: String::new(), fd, access })
    }

    /// The same for what is known by a number instead of an inode.
    fn without_inode(&self, pid: u32, fd: u32, text: &[u8]) -> Option<OpenEnd> {
        let path = CString::new(format!("/proc/{pid}/fd/{fd}")).ok()?;
        let its = path.clone();
        let facts = slow_files::within_limit(SLOW, move || Ok(sys::file_facts(&its, true)?)).ok()?;
        let info = info::of(pid, fd);
        let file = match info.terminal {
            Some(_) => shared::open_master(pid, text, facts, info)?,
            None => shared::counter(facts, info)?,
        };
        let access = access(sys::file_facts(&path, false).ok()?.mode);
        self.wanted.contains(&file).then(|| OpenEnd { file, pid, process: String::new(), fd, access })
    }
}

/// The short name of a process.
fn name_of(pid: u32) -> String {
    let exe = proc::exe(pid).unwrap_or_default();
    proc::Stat::read(pid).map(|stat| short_name::short_name(pid, &stat, &exe)).unwrap_or_default()
}
