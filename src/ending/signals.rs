//! Which signals end a process, and how to end by a signal.

use std::fs;

use libc::{SIGIO, SIGPWR, SIGRTMAX, SIGRTMIN, SIGSTKFLT, c_int};
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGBUS, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGSYS, SIGTERM, SIGTRAP, SIGUSR1, SIGUSR2,
    SIGVTALRM, SIGXCPU,
};

/// Signals that end a process and may come from outside. SIGPIPE and SIGXFSZ are errors here. Faults
/// (SIGSEGV, SIGILL, SIGFPE) are not waited for: the faulting thread does not continue.
const NAMED: [c_int; 17] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTRAP, SIGABRT, SIGBUS, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGSTKFLT,
    SIGXCPU, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSYS,
];

/// All signals that end a process and can be waited for, except those that were ignored when loiter
/// started, as under nohup.
pub(crate) fn all() -> Vec<c_int> {
    let ignored = ignored();
    let all = NAMED.into_iter().chain(SIGRTMIN()..=SIGRTMAX());
    all.filter(|signal| ignored >> (signal - 1) & 1 == 0).collect()
}

/// One bit per signal, from signal 1 on. 0 if that cannot be found out.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Ends this process by a signal, as if it had never been caught.
pub(crate) fn end_by(signal: c_int) -> ! {
    // SAFETY: the default action, an empty set and a set with one signal are valid arguments; nothing of this
    // program is called or changed.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::raise(signal);
    }
    // It did not end: use the shell's exit code for a program that a signal ended.
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
