//! Moving around in the flame graph.

use super::Command;
use crate::dashboard::flame::{beside, cells, widest_child};
use crate::dashboard::keys::Action;
use crate::dashboard::layout::areas;
use crate::dashboard::state::AppState;

/// Up, down, beside, or into a frame.
pub(super) fn walk(state: &mut AppState, action: Action) -> Vec<Command> {
    let tables = std::sync::Arc::clone(&state.tables);
    let Some(flame) = &tables.flame else { return Vec::new() };
    let (selected, zoomed) = (state.frame.find(flame), state.frame.zoomed(flame));
    let to = match action {
        Action::Up if selected == zoomed => None,
        Action::Up => Some(flame.node(selected).parent),
        Action::Down => widest_child(flame, selected),
        Action::Left | Action::Right => {
            let cells = cells(flame, zoomed, areas(state).rows.width);
            beside(&cells, selected, action == Action::Right)
        }
        _ => {
            state.frame.select(flame, selected);
            state.frame.zoom = state.frame.names.len();
            None
        }
    };
    if let Some(to) = to {
        state.frame.select(flame, to);
    }
    Vec::new()
}
