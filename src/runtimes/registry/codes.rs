//! The meaning of the format's numbers.

use crate::snapshot::{ObjectKind, TaskState, WaitClass, WaitOp};

/// The state of a task. Numbers of later versions are unknown.
pub(super) fn state(number: u32) -> TaskState {
    match number {
        1 | 5 => TaskState::Runnable,
        2 => TaskState::Running,
        3 => TaskState::Waiting,
        4 => TaskState::Finished,
        _ => TaskState::Unknown,
    }
}

/// Why a task waits; empty if not given.
pub(super) fn reason(number: u32) -> &'static str {
    match number {
        1 => "channel send",
        2 => "channel receive",
        3 => "lock",
        4 => "read lock",
        5 => "write lock",
        6 => "semaphore",
        7 => "notification",
        8 => "join",
        9 => "sleep",
        10 => "read",
        11 => "write",
        12 => "I/O",
        13 => "barrier",
        14 => "select",
        15 => "yield",
        16 => "blocking call",
        17 => "work",
        _ => "",
    }
}

/// The class of that wait.
pub(super) fn wait_class(reason: u32) -> WaitClass {
    match reason {
        1 => WaitClass::Send,
        2 => WaitClass::Receive,
        3..=5 => WaitClass::Lock,
        6 => WaitClass::Semaphore,
        7 => WaitClass::Cond,
        8 => WaitClass::Join,
        9 => WaitClass::Sleep,
        10..=12 => WaitClass::Io,
        14 => WaitClass::Select,
        16 => WaitClass::Call,
        _ => WaitClass::Other,
    }
}

/// The operation of a task that waits for this reason, and the kind of its object.
pub(super) fn wait(reason: u32) -> (WaitOp, ObjectKind) {
    match reason {
        1 => (WaitOp::Send, ObjectKind::Channel),
        2 => (WaitOp::Receive, ObjectKind::Channel),
        3 => (WaitOp::Lock, ObjectKind::Mutex),
        4 => (WaitOp::ReadLock, ObjectKind::RwMutex),
        5 => (WaitOp::Lock, ObjectKind::RwMutex),
        6 => (WaitOp::Wait, ObjectKind::Semaphore),
        7 => (WaitOp::Wait, ObjectKind::Cond),
        _ => (WaitOp::Wait, ObjectKind::Other),
    }
}

/// The kind of a task that is not a plain asynchronous one.
pub(super) fn kind(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "blocking",
        2 => "thread",
        3 => "actor",
        4 => "fiber",
        5 => "local",
        6 => "callback",
        7 => "future",
        _ => return None,
    })
}

/// Whether it is a thread, or a task that is bound to one.
pub(super) fn is_bound_to_thread(kind: u32) -> bool {
    matches!(kind, 2 | 5)
}

/// What runs the tasks.
pub(super) fn runtime(kind: u32) -> Option<&'static str> {
    Some(match kind {
        1 => "tokio",
        2 => "thread pool",
        3 => "actors",
        4 => "async",
        5 => "fibers",
        6 => "event loop",
        _ => return None,
    })
}
