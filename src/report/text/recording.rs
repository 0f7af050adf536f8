//! A recording, made to be read in ten seconds: what was recorded and how well, then who took the time and for what.

use std::io::{self, Write};

use super::super::line::{DIM, HEAD, Line, PLAIN, TITLE, WARN};
use super::super::path::place_of;
use super::super::units::{count, percent, precise};
use crate::analysis::Filter;
use crate::analysis::recorded::{
    By, Functions, LabelTimes, Recorded, RecordedGroup, Sum, functions, group, label_times, share,
    splitting_label,
};
use crate::recording::{Clock, SAMPLED_SWITCHES, Whose};
use crate::snapshot::SourceKind;

mod diff;
mod head;
mod kinds;

pub use diff::diff;
pub(in crate::report) use diff::points;
pub(in crate::report) use head::facts;
pub use head::{caption, hertz};
pub(in crate::report) use kinds::doing;

/// The appearance and the extent of a report.
#[derive(Debug, Clone)]
pub struct RecordingOptions {
    /// Columns.
    pub width: usize,
    /// With colours.
    pub color: bool,
    /// With whole source paths.
    pub full_paths: bool,
    /// What time is grouped by.
    pub by: By,
    /// How many rows each table has. None: as many as fit on a screen.
    pub top: Option<usize>,
}

impl Default for RecordingOptions {
    fn default() -> Self {
        RecordingOptions { width: 100, color: false, full_paths: false, by: By::Kind, top: None }
    }
}

/// Values of a label in one line.
const MOST_VALUES: usize = 6;
/// Labels that are shown.
const MOST_LABELS: usize = 3;
/// Rows of each table, unless they are asked for.
const FUNCTIONS: usize = 10;
const WAITERS: usize = 4;

/// What the parts of a report share.
struct Sheet<'a> {
    recorded: &'a Recorded,
    options: &'a RecordingOptions,
    filter: &'a Filter,
    out: &'a mut dyn Write,
    /// Remarks for the end.
    notes: Vec<String>,
}

impl Sheet<'_> {
    fn line(&self) -> Line {
        Line::new(self.options.color)
    }
}

/// Writes the report.
///
/// # Errors
/// Those of `out`.
pub fn recording(
    recorded: &Recorded,
    filter: &Filter,
    options: &RecordingOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut sheet = Sheet { recorded, options, filter, out, notes: Vec::new() };
    head::write(&mut sheet)?;
    let clocks = recorded.clocks();
    let has = |clock| clocks.contains(&clock) && !recorded.select(clock, filter).tasks.is_empty();
    let main: Vec<Clock> = [Clock::Cpu, Clock::Wall].into_iter().filter(|&clock| has(clock)).collect();
    let split = if options.by == By::Kind { splitting_label(recorded, filter) } else { None };
    let groups = group(recorded, filter, &options.by, split.as_deref());
    let first = match main.first() {
        Some(&first) => {
            kinds::write(&mut sheet, &groups, &main, split.as_deref())?;
            first
        }
        None if has(Clock::OffCpu) => Clock::OffCpu,
        None => return nothing(&mut sheet),
    };
    write_labels(&mut sheet, first)?;
    if first != Clock::OffCpu {
        write_functions(&mut sheet, first)?;
    }
    if has(Clock::OffCpu) {
        let most = if main.is_empty() { FUNCTIONS } else { WAITERS };
        kinds::write_off_cpu(&mut sheet, &groups, split.as_deref(), options.top.unwrap_or(most))?;
    }
    write_notes(&mut sheet, &main)
}

/// Says that there is nothing to report.
fn nothing(sheet: &mut Sheet<'_>) -> io::Result<()> {
    let text = match sheet.recorded.rows.is_empty() {
        true => "nothing was sampled: there is nothing to show",
        false => "no sample passes the filter",
    };
    sheet.notes.push(text.to_owned());
    write_notes(sheet, &[])
}

/// Time by label, a line each: "LABEL route  /orders 41 %  /users 22 %  without 37 %".
fn write_labels(sheet: &mut Sheet<'_>, clock: Clock) -> io::Result<()> {
    let labels = label_times(sheet.recorded, clock, sheet.filter);
    let rows = sheet.recorded.select(clock, sheet.filter).tasks;
    let all = sheet.recorded.sum(&rows).ns;
    if labels.is_empty() || all == 0 {
        return Ok(());
    }
    writeln!(sheet.out)?;
    for times in labels.iter().take(MOST_LABELS) {
        let mut line = sheet.line();
        line.push(PLAIN, " ").push(TITLE, &format!("{} BY LABEL ", title(clock)));
        line.push(HEAD, sheet.recorded.snapshot.str(times.key)).push(PLAIN, "  ");
        let pieces: Vec<_> = values(sheet, times, all).into_iter().map(|text| (PLAIN, text)).collect();
        line.wrap(&pieces, "  ", 14, sheet.options.width, sheet.out)?;
    }
    let more = labels.len().saturating_sub(MOST_LABELS) as u64;
    if more > 0 {
        sheet.notes.push(format!("{} more (--group-by label:KEY)", count(more, "label")));
    }
    Ok(())
}

fn values(sheet: &Sheet<'_>, times: &LabelTimes, all: u64) -> Vec<String> {
    let most = sheet.options.top.unwrap_or(MOST_VALUES);
    let snapshot = &sheet.recorded.snapshot;
    let name = |value| match snapshot.str(value) {
        "" => "(empty)".to_owned(),
        text => text.to_owned(),
    };
    let shown = times.values.iter().take(most);
    let mut pieces: Vec<_> =
        shown.map(|&(value, sum)| format!("{} {}", name(value), percent(sum.ns, all))).collect();
    let rest = times.values.get(most..).unwrap_or_default();
    if !rest.is_empty() {
        let ns = rest.iter().fold(0_u64, |sum, (_, value)| sum.saturating_add(value.ns));
        pieces.push(format!("{} more {}", rest.len(), percent(ns, all)));
    }
    let without = all.saturating_sub(times.with.ns);
    if without > 0 {
        pieces.push(format!("without it {}", percent(without, all)));
    }
    pieces
}

/// Functions by their own time, and with what they call.
fn write_functions(sheet: &mut Sheet<'_>, clock: Clock) -> io::Result<()> {
    let times: Functions = functions(sheet.recorded, clock, sheet.filter);
    let all = times.total.ns;
    let most = sheet.options.top.unwrap_or(FUNCTIONS);
    if times.functions.is_empty() || all == 0 {
        return Ok(());
    }
    writeln!(sheet.out)?;
    let mut line = sheet.line();
    line.right(TITLE, "FLAT", 7).right(TITLE, "CUM", 14).pad(16, 2);
    line.push(TITLE, &format!("FUNCTION ({})", title(clock))).write(sheet.out)?;
    let own = times.functions.iter().filter(|time| time.flat.ns > 0);
    for time in own.clone().take(most) {
        let snapshot = &sheet.recorded.snapshot;
        let name = match snapshot.function_name(time.function) {
            "" => "(no name)",
            name => name,
        };
        let place = place_of(snapshot, time.frame, sheet.options.full_paths);
        let mut line = sheet.line();
        line.right(HEAD, &percent(time.flat.ns, all), 7);
        line.right(PLAIN, &percent(time.cumulative.ns, all), 14).pad(16, 2).push(PLAIN, name);
        put_right(sheet, &mut line, &place)?;
        line.write(sheet.out)?;
    }
    let left = own.clone().count().saturating_sub(most) as u64;
    if left > 0 {
        let ns = own.skip(most).fold(0_u64, |sum, time| sum.saturating_add(time.flat.ns));
        let share = percent(ns, all);
        sheet.notes.push(format!("{} with {share} (--top {})", count(left, "more function"), most * 4));
    }
    if times.without_stack.ns > 0 {
        let share = percent(times.without_stack.ns, all);
        sheet.notes.push(format!("{share} of the {} time has no known stack", title(clock)));
    }
    Ok(())
}

/// Puts less important text at the right end of a line, or on a line of its own if there is no room.
fn put_right(sheet: &mut Sheet<'_>, line: &mut Line, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let columns = super::super::line::width(&super::super::escape(text));
    if line.width() + 2 + columns > sheet.options.width {
        line.write(sheet.out)?;
    }
    line.right(DIM, text, sheet.options.width.max(columns + 20));
    Ok(())
}

/// Remarks, and what is not sure or not covered.
fn write_notes(sheet: &mut Sheet<'_>, clocks: &[Clock]) -> io::Result<()> {
    let mut notes: Vec<_> = std::mem::take(&mut sheet.notes).into_iter().map(|text| (DIM, text)).collect();
    let reach = |&clock: &Clock| {
        let rows = sheet.recorded.select(clock, sheet.filter).tasks;
        let samples = sheet.recorded.sureness(clock, &rows);
        let reach = share(1, 2, samples)?.reach() * 100.0;
        let digits = usize::from(reach < 2.0);
        Some(format!("± {reach:.digits$} points ({})", title(clock)))
    };
    let reaches: Vec<_> = clocks.iter().filter_map(reach).collect();
    if !reaches.is_empty() {
        notes.push((DIM, format!("shares are exact to {} at most, 19 times out of 20", reaches.join(", "))));
    }
    notes.extend(remarks_of_clocks(sheet.recorded, sheet.filter).into_iter().map(|text| (DIM, text)));
    notes.extend(warnings(sheet.recorded).map(|text| (WARN, text)));
    if !notes.is_empty() {
        writeln!(sheet.out)?;
    }
    for (style, note) in notes {
        let mut line = sheet.line();
        line.push(PLAIN, " ");
        line.wrap_text(style, &note, 3, sheet.options.width, sheet.out)?;
    }
    Ok(())
}

/// What is not sure or not covered, a sentence each. Raw from the target.
pub(in crate::report) fn remarks(recorded: &Recorded, filter: &Filter) -> Vec<String> {
    let mut remarks = remarks_of_clocks(recorded, filter);
    remarks.extend(warnings(recorded));
    remarks
}

fn remarks_of_clocks(recorded: &Recorded, filter: &Filter) -> Vec<String> {
    let mut remarks: Vec<String> =
        [without_id(recorded, filter), without_owner(recorded, filter)].into_iter().flatten().collect();
    let hides = |&clock: &Clock| recorded.select(clock, filter).hidden_system > 0;
    if recorded.clocks().iter().any(hides) {
        remarks.push("the runtime's own waiting is hidden (--system shows it)".to_owned());
    }
    remarks
}

fn warnings(recorded: &Recorded) -> impl Iterator<Item = String> {
    recorded.header.warnings.iter().map(|warning| format!("warning: {warning}"))
}

/// How much of the CPU time is of the program's tasks without an id. Profiles of others have no ids at all.
fn without_id(recorded: &Recorded, filter: &Filter) -> Option<String> {
    let of_program = |nth: &u32| recorded.snapshot.tasks.get(*nth as usize).is_some_and(|task| !task.system);
    let has_no_id = |nth: &u32| {
        let whose = recorded.rows.get(*nth as usize).map(|row| row.whose);
        matches!(whose, Some(Whose::Task(task)) if recorded.id_of(task).is_none())
    };
    let all = recorded.select(Clock::Cpu, filter).tasks;
    let unknown: Vec<u32> = all.iter().copied().filter(of_program).filter(has_no_id).collect();
    if unknown.is_empty() || recorded.header.target.source != SourceKind::Process {
        return None;
    }
    let share = percent(recorded.sum(&unknown).ns, recorded.sum(&all).ns);
    Some(format!(
        "{share} of the CPU time is of tasks without id: they were not read both before and after a sample"
    ))
}

/// How much of the time off CPU has no owner, and why.
fn without_owner(recorded: &Recorded, filter: &Filter) -> Option<String> {
    let all = recorded.select(Clock::OffCpu, filter).tasks;
    let is_unknown =
        |nth: &u32| recorded.rows.get(*nth as usize).is_some_and(|row| row.whose == Whose::Unknown);
    let unknown: Vec<u32> = all.iter().copied().filter(is_unknown).collect();
    if unknown.is_empty() {
        return None;
    }
    let (all, unknown) = (recorded.sum(&all), recorded.sum(&unknown));
    let (share, waits) = (percent(unknown.ns, all.ns), count(unknown.samples, "wait"));
    let info = recorded.header.clocks.iter().find(|info| info.clock == Clock::OffCpu);
    let why = match info {
        Some(info) if info.event == SAMPLED_SWITCHES => "",
        Some(info) if info.kernel => ": threads were looked at only if they waited for 5 ms",
        _ => {
            ": without the right to sample the kernel (CAP_PERFMON), threads are looked at only if they wait for 5 ms"
        }
    };
    Some(format!("{share} of the time off CPU ({waits}) has no known owner{why}"))
}

/// The heading of a clock's column.
pub(in crate::report) fn title(clock: Clock) -> &'static str {
    match clock {
        Clock::Cpu => "CPU",
        Clock::OffCpu => "OFF CPU",
        Clock::Wall => "WALL",
    }
}

/// A group's name and the value of the label that groups are split by: not escaped.
fn name(recorded: &Recorded, group: &RecordedGroup, split: Option<&str>) -> (String, Option<String>) {
    let label = split.zip(group.label).map(|(key, value)| format!("{key}={}", recorded.snapshot.str(value)));
    (recorded.name(group.subject), label)
}

/// The tasks of a group: "96", "96+" if there are some without an id, "" if it has none.
fn tasks(group: &RecordedGroup) -> String {
    match (group.tasks, group.more_tasks) {
        (0, false) => String::new(),
        (0, true) => "?".to_owned(),
        (tasks, more) => format!("{}{}", super::thousands(tasks), if more { "+" } else { "" }),
    }
}

/// A part of all time, or "-" for nothing.
fn cell(sum: Sum, all: u64) -> String {
    if sum.ns == 0 { "-".to_owned() } else { percent(sum.ns, all) }
}

/// "6.1 s of CPU time".
pub(in crate::report) fn amount(sum: Sum, clock: Clock) -> String {
    match clock {
        Clock::Cpu => format!("{} of CPU time", precise(sum.ns)),
        Clock::OffCpu => format!("{} off CPU", precise(sum.ns)),
        Clock::Wall => format!("{} of task time", precise(sum.ns)),
    }
}
