//! What looks like a leak.

use ratatui::style::Style;

use super::theme::{Canvas, Theme};
use super::{Cut, select};
use crate::analysis::leaks::{Finding, Report, Sureness};
use crate::dashboard::layout::Areas;
use crate::dashboard::state::AppState;
use crate::dashboard::task_detail::{PieceKind, Row};
use crate::report::evidence::{because, meaning};
use crate::report::finding::note;
use crate::report::line;
use crate::report::text::findings::{holders, place, readings, rest_list, samples, since, summary};
use crate::report::units::{bytes, thousands};

/// Columns of the titles in the pane.
const TITLES: usize = 13;

/// Draws the list and, below it, the evidence of the selected finding.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    let Some(report) = state.findings() else { return };
    let (title, dim) = (canvas.theme.title(), canvas.theme.dim());
    canvas.put(2, areas.body.y, 10, "CONFIDENCE", title);
    canvas.put(14, areas.body.y, areas.body.width, "FINDING", title);
    let (cursor, rows) = (state.cursors.findings, areas.rows);
    for (line, finding) in report.findings.iter().enumerate().skip(cursor.top).take(rows.height.into()) {
        let y = rows.y + (line - cursor.top) as u16;
        let style = sureness(canvas.theme, finding.sureness);
        canvas.put(2, y, 9, &finding.sureness.name().to_uppercase(), style);
        canvas.cell(14, y, rows.width.saturating_sub(15), &summary(finding), Style::new(), Cut::End);
        if line == cursor.at {
            select(canvas, y);
        }
    }
    if report.findings.is_empty() {
        canvas.put(2, rows.y, rows.width, "Nothing stands out.", Style::new());
    }
    // Tasks that are not a finding, if the list leaves room for them.
    let all = usize::MAX;
    let rest = [("Undecided", &report.undecided), ("These look healthy", &report.healthy)];
    let lines = (rest.iter().filter(|(_, rest)| !rest.is_empty()))
        .map(|(title, rest)| format!("{title}: {}", rest_list(*rest, &report.noun, all)))
        .chain(report.scheduler.iter().map(|one| format!("Scheduler, no leak: {}", note(one, &report.noun))));
    let begin = report.findings.len().max(1).saturating_sub(cursor.top);
    for (line, text) in (begin..usize::from(rows.height)).zip(lines) {
        canvas.cell(2, rows.y + line as u16, rows.width.saturating_sub(3), &text, dim, Cut::End);
    }
    let y = areas.pane.y.saturating_sub(1);
    canvas.rule(y);
    canvas.put(2, y, areas.body.width.saturating_sub(3), &format!(" {} ", readings(report)), dim);
    if let Some(finding) = report.findings.get(cursor.at) {
        let lines = evidence(report, finding, areas.pane.width.into());
        for (nth, line) in lines.iter().take(areas.pane.height.into()).enumerate() {
            super::task_detail::draw_row(canvas, line, areas.pane.y + nth as u16);
        }
    }
}

/// Red for proven and stuck, yellow for likely; the word says the same.
pub(super) fn sureness(theme: Theme, sureness: Sureness) -> Style {
    match sureness {
        Sureness::Proven | Sureness::Stuck => theme.warn(),
        Sureness::Likely => theme.notice(),
        Sureness::Suspect => theme.title(),
    }
}

/// The evidence of a finding, since when, where, and what to do.
pub(in crate::dashboard) fn evidence(report: &Report, finding: &Finding, columns: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for part in finding.parts.iter().take(4) {
        if let Some(at) = part.at.as_ref().or(part.stack.first()) {
            let many =
                if finding.parts.len() > 1 { format!("  {}", thousands(part.count)) } else { String::new() };
            let text = format!("{}  {}{many}", at.function, place(&report.header, at, false));
            rows.extend(wrapped("at", &text, columns));
        }
    }
    if let Some(creator) = finding.parts.iter().find_map(|part| part.creator.as_ref()) {
        let module =
            finding.module.as_ref().map(|module| format!("  module {}", module.path)).unwrap_or_default();
        let text = format!("{}  {}{module}", creator.function, place(&report.header, creator, false));
        rows.extend(wrapped("created by", &text, columns));
    }
    rows.extend(since(finding).into_iter().flat_map(|text| wrapped("since", &text, columns)));
    for (guess, text) in holders(&report.header, finding, false, false) {
        rows.extend(wrapped("held by", &format!("{guess} {text}"), columns));
    }
    rows.extend(wrapped("because", &because(finding).join("; "), columns));
    if let Some(meaning) = finding.cause.map(meaning) {
        rows.extend(wrapped("cause", meaning.cause, columns));
        rows.extend(wrapped("next", meaning.next, columns));
    }
    if finding.stack_bytes > 0 {
        rows.extend(wrapped("holds", &format!("{} of stacks", bytes(finding.stack_bytes)), columns));
    }
    rows.extend(samples(finding).into_iter().flat_map(|text| wrapped("such as", &text, columns)));
    rows
}

/// A title and a text, in as many lines as it needs; none if there is no text.
fn wrapped(title: &str, text: &str, columns: usize) -> Vec<Row> {
    let room = columns.saturating_sub(TITLES + 1).max(10);
    let lines = if text.is_empty() { Vec::new() } else { line::wrapped(text.trim(), room, 0) };
    let head = |nth: usize| {
        if nth == 0 { format!(" {title:<width$}", width = TITLES - 1) } else { " ".repeat(TITLES) }
    };
    lines
        .iter()
        .enumerate()
        .map(|(nth, line)| Row::new(PieceKind::Title, &head(nth)).add(PieceKind::Plain, line))
        .collect()
}
