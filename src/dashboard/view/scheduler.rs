//! The scheduler, the heap and the process.

use std::collections::VecDeque;
use std::sync::Arc;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::chart::{Scale, Value, axis, line, readings_per_column};
use super::theme::Canvas;
use super::{Cut, cpu, select};
use crate::dashboard::cpu::Sampling;
use crate::dashboard::layout::Areas;
use crate::dashboard::shares;
use crate::dashboard::state::AppState;
use crate::report::line::wrapped;
use crate::report::text::{figures, task_noun};
use crate::report::units::thousands;
use crate::session::{Picture, Point};

/// Columns of the titles.
const TITLES: u16 = 12;
const QUEUED: (u16, u16) = (26, 12);

/// Draws the figures, and the workers below.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    let Some(picture) = &state.picture else { return };
    let body = areas.body;
    let mut y = body.y;
    let title = canvas.theme.title();
    // The last three lines above the list: queues over time, a rule, headings.
    let end = areas.rows.y.saturating_sub(3);
    let room = usize::from(body.width.saturating_sub(TITLES + 2));
    for (name, text) in figures(&picture.snapshot).into_iter().chain(doing(state, picture, room)) {
        for (nth, line) in wrapped(&text, room, 0).into_iter().enumerate() {
            if y >= end {
                break;
            }
            if nth == 0 {
                canvas.put(1, y, TITLES, name, title);
            }
            canvas.put(TITLES + 1, y, room as u16, &line, Style::new());
            y += 1;
        }
    }
    queues(canvas, &picture.points, Rect { y: end, height: 1, ..body });
    canvas.rule(end + 1);
    canvas.put(2, end + 2, 10, "WORKER", title);
    canvas.put(14, end + 2, 12, "STATUS", title);
    canvas.right(QUEUED.0, end + 2, QUEUED.1, "QUEUED TASKS", title);
    workers(canvas, state, areas.rows);
}

/// How all tasks spent their time, and CPU time if that is sampled.
fn doing(state: &AppState, picture: &Picture, room: usize) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(times) = &picture.times {
        lines.push(("time", shares::times(&times.whole(), room)));
    }
    if let Sampling::Failed { why, remedy } = &state.cpu.sampling {
        let text = [why].into_iter().chain(remedy).map(String::as_str).collect::<Vec<_>>().join(" ");
        lines.push(("CPU", format!("cannot be sampled: {text}")));
    }
    if let Some((sum, parts)) = cpu::process(state, task_noun(&picture.snapshot)) {
        let parts: Vec<String> = [sum].into_iter().chain(parts).collect();
        lines.push(("CPU", parts.join(", ")));
    }
    let mut sampler = cpu::sampler(state);
    if let Some(times) = state.cpu.shown.as_ref().filter(|_| state.cpu.is_on()) {
        sampler.push(format!("{} samples by {}", thousands(times.samples), times.event));
        if times.coverage().is_none() {
            sampler.push("the process used too little CPU time to tell what samples cover".to_owned());
        }
        sampler.extend(times.reduced.iter().cloned());
    }
    if !sampler.is_empty() {
        lines.push(("sampling", sampler.join(", ")));
    }
    lines
}

/// Tasks in all run queues, over time.
fn queues(canvas: &mut Canvas<'_>, points: &VecDeque<Arc<Point>>, area: Rect) {
    let of = |point: &Arc<Point>| Value { value: point.queued.map(|n| n as f64), breaks: point.restarted };
    let left = Rect { x: TITLES, width: 12, ..area };
    let chart = Rect { x: left.right(), width: area.width.saturating_sub(left.right() + 1), ..area };
    let shown = usize::from(chart.width) * readings_per_column(canvas.theme);
    let values: Vec<Value> = points.iter().skip(points.len().saturating_sub(shown)).map(of).collect();
    if values.iter().any(|value| value.value.is_some()) {
        let (scale, title) = (Scale::of(&values), canvas.theme.title());
        canvas.put(1, area.y, TITLES, "run queues", title);
        axis(canvas, left, scale, |value| thousands(value.round() as u64));
        line(canvas, chart, &values, scale);
    }
}

fn workers(canvas: &mut Canvas<'_>, state: &AppState, rows: Rect) {
    let runtimes = &state.tables.picture.snapshot.header.runtimes;
    let all = runtimes.iter().flat_map(|runtime| {
        let noun = &runtime.scheduler.worker_noun;
        runtime.scheduler.workers.iter().map(move |worker| (noun, worker))
    });
    let cursor = state.cursors.scheduler;
    let theme = canvas.theme;
    for (line, (noun, worker)) in all.enumerate().skip(cursor.top).take(rows.height.into()) {
        let y = rows.y + (line - cursor.top) as u16;
        canvas.put(2, y, 11, &format!("{noun} {}", worker.id), theme.head());
        let style = if worker.status == "idle" { theme.dim() } else { theme.state() };
        canvas.cell(14, y, 11, &worker.status, style, Cut::End);
        canvas.right(QUEUED.0, y, QUEUED.1, &thousands(worker.queue.into()), Style::new());
        let bar = canvas
            .theme
            .pick("█", "#")
            .repeat((worker.queue as usize).min(rows.width.saturating_sub(41).into()));
        canvas.raw(40, y, rows.width.saturating_sub(41), &bar, theme.chart());
        if line == cursor.at {
            select(canvas, y);
        }
    }
    if state.len(crate::dashboard::state::List::Scheduler) == 0 {
        canvas.put(2, rows.y, rows.width, "no known workers", theme.dim());
    }
}
