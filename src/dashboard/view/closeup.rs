//! One task.

use ratatui::style::Style;

use super::theme::Pen;
use super::{Cut, select};
use crate::dashboard::closeup::{Kind, Row};
use crate::dashboard::layout::Areas;
use crate::dashboard::state::State;

/// Draws the lines about the task; the selected one is marked.
pub(super) fn draw(pen: &mut Pen<'_>, state: &State, areas: &Areas) {
    let (cursor, area) = (state.cursors.closeup, areas.rows);
    for (nth, row) in state.closeup().iter().enumerate().skip(cursor.top).take(area.height.into()) {
        let y = area.y + (nth - cursor.top) as u16;
        draw_row(pen, row, y);
        if nth == cursor.at {
            select(pen, y);
        }
    }
    let dim = pen.theme.dim();
    let lead = state.lead().map(|lead| format!("Enter: {}   ", lead.name)).unwrap_or_default();
    let hint = format!("{lead}Esc: back   y: copy");
    pen.cell(1, areas.pane.y, areas.pane.width.saturating_sub(2), &hint, dim, Cut::End);
}

/// Draws a line.
pub(super) fn draw_row(pen: &mut Pen<'_>, row: &Row, y: u16) {
    let (mut x, end) = (0, pen.buffer.area.right());
    for (kind, text) in &row.pieces {
        let style = match kind {
            Kind::Head => pen.theme.head(),
            Kind::State => pen.theme.state(),
            Kind::Title => pen.theme.title(),
            Kind::Dim => pen.theme.dim(),
            Kind::Plain => Style::new(),
        };
        // Already escaped, but perhaps not ASCII.
        x = pen.put(x, y, end.saturating_sub(x), text, style);
    }
    if row.link.is_some() {
        let mark = pen.theme.pick(" →", " ->");
        let dim = pen.theme.dim();
        pen.raw(x, y, end.saturating_sub(x), mark, dim);
    }
}
