//! The views: each draws the state and changes nothing.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};

use super::layout::{Areas, areas, tabs};
use super::query::View;
use super::state::AppState;

mod chain;
mod chart;
mod cpu;
mod creators;
mod findings;
mod flame;
mod footer;
mod groups;
mod header;
mod help;
mod overview;
mod scheduler;
mod task_detail;
mod tasks;
mod text;
mod theme;

pub(super) use findings::evidence;
pub use theme::Theme;
pub(super) use theme::{Canvas, Cut};

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, state: &AppState, theme: Theme) {
    let cursor = {
        let mut canvas = Canvas { buffer: frame.buffer_mut(), theme };
        let areas = areas(state);
        header::draw(&mut canvas, state, areas.header);
        draw_tabs(&mut canvas, state, areas.tabs);
        header::notice(&mut canvas, state, areas.tabs.y + 1);
        if state.help.is_some() {
            help::draw(&mut canvas, state, areas.body);
        } else {
            draw_view(&mut canvas, state, &areas);
        }
        footer::draw(&mut canvas, state, areas.footer)
    };
    if let Some((x, y)) = cursor {
        frame.set_cursor_position(Position::new(x, y));
    }
}

fn draw_view(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    if state.picture.is_none() {
        let text = match &state.source {
            super::state::Source::Opening { done, of } => {
                format!("opening the recording: {done} of {of} ...")
            }
            _ => "reading ...".to_owned(),
        };
        let style = canvas.theme.dim();
        canvas.put(2, areas.body.y + 1, areas.body.width, &text, style);
        return;
    }
    match state.query.view {
        View::Overview => overview::draw(canvas, state, areas.body),
        View::Groups => groups::draw(canvas, state, areas),
        View::Tasks if let Some(chain) = &state.chain => chain::draw(canvas, chain, areas),
        View::Tasks if state.query.task.is_some() => task_detail::draw(canvas, state, areas),
        View::Tasks => tasks::draw(canvas, state, areas),
        View::Creators => creators::draw(canvas, state, areas),
        View::Flame => flame::draw(canvas, state, areas),
        View::Findings => findings::draw(canvas, state, areas),
        View::Scheduler => scheduler::draw(canvas, state, areas),
    }
}

fn draw_tabs(canvas: &mut Canvas<'_>, state: &AppState, area: Rect) {
    for (x, label, view) in tabs(state) {
        let style = if view == state.query.view { canvas.theme.tab() } else { Default::default() };
        let style = if view == View::Findings && state.findings().is_some_and(|r| !r.findings.is_empty()) {
            style.patch(canvas.theme.notice())
        } else {
            style
        };
        canvas.put(x, area.y, area.width.saturating_sub(x), &label, style);
    }
}

/// Marks the selected line of a list.
pub(super) fn select(canvas: &mut Canvas<'_>, y: u16) {
    let (mark, style) = (canvas.theme.pick("▶", ">"), canvas.theme.selected());
    canvas.raw(0, y, 1, mark, style);
    canvas.highlight(y, style);
}
