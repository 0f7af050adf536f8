//! Recordings as Markdown: what was recorded and how well, then tables of who took the time and for what.

use std::io::{self, Write};

use super::{code, plain};
use crate::analysis::Filter;
use crate::analysis::recorded::diff::{Changed, Compared, RecordingDiff};
use crate::analysis::recorded::{By, Recorded, RecordedGroup, Sum, functions, group, splitting_label};
use crate::recording::Clock;
use crate::report::text::moment;
use crate::report::text::recording::{amount, caption, doing, facts, points, remarks, title};
use crate::report::text::{place_of, who};
use crate::report::units::{count, percent, precise, thousands};

/// Rows of each table, unless they are asked for.
const ROWS: usize = 15;

/// Writes what was recorded, a table of what time is grouped by, and one of functions. `top`: the rows of each table.
///
/// # Errors
/// Those of `out`.
pub fn recording(
    recorded: &Recorded,
    filter: &Filter,
    by: &By,
    top: Option<usize>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "# Where the time of {} went\n", code(&recorded.header.target.name))?;
    writeln!(out, "- recorded: {}, {}", code(&who(&recorded.snapshot.header)), caption(recorded))?;
    writeln!(out, "- begun: {}", moment(recorded.header.started_at_ns))?;
    for (what, facts) in facts(recorded) {
        writeln!(out, "- {what}: {}", plain(&facts.join(", ")))?;
    }
    let top = top.unwrap_or(ROWS);
    let clocks = recorded.clocks();
    let has = |clock: &Clock| !recorded.select(*clock, filter).tasks.is_empty();
    let clocks: Vec<Clock> = clocks.into_iter().filter(has).collect();
    let remarks = remarks(recorded, filter);
    let Some(&first) = clocks.first() else {
        writeln!(out, "\nNo sample passes the filter, or nothing was sampled.")?;
        return notes(&remarks, out);
    };
    let split = if *by == By::Kind { splitting_label(recorded, filter) } else { None };
    let groups = group(recorded, filter, by, split.as_deref());
    write_groups(recorded, &groups, &clocks, (by, split.as_deref()), top, out)?;
    write_functions(recorded, filter, first, top, out)?;
    notes(&remarks, out)
}

fn write_groups(
    recorded: &Recorded,
    groups: &[RecordedGroup],
    clocks: &[Clock],
    (by, split): (&By, Option<&str>),
    top: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let all: Vec<u64> = clocks
        .iter()
        .map(|&clock| groups.iter().fold(0, |sum: u64, group| sum.saturating_add(group.sum(clock).ns)))
        .collect();
    let what = match by {
        By::Kind => "who".to_owned(),
        By::Label(key) => code(key),
        by => by.to_string(),
    };
    let titles: Vec<_> = clocks.iter().map(|&clock| format!("{} |", title(clock))).collect();
    writeln!(out, "\n| {} tasks | {what} | doing |", titles.join(" "))?;
    writeln!(out, "|{}--:|---|---|", "--:|".repeat(clocks.len()))?;
    for group in groups.iter().take(top) {
        for (&clock, &all) in clocks.iter().zip(&all) {
            write!(out, "| {} ", cell(group.sum(clock), all, clock))?;
        }
        let tasks = match (group.tasks, group.more_tasks) {
            (0, false) => String::new(),
            (0, true) => "?".to_owned(),
            (tasks, more) => format!("{}{}", thousands(tasks), if more { "+" } else { "" }),
        };
        let mut name = code(&recorded.name(group.subject));
        if let Some((key, value)) = split.zip(group.label) {
            name.push(' ');
            name.push_str(&code(&format!("{key}={}", recorded.snapshot.str(value))));
        }
        // What threads on a CPU do is in the table of functions.
        let told = [Clock::Wall, Clock::OffCpu].into_iter().find(|&clock| group.sum(clock).ns > 0);
        let doing = told.map(|clock| doing(recorded, group, clock).join(", ")).unwrap_or_default();
        writeln!(out, "| {tasks} | {name} | {} |", plain(&doing))?;
    }
    let left = groups.get(top..).unwrap_or_default();
    if !left.is_empty() {
        let rest = clocks.iter().zip(&all).filter_map(|(&clock, &all)| {
            let ns = left.iter().fold(0_u64, |sum, group| sum.saturating_add(group.sum(clock).ns));
            (ns > 0).then(|| format!("{} of {}", percent(ns, all), title(clock)))
        });
        let rest: Vec<_> = rest.collect();
        writeln!(out, "\n{} with {}.", count(left.len() as u64, "more row"), rest.join(", "))?;
    }
    Ok(())
}

/// A share; time off CPU as a time, too, because it is of all threads together.
fn cell(sum: Sum, all: u64, clock: Clock) -> String {
    match clock {
        _ if sum.ns == 0 => String::new(),
        Clock::OffCpu => format!("{}, {}", precise(sum.ns), count(sum.samples, "wait")),
        Clock::Cpu | Clock::Wall => percent(sum.ns, all),
    }
}

fn write_functions(
    recorded: &Recorded,
    filter: &Filter,
    clock: Clock,
    top: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let times = functions(recorded, clock, filter);
    let all = times.total.ns;
    let own = || times.functions.iter().filter(|time| time.flat.ns > 0);
    if all == 0 || own().next().is_none() {
        return Ok(());
    }
    writeln!(out, "\n## Functions ({})\n", title(clock))?;
    writeln!(out, "| own time | with what it calls | function | place |")?;
    writeln!(out, "|--:|--:|---|---|")?;
    for time in own().take(top) {
        let name = match recorded.snapshot.function_name(time.function) {
            "" => "(no name)",
            name => name,
        };
        let (flat, cumulative) = (percent(time.flat.ns, all), percent(time.cumulative.ns, all));
        let place = place_of(&recorded.snapshot, time.frame, false);
        writeln!(out, "| {flat} | {cumulative} | {} | {} |", code(name), code(&place))?;
    }
    let left = own().count().saturating_sub(top) as u64;
    if left > 0 {
        writeln!(out, "\n{}.", count(left, "more function"))?;
    }
    if times.without_stack.ns > 0 {
        writeln!(out, "\n{} of the time has no known stack.", percent(times.without_stack.ns, all))?;
    }
    Ok(())
}

/// What is not sure or not covered.
fn notes(remarks: &[String], out: &mut dyn Write) -> io::Result<()> {
    if !remarks.is_empty() {
        writeln!(out)?;
    }
    remarks.iter().try_for_each(|remark| writeln!(out, "- {}", plain(remark)))
}

/// Writes how the shares of functions or groups changed from `before` to `now`. `top`: rows of the table.
///
/// # Errors
/// Those of `out`.
pub fn recording_diff(
    before: &Recorded,
    now: &Recorded,
    diff: &RecordingDiff,
    top: Option<usize>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "# What changed in {}\n", code(&now.header.target.name))?;
    for (when, recorded, sum) in [("before", before, diff.before), ("now", now, diff.now)] {
        let who = code(&who(&recorded.snapshot.header));
        writeln!(out, "- {when}: {who}, {} in {}", amount(sum, diff.clock), caption(recorded))?;
    }
    let real: Vec<&Changed> = diff.rows.iter().filter(|row| row.is_real()).collect();
    if real.is_empty() {
        writeln!(out, "\nNo real difference: every change may be chance.")?;
    } else {
        let what = match &diff.compared {
            Compared::Function => "function, its own time".to_owned(),
            Compared::Cumulative => "function, with what it calls".to_owned(),
            Compared::Group(By::Label(key)) => code(key),
            Compared::Group(by) => by.to_string(),
        };
        writeln!(out, "\n| before | now | change | from, to | {what} |")?;
        writeln!(out, "|--:|--:|--:|--:|---|")?;
        for row in real.iter().take(top.unwrap_or(ROWS)) {
            let (was, is) = (percent(row.before.ns, diff.before.ns), percent(row.now.ns, diff.now.ns));
            let (low, high) = (points(row.change.low), points(row.change.high));
            writeln!(
                out,
                "| {was} | {is} | {} | {low}, {high} | {} |",
                points(row.change.value),
                code(&row.name)
            )?;
        }
        let left = real.len().saturating_sub(top.unwrap_or(ROWS)) as u64;
        if left > 0 {
            writeln!(out, "\n{}.", count(left, "more real difference"))?;
        }
    }
    let chance = diff.rows.len() - real.len();
    if chance > 0 {
        writeln!(out, "\n{} without a real difference.", count(chance as u64, "row"))?;
    }
    writeln!(
        out,
        "\nChanges are points of all {} time, with the interval that is right 99 times out of 100.",
        title(diff.clock)
    )
}
