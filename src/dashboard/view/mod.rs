//! The views: each draws the state and changes nothing.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};

use super::layout::{Areas, areas, tabs};
use super::query::View;
use super::state::State;

mod chart;
mod closeup;
mod creators;
mod findings;
mod flame;
mod footer;
mod groups;
mod header;
mod help;
mod overview;
mod pick;
mod scheduler;
mod tasks;
mod text;
mod theme;

pub(super) use findings::evidence;
pub use pick::{draw as draw_picker, rows as picker_rows};
pub use theme::Theme;
use theme::{Cut, Pen};

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme) {
    let cursor = {
        let mut pen = Pen { buffer: frame.buffer_mut(), theme };
        let areas = areas(state);
        header::draw(&mut pen, state, areas.header);
        draw_tabs(&mut pen, state, areas.tabs);
        header::notice(&mut pen, state, areas.tabs.y + 1);
        if state.help.is_some() {
            help::draw(&mut pen, state, areas.body);
        } else {
            draw_view(&mut pen, state, &areas);
        }
        footer::draw(&mut pen, state, areas.footer)
    };
    if let Some((x, y)) = cursor {
        frame.set_cursor_position(Position::new(x, y));
    }
}

fn draw_view(pen: &mut Pen<'_>, state: &State, areas: &Areas) {
    if state.picture.is_none() {
        let text = match &state.source {
            super::state::Source::Opening { done, of } => {
                format!("opening the recording: {done} of {of} ...")
            }
            _ => "reading ...".to_owned(),
        };
        let style = pen.theme.dim();
        pen.put(2, areas.body.y + 1, areas.body.width, &text, style);
        return;
    }
    match state.query.view {
        View::Overview => overview::draw(pen, state, areas.body),
        View::Groups => groups::draw(pen, state, areas),
        View::Tasks if state.query.task.is_some() => closeup::draw(pen, state, areas),
        View::Tasks => tasks::draw(pen, state, areas),
        View::Creators => creators::draw(pen, state, areas),
        View::Flame => flame::draw(pen, state, areas),
        View::Findings => findings::draw(pen, state, areas),
        View::Scheduler => scheduler::draw(pen, state, areas),
    }
}

fn draw_tabs(pen: &mut Pen<'_>, state: &State, area: Rect) {
    for (x, label, view) in tabs(state) {
        let style = if view == state.query.view { pen.theme.tab() } else { Default::default() };
        let style = if view == View::Findings && state.findings().is_some_and(|r| !r.findings.is_empty()) {
            style.patch(pen.theme.notice())
        } else {
            style
        };
        pen.put(x, area.y, area.width.saturating_sub(x), &label, style);
    }
}

/// Marks the selected line of a list.
fn select(pen: &mut Pen<'_>, y: u16) {
    let (mark, style) = (pen.theme.pick("▶", ">"), pen.theme.selected());
    pen.raw(0, y, 1, mark, style);
    pen.highlight(y, style);
}
