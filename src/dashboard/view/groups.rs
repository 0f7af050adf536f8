//! Groups of tasks, and how they change.

use ratatui::style::{Modifier, Style};

use super::text::{age, signed, signed_rate};
use super::theme::{Canvas, Theme};
use super::{Cut, select};
use crate::analysis::GroupKey;
use crate::analysis::frames::creator_frame;
use crate::dashboard::layout::Areas;
use crate::dashboard::query::{GroupSort, Query};
use crate::dashboard::state::AppState;
use crate::dashboard::tables::{CpuTable, GroupRow, MAX_GROUPS, heading};
use crate::dashboard::task_detail::{self, PieceKind, Row};
use crate::report::line::width;
use crate::report::text::task_noun;
use crate::report::units::{bytes, count, duration, percent, thousands};
use crate::session::record::CpuNs;
use crate::snapshot::{Snapshot, StackStatus};

/// Where the columns are.
struct Columns {
    state: u16,
    name: (u16, u16),
    /// The innermost function, if there is room.
    at: Option<(u16, u16)>,
    creator: Option<(u16, u16)>,
    /// The figures after the count.
    figures: Vec<(Figure, (u16, u16))>,
    /// Where the state is.
    at_state: u16,
}

/// A figure of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    Cpu,
    Change,
    Rate,
    Oldest,
    Active,
}

const COUNT: (u16, u16) = (1, 9);

impl Columns {
    fn new(width: u16, query: &Query, sampled: bool) -> Self {
        let key = &query.key;
        let mut figures = vec![(Figure::Change, 8), (Figure::Rate, 8)];
        if sampled {
            // Where there is no room for all three, the mark decides which change matters.
            let away = if query.mark.is_some() { Figure::Rate } else { Figure::Change };
            figures.retain(|&(figure, _)| width >= 96 || figure != away);
            figures.insert(0, (Figure::Cpu, 8));
        }
        let by_active = query.group_sort == GroupSort::Active;
        figures.push((if by_active { Figure::Active } else { Figure::Oldest }, 9));
        let mut x = COUNT.0 + COUNT.1;
        let place = |(figure, width)| {
            x += width;
            (figure, (x - width, width))
        };
        let figures = figures.into_iter().map(place).collect();
        let at_state = x + 1;
        // If grouped by state, the name is the state.
        let state = if *key == GroupKey::State { 0 } else { 16 };
        let start = at_state + state;
        let creator = if width >= 96 { (width / 6).clamp(16, 30) } else { 0 };
        let room = width.saturating_sub(start + creator + 1);
        let at = if width >= 130 && *key == GroupKey::Stack { room / 2 } else { 0 };
        let name = room - at;
        Columns {
            state,
            name: (start, name.saturating_sub(1)),
            at: (at > 0).then(|| (start + name, at - 1)),
            creator: (creator > 0).then(|| (width - creator, creator - 1)),
            figures,
            at_state,
        }
    }
}

impl Figure {
    fn heading(self) -> (&'static str, GroupSort) {
        match self {
            Figure::Cpu => ("CPU", GroupSort::Cpu),
            Figure::Change => ("CHANGE", GroupSort::Change),
            Figure::Rate => ("PER MIN", GroupSort::Rate),
            Figure::Oldest => ("OLDEST", GroupSort::Age),
            Figure::Active => ("ACTIVE", GroupSort::Active),
        }
    }

    fn cell(self, row: &GroupRow, cpu: Option<&CpuTable>, theme: Theme) -> (String, Style) {
        match self {
            Figure::Cpu => cpu_cell(cpu, row.cpu, theme),
            Figure::Change => {
                let change = row.change.map_or("-".to_owned(), signed);
                (change, theme.change(row.change.unwrap_or(0) as f64))
            }
            Figure::Rate => {
                let rate = row.per_minute.map_or("-".to_owned(), signed_rate);
                let still = matches!(rate.as_str(), "0" | "-");
                (rate, if still { theme.dim() } else { theme.change(row.per_minute.unwrap_or(0.0)) })
            }
            Figure::Oldest => (age(row.oldest), Style::new()),
            Figure::Active => active_cell(row.active),
        }
    }
}

/// Draws the list and, below it, the selected group.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    let table = &state.tables.groups;
    let columns = Columns::new(areas.body.width, &state.tables.query, state.cpu.is_on());
    headings(canvas, state, &columns, areas.body.y);
    let cursor = state.cursors.groups;
    let rows = areas.rows;
    let table_cpu = state.tables.cpu.as_ref();
    for (line, row) in table.rows.iter().enumerate().skip(cursor.top).take(rows.height.into()) {
        let y = rows.y + (line - cursor.top) as u16;
        draw_row(canvas, row, table_cpu, &columns, y);
        if line == cursor.at {
            select(canvas, y);
        }
    }
    if table.rows.is_empty() {
        let dim = canvas.theme.dim();
        canvas.put(2, rows.y, rows.width, "no group matches the filter", dim);
    }
    let y = areas.pane.y.saturating_sub(1);
    canvas.rule(y);
    let mut facts = vec![shown(state), count(table.total, "group")];
    if table.total > table.rows.len() as u64 && table.rows.len() >= MAX_GROUPS {
        facts.push(format!("only the first {} are listed", thousands(MAX_GROUPS as u64)));
    }
    facts.extend(table.window_ns.map(|ns| {
        let what = if state.tables.query.mark.is_some() { "changes since the mark," } else { "changes over" };
        format!("{what} {}", duration(ns))
    }));
    if let Some(cpu) = &state.tables.cpu {
        // Whole facts only: a truncated number would be wrong.
        for (nth, part) in cpu.rest().into_iter().enumerate() {
            let part = if nth == 0 { format!("CPU: {part}") } else { part };
            let taken: usize = facts.iter().map(|fact| width(fact) + 2).sum();
            if taken + width(&part) + 4 < areas.body.width.into() {
                facts.push(part);
            }
        }
    }
    let dim = canvas.theme.dim();
    canvas.put(2, y, areas.body.width.saturating_sub(3), &format!(" {} ", facts.join(", ")), dim);
    if let Some(row) = table.rows.get(cursor.at) {
        for (nth, line) in
            details(state, row, areas.pane.width.into()).iter().take(areas.pane.height.into()).enumerate()
        {
            super::task_detail::draw_row(canvas, line, areas.pane.y + nth as u16);
        }
    }
}

/// "1,388 goroutines", "12 of 1,388 goroutines".
pub(super) fn shown(state: &AppState) -> String {
    let shown = state.tables.shown;
    let noun = task_noun(&state.tables.picture.snapshot);
    let of = if shown.is_all() { String::new() } else { format!("{} of ", thousands(shown.tasks)) };
    format!("{of}{}", count(shown.considered, noun))
}

fn headings(canvas: &mut Canvas<'_>, state: &AppState, columns: &Columns, y: u16) {
    let query = &state.tables.query;
    let plain = canvas.theme.title();
    let style =
        |sort: GroupSort| if query.group_sort == sort { plain.add_modifier(Modifier::BOLD) } else { plain };
    canvas.right(COUNT.0, y, COUNT.1, "TASKS", style(GroupSort::Count));
    for &(figure, (x, width)) in &columns.figures {
        let (heading, sort) = figure.heading();
        canvas.right(x, y, width, heading, style(sort));
    }
    if columns.state > 0 {
        canvas.put(columns.at_state, y, columns.state, "STATE", plain);
    }
    canvas.put(columns.name.0, y, columns.name.1, &heading(&query.key), style(GroupSort::Name));
    if let Some((x, width)) = columns.at {
        canvas.put(x, y, width, "AT", plain);
    }
    if let Some((x, width)) = columns.creator {
        canvas.put(x, y, width, "CREATOR", plain);
    }
}

/// "41 %": CPU time as a share of one CPU; "?" while it is not known.
pub(super) fn cpu_cell(table: Option<&CpuTable>, ns: Option<CpuNs>, theme: Theme) -> (String, Style) {
    match table.zip(ns) {
        Some((table, ns)) if ns.window > 0 => (table.share(ns), theme.head()),
        Some(_) => ("0".to_owned(), theme.dim()),
        None => ("?".to_owned(), theme.dim()),
    }
}

/// "18 %": the share of time running or ready to run; "?" while it is not known.
pub(super) fn active_cell(active: Option<f64>) -> (String, Style) {
    let text = active.map_or("?".to_owned(), |share| percent((share * 1e6).round() as u64, 1_000_000));
    (text, Style::new())
}

fn draw_row(canvas: &mut Canvas<'_>, row: &GroupRow, cpu: Option<&CpuTable>, columns: &Columns, y: u16) {
    let theme = canvas.theme;
    canvas.right(COUNT.0, y, COUNT.1, &thousands(row.count()), theme.head());
    for &(figure, (x, width)) in &columns.figures {
        let (text, style) = figure.cell(row, cpu, theme);
        canvas.right(x, y, width, &text, style);
    }
    if columns.state > 0 {
        canvas.cell(columns.at_state, y, columns.state - 1, &row.state, theme.state(), Cut::End);
    }
    canvas.cell(columns.name.0, y, columns.name.1, &row.name, Style::new(), Cut::Start);
    if let Some((x, width)) = columns.at {
        canvas.cell(x, y, width, &row.at, theme.dim(), Cut::Start);
    }
    if let Some((x, width)) = columns.creator {
        canvas.cell(x, y, width, &row.creator, theme.dim(), Cut::Start);
    }
}

/// The selected group, in lines.
fn details(state: &AppState, row: &GroupRow, columns: usize) -> Vec<Row> {
    let group = &row.group;
    if group.tasks.is_empty() {
        return vec![Row::new(PieceKind::Dim, " All of these tasks have ended since the mark.")];
    }
    let snapshot = &*state.tables.picture.snapshot;
    let cpu = state.tables.cpu.as_ref().map(|cpu| (cpu, row.cpu));
    let mut rows = task_detail::time(&state.tables.picture, &group.tasks, cpu, columns);
    rows.extend(task_detail::frames(snapshot, &group.frames, columns));
    let status = group.stack_statuses.only().unwrap_or(StackStatus::Complete);
    rows.extend(task_detail::status(snapshot, status, group.frames.is_empty()));
    rows.extend(creators(snapshot, row));
    let tasks = group.count;
    rows.extend(task_detail::sentences(snapshot, (&group.waits, &group.holds), tasks, "  ", columns));
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
    let ids: Vec<String> = ids.map(task_detail::id).collect();
    let more = if group.count > ids.len() as u64 { " ..." } else { "" };
    let memory = if group.stack_bytes > 0 {
        format!("   stacks of {}", bytes(group.stack_bytes))
    } else {
        String::new()
    };
    let noun = task_noun(snapshot);
    let text = format!(" {}{more}{memory}", ids.join(", "));
    rows.push(Row::new(PieceKind::Title, &format!("  {noun}s")).add(PieceKind::Plain, &text));
    rows
}

/// The places where the group was created, one per line; at most three.
fn creators(snapshot: &Snapshot, row: &GroupRow) -> Vec<Row> {
    let entries = &row.group.creators.entries;
    let known = entries.iter().filter_map(|&(id, n)| Some((creator_frame(snapshot, id?)?, n)));
    known
        .take(3)
        .map(|(frame, n)| {
            let line = task_detail::creator(snapshot, frame);
            if entries.len() > 1 { line.add(PieceKind::Head, &format!("  {}", thousands(n))) } else { line }
        })
        .collect()
}

/// "labels route=/v1/users (96), ...": the six most frequent entries.
fn list(title: &str, entries: impl Iterator<Item = (String, u64)>) -> Option<Row> {
    let all: Vec<String> = entries.map(|(text, n)| format!("{text} ({})", thousands(n))).collect();
    let shown = all.get(..6).unwrap_or(&all);
    let more =
        if all.len() > shown.len() { format!(", {} more", all.len() - shown.len()) } else { String::new() };
    (!all.is_empty()).then(|| {
        Row::new(PieceKind::Title, &format!(" {title}  "))
            .add(PieceKind::Plain, &format!("{}{more}", shown.join(", ")))
    })
}
