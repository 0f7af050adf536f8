//! What findings mean and what to do next, in words: a table.

use crate::analysis::leaks::Cause;

/// A cause in words, and the advice for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The name of the cause in files.
    pub cause_kind: &'static str,
    /// What it means.
    pub cause: &'static str,
    /// The name of the advice in files.
    pub next_kind: &'static str,
    /// What to do next.
    pub next: &'static str,
}

macro_rules! meanings {
    ($($cause:ident: $cause_kind:literal, $text:literal; $next_kind:literal, $next:literal;)*) => {
        /// A cause in words, and what to do next.
        pub fn meaning(cause: Cause) -> Meaning {
            match cause {
                $(Cause::$cause => Meaning {
                    cause_kind: $cause_kind,
                    cause: $text,
                    next_kind: $next_kind,
                    next: $next,
                },)*
            }
        }

        /// Every cause.
        #[cfg(test)]
        pub(super) const CAUSES: &[Cause] = &[$(Cause::$cause),*];
    };
}

meanings! {
    NilChannel:
        "nil-channel", "the channel was never made, or was set to nil";
        "make-channel", "make the channel before the task starts; look for a variable that is declared but not \
            assigned, and for a struct that was copied before its channel was made";
    NoCases:
        "no-cases", "the select has no cases, so the task blocks forever, on purpose or by mistake";
        "wait-for-end", "wait for a context or a channel that ends the task instead";
    WakerGone:
        "waker-gone", "whatever should have ended the wait is gone";
        "find-waker", "check which other tasks held the channel or lock, and why each returned early";
    ReceiverGone:
        "receiver-gone", "the receiver is gone: it probably returned early, at the first answer, an error or a timeout";
        "buffer-channel", "buffer the channel for every sender, or let senders select on a context that is cancelled \
            when the receiver returns";
    ReceiverSlow:
        "receiver-slow", "the receiver is too slow, stuck or gone";
        "check-receiver", "look at the task that should receive from the channel";
    BodyNotClosed:
        "body-not-closed", "response bodies are not closed, so their connections can neither be reused nor end";
        "close-body", "defer response.Body.Close() after every request that succeeds, and read the body to its end";
    LibraryNotClosed:
        "library-not-closed", "something from this library is created again and again, and never closed or stopped";
        "close-library", "look for its Close, Stop, Shutdown or cancel function, or create it once and share it";
    RangeNotClosed:
        "range-not-closed", "a loop over a channel (or a check whether it is closed) waits, and nothing closes the channel";
        "close-channel", "close the channel after the last send, on every path: defer close(...) in the sender";
    NotCancelled:
        "not-cancelled", "the wait is for a context that is never cancelled, or for a done channel that is never closed";
        "cancel", "call the cancel function on every path (defer cancel()), or close the channel";
    SenderGone:
        "sender-gone", "the wait is for a value that is never sent: the sender probably returned early or never started";
        "always-send", "send or close on every path of the sender, including errors, or also select on ctx.Done()";
    SelectUnused:
        "select-unused", "none of the channels of the select is used or closed any more";
        "add-done-case", "add a case for a context that is cancelled, or close the existing done channel on every path";
    DoneMissing:
        "done-missing", "the wait group does not reach zero: Done is missing on some path, or the counted tasks are stuck";
        "defer-done", "defer Done as the first statement of each counted task, and check whether those tasks are still \
            alive";
    NotSignalled:
        "not-signalled", "the condition is never signalled: it was changed without a signal, or it never changes";
        "signal", "signal or broadcast wherever the condition changes, and also when the work is given up";
    NotReleased:
        "not-released", "the semaphore is never released";
        "release", "release it on every path of the tasks that hold it";
    JoinedNotEnding:
        "joined-not-ending", "the tasks that are waited for do not end";
        "check-joined", "look at what those tasks wait for";
    TickerNotStopped:
        "ticker-not-stopped", "loops around a timer or ticker are started and never stopped";
        "stop-ticker", "give the loop a context or done channel that ends it, and stop the ticker, too";
    SleepLoop:
        "sleep-loop", "loops that sleep are started and never end";
        "limit-loop", "give the loop a limit, or a context that ends it";
    NoDeadline:
        "no-deadline", "the peers are silent, and no deadline ends the wait";
        "set-deadline", "set a deadline before each read and write (or a timeout of the client or server), and close the \
            connection";
    NotReady:
        "not-ready", "what is read or written is not ready, and nothing closes it";
        "close-file", "close it where it is given up, or set a deadline";
    CallNotReturning:
        "call-not-returning", "a system call or foreign code does not return, and also holds a thread";
        "check-calls", "look at the innermost frames and at the number of threads";
    Overload:
        "overload", "more work is started than finished";
        "limit-starts", "limit how much is started at once";
    NotJoined:
        "not-joined", "tasks have ended, and their handles are kept and never awaited: so their results stay";
        "drop-handles", "await the handles, or drop those whose results nobody needs";
    TimerFarAhead:
        "timer-far-ahead", "the timer is so far ahead that it ends no wait: \"for ever\" on purpose, a wrong unit, or an overflow";
        "check-duration", "check how the time is computed; a task that should wait for ever is better ended by a signal";
    NotEnding:
        "not-ending", "tasks are started and do not end";
        "check-waits", "look at what each task waits for, and what should have ended it";
    NeverCame:
        "never-came", "what is waited for never came";
        "compare-ended", "compare with the tasks that ended, and look for the path that wakes nobody";
    LockedTwice:
        "locked-twice", "deadlock: a task waits for a lock that it holds itself, because one path locks it twice";
        "split-function", "never lock what a caller already holds: split the function into one that locks and one that \
            expects the lock to be held";
    LockUpgrade:
        "lock-upgrade", "deadlock: a task holds a lock for reading and waits to lock it for writing, so it waits for \
            itself";
        "unlock-first", "unlock for reading first, and check again what was read once the lock is held for writing";
    ReadLockedTwice:
        "read-locked-twice", "deadlock: a task read-locks twice with a writer in between, and a waiting writer blocks new \
            readers";
        "read-lock-once", "read-lock once: while the lock is held, never call a function that locks it again";
    LockOrder:
        "lock-order", "deadlock: a cycle of locks, which are taken in different orders";
        "order-locks", "take locks in one order everywhere (by address or name), and never lock what a caller already \
            holds";
    LockOrderGuessed:
        "lock-order-guessed", "probably a deadlock: locks are taken in different orders, or one task locks twice";
        "order-locks", "take locks in one order everywhere (by address or name), and never lock what a caller already \
            holds";
    LockContended:
        "lock-contended", "the lock changes hands, but is held too long or taken too often";
        "shorten-critical-section", "shorten the critical section, or shard the lock";
    LockHeldTooLong:
        "lock-held-too-long", "the lock is held too long or taken too often";
        "shorten-critical-section", "shorten the critical section, or shard the lock";
    LockContendedOrOverwritten:
        "lock-contended-or-overwritten", "the lock changes hands, but is held too long or taken too often; or it was \
            overwritten while tasks waited";
        "do-not-copy-lock", "shorten the critical section, or shard the lock; never copy or assign a lock that is in use";
    HolderBlockedForever:
        "holder-blocked-forever", "the holder will never run again, and keeps the lock";
        "check-holder", "look at what the holder waits for; do not hold a lock during a wait that may be long or never end";
    HolderWaitsForLock:
        "holder-waits-for-lock", "the holder waits for another lock, and the holder of that one is not known";
        "check-second-lock", "look at the other lock, and at why it is taken while this one is held";
    HolderWaits:
        "holder-waits", "the holder waits for something else and keeps the lock meanwhile";
        "check-holder", "look at what the holder waits for; do not hold a lock during a wait that may be long or never end";
    HolderWaitsGuessed:
        "holder-waits-guessed", "the probable holder waits for something else and keeps the lock meanwhile";
        "check-holder", "look at what the holder waits for; do not hold a lock during a wait that may be long or never end";
    HolderUnclear:
        "holder-unclear", "the holder was not found: perhaps one of the tasks that know the lock, perhaps none any more, \
            after a return without Unlock";
        "check-candidates", "look at what those tasks do under the lock; defer Unlock right after Lock";
    RUnlockMissing:
        "runlock-missing", "it is held for reading, and no task is left to unlock it: a return without RUnlock, or a task \
            that read-locks twice while a writer waits";
        "defer-unlock", "defer Unlock right after Lock; look for returns and panics in between, and for callers that \
            already hold the lock";
    UnlockMissing:
        "unlock-missing", "it is held, and no task is left to unlock it: a return or a panic without Unlock, or a holder \
            that could not be read";
        "defer-unlock", "defer Unlock right after Lock; look for returns and panics in between, and for callers that \
            already hold the lock";
    UnlockerUnknown:
        "unlocker-unknown", "no task was found that could unlock it: a return without Unlock, a task that locks twice, or \
            a holder in another function";
        "defer-unlock", "defer Unlock right after Lock; look for returns and panics in between, and for callers that \
            already hold the lock";
    Throttled:
        "throttled", "the kernel stops the process for part of every period when all workers are busy";
        "set-workers", "set GOMAXPROCS (or the number of workers) to what the process is granted";
    WorkersCompete:
        "workers-compete", "workers compete for CPUs when all are busy";
        "set-workers", "set GOMAXPROCS (or the number of workers) to what the process is granted";
    IdleCpus:
        "idle-cpus", "CPUs are idle while tasks wait to run";
        "set-workers", "set GOMAXPROCS (or the number of workers) to what the process is granted";
    WorkersBusy:
        "workers-busy", "there is more work than the workers can do";
        "profile-cpu", "look at what runs (a CPU profile), and at what starts so many tasks";
    BlocksWorker:
        "blocks-worker", "a call that blocks keeps a worker of the scheduler: the tasks that are queued there wait for it";
        "move-call", "use the asynchronous form of the call, or move it to a thread that may block (spawn_blocking)";
    HotLoop:
        "hot-loop", "a computation takes all the time, or a loop never waits for anything";
        "record-cpu", "loiter record shows where the CPU time goes; a loop that polls needs something to wait for";
}
