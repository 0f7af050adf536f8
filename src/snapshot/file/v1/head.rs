//! The header of format 1, with its own structs, so that the model can change without changing the format.
//!
//! The names of the members below are the format: do not rename them. Unknown values are null. From the first
//! release on, a new member must be an `Option` or have a default, because older files do not have it.

use serde::{Deserialize, Serialize};

use super::tables::Listed;
use crate::snapshot::{
    Header, Heap, Module, ProcessFigures, ReadMode, Reading, RuntimeInfo, Scheduler, SourceKind, TargetInfo,
    Worker,
};

/// Everything before the tables.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeadOfFile {
    pub(super) format: String,
    pub(super) version: u16,
    pub(super) tasks: u64,
    pub(super) tables: Vec<Listed>,
    pub(super) snapshot: HeadOfSnapshot,
}

/// What was read, when, and how the reading went.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeadOfSnapshot {
    loiter: String,
    taken_at_ns: Option<u64>,
    monotonic_ns: Option<u64>,
    target: TargetRow,
    runtimes: Vec<RuntimeRow>,
    reading: ReadingRow,
    process: ProcessRow,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SourceName {
    Process,
    Core,
    Dump,
    Profile,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ModeName {
    Live,
    NoPause,
    Frozen,
    Core,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TargetRow {
    source: SourceName,
    pid: Option<u32>,
    name: String,
    command: Vec<String>,
    exe: Option<String>,
    build_id: Option<String>,
    start_ticks: Option<u64>,
    age_ns: Option<u64>,
    host: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ReadingRow {
    mode: ModeName,
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

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RuntimeRow {
    name: String,
    version: Option<String>,
    flavour: Vec<String>,
    task_noun: String,
    module: Option<String>,
    modules: Vec<ModuleRow>,
    age_meaning: Option<String>,
    provenance: Vec<String>,
    scheduler: SchedulerRow,
    heap: Option<HeapRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ModuleRow {
    path: String,
    version: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SchedulerRow {
    workers: Vec<WorkerRow>,
    worker_noun: String,
    max_workers: Option<u32>,
    global_queue: Option<u64>,
    threads: Option<u32>,
    idle_threads: Option<u32>,
    tasks_created: Option<u64>,
    structs_made: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WorkerRow {
    id: u32,
    status: String,
    queue: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeapRow {
    in_use: Option<u64>,
    next_gc: Option<u64>,
    collections: Option<u64>,
    last_pause_ns: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProcessRow {
    threads: Option<u32>,
    open_files: Option<u32>,
    open_files_limit: Option<u64>,
    rss: Option<u64>,
    cpu_ns: Option<u64>,
    cpus_allowed: Option<u32>,
    cgroup_cpu_milli: Option<u64>,
    cgroup_memory: Option<u64>,
}

/// Converts a struct of the model into its counterpart in the file and back. The left member is the format's,
/// the right one the model's; `into` means that it has its own counterpart, `list` and `option` that it may
/// occur several times or be absent. A member missing on either side does not compile.
macro_rules! convert {
    ($picture:ident = $model:ident { $($file:ident: $name:ident $(as $how:ident)?),+ $(,)? }) => {
        impl From<&$model> for $picture {
            fn from(model: &$model) -> Self {
                let $model { $($name),+ } = model;
                $picture { $($file: convert!(@out $name $($how)?)),+ }
            }
        }
        impl From<$picture> for $model {
            fn from(picture: $picture) -> Self {
                let $picture { $($file),+ } = picture;
                $model { $($name: convert!(@in $file $($how)?)),+ }
            }
        }
    };
    (@out $value:ident) => { $value.clone() };
    (@out $value:ident into) => { $value.into() };
    (@out $value:ident list) => { $value.iter().map(Into::into).collect() };
    (@out $value:ident option) => { $value.as_ref().map(Into::into) };
    (@in $value:ident) => { $value };
    (@in $value:ident into) => { $value.into() };
    (@in $value:ident option) => { $value.map(Into::into) };
    (@in $value:ident list) => { $value.into_iter().map(Into::into).collect() };
}

/// The same for the names of an enum.
macro_rules! names {
    ($picture:ident = $model:ident { $($file:ident: $name:ident),+ $(,)? }) => {
        impl From<&$model> for $picture {
            fn from(model: &$model) -> Self {
                match model { $($model::$name => $picture::$file),+ }
            }
        }
        impl From<$picture> for $model {
            fn from(picture: $picture) -> Self {
                match picture { $($picture::$file => $model::$name),+ }
            }
        }
    };
}

pub(crate) use {convert, names};

names!(SourceName = SourceKind { Process: Process, Core: Core, Dump: Dump, Profile: Profile });
names!(ModeName = ReadMode { Live: Live, NoPause: NoPause, Frozen: Frozen, Core: Core });

convert!(
    HeadOfSnapshot = Header {
        loiter: loiter,
        taken_at_ns: taken_at_ns,
        monotonic_ns: monotonic_ns,
        target: target as into,
        runtimes: runtimes as list,
        reading: reading as into,
        process: process as into,
        warnings: warnings,
    }
);
convert!(
    TargetRow = TargetInfo {
        source: source as into,
        pid: pid,
        name: name,
        command: command,
        exe: exe,
        build_id: build_id,
        start_ticks: start_ticks,
        age_ns: age_ns,
        host: host,
    }
);
convert!(
    ReadingRow = Reading {
        mode: mode as into,
        duration_ns: duration_ns,
        pause_ns: pause_ns,
        threads_stopped: threads_stopped,
        longest_thread_stop_ns: longest_thread_stop_ns,
        retried: retried,
        torn: torn,
        ended: ended,
        holders_ns: holders_ns,
        holders_not_asked: holders_not_asked,
        missing: missing,
        missing_stacks: missing_stacks,
        core_bytes: core_bytes,
        core_bytes_missing: core_bytes_missing,
    }
);
convert!(
    RuntimeRow = RuntimeInfo {
        name: name,
        version: version,
        flavour: flavour,
        task_noun: task_noun,
        module: module,
        modules: modules as list,
        age_meaning: age_meaning,
        provenance: provenance,
        scheduler: scheduler as into,
        heap: heap as option,
    }
);
convert!(ModuleRow = Module { path: path, version: version });
convert!(
    SchedulerRow = Scheduler {
        workers: workers as list,
        worker_noun: worker_noun,
        max_workers: max_workers,
        global_queue: global_queue,
        threads: threads,
        idle_threads: idle_threads,
        tasks_created: tasks_created,
        structs_made: structs_made,
    }
);
convert!(WorkerRow = Worker { id: id, status: status, queue: queue });
convert!(
    HeapRow =
        Heap { in_use: in_use, next_gc: next_gc, collections: collections, last_pause_ns: last_pause_ns }
);
convert!(
    ProcessRow = ProcessFigures {
        threads: threads,
        open_files: open_files,
        open_files_limit: open_files_limit,
        rss: rss,
        cpu_ns: cpu_ns,
        cpus_allowed: cpus_allowed,
        cgroup_cpu_milli: cgroup_cpu_milli,
        cgroup_memory: cgroup_memory,
    }
);
