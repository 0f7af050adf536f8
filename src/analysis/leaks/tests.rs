//! Rules on series that are made by hand.

use crate::snapshot::*;

/// A waiting task of which only the id is known.
pub(crate) fn task(id: u64) -> Task {
    Task {
        runtime: 0,
        id: Some(id),
        address: 0xc000 + id * 0x200,
        state: State::Waiting,
        reason: None,
        age: Age::Unknown,
        lifetime_ns: None,
        polls: None,
        mark: Some(id),
        parent: None,
        creator: None,
        entry: None,
        labels: None,
        thread: None,
        locked_to_thread: false,
        system: false,
        leaked: false,
        stack: None,
        stack_status: StackStatus::Complete,
        stack_bytes: 2048,
        waits: (0, 0),
    }
}
