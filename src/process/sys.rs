//! System calls that no safe crate wraps in the way needed here.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 { Err(Errno::last()) } else { Ok(result) }
}

fn raw_pid(pid: u32) -> Result<libc::pid_t, Errno> {
    // 0 and negative numbers mean groups of processes to several of these calls.
    libc::pid_t::try_from(pid).ok().filter(|&pid| pid > 0).ok_or(Errno::ESRCH)
}

/// A process descriptor that remains valid after its pid is reused. Linux 5.3 and later.
pub(crate) fn pidfd_open(pid: u32) -> Result<OwnedFd, Errno> {
    let pid = raw_pid(pid)?;
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the process behind a pidfd has ended (all of its threads).
pub(crate) fn pidfd_ended(fd: &OwnedFd) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid pollfd, and the count says one.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready == 1 && poll.revents & libc::POLLIN != 0
}

/// Sends a signal to the process behind a pidfd, if it is still there.
#[cfg(feature = "cli")]
pub(super) fn pidfd_signal(fd: &OwnedFd, signal: i32) {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: pidfd_send_signal takes two integers, no information, and no flags.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, none, 0) };
}

/// Reads from `file` at `offset`, which for /proc/PID/mem is an address.
pub(super) fn pread(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    loop {
        match file.read_at(buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The same for a file, but only what is already in memory: it never waits for a disk or a server. An error
/// if it would have to wait, or if the file system does not support this way of reading.
pub(super) fn pread_cached(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let into = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: `into` describes exactly `buf`, which is ours alone through the call; the kernel writes at most
    // `iov_len` bytes, and any bytes make valid u8.
    let got = unsafe { libc::preadv2(file.as_raw_fd(), &raw const into, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Start and end of the next bytes that are not a hole. None if there are none.
pub(super) fn next_data(file: &File, from: u64) -> io::Result<Option<(u64, u64)>> {
    let from = libc::off_t::try_from(from).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: lseek touches no memory. All reads of this file name their offset, so the seek affects none.
    let start = unsafe { libc::lseek(file.as_raw_fd(), from, libc::SEEK_DATA) };
    if start < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENXIO) { Ok(None) } else { Err(error) };
    }
    // SAFETY: as above.
    let end = unsafe { libc::lseek(file.as_raw_fd(), start, libc::SEEK_HOLE) };
    if end < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Some((start.unsigned_abs(), end.unsigned_abs())))
}

/// CLOCK_MONOTONIC as this process sees it, nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// CLOCK_BOOTTIME as this process sees it, nanoseconds: start times in /proc count from its zero.
pub(super) fn boottime_ns() -> u64 {
    clock_ns(libc::CLOCK_BOOTTIME)
}

/// CPU time of the calling thread, which the load of the machine does not change.
pub(crate) fn thread_cpu_time() -> Duration {
    Duration::from_nanos(clock_ns(libc::CLOCK_THREAD_CPUTIME_ID))
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return 0;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Clock ticks in a second, the unit of times in /proc/PID/stat.
pub(crate) fn ticks_per_second() -> u64 {
    // SAFETY: sysconf takes an integer and returns one.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|&ticks| ticks > 0).unwrap_or(100)
}

/// Lets any process of the same user read this one, where Yama lets only parents do that.
#[cfg(feature = "demo")]
pub(crate) fn allow_readers() {
    // SAFETY: PR_SET_PTRACER takes a number and touches no memory. Without Yama it fails, and is
    // not needed.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0usize, 0usize, 0usize) };
}

/// Lets this process stop and read the program that `command` starts, even if only parents may trace
/// (kernel.yama.ptrace_scope is 1): the tracer is a child of this process, not a parent of the program.
pub(crate) fn let_us_trace(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt;
    let own = std::process::id() as libc::c_ulong;
    let allow = move || {
        // SAFETY: PR_SET_PTRACER takes a number and touches no memory. Without Yama it fails, and is
        // not needed.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, own, 0usize, 0usize, 0usize) };
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call, and allocates nothing.
    unsafe { command.pre_exec(allow) }
}

/// Sends the program that `command` starts SIGTERM when the thread that starts it ends, for whatever reason.
pub(crate) fn end_with_us(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt;
    let own = std::process::id();
    let tie = move || {
        // SAFETY: PR_SET_PDEATHSIG takes a number and touches no memory.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong, 0usize, 0usize, 0usize)
        };
        // loiter may have been killed before that was set.
        // SAFETY: getppid has no arguments and cannot fail.
        let parent = unsafe { libc::getppid() };
        if u32::try_from(parent) == Ok(own) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: between fork and exec it makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(tie) }
}

/// What a program that is about to become itself and its starter use to meet.
pub(crate) struct Meeting {
    /// The child says here that it is there: its pid, four bytes.
    pub(crate) there: io::PipeWriter,
    /// The child waits here for one byte, and gives up if there is none.
    pub(crate) go: io::PipeReader,
    /// The other end of `go`. The child closes its copy.
    pub(crate) starter: std::os::fd::RawFd,
}

/// Lets the program that `command` starts wait before its first instruction, until its starter allows it to go on.
pub(crate) fn meet_before_exec(
    command: &mut std::process::Command,
    meeting: Meeting,
) -> &mut std::process::Command {
    use std::io::{Read, Write};
    use std::os::unix::process::CommandExt;
    let Meeting { mut there, mut go, starter } = meeting;
    let wait = move || {
        // SAFETY: the descriptor is this child's copy, and nothing in it uses it.
        unsafe { libc::close(starter) };
        there.write_all(&std::process::id().to_ne_bytes())?;
        go.read_exact(&mut [0])
    };
    // SAFETY: between fork and exec it closes, writes and reads pipes, and allocates nothing.
    unsafe { command.pre_exec(wait) }
}

/// The id of the calling thread.
pub(super) fn thread_id() -> u32 {
    // SAFETY: gettid has no arguments and cannot fail.
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// What `stat` says of the file behind a path, from what the kernel has at hand: a server is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileFacts {
    /// Device number, as `st_dev`.
    pub(super) device: u64,
    /// Inode.
    pub(super) inode: u64,
    /// Kind and rights, as `st_mode`.
    pub(super) mode: u32,
    /// Major and minor number, if it is a device itself.
    pub(super) special: (u32, u32),
}

/// The facts of a file. `follow`: of what a link leads to, and not of the link.
pub(super) fn file_facts(path: &CStr, follow: bool) -> Result<FileFacts, Errno> {
    let no_follow = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    let flags = libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT | no_follow;
    let wanted = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_INO;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: `path` ends with a NUL byte, and `stat` has room for one statx, whose fields are plain numbers.
    let result = unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, wanted, stat.as_mut_ptr()) };
    check(result.into())?;
    // SAFETY: all bytes were set to zero before, and zeros are a valid statx.
    let stat = unsafe { stat.assume_init() };
    Ok(FileFacts {
        device: libc::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        mode: u32::from(stat.stx_mode),
        special: (stat.stx_rdev_major, stat.stx_rdev_minor),
    })
}

/// Fills `into` with an extended attribute of the file behind a path, and returns its length.
pub(super) fn attribute(path: &CStr, name: &CStr, into: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: both texts end with a NUL byte, and the kernel writes at most `into.len()` bytes to `into`.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), into.as_mut_ptr().cast(), into.len()) };
    usize::try_from(len).map_err(|_| Errno::last())
}

/// A netlink socket that answers questions about sockets (sock_diag(7)), of the calling thread's network namespace.
pub(super) fn sock_diag_socket() -> Result<OwnedFd, Errno> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes three integers and touches no memory of ours.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) };
    check(fd.into())?;
    // SAFETY: the kernel has just returned this descriptor, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
