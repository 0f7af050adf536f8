//! Sentences about what tasks wait for.

use rustc_hash::FxHashSet;

use super::super::units::thousands;
use super::locks;
use super::parts::objects;
use crate::analysis::waits::{Channels, WaitSummary};
use crate::snapshot::{Snapshot, WaitOp};

/// "waits to send on 1,204 channels, cap 0, no receiver"; one a way of waiting, and after each those about
/// the locks. Raw from the target: escape before printing.
pub fn sentences(snapshot: &Snapshot, waits: &[WaitSummary], full_paths: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut before = FxHashSet::default();
    for wait in waits {
        sentences.push(sentence(snapshot, wait));
        // Who holds a lock is said once, though some wait to read and others to write.
        let said = wait.only.is_some_and(|only| !before.insert(only));
        locks::sentences(snapshot, wait, said, full_paths, &mut sentences);
    }
    sentences
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
    let mut text = objects(snapshot, wait.kind, wait.only, wait.objects);
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
