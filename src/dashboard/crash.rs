//! The terminal is restored even if the program cannot continue: after a fault, and when memory runs out.

use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use libc::{
    SA_ONSTACK, SA_SIGINFO, SIG_DFL, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP, TCSANOW,
    c_int, c_void, sigaction, siginfo_t, termios,
};

/// Signals of a thread that cannot continue.
const FATAL: [c_int; 7] = [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP];

/// Turns off bracketed paste and the mouse, leaves the alternate screen, shows the cursor.
const LEAVE: &[u8] =
    b"\x1b[?2004l\x1b[?1006l\x1b[?1015l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1049l\x1b[?25h";

/// The terminal as it was.
struct Before {
    fd: RawFd,
    mode: termios,
    /// The previous handler of each of [`FATAL`].
    actions: [sigaction; FATAL.len()],
}

static BEFORE: OnceLock<Before> = OnceLock::new();

/// From here on a fault restores the terminal to its present state. Does nothing without a terminal.
pub(super) fn give_terminal_back() {
    let Some((fd, mode)) = terminal() else { return };
    let actions = FATAL.map(|signal| {
        let mut action = MaybeUninit::<sigaction>::zeroed();
        // SAFETY: the call only asks; the structure is of the kernel's type, and zeros are a valid value of it.
        unsafe {
            sigaction(signal, ptr::null(), action.as_mut_ptr());
            action.assume_init()
        }
    });
    if BEFORE.set(Before { fd, mode, actions }).is_err() {
        return;
    }
    for signal in FATAL {
        // SAFETY: zeros are a valid structure, with an empty set of blocked signals; `fatal` has the type that
        // SA_SIGINFO wants and calls only what may be called in a signal handler.
        unsafe {
            let mut action: sigaction = std::mem::zeroed();
            action.sa_sigaction = fatal as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
            action.sa_flags = SA_SIGINFO | SA_ONSTACK;
            sigaction(signal, &action, ptr::null_mut());
        }
    }
}

/// The terminal and its mode. It stays open until loiter ends.
fn terminal() -> Option<(RawFd, termios)> {
    let fd = std::fs::File::options().read(true).write(true).open("/dev/tty").ok()?.into_raw_fd();
    let mut mode = MaybeUninit::<termios>::zeroed();
    // SAFETY: the structure is of the type that the call fills, and zeros are a valid value of it.
    unsafe { (libc::tcgetattr(fd, mode.as_mut_ptr()) == 0).then(|| (fd, mode.assume_init())) }
}

/// Restores the terminal, and lets the signal do what it would have done.
extern "C" fn fatal(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let Some(before) = BEFORE.get() else { return };
    // SAFETY: all of these may be called in a signal handler; what they point to lives as long as the program,
    // and `info` as long as the handler.
    unsafe {
        libc::write(before.fd, LEAVE.as_ptr().cast(), LEAVE.len());
        libc::tcsetattr(before.fd, TCSANOW, &before.mode);
        // A fault recurs when the handler returns, and then reaches the previous handler: Rust's runtime
        // reports that a stack is too small. A signal that was only sent does not recur.
        let fault = (*info).si_code > 0;
        let nth = FATAL.iter().position(|one| *one == signal).filter(|_| fault);
        match nth.and_then(|nth| before.actions.get(nth)) {
            Some(action) => _ = sigaction(signal, action, ptr::null_mut()),
            None => {
                libc::signal(signal, SIG_DFL);
                libc::raise(signal);
            }
        }
    }
}
