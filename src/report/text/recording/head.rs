//! The head of a recording's report: what was recorded, how well it is covered, and what it cost.

use std::io;

use anstyle::Style;

use super::super::super::line::{HEAD, PLAIN, TITLE, WARN};
use super::super::super::runtime_names::task_noun;
use super::super::super::units::{count, percent, precise, thousands};
use super::super::header::who;
use super::Sheet;
use crate::analysis::recorded::Recorded;
use crate::recording::{Clock, ClockInfo, End};

/// Samples that account for less than this part of the CPU time, in percent, are a warning.
const ENOUGH: u64 = 90;

/// CPU time that is too little to compare with the few samples that stand for it, nanoseconds.
const LITTLE_NS: u64 = 100_000_000;

pub(super) fn write(sheet: &mut Sheet<'_>) -> io::Result<()> {
    let recorded = sheet.recorded;
    let head = sheet.recorded.header.clone();
    let mut pieces = vec![(HEAD, who(&recorded.snapshot.header)), (HEAD, caption(recorded))];
    pieces.extend(tasks(recorded).map(|text| (PLAIN, text)));
    let end = match head.end {
        End::Elapsed => None,
        End::Interrupted => Some("ended early by the user"),
        End::TargetEnded => Some("the process ended"),
        End::Replaced => Some("the process became another program"),
    };
    pieces.extend(end.map(|text| (PLAIN, text.to_owned())));
    sheet.line().wrap(&pieces, " · ", 2, sheet.options.width, sheet.out)?;
    for (title, facts) in all_facts(recorded) {
        write_facts(sheet, title, facts)?;
    }
    write_facts(sheet, "filter", filter(sheet))
}

/// What was recorded and how well, each under a title.
fn all_facts(recorded: &Recorded) -> [(&'static str, Vec<(Style, String)>); 3] {
    [("CPU", cpu(recorded)), ("wall", wall(recorded)), ("cost", cost(recorded))]
}

/// The same as text, without what is empty.
pub(in crate::report) fn facts(recorded: &Recorded) -> Vec<(&'static str, Vec<String>)> {
    let text = |facts: Vec<(Style, String)>| facts.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    let all = all_facts(recorded).into_iter().map(|(title, facts)| (title, text(facts)));
    all.filter(|(_, facts)| !facts.is_empty()).collect()
}

/// A line of facts under a title.
fn write_facts(sheet: &mut Sheet<'_>, title: &str, facts: Vec<(Style, String)>) -> io::Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    let mut line = sheet.line();
    line.push(PLAIN, " ").push(TITLE, title).pad(8, 1);
    line.wrap(&facts, " · ", 8, sheet.options.width, sheet.out)
}

/// How long a recording took, and its rate: "10.0 s at 99 Hz".
pub fn caption(recorded: &Recorded) -> String {
    let span = precise(recorded.header.duration_ns);
    let first = [Clock::Cpu, Clock::Wall].into_iter().find_map(|clock| info(recorded, clock)?.period_ns);
    match first {
        Some(period) => format!("{span} at {}", hertz(period)),
        None => span,
    }
}

/// A rate from the time between two samples, nanoseconds: "99 Hz".
pub fn hertz(period_ns: u64) -> String {
    let hertz = 1e9 / period_ns.max(1) as f64;
    if hertz < 9.95 { format!("{hertz:.1} Hz") } else { format!("{} Hz", thousands(hertz.round() as u64)) }
}

fn info(recorded: &Recorded, clock: Clock) -> Option<&ClockInfo> {
    recorded.header.clocks.iter().find(|info| info.clock == clock)
}

/// "1,388 goroutines sampled, 8,214 started meanwhile, 8,190 ended".
fn tasks(recorded: &Recorded) -> Option<String> {
    let coverage = &recorded.header.coverage;
    let seen = recorded.task_count();
    if seen == 0 {
        return None;
    }
    let mut text = format!("{} sampled", count(seen, task_noun(&recorded.snapshot)));
    if let (Some(started), Some(ended)) = (coverage.tasks_started, coverage.tasks_ended) {
        text.push_str(&format!(", {} started, {} ended", thousands(started), thousands(ended)));
    }
    Some(text)
}

/// The process's own CPU time, and what samples account for.
fn cpu(recorded: &Recorded) -> Vec<(Style, String)> {
    let (head, coverage) = (&recorded.header, &recorded.header.coverage);
    let Some(info) = info(recorded, Clock::Cpu) else { return Vec::new() };
    let mut facts = Vec::new();
    let cpus = match head.process.cpus_allowed {
        Some(cpus) => format!(" of {} x {}", count(cpus.into(), "CPU"), precise(head.duration_ns)),
        None => String::new(),
    };
    match coverage.cpu_ns {
        Some(used) => {
            facts.push((PLAIN, format!("{}{cpus}", precise(used))));
            let sampled = precise(coverage.cpu_sampled_ns);
            let enough = u128::from(coverage.cpu_sampled_ns) * 100 >= u128::from(used) * u128::from(ENOUGH);
            let share = percent(coverage.cpu_sampled_ns, used);
            let style = if enough { PLAIN } else { WARN };
            facts.push(if used < LITTLE_NS && coverage.cpu_sampled_ns < LITTLE_NS {
                (PLAIN, format!("samples stand for {sampled}, too little to compare"))
            } else {
                (style, format!("samples account for {share} of it"))
            });
        }
        None => {
            let sampled = precise(coverage.cpu_sampled_ns);
            facts.push((PLAIN, format!("{sampled} sampled; the process's own CPU time is not known")));
        }
    }
    if let Some(kernel) = coverage.kernel_not_sampled_ns.filter(|&ns| ns > 0) {
        facts.push((PLAIN, format!("{} more in the kernel, not sampled", precise(kernel))));
    }
    facts.push((PLAIN, count(coverage.samples, "sample")));
    let style = if coverage.lost > 0 { WARN } else { PLAIN };
    facts.push((style, format!("{} lost", thousands(coverage.lost))));
    if coverage.malformed > 0 {
        facts.push((WARN, format!("{} made no sense", count(coverage.malformed, "record"))));
    }
    if !info.every_cpu {
        facts.push((PLAIN, "threads shorter than a period are under-represented".to_owned()));
    }
    facts
}

/// Readings, and how much of the tasks' time they saw.
fn wall(recorded: &Recorded) -> Vec<(Style, String)> {
    let coverage = &recorded.header.coverage;
    let Some(info) = info(recorded, Clock::Wall) else { return Vec::new() };
    let mut facts = vec![(PLAIN, count(coverage.readings, "reading"))];
    if let Some(period) = info.period_ns {
        facts.push((
            PLAIN,
            match info.wanted_period_ns {
                Some(wanted) => {
                    format!("at {} instead of {}, to spare the CPU", hertz(period), hertz(wanted))
                }
                None => format!("at {}", hertz(period)),
            },
        ));
    }
    if coverage.readings_failed > 0 {
        facts.push((WARN, format!("{} failed", thousands(coverage.readings_failed))));
    }
    if let (Some(seen), Some(lived)) = (coverage.seen_ns, coverage.lived_ns.filter(|&ns| ns > 0)) {
        facts.push((PLAIN, format!("{} of the time that tasks lived seen", percent(seen.min(lived), lived))));
    }
    let started = coverage.tasks_started.filter(|&started| started > 0);
    if let (Some(seen), Some(started)) = (coverage.started_seen, started) {
        let of = count(started, "new task");
        facts.push((PLAIN, format!("{} of {of} seen", thousands(seen))));
    }
    facts
}

/// What the recording cost.
fn cost(recorded: &Recorded) -> Vec<(Style, String)> {
    let cost = &recorded.header.cost;
    let mut facts = Vec::new();
    if let Some(ns) = cost.cpu_ns {
        facts.push((PLAIN, format!("loiter used {} of CPU time", precise(ns))));
    }
    if cost.threads_stopped > 0 {
        let stops = count(cost.threads_stopped, "thread stop");
        facts.push((PLAIN, format!("{stops}, {} at most", precise(cost.longest_thread_stop_ns))));
    }
    facts
}

/// How much of each clock passes the filter.
fn filter(sheet: &Sheet<'_>) -> Vec<(Style, String)> {
    if !sheet.filter.has_conditions() {
        return Vec::new();
    }
    let part = |clock: Clock| {
        let all: Vec<u32> = (0..sheet.recorded.rows.len() as u32)
            .filter(|&nth| sheet.recorded.rows.get(nth as usize).is_some_and(|row| row.clock == clock))
            .collect();
        let (all, some) =
            (sheet.recorded.sum(&all), sheet.recorded.sum(&sheet.recorded.select(clock, sheet.filter).tasks));
        (PLAIN, format!("{}, {} of all", super::amount(some, clock), percent(some.ns, all.ns)))
    };
    sheet.recorded.clocks().into_iter().map(part).collect()
}
