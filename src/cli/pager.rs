//! Long text on a terminal goes through a pager, if the user has set one.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// `--no-pager` was given.
static UNWANTED: AtomicBool = AtomicBool::new(false);

/// Uses no pager from now on.
pub(super) fn never() {
    UNWANTED.store(true, Ordering::Relaxed);
}

/// The pager that the user has set: LOITER_PAGER, or else PAGER. None: no pager, or one that does not page.
pub(super) fn wanted() -> Option<String> {
    if UNWANTED.load(Ordering::Relaxed) {
        return None;
    }
    let set = env::var("LOITER_PAGER").or_else(|_| env::var("PAGER")).ok()?;
    let command = set.trim();
    (!command.is_empty() && command != "cat").then(|| command.to_owned())
}

/// Shows `text` in a pager. It is not an error if the pager does not read everything. False if the pager cannot be
/// started.
///
/// # Errors
/// Errors of writing to it, except that it has ended.
pub(super) fn show(command: &str, text: &[u8]) -> io::Result<bool> {
    let mut pager = Command::new("sh");
    pager.args(["-c", command]).stdin(Stdio::piped());
    // less ends at once if everything fits, keeps colours and leaves the text on the screen.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if env::var_os(name).is_none() {
            pager.env(name, value);
        }
    }
    let Ok(mut child) = pager.spawn() else { return Ok(false) };
    // Ctrl-C is meant for the pager; without loiter, it would compete with the shell for the keys.
    let ignored = Ignored::new(Signal::SIGINT);
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text));
    let status = child.wait();
    drop(ignored);
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        // The shell's exit code for a command that does not exist.
        _ => Ok(status.is_ok_and(|status| status.code() != Some(127))),
    }
}

/// A signal that is ignored while this lives.
struct Ignored(Signal, Option<SigAction>);

impl Ignored {
    fn new(signal: Signal) -> Self {
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: ignoring a signal runs none of loiter's code.
        Ignored(signal, unsafe { sigaction(signal, &ignore) }.ok())
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        if let Some(before) = &self.1 {
            // SAFETY: restores the previous action.
            let _ = unsafe { sigaction(self.0, before) };
        }
    }
}
