//! Which signals end a process, and how to end by one.

use std::fs;

use libc::{SIGIO, SIGPWR, SIGRTMAX, SIGRTMIN, SIGSTKFLT, c_int};
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGBUS, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGSYS, SIGTERM, SIGTRAP, SIGUSR1, SIGUSR2,
    SIGVTALRM, SIGXCPU,
};

/// Signals that end a process and that may come from outside. SIGPIPE and SIGXFSZ are errors here, and faults
/// (SIGSEGV, SIGILL, SIGFPE) are not waited for: the thread that has one does not go on.
const NAMED: [c_int; 17] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTRAP, SIGABRT, SIGBUS, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGSTKFLT,
    SIGXCPU, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSYS,
];

/// All signals that end a process and can be waited for, without those that whoever started loiter wants to
/// be ignored, as nohup does.
pub(crate) fn all() -> Vec<c_int> {
    let ignored = ignored();
    let all = NAMED.into_iter().chain(SIGRTMIN()..=SIGRTMAX());
    all.filter(|signal| ignored >> (signal - 1) & 1 == 0).collect()
}

/// Bit by bit, from signal 1 on. 0 if that cannot be found out.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Ends this process by a signal, as if it had never been caught.
pub(crate) fn end_by(signal: c_int) -> ! {
    // SAFETY: the default action, an empty set and a set with one signal are valid arguments; nothing of
    // this program is called or changed by it.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::raise(signal);
    }
    // It did not end: what a shell says of a program that ended by it.
    std::process::exit(128 + signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_not_waited_for() {
        let all = all();
        assert!(all.contains(&SIGTERM) && all.contains(&SIGXCPU) && all.contains(&SIGRTMIN()));
        // Rust's runtime ignores it.
        assert_eq!(ignored() >> (libc::SIGPIPE - 1) & 1, 1);
    }
}
