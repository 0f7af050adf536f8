//! What is known of goroutines while samples are taken: which one a struct is, and which memory is its stack.
//!
//! A stack that two readings find in the same memory was there in between only if nothing shrank it: it may have been
//! moved away and back, and another goroutine may have had the memory meanwhile. Only the collector shrinks stacks.
//!
//! There may be a hundred thousand goroutines. A refresh reads the structs that its moments name, those that were named
//! lately, and new ones. It reads all of them only if a stack belongs to no known goroutine, and then seldom.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::collector::{Collector, Idle};
use super::runs::Runs;
use super::spared::Spared;
use crate::process::{Target, TargetError, monotonic_ns, read_words};
use crate::runtimes::go::Go;
use crate::runtimes::go::buffers::Buffers;
use crate::runtimes::go::goroutine::Raw;

/// Structs whose addresses are kept. The goroutines of further ones are unknown.
const MAX_STRUCTS: usize = 1 << 22;
/// Goroutines that are remembered. In programs with more, some are read again when they are needed.
const MAX_KNOWN: usize = 1 << 18;
/// Goroutines that are read at every refresh because moments named them lately.
const MAX_RECENT: usize = 2048;
/// Refreshes for which a goroutine counts as recent.
const RECENT: u32 = 100;
/// Structs read in one call.
const CHUNK: usize = 1024;
/// Former stacks that are kept.
const MAX_PAST: usize = 1024;

/// What identifies a goroutine. It does not change while the goroutine lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) goid: u64,
    pub(super) gopc: u64,
    pub(super) startpc: u64,
}

/// From where to where a stack reaches.
type Bounds = (u64, u64);

/// What is known of the goroutines that use one struct, one after another.
#[derive(Debug)]
struct Known {
    identity: Runs<Identity>,
    stack: Runs<Bounds>,
    labels: Runs<u64>,
    /// When it was last read: the reading began then.
    read_ns: u64,
    /// The collector before that reading, and whether it had asked the goroutine to shrink its stack. None if that is
    /// not known, or if the collector was marking.
    collector: Option<(Idle, bool)>,
}

/// A reading: from when to when, and the collector before and after.
#[derive(Debug, Clone, Copy, Default)]
struct During {
    begin: u64,
    end: u64,
    before: Option<Idle>,
    after: Option<Idle>,
}

/// Whose stack an address is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnStack {
    /// Of the goroutine with this struct.
    Of(u64),
    /// Of a goroutine, but not certain which.
    Uncertain,
    /// Of no goroutine that is known.
    Unowned,
}

/// The goroutines of a target.
pub(super) struct Goroutines<'a> {
    go: &'a Go,
    target: &'a dyn Target,
    /// Entries of the runtime's list that were read; it only grows.
    listed: u64,
    structs: FxHashSet<u64>,
    known: FxHashMap<u64, Known>,
    /// The latest stack of each: its start, its end, the struct.
    stacks: BTreeMap<u64, (u64, u64)>,
    /// Former stacks: start, end, struct.
    past: Vec<(u64, u64, u64)>,
    next_past: usize,
    /// Goroutines that moments named, with the number of the last such refresh.
    recent: FxHashMap<u64, u32>,
    refreshes: u32,
    /// A stack of no known goroutine was seen.
    unknown_stack: bool,
    /// Reading all of them.
    sweeps: Spared,
    collector: Collector,
    buffers: Buffers,
}

impl<'a> Goroutines<'a> {
    pub(super) fn new(go: &'a Go, target: &'a dyn Target) -> Self {
        Goroutines {
            go,
            target,
            listed: 0,
            structs: FxHashSet::default(),
            known: FxHashMap::default(),
            stacks: BTreeMap::new(),
            past: Vec::new(),
            next_past: 0,
            recent: FxHashMap::default(),
            refreshes: 0,
            unknown_stack: true,
            sweeps: Spared::default(),
            collector: Collector::new(go),
            buffers: Buffers::default(),
        }
    }

    /// Reads the structs that moments named, those that were named lately, and new ones.
    pub(super) fn refresh(&mut self, named: impl Iterator<Item = u64>) -> Result<(), TargetError> {
        self.refreshes = self.refreshes.wrapping_add(1);
        let mut wanted = self.list()?;
        for address in named {
            if self.structs.contains(&address) {
                self.recent.insert(address, self.refreshes);
            }
        }
        let now = self.refreshes;
        self.recent.retain(|_, last| now.wrapping_sub(*last) < RECENT);
        if self.recent.len() > MAX_RECENT {
            self.recent.retain(|_, last| *last == now);
        }
        if self.unknown_stack && self.sweeps.may_be_done() {
            return self.sweep();
        }
        wanted.extend(self.recent.keys());
        self.read(wanted)
    }

    /// Is there a goroutine's struct at this address?
    pub(super) fn is_struct(&self, address: u64) -> bool {
        self.structs.contains(&address)
    }

    /// Which goroutine used a struct at a time, if that is proven.
    pub(super) fn identity(&mut self, address: u64, time: u64) -> Option<Identity> {
        self.known_after(address, time)?.identity.at(time)
    }

    /// The address of the labels of the goroutine with this struct at a time; 0 if it had none. None if that is not
    /// known, or if it has others by now.
    pub(super) fn labels(&mut self, address: u64, time: u64) -> Option<u64> {
        let labels = &self.known_after(address, time)?.labels;
        labels.at(time).filter(|one| *one == 0 || *one == labels.latest())
    }

    /// Where the stack ended that a goroutine had when its struct was read last, if an address is on it.
    pub(super) fn latest_stack_end(&self, goroutine: u64, within: u64) -> Option<u64> {
        let stack = self.known.get(&goroutine)?.stack.latest();
        contains(stack, within).then_some(stack.1)
    }

    /// The address of the labels that a struct had when it was read last. None if it had none.
    pub(super) fn latest_labels(&self, address: u64) -> Option<u64> {
        self.known.get(&address).map(|known| known.labels.latest()).filter(|labels| *labels != 0)
    }

    /// Where the stack ended that the goroutine with this struct had at a time.
    pub(super) fn stack_end(&mut self, address: u64, time: u64, within: u64) -> Option<u64> {
        let known = self.known_after(address, time)?;
        known.stack.values().find(|stack| contains(*stack, within)).map(|(_, end)| end)
    }

    /// May the goroutine with this struct have had `address` on its stack at a time? False if it is known where its
    /// stack was, and it was elsewhere.
    pub(super) fn may_be_on_stack(&mut self, goroutine: u64, address: u64, time: u64) -> bool {
        let Some(known) = self.known_after(goroutine, time) else { return false };
        match known.stack.at(time) {
            Some(stack) => contains(stack, address),
            None => true,
        }
    }

    /// Whose stack an address was in at a time.
    pub(super) fn on_stack(&mut self, address: u64, time: u64) -> OnStack {
        let latest = self.stacks.range(..=address).next_back().filter(|(_, (end, _))| address < *end);
        let mut candidates: Vec<u64> = latest.map(|(_, (_, goroutine))| *goroutine).into_iter().collect();
        candidates
            .extend(self.past.iter().filter(|(lo, hi, _)| contains((*lo, *hi), address)).map(|(_, _, g)| *g));
        candidates.sort_unstable();
        candidates.dedup();
        let mut found = if candidates.is_empty() { OnStack::Unowned } else { OnStack::Uncertain };
        for goroutine in candidates {
            let stack = self.known_after(goroutine, time).and_then(|known| known.stack.at(time));
            if stack.is_some_and(|stack| contains(stack, address)) {
                if found != OnStack::Unowned && found != OnStack::Uncertain {
                    return OnStack::Uncertain;
                }
                found = OnStack::Of(goroutine);
            }
        }
        found
    }

    /// Records that a moment was on a stack of no known goroutine.
    pub(super) fn note_unknown_stack(&mut self) {
        self.unknown_stack = true;
    }

    /// What is known of a struct, read after a time.
    fn known_after(&mut self, address: u64, time: u64) -> Option<&Known> {
        if !self.structs.contains(&address) {
            return None;
        }
        if self.known.get(&address).is_none_or(|known| known.read_ns <= time) {
            self.recent.insert(address, self.refreshes);
            self.read(vec![address]).ok()?;
        }
        self.known.get(&address)
    }

    /// Reads the entries of the runtime's list that were added. `allgs` only grows; see `go/list.rs`.
    fn list(&mut self) -> Result<Vec<u64>, TargetError> {
        // In this order: a list may have grown meanwhile, but it never shrinks.
        let [len, array] = read_words(self.target, [self.go.globals.allglen, self.go.globals.allgptr])?;
        let len = len.min(MAX_STRUCTS as u64);
        let mut added = Vec::new();
        while self.listed < len {
            let count = (len - self.listed).min(1 << 16);
            let bytes = self.target.read_vec(array.wrapping_add(8 * self.listed), 8 * count as usize)?;
            let addresses = crate::process::bytes::words(&bytes).filter(|a| *a != 0 && a.is_multiple_of(8));
            added.extend(addresses.filter(|address| self.structs.insert(*address)));
            self.listed += count;
        }
        added.truncate(MAX_KNOWN);
        Ok(added)
    }

    /// Reads all goroutines.
    fn sweep(&mut self) -> Result<(), TargetError> {
        self.sweeps.begin();
        self.unknown_stack = false;
        let all = self.structs.iter().copied().take(MAX_KNOWN).collect();
        let outcome = self.read(all);
        self.sweeps.end();
        outcome
    }

    fn read(&mut self, mut addresses: Vec<u64>) -> Result<(), TargetError> {
        addresses.sort_unstable();
        addresses.dedup();
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut outcome = Ok(());
        for chunk in addresses.chunks(CHUNK) {
            let mut all = Vec::with_capacity(chunk.len());
            let shrink = self.go.offsets.g_preempt_shrink;
            let mut during = During { begin: monotonic_ns(), ..During::default() };
            let size = self.go.offsets.g_size;
            let with = |i: usize, bytes: &[u8]| {
                let asked_to_shrink = shrink.and_then(|at| bytes.get(at)).map(|asked| *asked != 0);
                all.push((Raw::parse(chunk[i], bytes, &self.go.offsets), asked_to_shrink));
            };
            let read = match self.collector.addresses() {
                Some(words) => buffers.read_structs_between(self.target, words, chunk, size, with),
                None => buffers.read_structs(self.target, chunk, size, with).map(|()| [None; 2]),
            };
            match read {
                Ok(collector) => {
                    [during.before, during.after] = collector.map(|words| words.and_then(Collector::idle));
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
            during.end = monotonic_ns();
            all.iter().for_each(|(raw, asked_to_shrink)| self.note(raw, *asked_to_shrink, during));
        }
        self.buffers = buffers;
        outcome
    }

    /// Keeps what a reading found.
    fn note(&mut self, raw: &Raw, asked_to_shrink: Option<bool>, during: During) {
        let During { begin, end, before, after } = during;
        if self.known.len() >= 2 * MAX_KNOWN {
            self.known.clear();
            self.stacks.clear();
            self.past.clear();
        }
        let identity = Identity { goid: raw.goid, gopc: raw.gopc, startpc: raw.startpc };
        let usable = raw.on_stack(raw.stack_lo) && raw.stack_lo != 0;
        let stack = if usable { (raw.stack_lo, raw.stack_hi) } else { (0, 0) };
        let known = self.known.entry(raw.address).or_insert_with(|| Known {
            identity: Runs::new(identity, begin, end),
            stack: Runs::new((0, 0), begin, end),
            labels: Runs::new(raw.labels, begin, end),
            read_ns: begin,
            collector: None,
        });
        // A stack that was another one in between, and the same again, was shrunk: growing alone leads away.
        let steady = known.collector.is_some() && known.collector == after.zip(asked_to_shrink);
        known.collector = before.zip(asked_to_shrink);
        let former = known.stack.latest();
        known.read_ns = begin;
        known.identity.note(identity, begin, end);
        // One that has ended has lost its labels.
        if !raw.is_over() {
            known.labels.note(raw.labels, begin, end);
        }
        known.stack.note_if(steady, stack, begin, end);
        if former != stack {
            self.moved(raw.address, former, stack);
        }
    }

    /// A goroutine's stack is now elsewhere.
    fn moved(&mut self, goroutine: u64, from: Bounds, to: Bounds) {
        if self.stacks.get(&from.0).is_some_and(|(_, owner)| *owner == goroutine) {
            self.stacks.remove(&from.0);
            self.keep_past(from, goroutine);
        }
        if to == (0, 0) {
            return;
        }
        // What lies there was the stack of others before.
        let before = self.stacks.range(..to.1).rev().take_while(|(_, (end, _))| *end > to.0);
        let overlapping: Vec<_> = before.map(|(lo, (hi, owner))| (*lo, *hi, *owner)).collect();
        for (lo, hi, owner) in overlapping {
            self.stacks.remove(&lo);
            self.keep_past((lo, hi), owner);
        }
        self.stacks.insert(to.0, (to.1, goroutine));
    }

    fn keep_past(&mut self, stack: Bounds, goroutine: u64) {
        let entry = (stack.0, stack.1, goroutine);
        match self.past.get_mut(self.next_past) {
            Some(oldest) => *oldest = entry,
            None => self.past.push(entry),
        }
        self.next_past = (self.next_past + 1) % MAX_PAST;
    }
}

fn contains(stack: Bounds, address: u64) -> bool {
    stack.0 <= address && address < stack.1
}
