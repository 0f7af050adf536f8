//! Which lock a semaphore belongs to, decided by the function that waits for it.
//!
//! Source: `src/sync/mutex.go` (`internal/sync` from 1.24), `rwmutex.go`, `waitgroup.go`, `cond.go`.

use crate::snapshot::{ObjectKind, WaitOp};

/// What a goroutine waits for, and where it begins, given the address of its semaphore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) kind: ObjectKind,
    pub(super) op: WaitOp,
    /// Bytes from the start of the lock to its semaphore (or list of waiters).
    pub(super) offset: u64,
}

const SEMAPHORE: Lock = Lock { kind: ObjectKind::Semaphore, op: WaitOp::Wait, offset: 0 };
/// `Mutex { state int32; sema uint32 }`
const MUTEX: Lock = Lock { kind: ObjectKind::Mutex, op: WaitOp::Lock, offset: 4 };
/// `RWMutex { w Mutex; writerSem, readerSem uint32; ... }`
const RW_WRITER: Lock = Lock { kind: ObjectKind::RwMutex, op: WaitOp::Lock, offset: 8 };
const RW_READER: Lock = Lock { kind: ObjectKind::RwMutex, op: WaitOp::ReadLock, offset: 12 };
const RW_INNER: Lock = Lock { kind: ObjectKind::RwMutex, op: WaitOp::Lock, offset: 4 };
/// `WaitGroup { state uint64; sema uint32 }`, so far in every version.
const WAIT_GROUP: Lock = Lock { kind: ObjectKind::WaitGroup, op: WaitOp::Wait, offset: 8 };
/// `Cond { L Locker; notify notifyList; ... }`
const COND: Lock = Lock { kind: ObjectKind::Cond, op: WaitOp::Wait, offset: 16 };

/// What a function of a lock does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LockOp {
    /// Takes it, or tries to.
    Lock { shared: bool },
    /// Unlocks it.
    Unlock { shared: bool },
}

impl LockOp {
    /// What the function with this name does, if it is a lock's function.
    pub(super) fn of(function: &str) -> Option<Self> {
        let function = function.strip_prefix("internal/").unwrap_or(function).strip_prefix("sync.(*")?;
        let (kind, method) = function.split_once(").")?;
        match (kind, method) {
            ("Mutex" | "RWMutex", "Lock" | "TryLock") => Some(LockOp::Lock { shared: false }),
            ("Mutex" | "RWMutex", "Unlock") => Some(LockOp::Unlock { shared: false }),
            ("RWMutex", "RLock" | "TryRLock") | ("rlocker", "Lock") => Some(LockOp::Lock { shared: true }),
            ("RWMutex", "RUnlock") | ("rlocker", "Unlock") => Some(LockOp::Unlock { shared: true }),
            _ => None,
        }
    }
}

/// `RWMutex.readerCount`, which readers change: bytes from the start of the lock.
pub(super) const READER_COUNT: u64 = 16;

/// Is this function part of taking a lock, or of waiting in general?
pub(super) fn is_waiting_code(function: &str) -> bool {
    ["runtime.", "sync.runtime_", "internal/sync.runtime_"].iter().any(|prefix| function.starts_with(prefix))
        || [
            "sync.(*Mutex).",
            "internal/sync.(*Mutex).",
            "sync.(*RWMutex).",
            "sync.(*rlocker).",
            "sync.(*Cond).",
        ]
        .iter()
        .any(|prefix| function.starts_with(prefix))
}

/// Does this function wait for a lock that was not free at once? Its caller takes the lock.
pub(super) fn waits_for_lock(function: &str) -> bool {
    is_waiting_code(function)
        && (function.ends_with(".lockSlow")
            || function.contains("runtime_SemacquireMutex")
            || function.contains("runtime_SemacquireRWMutex"))
}

/// Decides by the functions of the stack, innermost first. `reason` helps where there is no stack.
pub(super) fn lock<'a>(functions: impl Iterator<Item = &'a str>, reason: &str) -> Lock {
    let mut mutex = false;
    for function in functions {
        match function {
            "sync.(*RWMutex).RLock" => return RW_READER,
            "sync.(*RWMutex).Lock" => return if mutex { RW_INNER } else { RW_WRITER },
            "sync.(*WaitGroup).Wait" => return WAIT_GROUP,
            "sync.(*Cond).Wait" => return if mutex { MUTEX } else { COND },
            "sync.(*Mutex).Lock"
            | "sync.(*Mutex).lockSlow"
            | "internal/sync.(*Mutex).Lock"
            | "internal/sync.(*Mutex).lockSlow" => mutex = true,
            name if name.starts_with("runtime.") || name.starts_with("sync.runtime_") => {}
            name if name.starts_with("internal/sync.runtime_") => {}
            _ if mutex => return MUTEX,
            _ => return by_reason(reason),
        }
    }
    if mutex { MUTEX } else { by_reason(reason) }
}

fn by_reason(reason: &str) -> Lock {
    match reason {
        "sync.Mutex.Lock" => MUTEX,
        "sync.RWMutex.RLock" => RW_READER,
        "sync.RWMutex.Lock" => RW_WRITER,
        "sync.WaitGroup.Wait" => WAIT_GROUP,
        "sync.Cond.Wait" => COND,
        _ => SEMAPHORE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_locks_are_known() {
        let lock = |shared| Some(LockOp::Lock { shared });
        let unlock = |shared| Some(LockOp::Unlock { shared });
        assert_eq!(LockOp::of("sync.(*Mutex).Lock"), lock(false));
        assert_eq!(LockOp::of("internal/sync.(*Mutex).TryLock"), lock(false));
        assert_eq!(LockOp::of("sync.(*RWMutex).RLock"), lock(true));
        assert_eq!(LockOp::of("sync.(*RWMutex).Unlock"), unlock(false));
        assert_eq!(LockOp::of("sync.(*rlocker).Unlock"), unlock(true));
        for other in ["sync.(*Mutex).lockSlow", "sync.(*Once).Do", "main.(*Mutex).Lock", "sync.(*Pool).Get"] {
            assert_eq!(LockOp::of(other), None, "{other}");
        }
        assert!(is_waiting_code("sync.(*Mutex).lockSlow") && is_waiting_code("runtime.gopark"));
        assert!(!is_waiting_code("sync.(*Once).doSlow") && !is_waiting_code("main.main"));
    }

    #[test]
    fn the_function_that_waits_tells() {
        let of = |functions: &[&str]| lock(functions.iter().copied(), "semacquire");
        assert_eq!(
            of(&["runtime.gopark", "sync.runtime_SemacquireMutex", "sync.(*Mutex).lockSlow", "main.f"]),
            MUTEX
        );
        assert_eq!(of(&["sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock", "sync.(*RWMutex).Lock"]), RW_INNER);
        assert_eq!(of(&["sync.runtime_SemacquireRWMutex", "sync.(*RWMutex).Lock", "main.f"]), RW_WRITER);
        assert_eq!(of(&["sync.runtime_SemacquireRWMutexR", "sync.(*RWMutex).RLock"]), RW_READER);
        assert_eq!(
            of(&["runtime.semacquire", "sync.runtime_Semacquire", "sync.(*WaitGroup).Wait"]),
            WAIT_GROUP
        );
        assert_eq!(of(&["internal/poll.runtime_Semacquire", "internal/poll.(*fdMutex).rwlock"]), SEMAPHORE);
        // Woken by Signal, a waiter takes the lock of its condition variable again.
        assert_eq!(of(&["sync.(*Mutex).lockSlow", "sync.(*Cond).Wait", "main.f"]), MUTEX);
        assert_eq!(lock([].into_iter(), "sync.Cond.Wait"), COND);
    }
}
