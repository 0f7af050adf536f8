//! Everything at a glance, over time.

use std::collections::VecDeque;
use std::sync::Arc;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::chart::{Scale, Value, axis, line, readings_per_column};
use super::findings::sureness;
use super::text::rate;
use super::theme::Canvas;
use super::{Cut, cpu};
use crate::dashboard::shares;
use crate::dashboard::state::AppState;
use crate::report::line::width;
use crate::report::text::findings::summary;
use crate::report::text::task_noun;
use crate::report::units::{bytes, duration, thousands};
use crate::session::Point;

/// Columns of the names and of the figures beside the charts.
const NAME: u16 = 16;
const FIGURE: u16 = 10;

/// Draws the view.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, area: Rect) {
    let Some(picture) = &state.picture else { return };
    let Some(point) = picture.point() else { return };
    let findings =
        state.findings().map_or(0, |report| report.findings.len()).min(usize::from(area.height) / 6) as u16;
    let mut page = Page::new(canvas, area, &picture.points);
    let tall = (area.height / 5).clamp(2, 8);
    let low = if area.height >= 34 { 2 } else { 1 };
    let noun = format!("{}s", task_noun(&picture.snapshot));
    let whole = |value: f64| thousands(value.round() as u64);
    let size = |value: f64| bytes(value.round() as u64);
    page.strip(&noun, &thousands(point.tasks), tall, whole, |p| Some(p.tasks as f64));
    let per_second = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{}/s", rate(value)));
    page.strip("born", &per_second(point.born), low, rate, |p| p.born);
    page.strip("ended", &per_second(point.ended), low, rate, |p| p.ended);
    if point.workers > 0 {
        let figure = format!("{} of {}", point.busy, point.workers);
        page.strip("busy workers", &figure, low, whole, |p| Some(p.busy as f64));
    }
    if let Some(queued) = point.queued {
        page.strip("run queues", &thousands(queued), low, whole, |p| p.queued.map(|n| n as f64));
    }
    if let Some(heap) = point.heap {
        page.strip("heap", &bytes(heap), low, size, |p| p.heap.map(|n| n as f64));
    }
    if let Some(rss) = point.rss {
        page.strip("RSS", &bytes(rss), low, size, |p| p.rss.map(|n| n as f64));
    }
    let nouns = task_noun(&picture.snapshot);
    if let Some((sum, parts)) = cpu::process(state, nouns) {
        page.say("CPU", &sum, &parts);
    }
    if let Some(times) = &picture.times {
        let room = usize::from(area.width.saturating_sub(NAME + 1));
        page.say("time by state", &shares::times(&times.whole(), room), &[]);
    }
    page.axis();
    page.kinds(findings + u16::from(findings > 0));
    if let Some(report) = state.findings().filter(|_| findings > 0) {
        let y = area.bottom().saturating_sub(findings + 1);
        page.canvas.rule(y);
        for (nth, finding) in report.findings.iter().take(findings.into()).enumerate() {
            let (y, style) = (y + 1 + nth as u16, sureness(page.canvas.theme, finding.sureness));
            let x = page.canvas.put(1, y, 9, &finding.sureness.name().to_uppercase(), style);
            page.canvas.cell(
                x.max(9) + 1,
                y,
                area.width.saturating_sub(12),
                &summary(finding),
                Style::new(),
                Cut::End,
            );
        }
    }
}

struct Page<'a, 'b> {
    canvas: &'a mut Canvas<'b>,
    area: Rect,
    y: u16,
    points: Vec<&'a Point>,
}

impl<'a, 'b> Page<'a, 'b> {
    fn new(canvas: &'a mut Canvas<'b>, area: Rect, points: &'a VecDeque<Arc<Point>>) -> Self {
        let mut page = Page { canvas, area, y: area.y, points: Vec::new() };
        let shown = usize::from(page.chart(1).width) * readings_per_column(page.canvas.theme);
        page.points = points.iter().skip(points.len().saturating_sub(shown)).map(AsRef::as_ref).collect();
        page
    }

    /// The place of a chart's scale.
    fn scale(&self, height: u16) -> Rect {
        let width = if self.area.width >= 96 { 16 } else { 12 };
        Rect { x: NAME + FIGURE + 1, y: self.y, width, height }
    }

    fn chart(&self, height: u16) -> Rect {
        let x = self.scale(height).right();
        Rect { x, y: self.y, width: self.area.width.saturating_sub(x + 1), height }
    }

    /// A name, the figure of the last reading, a scale and a line.
    fn strip(
        &mut self,
        name: &str,
        figure: &str,
        height: u16,
        word: impl Fn(f64) -> String,
        value: impl Fn(&Point) -> Option<f64>,
    ) {
        if self.y + height > self.area.bottom() {
            return;
        }
        let (title, head) = (self.canvas.theme.title(), self.canvas.theme.head());
        self.canvas.cell(1, self.y, NAME, name, title, Cut::End);
        self.canvas.right(NAME, self.y, FIGURE, figure, head);
        self.draw(height, word, value);
        self.y += height;
    }

    /// A name and a fact, then as many more as fit.
    fn say(&mut self, name: &str, fact: &str, more: &[String]) {
        if self.y >= self.area.bottom() {
            return;
        }
        let (title, wide) = (self.canvas.theme.title(), self.area.width);
        self.canvas.cell(1, self.y, NAME, name, title, Cut::End);
        let mut x = self.canvas.put(NAME, self.y, wide.saturating_sub(NAME), fact, Style::new());
        for fact in more {
            if usize::from(x) + 2 + width(fact) >= usize::from(wide) {
                break;
            }
            x = self.canvas.put(x + 2, self.y, wide, fact, Style::new());
        }
        self.y += 1;
    }

    fn draw(&mut self, height: u16, word: impl Fn(f64) -> String, value: impl Fn(&Point) -> Option<f64>) {
        let of = |point: &&Point| Value { value: value(point), breaks: point.restarted };
        let values: Vec<Value> = self.points.iter().map(of).collect();
        let scale = Scale::of(&values);
        let (left, chart) = (self.scale(height), self.chart(height));
        axis(self.canvas, left, scale, word);
        line(self.canvas, chart, &values, scale);
    }

    /// How long ago the first reading and the middle one were.
    fn axis(&mut self) {
        if self.y >= self.area.bottom() {
            return;
        }
        let chart = self.chart(1);
        let time = |point: Option<&&Point>| point.and_then(|point| point.elapsed_ns);
        let ago = |nth: usize| time(self.points.last())?.checked_sub(time(self.points.get(nth))?);
        let per = readings_per_column(self.canvas.theme);
        let column = |nth: usize| {
            let left = (self.points.len() - nth).div_ceil(per) as u16;
            chart.right().saturating_sub(left).max(chart.x)
        };
        let dim = self.canvas.theme.dim();
        self.canvas.put(1, self.y, NAME + FIGURE, "wait reason or state", dim);
        self.canvas.right(chart.x, self.y, chart.width, "now", dim);
        let mut end = chart.right().saturating_sub(6);
        for nth in [self.points.len() / 2, 0] {
            let Some(ns) = ago(nth).filter(|&ns| ns > 0) else { continue };
            let text = format!("{} ago", duration(ns));
            let x = column(nth);
            if x + text.len() as u16 <= end {
                self.canvas.put(x, self.y, chart.width, &text, dim);
                end = x.saturating_sub(2);
            }
        }
        self.y += 1;
    }

    /// How many tasks wait for what, or are in what state: one line each. `below`: lines reserved for other
    /// content.
    fn kinds(&mut self, below: u16) {
        let room = usize::from(self.area.bottom().saturating_sub(self.y + below));
        let Some(last) = self.points.last() else { return };
        // Present ones first, then past ones.
        let mut kinds: Vec<_> = last.kinds.iter().map(|(kind, _)| kind.clone()).collect();
        for (kind, _) in self.points.iter().rev().flat_map(|point| &point.kinds) {
            if kinds.len() >= room {
                break;
            }
            if !kinds.contains(kind) {
                kinds.push(kind.clone());
            }
        }
        for kind in kinds.into_iter().take(room) {
            let count =
                |point: &Point| point.kinds.iter().find(|(other, _)| *other == kind).map_or(0, |(_, n)| *n);
            let now = self.points.last().map_or(0, |point| count(point));
            let (state, head) = (self.canvas.theme.state(), self.canvas.theme.head());
            self.canvas.cell(1, self.y, NAME, &kind, state, Cut::End);
            self.canvas.right(NAME, self.y, FIGURE, &thousands(now), head);
            self.draw(1, |value| thousands(value.round() as u64), |point| Some(count(point) as f64));
            self.y += 1;
        }
    }
}
