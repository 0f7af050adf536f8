//! The model: plain data, interned in tables.
//!
//! It is written for every runtime: a location is a code address or an await
//! point, a task may have no stack, an age may be only a bound, and what a
//! source cannot know is unknown.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::code::{CodeTables, FunctionId, LabelSetId, LocationId, StackId, StrId};

pub use super::waits::*;

/// Index into [`Snapshot::objects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId(pub u32);

impl ObjectId {
    /// The position in its table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Everything that was true at one moment, complete in itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// What was read, when, and how the reading went.
    pub header: Header,
    /// The strings, functions, locations, stacks and label sets that everything else refers to.
    pub code: CodeTables,
    /// Everything that tasks wait for, once.
    pub objects: Vec<WaitObject>,
    /// What tasks wait for; [`Task::waits`] is a range of this table.
    pub waits: Vec<Wait>,
    /// What tasks hold of that, as far as it could be told; [`Task::holds`] is a range of this table.
    pub holds: Vec<Hold>,
    /// The tasks, in ascending order of id where ids are known. A row may stand for several equal ones:
    /// [`Snapshot::task_count`] says how many tasks there are.
    pub tasks: Vec<Task>,
}

/// What was read, when, and how the reading went.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Version of the loiter that took the snapshot.
    pub loiter: String,
    /// When the reading began, nanoseconds since the Unix epoch. 0 if unknown, as of most dumps.
    pub taken_at_ns: u64,
    /// The same moment on the target machine's CLOCK_MONOTONIC, nanoseconds. 0 if unknown.
    pub monotonic_ns: u64,
    /// What was read.
    pub target: TargetInfo,
    /// The runtimes found in it; [`Task::runtime`] is an index of this list.
    pub runtimes: Vec<RuntimeInfo>,
    /// How the reading went.
    pub reading: Reading,
    /// What the operating system says of the process.
    pub process: ProcessFigures,
    /// What the user should know about this snapshot, a sentence each.
    pub warnings: Vec<String>,
}

/// What kind of thing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A live process.
    #[default]
    Process,
    /// A core file.
    Core,
    /// Stacks of single tasks that the runtime printed itself: Go's debug=2, a crash, a log with one in it.
    Dump,
    /// Counted stacks without single tasks: Go's debug=1, a pprof file. A row of [`Snapshot::tasks`]
    /// stands for as many equal tasks as were counted, see [`Task::twins`].
    Profile,
}

/// The process (or the process that left the core file).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetInfo {
    /// What kind of thing was read.
    pub source: SourceKind,
    /// The pid in loiter's pid namespace; for a core file the pid it names.
    pub pid: u32,
    /// Short name: the file name of the executable.
    pub name: String,
    /// The arguments, as the process sees them.
    pub command: Vec<String>,
    /// Path of the executable as the process sees it.
    pub exe: String,
    /// GNU or Go build id of the executable, hexadecimal or Go's own text. Empty if it has none.
    pub build_id: String,
    /// When the process started, clock ticks since boot (field 22 of /proc/PID/stat). 0 if unknown.
    pub start_ticks: u64,
    /// How long the process has been running, nanoseconds. 0 if unknown.
    pub age_ns: u64,
    /// Host name of the machine that it ran on.
    pub host: String,
}

/// How the reading went.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// How running tasks were read.
    pub mode: ReadMode,
    /// Nanoseconds from the first read of the target's memory to the last.
    pub duration_ns: u64,
    /// Nanoseconds for which the whole target stood still. 0 without `--freeze`.
    pub pause_ns: u64,
    /// Threads stopped one at a time to read their registers.
    pub threads_stopped: u32,
    /// The longest that any single thread was stopped, nanoseconds.
    pub longest_thread_stop_ns: u64,
    /// Tasks read again because they moved while they were being read.
    pub retried: u64,
    /// Tasks that would not settle: marked [`StackStatus::Torn`].
    pub torn: u64,
    /// Tasks that were listed but had ended (or were not yet in use) when they were read.
    pub ended: u64,
    /// CPU time spent looking for holders of locks, nanoseconds.
    pub holders_ns: u64,
    /// Tasks that were not asked what they hold, because that would have taken too long. The next reading
    /// of the same process asks them.
    pub holders_not_asked: u64,
    /// Tasks that were listed but are not among those of the snapshot, because their memory could not be
    /// read: it is not in the core file. Some of them may have ended.
    pub missing: u64,
    /// Tasks whose stacks could not be read whole for the same reason: [`StackStatus::Missing`].
    pub missing_stacks: u64,
    /// Size of the core file, bytes. 0 for any other source.
    pub core_bytes: u64,
    /// Bytes that the core file should have beyond these, by its own headers: it was cut.
    pub core_bytes_missing: u64,
}

/// How running tasks were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadMode {
    /// Nothing was stopped but, one at a time, the threads that were running tasks.
    #[default]
    Live,
    /// Nothing at all was stopped: the stacks of running tasks are unknown.
    NoPause,
    /// Every thread was stopped for the whole reading.
    Frozen,
    /// Nothing could move: a core file.
    Core,
}

/// A runtime found in the target.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeInfo {
    /// "go", "tokio", "registry".
    pub name: String,
    /// Version as the runtime gives it, with its name: "go1.24.3".
    pub version: String,
    /// What sets this build apart: "stripped", "pie", "cgo".
    pub flavour: Vec<String>,
    /// What one of its tasks is called: "goroutine".
    pub task_noun: String,
    /// The main module or package of the program, where known.
    pub module: String,
    /// The modules that the program was built from, the main one first, as its build information lists
    /// them. Empty where that is unknown.
    pub modules: Vec<Module>,
    /// What a task's age means for this runtime, a sentence. Empty if ages are never known.
    pub age_meaning: String,
    /// Where struct layouts and addresses came from, a line each (shown with -v).
    pub provenance: Vec<String>,
    /// The scheduler at that moment.
    pub scheduler: Scheduler,
    /// The garbage collected heap at that moment, where the runtime has one.
    pub heap: Option<Heap>,
}

/// A module that a program was built from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Module {
    /// Its path: "golang.org/x/net". Packages below it begin with it and a slash.
    pub path: String,
    /// Its version: "v0.19.0", "(devel)". Empty if unknown.
    pub version: String,
}

/// The scheduler at that moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// What runs tasks: Go's Ps, Tokio's workers.
    pub workers: Vec<Worker>,
    /// What a worker is called: "P", "worker".
    pub worker_noun: String,
    /// How many workers the program allows: GOMAXPROCS.
    pub max_workers: Option<u32>,
    /// Length of the queue that all workers share.
    pub global_queue: Option<u64>,
    /// Threads that the runtime has made: Go's Ms.
    pub threads: Option<u32>,
    /// Those of them that are parked.
    pub idle_threads: Option<u32>,
    /// Tasks ever created.
    pub tasks_created: Option<u64>,
    /// Task structures ever made; the rest of `tasks_created` reused one.
    pub structs_made: Option<u64>,
}

/// One of the scheduler's workers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    /// Its number.
    pub id: u32,
    /// The runtime's own word for what it does: "idle", "running", "syscall", "gcstop".
    pub status: String,
    /// Tasks in its own run queue.
    pub queue: u32,
}

/// The garbage collected heap at that moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Heap {
    /// Bytes in spans in use.
    pub in_use: Option<u64>,
    /// Heap size at which the next collection starts to be due, bytes.
    pub next_gc: Option<u64>,
    /// Collections completed.
    pub collections: Option<u64>,
    /// Stop-the-world pause of the last collection, nanoseconds.
    pub last_pause_ns: Option<u64>,
}

/// What the operating system says of the process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessFigures {
    /// Threads.
    pub threads: Option<u32>,
    /// Open file descriptors.
    pub open_files: Option<u32>,
    /// Soft limit on open file descriptors. None if unlimited or unknown.
    pub open_files_limit: Option<u64>,
    /// Resident memory, bytes.
    pub rss: Option<u64>,
    /// User and system CPU time used so far, nanoseconds.
    pub cpu_ns: Option<u64>,
    /// CPUs that it may run on (its affinity mask).
    pub cpus_allowed: Option<u32>,
    /// CPUs that its cgroup grants (quota / period), in thousandths. None if unlimited or unknown.
    pub cgroup_cpu_milli: Option<u64>,
    /// Memory limit of its cgroup, bytes. None if unlimited or unknown.
    pub cgroup_memory: Option<u64>,
}

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// On a CPU, or at least on a thread.
    Running,
    /// Ready, waiting for a worker.
    Runnable,
    /// Waiting for something.
    Waiting,
    /// In a system call or in foreign code.
    Syscall,
    /// Stopped by the runtime in the middle of its work.
    Preempted,
    /// Over, but not yet collected.
    Finished,
    /// Not known.
    #[default]
    Unknown,
}

impl TaskState {
    /// All states, in the order in which help lists them.
    pub const ALL: [TaskState; 7] = [
        TaskState::Running,
        TaskState::Runnable,
        TaskState::Waiting,
        TaskState::Syscall,
        TaskState::Preempted,
        TaskState::Finished,
        TaskState::Unknown,
    ];

    /// The name that commands and files use: "running".
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Running => "running",
            TaskState::Runnable => "runnable",
            TaskState::Waiting => "waiting",
            TaskState::Syscall => "syscall",
            TaskState::Preempted => "preempted",
            TaskState::Finished => "finished",
            TaskState::Unknown => "unknown",
        }
    }
}

/// A text that is not the name of a [`TaskState`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown state {0}; states: {names}", names = TaskState::ALL.map(TaskState::name).join(", "))]
pub struct UnknownState(pub String);

impl FromStr for TaskState {
    type Err = UnknownState;

    /// Reads a [`TaskState::name`], in upper or lower case.
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let is = |state: &TaskState| state.name().eq_ignore_ascii_case(text);
        TaskState::ALL.into_iter().find(is).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// How long a task has been in its present state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Age {
    /// Not known.
    #[default]
    Unknown,
    /// At least this many nanoseconds.
    AtLeast(u64),
    /// This many nanoseconds.
    Exactly(u64),
}

impl Age {
    /// The nanoseconds, whether a bound or exact.
    pub fn nanos(self) -> Option<u64> {
        match self {
            Age::Unknown => None,
            Age::AtLeast(ns) | Age::Exactly(ns) => Some(ns),
        }
    }
}

/// How far the stack of a task can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackStatus {
    /// Down to the task's entry.
    Complete,
    /// The inner frames are right; the outer ones were not read because there are too many.
    Truncated,
    /// The inner frames are right; further out the unwinder found no way on.
    Broken,
    /// The frames are right, but there are more: the target had no room to keep them, or the dump is damaged.
    Gaps,
    /// The inner frames are right, if there are any; the rest of the stack is not in the core file, or its
    /// memory cannot be read.
    Missing,
    /// The task would not hold still: no stack.
    Torn,
    /// The task was running and its registers were not read: no stack.
    Running,
    /// The source gives no stack, or no more of it than the task's entry.
    #[default]
    Unknown,
}

/// One task. The default is one of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Task {
    /// Index into [`Header::runtimes`].
    pub runtime: u8,
    /// The runtime's own id for it.
    pub id: Option<u64>,
    /// Address of the runtime's structure for it; with the id it is the task's identity. 0 if unknown.
    pub address: u64,
    /// What it is doing.
    pub state: TaskState,
    /// Why it waits, in the runtime's words: "chan receive".
    pub reason: Option<StrId>,
    /// How long it has been in this state.
    pub age: Age,
    /// How long ago it was started, nanoseconds.
    pub lifetime_ns: Option<u64>,
    /// How many times it has been run until it ended or had to wait (polled). 0: never yet.
    pub polls: Option<u64>,
    /// Changes when the task runs: different marks prove that it ran. Equal ones may be chance, once in 256
    /// times for Go, where only eight bits count; in several snapshots in a row they show that it stood
    /// still. Means nothing else. None if the source has nothing of the kind (see also `polls`).
    pub mark: Option<u64>,
    /// Id of the task that started it.
    pub parent: Option<u64>,
    /// The place where it was started. Its frames are those of the `go` statement.
    pub creator: Option<LocationId>,
    /// The function that it was started with.
    pub entry: Option<FunctionId>,
    /// Its labels.
    pub labels: Option<LabelSetId>,
    /// Thread that it runs on now (or is in a system call on).
    pub thread: Option<u32>,
    /// It may run only on one thread.
    pub locked_to_thread: bool,
    /// The runtime's own, not the program's.
    pub system: bool,
    /// The runtime has proved that it will never run again.
    pub leaked: bool,
    /// Its stack.
    pub stack: Option<StackId>,
    /// How far the stack can be trusted.
    pub stack_status: StackStatus,
    /// Bytes of memory that its stack takes. 0 if it has none of its own or it is unknown.
    pub stack_bytes: u64,
    /// What it waits for: `start` and length in [`Snapshot::waits`].
    pub waits: (u32, u32),
    /// Locks for which others wait and that it seems to hold: `start` and length in [`Snapshot::holds`].
    pub holds: (u32, u32),
    /// How many more tasks are equal to this one and have no row of their own, because the source only
    /// counted them. 0 for a task that the source told apart: who has an id, waits for a thing that is
    /// known or holds one has no twins.
    pub twins: u64,
}

impl Task {
    /// How many tasks the row stands for: itself and its twins.
    pub fn count(&self) -> u64 {
        self.twins.saturating_add(1)
    }
}

/// How many tasks some rows stand for.
pub fn count_tasks<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> u64 {
    tasks.into_iter().fold(0, |sum: u64, task| sum.saturating_add(task.count()))
}

impl Snapshot {
    /// Tasks that all rows together may stand for. More is not believed, and sums of counts are far from
    /// any overflow.
    pub const MOST_TASKS: u64 = 1 << 32;

    /// How many tasks there are.
    pub fn task_count(&self) -> u64 {
        count_tasks(&self.tasks)
    }

    /// How many tasks some rows stand for, given by their indices.
    pub fn count_of(&self, rows: &[u32]) -> u64 {
        count_tasks(rows.iter().filter_map(|&row| self.tasks.get(row as usize)))
    }

    /// The text of a string. Empty for an index out of range.
    pub fn str(&self, id: StrId) -> &str {
        self.code.str(id)
    }

    /// The name of a function. Empty for an index out of range.
    pub fn function_name(&self, id: FunctionId) -> &str {
        self.code.function_name(id)
    }

    /// The locations of a task's stack, innermost first; empty if it has none.
    pub fn stack_of(&self, task: &Task) -> &[LocationId] {
        task.stack.map_or(&[], |id| self.code.stack(id))
    }

    /// What a task waits for.
    pub fn waits_of(&self, task: &Task) -> &[Wait] {
        let (start, len) = (task.waits.0 as usize, task.waits.1 as usize);
        self.waits.get(start..start.saturating_add(len)).unwrap_or(&[])
    }

    /// The locks that a task seems to hold.
    pub fn holds_of(&self, task: &Task) -> &[Hold] {
        let (start, len) = (task.holds.0 as usize, task.holds.1 as usize);
        self.holds.get(start..start.saturating_add(len)).unwrap_or(&[])
    }

    /// The runtime that a task belongs to.
    pub fn runtime_of(&self, task: &Task) -> Option<&RuntimeInfo> {
        self.header.runtimes.get(usize::from(task.runtime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots hold them by the million.
    #[test]
    fn a_task_is_small() {
        assert_eq!(size_of::<Task>(), 192);
    }

    #[test]
    fn sums_of_counts_do_not_overflow() {
        let task = Task { twins: u64::MAX, ..Task::default() };
        assert_eq!((task.count(), count_tasks(&[task, task])), (u64::MAX, u64::MAX));
        let mut snapshot = Snapshot { tasks: vec![task; 2], ..Snapshot::default() };
        snapshot.header.runtimes = vec![RuntimeInfo::default()];
        assert_eq!((snapshot.task_count(), snapshot.count_of(&[0, 1, 9])), (u64::MAX, u64::MAX));
        assert!(snapshot.validate().is_err());
        snapshot.tasks = vec![Task { twins: Snapshot::MOST_TASKS / 2 - 1, ..task }; 2];
        assert_eq!(snapshot.validate(), Ok(()));
        snapshot.tasks.push(Task::default());
        assert!(snapshot.validate().is_err());
    }

    #[test]
    fn who_has_an_id_is_one() {
        let task = Task { twins: 1, id: Some(1), ..Task::default() };
        let mut snapshot = Snapshot { tasks: vec![task], ..Snapshot::default() };
        snapshot.header.runtimes = vec![RuntimeInfo::default()];
        assert!(snapshot.validate().is_err());
        snapshot.tasks = vec![Task { id: None, ..task }];
        assert_eq!(snapshot.validate(), Ok(()));
    }
}
