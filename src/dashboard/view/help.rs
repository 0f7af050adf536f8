//! The help, made from the table that also looks up the keys.

use ratatui::layout::Rect;

use super::Cut;
use super::theme::Canvas;
use crate::dashboard::filter_query::FIELDS;
use crate::dashboard::keys::BINDINGS;
use crate::dashboard::state::AppState;

/// Columns for the keys.
const KEYS: u16 = 12;

/// Draws the keys, in two columns if they fit.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, area: Rect) {
    let mut lines: Vec<(&str, &str)> = BINDINGS.iter().map(|b| (b.shown, b.what)).collect();
    lines.push(("Mouse", "scroll, select, open"));
    let columns = if area.width >= 78 { 2 } else { 1 };
    let room = usize::from(area.height.saturating_sub(1));
    let each = lines.len().div_ceil(columns);
    let top = state.help.unwrap_or(0).min(each.saturating_sub(room));
    let wide = area.width / columns as u16;
    let (key, title) = (canvas.theme.head(), canvas.theme.dim());
    for (nth, (keys, what)) in lines.into_iter().enumerate() {
        let (column, line) = (nth / each, nth % each);
        let Some(line) = line.checked_sub(top).filter(|&line| line < room) else { continue };
        let (x, y) = (area.x + wide * column as u16 + 1, area.y + line as u16);
        canvas.put(x, y, KEYS, keys, key);
        canvas.cell(x + KEYS, y, wide.saturating_sub(KEYS + 2), what, Default::default(), Cut::End);
    }
    let fields = format!("Fields of a filter: {FIELDS}. Any key closes this.");
    canvas.put(area.x + 1, area.bottom().saturating_sub(1), area.width, &fields, title);
}
