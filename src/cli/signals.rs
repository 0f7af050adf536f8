//! Ctrl-C and SIGTERM that end a long command early but keep what it has.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::error::{CliError, Result};

/// Sets `stop` on Ctrl-C and SIGTERM. A second one ends loiter.
pub(super) fn stop_on_signals(stop: &Arc<AtomicBool>) -> Result {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal finds the flag unset and passes the first handler.
        let second = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(stop));
        let first = second.and_then(|_| signal_hook::flag::register(signal, Arc::clone(stop)));
        first.map_err(|source| CliError::Io { what: "cannot watch for signals".to_owned(), source })?;
    }
    Ok(())
}
