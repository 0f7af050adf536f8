//! Which tasks created which.

use ratatui::style::Style;

use super::theme::Canvas;
use super::{Cut, select};
use crate::dashboard::layout::Areas;
use crate::dashboard::state::AppState;
use crate::report::units::thousands;

/// Columns of the place at the right.
const PLACE: u16 = 22;
const TREE: u16 = 23;
/// Columns of the counts.
const ALL: (u16, u16) = (1, 9);
const OWN: (u16, u16) = (12, 9);

/// Draws the open branches.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    let (y, width) = (areas.body.y, areas.body.width);
    let title = canvas.theme.title();
    canvas.right(ALL.0, y, ALL.1, "ALL TASKS", title);
    canvas.right(OWN.0, y, OWN.1, "OWN", title);
    let place = if width >= 70 { PLACE } else { 0 };
    let room = width.saturating_sub(TREE + place + 1);
    canvas.put(TREE, y, room, "ENTRY FUNCTION", title);
    if place > 0 {
        canvas.put(width - place, y, place, "CREATED AT", title);
    }
    let tree = &state.tables.creators;
    let (cursor, rows) = (state.cursors.creators, areas.rows);
    for (line, at) in state.branches().into_iter().enumerate().skip(cursor.top).take(rows.height.into()) {
        let Some(node) = tree.nodes.get(at) else { continue };
        let y = rows.y + (line - cursor.top) as u16;
        let theme = canvas.theme;
        canvas.right(ALL.0, y, ALL.1, &thousands(node.total), theme.head());
        canvas.right(OWN.0, y, OWN.1, &thousands(node.own), Style::new());
        let mark = match (node.is_leaf(at), state.is_open(node)) {
            (true, _) => " ",
            (false, true) => theme.pick("▾", "-"),
            (false, false) => theme.pick("▸", "+"),
        };
        // Deep branches still leave room for their name.
        let indent = (node.depth * 2).min(room / 2);
        canvas.raw(TREE + indent, y, 2, mark, theme.title());
        let start = TREE + indent + 2;
        let columns = (TREE + room).saturating_sub(start);
        let name = if node.depth == 0 && !node.creator.is_empty() {
            format!("{}  < {}", node.name, node.creator)
        } else {
            node.name.clone()
        };
        let cut = if node.depth == 0 { Cut::End } else { Cut::Start };
        canvas.cell(start, y, columns, &name, Style::new(), cut);
        if place > 0 {
            canvas.cell(width - place, y, place - 1, &node.place, theme.dim(), Cut::Start);
        }
        if line == cursor.at {
            select(canvas, y);
        }
    }
}
