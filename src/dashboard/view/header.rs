//! The two lines that are always there, and the notice below the tabs.

use std::sync::Arc;
use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::chart::{Scale, Value, line, readings_per_column};
use super::text::{rate, signed_rate};
use super::theme::Canvas;
use super::{Cut, cpu};
use crate::dashboard::cpu::Sampling;
use crate::dashboard::state::{AppState, Source};
use crate::report::line::width;
use crate::report::text::{moment, runtime_name, task_noun};
use crate::report::units::{bytes, count, duration, thousands};
use crate::session::Picture;
use crate::session::Point;

/// How long a restart of the program is announced, nanoseconds.
const NEWS: u64 = 60_000_000_000;
/// Columns of the small chart.
const SPARK: u16 = 16;

/// Draws the header.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, area: Rect) {
    let (status, style) = status(canvas, state);
    let right = width(&status) as u16 + 1;
    canvas.raw(area.right().saturating_sub(right), area.y, right, &status, style);
    let Some(picture) = &state.picture else {
        let style = canvas.theme.head();
        canvas.put(1, area.y, area.width, "loiter watch", style);
        return;
    };
    who(canvas, picture, area, right);
    if let Some(point) = picture.point() {
        figures(canvas, picture, point, Rect { y: area.y + 1, height: 1, ..area });
    }
}

/// "api-server  pid 4242  go1.24.3 stripped       1,388 goroutines  +38/min".
fn who(canvas: &mut Canvas<'_>, picture: &Picture, area: Rect, taken: u16) {
    let snapshot = &*picture.snapshot;
    let target = &snapshot.header.target;
    let tasks = picture.point().map_or(0, |point| point.tasks);
    let tasks = count(tasks, task_noun(snapshot));
    let growth = picture.per_minute.map(|growth| (format!("{}/min", signed_rate(growth)), growth));
    let wide = width(&tasks) + growth.as_ref().map_or(0, |(text, _)| text.len() + 2) + 3;
    let end = area.width.saturating_sub(taken);
    let start = end.saturating_sub(wide as u16);
    let head = canvas.theme.head();
    let x = canvas.put(1, area.y, start.saturating_sub(2), &target.name, head);
    let runtimes: Vec<String> = snapshot.header.runtimes.iter().map(runtime_name).collect();
    let was = picture.before.map(|before| format!(" (was {})", before.pid)).unwrap_or_default();
    let pid = target.pid.map(|pid| format!("  pid {pid}{was}")).unwrap_or_default();
    let rest = format!("{pid}  {}", runtimes.join(", "));
    canvas.cell(x, area.y, start.saturating_sub(x + 1), &rest, Style::new(), Cut::End);
    let x = canvas.put(start, area.y, end.saturating_sub(start), &tasks, head);
    if let Some((text, growth)) = growth {
        let style = canvas.theme.change(growth);
        canvas.put(x + 2, area.y, end.saturating_sub(x + 2), &text, style);
    }
}

/// The status of the readings.
fn status(canvas: &Canvas<'_>, state: &AppState) -> (String, Style) {
    let theme = canvas.theme;
    let every = seconds(state.interval);
    let took = state.latest.as_ref().map_or(Duration::ZERO, |picture| picture.took);
    if state.frozen {
        let at = state.picture.as_ref().and_then(|picture| picture.snapshot.header.taken_at_ns);
        return (format!("{} frozen {}", theme.pick("■", "#"), time_of_day(at)), theme.notice());
    }
    let recorded =
        if state.record.is_some() { format!(" {}rec", theme.pick("●", "*")) } else { String::new() };
    match &state.source {
        Source::Waiting => (format!("{} attaching", theme.pick("○", "o")), theme.dim()),
        Source::Trouble(_) => (format!("{} retrying", theme.pick("▲", "!")), theme.notice()),
        Source::Ended(_) => (format!("{} ended", theme.pick("■", "#")), theme.warn()),
        Source::File => ("saved snapshot".to_owned(), theme.dim()),
        Source::Opening { .. } => ("opening".to_owned(), theme.dim()),
        Source::Replay { at, of } => {
            let taken = state.picture.as_ref().and_then(|picture| picture.snapshot.header.taken_at_ns);
            let marks = theme.pick(("◀", "▶"), ("<", ">"));
            (format!("{} {}/{of} {}  {}", marks.0, at + 1, marks.1, moment(taken)), theme.notice())
        }
        Source::Live if state.quiet > (state.interval * 3).max(Duration::from_secs(2)) => {
            let text = format!(
                "{} live {every}{recorded}  reading for {}",
                theme.pick("●", "*"),
                seconds(state.quiet)
            );
            (text, theme.notice())
        }
        Source::Live if gap(state) > state.interval.mul_f64(1.25) => {
            let text =
                format!("{} live {every}{recorded}  slower: {}", theme.pick("●", "*"), seconds(gap(state)));
            (text, theme.notice())
        }
        Source::Live => {
            let ms = duration(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            (theme.text(&format!("{} live {every}{recorded}  {ms}", theme.pick("●", "*"))), theme.good())
        }
    }
}

/// The time between the last two readings.
fn gap(state: &AppState) -> Duration {
    let Some(picture) = &state.latest else { return Duration::ZERO };
    let mut times = picture.points.iter().rev().map(|point| point.elapsed_ns);
    let (last, before) = (times.next().flatten(), times.next().flatten());
    let ns = last.zip(before).map_or(0, |(last, before)| last.saturating_sub(before));
    Duration::from_nanos(ns)
}

/// "0.5 s", "12 s".
fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 && duration.subsec_millis() > 0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}

/// "12:03:11", in UTC.
fn time_of_day(ns: Option<u64>) -> String {
    moment(ns).split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The second line: the number of tasks over time, and figures.
fn figures(canvas: &mut Canvas<'_>, picture: &Picture, point: &Point, area: Rect) {
    let mut x = spark(canvas, picture, area);
    let mut facts: Vec<String> = Vec::new();
    let or_more = if point.counted { "" } else { "+" };
    facts.extend(point.born.map(|born| format!("born {}{or_more}/s", rate(born))));
    facts.extend(point.ended.map(|ended| format!("ended {}{or_more}/s", rate(ended))));
    if point.workers > 0 {
        let noun = picture.snapshot.header.runtimes.iter().map(|runtime| &runtime.scheduler.worker_noun);
        let noun = noun.clone().find(|noun| !noun.is_empty()).map_or("workers", String::as_str);
        facts.push(format!("{noun} {} busy {}", point.workers, point.busy));
    }
    facts.extend(point.queued.map(|queued| format!("runq {}", thousands(queued))));
    let room = |x: u16, fact: &str| usize::from(x) + width(fact) < area.width.into();
    let heap = point.heap.map(bytes).unwrap_or_default();
    facts.extend(point.heap.map(|_| match point.next_gc {
        Some(next) if area.width >= 96 => format!("heap {heap} -> {}", bytes(next)),
        _ => format!("heap {heap}"),
    }));
    facts.extend(point.rss.map(|rss| format!("RSS {}", bytes(rss))));
    for fact in facts {
        // A fact that does not fit is left out: a truncated number would be wrong.
        if room(x, &fact) {
            x = canvas.put(x, area.y, area.width.saturating_sub(x), &fact, Style::new()) + 2;
        }
    }
}

/// The announcement of a recent restart.
fn restarted(picture: &Picture) -> Option<String> {
    let before = picture.before?;
    let header = &picture.snapshot.header;
    let ago = header.taken_at_ns.unwrap_or(0).saturating_sub(before.new_at_ns);
    (ago < NEWS).then(|| {
        let (pid, ago) = (header.target.pid.unwrap_or(0), duration(ago));
        format!("process {} ended; it was restarted as pid {pid} {ago} ago", before.pid)
    })
}

/// The number of tasks over time, between the minimum and the maximum; returns the next free column.
fn spark(canvas: &mut Canvas<'_>, picture: &Picture, area: Rect) -> u16 {
    let wide = if area.width < 96 { SPARK / 2 } else { SPARK };
    let shown = usize::from(wide) * readings_per_column(canvas.theme);
    let of = |point: &Arc<Point>| Value { value: Some(point.tasks as f64), breaks: point.restarted };
    let points = &picture.points;
    let values: Vec<Value> = points.iter().skip(points.len().saturating_sub(shown)).map(of).collect();
    let scale = Scale::of(&values);
    let (dim, word) = (canvas.theme.dim(), |value: f64| thousands(value.round() as u64));
    let mut x = 1;
    if area.width >= 96 {
        x = canvas.put(x, area.y, area.width, &word(scale.low), dim) + 1;
    }
    line(canvas, Rect { x, width: wide.min(area.width.saturating_sub(x)), ..area }, &values, scale);
    x += wide + 1;
    if area.width >= 96 {
        x = canvas.put(x, area.y, area.width.saturating_sub(x), &word(scale.high), dim) + 1;
    }
    x + 1
}

/// A problem, a warning, or a plain line.
pub(super) fn notice(canvas: &mut Canvas<'_>, state: &AppState, y: u16) {
    canvas.rule(y);
    let end = notice_text(canvas, state, y);
    sampler(canvas, state, y, end);
}

/// What the sampler says of itself, at the right; whole facts only.
fn sampler(canvas: &mut Canvas<'_>, state: &AppState, y: u16, end: u16) {
    let mut facts = cpu::sampler(state);
    let wide = canvas.buffer.area.width;
    while !facts.is_empty() {
        let text = format!(" {} ", facts.join("  "));
        let start = usize::from(wide).checked_sub(width(&text) + 1).filter(|&x| x > usize::from(end));
        if let Some(start) = start {
            let style = canvas.theme.good();
            canvas.put(start as u16, y, wide, &text, style);
            return;
        }
        facts.pop();
    }
}

/// The notice; returns the column behind it.
fn notice_text(canvas: &mut Canvas<'_>, state: &AppState, y: u16) -> u16 {
    let theme = canvas.theme;
    let mut say = |text: &str, style: Style| {
        let room = canvas.buffer.area.width.saturating_sub(2);
        let text = canvas.theme.fit(&format!(" {text} "), room.into(), Cut::End);
        canvas.raw(1, y, room, &text, style)
    };
    let problem = match &state.source {
        Source::Trouble(why) => Some(format!("{why}; retrying")),
        Source::Ended(why) if state.picture.is_some() => Some(format!("{why}; this is the last reading")),
        Source::Ended(why) => Some(why.clone()),
        _ => None,
    };
    if let Some(problem) = problem {
        return say(&problem, theme.warn());
    }
    if let Sampling::Failed { why, remedy } = &state.cpu.sampling {
        return say(&format!("CPU cannot be sampled: {}", remedy.first().unwrap_or(why)), theme.notice());
    }
    let picture = state.picture.as_ref();
    let warning = picture.and_then(|picture| {
        let warnings = &picture.snapshot.header.warnings;
        restarted(picture).or_else(|| picture.warning.clone()).or_else(|| warnings.first().cloned())
    });
    warning.map_or(0, |warning| say(&warning, theme.notice()))
}
