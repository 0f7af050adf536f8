//! Descriptors, timers, contexts, system calls and actors.

use serde::Serialize;

use super::{AgeOut, CreatorOut, hex, known};
use crate::report::ends::endpoint;
use crate::snapshot::*;

#[derive(Serialize)]
pub(super) struct DescriptorOut<'a> {
    fd: u32,
    kind: &'static str,
    name: Option<&'a str>,
    device: Option<u64>,
    inode: Option<u64>,
    read: bool,
    write: bool,
    socket: Option<SocketOut>,
    read_deadline: DeadlineOut,
    write_deadline: DeadlineOut,
    expires_ns: Option<u64>,
    process: Option<u32>,
}

#[derive(Serialize)]
struct SocketOut {
    protocol: &'static str,
    local: Option<String>,
    peer: Option<String>,
    state: &'static str,
    receive_queue: Option<u32>,
    send_queue: Option<u32>,
    idle_receive_ns: Option<u64>,
    idle_send_ns: Option<u64>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
    peer_full: bool,
    peer_inode: Option<u64>,
    namespace: Option<u64>,
}

/// Until when: `state` is "unknown", "none", "at" or "expired".
#[derive(Serialize)]
struct DeadlineOut {
    state: &'static str,
    monotonic_ns: Option<u64>,
}

/// When: `state` is "unknown", "stopped", "at" or "fake".
#[derive(Serialize)]
pub(super) struct TimerOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    kind: &'static str,
    state: &'static str,
    monotonic_ns: Option<u64>,
    period_ns: u64,
}

#[derive(Serialize)]
pub(super) struct ContextOut<'a> {
    address: String,
    #[serde(rename = "type")]
    type_name: Option<&'a str>,
    deadline: &'static str,
    deadline_monotonic_ns: Option<u64>,
    cancelled: Option<bool>,
    parent: Option<u32>,
    root: bool,
    channel: Option<String>,
}

#[derive(Serialize)]
pub(super) struct AncestorOut<'a> {
    generation: u32,
    id: Option<u64>,
    created_by: Option<CreatorOut<'a>>,
    stack: Vec<CreatorOut<'a>>,
}

#[derive(Serialize)]
pub(super) struct CallOut<'a> {
    name: &'a str,
    /// On x86-64. None in a program for another machine.
    number: Option<u32>,
    arguments: [String; 6],
    kernel_function: Option<&'a str>,
    age: AgeOut,
}

#[derive(Serialize)]
pub(super) struct ActorOut<'a> {
    kind: &'static str,
    address: Option<String>,
    action: &'static str,
    certainty: &'static str,
    id: Option<u64>,
    task_address: Option<String>,
    timer_monotonic_ns: Option<u64>,
    at: Option<CreatorOut<'a>>,
    hops: u8,
}

/// What leads from waiting tasks to their causes.
#[derive(Serialize)]
pub(super) struct LinksOut<'a> {
    descriptors: Vec<DescriptorOut<'a>>,
    timers: Vec<TimerOut>,
    contexts: Vec<ContextOut<'a>>,
    actors: Vec<ActorOut<'a>>,
    unknown: &'a [String],
}

impl<'a> LinksOut<'a> {
    /// None if nothing was looked for.
    pub(super) fn new(snapshot: &'a Snapshot) -> Option<Self> {
        let links = &snapshot.links;
        (!links.is_empty()).then(|| LinksOut {
            descriptors: links.descriptors.iter().map(DescriptorOut::new).collect(),
            timers: links.timers.iter().map(|timer| TimerOut::new(snapshot, timer)).collect(),
            contexts: links.contexts.iter().map(|context| ContextOut::new(snapshot, context)).collect(),
            actors: links.actors.iter().map(|actor| ActorOut::new(snapshot, actor)).collect(),
            unknown: &links.unknown,
        })
    }
}

impl<'a> DescriptorOut<'a> {
    pub(super) fn new(descriptor: &'a Descriptor) -> Self {
        DescriptorOut {
            fd: descriptor.fd,
            kind: descriptor.kind.name(),
            name: descriptor.name.as_deref().and_then(known),
            device: descriptor.file.map(|file| file.device),
            inode: descriptor.file.map(|file| file.inode),
            read: descriptor.access.read,
            write: descriptor.access.write,
            socket: descriptor.socket.as_ref().map(SocketOut::new),
            read_deadline: descriptor.read_deadline.into(),
            write_deadline: descriptor.write_deadline.into(),
            expires_ns: descriptor.expires_ns,
            process: descriptor.process,
        }
    }
}

impl SocketOut {
    fn new(socket: &Socket) -> Self {
        SocketOut {
            protocol: match socket.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::UnixStream => "unix-stream",
                Protocol::UnixDatagram => "unix-datagram",
                Protocol::UnixSequence => "unix-sequence",
                Protocol::Netlink => "netlink",
                Protocol::Other => "other",
            },
            local: endpoint(&socket.local),
            peer: endpoint(&socket.peer),
            state: state(socket.state),
            receive_queue: socket.receive_queue,
            send_queue: socket.send_queue,
            idle_receive_ns: socket.idle_receive_ns,
            idle_send_ns: socket.idle_send_ns,
            received_bytes: socket.received_bytes,
            sent_bytes: socket.sent_bytes,
            peer_full: socket.peer_full,
            peer_inode: socket.peer_inode,
            namespace: socket.namespace,
        }
    }
}

fn state(state: SocketState) -> &'static str {
    match state {
        SocketState::Unknown => "unknown",
        SocketState::Established => "established",
        SocketState::SynSent => "syn-sent",
        SocketState::SynReceived => "syn-received",
        SocketState::FinWait1 => "fin-wait-1",
        SocketState::FinWait2 => "fin-wait-2",
        SocketState::TimeWait => "time-wait",
        SocketState::Close => "close",
        SocketState::CloseWait => "close-wait",
        SocketState::LastAck => "last-ack",
        SocketState::Listen => "listen",
        SocketState::Closing => "closing",
    }
}

impl From<Deadline> for DeadlineOut {
    fn from(deadline: Deadline) -> Self {
        let (state, monotonic_ns) = match deadline {
            Deadline::Unknown => ("unknown", None),
            Deadline::None => ("none", None),
            Deadline::At(at) => ("at", Some(at)),
            Deadline::Expired => ("expired", None),
        };
        DeadlineOut { state, monotonic_ns }
    }
}

fn timer_state(state: TimerState) -> (&'static str, Option<u64>) {
    match state {
        TimerState::Unknown => ("unknown", None),
        TimerState::Stopped => ("stopped", None),
        TimerState::At(at) => ("at", Some(at)),
        TimerState::Fake => ("fake", None),
    }
}

impl TimerOut {
    pub(super) fn new(snapshot: &Snapshot, timer: &Timer) -> Self {
        let (state, monotonic_ns) = timer_state(timer.state);
        let kind = match timer.kind {
            TimerKind::Sleep => "sleep",
            TimerKind::Channel => "channel",
        };
        let object = snapshot.objects.get(timer.object.index());
        let address = object.map(|object| hex(object.address));
        TimerOut { address, kind, state, monotonic_ns, period_ns: timer.period_ns }
    }
}

impl<'a> ContextOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, context: &Context) -> Self {
        let (deadline, deadline_monotonic_ns) = timer_state(context.deadline);
        let channel = context.object.and_then(|object| snapshot.objects.get(object.index()));
        ContextOut {
            address: hex(context.address),
            type_name: context.type_name.and_then(|name| known(snapshot.str(name))),
            // A context without a deadline has no timer.
            deadline: if deadline == "stopped" { "none" } else { deadline },
            deadline_monotonic_ns,
            cancelled: context.cancelled,
            parent: context.parent,
            root: context.is_root,
            channel: channel.map(|object| hex(object.address)),
        }
    }
}

impl<'a> AncestorOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, ancestor: &Ancestor) -> Self {
        let stack = ancestor.stack.map_or(&[][..], |id| snapshot.code.stack(id));
        AncestorOut {
            generation: ancestor.generation,
            id: ancestor.id,
            created_by: ancestor.creator.map(|id| CreatorOut::new(snapshot, Some(id))),
            stack: stack.iter().map(|&id| CreatorOut::new(snapshot, Some(id))).collect(),
        }
    }
}

impl<'a> CallOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, call: &SystemCall) -> Self {
        CallOut {
            name: snapshot.str(call.name),
            number: Some(call.number).filter(|&number| number != SystemCall::FOREIGN),
            arguments: call.arguments.map(hex),
            kernel_function: call.kernel_function.and_then(|name| known(snapshot.str(name))),
            age: call.age.into(),
        }
    }
}

impl<'a> ActorOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, actor: &Actor) -> Self {
        let object = snapshot.objects.get(actor.object.index());
        let (task, timer_monotonic_ns) = match actor.by {
            By::Task(row) => (snapshot.tasks.get(row as usize), None),
            By::Timer(at) => (None, Some(at)),
        };
        ActorOut {
            kind: object.map_or("other", |object| object.kind.name()),
            address: object.map(|object| hex(object.address)),
            action: actor.action.name(),
            certainty: actor.certainty.name(),
            id: task.and_then(|task| task.id),
            task_address: task.and_then(|task| task.known_address()).map(hex),
            timer_monotonic_ns,
            at: actor.location.map(|id| CreatorOut::unlocks(snapshot, id)),
            hops: actor.hops,
        }
    }
}
