//! Ctrl-C and SIGTERM that end a long command early but keep what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::error::{CliError, Result};
use crate::ending;

/// Sets `stop` on Ctrl-C and SIGTERM. A second one ends loiter.
pub(super) fn stop_on_signals(stop: &Arc<AtomicBool>) -> Result {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and passes the first handler.
        let second = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(stop));
        let first = second.and_then(|_| signal_hook::flag::register(signal, Arc::clone(stop)));
        first.map_err(|source| CliError::Io { what: "cannot watch for signals".to_owned(), source })?;
    }
    Ok(())
}

/// The same for a command that also leaves files and children unfinished: a second signal, or one of another kind,
/// removes these before it ends loiter.
pub(super) fn stop_on_first_signal(stop: &Arc<AtomicBool>) -> Result {
    ending::signals_are_handled_elsewhere();
    let failed = |source| CliError::Io { what: "cannot watch for signals".to_owned(), source };
    let mut signals = Signals::new(ending::ending_signals()).map_err(failed)?;
    let stop = Arc::clone(stop);
    let wait = move || {
        for signal in signals.forever() {
            if !matches!(signal, SIGINT | SIGTERM | SIGHUP) || stop.swap(true, Ordering::Relaxed) {
                ending::clean_up();
                ending::end_by(signal);
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(failed)?;
    Ok(())
}
