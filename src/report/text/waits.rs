//! Sentences about what tasks wait for.

use rustc_hash::FxHashSet;

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

fn sentence(snapshot: &Snapshot, wait: &WaitSummary) -> String {
    let verb = waiting::verb(wait.op, wait.alternative, false);
    let mut text = format!("{verb} {}", things(snapshot, wait));
    if let Some(channels) = &wait.channels {
        for fact in waiting::channel_facts(wait.op, wait.objects, channels) {
            text.push_str(&format!(", {fact}"));
        }
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
