//! The filter that turns the end of a program into a question, and the answers.
//!
//! A seccomp filter sends each `exit_group` of a process, and of those that it starts, to a listener; the kernel holds
//! the call until there is an answer (seccomp_unotify(2)). The filter looks at nothing but the number of the call, so
//! the kernel remembers its verdict on all others (Linux 5.11) and they cost nothing more.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// `AUDIT_ARCH_X86_64` of `linux/audit.h`.
const X86_64: u32 = 0xc000_003e;
/// A call that the kernel does not have. The process that installs the filter makes it once, to see that there is an
/// answer.
const PROBE: u32 = 0x10c0;
/// The answer to it.
const PROBED: i64 = 77;
/// The kernel makes a call again that ends with this error while a signal or a stop is pending (`ERESTARTNOINTR` of
/// `linux/errno.h`).
const AGAIN: i32 = 513;

/// A call that the kernel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// The kernel's number of this question.
    pub(super) id: u64,
    /// The thread that makes the call, in the pid namespace of the caller.
    pub(super) tid: u32,
    /// It is the probe and not the end of a program.
    pub(super) is_probe: bool,
}

/// What a held thread is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Make the call.
    GoOn,
    /// Make it again, after the stop that is pending.
    Again,
    /// To the probe: it has arrived.
    Probed,
    /// There is no such call: to a program that makes the probe's call.
    NoSuchCall,
}

/// Installs the filter for this thread and all that it starts, and returns the listener.
///
/// # Errors
/// EBUSY if there is a listener above already; EPERM, EACCES, ENOSYS or EINVAL where it is not allowed or not known.
pub(super) fn install() -> Result<OwnedFd, Errno> {
    let killable = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    match try_to_install(killable) {
        // Linux before 5.19: signals with a handler interrupt a held call, which begins anew then.
        Err(Errno::EINVAL) => try_to_install(0),
        other => other,
    }
}

fn try_to_install(flags: libc::c_ulong) -> Result<OwnedFd, Errno> {
    match with_listener(flags) {
        // Without CAP_SYS_ADMIN a process must first give up the rights of setuid programs.
        Err(Errno::EACCES) => {
            nix::sys::prctl::set_no_new_privs()?;
            with_listener(flags)
        }
        other => other,
    }
}

fn with_listener(flags: libc::c_ulong) -> Result<OwnedFd, Errno> {
    let (load, jump) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    let give = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut steps = [
        step(load, 0, 0, offset_of!(libc::seccomp_data, arch) as u32),
        step(jump, 0, 4, X86_64),
        step(load, 0, 0, offset_of!(libc::seccomp_data, nr) as u32),
        step(jump, 1, 0, libc::SYS_exit_group as u32),
        step(jump, 0, 1, PROBE),
        step(give, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    let flags = flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: `program` points to `steps`, which are as many as it says and live through the call; the kernel copies
    // them.
    let fd =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(Errno::last)?;
    // SAFETY: the kernel has just returned this descriptor, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the call that the filter knows as the probe. True if it was answered: if not, nothing answers the end of the
/// program either.
pub(super) fn probe() -> bool {
    // SAFETY: the kernel has no call with this number: it touches nothing.
    let answer = unsafe { libc::syscall(libc::c_long::from(PROBE), 0) };
    answer == PROBED
}

/// Ends this process although nothing answers the filter: only for a process with a single thread.
pub(super) fn end_unfiltered(status: i32) -> ! {
    loop {
        // SAFETY: the call ends the only thread, and so the process.
        unsafe { libc::syscall(libc::SYS_exit, status) };
    }
}

/// Takes the next held call from the listener. None if there is none any more: its thread was killed meanwhile.
pub(super) fn receive(listener: &OwnedFd) -> io::Result<Option<Call>> {
    // SAFETY: all of it is numbers, for which zeros are valid; the kernel wants zeros.
    let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills `question`, which is as large as the number of the call says.
    let got = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut question) };
    if got != 0 {
        return match Errno::last() {
            Errno::ENOENT | Errno::EINTR => Ok(None),
            errno => Err(errno.into()),
        };
    }
    let is_probe = question.data.nr == PROBE as i32;
    Ok(Some(Call { id: question.id, tid: question.pid, is_probe }))
}

/// Answers a held call.
///
/// # Errors
/// ENOENT if it is not there any more, EINPROGRESS if it was answered.
pub(super) fn answer(listener: &OwnedFd, id: u64, answer: Answer) -> Result<(), Errno> {
    let (val, error, flags) = match answer {
        Answer::GoOn => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Again => (0, -AGAIN, 0),
        Answer::Probed => (PROBED, 0, 0),
        Answer::NoSuchCall => (0, -libc::ENOSYS, 0),
    };
    let mut response = libc::seccomp_notif_resp { id, val, error, flags };
    // SAFETY: the kernel reads `response`, which is as large as the number of the call says.
    let sent =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
    if sent == 0 { Ok(()) } else { Err(Errno::last()) }
}
