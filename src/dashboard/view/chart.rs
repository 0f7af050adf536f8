//! Values over time: one column a reading, the last one at the right.

use ratatui::layout::Rect;

use super::theme::Pen;

/// Draws values as bars from the bottom of an area, in proportion to `max`; a column each, the last one
/// at the right. None leaves its column empty.
pub(super) fn bars(pen: &mut Pen<'_>, area: Rect, values: &[Option<f64>], max: f64) {
    let levels: &[&str] =
        pen.theme.pick(&[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"], &[" ", ".", ":", "|", "#"]);
    let (steps, style) = (levels.len() - 1, pen.theme.chart());
    let shown = values.get(values.len().saturating_sub(area.width.into())..).unwrap_or(values);
    let first = area.right().saturating_sub(shown.len() as u16);
    for (x, value) in (first..).zip(shown) {
        let Some(value) = value else { continue };
        let share = if max > 0.0 { (value / max).clamp(0.0, 1.0) } else { 0.0 };
        // Something that is not nothing is seen.
        let height =
            (share * f64::from(area.height) * steps as f64).round().max(if *value > 0.0 { 1.0 } else { 0.0 });
        let mut left = height as usize;
        for row in (0..area.height).rev() {
            let level = left.min(steps);
            left -= level;
            if let Some(text) = levels.get(level).filter(|_| level > 0) {
                pen.raw(x, area.y + row, 1, text, style);
            }
        }
    }
}

/// Draws values as shades of a line, in proportion to `max`.
pub(super) fn shades(pen: &mut Pen<'_>, area: Rect, values: &[f64], max: f64) {
    let levels: &[&str] = pen.theme.pick(&[" ", "░", "▒", "▓", "█"], &[" ", ".", "+", "*", "#"]);
    let (steps, style) = (levels.len() - 1, pen.theme.chart());
    let shown = values.get(values.len().saturating_sub(area.width.into())..).unwrap_or(values);
    let first = area.right().saturating_sub(shown.len() as u16);
    for (x, value) in (first..).zip(shown) {
        if *value <= 0.0 || max <= 0.0 {
            continue;
        }
        let level = (value / max * steps as f64).ceil().clamp(1.0, steps as f64) as usize;
        if let Some(text) = levels.get(level) {
            pen.raw(x, area.y, 1, text, style);
        }
    }
}

/// The largest value, at least `least`.
pub(super) fn most(values: &[Option<f64>], least: f64) -> f64 {
    values.iter().flatten().fold(least, |most, &value| most.max(value))
}
