//! Who holds locks of files (/proc/locks).

use crate::process::proc;
use crate::snapshot::FileId;

/// The table is read up to this size.
const MAX_BYTES: u64 = 16 << 20;

/// A process that holds a lock of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockHolder {
    /// The file.
    pub file: FileId,
    /// The process that took the lock. None if the kernel does not say (locks of an open file description), or if it is
    /// not visible here.
    pub pid: Option<u32>,
    /// It is a lock that excludes all others.
    pub exclusive: bool,
}

/// Who holds locks of these files, by flock(2) and fcntl(2). A process that has inherited the descriptor may have the
/// lock, too, and the one that took it may have ended. File systems whose `st_dev` is not that of their superblock
/// (btrfs) are not found.
pub fn lock_holders(files: &[FileId]) -> Vec<LockHolder> {
    let bytes = proc::read_bounded("/proc/locks", MAX_BYTES).unwrap_or_default();
    let all = parse(&String::from_utf8_lossy(&bytes));
    all.into_iter().filter(|holder| files.contains(&holder.file)).collect()
}

/// Lines "1: FLOCK  ADVISORY  WRITE 30774 fe:00:5738058 0 EOF". Those that wait have "->" behind the number.
fn parse(text: &str) -> Vec<LockHolder> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let kind = words.next()?;
        if !matches!(kind, "FLOCK" | "POSIX" | "OFDLCK") {
            return None;
        }
        let exclusive = words.nth(1)? == "WRITE";
        let pid = words.next()?.parse::<i64>().ok()?;
        let mut file = words.next()?.split(':');
        let (major, minor) = (file.next()?, file.next()?);
        let number = |hex| u32::from_str_radix(hex, 16).ok();
        Some(LockHolder {
            file: FileId {
                device: libc::makedev(number(major)?, number(minor)?),
                inode: file.next()?.parse().ok()?,
            },
            pid: u32::try_from(pid).ok().filter(|&pid| pid > 0),
            exclusive,
        })
    };
    text.lines().filter_map(line).collect()
}
