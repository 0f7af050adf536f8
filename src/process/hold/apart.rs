//! What makes a process of loiter that accompanies a program invisible to it: a session of its own, no descriptor of
//! the program's, a name of its own.

use std::fs;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::setsid;

use super::super::proc;

/// The signals that would end or stop the process. The program decides when it ends; who ends both with SIGKILL ends
/// the program, too.
const IGNORED: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGPIPE,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGALRM,
];

/// A session of its own: the terminal's signals do not reach it, and shells do not list it.
pub(super) fn leave_session() {
    // It fails only for the leader of a group, which a process that was just forked is not.
    let _ = setsid();
    for one in IGNORED {
        // SAFETY: no handler of ours is installed.
        let _ = unsafe { signal(one, SigHandler::SigIgn) };
    }
}

/// Closes every descriptor from 3 on but these: pipes that the caller waits for would stay open.
pub(super) fn keep_only(kept: &[RawFd]) {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && !kept.contains(fd)) {
        // SAFETY: no code of this process uses the descriptor any more: it was forked to use `kept` only. The one that
        // listed the directory is closed already.
        unsafe { libc::close(fd) };
    }
}

/// Puts /dev/null in the place of these standard descriptors.
pub(super) fn silence(fds: &[RawFd]) {
    let Ok(null) = fs::File::options().read(true).write(true).open("/dev/null") else { return };
    for &fd in fds {
        // SAFETY: dup2 takes two integers. The standard descriptors belong to nobody in particular.
        unsafe { libc::dup2(null.as_raw_fd(), fd) };
    }
}

/// Gives the process another name, so that ending all processes named loiter does not end it.
pub(super) fn rename(name: &std::ffi::CStr) {
    let _ = nix::sys::prctl::set_name(name);
    // The arguments lie where the kernel says: fields 48 and 49 of proc(5).
    let Ok(text) = proc::read_text("/proc/self/stat") else { return };
    let Some((_, fields)) = text.rsplit_once(") ") else { return };
    let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse::<usize>().ok();
    let (Some(start), Some(end)) = (field(48), field(49)) else { return };
    let bytes = name.to_bytes();
    if start == 0 || end.saturating_sub(start) <= bytes.len() {
        return;
    }
    // SAFETY: the kernel put the arguments between `start` and `end`, on this process's own stack. They stay texts that
    // end with NUL bytes, and this process, which has one thread, does not look at its arguments any more.
    unsafe {
        std::ptr::write_bytes(start as *mut u8, 0, end - start);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start as *mut u8, bytes.len());
    }
}

/// If memory is short, the kernel ends this process before others.
pub(super) fn volunteer() {
    // It may be forbidden; the kernel then chooses as usual.
    let _ = fs::write("/proc/self/oom_score_adj", "800");
}
