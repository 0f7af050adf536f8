//! For people.

use std::io::{self, Write};

use super::words;
use super::{Begin, CommandEnd, Lesson};
use crate::analysis::trip::{Baseline, Event, Learned, Rules, Sample, Subject, Watch};
use crate::report::line::{DIM, HEAD, Line, PLAIN, STATE, TITLE, WARN};
use crate::report::text::{TextOptions, moment, task_noun, who};
use crate::report::units::{count, duration, precise, thousands};

/// Where the text of an event begins.
const INDENT: usize = 11;
/// At most this many groups are in a table, unless everything is asked for.
const ROWS: usize = 15;

/// Writes what is watched, and the limits.
///
/// # Errors
/// Those of `out`.
pub fn begin(begin: &Begin<'_>, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let Begin { snapshot, now, watch, span_ns } = *begin;
    let (noun, rules) = (task_noun(snapshot), watch.rules());
    let how = format!(
        "read every {} for {}, in periods of {}",
        duration(rules.every_ns),
        duration(span_ns),
        duration(rules.period_ns)
    );
    let head = [(HEAD, who(&snapshot.header)), (PLAIN, count(now.tasks, noun)), (PLAIN, how)];
    Line::new(options.color).wrap(&head, " · ", 2, options.width, out)?;
    if let Some(baseline) = watch.baseline() {
        writeln!(out)?;
        table(baseline, rules, Some(now), noun, options, out)?;
    }
    writeln!(out)?;
    let mut notes = words::limits(rules, noun);
    notes.extend(watch.baseline().map(|_| words::when(rules)));
    notes.extend(words::still(watch.memory(), noun));
    for note in notes {
        Line::new(options.color).wrap_text(DIM, &note, 2, options.width, out)?;
    }
    writeln!(out)
}

/// Writes a table of thresholds: all tasks, the groups, and the rest. `now`: with the present counts.
fn table(
    baseline: &Baseline,
    rules: &Rules,
    now: Option<&Sample>,
    noun: &str,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let present = |subject: &Subject| match subject {
        Subject::All => now.map(|now| now.tasks),
        Subject::Group(name) => now.map(|now| {
            now.groups
                .binary_search_by(|(known, _)| known.cmp(name))
                .ok()
                .and_then(|at| now.groups.get(at))
                .map_or(0, |(_, count)| *count)
        }),
    };
    let several = baseline.groups.iter().take_while(|(_, counts)| counts.p95 > 1).count();
    let shown = if options.verbose { usize::MAX } else { several.min(ROWS) };
    let groups = baseline.groups.iter().take(shown).map(|(name, _)| Subject::Group(name.clone()));
    let rows: Vec<Row> = [Subject::All]
        .into_iter()
        .chain(groups)
        .map(|subject| {
            let threshold = baseline.threshold(&subject, rules);
            Row {
                now: present(&subject),
                learned: baseline.learned(&subject),
                threshold,
                name: if options.verbose { full(&subject, noun) } else { words::subject(&subject, noun) },
            }
        })
        .collect();
    let other = Row {
        now: None,
        learned: None,
        threshold: baseline.threshold(&Subject::Group("".into()), rules),
        name: "any group that is not learned".to_owned(),
    };
    let width =
        |of: fn(&Row) -> u64| rows.iter().map(|row| thousands(of(row)).len()).max().unwrap_or(0).max(4);
    let learned = |row: &Row| row.learned.map_or(0, |learned| learned.max);
    let columns = Columns {
        now: now.map(|_| width(|row| row.now.unwrap_or(0))),
        learned: width(learned),
        threshold: width(|row| row.threshold).max("THRESHOLD".len()),
    };
    columns.titles(options, out)?;
    for row in rows.iter().chain([&other]) {
        columns.row(row, options, out)?;
    }
    let hidden = baseline.groups.len().saturating_sub(shown) as u64;
    if hidden > 0 {
        let text = format!("{} more that were learned (-v shows all)", count(hidden, "group"));
        Line::new(options.color).push(DIM, &text).write(out)?;
    }
    Ok(())
}

/// The whole name of a group.
fn full(subject: &Subject, noun: &str) -> String {
    match subject {
        Subject::All => words::subject(subject, noun),
        Subject::Group(name) => name.to_string(),
    }
}

/// A row of the table.
struct Row {
    now: Option<u64>,
    learned: Option<Learned>,
    threshold: u64,
    name: String,
}

/// The widths of its columns.
struct Columns {
    now: Option<usize>,
    learned: usize,
    threshold: usize,
}

impl Columns {
    fn titles(&self, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
        let mut line = Line::new(options.color);
        for title in ["P50", "P95", "MAX"] {
            let end = line.width() + self.learned + 1;
            line.right(TITLE, title, end);
        }
        let end = line.width() + self.threshold + 2;
        line.right(TITLE, "THRESHOLD", end);
        if let Some(width) = self.now {
            let end = line.width() + width + 2;
            line.right(TITLE, "NOW", end);
        }
        line.push(PLAIN, "  ").push(TITLE, "GROUP").write(out)
    }

    fn row(&self, row: &Row, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
        let mut line = Line::new(options.color);
        let counts = row.learned.map(|learned| [learned.p50, learned.p95, learned.max]);
        for nth in 0..3 {
            let text = counts.and_then(|counts| counts.get(nth).copied()).map_or("-".to_owned(), thousands);
            let end = line.width() + self.learned + 1;
            line.right(PLAIN, &text, end);
        }
        let end = line.width() + self.threshold + 2;
        line.right(STATE, &thousands(row.threshold), end);
        if let Some(width) = self.now {
            let style = if row.now.is_some_and(|now| now > row.threshold) { WARN } else { HEAD };
            let end = line.width() + width + 2;
            line.right(style, &row.now.map_or("-".to_owned(), thousands), end);
        }
        line.push(PLAIN, "  ").push(PLAIN, &row.name).write(out)
    }
}

/// Writes a trip or a recovery. `report`: the folder that has more.
///
/// # Errors
/// Those of `out`.
pub fn event(
    event: &Event,
    rules: &Rules,
    noun: &str,
    report: Option<&str>,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = Line::new(options.color);
    let trip = match event {
        Event::Tripped(trip) => trip,
        Event::Recovered { subject, limit, at_ns } => {
            line.push(HEAD, "RECOVERED").pad(INDENT, 1);
            let text = format!("{} ({})", words::recovered(subject, *limit, noun), moment(Some(*at_ns)));
            return line.wrap_text(PLAIN, &text, INDENT, options.width, out);
        }
    };
    line.push(WARN, "TRIPPED").pad(INDENT, 1);
    let text = format!("{} ({})", words::tripped(trip, noun), moment(Some(trip.at_ns)));
    line.wrap_text(HEAD, &text, INDENT, options.width, out)?;
    fact("because", &words::because(trip, rules), options, out)?;
    report.map_or(Ok(()), |report| fact("report", report, options, out))
}

/// A line below an event.
fn fact(title: &str, text: &str, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let at = INDENT + 9;
    let mut line = Line::new(options.color);
    line.pad(INDENT, 0).push(TITLE, title).pad(at, 1);
    line.wrap_text(PLAIN, text, at, options.width, out)
}

/// Writes how the command for a trip ended.
///
/// # Errors
/// Those of `out`.
pub fn command(end: &CommandEnd, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let text = format!("{}: {} after {}", end.command, end.how, precise(end.took_ns));
    fact(if end.succeeded { "ran" } else { "FAILED" }, &text, options, out)?;
    let lines: &[String] = if end.succeeded && !options.verbose { &[] } else { &end.output };
    lines.iter().try_for_each(|line| fact("", line, options, out))
}

/// Writes how a watch ended.
///
/// # Errors
/// Those of `out`.
pub fn end(
    watch: &Watch,
    took_ns: u64,
    noun: &str,
    options: &TextOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (judged, rules) = (&watch.judged(), watch.rules());
    Line::new(options.color).wrap_text(HEAD, &words::end(judged, rules, took_ns), 2, options.width, out)?;
    let more = words::undecided(judged, rules, watch.baseline().is_some());
    for note in more.into_iter().chain(words::still(watch.memory(), noun)) {
        Line::new(options.color).wrap_text(WARN, &note, 2, options.width, out)?;
    }
    Ok(())
}

/// Writes what was learned.
///
/// # Errors
/// Those of `out`.
pub fn learned(lesson: &Lesson<'_>, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
    let Lesson { snapshot, baseline, rules, file } = *lesson;
    let noun = task_noun(snapshot);
    let took = baseline.to_ns.saturating_sub(baseline.from_ns);
    let how = format!("learned from {} in {}", count(baseline.readings, "reading"), duration(took));
    let head = [(HEAD, who(&snapshot.header)), (PLAIN, how), (PLAIN, format!("kept in {file}"))];
    Line::new(options.color).wrap(&head, " · ", 2, options.width, out)?;
    writeln!(out)?;
    table(baseline, rules, None, noun, options, out)?;
    writeln!(out)?;
    let mut notes =
        vec![(DIM, format!("a threshold is the P95 and {} %, and at least ten more", rules.over_percent))];
    if baseline.others > 0 {
        notes.push((
            DIM,
            format!("{} with fewer {noun}s are not learned on their own", count(baseline.others, "group")),
        ));
    }
    if let Some(trend) = baseline.grew() {
        let text = format!(
            "warning: all {noun}s grew by {} a minute meanwhile: a leak may be learned as usual",
            words::rate(trend.per_minute)
        );
        notes.push((WARN, text));
    }
    notes
        .iter()
        .try_for_each(|(style, note)| Line::new(options.color).wrap_text(*style, note, 2, options.width, out))
}
