//! What was read, the same in every JSON document. Separate structs let the model change without changing the
//! published format. Unknown values are null.
//!
//! The names of the members are described in loiter-stacks-json(5): do not rename them.

use serde::Serialize;

use super::hex;
use crate::snapshot::{
    Header, Heap, Image, Module, ProcessFigures, ReadMode, Reading, RuntimeInfo, Scheduler, Snapshot,
    SourceKind, TargetInfo, Worker,
};

#[derive(Serialize)]
pub(super) struct SnapshotOut<'a> {
    loiter: &'a str,
    taken_at_ns: Option<u64>,
    monotonic_ns: Option<u64>,
    target: TargetOut<'a>,
    runtimes: Vec<RuntimeHeadOut<'a>>,
    reading: ReadingOut,
    process: ProcessOut,
    warnings: &'a [String],
}

#[derive(Serialize)]
pub(super) struct TargetOut<'a> {
    source: &'static str,
    pid: Option<u32>,
    name: &'a str,
    command: &'a [String],
    exe: Option<&'a str>,
    build_id: Option<&'a str>,
    start_ticks: Option<u64>,
    age_ns: Option<u64>,
    host: Option<&'a str>,
}

#[derive(Serialize)]
struct ReadingOut {
    mode: &'static str,
    duration_ns: u64,
    pause_ns: u64,
    threads_stopped: u32,
    longest_thread_stop_ns: u64,
    retried: u64,
    torn: u64,
    ended: u64,
    holders_ns: u64,
    holders_not_asked: u64,
    missing: u64,
    missing_stacks: u64,
    core_bytes: Option<u64>,
    core_bytes_missing: u64,
}

#[derive(Serialize)]
struct RuntimeHeadOut<'a> {
    name: &'a str,
    version: Option<&'a str>,
    flavour: &'a [String],
    task_noun: &'a str,
    module: Option<&'a str>,
    modules: Vec<ModuleOut<'a>>,
    age_meaning: Option<&'a str>,
    provenance: &'a [String],
    scheduler: SchedulerOut<'a>,
    heap: Option<HeapOut>,
}

/// A module that a program was built from.
#[derive(Serialize)]
pub(super) struct ModuleOut<'a> {
    path: &'a str,
    version: Option<&'a str>,
}

#[derive(Serialize)]
struct SchedulerOut<'a> {
    workers: Vec<WorkerOut<'a>>,
    worker_noun: &'a str,
    max_workers: Option<u32>,
    global_queue: Option<u64>,
    threads: Option<u32>,
    idle_threads: Option<u32>,
    tasks_created: Option<u64>,
    structs_made: Option<u64>,
}

#[derive(Serialize)]
struct WorkerOut<'a> {
    id: u32,
    status: &'a str,
    queue: u32,
}

#[derive(Serialize)]
struct HeapOut {
    in_use: Option<u64>,
    next_gc: Option<u64>,
    collections: Option<u64>,
    last_pause_ns: Option<u64>,
}

#[derive(Serialize)]
struct ProcessOut {
    threads: Option<u32>,
    open_files: Option<u32>,
    open_files_limit: Option<u64>,
    rss: Option<u64>,
    cpu_ns: Option<u64>,
    cpus_allowed: Option<u32>,
    cgroup_cpu_milli: Option<u64>,
    cgroup_memory: Option<u64>,
}

/// An image that frames are in.
#[derive(Serialize)]
pub(super) struct ImageOut<'a> {
    path: &'a str,
    build_id: Option<&'a str>,
    start: String,
    end: String,
    offset: String,
}

impl<'a> From<&'a Header> for SnapshotOut<'a> {
    fn from(header: &'a Header) -> Self {
        SnapshotOut {
            loiter: &header.loiter,
            taken_at_ns: header.taken_at_ns,
            monotonic_ns: header.monotonic_ns,
            target: TargetOut::from(&header.target),
            runtimes: header.runtimes.iter().map(RuntimeHeadOut::from).collect(),
            reading: ReadingOut::from(&header.reading),
            process: ProcessOut::from(&header.process),
            warnings: &header.warnings,
        }
    }
}

impl<'a> From<&'a TargetInfo> for TargetOut<'a> {
    fn from(target: &'a TargetInfo) -> Self {
        TargetOut {
            source: match target.source {
                SourceKind::Process => "process",
                SourceKind::Core => "core",
                SourceKind::Dump => "dump",
                SourceKind::Profile => "profile",
            },
            pid: target.pid,
            name: &target.name,
            command: &target.command,
            exe: target.exe.as_deref(),
            build_id: target.build_id.as_deref(),
            start_ticks: target.start_ticks,
            age_ns: target.age_ns,
            host: target.host.as_deref(),
        }
    }
}

impl From<&Reading> for ReadingOut {
    fn from(reading: &Reading) -> Self {
        ReadingOut {
            mode: match reading.mode {
                ReadMode::Live => "live",
                ReadMode::NoPause => "no-pause",
                ReadMode::Frozen => "frozen",
                ReadMode::Core => "core",
            },
            duration_ns: reading.duration_ns,
            pause_ns: reading.pause_ns,
            threads_stopped: reading.threads_stopped,
            longest_thread_stop_ns: reading.longest_thread_stop_ns,
            retried: reading.retried,
            torn: reading.torn,
            ended: reading.ended,
            holders_ns: reading.holders_ns,
            holders_not_asked: reading.holders_not_asked,
            missing: reading.missing,
            missing_stacks: reading.missing_stacks,
            core_bytes: reading.core_bytes,
            core_bytes_missing: reading.core_bytes_missing,
        }
    }
}

impl<'a> From<&'a RuntimeInfo> for RuntimeHeadOut<'a> {
    fn from(runtime: &'a RuntimeInfo) -> Self {
        RuntimeHeadOut {
            name: &runtime.name,
            version: runtime.version.as_deref(),
            flavour: &runtime.flavour,
            task_noun: &runtime.task_noun,
            module: runtime.module.as_deref(),
            modules: runtime.modules.iter().map(ModuleOut::from).collect(),
            age_meaning: runtime.age_meaning.as_deref(),
            provenance: &runtime.provenance,
            scheduler: SchedulerOut::from(&runtime.scheduler),
            heap: runtime.heap.as_ref().map(HeapOut::from),
        }
    }
}

impl<'a> From<&'a Module> for ModuleOut<'a> {
    fn from(module: &'a Module) -> Self {
        ModuleOut { path: &module.path, version: module.version.as_deref() }
    }
}

impl<'a> From<&'a Scheduler> for SchedulerOut<'a> {
    fn from(scheduler: &'a Scheduler) -> Self {
        SchedulerOut {
            workers: scheduler.workers.iter().map(WorkerOut::from).collect(),
            worker_noun: &scheduler.worker_noun,
            max_workers: scheduler.max_workers,
            global_queue: scheduler.global_queue,
            threads: scheduler.threads,
            idle_threads: scheduler.idle_threads,
            tasks_created: scheduler.tasks_created,
            structs_made: scheduler.structs_made,
        }
    }
}

impl<'a> From<&'a Worker> for WorkerOut<'a> {
    fn from(worker: &'a Worker) -> Self {
        WorkerOut { id: worker.id, status: &worker.status, queue: worker.queue }
    }
}

impl From<&Heap> for HeapOut {
    fn from(heap: &Heap) -> Self {
        HeapOut {
            in_use: heap.in_use,
            next_gc: heap.next_gc,
            collections: heap.collections,
            last_pause_ns: heap.last_pause_ns,
        }
    }
}

impl From<&ProcessFigures> for ProcessOut {
    fn from(process: &ProcessFigures) -> Self {
        ProcessOut {
            threads: process.threads,
            open_files: process.open_files,
            open_files_limit: process.open_files_limit,
            rss: process.rss,
            cpu_ns: process.cpu_ns,
            cpus_allowed: process.cpus_allowed,
            cgroup_cpu_milli: process.cgroup_cpu_milli,
            cgroup_memory: process.cgroup_memory,
        }
    }
}

impl<'a> ImageOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, image: &Image) -> Self {
        ImageOut {
            path: snapshot.str(image.path),
            build_id: image.build_id.map(|id| snapshot.str(id)),
            start: hex(image.start),
            end: hex(image.end),
            offset: hex(image.offset),
        }
    }
}
