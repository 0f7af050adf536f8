//! Chains with blanks: what tasks that went the same way have in common.

use rustc_hash::FxHashMap;

use super::way::Way;
use super::word::{Source, Word};
use super::{Chain, ChannelWords, HandleWords, Leaf, Wanted};
use crate::snapshot::{Channel, Handles, ObjectId};

const NANOS: u64 = 1_000_000_000;

/// A chain, whose words are to be completed by the values that were kept of a task.
#[derive(Debug)]
pub(in super::super) struct Template {
    pub(in super::super) chain: Chain,
    /// Where the values come from.
    pub(super) kept: Vec<Source>,
}

impl Template {
    /// That of a chain which was found on a way, and its values.
    pub(super) fn of(mut chain: Chain, way: &Way) -> (Template, Vec<u64>) {
        let (mut kept, mut values) = (Vec::new(), Vec::new());
        let mut known = FxHashMap::default();
        chain.each_word(&mut |word: &mut Word| {
            let base = way.value(word.from).unwrap_or(0);
            let nth = *known.entry(word.from).or_insert_with(|| {
                kept.push(word.from);
                values.push(base);
                kept.len() - 1
            });
            *word = Word { value: word.value.wrapping_sub(base), from: Source(nth as u32) };
        });
        (Template { chain, kept }, values)
    }

    /// How much there is of it.
    pub(super) fn size(&self) -> usize {
        let leaf = self.chain.leaf.iter();
        let of_leaf = |leaf: &Leaf| {
            let branches: usize = leaf.branches.iter().map(|branch| 1 + branch.awaits.len()).sum();
            leaf.objects.len() + branches
        };
        1 + self.chain.awaits.len() + self.chain.held.len() + leaf.map(of_leaf).sum::<usize>()
    }

    /// Whether all values can be found again in another task.
    pub(super) fn is_repeatable(&self) -> bool {
        !self.kept.contains(&Source::NOWHERE)
    }
}

impl Chain {
    fn each_word(&mut self, work: &mut dyn FnMut(&mut Word)) {
        for held in &mut self.held {
            work(&mut held.lock);
            work(&mut held.guard);
        }
        for wanted in self.leaf.iter_mut().flat_map(|leaf| &mut leaf.objects) {
            work(&mut wanted.address);
            if let Some(channel) = &mut wanted.channel {
                work(&mut channel.permits);
                work(&mut channel.cap);
            }
            if let Some(handles) = &mut wanted.handles {
                work(&mut handles.senders);
                handles.queued.iter_mut().for_each(&mut *work);
            }
            if let Some((seconds, nanos)) = &mut wanted.deadline {
                work(seconds);
                work(nanos);
            }
        }
    }
}

impl Wanted {
    /// When a timer fires, nanoseconds of CLOCK_MONOTONIC.
    pub(in super::super) fn deadline_ns(&self, kept: &[u64]) -> Option<u64> {
        let (seconds, nanos) = self.deadline?;
        seconds.of(kept).checked_mul(NANOS)?.checked_add(nanos.of(kept))
    }
}

impl ChannelWords {
    /// The channel.
    pub(in super::super) fn of(self, kept: &[u64]) -> Channel {
        let (permits, cap) = (self.permits.of(kept), self.cap.of(kept));
        let len = cap.saturating_sub(permits >> 1);
        // Threads, and the future of `block_on`, may wait, too: they are no tasks.
        Channel { len, cap, closed: permits & 1 == 1, more: true, ..Channel::default() }
    }
}

impl HandleWords {
    /// Who can still use the channel.
    pub(in super::super) fn of(self, object: ObjectId, kept: &[u64]) -> Handles {
        let queued = self.queued.map(|queued| queued.of(kept) >> 1);
        Handles { object, senders: self.senders.of(kept), queued }
    }
}
