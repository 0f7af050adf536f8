//! Where chains end.

use super::graph::{Graph, Node, NodeId, Want};
use super::system::OtherEnd;
use crate::analysis::lore;
use crate::snapshot::{
    Action, Descriptor, DescriptorKind, Endpoint, LockState, ObjectKind, Protocol, RuntimeInfo, Snapshot,
    SocketState, TaskState, TimerState, WaitClass, WaitObject,
};

/// Where a chain ends, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// A task that runs.
    Running,
    /// A task that could run and has no worker: how many workers are busy, of how many.
    Runnable(Option<(u32, u32)>),
    /// A task that went on between the two readings.
    WentOn,
    /// A task that sleeps, or a thing that time ends: until this time on CLOCK_MONOTONIC, nanoseconds.
    Time(u64),
    /// A task that sleeps, or a timer, for a time that is not known.
    SomeTime,
    /// A task in a system call or in foreign code that is about no other task.
    InCall,
    /// The runtime's own work, such as a garbage collection.
    Runtime,
    /// The other end is elsewhere, or behind address translation.
    Outside,
    /// The kernel.
    Kernel,
    /// A person at a terminal.
    Terminal,
    /// It waits for connections.
    Clients,
    /// It waits for whatever happens to its descriptors: an event loop.
    Events,
    /// It waits for a change of the files that it watches.
    Files,
    /// It waits for a signal.
    Signal,
    /// Each end waits for the other one to do something.
    BothWait,
    /// A process has not accepted the connection.
    NotAccepted,
    /// Nothing can end it.
    DeadEnd(Dead),
    /// It waits for itself, through others.
    Cycle {
        /// Nothing else lets any of them go on, as far as everything is known.
        forever: bool,
        /// One of them waits for other things, too, or one of the links is a guess: it need not be a deadlock.
        open: bool,
    },
    /// It is not known.
    Unknown(Unknown),
}

/// Why nothing can end a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dead {
    /// No task, timer or variable refers to the object: all were examined.
    Nobody,
    /// The timer is stopped, and nobody else refers to it.
    StoppedTimer,
    /// The channel is nil.
    NilChannel,
    /// The select has no cases.
    NoCases,
    /// The runtime has proved it.
    Leaked,
}

/// Why a cause is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unknown {
    /// It is not known what the task waits for.
    Object,
    /// The holder of the lock was not found.
    Holder,
    /// It is not known who would wake it.
    Waker,
    /// The lock is being given to the next task.
    HandedOver,
    /// The channel is closed: its waiters are about to go on.
    Closed,
    /// It was not searched who acts on the object.
    NotSearched,
    /// No task refers to the object, but not everything could be examined.
    SearchIncomplete,
    /// A package variable holds the object: any task may act on it.
    Global,
    /// Nobody was found at the other end.
    FarEnd,
    /// Processes that may not be examined may have the other end.
    NoRights,
    /// The process at the other end was not read.
    ProcessNotRead,
    /// Which task of the process deals with it is not known.
    WhichTask,
    /// Something moved between the readings.
    Moved,
    /// What else was said about it, a clause.
    Because(String),
}

/// Why a chain ends at a node without edges.
pub(super) fn cause(graph: &Graph<'_>, id: NodeId) -> Cause {
    match graph.node(id) {
        None => Cause::Unknown(Unknown::Object),
        Some(Node::Task { .. }) => task(graph, id),
        Some(Node::Object { .. }) => object(graph, id),
        Some(Node::Descriptor { want, .. }) => descriptor(graph, id, want),
        Some(Node::End { want: Want::Accepted, .. }) => Cause::NotAccepted,
        Some(Node::End { .. }) => Cause::Unknown(if graph.system.ends.unreadable.is_empty() {
            Unknown::FarEnd
        } else {
            Unknown::NoRights
        }),
        Some(Node::Process(pid) | Node::Exit(pid)) => {
            Cause::Unknown(match graph.by_pid(pid).and_then(|process| graph.snapshot(process)) {
                Some(snapshot) if !snapshot.tasks.is_empty() => Unknown::WhichTask,
                _ => Unknown::ProcessNotRead,
            })
        }
        Some(Node::Across(_)) => Cause::BothWait,
        Some(Node::Outside { .. }) => outside(graph, id),
        Some(Node::Time(at)) => Cause::Time(at),
    }
}

fn task(graph: &Graph<'_>, id: NodeId) -> Cause {
    let Some((snapshot, task)) = graph.task(id) else { return Cause::Unknown(Unknown::Object) };
    let Some(Node::Task { row, .. }) = graph.node(id) else { return Cause::Unknown(Unknown::Object) };
    if graph.is_moving(id) {
        return Cause::WentOn;
    }
    match (task.state, task.wait_class) {
        (TaskState::Running, _) => Cause::Running,
        (TaskState::Runnable | TaskState::Preempted, _) => {
            let workers = snapshot.runtime_of(task).map(|runtime| runtime.scheduler.workers.as_slice());
            let workers = workers.filter(|workers| !workers.is_empty());
            let busy = |status: &str| status != "idle";
            Cause::Runnable(workers.map(|workers| {
                (workers.iter().filter(|w| busy(&w.status)).count() as u32, workers.len() as u32)
            }))
        }
        (TaskState::Syscall, _) | (_, WaitClass::Call) => Cause::InCall,
        (_, WaitClass::NilChannel) => Cause::DeadEnd(Dead::NilChannel),
        (_, WaitClass::NoCases) => Cause::DeadEnd(Dead::NoCases),
        (_, WaitClass::Leaked) => Cause::DeadEnd(Dead::Leaked),
        (_, WaitClass::Sleep | WaitClass::Timer) => Cause::SomeTime,
        (_, WaitClass::Accept) => Cause::Clients,
        (_, WaitClass::Runtime) => Cause::Runtime,
        _ if snapshot.call_of(row).is_some() => Cause::InCall,
        _ => Cause::Unknown(Unknown::Object),
    }
}

fn object(graph: &Graph<'_>, id: NodeId) -> Cause {
    let Some((snapshot, object, what)) = graph.object(id) else { return Cause::Unknown(Unknown::Object) };
    if what.channel.is_some_and(|channel| channel.closed) {
        return Cause::Unknown(Unknown::Closed);
    }
    let timer = snapshot.timer_of(object).map(|timer| timer.state);
    if matches!(timer, Some(TimerState::Unknown | TimerState::Fake)) {
        return Cause::SomeTime;
    }
    match what.kind {
        ObjectKind::Channel
        | ObjectKind::Cond
        | ObjectKind::WaitGroup
        | ObjectKind::Timer
        | ObjectKind::Coroutine => match graph.searched(id) {
            // Which task it is is known: that one went on.
            None if snapshot.actors_of(object).iter().any(|actor| actor.action == Action::Yield) => {
                Cause::Unknown(Unknown::Moved)
            }
            _ if graph.is_alive(id) && timer.is_some() => Cause::Unknown(Unknown::SearchIncomplete),
            None => Cause::Unknown(Unknown::NotSearched),
            // The runtime keeps those that signals are sent on, and sends on them itself.
            Some(how) if how.is_global && is_of_signals(snapshot, what) => Cause::Signal,
            Some(how) if how.is_global => Cause::Unknown(Unknown::Global),
            Some(_) if graph.is_alive(id) => Cause::Unknown(Unknown::SearchIncomplete),
            Some(_) if timer == Some(TimerState::Stopped) => Cause::DeadEnd(Dead::StoppedTimer),
            Some(_) => Cause::DeadEnd(Dead::Nobody),
        },
        _ if what.lock == Some(LockState::Free) => Cause::Unknown(Unknown::HandedOver),
        ObjectKind::Futex | ObjectKind::Semaphore | ObjectKind::Other => Cause::Unknown(Unknown::Waker),
        _ => Cause::Unknown(Unknown::Holder),
    }
}

/// Whether a runtime sends what it gets of signals on a channel of this kind.
fn is_of_signals(snapshot: &Snapshot, object: &WaitObject) -> bool {
    let element = object.channel.and_then(|channel| channel.element).map(|element| snapshot.str(element));
    let signals = |runtime: &RuntimeInfo| lore::of(&runtime.name).signal_element;
    element.is_some() && snapshot.header.runtimes.iter().any(|runtime| signals(runtime) == element)
}

fn descriptor(graph: &Graph<'_>, id: NodeId, want: Want) -> Cause {
    let descriptor = graph.descriptor(id);
    let listens = descriptor.is_some_and(is_listening);
    match descriptor.map(|descriptor| descriptor.kind) {
        _ if want == Want::Connected || listens => return Cause::Clients,
        _ if want == Want::Written && descriptor.is_some_and(is_mailbox) => return Cause::Clients,
        Some(DescriptorKind::Poll) => return Cause::Events,
        Some(DescriptorKind::Timer) => return Cause::SomeTime,
        Some(DescriptorKind::Event) => return Cause::Unknown(Unknown::Waker),
        Some(DescriptorKind::Other) => {
            let name = descriptor.and_then(|descriptor| descriptor.name.as_deref()).unwrap_or_default();
            return other(name);
        }
        _ => {}
    }
    let peer = descriptor.and_then(|descriptor| graph.peer(descriptor.file?));
    match peer {
        Some(OtherEnd::Unknown(why)) => Cause::Unknown(Unknown::Because(why.clone())),
        Some(_) => Cause::Unknown(Unknown::Moved),
        None => Cause::Unknown(Unknown::FarEnd),
    }
}

/// What something of the kernel waits for, by the name that the kernel gives to it.
fn other(name: &str) -> Cause {
    let name = name.strip_prefix("anon_inode:").unwrap_or_default();
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name) {
        "inotify" | "fanotify" => Cause::Files,
        "signalfd" => Cause::Signal,
        _ => Cause::Unknown(Unknown::Waker),
    }
}

/// Whether a descriptor is a socket that accepts connections.
pub(super) fn is_listening(descriptor: &Descriptor) -> bool {
    descriptor.socket.as_ref().is_some_and(|socket| socket.state == SocketState::Listen)
}

/// Whether a descriptor is a socket that receives datagrams from anybody.
pub(super) fn is_mailbox(descriptor: &Descriptor) -> bool {
    descriptor.socket.as_ref().is_some_and(|socket| {
        // A pair of unix sockets is connected without names.
        matches!(socket.protocol, Protocol::Udp | Protocol::UnixDatagram)
            && socket.state == SocketState::Close
            && socket.peer == Endpoint::None
    })
}

fn outside(graph: &Graph<'_>, id: NodeId) -> Cause {
    let Some(descriptor) = graph.descriptor(id) else { return Cause::Outside };
    let socket = descriptor.socket.as_ref();
    match (descriptor.kind, socket.map(|socket| socket.protocol)) {
        (DescriptorKind::Terminal, _) => Cause::Terminal,
        (_, Some(Protocol::Netlink)) => Cause::Kernel,
        _ => Cause::Outside,
    }
}
