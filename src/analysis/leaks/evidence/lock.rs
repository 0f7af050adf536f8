//! What was seen of locks, as data.

use crate::analysis::signature::SignatureFrame;
use crate::snapshot::ObjectKind;

/// A task that evidence names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskName {
    /// What its runtime calls it: "goroutine".
    pub noun: String,
    /// Its id.
    pub id: Option<u64>,
    /// Address of the runtime's structure for it; 0 if unknown.
    pub address: u64,
    /// The innermost function that is not a lock's own. Empty if unknown.
    pub function: String,
}

/// A lock that evidence names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockName {
    /// What it is.
    pub kind: ObjectKind,
    /// Where it is.
    pub address: u64,
}

/// How a lock is held or wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockUse {
    /// For writing, or a mutex.
    Exclusive,
    /// For reading.
    Shared,
    /// Only of holders: a guard of it is in a variable, which may have been left there.
    Perhaps,
}

/// One task of a cycle, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleStep {
    /// The task that waits.
    pub task: TaskName,
    /// The lock that it waits for.
    pub lock: LockName,
    /// How it wants the lock.
    pub wants: LockUse,
    /// The next task of the cycle.
    pub next: TaskName,
    /// How the next task holds the lock. None: it does not hold it, but waits to lock it, which blocks readers.
    pub held: Option<LockUse>,
}

/// One thing that was seen of locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockEvidence {
    /// Tasks wait for locks.
    Waiters {
        /// How many tasks.
        tasks: u64,
        /// How many locks; 0 if their addresses are unknown.
        locks: u64,
        /// The lock, if there is only one.
        lock: Option<LockName>,
    },
    /// The longest of the waits.
    LongestWait {
        /// A lower bound.
        at_least_ns: u64,
    },
    /// Every reading found the same tasks waiting for the same locks. They may have run in between.
    SeenWaiting {
        /// For how long, at least.
        at_least_ns: u64,
    },
    /// Tasks have a guard of the lock in a variable, which may have been left there.
    Guards {
        /// How many.
        tasks: u64,
        /// For this long every reading has found one of them waiting for the same. 0 if none was.
        at_least_ns: u64,
    },
    /// At least this many waited in every reading.
    AlwaysWaiting {
        /// How many.
        at_least: u64,
    },
    /// Some of the locks say that they are free.
    FreeLocks {
        /// How many locks.
        locks: u64,
    },
    /// The lock says that it is free: it is being handed over.
    HandedOver {
        /// What it is.
        lock: ObjectKind,
    },
    /// The lock says how many hold it for reading.
    Readers {
        /// How many.
        readers: u64,
        /// How many of them were found.
        found: u64,
        /// Others wait to read behind a writer.
        blocked_by_writer: bool,
    },
    /// Every other task in the same functions waits for a lock, too.
    AllWait {
        /// How many wait for these locks.
        tasks: u64,
        /// How many locks these are.
        locks: u64,
    },
    /// The holders of the locks are a guess.
    HoldersGuessed,
    /// Both readers and writers wait.
    ReadersAndWriters {
        /// How many locks.
        locks: u64,
    },
    /// Tasks wait for each other.
    Cycle {
        /// The first steps of a short path around the cycle.
        steps: Vec<CycleStep>,
        /// How many more tasks are on that path.
        more_tasks: u64,
    },
    /// A task waits for a lock that it holds itself.
    SelfWait {
        /// The task.
        task: TaskName,
        /// The lock.
        lock: LockName,
        /// How it wants the lock.
        wants: LockUse,
        /// How it holds the lock.
        held: LockUse,
        /// Where it will unlock it, if known.
        unlocks: Option<SignatureFrame>,
    },
    /// A task waits behind a writer to read what it holds for reading already.
    ReadTwice {
        /// The task.
        task: TaskName,
        /// The lock.
        lock: LockName,
        /// Where the task will unlock it, if known.
        unlocks: Option<SignatureFrame>,
        /// The writer, which waits for the task.
        writer: TaskName,
    },
    /// There are more cycles of the same kinds of tasks.
    MoreCycles {
        /// How many cycles.
        cycles: u64,
        /// How many tasks are in them.
        tasks: u64,
    },
    /// More tasks wait for the locks of a cycle.
    AlsoWait {
        /// How many.
        tasks: u64,
    },
    /// Some of the locks have no known holder.
    WithoutHolder {
        /// How many locks.
        locks: u64,
        /// How many locks in all.
        of: u64,
    },
    /// More tasks than are named hold one of the locks.
    MoreHolders {
        /// How many.
        tasks: u64,
    },
    /// Holders will never run again.
    HoldersBlockedForever {
        /// How many.
        tasks: u64,
        /// How many holders there are.
        of: u64,
    },
    /// Holders have not moved for as long as the others wait.
    HoldersStill {
        /// How many.
        tasks: u64,
        /// How many holders there are.
        of: u64,
        /// The longest time that one of them has not moved.
        at_least_ns: u64,
        /// It may instead be the task that the holder waits for.
        or_next: bool,
    },
    /// No holder is known to have been blocked all the time.
    HoldersMove {
        /// How many holders there are.
        of: u64,
    },
    /// Other tasks are in the functions that take the lock, and may hold it.
    InSameFunctions {
        /// How many.
        tasks: u64,
        /// They have not moved for as long as the oldest waiter.
        still: bool,
    },
    /// The lock's address is on the stacks of other tasks, one of which may hold it.
    AddressOnStacks {
        /// How many.
        tasks: u64,
    },
    /// Holders were looked for, and nothing was found that would unlock the lock.
    NoUnlocker,
    /// No other task is in the functions that take the lock.
    NobodyElse,
}
