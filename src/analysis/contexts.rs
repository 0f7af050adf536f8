//! What ends contexts: deadlines, their own and those of their parents.

use rustc_hash::FxHashMap;

use crate::snapshot::{Context, ObjectId, Snapshot, TimerState};

/// At most this many parents of a context are followed. What a target says may lead in circles.
const PARENTS: usize = 100;

/// What a context and its parents say of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Above {
    /// The next deadline: its own, or that of a parent, nanoseconds on CLOCK_MONOTONIC. None if there is none, or if
    /// it is not known.
    pub deadline: Option<u64>,
    /// The channel of the nearest parent that tasks wait for.
    pub parent: Option<ObjectId>,
}

/// What a context and its parents say of its end.
pub fn above(snapshot: &Snapshot, context: &Context) -> Above {
    let mut above = Above::default();
    let mut at = Some(context);
    for level in 0..PARENTS {
        let Some(context) = at else { break };
        if let TimerState::At(time) = context.deadline {
            above.deadline = Some(above.deadline.map_or(time, |known| known.min(time)));
        }
        if level > 0 && above.parent.is_none() {
            above.parent = context.object;
        }
        at = context.parent.and_then(|row| snapshot.links.contexts.get(row as usize));
    }
    above
}

/// The context behind each channel: rows of [`Links::contexts`](crate::snapshot::Links::contexts).
pub fn by_channel(snapshot: &Snapshot) -> FxHashMap<ObjectId, u32> {
    let mut rows = FxHashMap::default();
    for (row, context) in (0..).zip(&snapshot.links.contexts) {
        if let Some(object) = context.object {
            rows.entry(object).or_insert(row);
        }
    }
    rows
}
