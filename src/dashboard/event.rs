//! What the loop of the dashboard waits for.

use std::io;

use super::update::Event;

/// An event that the loop handles.
#[derive(Debug)]
pub(super) enum Happened {
    /// Something for the state.
    Event(Event),
    /// A signal.
    Signal(i32),
    /// The terminal can no longer be read.
    Broken(io::Error),
}
