//! Why tasks wait.

use super::task_detail::draw_row;
use super::theme::Canvas;
use super::{Cut, select};
use crate::dashboard::chain::{ChainView, Goal, Question};
use crate::dashboard::layout::Areas;

/// Draws the lines of the chains; the selected one is marked.
pub(super) fn draw(canvas: &mut Canvas<'_>, chain: &ChainView, areas: &Areas) {
    let (cursor, area) = (chain.cursor, areas.rows);
    let lines = chain.lines(area.width.into());
    for (nth, (row, _)) in lines.iter().enumerate().skip(cursor.top).take(area.height.into()) {
        let y = area.y + (nth - cursor.top) as u16;
        draw_row(canvas, row, y);
        if nth == cursor.at {
            select(canvas, y);
        }
    }
    let lead = lines.get(cursor.at).and_then(|(_, link)| *link).map(|link| match link.to {
        Goal::Task(_) => format!("Enter: {}   ", link.name),
        Goal::Chain { .. } => format!("Enter: why {} waits   ", link.name),
    });
    let back = match &chain.question {
        _ if chain.is_looking() => "Esc: give up",
        Question::Tasks { .. } => "Esc: back   w: look again   y: copy",
        Question::Onward { .. } => "Esc: back   y: copy",
    };
    let hint = format!("{}{back}", lead.unwrap_or_default());
    let dim = canvas.theme.dim();
    canvas.cell(1, areas.pane.y, areas.pane.width.saturating_sub(2), &hint, dim, Cut::End);
}
