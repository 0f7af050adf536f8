//! One task.

use ratatui::style::Style;

use super::theme::Canvas;
use super::{Cut, select};
use crate::dashboard::layout::Areas;
use crate::dashboard::state::AppState;
use crate::dashboard::task_detail::{PieceKind, Row};

/// Draws the lines about the task; the selected one is marked.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    let (cursor, area) = (state.cursors.closeup, areas.rows);
    for (nth, row) in state.closeup().iter().enumerate().skip(cursor.top).take(area.height.into()) {
        let y = area.y + (nth - cursor.top) as u16;
        draw_row(canvas, row, y);
        if nth == cursor.at {
            select(canvas, y);
        }
    }
    let dim = canvas.theme.dim();
    let lead = state.lead().map(|lead| format!("Enter: {}   ", lead.name)).unwrap_or_default();
    let hint = format!("{lead}Esc: back   w: why it waits   y: copy");
    canvas.cell(1, areas.pane.y, areas.pane.width.saturating_sub(2), &hint, dim, Cut::End);
}

/// Draws a line.
pub(super) fn draw_row(canvas: &mut Canvas<'_>, row: &Row, y: u16) {
    let (mut x, end) = (0, canvas.buffer.area.right());
    for (kind, text) in &row.pieces {
        let style = match kind {
            PieceKind::Head => canvas.theme.head(),
            PieceKind::State => canvas.theme.state(),
            PieceKind::Title => canvas.theme.title(),
            PieceKind::Dim => canvas.theme.dim(),
            PieceKind::Plain => Style::new(),
        };
        // Already escaped, but perhaps not ASCII. A cut is marked.
        let text = canvas.theme.fit(text, end.saturating_sub(x).into(), Cut::End);
        x = canvas.raw(x, y, end.saturating_sub(x), &text, style);
    }
    if row.link.is_some() {
        let mark = canvas.theme.pick(" →", " ->");
        let dim = canvas.theme.dim();
        canvas.raw(x, y, end.saturating_sub(x), mark, dim);
    }
}
