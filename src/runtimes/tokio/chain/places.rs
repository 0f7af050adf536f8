//! Locations in a snapshot of the places where tasks await.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::layout::{State, StateMachine};
use crate::code::{CodeBuilder, FunctionKind, Location, LocationId};
use crate::words::rust as words;

/// The locations of states, by their addresses here. They hold for one snapshot: each is verified when it is used.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: FxHashMap<(usize, usize), (Arc<StateMachine>, LocationId)>,
}

impl Places {
    /// The location of the state with a number of an async function.
    pub(super) fn location(
        &mut self,
        machine: &Arc<StateMachine>,
        nth: usize,
        code: &mut CodeBuilder,
    ) -> Option<LocationId> {
        let (_, state) = machine.states.get(nth)?;
        let key = (Arc::as_ptr(machine) as usize, nth);
        if let Some((_, id)) = self.known.get(&key).filter(|(_, id)| is_same(*id, machine, state, code)) {
            return Some(*id);
        }
        let role = words::role(&machine.name);
        let function = code.function_with(&machine.name, package(&machine.name), FunctionKind::Normal, role);
        let frame = code.frame(function, &state.file, state.line);
        let id = code.location(Location::in_source(vec![frame]));
        self.known.insert(key, (Arc::clone(machine), id));
        Some(id)
    }
}

/// Whether a location of this snapshot is that of a state: the id may be of another snapshot.
fn is_same(id: LocationId, machine: &StateMachine, state: &State, code: &CodeBuilder) -> bool {
    let Some([frame]) = code.locations().get(id.index()).map(|location| location.frames.as_slice()) else {
        return false;
    };
    let name = code.function_at(frame.function).map(|function| code.text(function.name));
    frame.line == state.line && name == Some(&*machine.name) && code.text(frame.file) == &*state.file
}

/// The crate that a function is in.
fn package(name: &str) -> &str {
    name.split("::").next().unwrap_or("")
}
