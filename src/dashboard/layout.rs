//! The layout of the screen: views draw by it, and clicks are located by it.

use ratatui::layout::Rect;

use super::query::View;
use super::state::{AppState, List, Pane};

/// The parts of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Areas {
    /// Two lines that are always there.
    pub header: Rect,
    /// The line with the views.
    pub tabs: Rect,
    /// The view.
    pub body: Rect,
    /// The lines of its list, below the heading.
    pub rows: Rect,
    /// The pane below the list; empty if there is none.
    pub pane: Rect,
    /// The last line.
    pub footer: Rect,
}

/// Divides the screen.
pub fn areas(state: &AppState) -> Areas {
    let (width, height) = state.size;
    let line = |y: u16, lines: u16| Rect {
        x: 0,
        y: y.min(height),
        width,
        height: lines.min(height.saturating_sub(y)),
    };
    // Header, tabs and the rule below, then the footer.
    let top = 4;
    let body = line(top, height.saturating_sub(top + 1));
    let mut areas = Areas {
        header: line(0, 2),
        tabs: line(2, 1),
        body,
        rows: body,
        pane: Rect::default(),
        footer: line(height.saturating_sub(1), 1),
    };
    match state.query.view {
        View::Overview => {}
        // A line below tells where Enter leads.
        View::Tasks if state.query.task.is_some() || state.chain.is_some() => {
            areas.rows = line(body.y, body.height.saturating_sub(1));
            areas.pane = line(areas.rows.y + areas.rows.height, 1);
        }
        View::Flame => {
            // A line above, two below for the selection.
            areas.rows = line(body.y + 1, body.height.saturating_sub(3));
            areas.pane = line(areas.rows.y + areas.rows.height, 2);
        }
        View::Groups | View::Findings => {
            // A heading above, a rule below.
            let room = body.height.saturating_sub(2);
            let pane = match state.pane {
                // There are few findings, and each has much text.
                Pane::Small if state.query.view == View::Findings => {
                    let findings = state.findings().map_or(0, |report| report.findings.len());
                    room.saturating_sub((findings as u16).clamp(3, (room / 3).max(3)))
                }
                Pane::Small => room.saturating_sub(4).min((room / 3).max(6)),
                Pane::Half => room / 2,
                Pane::Large => room.saturating_sub(3),
            };
            areas.rows = line(body.y + 1, room.saturating_sub(pane));
            areas.pane = line(areas.rows.y + areas.rows.height + 1, pane);
        }
        View::Tasks | View::Creators => areas.rows = line(body.y + 1, body.height.saturating_sub(1)),
        View::Scheduler => {
            // Half of it, and what a few workers do not need.
            let workers = state.len(List::Scheduler).clamp(3, usize::from(u16::MAX)) as u16;
            let figures = body.height.min((body.height / 2).max(12)).max(body.height.saturating_sub(workers));
            areas.rows = line(body.y + figures, body.height.saturating_sub(figures));
        }
    }
    areas
}

/// The tabs: where each begins, and its text.
pub fn tabs(state: &AppState) -> Vec<(u16, String, View)> {
    let width = state.size.0;
    let findings = state.findings().map_or(0, |report| report.findings.len());
    let label = |view: View| match view {
        View::Findings if findings > 0 => format!("{} Findings ({findings})", view.position() + 1),
        view => format!("{} {}", view.position() + 1, view.name()),
    };
    let labels = || View::ALL.into_iter().map(|view| (label(view), view));
    let wide: usize = labels().map(|(label, _)| label.len() + 2).sum();
    let gap = if wide + 1 > usize::from(width) { 1 } else { 2 };
    let mut x = 1;
    labels()
        .map(|(label, view)| {
            let at = x;
            x += label.len() as u16 + gap;
            (at, label, view)
        })
        .collect()
}
