//! Descriptors, connections, timers, contexts and system calls in words. Raw from the target: escape before printing.

use super::units::{bytes, count, duration, thousands};
use crate::analysis::waits::{TimedBy, Times, WaitSummary};
use crate::snapshot::{
    Context, Deadline, Descriptor, DescriptorKind, Endpoint, ObjectKind, Protocol, Snapshot, Socket,
    SocketState, SystemCall, Timer, TimerState, WaitOp,
};

/// A timer is late only from this many nanoseconds on: wake-ups come up to some milliseconds late.
const LATE_NS: u64 = 10_000_000;

/// "in 3 s", "3 s ago", "at a time that is not known": a moment on CLOCK_MONOTONIC as it is from `now`.
pub fn moment(at: u64, now: Option<u64>) -> String {
    match now {
        None => "at a time that is not known".to_owned(),
        Some(now) if at >= now => format!("in {}", duration(at - now)),
        Some(now) if now - at < LATE_NS => "now".to_owned(),
        Some(now) => format!("{} ago", duration(now - at)),
    }
}

/// What a descriptor is: "tcp 10.0.3.9:52114 -> 10.0.0.7:8080", `pipe:[88121]`, "/dev/pts/3", "descriptor 7".
pub fn name(descriptor: &Descriptor) -> String {
    if let Some(socket) = &descriptor.socket {
        return match (socket.protocol, descriptor.name.as_deref()) {
            (Protocol::Other, Some(family)) if !family.is_empty() => {
                format!("{family} socket {}", descriptor.fd)
            }
            (Protocol::Other, _) => format!("socket {}", descriptor.fd),
            _ => socket_name(socket, descriptor.fd),
        };
    }
    let inode = descriptor.file.map(|file| file.inode);
    match (descriptor.kind, &descriptor.name, inode) {
        (_, Some(name), _) if !name.is_empty() => name.clone(),
        (DescriptorKind::Pipe, _, Some(inode)) => format!("pipe:[{inode}]"),
        (DescriptorKind::Socket, _, Some(inode)) => format!("socket:[{inode}]"),
        (DescriptorKind::Unknown, ..) => format!("descriptor {}", descriptor.fd),
        (kind, ..) => format!("{} {}", kind_name(kind), descriptor.fd),
    }
}

/// What tasks do that wait for descriptors, or sleep: "reads from tcp 10.0.3.9:52114 -> 10.0.0.7:8080, nothing
/// received for 41 s", "reads from 128 sockets, 3 with a deadline", "wakes in 3 s". None for other waits.
pub(super) fn waits(snapshot: &Snapshot, wait: &WaitSummary, verb: &str) -> Option<String> {
    let now = snapshot.header.monotonic_ns;
    let only = wait.only.and_then(|id| snapshot.objects.get(id.index()));
    if wait.kind == ObjectKind::Timer {
        return wait.times.map(|times| wakes(times, now));
    }
    if wait.kind != ObjectKind::Descriptor {
        return None;
    }
    if let Some(descriptor) = only.and_then(|object| snapshot.descriptor_of(object)) {
        let mut parts = vec![format!("{verb} {}", name(descriptor))];
        parts.extend(facts(descriptor, wait.op, now));
        if wait.waiters > 1 {
            parts.push(format!("{} wait for it", thousands(wait.waiters)));
        }
        return Some(parts.join(", "));
    }
    if let Some(object) = only {
        return Some(format!("{verb} descriptor {}", object.address));
    }
    let kind = wait.descriptors.filter(|all| all.known == wait.objects).map(|all| kind_name(all.kind));
    let mut parts = vec![format!("{verb} {}", count(wait.objects, kind.unwrap_or("descriptor")))];
    if let Some(all) = wait.descriptors {
        let what = if matches!(wait.op, WaitOp::Write | WaitOp::Connect) { "write" } else { "read" };
        match (all.deadlines, all.next_deadline) {
            (0, _) => {}
            (n, None) => parts.push(format!("{} with a {what} deadline", thousands(n))),
            (n, Some(at)) => {
                parts.push(format!("{} with a {what} deadline, the next {}", thousands(n), moment(at, now)));
            }
        }
        if let Some((least, most)) = all.idle_ns.filter(|_| wait.op == WaitOp::Read) {
            parts.push(format!("nothing received for {}", between(least, most)));
        }
        if all.closed > 0 {
            parts.push(format!("{} closed by the other end", thousands(all.closed)));
        }
    }
    Some(parts.join(", "))
}

/// "2 s", "2 s to 3 h". Nanoseconds.
fn between(least: u64, most: u64) -> String {
    let (from, to) = (duration(least), duration(most));
    if from == to { from } else { format!("{from} to {to}") }
}

/// "wakes in 3 s", "wake in 3 s to 5 min".
fn wakes(times: Times, now: Option<u64>) -> String {
    match (times.span, now) {
        (None, _) if times.stopped > 0 => "sleeps, and its timer is stopped".to_owned(),
        (None, _) => "wakes at a time that is not known".to_owned(),
        (Some((first, last)), Some(now)) if first < last && first >= now => {
            format!("wakes in {}", between(first - now, last - now))
        }
        (Some((first, _)), now) => format!("wakes {}", moment(first, now)),
    }
}

/// When time ends waits for channels: "fires in 3 s", "of context.timerCtx 0xc000012040", "deadline in 3 s".
pub(super) fn times(snapshot: &Snapshot, wait: &WaitSummary) -> Vec<String> {
    let now = snapshot.header.monotonic_ns;
    let Some(times) = wait.times else { return Vec::new() };
    let timer = wait.only.and_then(|id| snapshot.timer_of(id));
    if let Some(timer) = timer {
        return vec![self::timer(timer, now)];
    }
    let when = times.span.map(|(first, last)| match now {
        Some(now) if first < last && first >= now => format!("in {}", between(first - now, last - now)),
        now => moment(first, now),
    });
    let mut facts = Vec::new();
    if let Some(context) = wait.only.and_then(|id| snapshot.context_of(id)) {
        facts.push(format!("of {}", self::context(snapshot, context)));
        facts.extend(when.map(|when| format!("deadline {when}")));
        return facts;
    }
    let n = thousands(times.known);
    match times.by {
        _ if times.known == 0 => {}
        TimedBy::Context => facts.extend(when.map(|when| format!("{n} of contexts with a deadline {when}"))),
        _ => facts.extend(when.map(|when| format!("{n} of timers that fire {when}"))),
    }
    if times.stopped > 0 {
        facts.push(format!("{} of stopped timers", thousands(times.stopped)));
    }
    facts
}

/// What several descriptors of one kind are: "socket".
pub fn kind_name(kind: DescriptorKind) -> &'static str {
    match kind {
        DescriptorKind::Unknown | DescriptorKind::Other => "descriptor",
        DescriptorKind::Socket => "socket",
        DescriptorKind::Pipe => "pipe",
        DescriptorKind::Fifo => "named pipe",
        DescriptorKind::File => "file",
        DescriptorKind::Directory => "directory",
        DescriptorKind::Terminal => "terminal",
        DescriptorKind::Device => "device",
        DescriptorKind::Timer => "kernel timer",
        DescriptorKind::Event => "event counter",
        DescriptorKind::Poll => "event loop",
        DescriptorKind::Process => "process",
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::UnixStream | Protocol::UnixDatagram | Protocol::UnixSequence => "unix",
        Protocol::Netlink => "netlink",
        Protocol::Other => "socket",
    }
}

fn socket_name(socket: &Socket, fd: u32) -> String {
    let kind = protocol(socket.protocol);
    match (endpoint(&socket.local), endpoint(&socket.peer)) {
        (None, None) => format!("{kind} socket {fd}"),
        (Some(local), None) => format!("{kind} {local}"),
        (None, Some(peer)) => format!("{kind} -> {peer}"),
        (Some(local), Some(peer)) => format!("{kind} {local} -> {peer}"),
    }
}

/// An address; None if there is none, or if it is not known.
pub fn endpoint(endpoint: &Endpoint) -> Option<String> {
    match endpoint {
        Endpoint::Inet(address) => Some(address.to_string()),
        Endpoint::Unix(path) if !path.is_empty() => Some(path.clone()),
        _ => None,
    }
}

/// What is known of a descriptor that a task waits for in this way: "no read deadline", "nothing received for 41 s".
pub fn facts(descriptor: &Descriptor, op: WaitOp, now: Option<u64>) -> Vec<String> {
    let (what, deadline) = match op {
        WaitOp::Write | WaitOp::Connect => ("write", descriptor.write_deadline),
        _ => ("read", descriptor.read_deadline),
    };
    let mut facts = Vec::new();
    match deadline {
        // A server waits for connections without one.
        Deadline::None if op != WaitOp::Accept => facts.push(format!("no {what} deadline")),
        Deadline::At(at) => facts.push(format!("{what} deadline {}", moment(at, now))),
        Deadline::Expired => facts.push(format!("its {what} deadline has passed")),
        Deadline::None | Deadline::Unknown => {}
    }
    if let Some(socket) = &descriptor.socket {
        facts.extend(socket_facts(socket, op));
    }
    if let Some(at) = descriptor.expires_ns {
        facts.push(format!("expires {}", moment(at, now)));
    }
    facts
}

fn socket_facts(socket: &Socket, op: WaitOp) -> Vec<String> {
    let mut facts = Vec::new();
    let queued = |bytes: Option<u32>| bytes.filter(|&bytes| bytes > 0);
    if socket.state == SocketState::Listen {
        let waiting = queued(socket.receive_queue);
        facts.extend(waiting.map(|n| format!("{} to be accepted", count(n.into(), "connection"))));
        return facts;
    }
    match op {
        WaitOp::Write => {
            let queued = queued(socket.send_queue);
            facts.extend(queued.map(|n| format!("{} not acknowledged", bytes(n.into()))));
            if socket.peer_full {
                facts.push("the other end does not read".to_owned());
            }
        }
        WaitOp::Connect => {}
        _ => match (socket.received_bytes, socket.idle_receive_ns) {
            (Some(0), Some(ns)) => {
                facts.push(format!("nothing received since it was connected {} ago", duration(ns)));
            }
            (Some(0), None) => facts.push("nothing received since it was connected".to_owned()),
            (_, Some(ns)) => facts.push(format!("nothing received for {}", duration(ns))),
            (_, None) => {}
        },
    }
    match socket.state {
        SocketState::SynSent => facts.push("no answer yet".to_owned()),
        SocketState::CloseWait => facts.push("closed by the other end".to_owned()),
        SocketState::FinWait1 | SocketState::FinWait2 => facts.push("closed here".to_owned()),
        SocketState::Closing | SocketState::LastAck | SocketState::TimeWait => {
            facts.push("closed at both ends".to_owned());
        }
        _ => {}
    }
    facts
}

/// When a timer acts: "fires in 3 s", "never fires: it is stopped".
pub fn timer(timer: &Timer, now: Option<u64>) -> String {
    let again = match timer.period_ns {
        0 => String::new(),
        ns => format!(", every {}", duration(ns)),
    };
    match timer.state {
        TimerState::At(at) if now.is_some_and(|now| now.saturating_sub(at) >= LATE_NS) => {
            format!("should have fired {}{again}", moment(at, now))
        }
        TimerState::At(at) => format!("fires {}{again}", moment(at, now)),
        TimerState::Stopped => "never fires: it is stopped".to_owned(),
        TimerState::Fake => "fires when the program's own clock says so".to_owned(),
        TimerState::Unknown => "fires at a time that is not known".to_owned(),
    }
}

/// A context: "context.timerCtx 0xc000012040".
pub fn context(snapshot: &Snapshot, context: &Context) -> String {
    let name = context.type_name.map_or("context", |name| snapshot.str(name));
    format!("{name} {:#x}", context.address)
}

/// A system call: "wait4 for pid 88", `read of pipe:[88121]`, "openat (in fuse_open)", "openat of a named pipe that no
/// process has open for writing". The numbers are those of
/// x86-64.
pub fn call(snapshot: &Snapshot, call: &SystemCall) -> String {
    let name = snapshot.str(call.name);
    let [first, second, ..] = call.arguments;
    // Process ids are 32 bits with a sign: a negative one means any child, or any of a process group.
    let child = |id: u64| match u32::try_from(id) {
        Ok(pid) if pid != 0 && pid <= i32::MAX as u32 => format!("{name} for pid {pid}"),
        _ => format!("{name} for any child"),
    };
    let descriptor = |fd: u64| u32::try_from(fd).ok().and_then(|fd| snapshot.descriptor(fd));
    match (call.number, first) {
        (WAIT4, pid) => return child(pid),
        (WAITID, P_PID) => return child(second),
        (WAITID, P_PIDFD) => {
            if let Some(pid) = descriptor(second).and_then(|descriptor| descriptor.process) {
                return format!("{name} for pid {pid}");
            }
        }
        (number, fd) if OF_DESCRIPTORS.contains(&number) => {
            if let Some(descriptor) = descriptor(fd) {
                return format!("{name} of {}", self::name(descriptor));
            }
        }
        _ => {}
    }
    if let Some(other) = opens_pipe(snapshot, call) {
        return format!("{name} of a named pipe that no process has open for {other}");
    }
    match call.kernel_function {
        Some(function) if !snapshot.str(function).is_empty() => {
            format!("{name} (in {})", snapshot.str(function))
        }
        _ => name.to_owned(),
    }
}

/// What somebody else would have to open a named pipe for, if that is what the call waits for: the kernel sleeps in
/// `wait_for_partner`, or in `fifo_open` where that is part of it.
fn opens_pipe(snapshot: &Snapshot, call: &SystemCall) -> Option<&'static str> {
    /// `O_ACCMODE`: the lowest bits of the flags.
    const ACCESS: u64 = 3;
    let function = snapshot.str(call.kernel_function?);
    let [_, second, third, ..] = call.arguments;
    let flags = match call.number {
        OPEN => second,
        OPENAT => third,
        _ => return None,
    };
    match (function, flags & ACCESS) {
        ("wait_for_partner" | "fifo_open", 0) => Some("writing"),
        ("wait_for_partner" | "fifo_open", 1) => Some("reading"),
        _ => None,
    }
}

const OPEN: u32 = 2;
const OPENAT: u32 = 257;
/// System calls that wait for a child, and what the first argument of waitid says of the second
/// (`include/uapi/linux/wait.h`).
const WAIT4: u32 = 61;
const WAITID: u32 = 247;
const P_PID: u64 = 1;
const P_PIDFD: u64 = 3;
/// System calls whose first argument is a descriptor that they may wait for: read, write, pread64, pwrite64, readv,
/// writev, connect, accept, sendto, recvfrom, sendmsg, recvmsg, flock, accept4, recvmmsg, sendmmsg.
const OF_DESCRIPTORS: [u32; 16] = [0, 1, 17, 18, 19, 20, 42, 43, 44, 45, 46, 47, 73, 288, 299, 307];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
