//! The scheduler's workers compared with the CPUs that it may use: no leaks, but worth a note.

use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, CpuLimit, Evidence};
use crate::analysis::leaks::finding::Note;
use crate::analysis::series::Member;
use crate::snapshot::{Header, RuntimeInfo};

/// This many readings are needed to say that a state lasts.
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
        checks: "the scheduler has fewer workers (GOMAXPROCS) than CPUs that the process may use, and tasks wait for workers",
        check: too_few,
    },
    SchedulerRule {
        name: QUEUES,
        checks: "tasks that are ready to run wait for a worker in reading after reading",
        check: queues,
    },
    SchedulerRule {
        name: BUSY,
        checks: "tasks run, or wait for a worker, in every reading: they never wait for anything else",
        check: always_busy,
    },
    SchedulerRule {
        name: BLOCKED,
        checks: "tasks keep a worker in one system call in every reading, while others could run on it",
        check: blocked_workers,
    },
];

const MORE: &str = "more-workers-than-cpus";
const FEWER: &str = "fewer-workers-than-cpus";
const QUEUES: &str = "run-queues";
const BUSY: &str = "hot-loops";
const BLOCKED: &str = "blocked-workers";

/// A task that works half of the time is found at work in this many readings in a row once in 32 times; so a
/// note says what was seen, not that something is wrong.
const IN_A_ROW: u32 = 5;
/// Kinds and ids that are named.
const KINDS: usize = 4;
const IDS: usize = 5;

/// Notes about the scheduler.
pub(in crate::analysis::leaks) fn notes(context: &Context<'_>) -> Vec<Note> {
    SCHEDULER_RULES.iter().flat_map(|rule| (rule.check)(context)).collect()
}

/// CPUs that the process may use at a time, in thousandths: the lesser of its affinity and what its cgroup grants.
fn processors(header: &Header) -> Option<(u64, CpuLimit)> {
    let allowed = header.process.cpus_allowed.map(|n| (u64::from(n) * 1_000, CpuLimit::Affinity));
    let granted = header.process.cgroup_cpu_milli.map(|n| (n, CpuLimit::Cgroup));
    [allowed, granted].into_iter().flatten().min()
}

fn workers_evidence(runtime: &RuntimeInfo, workers: u64, (cpu_milli, limit): (u64, CpuLimit)) -> Evidence {
    Evidence::Workers { workers, worker: worker(runtime).to_owned(), cpu_milli, limit }
}

fn worker(runtime: &RuntimeInfo) -> &str {
    if runtime.scheduler.worker_noun.is_empty() { "worker" } else { &runtime.scheduler.worker_noun }
}

fn queued(runtime: &RuntimeInfo) -> u64 {
    let own: u64 = runtime.scheduler.workers.iter().map(|worker| u64::from(worker.queue)).sum();
    own.saturating_add(runtime.scheduler.global_queue.unwrap_or(0))
}

/// In how many readings at least `at_least` tasks waited for each worker; and the fewest that waited.
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

fn too_many(context: &Context<'_>) -> Vec<Note> {
    let header = &context.snapshot.header;
    let Some((milli, limit)) = processors(header) else { return Vec::new() };
    let cause =
        if header.process.cgroup_cpu_milli == Some(milli) { Cause::Throttled } else { Cause::WorkersCompete };
    (header.runtimes.iter())
        .filter_map(|runtime| {
            let workers = u64::from(runtime.scheduler.max_workers?);
            // A part of a CPU needs a whole worker, and two are the least that runtimes use.
            let because = || vec![workers_evidence(runtime, workers, (milli, limit))];
            (workers > milli.div_ceil(1_000).max(2)).then(|| Note { rule: MORE, because: because(), cause })
        })
        .collect()
}

fn too_few(context: &Context<'_>) -> Vec<Note> {
    let header = &context.snapshot.header;
    let Some((milli, limit)) = processors(header) else { return Vec::new() };
    let readings = context.series.points().len();
    let mut notes = Vec::new();
    for (nth, runtime) in header.runtimes.iter().enumerate() {
        let Some(workers) = runtime.scheduler.max_workers.map(u64::from) else { continue };
        let (long, least) = long_queues(context, nth, 1);
        if workers < milli / 1_000 && readings >= READINGS && long * 2 >= readings {
            let because = vec![
                workers_evidence(runtime, workers, (milli, limit)),
                Evidence::RunQueue { readings: long as u64, of: readings as u64, at_least: least },
            ];
            notes.push(Note { rule: FEWER, because, cause: Cause::IdleCpus });
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
            let queue = Evidence::RunQueue { readings: long as u64, of: readings as u64, at_least: least };
            notes.push(Note { rule: QUEUES, because: vec![queue], cause: Cause::WorkersBusy });
        }
    }
    notes
}

fn always_busy(context: &Context<'_>) -> Vec<Note> {
    // Who is in a system call takes no CPU time.
    let computes = |member: &Member| context.snapshot.call_of(member.task).is_none();
    let since = |member: &Member| member.busy_since.filter(|_| computes(member));
    let because = in_a_row(context, since, |tasks, readings, function, ids| Evidence::AlwaysBusy {
        tasks,
        readings,
        function,
        ids,
    });
    if because.is_empty() { Vec::new() } else { vec![Note { rule: BUSY, because, cause: Cause::HotLoop }] }
}

fn blocked_workers(context: &Context<'_>) -> Vec<Note> {
    // A task that is bound to its thread keeps nobody else from running.
    let blocks = |member: &Member| {
        let is_free = context.task(member.task).is_some_and(|task| !task.locked_to_thread);
        is_free && context.snapshot.call_of(member.task).is_some()
    };
    // The stack of a running task is that of its thread: it has been in the same call.
    let since = |member: &Member| Some(member.busy_since?.max(member.here_since)).filter(|_| blocks(member));
    let because = in_a_row(context, since, |tasks, readings, function, ids| Evidence::BlocksWorker {
        tasks,
        readings,
        function,
        ids,
    });
    let note = |because| Note { rule: BLOCKED, because, cause: Cause::BlocksWorker };
    if because.is_empty() { Vec::new() } else { vec![note(because)] }
}

/// What is said of the tasks that have been as `since` wants them in many readings in a row, by kind: how many tasks, in how
/// many readings, the function, and some ids. `since`: the number of the first of these readings.
fn in_a_row(
    context: &Context<'_>,
    since: impl Fn(&Member) -> Option<u32>,
    evidence: impl Fn(u64, u64, Option<String>, Vec<u64>) -> Evidence,
) -> Vec<Evidence> {
    let all = context.series.readings();
    let mut because: Vec<Evidence> = Vec::new();
    for kind in context.kinds.iter().filter(|kind| kind.left_out.is_none()) {
        let found = context.members(kind).filter_map(|member| {
            let readings = all.saturating_sub(since(member)?);
            (readings >= IN_A_ROW).then(|| (readings, context.task(member.task).and_then(|task| task.id)))
        });
        let found: Vec<_> = found.collect();
        let Some(readings) = found.iter().map(|(readings, _)| u64::from(*readings)).min() else { continue };
        let function = kind.at.map(|at| at.function.to_string()).filter(|name| !name.is_empty());
        let ids = found.iter().filter_map(|(_, id)| *id).take(IDS).collect();
        because.push(evidence(found.len() as u64, readings, function, ids));
    }
    because.truncate(KINDS);
    because
}
