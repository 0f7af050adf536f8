//! The header of a snapshot: what was read, when, and how the reading went.

/// What was read, when, and how the reading went.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Header {
    /// Version of the loiter that took the snapshot.
    pub loiter: String,
    /// When the reading began, nanoseconds since the Unix epoch. None if unknown, like in most dumps.
    pub taken_at_ns: Option<u64>,
    /// The same moment on the target machine's CLOCK_MONOTONIC, nanoseconds. None if unknown.
    pub monotonic_ns: Option<u64>,
    /// What was read.
    pub target: TargetInfo,
    /// The runtimes found in it; [`Task::runtime`](super::Task::runtime) is an index of this list.
    pub runtimes: Vec<RuntimeInfo>,
    /// How the reading went.
    pub reading: Reading,
    /// The operating system's figures on the process.
    pub process: ProcessFigures,
    /// Warnings about this snapshot for the user, one sentence each.
    pub warnings: Vec<String>,
}

/// What kind of thing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SourceKind {
    /// A live process.
    #[default]
    Process,
    /// A core file.
    Core,
    /// Stacks of single tasks that the runtime printed itself: Go's debug=2, a crash, a log that contains one.
    Dump,
    /// Counted stacks without single tasks: Go's debug=1, a pprof file. A row of
    /// [`Snapshot::tasks`](super::Snapshot::tasks) stands for the counted number of equal tasks, see
    /// [`Task::twins`](super::Task::twins).
    Profile,
}

/// The process (or the process that left the core file).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TargetInfo {
    /// What kind of thing was read.
    pub source: SourceKind,
    /// The pid in loiter's pid namespace; for a core file the pid that it names. None if unknown, like for dumps.
    pub pid: Option<u32>,
    /// Short name, for people: what the process was started as, mostly the file name of the executable; of a dump the name of
    /// its file. Empty if there is none.
    pub name: String,
    /// The arguments, as the process sees them.
    pub command: Vec<String>,
    /// Path of the executable as the process sees it. None if unknown.
    pub exe: Option<String>,
    /// GNU or Go build id of the executable, hexadecimal or Go's own text. None if it has none.
    pub build_id: Option<String>,
    /// When the process started, clock ticks since boot (field 22 of /proc/PID/stat). None if unknown.
    pub start_ticks: Option<u64>,
    /// How long the process has been running, nanoseconds. None if unknown.
    pub age_ns: Option<u64>,
    /// Host name of the machine that it ran on. None if unknown.
    pub host: Option<String>,
}

/// How the reading went.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Reading {
    /// How running tasks were read.
    pub mode: ReadMode,
    /// Nanoseconds from the first read of the target's memory to the last.
    pub duration_ns: u64,
    /// Nanoseconds for which the whole target was stopped. 0 without `--freeze`.
    pub pause_ns: u64,
    /// Threads stopped one at a time to read their registers.
    pub threads_stopped: u32,
    /// The longest time that a single thread was stopped, nanoseconds.
    pub longest_thread_stop_ns: u64,
    /// Tasks read again because they moved while they were being read.
    pub retried: u64,
    /// Tasks that kept moving: marked [`StackStatus::Torn`](super::StackStatus::Torn).
    pub torn: u64,
    /// Tasks that were listed but had ended (or were not yet in use) when they were read.
    pub ended: u64,
    /// CPU time spent looking for holders of locks, nanoseconds.
    pub holders_ns: u64,
    /// Tasks whose held locks were not looked for, because that would have taken too long. The next reading
    /// of the same process looks for them.
    pub holders_not_asked: u64,
    /// Tasks that were listed but are not in the snapshot, because their memory could not be read: it is not
    /// in the core file. Some of them may have ended.
    pub missing: u64,
    /// Tasks whose stacks could not be read completely for the same reason:
    /// [`StackStatus::Missing`](super::StackStatus::Missing).
    pub missing_stacks: u64,
    /// Size of the core file, bytes. None for any other source.
    pub core_bytes: Option<u64>,
    /// Bytes that the core file lacks according to its own headers: it was cut.
    pub core_bytes_missing: u64,
}

/// How running tasks were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadMode {
    /// Only the threads that ran tasks were stopped, one at a time.
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
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct RuntimeInfo {
    /// "go", "tokio", "registry".
    pub name: String,
    /// Version with the runtime's name, as the runtime gives it: "go1.24.3". None if unknown.
    pub version: Option<String>,
    /// What distinguishes this build: "stripped", "pie", "cgo".
    pub flavour: Vec<String>,
    /// The word for one of its tasks: "goroutine".
    pub task_noun: String,
    /// The main module or package of the program, if known.
    pub module: Option<String>,
    /// The modules that the program was built from, the main one first, as its build information lists them.
    /// Empty if unknown.
    pub modules: Vec<Module>,
    /// What a task's age means for this runtime, a sentence. None if ages are never known.
    pub age_meaning: Option<String>,
    /// The origin of struct layouts and addresses, one line each (shown with -v).
    pub provenance: Vec<String>,
    /// The scheduler at that moment.
    pub scheduler: Scheduler,
    /// The garbage-collected heap at that moment, if the runtime has one.
    pub heap: Option<Heap>,
}

/// A module that a program was built from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Module {
    /// Its path: "golang.org/x/net". Packages below it begin with it and a slash.
    pub path: String,
    /// Its version: "v0.19.0", "(devel)". None if unknown.
    pub version: Option<String>,
}

/// The scheduler at that moment.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Scheduler {
    /// What runs tasks: Go's Ps, Tokio's workers.
    pub workers: Vec<Worker>,
    /// The word for a worker: "P", "worker".
    pub worker_noun: String,
    /// The number of workers that the program allows: GOMAXPROCS.
    pub max_workers: Option<u32>,
    /// Length of the workers' shared queue.
    pub global_queue: Option<u64>,
    /// Threads that the runtime has created: Go's Ms.
    pub threads: Option<u32>,
    /// Parked threads among them.
    pub idle_threads: Option<u32>,
    /// Tasks ever created.
    pub tasks_created: Option<u64>,
    /// Task structures ever created; the other `tasks_created` reused one.
    pub structs_made: Option<u64>,
}

/// One of the scheduler's workers.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Worker {
    /// Its number.
    pub id: u32,
    /// The runtime's own word for what it does: "idle", "running", "syscall", "gcstop".
    pub status: String,
    /// Tasks in its own run queue.
    pub queue: u32,
}

/// The garbage-collected heap at that moment.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Heap {
    /// Bytes in spans in use.
    pub in_use: Option<u64>,
    /// Heap size from which the next collection is due, bytes.
    pub next_gc: Option<u64>,
    /// Collections completed.
    pub collections: Option<u64>,
    /// Stop-the-world pause of the last collection, nanoseconds.
    pub last_pause_ns: Option<u64>,
}

/// The operating system's figures on the process.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
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

impl Module {
    /// A module.
    pub fn new(path: impl Into<String>, version: Option<String>) -> Self {
        Module { path: path.into(), version }
    }
}

/// Path and, if known, version: "golang.org/x/net v0.19.0".
impl std::fmt::Display for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

impl Worker {
    /// A worker: its number, the runtime's word for what it does, and the tasks in its own run queue.
    pub fn new(id: u32, status: impl Into<String>, queue: u32) -> Self {
        Worker { id, status: status.into(), queue }
    }
}
