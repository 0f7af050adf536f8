//! What rules saw, as data. `report` words it, once for every format.
//!
//! Counts are of tasks unless a field says otherwise; times are nanoseconds. Evidence speaks of the tasks
//! of the finding that it belongs to.

use crate::analysis::waits::{Channels, Senders};
use crate::snapshot::WaitClass;
use crate::snapshot::{Module, ObjectKind, WaitOp};

mod cause;
mod lock;
mod reason;

pub use cause::Cause;
pub use lock::{CycleStep, LockEvidence, LockName, LockUse, TaskName};
pub use reason::{Doubt, Outlook, RestName, Steady, Why};

/// One thing that a rule saw.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// They wait on a channel that is nil.
    NilChannel,
    /// They are in a select without cases.
    NoCases,
    /// The runtime has proved that nothing can wake them.
    ProvedByRuntime,
    /// Their number rises.
    Rise {
        /// How many there were in the first reading.
        first: u64,
        /// How many there are now.
        now: u64,
        /// The confidence that the number rises, 0 to 1. None if there were too few readings to say.
        confidence: Option<f64>,
    },
    /// How many came and went while watched.
    Flow(Flow),
    /// Single tasks cannot be distinguished, so it is unknown how many ended.
    EndsUnknown,
    /// The rate of the rise explains their number over the whole life of the process.
    LifelongRise {
        /// How old the process is.
        process_age_ns: u64,
    },
    /// The process is so young that tasks of long but limited life look the same.
    YoungProcess {
        /// How old it is.
        process_age_ns: u64,
    },
    /// They sleep or wait for a timer, and none woke up while watched.
    NoneWoke,
    /// They are of a kind that is normally parked.
    UsuallyParked {
        /// What they are: "accept loops".
        what: &'static str,
        /// Why they are parked.
        why: &'static str,
    },
    /// A program normally has only a few of them.
    FewExpected {
        /// What they are: "accept loops".
        what: &'static str,
    },
    /// They run or are ready to run.
    Runnable,
    /// What they wait for, by the objects themselves.
    Waits(ObjectWaits),
    /// What they wait for, where the objects are not known.
    WaitsFor(WaitClass),
    /// Some have been blocked for long.
    Blocked {
        /// How many.
        tasks: u64,
        /// All of them have been for at least this long.
        at_least_ns: u64,
    },
    /// They have ended, and something still refers to them.
    Ended {
        /// How many.
        tasks: u64,
        /// All of them ended at least this long ago.
        at_least_ns: u64,
    },
    /// They wait for nothing but a timer that is due far in the future.
    DueIn {
        /// How many.
        tasks: u64,
        /// The first of these timers is due in this time.
        at_least_ns: u64,
    },
    /// There are many, and it is unknown how long they have waited.
    AgeUnknown {
        /// How many.
        tasks: u64,
    },
    /// What wait groups say of themselves.
    OutstandingDone {
        /// Calls of Done that are missing.
        calls: u64,
        /// How many wait groups.
        groups: u64,
    },
    /// Connections of an HTTP client wait for the end of a response's body.
    UnreadBodies,
    /// The tasks that write to the same connections grow, too.
    WritersGrow {
        /// How many there are.
        tasks: u64,
    },
    /// A module other than the program's own starts them.
    StartedByModule(Module),
    /// They are much older than other tasks of the same origin ever get.
    Outlived(Outlived),
    /// Tasks of the first reading end more rarely than newer ones.
    FewerEnded {
        /// How many of the first reading have ended.
        ended: u64,
        /// How many would have ended at the rate of newer ones.
        expected: f64,
    },
    /// What is known of locks and of the tasks that hold them.
    Lock(LockEvidence),
    /// The scheduler's workers, and the CPUs that the process may use.
    Workers {
        /// How many workers.
        workers: u64,
        /// What one of them is called: "P".
        worker: String,
        /// CPUs, in thousandths.
        cpu_milli: u64,
        /// What limits the CPUs.
        limit: CpuLimit,
    },
    /// Tasks that every one of the last readings found running or ready to run.
    AlwaysBusy {
        /// How many tasks.
        tasks: u64,
        /// In how many readings in a row at least.
        readings: u64,
        /// The function that they are in, raw from the target. None if unknown.
        function: Option<String>,
        /// Ids of some of them.
        ids: Vec<u64>,
    },
    /// Tasks that every one of the last readings found in the same system call, on a worker of the scheduler.
    BlocksWorker {
        /// How many tasks.
        tasks: u64,
        /// In how many readings in a row at least.
        readings: u64,
        /// The function that they are in, raw from the target. None if unknown.
        function: Option<String>,
        /// Ids of some of them.
        ids: Vec<u64>,
    },
    /// Tasks that could run waited for a worker in some of the readings.
    RunQueue {
        /// In how many readings.
        readings: u64,
        /// Out of how many.
        of: u64,
        /// In each of them at least this many tasks waited.
        at_least: u64,
    },
}

/// How many tasks came to a place and left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Created since the first reading.
    pub created: u64,
    /// Tasks that were elsewhere before.
    pub arrived: u64,
    /// Ended since the first reading.
    pub ended: u64,
    /// Tasks that are elsewhere now.
    pub left: u64,
}

/// Tasks that wait in one way for objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectWaits {
    /// What they want to do.
    pub op: WaitOp,
    /// The kind of the objects.
    pub object: ObjectKind,
    /// For channels: the type of the elements; empty if unknown.
    pub element: String,
    /// The object is one of several that a task selects on.
    pub selects: bool,
    /// How many waits there are; a task that selects may have several.
    pub waits: u64,
    /// How many different objects there are.
    pub objects: u64,
    /// What the channels have in common. None for other objects and for timers, which send without waiting.
    pub channels: Option<Channels>,
    /// Who can still send on the channels. None if it is not known of all of them.
    pub senders: Option<Senders>,
}

/// Tasks that are much older than other tasks of the same origin ever get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlived {
    /// How many.
    pub tasks: u64,
    /// All of them have been blocked for at least this long.
    pub at_least_ns: u64,
    /// How many other tasks with the same creator have ended.
    pub others: u64,
    /// The longest life of those other tasks.
    pub others_within_ns: u64,
}

/// What limits the CPUs of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CpuLimit {
    /// Its CPU affinity.
    Affinity,
    /// Its cgroup.
    Cgroup,
}
