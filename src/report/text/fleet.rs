//! The findings of many processes, for people.

use std::io::{self, Write};
use std::iter;

use super::super::line::{DIM, HEAD, Line, PLAIN, STATE, TITLE, WARN};
use super::super::units::{count, thousands};
use super::TextOptions;
use super::findings::style;
use crate::analysis::leaks::Part;
use crate::analysis::leaks::fleet::{Fleet, FleetFinding};
use crate::analysis::signature::SignatureFrame;
use crate::report::evidence::{because, meaning};
use crate::report::finding::{left_out, named, note, number, place, summary};
use crate::report::known::{Remark, listed};

/// At most this many groups are listed; with `-v` all are.
const GROUPS: usize = 20;
/// Column of the values of a finding.
const VALUES: usize = 21;

/// Writes the findings of a fleet.
///
/// # Errors
/// Those of `out`.
pub fn fleet(fleet: &Fleet, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let line = || Line::new(options.color);
    let pieces = [
        (HEAD, format!("{} processes", thousands(fleet.processes))),
        (PLAIN, count(fleet.snapshots, "snapshot")),
        (PLAIN, count(fleet.tasks, &fleet.noun)),
    ];
    line().wrap(&pieces, " · ", 2, options.width, out)?;
    for found in &fleet.findings {
        writeln!(out)?;
        finding(fleet, found, options, out)?;
    }
    writeln!(out)?;
    if fleet.findings.is_empty() {
        line().push(PLAIN, "no findings").write(out)?;
    }
    for found in &fleet.scheduler {
        let processes = thousands(found.processes.len() as u64);
        let of = thousands(fleet.processes);
        let text = format!(
            "scheduler, no leak, in {processes} of {of} processes: {}",
            note(&found.note, &fleet.noun)
        );
        let words: Vec<_> = text.split(' ').map(|word| (PLAIN, word.to_owned())).collect();
        line().wrap(&words, " ", 2, options.width, out)?;
    }
    groups(fleet, options, out)?;
    for Remark { head, lines } in listed(&fleet.listed, &fleet.noun, options.verbose) {
        let below = lines.iter().map(|line| (2, DIM, line));
        for (indent, style, text) in iter::once((0, PLAIN, &head)).chain(below) {
            let words: Vec<_> = text.split(' ').map(|word| (style, word.to_owned())).collect();
            let mut line = line();
            line.pad(indent, 0);
            line.wrap(&words, " ", indent + 2, options.width, out)?;
        }
    }
    for text in left_out(&fleet.noun, fleet.ignored, fleet.silenced.as_ref(), fleet.in_baseline) {
        let words: Vec<_> = format!("left out: {text}").split(' ').map(|w| (DIM, w.to_owned())).collect();
        line().wrap(&words, " ", 2, options.width, out)?;
    }
    for (process, warning) in &fleet.warnings {
        let words: Vec<_> =
            format!("warning: {process}: {warning}").split(' ').map(|w| (WARN, w.to_owned())).collect();
        line().wrap(&words, " ", 2, options.width, out)?;
    }
    Ok(())
}

fn finding(
    fleet: &Fleet,
    found: &FleetFinding,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let finding = &found.finding;
    let mut line = Line::new(options.color);
    line.push(style(finding.sureness), &finding.sureness.name().to_uppercase()).pad(9, 1);
    let processes = found.spread.processes.len() as u64;
    let processes = format!("{} of {} processes", thousands(processes), thousands(fleet.processes));
    line.push(HEAD, &format!("in {processes}, {} in all", thousands(found.spread.total))).write(out)?;
    row(&mut line, "largest", &named(&found.spread), options, out)?;
    row(&mut line, "there", &summary(finding), options, out)?;
    let mut at = |title: &str, at: Option<&SignatureFrame>| match at {
        Some(at) => {
            let text = format!("{}  {}", at.function, place(&fleet.header, at, options.full_paths));
            row(&mut line, title, &text, options, out)
        }
        None => Ok(()),
    };
    let part = finding.parts.first();
    at("at", part.and_then(|part| part.at.as_ref().or(part.stack.first())))?;
    at("created by", part.and_then(|part| part.creator.as_ref()))?;
    let because = because(finding).join("; ");
    let meaning = finding.cause.map(meaning);
    let (cause, next) = meaning.map_or(("", ""), |meaning| (meaning.cause, meaning.next));
    for (title, text) in [("because", because.as_str()), ("cause", cause), ("next", next)] {
        if !text.is_empty() {
            row(&mut line, title, text, options, out)?;
        }
    }
    Ok(())
}

fn row(
    line: &mut Line,
    title: &str,
    text: &str,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let words: Vec<_> = text.split(' ').map(|word| (PLAIN, word.to_owned())).collect();
    line.pad(9, 0).push(TITLE, title).pad(VALUES, 1);
    line.wrap(&words, " ", VALUES, options.width, out)
}

/// The table of groups.
fn groups(fleet: &Fleet, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    if fleet.groups.is_empty() {
        return Ok(());
    }
    let mut line = Line::new(options.color);
    for (column, title) in [(8, "TOTAL"), (17, "LARGEST"), (26, "RMS"), (32, "IN")] {
        line.right(TITLE, title, column);
    }
    line.pad(34, 2).push(TITLE, "GROUP").write(out)?;
    let limit = if options.verbose { usize::MAX } else { GROUPS };
    for group in fleet.groups.iter().take(limit) {
        let largest = group.spread.processes.first().map_or(0, |&(_, n)| n);
        line.right(HEAD, &thousands(group.spread.total), 8).right(PLAIN, &thousands(largest), 17);
        line.right(PLAIN, &number(group.spread.rms), 26);
        line.right(PLAIN, &group.spread.processes.len().to_string(), 32).pad(34, 2);
        line.push(STATE, &group.part.what).push(PLAIN, "  ").push(PLAIN, function(&group.part)).write(out)?;
    }
    let left = fleet.groups.len().saturating_sub(limit);
    if left > 0 {
        line.push(DIM, &format!("{} more (-v lists them)", count(left as u64, "group"))).write(out)?;
    }
    Ok(())
}

fn function(part: &Part) -> &str {
    part.at.as_ref().or(part.stack.first()).map_or("", |place| &place.function)
}
