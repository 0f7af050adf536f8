//! Sentences about what tasks wait for.

use super::super::units::{count, thousands};
use crate::analysis::waits::{Channels, WaitSummary};
use crate::snapshot::{ObjectKind, Snapshot, WaitOp};

/// "waits to send on 1,204 channels, cap 0, no receiver"; one a way of waiting.
pub fn sentences(snapshot: &Snapshot, waits: &[WaitSummary]) -> Vec<String> {
    waits.iter().map(|wait| sentence(snapshot, wait)).collect()
}

fn sentence(snapshot: &Snapshot, wait: &WaitSummary) -> String {
    let [one, alternative] = match wait.op {
        WaitOp::Send => ["waits to send on", "may send on"],
        WaitOp::Receive => ["waits to receive from", "may receive from"],
        WaitOp::Lock => ["waits to lock", "may lock"],
        WaitOp::ReadLock => ["waits to read-lock", "may read-lock"],
        WaitOp::Wait => ["waits for", "may go on after"],
    };
    let what = if wait.alternative { alternative } else { one };
    let mut text = format!("{what} {}", things(snapshot, wait));
    if let Some(channels) = &wait.channels {
        text.push_str(&channel_facts(wait, channels));
    }
    if wait.only.is_some() && wait.waiters > 1 {
        text.push_str(&format!(", {} wait for it", thousands(wait.waiters)));
    }
    text
}

/// "1,204 channels of fetch.Result", "mutex 0xc000012040".
fn things(snapshot: &Snapshot, wait: &WaitSummary) -> String {
    let kind = match wait.kind {
        ObjectKind::Channel => "channel",
        ObjectKind::Mutex => "mutex",
        ObjectKind::RwMutex => "rwmutex",
        ObjectKind::WaitGroup => "wait group",
        ObjectKind::Cond => "cond",
        ObjectKind::Semaphore => "semaphore",
        ObjectKind::Other => "object",
    };
    let object = wait.only.and_then(|id| snapshot.objects.get(id.index()));
    let mut text = match object {
        Some(object) => format!("{kind} {:#x}", object.address),
        None if kind.ends_with('x') => format!("{} {kind}es", thousands(wait.objects)),
        None => count(wait.objects, kind),
    };
    if let Some(element) = wait.element {
        text.push_str(&format!(" of {}", snapshot.str(element)));
    }
    text
}

fn channel_facts(wait: &WaitSummary, channels: &Channels) -> String {
    let span = |(low, high): (u64, u64)| {
        if low == high { thousands(low) } else { format!("{} to {}", thousands(low), thousands(high)) }
    };
    let mut text = format!(", cap {}", span(channels.cap));
    if channels.cap.1 > 0 {
        text.push_str(&format!(", len {}", span(channels.len)));
    }
    match channels.closed {
        0 => {}
        _ if wait.objects == 1 => text.push_str(", closed"),
        n => text.push_str(&format!(", {} closed", thousands(n))),
    }
    let peer = if wait.op == WaitOp::Send { "receiver" } else { "sender" };
    match channels.without_peer {
        n if n == wait.objects => text.push_str(&format!(", no {peer}")),
        0 if channels.peers == (1, 1) => text.push_str(&format!(", 1 {peer}")),
        0 => text.push_str(&format!(", {} {peer}s", span(channels.peers))),
        n => text.push_str(&format!(", {} without a {peer}", thousands(n))),
    }
    text
}
