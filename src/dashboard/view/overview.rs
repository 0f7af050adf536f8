//! Everything at a glance, over time: one column a reading.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::Cut;
use super::chart::{bars, most, shades};
use super::findings::sureness;
use super::text::rate;
use super::theme::Pen;
use crate::dashboard::history::Point;
use crate::dashboard::state::State;
use crate::report::text::findings::summary;
use crate::report::text::task_noun;
use crate::report::units::{bytes, duration, thousands};

/// Columns of the names and of the figures beside the charts.
const NAME: u16 = 16;
const FIGURE: u16 = 10;

/// Draws the view.
pub(super) fn draw(pen: &mut Pen<'_>, state: &State, area: Rect) {
    let Some(picture) = &state.picture else { return };
    let Some(point) = picture.point() else { return };
    let columns = usize::from(area.width.saturating_sub(NAME + FIGURE + 3));
    let points: Vec<&Point> = {
        let skip = picture.points.len().saturating_sub(columns);
        picture.points.iter().skip(skip).map(AsRef::as_ref).collect()
    };
    let findings =
        state.findings().map_or(0, |report| report.findings.len()).min(usize::from(area.height) / 6) as u16;
    let mut page = Page { pen, area, y: area.y, points };
    let tall = (area.height / 5).clamp(2, 8);
    let noun = format!("{}s", task_noun(&picture.snapshot));
    page.strip(&noun, &thousands(point.tasks), tall, |p| Some(p.tasks as f64));
    let per_second = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{}/s", rate(value)));
    page.strip("born", &per_second(point.born), 1, |p| p.born);
    page.strip("ended", &per_second(point.ended), 1, |p| p.ended);
    if point.workers > 0 {
        page.strip("busy workers", &format!("{} of {}", point.busy, point.workers), 1, |p| {
            Some(p.busy as f64)
        });
    }
    if let Some(queued) = point.queued {
        page.strip("run queues", &thousands(queued), 1, |p| p.queued.map(|n| n as f64));
    }
    if let Some(heap) = point.heap {
        let next = point.next_gc.unwrap_or(0) as f64;
        page.strip_of("heap", &bytes(heap), 1, next, |p| p.heap.map(|n| n as f64));
    }
    if let Some(rss) = point.rss {
        page.strip("RSS", &bytes(rss), 1, |p| p.rss.map(|n| n as f64));
    }
    page.axis();
    page.heat(findings + u16::from(findings > 0));
    if let Some(report) = state.findings().filter(|_| findings > 0) {
        let y = area.bottom().saturating_sub(findings + 1);
        page.pen.rule(y);
        for (nth, finding) in report.findings.iter().take(findings.into()).enumerate() {
            let (y, style) = (y + 1 + nth as u16, sureness(page.pen.theme, finding.sureness));
            let x = page.pen.put(1, y, 9, &finding.sureness.name().to_uppercase(), style);
            page.pen.cell(
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
    pen: &'a mut Pen<'b>,
    area: Rect,
    y: u16,
    points: Vec<&'a Point>,
}

impl Page<'_, '_> {
    fn chart(&self, height: u16) -> Rect {
        let x = NAME + FIGURE + 2;
        Rect { x, y: self.y, width: self.area.width.saturating_sub(x + 1), height }
    }

    /// A name, the figure of the last reading, and bars.
    fn strip(&mut self, name: &str, figure: &str, height: u16, value: impl Fn(&Point) -> Option<f64>) {
        self.strip_of(name, figure, height, 1.0, value);
    }

    /// The same; a full bar is at least `least`.
    fn strip_of(
        &mut self,
        name: &str,
        figure: &str,
        height: u16,
        least: f64,
        value: impl Fn(&Point) -> Option<f64>,
    ) {
        if self.y + height > self.area.bottom() {
            return;
        }
        let (title, head) = (self.pen.theme.title(), self.pen.theme.head());
        self.pen.cell(1, self.y, NAME, name, title, Cut::End);
        self.pen.right(NAME, self.y, FIGURE, figure, head);
        let values: Vec<Option<f64>> = self.points.iter().map(|point| value(point)).collect();
        if height > 1 {
            let most = format!("most {}", thousands(most(&values, 0.0) as u64));
            let dim = self.pen.theme.dim();
            self.pen.right(1, self.y + 1, NAME + FIGURE - 1, &most, dim);
        }
        bars(self.pen, self.chart(height), &values, most(&values, least));
        self.y += height;
    }

    /// How long ago the first column was.
    fn axis(&mut self) {
        let chart = self.chart(1);
        let first = self.points.first().and_then(|point| point.elapsed_ns);
        let last = self.points.last().and_then(|point| point.elapsed_ns);
        let span = first.zip(last).and_then(|(first, last)| last.checked_sub(first)).filter(|&ns| ns > 0);
        let dim = self.pen.theme.dim();
        self.pen.put(1, self.y, NAME + FIGURE, "waiting for, or state", dim);
        if let Some(span) = span {
            let begin = chart.right().saturating_sub(self.points.len() as u16).max(chart.x);
            let text = format!("{} ago", duration(span));
            if usize::from(chart.right() - begin) > text.len() + 6 {
                self.pen.put(begin, self.y, chart.width, &text, dim);
            }
            self.pen.right(chart.x, self.y, chart.width, "now", dim);
        }
        self.y += 1;
    }

    /// Reasons and states as shades, the darker the more tasks; each shade stands for several times as
    /// many as the one before. `below`: lines that something else needs.
    fn heat(&mut self, below: u16) {
        let room = usize::from(self.area.bottom().saturating_sub(self.y + below));
        let Some(last) = self.points.last() else { return };
        // Those of now first; then those that there were.
        let mut kinds: Vec<_> = last.kinds.iter().map(|(kind, _)| kind.clone()).collect();
        for (kind, _) in self.points.iter().rev().flat_map(|point| &point.kinds) {
            if kinds.len() >= room {
                break;
            }
            if !kinds.contains(kind) {
                kinds.push(kind.clone());
            }
        }
        let counts = self.points.iter().flat_map(|point| &point.kinds).map(|(_, count)| *count);
        let max = logarithm(counts.max().unwrap_or(0));
        for kind in kinds.into_iter().take(room) {
            let count =
                |point: &Point| point.kinds.iter().find(|(other, _)| *other == kind).map_or(0, |(_, n)| *n);
            let values: Vec<f64> = self.points.iter().map(|point| logarithm(count(point))).collect();
            let (state, head) = (self.pen.theme.state(), self.pen.theme.head());
            self.pen.cell(1, self.y, NAME, &kind, state, Cut::End);
            self.pen.right(NAME, self.y, FIGURE, &thousands(count(last)), head);
            shades(self.pen, self.chart(1), &values, max);
            self.y += 1;
        }
    }
}

/// On this scale a few tasks are still seen beside a million.
fn logarithm(count: u64) -> f64 {
    (count as f64).ln_1p()
}
