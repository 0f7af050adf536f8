//! What loiter inherited and Rust's runtime has changed before `main`, so that the program inherits it unchanged.

use std::sync::atomic::{AtomicU32, Ordering};

/// One bit each: SIGPIPE was ignored, SIGXFSZ was ignored, descriptor 0, 1 or 2 was closed.
static INHERITED: AtomicU32 = AtomicU32::new(0);

const PIPE: u32 = 1;
const FILE_SIZE: u32 = 2;
/// Descriptor 0; the others follow.
const CLOSED: u32 = 4;

/// The C library calls this before Rust's runtime begins, which ignores SIGPIPE and opens /dev/null for closed
/// descriptors.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    let mut found = 0;
    // SAFETY: all zeros is a valid sigaction, which sigaction only writes to.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    for (signal, bit) in [(libc::SIGPIPE, PIPE), (libc::SIGXFSZ, FILE_SIZE)] {
        // SAFETY: no new action is given, and `action` is valid to write to.
        let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
        if asked == 0 && action.sa_sigaction == libc::SIG_IGN {
            found |= bit;
        }
    }
    for fd in 0..3 {
        // SAFETY: fcntl with F_GETFD takes two integers.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            found |= CLOSED << fd;
        }
    }
    INHERITED.store(found, Ordering::Relaxed);
}

/// Makes signals and descriptors what they were when loiter was started. For a process that is about to become another
/// program.
pub(super) fn restore() {
    let found = INHERITED.load(Ordering::Relaxed);
    for (signal, bit) in [(libc::SIGPIPE, PIPE), (libc::SIGXFSZ, FILE_SIZE)] {
        let action = if found & bit != 0 { libc::SIG_IGN } else { libc::SIG_DFL };
        // SAFETY: it sets one of the two actions that are no functions.
        unsafe { libc::signal(signal, action) };
    }
    for fd in 0..3 {
        if found & (CLOSED << fd) != 0 {
            // SAFETY: Rust's runtime opened /dev/null here, and this process prints nothing any more.
            unsafe { libc::close(fd) };
        }
    }
}
