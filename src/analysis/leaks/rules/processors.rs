//! Workers of the scheduler against the processors at hand: no leaks, but worth a note.

use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::finding::Note;
use crate::snapshot::{Header, RuntimeInfo};

/// So many readings are needed to say that something stays as it is.
const READINGS: usize = 4;

/// Looks for one thing about the scheduler.
#[derive(Debug)]
pub struct SchedulerRule {
    /// Its name: as in JSON.
    pub name: &'static str,
    /// What it checks, a sentence.
    pub checks: &'static str,
    check: fn(&Context<'_>) -> Vec<Note>,
}

/// Every one of them.
pub const SCHEDULER_RULES: &[SchedulerRule] = &[
    SchedulerRule {
        name: MORE,
        checks: "the scheduler has more workers (GOMAXPROCS) than the CPUs that the process may use",
        check: too_many,
    },
    SchedulerRule {
        name: FEWER,
        checks: "the scheduler has fewer workers (GOMAXPROCS) than the process may use CPUs, and tasks wait for them",
        check: too_few,
    },
    SchedulerRule {
        name: QUEUES,
        checks: "tasks that could run wait for a worker in reading after reading",
        check: queues,
    },
];

const MORE: &str = "more-workers-than-cpus";
const FEWER: &str = "fewer-workers-than-cpus";
const QUEUES: &str = "run-queues";

/// What is to be said of the scheduler.
pub(in crate::analysis::leaks) fn notes(context: &Context<'_>) -> Vec<Note> {
    SCHEDULER_RULES.iter().flat_map(|rule| (rule.check)(context)).collect()
}

/// Processors that the process may use at a time, in thousandths: those of its affinity, or what its
/// cgroup grants, whichever is less.
fn processors(header: &Header) -> Option<(u64, &'static str)> {
    let allowed = header.process.cpus_allowed.map(|n| (u64::from(n) * 1_000, "its CPU affinity allows"));
    let granted = header.process.cgroup_cpu_milli.map(|n| (n, "its cgroup grants"));
    [allowed, granted].into_iter().flatten().min()
}

fn cpus(milli: u64) -> String {
    let text = if milli.is_multiple_of(1_000) {
        (milli / 1_000).to_string()
    } else {
        format!("{:.1}", milli as f64 / 1_000.0)
    };
    format!("{text} CPU{}", if milli == 1_000 { "" } else { "s" })
}

fn worker(runtime: &RuntimeInfo) -> &str {
    if runtime.scheduler.worker_noun.is_empty() { "worker" } else { &runtime.scheduler.worker_noun }
}

fn queued(runtime: &RuntimeInfo) -> u64 {
    let own: u64 = runtime.scheduler.workers.iter().map(|worker| u64::from(worker.queue)).sum();
    own.saturating_add(runtime.scheduler.global_queue.unwrap_or(0))
}

/// In how many of the readings tasks waited for a worker, `at_least` for each worker.
fn long_queues(context: &Context<'_>, nth: usize, at_least: u64) -> (usize, u64) {
    let readings = context.series.points().iter().filter_map(|point| point.header.runtimes.get(nth));
    let queues: Vec<u64> = readings
        .filter(|runtime| {
            let workers = runtime.scheduler.workers.len() as u64;
            workers > 0 && queued(runtime) >= workers.saturating_mul(at_least)
        })
        .map(queued)
        .collect();
    (queues.len(), queues.into_iter().min().unwrap_or(0))
}

fn note(rule: &'static str, because: Vec<String>, cause: &str, next: &str) -> Note {
    Note { rule, because, cause: cause.to_owned(), next: next.to_owned() }
}

fn too_many(context: &Context<'_>) -> Vec<Note> {
    let header = &context.snapshot.header;
    let Some((milli, whence)) = processors(header) else { return Vec::new() };
    let cause = if header.process.cgroup_cpu_milli == Some(milli) {
        "the kernel stops the process for part of every period when all workers are busy"
    } else {
        "workers take the CPUs from each other when all of them are busy"
    };
    (header.runtimes.iter())
        .filter_map(|runtime| {
            let workers = u64::from(runtime.scheduler.max_workers?);
            // A part of a CPU needs a whole worker, and two are the least that runtimes use.
            (workers > milli.div_ceil(1_000).max(2)).then(|| {
                let because = format!("{workers} {}s for {} that {whence}", worker(runtime), cpus(milli));
                note(
                    MORE,
                    vec![because],
                    cause,
                    "set GOMAXPROCS (or the number of workers) to what the process is granted",
                )
            })
        })
        .collect()
}

fn too_few(context: &Context<'_>) -> Vec<Note> {
    let header = &context.snapshot.header;
    let Some((milli, whence)) = processors(header) else { return Vec::new() };
    let readings = context.series.points().len();
    let mut notes = Vec::new();
    for (nth, runtime) in header.runtimes.iter().enumerate() {
        let Some(workers) = runtime.scheduler.max_workers.map(u64::from) else { continue };
        let (long, _) = long_queues(context, nth, 1);
        if workers < milli / 1_000 && readings >= READINGS && long * 2 >= readings {
            let because = format!("{workers} {}s for {} that {whence}", worker(runtime), cpus(milli));
            let queues = format!("in {long} of {readings} readings tasks waited for one");
            notes.push(note(
                FEWER,
                vec![because, queues],
                "CPUs stay idle while tasks wait to run",
                "set GOMAXPROCS (or the number of workers) to what the process is granted",
            ));
        }
    }
    notes
}

fn queues(context: &Context<'_>) -> Vec<Note> {
    /// Waiting tasks for each worker.
    const LONG: u64 = 8;
    let readings = context.series.points().len();
    let mut notes = Vec::new();
    for nth in 0..context.snapshot.header.runtimes.len() {
        let (long, least) = long_queues(context, nth, LONG);
        if readings >= READINGS && long * 4 >= readings * 3 {
            let because = format!("in {long} of {readings} readings {least} tasks or more waited to run");
            notes.push(note(
                QUEUES,
                vec![because],
                "there is more to do than the workers can do",
                "look at what runs (a CPU profile), and at what starts so many tasks",
            ));
        }
    }
    notes
}
