//! Sentences about what tasks wait for.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use super::super::ends;
use super::super::units::thousands;
use super::super::waiting;
use super::locks;
use super::parts::objects;
use crate::analysis::waits::WaitSummary;
use crate::snapshot::Snapshot;

/// "waits to send on 1,204 channels, unbuffered, no receiver waiting"; one sentence per way of waiting, each
/// followed by sentences about the locks. Raw from the target: escape before printing.
pub fn sentences(snapshot: &Snapshot, waits: &[WaitSummary], full_paths: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut before = FxHashSet::default();
    for wait in waits {
        sentences.push(sentence(snapshot, wait));
        // A lock's holder is named once, even if some wait to read and others to write.
        let said = wait.only.is_some_and(|only| !before.insert(only));
        locks::sentences(snapshot, wait, said, full_paths, &mut sentences);
    }
    sentences
}

/// "in wait4 for pid 88", "in read of pipe:[88121] (3), flock of /srv/data (2)": the system calls that these tasks
/// are in, unless it is said already what they wait for. Raw from the target: escape before printing.
pub(super) fn calls(snapshot: &Snapshot, rows: impl Iterator<Item = u32>) -> Option<String> {
    if snapshot.links.calls.is_empty() {
        return None;
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut tasks = 0_u64;
    for row in rows {
        tasks += 1;
        let waits = snapshot.tasks.get(row as usize).map_or(&[][..], |task| snapshot.waits_of(task));
        if let Some(call) = snapshot.call_of(row).filter(|_| waits.is_empty()) {
            *counts.entry(ends::call(snapshot, call)).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let left = counts.iter().skip(CALLS).map(|(_, n)| n).sum::<u64>();
    let named = counts.iter().take(CALLS).map(|(text, n)| match *n == tasks {
        true => text.clone(),
        false => format!("{text} ({})", thousands(*n)),
    });
    let mut named: Vec<String> = named.collect();
    if left > 0 {
        named.push(format!("{} in others", thousands(left)));
    }
    (!named.is_empty()).then(|| format!("in {}", named.join(", ")))
}

/// At most this many different system calls of one group are named.
const CALLS: usize = 4;

fn sentence(snapshot: &Snapshot, wait: &WaitSummary) -> String {
    let verb = waiting::verb(wait.op, wait.alternative, false);
    if let Some(text) = ends::waits(snapshot, wait, verb) {
        return text;
    }
    let mut text = format!("{verb} {}", things(snapshot, wait));
    if let Some(channels) = &wait.channels {
        for fact in waiting::channel_facts(wait.op, wait.objects, channels) {
            text.push_str(&format!(", {fact}"));
        }
    }
    for fact in wait.senders.iter().flat_map(|all| waiting::sender_facts(wait.op, wait.objects, all)) {
        text.push_str(&format!(", {fact}"));
    }
    for fact in ends::times(snapshot, wait) {
        text.push_str(&format!(", {fact}"));
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
