//! What has no inode of its own, and is known by a number: event counters, and masters of pseudo-terminals.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::info::Info;
use crate::process::sys::FileFacts;
use crate::process::{slow_files, sys};
use crate::snapshot::{Descriptor, DescriptorKind, FileId};

/// A master is not the same as its terminal, whose inode has a small number.
const MASTER: u64 = 1 << 63;
/// A file system that does not answer is waited for so long.
const SLOW: Duration = Duration::from_millis(200);
/// The device of masters: /dev/ptmx (admin-guide/devices.txt).
const PTMX: (u32, u32) = (5, 2);

/// What identifies an event counter. All of them have the same inode, and no other descriptor is known by that.
pub(super) fn counter(facts: FileFacts, info: Info) -> Option<FileId> {
    Some(FileId { device: facts.device, inode: info.counter? })
}

/// What identifies the master of a pseudo-terminal, from its terminal: /dev/pts/3. None if it is no such terminal.
pub fn master_of(terminal: &Descriptor) -> Option<FileId> {
    let is_terminal = terminal.kind == DescriptorKind::Terminal;
    let name = terminal.name.as_deref().filter(|_| is_terminal)?;
    let (folder, number) = name.rsplit_once('/')?;
    // The other terminals of this name belong to other file systems.
    if !folder.ends_with("pts") {
        return None;
    }
    master(terminal.file?.device, number.parse().ok()?)
}

fn master(device: u64, number: u64) -> Option<FileId> {
    (number < MASTER).then_some(FileId { device, inode: MASTER | number })
}

/// What identifies an open master. `text`: the name that the kernel gives to it.
pub(super) fn open_master(pid: u32, text: &[u8], facts: FileFacts, info: Info) -> Option<FileId> {
    let number = info.terminal.filter(|_| facts.special == PTMX)?;
    master(file_system(pid, text).unwrap_or(facts.device), number)
}

/// Whether something may be a master, by its name.
pub(super) fn may_be_master(text: &[u8]) -> bool {
    text.ends_with(b"/ptmx")
}

/// The file system of the terminals that a master belongs to: the one at "pts" beside it, as `devpts_mntget` of the
/// kernel looks for it. None if the master is in that file system itself.
fn file_system(pid: u32, text: &[u8]) -> Option<u64> {
    let path = Path::new(std::ffi::OsStr::from_bytes(text)).parent()?.join("pts");
    let inside = path.strip_prefix("/").ok()?;
    let path = PathBuf::from(format!("/proc/{pid}/root")).join(inside);
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let look = move || sys::file_facts(&path, true).map_err(io::Error::from);
    slow_files::within_limit(SLOW, look).ok().map(|facts| facts.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_of_terminals() {
        let terminal = |kind, name: &str| {
            let mut descriptor = Descriptor::new(0);
            (descriptor.kind, descriptor.name) = (kind, Some(name.to_owned()));
            descriptor.file = Some(FileId { device: 7, inode: 6 });
            master_of(&descriptor)
        };
        let expected = FileId { device: 7, inode: MASTER | 3 };
        assert_eq!(terminal(DescriptorKind::Terminal, "/dev/pts/3"), Some(expected));
        for (kind, name) in [
            (DescriptorKind::File, "/dev/pts/3"),
            (DescriptorKind::Terminal, "/dev/tty3"),
            (DescriptorKind::Terminal, "/dev/pts/ptmx"),
            (DescriptorKind::Terminal, "/dev/pts/9223372036854775808"),
            (DescriptorKind::Terminal, "/x/3"),
            (DescriptorKind::Terminal, ""),
        ] {
            assert_eq!(terminal(kind, name), None, "{name}");
        }
        assert_eq!(file_system(std::process::id(), b"ptmx"), None);
        assert!(may_be_master(b"/dev/pts/ptmx") && !may_be_master(b"/dev/pts/3"));
    }
}
