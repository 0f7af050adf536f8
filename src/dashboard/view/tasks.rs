//! Single tasks.

use ratatui::style::{Modifier, Style};

use super::groups::{active_cell, cpu_cell};
use super::text::age;
use super::theme::Canvas;
use super::{Cut, select};
use crate::analysis::frames::{creator_frame, frame_name, shown_frames};
use crate::dashboard::layout::Areas;
use crate::dashboard::query::TaskSort;
use crate::dashboard::state::AppState;
use crate::dashboard::tables::state as state_of;
use crate::dashboard::task_detail;
use crate::report::text::task_noun;
use crate::report::units::{bytes, count};
use crate::snapshot::Task;

const ID: (u16, u16) = (1, 10);
const STATE: (u16, u16) = (12, 16);
const AGE: (u16, u16) = (28, 9);
const CPU: u16 = 8;

/// Where the columns are whose place depends on the width.
struct Columns {
    cpu: Option<(u16, u16)>,
    memory: Option<(u16, u16)>,
    name: (u16, u16),
    at: Option<(u16, u16)>,
    creator: Option<(u16, u16)>,
}

impl Columns {
    fn new(width: u16, sampled: bool) -> Self {
        let cpu = if sampled { CPU } else { 0 };
        let end = AGE.0 + AGE.1;
        let memory = if width >= 96 { 10 } else { 0 };
        let start = end + cpu + memory + 1;
        let creator = if width >= 96 { (width / 6).clamp(16, 30) } else { 0 };
        let room = width.saturating_sub(start + creator + 1);
        let at = if width >= 130 { room / 2 } else { 0 };
        Columns {
            cpu: sampled.then_some((end, cpu)),
            memory: (memory > 0).then(|| (end + cpu, memory - 1)),
            name: (start, (room - at).saturating_sub(1)),
            at: (at > 0).then(|| (start + room - at, at - 1)),
            creator: (creator > 0).then(|| (width - creator, creator - 1)),
        }
    }
}

/// Draws the list.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    let columns = Columns::new(areas.body.width, state.cpu.is_on());
    headings(canvas, state, &columns, areas.body.y);
    let order = &state.tables.tasks.order;
    let snapshot = &*state.tables.picture.snapshot;
    let (cursor, rows) = (state.cursors.tasks, areas.rows);
    for (line, &index) in order.iter().enumerate().skip(cursor.top).take(rows.height.into()) {
        let y = rows.y + (line - cursor.top) as u16;
        if let Some(task) = snapshot.tasks.get(index as usize) {
            draw_row(canvas, state, task, index, &columns, y);
        }
        if line == cursor.at {
            select(canvas, y);
        }
    }
    if order.is_empty() {
        let dim = canvas.theme.dim();
        canvas.put(2, rows.y, rows.width, "no task matches the filter", dim);
    }
}

fn headings(canvas: &mut Canvas<'_>, state: &AppState, columns: &Columns, y: u16) {
    let query = &state.tables.query;
    let plain = canvas.theme.title();
    let style =
        |sort: TaskSort| if query.task_sort == sort { plain.add_modifier(Modifier::BOLD) } else { plain };
    canvas.right(ID.0, y, ID.1, "ID", style(TaskSort::Id));
    canvas.put(STATE.0, y, STATE.1, "STATE", style(TaskSort::State));
    let by_active = query.task_sort == TaskSort::Active;
    let (heading, sort) = if by_active { ("ACTIVE", TaskSort::Active) } else { ("AGE", TaskSort::Age) };
    canvas.right(AGE.0, y, AGE.1, heading, style(sort));
    if let Some((x, width)) = columns.cpu {
        canvas.right(x, y, width, "CPU", style(TaskSort::Cpu));
    }
    if let Some((x, width)) = columns.memory {
        canvas.right(x, y, width, "STACK", style(TaskSort::Memory));
    }
    let noun = task_noun(&state.tables.picture.snapshot);
    let shown = count(state.tables.tasks.count, noun);
    let title = match &query.within {
        Some(within) => format!("FUNCTION  ({shown} of {}; Esc: all groups)", within.name),
        None => format!("FUNCTION  ({shown})"),
    };
    canvas.cell(columns.name.0, y, columns.name.1, &title, style(TaskSort::Name), Cut::End);
    if let Some((x, width)) = columns.at {
        canvas.put(x, y, width, "AT", plain);
    }
    if let Some((x, width)) = columns.creator {
        canvas.put(x, y, width, "CREATOR", plain);
    }
}

fn draw_row(canvas: &mut Canvas<'_>, state: &AppState, task: &Task, index: u32, columns: &Columns, y: u16) {
    let picture = &state.tables.picture;
    let snapshot = &*picture.snapshot;
    let theme = canvas.theme;
    canvas.right(ID.0, y, ID.1, &task_detail::id(task), theme.head());
    canvas.cell(STATE.0, y, STATE.1 - 1, state_of(snapshot, task), theme.state(), Cut::End);
    let (figure, style) = match state.tables.query.task_sort {
        TaskSort::Active => active_cell(picture.active(&[index])),
        _ => (age(picture.age(index)), Style::new()),
    };
    canvas.right(AGE.0, y, AGE.1, &figure, style);
    if let Some((x, width)) = columns.cpu {
        let table = state.tables.cpu.as_ref();
        let (text, style) = cpu_cell(table, table.and_then(|cpu| cpu.of(task, index)), theme);
        canvas.right(x, y, width, &text, style);
    }
    if let Some((x, width)) = columns.memory.filter(|_| task.stack_bytes > 0) {
        canvas.right(x, y, width, &bytes(task.stack_bytes), theme.dim());
    }
    let shown = shown_frames(snapshot, snapshot.stack_of(task), false);
    let function = picture.function(task);
    let name = if function.is_empty() { "(stack unknown)" } else { &function };
    canvas.cell(columns.name.0, y, columns.name.1, name, Style::new(), Cut::Start);
    if let Some((x, width)) = columns.at {
        let at = shown.first().map(|shown| frame_name(snapshot, shown.frame)).unwrap_or_default();
        canvas.cell(x, y, width, &at, theme.dim(), Cut::Start);
    }
    if let Some((x, width)) = columns.creator
        && let Some(frame) = task.creator.and_then(|id| creator_frame(snapshot, id))
    {
        canvas.cell(x, y, width, &task_detail::place(snapshot, frame), theme.dim(), Cut::Start);
    }
}
