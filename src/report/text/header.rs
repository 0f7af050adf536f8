//! The head of a report: the target, its number of tasks, and how the reading went.

use std::io;

use rustc_hash::FxHashMap;

use super::super::line::{DIM, HEAD, PLAIN, TITLE};
use super::super::runtime_names::{runtime_facts, runtime_name, task_noun};
use super::super::units::{bytes, count, duration, thousands};
use super::{Page, part};
use crate::snapshot::{
    Header, Heap, ProcessFigures, ReadMode, Reading, RuntimeInfo, Scheduler, Snapshot, SourceKind,
    count_tasks,
};

/// Writes the line that begins every report; `rest` follows the number of tasks. Returns how many lines it took.
pub(super) fn write(page: &mut Page<'_>, shown: (u64, u64), rest: &str) -> io::Result<usize> {
    let mut text = Vec::new();
    write_lines(&mut Page { out: &mut text, ..*page }, shown, rest)?;
    page.out.write_all(&text)?;
    Ok(text.iter().filter(|&&byte| byte == b'\n').count())
}

fn write_lines(page: &mut Page<'_>, (shown, total): (u64, u64), rest: &str) -> io::Result<()> {
    let noun = page.noun();
    let plural = if total == 1 { "" } else { "s" };
    let mut pieces = vec![
        (HEAD, who(&page.snapshot.header)),
        (HEAD, format!("{} {noun}{plural}{rest}", part(shown, total))),
    ];
    pieces.extend(how(page.snapshot, page.options.time).map(|text| (PLAIN, text)));
    page.line().wrap(&pieces, " · ", 2, page.options.width, page.out)?;
    if page.options.verbose {
        for (title, text) in figures(page.snapshot) {
            let mut line = page.line();
            line.push(PLAIN, " ").push(TITLE, title).pad(12, 1);
            line.wrap_text(PLAIN, &text, 12, page.options.width, page.out)?;
        }
        for runtime in &page.snapshot.header.runtimes {
            for fact in &runtime.provenance {
                let mut line = page.line();
                line.push(PLAIN, " ").push(TITLE, "read by").pad(12, 1);
                line.wrap_text(DIM, fact, 12, page.options.width, page.out)?;
            }
        }
    }
    Ok(())
}

/// "api-server (pid 4242, go1.24.3, stripped)".
pub fn who(header: &Header) -> String {
    let target = &header.target;
    let mut facts: Vec<String> = match target.source {
        SourceKind::Process => vec![format!("pid {}", target.pid.unwrap_or(0))],
        SourceKind::Core => vec![format!("core of pid {}", target.pid.unwrap_or(0))],
        SourceKind::Dump => vec!["dump".to_owned()],
        SourceKind::Profile => vec!["profile".to_owned()],
    };
    match header.runtimes.as_slice() {
        [only] => facts.extend(runtime_facts(only).map(str::to_owned)),
        several => facts.extend(several.iter().map(runtime_name)),
    }
    format!("{} ({})", target.name, facts.join(", "))
}

/// How the reading went: "read in 6 ms, no pause".
fn how(snapshot: &Snapshot, time: bool) -> impl Iterator<Item = String> {
    let header = &snapshot.header;
    let reading = &header.reading;
    let taken = time.then(|| match header.taken_at_ns {
        None => moment(None),
        known => format!("taken {}", moment(known)),
    });
    let read = match header.target.source {
        SourceKind::Process | SourceKind::Core => None,
        SourceKind::Dump => Some("printed by the program itself".to_owned()),
        // Only profiles that loiter wrote have ids.
        SourceKind::Profile if snapshot.tasks.iter().any(|task| task.id.is_some()) => {
            Some("tasks stored individually in a profile".to_owned())
        }
        SourceKind::Profile => Some("counted by the program itself, ids unknown".to_owned()),
    };
    if let Some(read) = read {
        return taken.into_iter().chain([read]);
    }
    let pause = match reading.mode {
        ReadMode::Core => "core file".to_owned(),
        ReadMode::Frozen => format!("all stopped for {}", duration(reading.pause_ns)),
        ReadMode::Live if reading.threads_stopped > 0 => format!(
            "{} stopped, {} at most",
            count(reading.threads_stopped.into(), "thread"),
            duration(reading.longest_thread_stop_ns)
        ),
        ReadMode::Live | ReadMode::NoPause => "no pause".to_owned(),
    };
    taken.into_iter().chain([format!("read in {}, {pause}", duration(reading.duration_ns))])
}

/// A moment in UTC, to the second; nanoseconds since the Unix epoch.
pub fn moment(ns_since_epoch: Option<u64>) -> String {
    let seconds = |ns: u64| i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX);
    let moment = ns_since_epoch.and_then(|ns| jiff::Timestamp::from_second(seconds(ns)).ok());
    match moment {
        Some(moment) => moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => "time unknown".to_owned(),
    }
}

/// One line that describes a snapshot: "api-server (pid 4242, ...): 1,388 goroutines, read in ...".
pub fn headline(snapshot: &Snapshot) -> String {
    let header = &snapshot.header;
    let how: Vec<_> = how(snapshot, false).collect();
    let system = count_tasks(snapshot.tasks.iter().filter(|task| task.system));
    let tasks = count(snapshot.task_count().saturating_sub(system), task_noun(snapshot));
    let system = if system == 0 { String::new() } else { format!(" and {}", count(system, "system one")) };
    format!("{}: {tasks}{system}, {}", who(header), how.join(", "))
}

/// The figures of the scheduler, the heap and the process, each under its title; unknown ones are
/// left out.
pub fn figures(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let header = &snapshot.header;
    let mut lines = Vec::new();
    for runtime in &header.runtimes {
        lines.extend(join("scheduler", scheduler(runtime, &runtime.scheduler)));
        lines.extend(runtime.heap.as_ref().and_then(|heap| join("heap", heap_facts(heap))));
    }
    lines.extend(join("process", process(&header.process)));
    lines.extend(join("holders", holders(&header.reading)));
    lines
}

/// What the search for holders of locks cost. Empty if there was none.
fn holders(reading: &Reading) -> Vec<String> {
    let mut facts = Vec::new();
    if reading.holders_ns > 0 {
        facts.push(format!("found in {} of CPU time", duration(reading.holders_ns)));
    }
    if reading.holders_not_asked > 0 {
        facts.push(format!("{} tasks not examined, to save time", thousands(reading.holders_not_asked)));
    }
    facts
}

fn join(title: &'static str, facts: Vec<String>) -> Option<(&'static str, String)> {
    (!facts.is_empty()).then(|| (title, facts.join(", ")))
}

fn scheduler(runtime: &RuntimeInfo, scheduler: &Scheduler) -> Vec<String> {
    let mut facts = Vec::new();
    if !scheduler.workers.is_empty() {
        let noun = if scheduler.worker_noun.is_empty() { "worker" } else { &scheduler.worker_noun };
        let mut by_status: Vec<(&str, u64)> = Vec::new();
        let mut known: FxHashMap<&str, usize> = FxHashMap::default();
        for worker in &scheduler.workers {
            let at = *known.entry(&worker.status).or_insert_with(|| {
                by_status.push((&worker.status, 0));
                by_status.len() - 1
            });
            by_status.iter_mut().skip(at).take(1).for_each(|(_, count)| *count += 1);
        }
        let statuses: Vec<_> = by_status.iter().map(|(status, n)| format!("{n} {status}")).collect();
        let workers = scheduler.workers.len() as u64;
        facts.push(format!("{} ({})", count(workers, noun), statuses.join(", ")));
        let queued: u64 = scheduler.workers.iter().map(|worker| u64::from(worker.queue)).sum();
        facts.push(format!("{} in their run queues", thousands(queued)));
    }
    facts.extend(scheduler.global_queue.map(|n| format!("{} in the global queue", thousands(n))));
    facts.extend(scheduler.max_workers.map(|n| format!("at most {n} at once")));
    facts.extend(scheduler.threads.map(|n| {
        let idle = scheduler.idle_threads.map_or(String::new(), |n| format!(" ({n} parked)"));
        format!("{}{idle}", count(n.into(), "thread"))
    }));
    if let Some(created) = scheduler.tasks_created {
        let noun = if runtime.task_noun.is_empty() { "task" } else { &runtime.task_noun };
        let reused = scheduler.structs_made.filter(|&made| created > 0 && made <= created).map(|made| {
            let rate = (created - made) as f64 * 100.0 / created as f64;
            format!(" ({rate:.1} % reused the structure of an ended one)")
        });
        facts.push(format!("{} created{}", count(created, noun), reused.unwrap_or_default()));
    }
    facts
}

fn heap_facts(heap: &Heap) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(heap.in_use.map(|n| format!("{} in use", bytes(n))));
    facts.extend(heap.next_gc.map(|n| format!("next collection at {}", bytes(n))));
    facts.extend(heap.collections.map(|n| format!("{} so far", count(n, "collection"))));
    facts.extend(heap.last_pause_ns.map(|ns| format!("last pause {}", duration(ns))));
    facts
}

fn process(figures: &ProcessFigures) -> Vec<String> {
    let mut facts = Vec::new();
    let of = |limit: Option<String>| limit.map_or(String::new(), |limit| format!(" of {limit}"));
    facts.extend(figures.threads.map(|n| count(n.into(), "thread")));
    facts.extend(figures.open_files.map(|n| {
        let limit = of(figures.open_files_limit.map(thousands));
        format!("{}{limit} open files", thousands(n.into()))
    }));
    facts.extend(figures.rss.map(|n| format!("RSS {}{}", bytes(n), of(figures.cgroup_memory.map(bytes)))));
    facts.extend(figures.cpu_ns.map(|ns| format!("CPU time {}", duration(ns))));
    facts.extend(figures.cpus_allowed.map(|n| {
        let quota = figures.cgroup_cpu_milli.map(|milli| format!(" (quota {:.1})", milli as f64 / 1000.0));
        format!("{}{}", count(n.into(), "CPU"), quota.unwrap_or_default())
    }));
    facts
}
