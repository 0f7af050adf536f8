//! Ctrl-Z waits while a target is held.
//!
//! The signals of job control stop loiter in the middle of its work. While a target is held, the target would
//! stay stopped too. So these signals are recorded and take effect when it has been let go. A program that
//! handles them in its own way is left alone; it uses [`while_nothing_is_held`].

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The signals that stop a process and can be held back. SIGSTOP cannot.
const SIGNALS: [libc::c_int; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// Which of them have arrived while something was held.
static CAME: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// The number of current stops.
static HOLDS: Mutex<usize> = Mutex::new(0);
static NONE_LEFT: Condvar = Condvar::new();

fn holds() -> MutexGuard<'static, usize> {
    // A number is consistent at every moment.
    HOLDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this exists, the signals of job control wait.
#[derive(Debug)]
pub(super) struct HeldBack(());

impl HeldBack {
    pub(super) fn new() -> HeldBack {
        let mut holds = holds();
        if *holds == 0 {
            SIGNALS.iter().for_each(|&signal| replace(signal, libc::SIG_DFL, note_address()));
        }
        *holds = holds.saturating_add(1);
        HeldBack(())
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        let mut holds = holds();
        *holds = holds.saturating_sub(1);
        if *holds > 0 {
            return;
        }
        for (&signal, came) in SIGNALS.iter().zip(&CAME) {
            replace(signal, note_address(), libc::SIG_DFL);
            if came.swap(false, Ordering::SeqCst) {
                // Here loiter stops until it is continued. No other thread can begin to hold anything: that
                // takes the lock which this thread has.
                // SAFETY: raise takes a number.
                unsafe { libc::raise(signal) };
            }
        }
        NONE_LEFT.notify_all();
    }
}

/// Calls `stop` when no thread and no process is held, and keeps it so meanwhile. For programs that stop
/// themselves: a held target would stay held until they continue, or until its time is over.
#[cfg(feature = "dashboard")]
pub(crate) fn while_nothing_is_held<T>(stop: impl FnOnce() -> T) -> T {
    let _none = NONE_LEFT.wait_while(holds(), |holds| *holds > 0).unwrap_or_else(PoisonError::into_inner);
    stop()
}

extern "C" fn note(signal: libc::c_int) {
    if let Some(came) = SIGNALS.iter().position(|&one| one == signal).and_then(|at| CAME.get(at)) {
        came.store(true, Ordering::SeqCst);
    }
}

fn note_address() -> libc::sighandler_t {
    note as extern "C" fn(libc::c_int) as usize
}

/// Sets the action of a signal, if its current action is the expected one.
fn replace(signal: libc::c_int, expected: libc::sighandler_t, new: libc::sighandler_t) {
    // SAFETY: all zeros is a valid sigaction; both structs live through the calls; `new` is the default or
    // `note`, which only stores a flag.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, ptr::null(), &raw mut action) == 0 && action.sa_sigaction == expected {
            action = std::mem::zeroed();
            action.sa_sigaction = new;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}
