//! What tasks wait for, and which locks they hold.

use super::ids::ObjectId;
use crate::code::{LocationId, StrId};

/// One thing that a task waits for, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wait {
    /// What the task wants to do.
    pub op: WaitOp,
    /// The object that it does it with.
    pub object: ObjectId,
}

/// What a waiting task wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WaitOp {
    /// Send on a channel.
    Send,
    /// Receive from a channel.
    Receive,
    /// Take a lock.
    Lock,
    /// Take a lock for reading.
    ReadLock,
    /// Wait for a signal, a counter or an event.
    Wait,
    /// Read from a descriptor.
    Read,
    /// Write to a descriptor.
    Write,
    /// Accept a connection.
    Accept,
    /// Connect.
    Connect,
    /// Be resumed, as a coroutine.
    Resume,
}

impl WaitOp {
    /// The name that commands and files use: "send".
    pub fn name(self) -> &'static str {
        match self {
            WaitOp::Send => "send",
            WaitOp::Receive => "receive",
            WaitOp::Lock => "lock",
            WaitOp::ReadLock => "read-lock",
            WaitOp::Wait => "wait",
            WaitOp::Read => "read",
            WaitOp::Write => "write",
            WaitOp::Accept => "accept",
            WaitOp::Connect => "connect",
            WaitOp::Resume => "resume",
        }
    }
}

/// A lock that a task seems to hold while other tasks wait for it, and the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The lock.
    pub object: ObjectId,
    /// How it is held, and how sure that is.
    pub how: HoldKind,
    /// The location on its stack from which its code goes on to unlock it. None if only the lock's address
    /// was found on the stack.
    pub location: Option<LocationId>,
}

/// How a lock is held, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HoldKind {
    /// Its code, read ahead from its present location, unlocks the lock before it could lock it again.
    Exclusive,
    /// The same, but it unlocks a reader-writer lock that it holds for reading.
    Shared,
    /// The lock's address is on its stack and it does not wait for the lock; no more is known. The same for a guard of the lock
    /// in a variable that may have been left there.
    Perhaps,
}

impl HoldKind {
    /// The name that commands and files use: "exclusive".
    pub fn name(self) -> &'static str {
        match self {
            HoldKind::Exclusive => "exclusive",
            HoldKind::Shared => "shared",
            HoldKind::Perhaps => "perhaps",
        }
    }
}

/// The kind of a wait object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A channel.
    Channel,
    /// A mutex.
    Mutex,
    /// A reader-writer lock.
    RwMutex,
    /// A wait group.
    WaitGroup,
    /// A condition variable.
    Cond,
    /// A semaphore of the runtime whose owner is unknown.
    Semaphore,
    /// Something else with an address.
    Other,
    /// An open descriptor. Its address is its number.
    Descriptor,
    /// A timer.
    Timer,
    /// A word of memory that threads wait for (futex) and that is no known lock.
    Futex,
    /// A process. Its address is its pid.
    Process,
    /// A task, whose end is waited for. Its address is [`Task::address`](super::Task::address); an actor
    /// ([`Action::End`](super::Action::End)) says which task it is.
    Task,
    /// A coroutine, such as the one behind Go's `iter.Pull`. The task that resumed it waits to receive from it; while none
    /// does, the coroutine waits to be resumed.
    Coroutine,
}

impl ObjectKind {
    /// The name that commands and files use: "channel".
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::Channel => "channel",
            ObjectKind::Mutex => "mutex",
            ObjectKind::RwMutex => "rw-mutex",
            ObjectKind::WaitGroup => "wait-group",
            ObjectKind::Cond => "cond",
            ObjectKind::Semaphore => "semaphore",
            ObjectKind::Other => "other",
            ObjectKind::Descriptor => "descriptor",
            ObjectKind::Timer => "timer",
            ObjectKind::Futex => "futex",
            ObjectKind::Process => "process",
            ObjectKind::Task => "task",
            ObjectKind::Coroutine => "coroutine",
        }
    }
}

/// Something that tasks wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitObject {
    /// What it is.
    pub kind: ObjectKind,
    /// Its address in the target; for a descriptor its number, for a process its pid.
    pub address: u64,
    /// For channels: the channel's state.
    pub channel: Option<Channel>,
    /// For locks and wait groups: their own state.
    pub lock: Option<LockState>,
}

/// The state of a lock or a wait group in its own memory. It does not name the holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// It has no holder: it is about to be given to a waiting task.
    Free,
    /// One task holds it exclusively.
    Exclusive,
    /// This many tasks hold it for reading.
    Shared(u32),
    /// This many have not reported yet that they are done.
    Outstanding(u32),
}

/// A channel at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Channel {
    /// Elements in its buffer.
    pub len: u64,
    /// Room in its buffer; 0 for an unbuffered channel.
    pub cap: u64,
    /// It was closed.
    pub closed: bool,
    /// Tasks that wait to send on it.
    pub senders: u32,
    /// Tasks that wait to receive from it.
    pub receivers: u32,
    /// `senders` or `receivers` is a lower bound: the list was too long to walk.
    pub more: bool,
    /// Name of the element type, if known.
    pub element: Option<StrId>,
}
