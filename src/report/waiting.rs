//! What tasks wait for, in words: shared by groups, single tasks and evidence.

use super::units::{count, thousands};
use crate::analysis::waits::Channels;
use crate::snapshot::{ObjectKind, WaitOp};

/// What tasks do with an object: "waits to send on"; for several tasks: "wait to send on". `selects`: each goes
/// on with the first of several objects that is ready.
pub(super) fn verb(op: WaitOp, selects: bool, several: bool) -> &'static str {
    let [one, many] = match (op, selects) {
        (WaitOp::Send, false) => ["waits to send on", "wait to send on"],
        (WaitOp::Receive, false) => ["waits to receive from", "wait to receive from"],
        (WaitOp::Lock, false) => ["waits to lock", "wait to lock"],
        (WaitOp::ReadLock, false) => ["waits to read-lock", "wait to read-lock"],
        (WaitOp::Wait, false) => ["waits for", "wait for"],
        (WaitOp::Send, true) => ["selects to send on", "select to send on"],
        (WaitOp::Receive, true) => ["selects on", "select on"],
        (WaitOp::Lock, true) => ["selects to lock", "select to lock"],
        (WaitOp::ReadLock, true) => ["selects to read-lock", "select to read-lock"],
        (WaitOp::Wait, true) => ["selects on", "select on"],
        (WaitOp::Read, _) => ["reads from", "read from"],
        (WaitOp::Write, _) => ["writes to", "write to"],
        (WaitOp::Accept, _) => ["accepts from", "accept from"],
        (WaitOp::Connect, _) => ["connects", "connect"],
        (WaitOp::Resume, _) => ["waits to be resumed as", "wait to be resumed as"],
    };
    if several { many } else { one }
}

/// The name of an object.
pub(super) fn object(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Channel => "channel",
        ObjectKind::Mutex => "mutex",
        ObjectKind::RwMutex => "rwmutex",
        ObjectKind::WaitGroup => "wait group",
        ObjectKind::Cond => "condition variable",
        ObjectKind::Semaphore => "semaphore",
        ObjectKind::Other => "object",
        ObjectKind::Descriptor => "descriptor",
        ObjectKind::Timer => "timer",
        ObjectKind::Futex => "futex",
        ObjectKind::Process => "process",
        ObjectKind::Task => "task",
        ObjectKind::Coroutine => "coroutine",
    }
}

/// "1 channel", "3 mutexes".
pub(super) fn objects(kind: ObjectKind, n: u64) -> String {
    let noun = object(kind);
    if noun.ends_with(['x', 's']) && n != 1 { format!("{} {noun}es", thousands(n)) } else { count(n, noun) }
}

/// "unbuffered", "no receiver waiting": what several channels share. `objects`: how many channels there are.
pub(super) fn channel_facts(op: WaitOp, objects: u64, channels: &Channels) -> Vec<String> {
    let span = |(low, high): (u64, u64)| {
        if low == high { thousands(low) } else { format!("{} to {}", thousands(low), thousands(high)) }
    };
    let mut facts = Vec::new();
    if channels.cap.1 == 0 {
        facts.push("unbuffered".to_owned());
    } else {
        facts.push(format!("cap {}", span(channels.cap)));
        facts.push(format!("len {}", span(channels.len)));
    }
    match channels.closed {
        0 => {}
        _ if objects == 1 => facts.push("closed".to_owned()),
        n => facts.push(format!("{} closed", thousands(n))),
    }
    let peer = if op == WaitOp::Send { "receiver" } else { "sender" };
    if channels.without_peer == 0 && channels.peers.1 == 0 {
        // Others than tasks may wait: nothing is known of them.
        return facts;
    }
    facts.push(match channels.without_peer {
        n if n == objects => format!("no {peer} waiting"),
        0 if channels.peers == (1, 1) => format!("1 {peer} waiting"),
        0 => format!("{} {peer}s waiting", span(channels.peers)),
        n => format!("{} without a {peer} waiting", thousands(n)),
    });
    facts
}

/// "1 reader holds the lock".
pub(super) fn readers_hold(readers: u64) -> String {
    format!("{} {} the lock", count(readers, "reader"), if readers == 1 { "holds" } else { "hold" })
}

/// The same, and how many of these readers were found.
pub(super) fn readers_found(readers: u64, found: u64) -> String {
    let hold = readers_hold(readers);
    match (readers, found) {
        (1, 0) => format!("{hold}, but which one was not found"),
        (_, 0) => format!("{hold}, but none of them was found"),
        (readers, found) if found >= readers => hold,
        (_, 1) => format!("{hold} (1 of them was found)"),
        (_, found) => format!("{hold} ({} of them were found)", thousands(found)),
    }
}
