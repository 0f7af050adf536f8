//! Values over time as lines, with a scale: the last reading at the right.

use ratatui::layout::Rect;

use super::theme::{Canvas, Theme};

/// A value of one reading.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Value {
    /// None: unknown.
    pub(super) value: Option<f64>,
    /// The first reading of another process: the line is interrupted.
    pub(super) breaks: bool,
}

/// The values at the bottom and the top of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Scale {
    /// A scale that shows all of these. It begins at zero unless that would make them indistinguishable.
    pub(super) fn of(values: &[Value]) -> Scale {
        let known = || values.iter().filter_map(|value| value.value);
        let high = known().fold(0.0, f64::max);
        let low = known().fold(high, f64::min);
        Scale { low: if low * 2.0 <= high { 0.0 } else { low }, high }
    }

    /// How far up a value is: 0 at the bottom, 1 at the top.
    fn share(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        if span > 0.0 {
            ((value - self.low) / span).clamp(0.0, 1.0)
        } else if value > 0.0 {
            0.5
        } else {
            0.0
        }
    }

    /// Its ends in words: "120-140", "181-204 MiB", "3" if they are equal.
    pub(super) fn words(&self, word: impl Fn(f64) -> String) -> String {
        let (low, high) = (word(self.low), word(self.high));
        if low == high {
            return high;
        }
        let unit = |text: &str| text.split_once(' ').map(|(_, unit)| unit.to_owned());
        let number = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        // A zero needs no unit, and a common unit is written once.
        if unit(&low) == unit(&high) || self.low == 0.0 {
            format!("{}-{high}", number(&low))
        } else {
            format!("{low}-{high}")
        }
    }
}

/// How many readings fit into a column of the screen.
pub(super) fn readings_per_column(theme: Theme) -> usize {
    theme.pick(2, 1)
}

/// The bits of a character of Braille: its left and its right column, from the bottom up.
const DOTS: [[u8; 4]; 2] = [[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]];
/// The height of a line in its cell, for terminals without Braille.
const HEIGHTS: [&str; 4] = ["_", ".", "-", "'"];
/// Steps in a line of the screen.
const STEPS: usize = 4;

/// Draws values as a line.
pub(super) fn line(canvas: &mut Canvas<'_>, area: Rect, values: &[Value], scale: Scale) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let per = readings_per_column(canvas.theme);
    let shown = values.get(values.len().saturating_sub(width * per)..).unwrap_or(values);
    if shown.is_empty() || height == 0 {
        return;
    }
    let rows = height * STEPS;
    let first = width * per - shown.len();
    // Columns of steps, two per character or one, each with the lowest and the highest step of the line.
    let mut before: Option<usize> = None;
    let mut cells = vec![0_u8; width * height];
    let mut breaks = Vec::new();
    for (nth, Value { value, breaks: broken }) in shown.iter().enumerate() {
        let x = first + nth;
        if *broken {
            before = None;
            breaks.push(x / per);
        }
        let Some(value) = value else {
            before = None;
            continue;
        };
        let y = (scale.share(*value) * (rows - 1) as f64).round() as usize;
        let from = before.unwrap_or(y);
        for step in from.min(y)..=from.max(y) {
            let (column, row) = (x / per, height - 1 - step / STEPS);
            if let Some(cell) = cells.get_mut(row * width + column) {
                *cell |= DOTS[x % per][step % STEPS];
            }
        }
        before = Some(y);
    }
    draw(canvas, area, &cells);
    let (mark, style) = (canvas.theme.pick("┊", "|"), canvas.theme.notice());
    for column in breaks {
        for y in area.y..area.bottom() {
            canvas.raw(area.x + column as u16, y, 1, mark, style);
        }
    }
}

fn draw(canvas: &mut Canvas<'_>, area: Rect, cells: &[u8]) {
    let style = canvas.theme.chart();
    for (nth, &bits) in cells.iter().enumerate().filter(|&(_, &bits)| bits != 0) {
        let (x, y) = (nth % usize::from(area.width), nth / usize::from(area.width));
        let text = if canvas.theme.ascii {
            // The highest step, or a vertical line.
            let steps: Vec<usize> = (0..STEPS).filter(|&step| bits & DOTS[0][step] != 0).collect();
            match steps.as_slice() {
                [one] => HEIGHTS[*one].to_owned(),
                _ => "|".to_owned(),
            }
        } else {
            char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ').to_string()
        };
        canvas.raw(area.x + x as u16, area.y + y as u16, 1, &text, style);
    }
}

/// Draws the scale at the left of a chart: its two ends if there are lines for both, else a range.
pub(super) fn axis(canvas: &mut Canvas<'_>, area: Rect, scale: Scale, word: impl Fn(f64) -> String) {
    let (dim, room) = (canvas.theme.dim(), area.width.saturating_sub(1));
    if area.height == 1 {
        canvas.right(area.x, area.y, room, &scale.words(word), dim);
    } else {
        canvas.right(area.x, area.y, room, &word(scale.high), dim);
        if scale.low != scale.high {
            canvas.right(area.x, area.bottom().saturating_sub(1), room, &word(scale.low), dim);
        }
    }
    for y in area.y..area.bottom() {
        let is_end = y == area.y || y + 1 == area.bottom();
        let mark = if is_end { canvas.theme.pick("┤", "+") } else { canvas.theme.pick("│", "|") };
        canvas.raw(area.right().saturating_sub(1), y, 1, mark, dim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::units::{bytes, thousands};

    fn scale(values: &[f64]) -> Scale {
        Scale::of(&values.iter().map(|&v| Value { value: Some(v), breaks: false }).collect::<Vec<_>>())
    }

    #[test]
    fn scales_and_their_words() {
        let whole = |value: f64| thousands(value as u64);
        let size = |value: f64| bytes(value as u64);
        assert_eq!(scale(&[120.0, 140.0]).words(whole), "120-140");
        assert_eq!(scale(&[3.0, 1400.0]).words(whole), "0-1,400");
        assert_eq!(scale(&[7.0, 7.0]).words(whole), "7");
        assert_eq!(scale(&[]).words(whole), "0");
        let mib = 1_048_576.0;
        assert_eq!(scale(&[181.0 * mib, 204.0 * mib]).words(size), "181-204 MiB");
        assert_eq!(scale(&[mib, 204.0 * mib]).words(size), "0-204 MiB");
        assert_eq!(scale(&[900.0 * mib, 1200.0 * mib]).words(size), "900 MiB-1.2 GiB");
    }
}
