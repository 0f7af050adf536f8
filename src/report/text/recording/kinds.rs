//! Who took the time, and what for.

use std::io;

use super::super::super::line::{DIM, HEAD, Line, PLAIN, STATE, TITLE, width};
use super::super::super::units::{count, percent, precise, thousands};
use super::{Sheet, cell, name, put_right, tasks, title};
use crate::analysis::recorded::{Act, By, Recorded, RecordedGroup, Sum, by_clock, share};
use crate::recording::Clock;
use crate::report::escape;
use crate::snapshot::TaskState;

/// Rows of the table, unless more are asked for: fewer if each has a second line.
const KINDS: usize = 10;
const KINDS_WITH_ACTS: usize = 6;
/// Columns of a share.
const COLUMN: usize = 7;
/// States and reasons that a group names.
const MOST_ACTS: usize = 5;
/// A share of a group's time is marked if it may be this far off.
const VAGUE: f64 = 0.05;

/// The table of groups: their shares of CPU and wall time, and what they did.
pub(super) fn write(
    sheet: &mut Sheet<'_>,
    groups: &[RecordedGroup],
    clocks: &[Clock],
    split: Option<&str>,
) -> io::Result<()> {
    let wall = clocks.contains(&Clock::Wall);
    let most = sheet.options.top.unwrap_or(if wall { KINDS_WITH_ACTS } else { KINDS });
    let all: Vec<(Clock, u64)> = clocks.iter().map(|&clock| (clock, total(groups, clock))).collect();
    let indent = clocks.len() * COLUMN + 2;
    writeln!(sheet.out)?;
    let mut line = sheet.line();
    for (nth, &clock) in clocks.iter().enumerate() {
        line.right(TITLE, title(clock), (nth + 1) * COLUMN);
    }
    line.pad(indent, 2).push(TITLE, &heading(sheet)).right(TITLE, "TASKS", sheet.options.width);
    line.write(sheet.out)?;
    let with_time = |group: &&RecordedGroup| clocks.iter().any(|&clock| group.sum(clock).ns > 0);
    for group in groups.iter().filter(with_time).take(most) {
        let mut line = sheet.line();
        for (nth, &(clock, all)) in all.iter().enumerate() {
            let style = if nth == 0 { HEAD } else { PLAIN };
            line.right(style, &cell(group.sum(clock), all), (nth + 1) * COLUMN);
        }
        line.pad(indent, 2);
        write_name(sheet, group, split, indent, line)?;
        if wall && group.sum(Clock::Wall).ns > 0 && sheet.options.by != By::State {
            write_acts(sheet, group, indent)?;
        }
    }
    let left: Vec<_> = groups.iter().filter(with_time).skip(most).collect();
    if !left.is_empty() {
        let shares = all.iter().filter_map(|&(clock, all)| {
            let ns = left.iter().fold(0_u64, |sum, group| sum.saturating_add(group.sum(clock).ns));
            (ns > 0).then(|| format!("{} of {}", percent(ns, all), title(clock)))
        });
        let shares: Vec<_> = shares.collect();
        let rows = count(left.len() as u64, "more row");
        sheet.notes.push(format!("{rows} with {} (--top {})", shares.join(", "), most * 4));
    }
    Ok(())
}

fn heading(sheet: &Sheet<'_>) -> String {
    match &sheet.options.by {
        By::Kind => "WHERE TIME GOES".to_owned(),
        By::Label(key) => key.clone(),
        by => by.to_string().to_uppercase(),
    }
}

fn total(groups: &[RecordedGroup], clock: Clock) -> u64 {
    groups.iter().fold(0, |sum, group| sum.saturating_add(group.sum(clock).ns))
}

/// The name of a group, its label, and its number of tasks at the end of the line.
fn write_name(
    sheet: &mut Sheet<'_>,
    group: &RecordedGroup,
    split: Option<&str>,
    indent: usize,
    mut line: Line,
) -> io::Result<()> {
    let (name, label) = name(sheet.recorded, group, split);
    line.push(PLAIN, &name);
    let columns = |text: &str| 2 + width(&escape(text));
    let tasks = tasks(group);
    let label = label.unwrap_or_default();
    let fits = label.is_empty() || line.width() + columns(&label) + columns(&tasks) <= sheet.options.width;
    if fits && !label.is_empty() {
        line.push(PLAIN, "  ").push(STATE, &label);
    }
    put_right(sheet, &mut line, &tasks)?;
    line.write(sheet.out)?;
    if !fits {
        line.pad(indent, 0).push(STATE, &label).write(sheet.out)?;
    }
    Ok(())
}

/// What the tasks of a group did: "lock 38 %  IO wait 31 %  running 18 %  other 4 %", and how sure that is.
fn write_acts(sheet: &mut Sheet<'_>, group: &RecordedGroup, indent: usize) -> io::Result<()> {
    let acts = by_clock(&group.acts, Clock::Wall);
    let all = group.sum(Clock::Wall).ns;
    let mut pieces: Vec<_> =
        shares(sheet.recorded, &acts, all, Clock::Wall).into_iter().map(|text| (PLAIN, text)).collect();
    let samples = sheet.recorded.sureness(Clock::Wall, &by_clock(&group.rows, Clock::Wall));
    let largest = acts.first().map_or(0, |(_, sum)| sum.ns);
    let reach = share(largest, all, samples).map_or(0.0, |share| share.reach());
    if reach >= VAGUE && acts.len() > 1 {
        pieces.push((DIM, format!("(± {:.0} points)", reach * 100.0)));
    }
    let mut line = sheet.line();
    line.pad(indent, 0);
    line.wrap(&pieces, "  ", indent, sheet.options.width, sheet.out)
}

/// What the tasks of a group did by a clock: "lock 38 %", "IO wait 31 %". Reasons are raw from the target.
pub(in crate::report) fn doing(recorded: &Recorded, group: &RecordedGroup, clock: Clock) -> Vec<String> {
    shares(recorded, &by_clock(&group.acts, clock), group.sum(clock).ns, clock)
}

/// Shares of what was done; the rest is added up.
fn shares(recorded: &Recorded, acts: &[(Act, Sum)], all: u64, clock: Clock) -> Vec<String> {
    let name = |act: &Act| act_name(recorded, act, clock);
    let small = |sum: &Sum| u128::from(sum.ns) * 100 < u128::from(all);
    let named = acts.iter().take(MOST_ACTS).take_while(|(_, sum)| !small(sum)).count();
    // A single one needs no room that "other" does not need.
    let named = if acts.len() == named + 1 { acts.len() } else { named };
    let (shown, rest) = acts.split_at_checked(named).unwrap_or((acts, &[]));
    let mut pieces: Vec<_> =
        shown.iter().map(|(act, sum)| format!("{} {}", name(act), percent(sum.ns, all))).collect();
    let rest = rest.iter().fold(0_u64, |ns, (_, sum)| ns.saturating_add(sum.ns));
    if rest > 0 {
        pieces.push(format!("other {}", percent(rest, all)));
    }
    pieces
}

/// A reason, else a state. A thread off CPU that could have run was preempted.
fn act_name(recorded: &Recorded, act: &Act, clock: Clock) -> String {
    let reason = act.reason.map(|id| recorded.snapshot.str(id)).filter(|text| !text.is_empty());
    match (reason, clock, act.state) {
        (Some(reason), _, _) => reason.to_owned(),
        (None, Clock::OffCpu, TaskState::Runnable | TaskState::Running | TaskState::Preempted) => {
            "preempted".to_owned()
        }
        (None, Clock::OffCpu, _) => "blocked".to_owned(),
        (None, _, state) => state.name().to_owned(),
    }
}

/// Time off CPU: who waited how long for what.
pub(super) fn write_off_cpu(
    sheet: &mut Sheet<'_>,
    groups: &[RecordedGroup],
    split: Option<&str>,
    most: usize,
) -> io::Result<()> {
    let clock = Clock::OffCpu;
    let mut groups: Vec<_> = groups.iter().filter(|group| group.sum(clock).ns > 0).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.sum(clock).ns));
    writeln!(sheet.out)?;
    let mut line = sheet.line();
    line.right(TITLE, "OFF CPU", 9).right(TITLE, "WAITS", 17).pad(19, 2);
    line.push(TITLE, "WHO, AND WHAT FOR").write(sheet.out)?;
    for group in groups.iter().take(most) {
        let sum = group.sum(clock);
        let (name, label) = name(sheet.recorded, group, split);
        let mut pieces = vec![(HEAD, name)];
        pieces.extend(label.map(|label| (STATE, label)));
        let acts = by_clock(&group.acts, clock);
        pieces.extend(shares(sheet.recorded, &acts, sum.ns, clock).into_iter().map(|text| (PLAIN, text)));
        let mut line = sheet.line();
        line.right(PLAIN, &precise(sum.ns), 9).right(PLAIN, &thousands(sum.samples), 17).pad(19, 2);
        line.wrap(&pieces, "  ", 21, sheet.options.width, sheet.out)?;
    }
    let left = groups.get(most..).unwrap_or_default();
    if !left.is_empty() {
        let ns = left.iter().fold(0_u64, |ns, group| ns.saturating_add(group.sum(clock).ns));
        let rows = count(left.len() as u64, "more row");
        sheet.notes.push(format!("{rows} with {} off CPU (--top {})", precise(ns), most * 4));
    }
    Ok(())
}
