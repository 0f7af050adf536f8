//! Facts about descriptors in /proc/PID/fdinfo (proc(5)).

use crate::process::proc;

/// More descriptors in one epoll set are left out.
const MAX_WATCHED: usize = 1 << 20;
/// `EPOLLIN`, `EPOLLRDHUP` and `EPOLLPRI`; `EPOLLOUT`.
const IN: u32 = 0x2003;
const OUT: u32 = 0x4;

/// What a file of fdinfo says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Info {
    /// Inode of what is open (since Linux 5.14).
    pub(super) inode: Option<u64>,
    /// For a timerfd: nanoseconds until it expires. 0 if it does not.
    pub(super) remaining_ns: Option<u64>,
    /// For a pidfd: the process. None if it has ended, or is not visible here.
    pub(super) process: Option<u32>,
    /// For an eventfd: its number, which no other one of the machine has (since Linux 5.2).
    pub(super) counter: Option<u64>,
    /// For the master of a pseudo-terminal: the number of the terminal.
    pub(super) terminal: Option<u64>,
}

impl Info {
    /// When a timerfd expires on the clock that is at `now_ns`. None if it is not set.
    pub(super) fn expires(self, now_ns: Option<u64>) -> Option<u64> {
        let remaining = self.remaining_ns.filter(|&remaining| remaining > 0)?;
        now_ns?.checked_add(remaining)
    }
}

/// The facts of a descriptor. What cannot be read is unknown.
pub(super) fn of(pid: u32, fd: u32) -> Info {
    let text = proc::read_text(format!("/proc/{pid}/fdinfo/{fd}"));
    text.map(|text| parse(&text)).unwrap_or_default()
}

fn parse(text: &str) -> Info {
    let process = proc::number_field(text, "Pid").and_then(|pid| u32::try_from(pid).ok());
    Info {
        inode: proc::number_field(text, "ino"),
        remaining_ns: proc::field(text, "it_value").and_then(time),
        process: process.filter(|&pid| pid > 0),
        counter: proc::number_field(text, "eventfd-id"),
        terminal: proc::number_field(text, "tty-index"),
    }
}

/// "(3, 500000000)": seconds and nanoseconds.
fn time(text: &str) -> Option<u64> {
    let (seconds, nanos) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let seconds: u64 = seconds.trim().parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos.trim().parse().ok()?)
}

/// Whether a lock was taken through this open file (`show_fd_locks` of the kernel). Also those whose process the kernel
/// does not name elsewhere: locks of an open file description.
pub fn has_lock(pid: u32, fd: u32) -> bool {
    let text = proc::read_text(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    text.lines().any(is_lock)
}

/// "lock:\t1: OFDLCK ADVISORY  WRITE -1 08:11:9 0 EOF". An arrow before the kind: it waits for the lock.
fn is_lock(line: &str) -> bool {
    let kind = line.strip_prefix("lock:").and_then(|rest| rest.split_ascii_whitespace().nth(1));
    matches!(kind, Some("FLOCK" | "POSIX" | "OFDLCK"))
}

/// A descriptor in an epoll set, and for what it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Its number when it was added to the set.
    pub fd: u32,
    /// Until it can be read.
    pub read: bool,
    /// Until it can be written.
    pub write: bool,
    /// What the process noted beside it.
    pub data: u64,
    /// The inode of what was added. The number may be another one's by now.
    pub inode: Option<u64>,
}

/// The descriptors in an epoll set. Empty if they cannot be read. The kernel keeps the set locked meanwhile.
pub fn watched_by(pid: u32, poll: u32) -> Vec<Watched> {
    const MAX_BYTES: u64 = 64 << 20;
    let bytes = proc::read_bounded(format!("/proc/{pid}/fdinfo/{poll}"), MAX_BYTES).unwrap_or_default();
    watched(&String::from_utf8_lossy(&bytes))
}

/// Lines "tfd:        5 events: 80000019 data:     7f00  pos:0 ino:61 sdev:5".
fn watched(text: &str) -> Vec<Watched> {
    let line = |line: &str| {
        let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        let first: Vec<&str> = words.by_ref().take(5).collect();
        let [fd, "events:", events, "data:", data] = first[..] else { return None };
        let inode = words.find_map(|word| u64::from_str_radix(word.strip_prefix("ino:")?, 16).ok());
        let events = u32::from_str_radix(events, 16).ok()?;
        let data = u64::from_str_radix(data, 16).ok()?;
        Some(Watched { fd: fd.parse().ok()?, read: events & IN != 0, write: events & OUT != 0, data, inode })
    };
    text.lines().filter_map(line).take(MAX_WATCHED).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timers_processes_and_inodes() {
        let text =
            "pos:\t0\nflags:\t02\nino:\t4711\nclockid: 1\nit_value: (3, 500000000)\nit_interval: (0, 0)\n";
        let info = parse(text);
        assert_eq!((info.inode, info.remaining_ns, info.process), (Some(4711), Some(3_500_000_000), None));
        assert_eq!((info.expires(Some(1)), info.expires(None)), (Some(3_500_000_001), None));
        assert_eq!(parse("it_value: (0, 0)\n").expires(Some(1)), None, "it is not set");
        assert_eq!(parse("Pid:\t77\n").process, Some(77));
        assert_eq!((parse("Pid:\t-1\n").process, parse("Pid:\t0\n").process), (None, None));
        assert_eq!(parse("eventfd-count:                1\neventfd-id: 12\n").counter, Some(12));
        assert_eq!(parse("tty-index:\t3\n").terminal, Some(3));
        let far = format!("it_value: ({}, 0)\n", u64::MAX);
        assert_eq!(parse(&far).remaining_ns, None);
    }

    #[test]
    fn locks_that_were_taken() {
        assert!(is_lock("lock:\t1: OFDLCK ADVISORY  WRITE -1 08:11:9 0 EOF"));
        assert!(is_lock("lock:\t2: FLOCK  ADVISORY  READ 77 fe:00:9 0 EOF"));
        assert!(!is_lock("lock:\t1: -> FLOCK  ADVISORY  WRITE 77 fe:00:9 0 EOF"));
        assert!(!is_lock("lock:\t1: LEASE  ACTIVE    READ 5 08:11:9 0 EOF"));
        assert!(!is_lock("lock:") && !is_lock("flags:\t02"));
    }

    #[test]
    fn descriptors_in_a_set() {
        let text = "pos: 0\ntfd:        5 events: 80000019 data:     7f00  pos:0 ino:61 sdev:5\ntfd: 6 events: 4 data: 0\n";
        let found = watched(text);
        assert_eq!(found[0], Watched { fd: 5, read: true, write: false, data: 0x7f00, inode: Some(0x61) });
        assert_eq!(found[1], Watched { fd: 6, read: false, write: true, data: 0, inode: None });
    }

    proptest! {
        #[test]
        fn any_text(text in "(tfd:|it_value:|Pid:|ino:|eventfd-id:|tty-index:)?[ \t(]?.{0,40}\n?") {
            parse(&text);
            watched(&text);
        }

        #[test]
        fn nearly_a_set(text in "(tfd: [0-9]{0,12} events: [0-9a-f]{0,9} data: [0-9a-f]{0,18}.{0,9}\n){0,4}") {
            watched(&text);
        }
    }
}
