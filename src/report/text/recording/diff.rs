//! Two recordings compared by share.

use std::io::{self, Write};

use super::super::super::line::{DIM, HEAD, Line, PLAIN, STATE, TITLE};
use super::super::super::units::{count, percent};
use super::super::header::who;
use super::{RecordingOptions, amount, caption};
use crate::analysis::recorded::Recorded;
use crate::analysis::recorded::diff::{Changed, Compared, RecordingDiff};

/// Rows, unless they are asked for.
const ROWS: usize = 20;

/// Writes how the shares of functions or groups changed from `before` to `now`.
///
/// # Errors
/// Those of `out`.
pub fn diff(
    before: &Recorded,
    now: &Recorded,
    diff: &RecordingDiff,
    options: &RecordingOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let most = options.top.unwrap_or(ROWS);
    let side = |recorded: &Recorded, sum| format!("{} in {}", amount(sum, diff.clock), caption(recorded));
    let pieces = [
        (HEAD, who(&now.snapshot.header)),
        (PLAIN, format!("before: {}", side(before, diff.before))),
        (PLAIN, format!("now: {}", side(now, diff.now))),
    ];
    Line::new(options.color).wrap(&pieces, " · ", 2, options.width, out)?;
    let real = diff.rows.iter().filter(|row| row.is_real());
    let shown: Vec<&Changed> = real.clone().take(most).collect();
    if shown.is_empty() {
        writeln!(out)?;
        let text = "no real difference: every change may be chance";
        Line::new(options.color).push(PLAIN, " ").push(HEAD, text).write(out)?;
    } else {
        writeln!(out)?;
        let what = match &diff.compared {
            Compared::Function => "FUNCTION, its own time".to_owned(),
            Compared::Cumulative => "FUNCTION, with what it calls".to_owned(),
            Compared::Group(by) => by.to_string().to_uppercase(),
        };
        let mut line = Line::new(options.color);
        line.right(TITLE, "BEFORE", 8).right(TITLE, "NOW", 16).right(TITLE, "CHANGE", 24);
        line.pad(40, 2).push(TITLE, &what).write(out)?;
        for row in shown {
            write_row(diff, row, options, out)?;
        }
    }
    write_notes(diff, real.count().saturating_sub(most), options, out)
}

fn write_row(
    diff: &RecordingDiff,
    row: &Changed,
    options: &RecordingOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = Line::new(options.color);
    line.right(PLAIN, &percent(row.before.ns, diff.before.ns), 8);
    line.right(PLAIN, &percent(row.now.ns, diff.now.ns), 16);
    line.right(HEAD, &points(row.change.value), 24).pad(25, 1);
    line.push(DIM, &format!("{} to {}", points(row.change.low), points(row.change.high))).pad(40, 2);
    line.wrap_text(STATE, &row.name, 42, options.width, out)
}

/// A part of 1 as points of a percentage, with a sign: "+18", "-0.4".
pub(in crate::report) fn points(part: f64) -> String {
    let points = part * 100.0;
    if points.abs() < 9.95 { format!("{points:+.1}") } else { format!("{points:+.0}") }
}

fn write_notes(
    diff: &RecordingDiff,
    left: usize,
    options: &RecordingOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut notes = Vec::new();
    if left > 0 {
        notes.push(format!("{} (--limit {})", count(left as u64, "more real difference"), left + ROWS));
    }
    let chance: Vec<_> = diff.rows.iter().filter(|row| !row.is_real()).collect();
    if let Some(largest) = chance.first() {
        let (value, reach) = (points(largest.change.value), largest.change.reach() * 100.0);
        let name = &largest.name;
        let rows = count(chance.len() as u64, "row");
        notes.push(format!("{rows} without a real difference; the largest: {name} {value} (± {reach:.1})"));
    }
    notes
        .push("change in points of all time, with the interval that is right 99 times out of 100".to_owned());
    writeln!(out)?;
    for note in notes {
        let mut line = Line::new(options.color);
        line.push(PLAIN, " ");
        line.wrap_text(DIM, &note, 3, options.width, out)?;
    }
    Ok(())
}
