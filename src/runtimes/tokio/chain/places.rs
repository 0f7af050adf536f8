//! Where tasks await, in the code table of a snapshot.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Await;
use super::layout::StateMachine;
use crate::code::{CodeBuilder, FunctionKind, Location, LocationId};
use crate::words::rust as words;

/// Places kept.
const MAX_PLACES: usize = 1 << 18;

/// The locations of one snapshot by the state that each stands for.
#[derive(Debug, Default)]
pub(in super::super) struct Places {
    /// By the machine's address, which it keeps while it is in here, and the state's number.
    known: FxHashMap<(usize, usize), (Arc<StateMachine>, LocationId)>,
}

impl Places {
    /// The location of an async function's state.
    pub(in super::super) fn location(&mut self, at: &Await, code: &mut CodeBuilder) -> Option<LocationId> {
        let Await { machine, state: nth } = at;
        let (_, state) = machine.states.get(*nth)?;
        let key = (Arc::as_ptr(machine) as usize, *nth);
        if let Some((_, id)) = self.known.get(&key) {
            return Some(*id);
        }
        let (name, role) = (&machine.name, words::role(&machine.name));
        let function = code.function_with(name, words::module(name), FunctionKind::Normal, role);
        let frame = code.frame(function, &state.file, state.line);
        let id = code.location(Location::in_source(vec![frame]));
        if self.known.len() < MAX_PLACES {
            self.known.insert(key, (Arc::clone(machine), id));
        }
        Some(id)
    }
}
