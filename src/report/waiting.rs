//! What tasks wait for, in words: shared by groups, single tasks and evidence.

use super::units::{count, thousands};
use crate::analysis::waits::{Channels, Senders};
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

/// "no limit", "len 3", "2 senders alive": what several channels share. `objects`: how many channels there are.
pub(super) fn sender_facts(op: WaitOp, objects: u64, senders: &Senders) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(queued) = senders.queued {
        facts.extend(["no limit".to_owned(), format!("len {}", span(queued))]);
    }
    // Those that wait to send are alive themselves.
    if op != WaitOp::Receive {
        return facts;
    }
    facts.push(match senders.none_left {
        n if n == objects => "no sender left".to_owned(),
        0 if senders.alive == (1, 1) => "1 sender alive".to_owned(),
        0 => format!("{} senders alive", span(senders.alive)),
        n => format!("{} without a sender left", thousands(n)),
    });
    facts
}

/// "3", "1 to 3".
fn span((low, high): (u64, u64)) -> String {
    if low == high { thousands(low) } else { format!("{} to {}", thousands(low), thousands(high)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_still_send() {
        let senders = |alive, none_left| Senders { alive, none_left, queued: None };
        let said = |objects, senders: Senders| sender_facts(WaitOp::Receive, objects, &senders).join(", ");
        assert_eq!(said(1, senders((0, 0), 1)), "no sender left");
        assert_eq!(said(1, senders((1, 1), 0)), "1 sender alive");
        assert_eq!(said(7, senders((2, 2_000), 0)), "2 to 2,000 senders alive");
        assert_eq!(said(7, senders((0, 2), 3)), "3 without a sender left");
        let limitless = Senders { queued: Some((0, 3)), ..senders((2, 2), 0) };
        assert_eq!(said(2, limitless), "no limit, len 0 to 3, 2 senders alive");
        assert_eq!(sender_facts(WaitOp::Send, 2, &limitless), ["no limit", "len 0 to 3"]);
    }
}
