//! Draws the list of processes.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use super::Picker;
use crate::dashboard::view::{Canvas, Cut, Theme, select};
use crate::report::line::width;
use crate::report::units::{short_duration, thousands};

/// Lines above the list: the question, the filter, a rule, the headings.
const TOP: u16 = 4;
/// Columns of the list, each with its start.
const PID: (u16, u16) = (1, 9);
const RUNTIME: u16 = 12;

/// Where the list is.
pub(super) fn rows((width, height): (u16, u16)) -> Rect {
    Rect { x: 0, y: TOP.min(height), width, height: height.saturating_sub(TOP + 1) }
}

/// Draws the list and the typed text.
pub fn draw(frame: &mut Frame<'_>, picker: &Picker, theme: Theme) {
    let area = frame.area();
    let mut canvas = Canvas { buffer: frame.buffer_mut(), theme };
    canvas.put(1, 0, area.width, "Choose a process to watch", theme.head());
    canvas.right(0, 0, area.width.saturating_sub(1), &progress(picker), theme.dim());
    let before: String = picker.filter.text.chars().take(picker.filter.cursor).collect();
    let x = canvas.put(1, 1, area.width, "filter: ", theme.title());
    let cursor = x + width(&theme.text(&before)) as u16;
    let end = canvas.put(x, 1, area.width.saturating_sub(x), &picker.filter.text, Style::new());
    if picker.filter.text.is_empty() {
        canvas.put(end + 2, 1, area.width.saturating_sub(end + 2), "type part of a name", theme.dim());
    }
    canvas.rule(2);
    list(&mut canvas, picker, rows((area.width, area.height)));
    let refused = match picker.refused {
        0 => String::new(),
        n => format!("{} cannot be read (see loiter ps)", thousands(n as u64)),
    };
    let bottom = area.height.saturating_sub(1);
    let hint = "Enter watch  Esc quit";
    canvas.cell(1, bottom, area.width.saturating_sub(hint.len() as u16 + 3), &refused, theme.dim(), Cut::End);
    canvas.right(0, bottom, area.width.saturating_sub(1), hint, theme.dim());
    frame.set_cursor_position(Position::new(cursor.min(area.width.saturating_sub(1)), 1));
}

/// "3 of 40 processes can be read".
fn progress(picker: &Picker) -> String {
    let found =
        format!("{} of {} processes", thousands(picker.rows.len() as u64), thousands(picker.of as u64));
    if picker.answered < picker.of {
        format!("{found} can be read so far; {} checked", thousands(picker.answered as u64))
    } else {
        format!("{found} can be read")
    }
}

fn list(canvas: &mut Canvas<'_>, picker: &Picker, area: Rect) {
    let theme = canvas.theme;
    let shown = picker.shown();
    let runtime =
        shown.iter().map(|row| width(&theme.text(&row.runtime))).max().unwrap_or(0).clamp(7, 24) as u16;
    let tasks = RUNTIME + runtime + 1;
    let age = tasks + 12;
    let command = age + 9;
    let y = area.y.saturating_sub(1);
    canvas.right(PID.0, y, PID.1, "PID", theme.title());
    canvas.put(RUNTIME, y, runtime, "RUNTIME", theme.title());
    canvas.right(tasks, y, 10, "TASKS", theme.title());
    canvas.put(age, y, 8, "AGE", theme.title());
    canvas.put(command, y, area.width.saturating_sub(command), "COMMAND", theme.title());
    for (nth, row) in shown.iter().enumerate().skip(picker.cursor.top).take(area.height.into()) {
        let y = area.y + (nth - picker.cursor.top) as u16;
        canvas.right(PID.0, y, PID.1, &row.pid.to_string(), theme.head());
        canvas.cell(RUNTIME, y, runtime, &row.runtime, theme.state(), Cut::End);
        canvas.right(tasks, y, 10, &thousands(row.tasks), Style::new());
        canvas.put(age, y, 8, &short_duration(row.age_ns), Style::new());
        canvas.cell(command, y, area.width.saturating_sub(command + 1), &row.command, Style::new(), Cut::End);
        if nth == picker.cursor.at {
            select(canvas, y);
        }
    }
    if shown.is_empty() {
        let text = match (picker.rows.is_empty(), picker.answered < picker.of) {
            (true, true) => "checking the processes ...",
            (true, false) => "no process here that loiter can read",
            (false, _) => "no process matches the filter (Esc clears it)",
        };
        canvas.put(2, area.y, area.width.saturating_sub(2), text, theme.dim());
    }
}
