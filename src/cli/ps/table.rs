//! The list as text.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::super::output::Output;
use super::{Finding, Process};
use crate::report::escape;
use crate::report::line::{DIM, HEAD, Line, PLAIN, STATE, width};
use crate::report::text::runtime_name;
use crate::report::units::{short_duration, thousands};
use crate::snapshot::RuntimeInfo;

/// Right-aligned columns, then left-aligned ones.
const HEADINGS: [&str; 6] = ["PID", "RUNTIME", "TASKS", "THREADS", "AGE", "COMMAND"];

/// If it takes longer than this, what is known is shown on a terminal.
const SOON: Duration = Duration::from_millis(500);
/// The width of the runtime column while the runtimes are not yet known.
const USUAL_RUNTIME: usize = 22;
/// On a narrower terminal only the version of runtimes is shown, so that commands can be read.
const NARROW: usize = 100;
const USUAL_VERSION: usize = 8;

/// The table. Its first rows may be written before the others are known.
pub(super) struct Table<'a> {
    output: &'a Output,
    all: bool,
    begun: Instant,
    widths: [usize; 6],
    /// Processes handled so far.
    done: usize,
    has_head: bool,
}

impl<'a> Table<'a> {
    /// `last_pid` is the highest pid of all.
    pub(super) fn new(output: &'a Output, all: bool, last_pid: Option<u32>) -> Self {
        let mut widths = HEADINGS.map(str::len);
        widths[0] = last_pid.map_or(0, |pid| pid.to_string().len()).max(6);
        Table { output, all, begun: Instant::now(), widths, done: 0, has_head: false }
    }

    /// Writes the known rows, if the others take long.
    pub(super) fn show_early(&mut self, processes: &[Process], out: &mut dyn Write) -> io::Result<()> {
        if self.begun.elapsed() < SOON || self.done == processes.len() {
            return Ok(());
        }
        let usual = if is_narrow(self.output) { USUAL_VERSION } else { USUAL_RUNTIME };
        self.widths[1] = self.widths[1].max(usual);
        self.rows(processes, out)?;
        out.flush()
    }

    /// Writes the rest.
    pub(super) fn finish(mut self, processes: &[Process], out: &mut dyn Write) -> io::Result<()> {
        self.rows(processes, out)?;
        if self.all { Ok(()) } else { write_rest(processes, self.output, out) }
    }

    fn rows(&mut self, processes: &[Process], out: &mut dyn Write) -> io::Result<()> {
        let new = processes.get(self.done..).unwrap_or_default();
        self.done = processes.len();
        let shown = |process: &&Process| self.all || process.is_listed();
        let rows: Vec<[String; 6]> =
            new.iter().filter(shown).map(|process| row(process, is_narrow(self.output))).collect();
        for row in &rows {
            for (width_so_far, cell) in self.widths.iter_mut().zip(row) {
                *width_so_far = (*width_so_far).max(width(&escape(cell)));
            }
        }
        if !rows.is_empty() && !self.has_head {
            self.has_head = true;
            write_row(&HEADINGS.map(str::to_owned), &self.widths, true, self.output, out)?;
        }
        rows.iter().try_for_each(|row| write_row(row, &self.widths, false, self.output, out))
    }
}

fn is_narrow(output: &Output) -> bool {
    output.terminal && output.width < NARROW && output.verbose == 0
}

fn row(process: &Process, narrow: bool) -> [String; 6] {
    let who = &process.who;
    let command = if who.command.is_empty() { who.name.clone() } else { who.command.join(" ") };
    let (runtime, tasks, last) = match &process.finding {
        Finding::Runtimes(runtimes) => {
            let tasks = runtimes.iter().map(|(_, tasks)| tasks).sum();
            let name = |info: &RuntimeInfo| match narrow {
                true => info.version.as_ref().unwrap_or(&info.name).clone(),
                false => runtime_name(info),
            };
            let names: Vec<_> = runtimes.iter().map(|(info, _)| name(info)).collect();
            (names.join(" + "), thousands(tasks), command)
        }
        Finding::Native => ("native".to_owned(), "-".to_owned(), command),
        Finding::Unreadable { why, .. } => ("?".to_owned(), "-".to_owned(), format!("{}: {why}", who.name)),
        Finding::NoAnswer { why } => ("no answer".to_owned(), "-".to_owned(), format!("{}: {why}", who.name)),
    };
    [who.pid.to_string(), runtime, tasks, thousands(who.threads.into()), short_duration(who.age_ns), last]
}

fn write_row(
    cells: &[String; 6],
    widths: &[usize; 6],
    heading: bool,
    output: &Output,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = Line::new(output.color);
    let mut column = 0;
    for (nth, (cell, width_of)) in cells.iter().zip(widths).enumerate() {
        let style = match (heading, nth) {
            (true, _) => DIM,
            (_, 0) => HEAD,
            (_, 1) => STATE,
            _ => PLAIN,
        };
        let last = nth + 1 == cells.len();
        if matches!(nth, 0 | 2 | 3) {
            line.right(style, cell, column + width_of);
        } else if last && output.terminal && output.verbose == 0 {
            line.push(style, &cut(cell, output.width.saturating_sub(column)));
        } else {
            line.push(style, cell);
        }
        column += width_of + 2;
        if !last {
            line.pad(column, 2);
        }
    }
    line.write(out)
}

/// The beginning of a command line that fits on the terminal (-v and --json show all of it).
fn cut(text: &str, columns: usize) -> String {
    let text = escape(text);
    if width(&text) <= columns {
        return text.into_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if width(&short) + 1 > columns {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

/// Says how many processes are not listed, and why.
fn write_rest(processes: &[Process], output: &Output, out: &mut dyn Write) -> io::Result<()> {
    let listed = processes.iter().filter(|p| matches!(p.finding, Finding::Runtimes(_))).count();
    let native = processes.iter().filter(|p| matches!(p.finding, Finding::Native)).count() as u64;
    let mut notes = Vec::new();
    if listed == 0 {
        notes.push("no process here has a runtime that loiter can read".to_owned());
    }
    if native > 0 {
        notes.push(format!(
            "{} without a runtime that loiter can read (--all lists them)",
            process_count(native)
        ));
    }
    for (why, remedy, n) in reasons(processes) {
        notes.push(format!("{} cannot be read: {why} (--all lists them)", process_count(n)));
        notes.extend(remedy.iter().map(|line| format!("  {line}")));
    }
    let silent = processes.iter().filter(|p| matches!(p.finding, Finding::NoAnswer { .. })).count() as u64;
    if silent > 0 {
        notes.push(format!("{} did not answer", process_count(silent)));
    }
    if listed + silent as usize > 0 && !notes.is_empty() {
        writeln!(out)?;
    }
    for note in notes {
        let indent = note.len() - note.trim_start().len();
        let limit = if output.terminal { output.width } else { usize::MAX };
        Line::new(output.color).pad(indent, 0).wrap_text(DIM, note.trim_start(), indent + 2, limit, out)?;
    }
    Ok(())
}

/// Why processes cannot be read: each reason and its remedy once, with the number of its processes.
fn reasons(processes: &[Process]) -> Vec<(String, &[String], u64)> {
    let mut reasons: Vec<(String, &[String], u64)> = Vec::new();
    for process in processes {
        let Finding::Unreadable { why, remedy } = &process.finding else { continue };
        // The same for all of them except for the pid.
        let why = why.replace(&format!("/proc/{}/", process.who.pid), "/proc/PID/");
        match reasons.iter_mut().find(|(reason, remedies, _)| *reason == why && remedies == remedy) {
            Some((.., count)) => *count += 1,
            None => reasons.push((why, remedy, 1)),
        }
    }
    reasons
}

/// "1 process", "12 processes".
fn process_count(n: u64) -> String {
    if n == 1 { "1 process".to_owned() } else { format!("{} processes", thousands(n)) }
}
