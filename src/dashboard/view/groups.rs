//! Tasks that have something in common, and how they change.

use ratatui::style::{Modifier, Style};

use super::text::{age, signed, signed_rate};
use super::theme::Pen;
use super::{Cut, select};
use crate::analysis::GroupKey;
use crate::analysis::frames::creator_frame;
use crate::dashboard::closeup::{self, Kind, Row};
use crate::dashboard::layout::Areas;
use crate::dashboard::query::GroupSort;
use crate::dashboard::state::State;
use crate::dashboard::tables::{GroupRow, MAX_GROUPS, heading};
use crate::report::text::task_noun;
use crate::report::units::{bytes, count, duration, thousands};
use crate::snapshot::{Snapshot, StackStatus};

/// Where the columns are.
struct Columns {
    state: u16,
    name: (u16, u16),
    /// The innermost function, where there is room.
    at: Option<(u16, u16)>,
    creator: Option<(u16, u16)>,
}

const COUNT: (u16, u16) = (1, 9);
const CHANGE: (u16, u16) = (10, 8);
const RATE: (u16, u16) = (18, 8);
const OLDEST: (u16, u16) = (26, 9);
const STATE: u16 = 36;

impl Columns {
    fn new(width: u16, key: &GroupKey) -> Self {
        // Grouped by state, the name is the state.
        let state = if *key == GroupKey::State { 0 } else { 16 };
        let start = STATE + state;
        let creator = if width >= 96 { (width / 6).clamp(16, 30) } else { 0 };
        let room = width.saturating_sub(start + creator + 1);
        let at = if width >= 130 && *key == GroupKey::Stack { room / 2 } else { 0 };
        let name = room - at;
        Columns {
            state,
            name: (start, name.saturating_sub(1)),
            at: (at > 0).then(|| (start + name, at - 1)),
            creator: (creator > 0).then(|| (width - creator, creator - 1)),
        }
    }
}

/// Draws the list and, below it, what is selected.
pub(super) fn draw(pen: &mut Pen<'_>, state: &State, areas: &Areas) {
    let table = &state.tables.groups;
    let columns = Columns::new(areas.body.width, &state.tables.query.key);
    headings(pen, state, &columns, areas.body.y);
    let cursor = state.cursors.groups;
    let rows = areas.rows;
    for (line, row) in table.rows.iter().enumerate().skip(cursor.top).take(rows.height.into()) {
        let y = rows.y + (line - cursor.top) as u16;
        draw_row(pen, row, &columns, y);
        if line == cursor.at {
            select(pen, y);
        }
    }
    if table.rows.is_empty() {
        let dim = pen.theme.dim();
        pen.put(2, rows.y, rows.width, "no group: nothing passes the filter", dim);
    }
    let y = areas.pane.y.saturating_sub(1);
    pen.rule(y);
    let mut facts = vec![shown(state), count(table.total, "group")];
    if table.total > table.rows.len() as u64 && table.rows.len() >= MAX_GROUPS {
        facts.push(format!("the first {} are listed", thousands(MAX_GROUPS as u64)));
    }
    facts.extend(table.window_ns.map(|ns| {
        let what = if state.tables.query.mark.is_some() { "changes since the mark," } else { "changes over" };
        format!("{what} {}", duration(ns))
    }));
    let dim = pen.theme.dim();
    pen.put(2, y, areas.body.width.saturating_sub(3), &format!(" {} ", facts.join(", ")), dim);
    if let Some(row) = table.rows.get(cursor.at) {
        for (nth, line) in
            details(state, row, areas.pane.width.into()).iter().take(areas.pane.height.into()).enumerate()
        {
            super::closeup::draw_row(pen, line, areas.pane.y + nth as u16);
        }
    }
}

/// "1,388 goroutines", "12 of 1,388 goroutines".
pub(super) fn shown(state: &State) -> String {
    let shown = state.tables.shown;
    let noun = task_noun(&state.tables.picture.snapshot);
    let of = if shown.is_all() { String::new() } else { format!("{} of ", thousands(shown.tasks)) };
    format!("{of}{}", count(shown.considered, noun))
}

fn headings(pen: &mut Pen<'_>, state: &State, columns: &Columns, y: u16) {
    let query = &state.tables.query;
    let plain = pen.theme.title();
    let style =
        |sort: GroupSort| if query.group_sort == sort { plain.add_modifier(Modifier::BOLD) } else { plain };
    pen.right(COUNT.0, y, COUNT.1, "TASKS", style(GroupSort::Count));
    pen.right(CHANGE.0, y, CHANGE.1, "CHANGE", style(GroupSort::Change));
    pen.right(RATE.0, y, RATE.1, "PER MIN", style(GroupSort::Rate));
    pen.right(OLDEST.0, y, OLDEST.1, "OLDEST", style(GroupSort::Age));
    if columns.state > 0 {
        pen.put(STATE, y, columns.state, "STATE", plain);
    }
    pen.put(columns.name.0, y, columns.name.1, &heading(&query.key), style(GroupSort::Name));
    if let Some((x, width)) = columns.at {
        pen.put(x, y, width, "AT", plain);
    }
    if let Some((x, width)) = columns.creator {
        pen.put(x, y, width, "CREATOR", plain);
    }
}

fn draw_row(pen: &mut Pen<'_>, row: &GroupRow, columns: &Columns, y: u16) {
    let theme = pen.theme;
    pen.right(COUNT.0, y, COUNT.1, &thousands(row.count()), theme.head());
    let change = row.change.map_or("-".to_owned(), signed);
    pen.right(CHANGE.0, y, CHANGE.1, &change, theme.change(row.change.unwrap_or(0) as f64));
    let rate = row.per_minute.map_or("-".to_owned(), signed_rate);
    let style = if matches!(rate.as_str(), "0" | "-") {
        theme.dim()
    } else {
        theme.change(row.per_minute.unwrap_or(0.0))
    };
    pen.right(RATE.0, y, RATE.1, &rate, style);
    pen.right(OLDEST.0, y, OLDEST.1, &age(row.oldest), Style::new());
    if columns.state > 0 {
        pen.cell(STATE, y, columns.state - 1, &row.state, theme.state(), Cut::End);
    }
    pen.cell(columns.name.0, y, columns.name.1, &row.name, Style::new(), Cut::Start);
    if let Some((x, width)) = columns.at {
        pen.cell(x, y, width, &row.at, theme.dim(), Cut::Start);
    }
    if let Some((x, width)) = columns.creator {
        pen.cell(x, y, width, &row.creator, theme.dim(), Cut::Start);
    }
}

/// What is selected, in lines.
fn details(state: &State, row: &GroupRow, columns: usize) -> Vec<Row> {
    let group = &row.group;
    if group.tasks.is_empty() {
        return vec![Row::new(Kind::Dim, " All of them are gone since the mark.")];
    }
    let snapshot = &*state.tables.picture.snapshot;
    let mut rows = closeup::frames(snapshot, &group.frames, columns);
    let status = group.stack_statuses.only().unwrap_or(StackStatus::Complete);
    rows.extend(closeup::status(status, group.frames.is_empty()).map(|text| Row::new(Kind::Dim, text)));
    rows.extend(creators(snapshot, row));
    let tasks = group.count;
    rows.extend(closeup::sentences(snapshot, (&group.waits, &group.holds), tasks, "  ", columns));
    rows.extend(
        list(
            " states",
            group.reasons.entries.iter().map(|&(reason, n)| {
                let name = reason.map_or(group.states.most().map_or("", |s| s.name()), |id| snapshot.str(id));
                (name.to_owned(), n)
            }),
        )
        .filter(|_| group.reasons.entries.len() > 1),
    );
    rows.extend(list(
        " labels",
        group
            .labels
            .entries
            .iter()
            .map(|&((key, value), n)| (format!("{}={}", snapshot.str(key), snapshot.str(value)), n)),
    ));
    let ids = group.tasks.iter().take(6).filter_map(|&task| snapshot.tasks.get(task as usize));
    let ids: Vec<String> = ids.map(closeup::id).collect();
    let more = if group.count > ids.len() as u64 { " ..." } else { "" };
    let memory = if group.stack_bytes > 0 {
        format!("   stacks of {}", bytes(group.stack_bytes))
    } else {
        String::new()
    };
    let noun = task_noun(snapshot);
    let text = format!(" {}{more}{memory}", ids.join(", "));
    rows.push(Row::new(Kind::Title, &format!("  {noun}s")).add(Kind::Plain, &text));
    rows
}

/// Where the group was started, a line a place; at most three.
fn creators(snapshot: &Snapshot, row: &GroupRow) -> Vec<Row> {
    let entries = &row.group.creators.entries;
    let known = entries.iter().filter_map(|&(id, n)| Some((creator_frame(snapshot, id?)?, n)));
    known
        .take(3)
        .map(|(frame, n)| {
            let line = closeup::creator(snapshot, frame);
            if entries.len() > 1 { line.add(Kind::Head, &format!("  {}", thousands(n))) } else { line }
        })
        .collect()
}

/// "labels route=/v1/users (96), ...": the six most frequent.
fn list(title: &str, entries: impl Iterator<Item = (String, u64)>) -> Option<Row> {
    let all: Vec<String> = entries.map(|(text, n)| format!("{text} ({})", thousands(n))).collect();
    let shown = all.get(..6).unwrap_or(&all);
    let more =
        if all.len() > shown.len() { format!(", {} more", all.len() - shown.len()) } else { String::new() };
    (!all.is_empty()).then(|| {
        Row::new(Kind::Title, &format!(" {title}  ")).add(Kind::Plain, &format!("{}{more}", shown.join(", ")))
    })
}
