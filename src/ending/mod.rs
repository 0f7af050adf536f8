//! How loiter ends on a signal: unfinished things are removed.
//!
//! A file half written, the directory of a tour, a server that was started for it: the code that creates such
//! a thing first makes a note here, and withdraws the note once the thing is finished or gone. Without notes,
//! signals end loiter like any program, and no handler is installed. With the first note, a thread begins to
//! wait for signals. It removes what is noted and then ends loiter by that same signal, so that the sender
//! sees what it expects.
//!
//! Only loiter's own program, which calls [`begin`], does so. Another program that uses the library never
//! gets a handler of loiter.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use signal_hook::consts::SIGXFSZ;
use signal_hook::iterator::Signals;

mod signals;

pub(crate) use signals::{all as ending_signals, end_by};

/// loiter waits for a killed child this often, this long each time: 2 s in all.
const WAITS: u32 = 200;
const WAIT: Duration = Duration::from_millis(10);

/// What is unfinished.
#[derive(Debug, Clone)]
enum Thing {
    File(PathBuf),
    Directory(PathBuf),
    Child(Pid),
}

/// A note that something is unfinished. Dropping it withdraws the note; the thing stays.
#[derive(Debug)]
pub(crate) struct Unfinished(u64);

/// Everything that is noted, and the number of the next note.
static NOTES: Mutex<(u64, Vec<(u64, Thing)>)> = Mutex::new((0, Vec::new()));

/// Whether this is loiter's own program, which may handle its signals.
static OURS: AtomicBool = AtomicBool::new(false);

/// Other code waits for the signals, and calls [`clean_up`].
static ELSEWHERE: AtomicBool = AtomicBool::new(false);

fn notes() -> MutexGuard<'static, (u64, Vec<(u64, Thing)>)> {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unfinished {
    /// A file that is about to be made. No other code may use its name.
    pub(crate) fn file(path: PathBuf) -> Self {
        Self::note(Thing::File(path))
    }

    /// A directory that is about to be made, with everything in it.
    pub(crate) fn directory(path: PathBuf) -> Self {
        Self::note(Thing::Directory(path))
    }

    /// A child process that is not waited for before the note is withdrawn.
    pub(crate) fn child(pid: u32) -> Self {
        Self::note(Thing::Child(Pid::from_raw(pid as i32)))
    }

    fn note(thing: Thing) -> Self {
        wait_for_signals();
        let mut notes = notes();
        notes.0 += 1;
        let number = notes.0;
        notes.1.push((number, thing));
        Unfinished(number)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        notes().1.retain(|(number, _)| *number != self.0);
    }
}

/// Called once by loiter's own program. From here on, loiter waits for the signals that end it while
/// something is noted. Exceeding the limit on the size of files becomes an error (EFBIG) that is reported,
/// not the end.
pub(crate) fn begin() {
    OURS.store(true, Ordering::SeqCst);
    // A flag that is never read: unlike an ignored signal, it is not inherited by children. If it cannot be
    // set, loiter ends as it would without it.
    let _ = signal_hook::flag::register(SIGXFSZ, AtomicBool::new(false).into());
}

/// From here on the caller waits for [`ending_signals`] and calls [`clean_up`] before it ends.
pub(crate) fn signals_are_handled_elsewhere() {
    ELSEWHERE.store(true, Ordering::SeqCst);
}

/// Removes everything that is noted. A thread that wants to add a note waits until loiter has ended.
pub(crate) fn clean_up() {
    let notes = notes();
    let children = notes.1.iter().filter_map(|(_, thing)| match thing {
        Thing::Child(pid) => Some(*pid),
        _ => None,
    });
    // They might write to what is removed next. An error because something is already gone is fine.
    for pid in children {
        let _ = kill(pid, Signal::SIGKILL);
        for _ in 0..WAITS {
            match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(status) if status.pid().is_none() => thread::sleep(WAIT),
                Err(Errno::EINTR) => {}
                _ => break,
            }
        }
    }
    for (_, thing) in &notes.1 {
        let _ = match thing {
            Thing::File(path) => fs::remove_file(path),
            Thing::Directory(path) => fs::remove_dir_all(path),
            Thing::Child(_) => Ok(()),
        };
    }
    // The notes stay locked: no thread finishes anything any more.
    std::mem::forget(notes);
}

/// Starts the thread that waits for signals, once.
fn wait_for_signals() {
    static ONCE: Once = Once::new();
    if !OURS.load(Ordering::SeqCst) || ELSEWHERE.load(Ordering::SeqCst) {
        return;
    }
    ONCE.call_once(|| {
        // Without the handler loiter ends as usual, and something may stay.
        let Ok(mut signals) = Signals::new(ending_signals()) else { return };
        let wait = move || {
            if let Some(signal) = signals.forever().next() {
                clean_up();
                end_by(signal);
            }
        };
        if thread::Builder::new().name("signals".to_owned()).spawn(wait).is_err() {
            tracing::warn!("no thread for signals: if one ends loiter, something may stay");
        }
    });
}
