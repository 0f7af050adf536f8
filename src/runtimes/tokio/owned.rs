//! The schedulers that tasks name: which kind each is, and its own counts of tasks, to check what the search found.
//!
//! A scheduler is behind an `Arc`. Its fields have no fixed order, so they are recognised by what they must be:
//! the list of owned tasks (tokio, src/util/sharded_list.rs, since 1.36) is `{shards: ptr, len; added; count; mask; id}`
//! with `len` a power of two, `mask = len - 1`, and `id` the owner number that tasks have in their headers. The workers of
//! a multi-thread scheduler are a list of pairs of `Arc`s.

use std::collections::BTreeMap;

use super::scan::Header;
use super::version::Version;
use crate::process::{Memory, paged::PagedMemory};

/// Words of a scheduler that are examined. It may be shorter: then other memory follows.
const WORDS: u64 = 256;
/// The list of workers is at most this many words from the list of tasks: both are in one struct (`Shared`).
const NEAR: usize = 40;
const MAX_SHARDS: u64 = 1 << 16;
const MAX_WORKERS: u64 = 1 << 10;
/// Tasks in one list: more do not fit into a program's memory.
const MAX_LIVE: u64 = 1 << 40;
/// Schedulers examined: one for each runtime and each `LocalSet`.
const MAX_SCHEDULERS: usize = 1 << 12;
/// Room of a worker's own queue.
const QUEUE: u32 = 256;

/// What runs the tasks of one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    MultiThread,
    CurrentThread,
    LocalSet,
    Unknown,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::MultiThread => "multi-thread",
            Kind::CurrentThread => "current-thread",
            Kind::LocalSet => "local set",
            Kind::Unknown => "runtime",
        }
    }
}

/// What a list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tasks ever spawned. None in Tokio 1.36.
    pub(super) spawned: Option<u64>,
    /// Tasks in it now.
    pub(super) live: u64,
}

/// A scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scheduler {
    /// Where it is: the `Arc`.
    pub(super) address: u64,
    /// The number of its list of tasks.
    pub(super) owner: u64,
    pub(super) kind: Kind,
    pub(super) counts: Option<Counts>,
    /// The lengths of its workers' own queues.
    pub(super) queues: Vec<u32>,
}

impl Scheduler {
    /// Corrects what the form of its memory says of its kind: only a multi-thread one has workers.
    pub(super) fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
        if kind != Kind::MultiThread {
            self.queues.clear();
        }
    }
}

/// Whether workers of one of these versions keep the task that comes first in their queue (tokio,
/// src/runtime/scheduler/multi_thread/queue.rs). Each is minor and patch.
pub(super) fn has_slots(versions: &[Version]) -> bool {
    versions.iter().any(|version| [(51, 0), (51, 1), (52, 0), (52, 1)].contains(version))
}

/// Every scheduler that tasks name, by the number of its list.
pub(super) fn schedulers(memory: &dyn Memory, headers: &[Header], slots: bool) -> Vec<Scheduler> {
    let mut named: BTreeMap<u64, BTreeMap<u64, usize>> = BTreeMap::new();
    // Most neighbours in memory are of the same one.
    let same = |a: &Header, b: &Header| (a.owner, a.scheduler) == (b.owner, b.scheduler);
    for run in headers.chunk_by(same) {
        let Some(first) = run.first().filter(|first| first.owner != 0) else { continue };
        if named.contains_key(&first.owner) || named.len() < MAX_SCHEDULERS {
            *named.entry(first.owner).or_default().entry(first.scheduler).or_default() += run.len();
        }
    }
    // All tasks of a list name the same scheduler. If garbage names another one, most tasks are right.
    let most = |schedulers: &BTreeMap<u64, usize>| {
        schedulers.iter().max_by_key(|(_, tasks)| **tasks).map(|(address, _)| *address)
    };
    named.iter().filter_map(|(&owner, all)| Some(scheduler(memory, most(all)?, owner, slots))).collect()
}

/// The same ones again: their counts now.
pub(super) fn again(memory: &dyn Memory, known: &[Scheduler], slots: bool) -> Vec<Scheduler> {
    known.iter().map(|known| scheduler(memory, known.address, known.owner, slots)).collect()
}

fn scheduler(memory: &dyn Memory, address: u64, owner: u64, slots: bool) -> Scheduler {
    let mut paged = PagedMemory::new(memory);
    let words: Vec<u64> = (0..WORDS).map_while(|nth| paged.word(address.checked_add(nth * 8)?)).collect();
    let counts = counts(&words, owner);
    let queues = workers(&words, owner, slots, &mut paged);
    let kind = match (&queues, counts) {
        (Some(_), _) => Kind::MultiThread,
        (None, Some(_)) => Kind::CurrentThread,
        (None, None) => Kind::Unknown,
    };
    Scheduler { address, owner, kind, counts, queues: queues.unwrap_or_default() }
}

/// What a list of tasks counts whose number stands at `at`, if there is one.
fn list(words: &[u64], at: usize) -> Option<Counts> {
    let is_list = |shards: u64, len: u64, mask: u64| {
        is_pointer(shards) && len.is_power_of_two() && len <= MAX_SHARDS && mask == len - 1
    };
    match *words.get(at.saturating_sub(5)..at)? {
        [shards, len, added, count, mask] if is_list(shards, len, mask) && count <= added.min(MAX_LIVE) => {
            Some(Counts { spawned: Some(added), live: count })
        }
        [_, shards, len, count, mask] if is_list(shards, len, mask) && count <= MAX_LIVE => {
            Some(Counts { spawned: None, live: count })
        }
        _ => None,
    }
}

/// The counts of the list with this number.
fn counts(words: &[u64], owner: u64) -> Option<Counts> {
    let of_owner = words.iter().enumerate().filter(|(_, id)| **id == owner);
    let mut lists = of_owner.filter_map(|(at, _)| list(words, at));
    // Two would contradict each other.
    let first = lists.next()?;
    lists.next().is_none().then_some(first)
}

/// The lengths of the workers' queues, if there are workers. Memory that was not initialised, or that follows, may hold the
/// list of another scheduler's: the own one is near the list of tasks. Before Tokio 1.36 the list of tasks has another form,
/// and this cannot be seen.
fn workers(words: &[u64], owner: u64, slots: bool, memory: &mut PagedMemory<'_>) -> Option<Vec<u32>> {
    let of_owner = words.iter().enumerate().filter(|(_, id)| **id == owner);
    let lists: Vec<usize> = of_owner.map(|(at, _)| at).filter(|&at| list(words, at).is_some()).collect();
    let is_own = |at: usize| lists.is_empty() || lists.iter().any(|list| list.abs_diff(at) <= NEAR);
    words.windows(2).enumerate().find_map(|(at, pair)| {
        let [remotes, len] = *pair else { return None };
        if !is_pointer(remotes) || !(1..=MAX_WORKERS).contains(&len) || !is_own(at) {
            return None;
        }
        (0..len).map(|nth| remote(remotes.checked_add(nth * 16)?, slots, memory)).collect()
    })
}

/// The length of the queue of the worker with these two `Arc`s: one is of its queue, the other one wakes it.
fn remote(address: u64, slots: bool, memory: &mut PagedMemory<'_>) -> Option<u32> {
    let mut arcs = [memory.word(address)?, memory.word(address.checked_add(8)?)?];
    let is_arc = |arc: u64, memory: &mut PagedMemory<'_>| {
        let counts = [memory.word(arc), arc.checked_add(8).and_then(|weak| memory.word(weak))];
        is_pointer(arc) && counts.iter().all(|count| count.is_some_and(|count| (1..1 << 20).contains(&count)))
    };
    if !arcs.iter().all(|&arc| is_arc(arc, memory)) {
        return None;
    }
    arcs.iter_mut().find_map(|arc| queue(*arc, slots, memory))
}

/// The length of a queue: `{buffer; head: two u32; tail: u32}` in any order of fields of 8 bytes. In a few versions a task that
/// comes first may be before the tail: `slots` says that it is one of them.
fn queue(arc: u64, slots: bool, memory: &mut PagedMemory<'_>) -> Option<u32> {
    let mut field = |nth: u64| arc.checked_add(16 + nth * 8).and_then(|at| memory.word(at));
    let (a, b, c) = (field(0)?, field(1)?, field(2)?);
    let plain = if is_pointer(a) && a > u64::from(u32::MAX) { length(a, b, c) } else { length(b, a, c) };
    let is_slot = c == 0 || is_pointer(c);
    let with_slot = field(3).filter(|_| is_slot).and_then(|tail| length(a, b, tail));
    if slots { with_slot.or(plain) } else { plain.or(with_slot) }
}

fn length(buffer: u64, head: u64, tail: u64) -> Option<u32> {
    let (steal, real, tail) = ((head >> 32) as u32, head as u32, tail as u32);
    let len = tail.wrapping_sub(real);
    (is_pointer(buffer) && len <= QUEUE && real.wrapping_sub(steal) <= QUEUE).then_some(len)
}

fn is_pointer(word: u64) -> bool {
    word.is_multiple_of(8) && (4096..1 << 47).contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Range;

    #[test]
    fn a_list_is_recognised_by_its_number_and_mask() {
        let list = [9, 0x20000, 16, 500, 30, 15, 7, 0];
        let found = |spawned, live| Some(Counts { spawned, live });
        assert_eq!(counts(&list, 7), found(Some(500), 30));
        assert_eq!(counts(&list, 8), None);
        assert_eq!(
            counts(&[9, 0x20000, 16, 30, 15, 7], 7),
            found(None, 30),
            "older versions do not count spawns"
        );
        assert_eq!(counts(&[0x20000, 16, 500, 30, 14, 7], 7), None);
        assert_eq!(counts(&[0x20000, 16, 30, 500, 15, 7], 7), None, "more live tasks than were ever spawned");
        let many = 1 << 41;
        assert_eq!(counts(&[9, 0x20000, 16, many, many, 15, 7], 7), None, "more than memory has room for");
        assert_eq!(counts(&[9, 0x20000, 16, many, 15, 7], 7), None);
        assert_eq!(counts(&[list, list].concat(), 7), None, "two contradict each other");
    }

    struct Words(Vec<u64>);

    impl Memory for Words {
        fn read(&self, address: u64, buf: &mut [u8]) -> crate::process::Result<()> {
            let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
            let from = address.checked_sub(0x10000).map(|from| from as usize);
            let found = from.and_then(|from| bytes.get(from..)?.get(..buf.len()));
            let unmapped = crate::process::TargetError::Unmapped { address, len: buf.len() };
            buf.copy_from_slice(found.ok_or(unmapped)?);
            Ok(())
        }

        fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> crate::process::Result<()> {
            let mut at = 0;
            for (range, ok) in ranges.iter().zip(ok) {
                *ok = self.read(range.address, &mut buf[at..at + range.len]).is_ok();
                at += range.len;
            }
            Ok(())
        }
    }

    #[test]
    fn queues_with_and_without_a_slot() {
        let (buffer, task) = (0x5596_a40f_0630, 0x5596_a40d_f6f0);
        let length = |slots, fields: [u64; 4]| {
            let mut words = vec![2, 1];
            words.extend(fields);
            words.resize(1024, 0);
            queue(0x10000, slots, &mut PagedMemory::new(&Words(words)))
        };
        assert_eq!(length(false, [buffer, 7 << 32 | 7, 9, 0x51]), Some(2));
        assert_eq!(length(false, [7 << 32 | 7, buffer, 9, 0x51]), Some(2));
        for (slot, len) in [(0, 4), (task, 4)] {
            assert_eq!(length(true, [buffer, 0x3b1 << 32 | 0x3b1, slot, 0x3b5]), Some(len));
            assert_eq!(length(false, [buffer, 0x3b1 << 32 | 0x3b1, slot, 0x3b5]), Some(len));
        }
        assert_eq!(length(true, [buffer, 0, 0, 3]), Some(3), "of a new one only the version tells");
        assert_eq!(length(false, [buffer, 0, 0, 0x51]), Some(0));
        assert_eq!(length(true, [buffer, 7 << 32 | 7, 0, 0x3b5]), None);
    }
}
