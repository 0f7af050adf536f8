//! What a finding means.

/// What a finding means; `report` words it and adds what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The channel was never made, or was set to nil.
    NilChannel,
    /// A select without cases blocks on purpose or by mistake.
    NoCases,
    /// What should have woken the tasks has gone.
    WakerGone,
    /// The receiver has gone.
    ReceiverGone,
    /// The receiver is slow, stuck or gone.
    ReceiverSlow,
    /// Bodies of HTTP responses are not closed.
    BodyNotClosed,
    /// A library's resource is created again and again and never closed.
    LibraryNotClosed,
    /// The channel that tasks loop over is never closed.
    RangeNotClosed,
    /// The context is never cancelled, or the done channel never closed.
    NotCancelled,
    /// The value is never sent.
    SenderGone,
    /// None of the channels of a select is used any more.
    SelectUnused,
    /// A wait group never reaches zero.
    DoneMissing,
    /// The condition is never signalled.
    NotSignalled,
    /// The semaphore is never released.
    NotReleased,
    /// The joined tasks do not end.
    JoinedNotEnding,
    /// Loops around a timer or ticker are never stopped.
    TickerNotStopped,
    /// Loops that sleep never end.
    SleepLoop,
    /// The network peers are silent, and there is no deadline.
    NoDeadline,
    /// A file, pipe or device is not ready, and is never closed.
    NotReady,
    /// A system call or foreign code does not return.
    CallNotReturning,
    /// More work is started than is finished.
    Overload,
    /// Tasks have ended, and nobody takes their results.
    NotJoined,
    /// A timer is so far ahead that it will not end the wait.
    TimerFarAhead,
    /// Tasks are started and do not end.
    NotEnding,
    /// What some of the tasks wait for never came.
    NeverCame,
    /// A task waits for a lock that it holds itself.
    LockedTwice,
    /// A task holds a lock for reading and waits to lock it for writing.
    LockUpgrade,
    /// A task reads twice, with a writer in between.
    ReadLockedTwice,
    /// A cycle of locks that are taken in different orders.
    LockOrder,
    /// The same, as a guess: the holders of the locks are not known.
    LockOrderGuessed,
    /// The lock changes hands, but slowly.
    LockContended,
    /// The lock is held too long or taken too often.
    LockHeldTooLong,
    /// The lock changes hands, or it was overwritten while tasks waited.
    LockContendedOrOverwritten,
    /// The holder of the lock will never run again.
    HolderBlockedForever,
    /// The holder waits for another lock, whose holder is not known.
    HolderWaitsForLock,
    /// The holder waits for something else.
    HolderWaits,
    /// The same, as a guess.
    HolderWaitsGuessed,
    /// The holder of the lock could not be determined.
    HolderUnclear,
    /// No task is left to unlock a lock that is held for reading.
    RUnlockMissing,
    /// No task is left to unlock the lock.
    UnlockMissing,
    /// No task was found that could unlock the lock.
    UnlockerUnknown,
    /// There are more scheduler workers than the CPU time that a cgroup grants.
    Throttled,
    /// The workers compete for CPUs.
    WorkersCompete,
    /// CPUs are idle while tasks are ready to run.
    IdleCpus,
    /// There is more work than the workers can do.
    WorkersBusy,
    /// A call that blocks keeps a worker from running other tasks.
    BlocksWorker,
    /// Tasks compute all the time, or a loop never waits.
    HotLoop,
}
