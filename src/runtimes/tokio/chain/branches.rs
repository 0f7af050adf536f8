//! Futures that a task polls together: each is a branch with a chain of its own.

use super::layout::Several;
use super::leaves::{self, SetKind};
use super::sets;
use super::values::{Value, Values};
use super::walk::{Branches, End, MAX_DEPTH, Walk};
use super::word::Word;
use super::{Await, Chain, Leaf, Place};
use crate::snapshot::{StackStatus, WaitClass};

/// Branches at one place that are followed.
const MAX_BRANCHES: usize = 64;
/// Branches of one task that are listed.
const MAX_LISTED: usize = 256;

/// One of the futures that are polled together.
#[derive(Debug, Clone)]
pub(in super::super) struct Branch {
    /// How many branches it is within, and one more.
    pub(in super::super) depth: u32,
    /// Which one it is, from 1, and how many there are.
    pub(in super::super) nth: u64,
    pub(in super::super) of: u64,
    /// Where it awaits, innermost first, as far as it is known.
    pub(in super::super) awaits: Vec<Await>,
    pub(in super::super) status: StackStatus,
    /// What it waits for, in words.
    pub(in super::super) reason: String,
    pub(in super::super) class: WaitClass,
    /// Its objects: where they begin among those of the task, and their number.
    pub(in super::super) objects: (usize, usize),
}

/// Futures that are polled together.
pub(super) struct Found {
    /// The word for it: "select".
    pub(super) word: &'static str,
    /// Each, in order. None: it is polled no more.
    pub(super) futures: Vec<Option<Value>>,
    /// They are a collection.
    pub(super) is_set: bool,
    /// How many there are.
    pub(super) total: u64,
}

impl Walk<'_, '_> {
    /// Futures that are polled together as a type says.
    pub(super) fn several(&mut self, several: &Several, at: Word, depth: usize) -> Branches {
        let base = match several.behind {
            Some(offset) => self.window.pointer(at.wrapping_add(offset)),
            None => Some(at),
        };
        let disabled = match several.disabled {
            Some((offset, size)) => {
                let bits = self.window.pointer(at.wrapping_add(offset));
                bits.and_then(|bits| self.window.number(bits, size))
            }
            None => Some(0),
        };
        let (Some(base), Some(disabled)) = (base, disabled) else { return Branches::Of(End::Gaps(None)) };
        let value = |(nth, place): (usize, &Place)| {
            let is_disabled = nth < 64 && disabled >> nth & 1 == 1;
            (!is_disabled).then(|| Value { of: place.of, at: base.wrapping_add(place.offset) })
        };
        let futures: Vec<_> = several.futures.iter().take(MAX_BRANCHES).enumerate().map(value).collect();
        let total = several.futures.len() as u64;
        let found = self.branches(&Found { word: several.word, futures, is_set: false, total }, depth);
        match found {
            Branches::Of(End::Leaf(end)) if !several.is_all => Branches::Of(End::Gaps(Some(end))),
            // Others that have ended do not end code written by hand.
            Branches::Of(End::Done) if !several.is_all => Branches::Of(End::Gaps(None)),
            found => {
                self.may_wait_elsewhere |= !several.is_all;
                found
            }
        }
    }

    /// Futures that are polled together in a collection.
    pub(super) fn set(&mut self, kind: SetKind, own: Value, depth: usize) -> Branches {
        let Some(layouts) = self.chains.layouts.as_mut() else { return Branches::Of(End::Gaps(None)) };
        let mut values = Values { layouts, window: self.window };
        let Some(found) = sets::futures(&mut values, kind, own, MAX_BRANCHES) else {
            return Branches::Of(End::Gaps(None));
        };
        let futures = found.futures.into_iter().map(Some).collect();
        self.branches(&Found { word: kind.word(), futures, is_set: true, total: found.total }, depth)
    }

    pub(super) fn branches(&mut self, found: &Found, depth: usize) -> Branches {
        // Nothing is beside it, however it ends.
        if let (1, [Some(only)]) = (found.total, found.futures.as_slice()) {
            return Branches::One((only.of, only.at));
        }
        if depth >= MAX_DEPTH {
            return Branches::Of(End::Gaps(None));
        }
        let mut all: Vec<Result<(Chain, Value), &str>> = Vec::new();
        for future in &found.futures {
            all.push(match future.map(|value| (self.follow(value.of, value.at, depth + 1), value)) {
                None => Err("disabled"),
                Some(((_, true), _)) => Err("done"),
                Some(((chain, false), value)) => Ok((chain, value)),
            });
        }
        let mut whole = all.len() as u64 == found.total;
        let mut running = all.iter().flatten();
        match (running.next(), running.next()) {
            (None, _) if whole => return Branches::Of(End::Done),
            (Some((_, only)), None) if whole => return Branches::One((only.of, only.at)),
            _ => {}
        }
        let mut together = Leaf::default();
        let mut reasons = Vec::new();
        for (chain, nth) in all.into_iter().zip(1..) {
            let (chain, _) = match chain {
                Ok(running) => running,
                Err(why) => {
                    whole &= list(&mut together, Branch::over(why, nth, found.total));
                    continue;
                }
            };
            whole &= chain.status == StackStatus::Complete;
            let own = chain.leaf.unwrap_or_default();
            let reason = if own.reason.is_empty() { "unknown".to_owned() } else { own.reason };
            let first = together.objects.len();
            let branch = Branch {
                depth: 1,
                nth,
                of: found.total,
                awaits: chain.awaits,
                status: chain.status,
                reason: reason.clone(),
                class: own.class,
                objects: (first, own.objects.len()),
            };
            reasons.push(reason);
            together.objects.extend(own.objects);
            let mut listed = list(&mut together, branch);
            for inner in own.branches {
                let (start, len) = inner.objects;
                let objects = (start.saturating_add(first), len);
                listed &= list(&mut together, Branch { depth: inner.depth + 1, objects, ..inner });
            }
            whole &= listed;
        }
        let (reason, class) = leaves::joined(found.word, found.is_set, &reasons);
        let end = Leaf { reason, class, ..together };
        Branches::Of(if whole { End::Leaf(end) } else { End::Gaps(Some(end)) })
    }
}

impl Branch {
    /// One that is polled no more.
    fn over(why: &str, nth: u64, of: u64) -> Branch {
        let (awaits, status) = (Vec::new(), StackStatus::Complete);
        let (reason, class) = (why.to_owned(), WaitClass::Nothing);
        Branch { depth: 1, nth, of, awaits, status, reason, class, objects: (0, 0) }
    }
}

/// Adds a branch, if there is room.
fn list(to: &mut Leaf, branch: Branch) -> bool {
    let room = to.branches.len() < MAX_LISTED;
    if room {
        to.branches.push(branch);
    }
    room
}
