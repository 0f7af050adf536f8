//! The last line: a message, a prompt, or the settings of the list.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::Cut;
use super::theme::Canvas;
use crate::dashboard::filter_query::FIELDS;
use crate::dashboard::query::{CreatorSort, View};
use crate::dashboard::state::{AppState, Input, List, Prompt};
use crate::report::line::{width, wrapped};

/// Draws the line; returns the place of the cursor while the user types.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, area: Rect) -> Option<(u16, u16)> {
    match &state.prompt {
        Some(Prompt::Filter(input)) => {
            return edited(canvas, area, "/", input, &format!("words or field:value; fields: {FIELDS}"));
        }
        Some(Prompt::GroupBy(input)) => {
            let choices = match state.query.view {
                View::Flame => "none, state, creator, label:KEY, thread (Tab: next)",
                _ => "stack, function, state, creator, label:KEY, waits-on (Tab: next)",
            };
            return edited(canvas, area, "group by: ", input, choices);
        }
        Some(Prompt::Write) => {
            let style = canvas.theme.notice();
            let text = "write:  s snapshot   r report   f flame graph   Esc cancel";
            canvas.put(1, area.y, area.width, text, style);
            return None;
        }
        None => {}
    }
    let hint = "? help  q quit";
    let start = area.width.saturating_sub(hint.len() as u16 + 1);
    let dim = canvas.theme.dim();
    canvas.put(start, area.y, area.width, hint, dim);
    let room = start.saturating_sub(2);
    match &state.message {
        Some(message) => {
            let style = if message.error { canvas.theme.warn() } else { canvas.theme.notice() };
            say(canvas, area, room, &message.text, style);
        }
        None => canvas.cell(1, area.y, room, &how(state).join("   "), dim, Cut::End),
    }
    None
}

/// Draws a message. One that is too long for the line takes lines above, over the view, until the next key.
fn say(canvas: &mut Canvas<'_>, area: Rect, room: u16, text: &str, style: Style) {
    let lines = if width(&canvas.theme.text(text)) <= room.into() {
        vec![text.to_owned()]
    } else {
        wrapped(text, room.into(), 0)
    };
    let above = (lines.len() as u16 - 1).min(area.y);
    for (nth, line) in lines.iter().take(usize::from(above) + 1).enumerate() {
        let y = area.y - above + nth as u16;
        if nth < above.into() {
            canvas.raw(area.x, y, area.width, &" ".repeat(area.width.into()), Style::reset());
        }
        canvas.cell(1, y, room, line, style, Cut::End);
    }
    if above > 0 {
        canvas.rule(area.y - above.saturating_add(1).min(area.y));
    }
}

fn edited(canvas: &mut Canvas<'_>, area: Rect, title: &str, input: &Input, hint: &str) -> Option<(u16, u16)> {
    let head = canvas.theme.head();
    let start = canvas.put(1, area.y, area.width, title, head);
    let before: String = input.text.chars().take(input.cursor).collect();
    let cursor = start + width(&canvas.theme.text(&before)) as u16;
    let end = canvas.put(start, area.y, area.width.saturating_sub(start), &input.text, Default::default());
    let room = area.width.saturating_sub(end + 3);
    match &input.problem {
        Some(problem) => {
            let style = canvas.theme.warn();
            canvas.cell(end + 3, area.y, room, problem, style, Cut::End);
        }
        None => {
            let style = canvas.theme.dim();
            canvas.cell(end + 3, area.y, room, hint, style, Cut::End);
        }
    }
    Some((cursor.min(area.right().saturating_sub(1)), area.y))
}

/// The settings of the list.
fn how(state: &AppState) -> Vec<String> {
    let query = &state.query;
    let mut how = Vec::new();
    let order = if query.reverse { " (reversed)" } else { "" };
    match query.view {
        View::Groups => {
            how.push(format!("by {}", query.key));
            how.push(format!("sort {}{order}", query.group_sort.name()));
        }
        View::Tasks if query.task.is_none() && state.chain.is_none() => {
            how.push(format!("sort {}{order}", query.task_sort.name()))
        }
        View::Creators if query.creator_sort == CreatorSort::Cpu => how.push("sort CPU".to_owned()),
        View::Flame => how.push(format!("root {}", query.flame.root)),
        _ => {}
    }
    if !query.wanted.is_empty() {
        how.push(format!("/{} (Esc clears it)", query.wanted.text));
    }
    if query.system {
        how.push("with system tasks".to_owned());
    }
    if query.mark.is_some() {
        how.push("changes since the mark".to_owned());
    }
    if matches!(state.list(), Some(List::Tasks | List::Groups)) {
        let who = if state.list() == Some(List::Tasks) { "it waits" } else { "they wait" };
        how.push(format!("w: why {who}"));
    }
    if let Some(record) = &state.record {
        how.push(format!("recording to {record}"));
    }
    how
}
