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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn holders_and_not_those_that_wait() {
        let text = "1: FLOCK  ADVISORY  WRITE 30774 fe:00:5738058 0 EOF\n\
            1: -> FLOCK  ADVISORY  WRITE 30775 fe:00:5738058 0 EOF\n\
            2: POSIX  ADVISORY  READ 12 08:11:9 128 128\n\
            3: OFDLCK ADVISORY  WRITE -1 08:11:9 0 0\n\
            4: LEASE  ACTIVE    READ 5 08:11:9 0 EOF\n";
        let found = parse(text);
        let file = |major, minor, inode| FileId { device: libc::makedev(major, minor), inode };
        let expected = [
            LockHolder { file: file(0xfe, 0, 5_738_058), pid: Some(30774), exclusive: true },
            LockHolder { file: file(8, 17, 9), pid: Some(12), exclusive: false },
            LockHolder { file: file(8, 17, 9), pid: None, exclusive: true },
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn any_text(text in "[0-9]: (-> )?(FLOCK|POSIX|OFDLCK)?( .{0,9}){0,6}\n?") {
            parse(&text);
        }
    }
}
