//! The mouse.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{Command, go, open, step, tab_at};
use crate::dashboard::flame::cells;
use crate::dashboard::layout::areas;
use crate::dashboard::query::View;
use crate::dashboard::state::AppState;

/// Lines that one notch of the wheel moves.
const NOTCH: i64 = 3;

/// A click selects, a click on the selected line opens it; the wheel moves.
pub(super) fn on_mouse(state: &mut AppState, mouse: MouseEvent) -> Vec<Command> {
    match mouse.kind {
        MouseEventKind::ScrollUp => wheel(state, -NOTCH),
        MouseEventKind::ScrollDown => wheel(state, NOTCH),
        MouseEventKind::Down(MouseButton::Left) => return click(state, mouse.column, mouse.row),
        _ => {}
    }
    Vec::new()
}

fn wheel(state: &mut AppState, lines: i64) {
    match &mut state.help {
        Some(line) if lines < 0 => *line = line.saturating_sub(NOTCH as usize),
        Some(line) => *line = (*line + NOTCH as usize).min(super::keys::BINDINGS.len()),
        None => step(state, lines),
    }
}

fn click(state: &mut AppState, column: u16, row: u16) -> Vec<Command> {
    if state.help.take().is_some() {
        return Vec::new();
    }
    state.prompt = None;
    let areas = areas(state);
    let at = Position::new(column, row);
    if areas.tabs.contains(at) {
        return tab_at(state, column).map_or(Vec::new(), |view| go(state, view));
    }
    if !areas.rows.contains(at) {
        return Vec::new();
    }
    let line = usize::from(row - areas.rows.y);
    if state.query.view == View::Flame {
        click_frame(state, column, line);
        return Vec::new();
    }
    let Some(list) = state.list() else { return Vec::new() };
    let line = state.cursor(list).top + line;
    if line >= state.len(list) {
        return Vec::new();
    }
    if state.cursor(list).at == line {
        return open(state);
    }
    state.cursor(list).at = line;
    Vec::new()
}

fn click_frame(state: &mut AppState, column: u16, line: usize) {
    let tables = std::sync::Arc::clone(&state.tables);
    let Some(flame) = &tables.flame else { return };
    let rows = areas(state).rows;
    let zoomed = state.frame.zoomed(flame);
    let line = line + super::super::flame::top_row(&state.frame, rows.height.into());
    let cells = cells(flame, zoomed, rows.width);
    let hit = cells.iter().find(|cell| cell.row == line && (cell.x..cell.x + cell.width).contains(&column));
    let Some(cell) = hit else { return };
    if state.frame.find(flame) == cell.node {
        state.frame.zoom = state.frame.names.len();
    } else {
        state.frame.select(flame, cell.node);
    }
}
