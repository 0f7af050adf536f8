//! Small files of /proc, read with a size limit and parsed without trust: a process chooses its own name, its
//! arguments and the names of the files it maps.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{Blocked, watch};

/// At most this much of a small file is read.
const SMALL: u64 = 1 << 20;
/// At most this many threads are listed; the kernel's own limit of pids is 4 Mi.
const MAX_THREADS: usize = 4 << 20;
/// At most so many times the threads of a process are listed. That all of these lists are cut is not to be expected.
const MAX_LISTS: u32 = 64;

/// Reads at most `max` bytes of a file of /proc.
pub(super) fn read_bounded(path: impl AsRef<Path>, max: u64) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    watch::with_file(path, || File::open(path)?.take(max).read_to_end(&mut bytes))?;
    Ok(bytes)
}

/// Reads a small text file. Bytes that are not UTF-8 are replaced.
pub(crate) fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    read_bounded(path, SMALL).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the error means that the process or thread no longer exists.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// The fields of /proc/PID/stat that are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Short name, at most 15 bytes.
    pub(crate) comm: String,
    /// State letter: R, S, D, T, t, Z, X, I.
    pub(crate) state: char,
    /// Kernel flags of the task (`PF_*`).
    pub(crate) flags: u64,
    /// User CPU time, ticks.
    pub(crate) utime: u64,
    /// System CPU time, ticks.
    pub(crate) stime: u64,
    /// Threads.
    pub(crate) threads: u32,
    /// Start, ticks since boot.
    pub(crate) start_ticks: u64,
}

impl Stat {
    /// Reads /proc/`pid`/stat.
    pub(crate) fn read(pid: u32) -> io::Result<Stat> {
        Self::read_file(format!("/proc/{pid}/stat"))
    }

    /// Reads /proc/`pid`/task/`tid`/stat.
    pub(crate) fn read_thread(pid: u32, tid: u32) -> io::Result<Stat> {
        Self::read_file(format!("/proc/{pid}/task/{tid}/stat"))
    }

    fn read_file(path: String) -> io::Result<Stat> {
        let text = read_text(&path)?;
        Self::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path} is odd")))
    }

    /// Parses the text of a stat file. The name may contain spaces and parentheses, so the fields are counted
    /// from the last closing parenthesis.
    pub(crate) fn parse(text: &str) -> Option<Stat> {
        let open = text.find('(')?;
        let close = text.rfind(')')?;
        let comm = text.get(open + 1..close)?.to_owned();
        let fields: Vec<&str> = text.get(close + 1..)?.split_ascii_whitespace().collect();
        // proc(5) numbers fields from 1; the first one here is its third.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat {
            comm,
            state: fields.first()?.chars().next()?,
            flags: number(9)?,
            utime: number(14)?,
            stime: number(15)?,
            threads: u32::try_from(number(20)?).ok()?,
            start_ticks: number(22)?,
        })
    }

    /// Whether it is one of the kernel's own threads (`PF_KTHREAD`), which have no memory.
    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & 0x0020_0000 != 0
    }

    /// Whether it has ended and only waits for its parent to notice.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The value of a line "Key:\tvalue" of a status file.
pub(crate) fn field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

/// The number in a field whose first word is one.
pub(crate) fn number_field(status: &str, key: &str) -> Option<u64> {
    field(status, key)?.split_ascii_whitespace().next()?.parse().ok()
}

/// The text of /proc/`pid`/status.
pub(crate) fn status(pid: u32) -> io::Result<String> {
    read_text(format!("/proc/{pid}/status"))
}

/// The threads of a process, ascending. All that live from its beginning to its end are in it, and perhaps some
/// that have ended meanwhile.
///
/// One listing alone may not have them all: the kernel goes from thread to thread, and where the one that it
/// stands at ends, so does the list (next_tid in fs/proc/base.c, Linux 6.18). Then it has fewer threads than the kernel
/// counts, unless as many of those in it have ended: that twice in a row is not to be expected, and cannot be if those in
/// it are stopped.
pub(crate) fn threads(pid: u32) -> io::Result<Vec<u32>> {
    let (mut tids, mut whole) = (Vec::new(), 0);
    for _ in 0..MAX_LISTS {
        let list = list_threads(pid)?;
        let count = Stat::read(pid).map_or(0, |stat| stat.threads as usize);
        whole += u32::from(list.len() >= count);
        tids.extend(list);
        if whole == 2 {
            break;
        }
    }
    tids.sort_unstable();
    tids.dedup();
    Ok(tids)
}

/// What one listing has of them.
fn list_threads(pid: u32) -> io::Result<Vec<u32>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))?.take(MAX_THREADS);
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Where a thread waits in the kernel. None if it runs, or may not be read.
pub(super) fn blocked_at(pid: u32, tid: u32) -> Option<Blocked> {
    // The count first: if the thread runs between the two reads, a later check finds another count.
    let status = read_text(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let sleeps = number_field(&status, "voluntary_ctxt_switches")?;
    let (pc, sp) = parse_syscall(&read_text(format!("/proc/{pid}/task/{tid}/syscall")).ok()?)?;
    Some(Blocked { pc, sp, sleeps })
}

/// Where a thread waits that does not stop when it is told to: in the call that ends the process (a seccomp filter
/// holds it), or in a sleep that no signal ends (state D). None for any other thread.
pub(super) fn held_at(pid: u32, tid: u32) -> Option<Blocked> {
    let held = is_in_end(pid, tid).ok()?? || sleeps_deeply(pid, tid);
    if held { blocked_at(pid, tid) } else { None }
}

/// Whether a thread is held in the call that ends the process, and does not stop before it goes on.
pub(super) fn is_held_at_end(pid: u32, tid: u32) -> bool {
    matches!(is_in_end(pid, tid), Ok(Some(true))) && sleeps_deeply(pid, tid)
}

/// Whether a thread waits in the call that ends the process. None if it waits in no call.
///
/// # Errors
/// It has ended, or may not be read.
pub(super) fn is_in_end(pid: u32, tid: u32) -> io::Result<Option<bool>> {
    let line = read_text(format!("/proc/{pid}/task/{tid}/syscall"))?;
    let number = line.split_ascii_whitespace().next().and_then(|text| text.parse::<libc::c_long>().ok());
    Ok(number.map(|number| number == libc::SYS_exit_group))
}

/// Whether a thread is in a sleep that no signal ends, other than SIGKILL at best.
fn sleeps_deeply(pid: u32, tid: u32) -> bool {
    Stat::read_thread(pid, tid).is_ok_and(|stat| stat.state == 'D')
}

/// Program counter and stack pointer, the last two fields of a syscall file. They follow the number of a
/// system call and its six arguments, or -1 if the thread waits for something else. A running thread has
/// neither.
fn parse_syscall(line: &str) -> Option<(u64, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    let [.., sp, pc] = fields.as_slice() else { return None };
    let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    matches!(fields.len(), 3 | 9).then_some((hex(pc)?, hex(sp)?))
}

/// The arguments of a process, as the process sees them.
pub(super) fn command(pid: u32) -> io::Result<Vec<String>> {
    let bytes = read_bounded(format!("/proc/{pid}/cmdline"), SMALL)?;
    Ok(split_arguments(&bytes))
}

/// Splits arguments that end with NUL bytes.
pub(super) fn split_arguments(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|&byte| byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The path of a process's executable, as the process sees it, without the kernel's " (deleted)" mark.
pub(super) fn exe(pid: u32) -> io::Result<String> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe"))?;
    let path = path.to_string_lossy();
    Ok(path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned())
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "42 (a) R 1 (b) S 1 42 42 0 -1 4194304 10 0 0 0 7 8 0 0 20 0 3 0 5555 1000 99 0";
        let stat = Stat::parse(text).expect("parses");
        assert_eq!(stat.comm, "a) R 1 (b");
        assert_eq!((stat.state, stat.utime, stat.stime), ('S', 7, 8));
        assert_eq!((stat.threads, stat.start_ticks), (3, 5555));
    }

    #[test]
    fn short_and_empty_stat_files_are_refused() {
        for text in ["", "42", "42 (x", "42 (x)", ")(", "42 (x) S 1 2 3"] {
            assert_eq!(Stat::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn place_of_a_blocked_thread() {
        let pause = "34 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffe07c46408 0x7f720d7ca2ad\n";
        assert_eq!(parse_syscall(pause), Some((0x7f72_0d7c_a2ad, 0x7ffe_07c4_6408)));
        assert_eq!(
            parse_syscall("-1 0x7ffe07c46408 0x7f720d7ca2ad"),
            Some((0x7f72_0d7c_a2ad, 0x7ffe_07c4_6408))
        );
        for line in ["running\n", "", "-1", "34 1 2", "34 0x1", "0 1 2", "1 2 3 4 5 6 7 8 9 10 11"] {
            assert_eq!(parse_syscall(line), None, "{line:?}");
        }
    }

    #[test]
    fn arguments_may_be_empty_but_the_last_end_is_no_argument() {
        assert_eq!(split_arguments(b"a\0\0b\0"), ["a", "", "b"]);
        assert!(split_arguments(b"").is_empty());
    }

    /// Threads end while the list is made; one that lives is in every list.
    #[test]
    fn a_thread_that_lives_is_listed_while_others_end() {
        let mut cut = 0;
        for round in 0..1000 {
            let end = AtomicBool::new(false);
            let (tell, told) = mpsc::channel();
            let (stay, wait) = mpsc::channel::<()>();
            std::thread::scope(|scope| {
                for dying in 0..4 {
                    let end = &end;
                    scope.spawn(move || {
                        while !end.load(Ordering::Relaxed) {
                            std::thread::yield_now();
                        }
                        (0..(round * 7 + dying * 131) % 500).for_each(|_| std::hint::spin_loop());
                    });
                }
                scope.spawn(move || {
                    tell.send(nix::unistd::gettid().as_raw().cast_unsigned()).expect("it is asked for");
                    let _ = wait.recv();
                });
                let lives = told.recv().expect("it says its number");
                end.store(true, Ordering::Relaxed);
                for _ in 0..12 {
                    let lists = |list: fn(u32) -> io::Result<Vec<u32>>| {
                        list(std::process::id()).expect("listed").contains(&lives)
                    };
                    assert!(lists(threads), "round {round}");
                    cut += u32::from(!lists(list_threads));
                }
                drop(stay);
            });
        }
        eprintln!("{cut} of 12,000 listings alone lacked it");
    }
}
