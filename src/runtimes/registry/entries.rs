//! Reading entries without stopping the target, and using only what did not change.
//!
//! A block of entries is copied twice. If the two copies of the fields that a sequence number covers are
//! equal, and the number is even, nothing was written in between. The other entries are copied again one by
//! one, which takes less time than the whole block and so mostly succeeds.

use std::sync::atomic::{Ordering, fence};

use super::chain::{self, ChainStatus};
use super::layout::{Bytes, EntryLayout, Field, Group, Run, Text};
use crate::process::{Memory, Range, TargetError};

/// Bytes copied at a time: both copies stay in the cache.
const BLOCK: usize = 512 << 10;
/// How often an entry is copied again before it is given up.
const RETRIES: u32 = 3;
/// The state of a running task.
const RUNNING: u32 = 2;

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Doing {
    pub(super) state: Option<u32>,
    pub(super) polls: Option<u64>,
    /// By the clock of polls; 0: never.
    pub(super) last_start_ns: u64,
    pub(super) last_end_ns: u64,
    pub(super) wait_address: u64,
    pub(super) wait_location: u64,
    pub(super) wait_reason: u32,
    pub(super) thread: u32,
}

/// An entry in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) address: u64,
    pub(super) id: u64,
    pub(super) parent: u64,
    pub(super) spawned_ns: u64,
    pub(super) location: u64,
    pub(super) type_name: Text,
    pub(super) name: Text,
    pub(super) task_header: u64,
    pub(super) kind: u32,
    /// None: it kept changing.
    pub(super) doing: Option<Doing>,
    /// How its await places were found.
    pub(super) chain_status: ChainStatus,
    /// The places, innermost first: start and length in [`Batch::places`].
    pub(super) places: (usize, usize),
}

/// The result of reading a block of entries.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// Addresses of Locations.
    pub(super) places: Vec<u64>,
    /// Addresses of entries that kept changing: not even their identity is known.
    pub(super) torn: Vec<u64>,
    /// Entries copied again.
    pub(super) retried: u64,
    /// Entries whose memory cannot be read.
    pub(super) unreadable: u64,
}

/// What two copies of an entry show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    identity: Identity,
    poll: bool,
    chain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Free,
    Settled,
    Moving,
}

impl Verdict {
    fn is_settled(self) -> bool {
        match self.identity {
            Identity::Free => true,
            Identity::Settled => self.poll && self.chain,
            Identity::Moving => false,
        }
    }

    fn of(layout: &EntryLayout, a: &[u8], b: &[u8]) -> Verdict {
        let (first, second) = (Bytes(a), Bytes(b));
        let number = |field| layout.offset(field).map(|at| (first.u32(at), second.u32(at)));
        let equal = |group| {
            let same = |&(at, len): &(usize, usize)| a.get(at..at + len) == b.get(at..at + len);
            layout.covered(group).iter().all(same)
        };
        let even =
            |field, group| number(field).is_none_or(|(a, b)| a == b && a.is_multiple_of(2)) && equal(group);
        let id = layout.offset(Field::Id).map_or(0, |at| second.u64(at));
        let identity = match even(Field::Seq, Group::Identity) {
            false => Identity::Moving,
            true if id == 0 => Identity::Free,
            true => Identity::Settled,
        };
        Verdict {
            identity,
            poll: even(Field::PollSeq, Group::Poll),
            // This number counts changes, and is odd after every second one.
            chain: number(Field::ChainSeq).is_none_or(|(a, b)| a == b) && equal(Group::Chain),
        }
    }
}

/// Reads entries block by block and reuses its buffers.
pub(super) struct Entries<'a> {
    memory: &'a dyn Memory,
    layout: &'a EntryLayout,
    first: Vec<u8>,
    second: Vec<u8>,
    ranges: Vec<Range>,
    ok: Vec<bool>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(memory: &'a dyn Memory, layout: &'a EntryLayout) -> Self {
        Entries { memory, layout, first: Vec::new(), second: Vec::new(), ranges: Vec::new(), ok: Vec::new() }
    }

    /// Splits a run of entries into blocks.
    pub(super) fn blocks(layout: &EntryLayout, run: Run) -> impl Iterator<Item = Run> + use<> {
        let (size, most) = (layout.size as u64, (BLOCK / layout.size).max(1) as u64);
        (0..run.entries.div_ceil(most)).map(move |nth| Run {
            address: run.address.saturating_add(nth * most * size),
            entries: most.min(run.entries - nth * most),
        })
    }

    /// Reads a block.
    pub(super) fn read(&mut self, block: Run) -> Result<Batch, TargetError> {
        let mut batch = Batch::default();
        let len = usize::try_from(block.entries).unwrap_or(0).saturating_mul(self.layout.size).min(BLOCK);
        self.first.resize(len.max(self.layout.size), 0);
        self.second.resize(len.max(self.layout.size), 0);
        let copy = |into: &mut Vec<u8>| match self.memory.read(block.address, into) {
            Ok(()) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        };
        let copied = copy(&mut self.first)?;
        fence(Ordering::SeqCst);
        let mut moving = Vec::new();
        if !copied || !copy(&mut self.second)? {
            // One entry that cannot be read must not lose its neighbours.
            let size = self.layout.size as u64;
            moving.extend((0..block.entries).map(|nth| block.address.saturating_add(nth * size)));
            self.again(moving, &mut batch)?;
            batch.retried = 0;
            return Ok(batch);
        }
        let copies =
            self.first.chunks_exact(self.layout.size).zip(self.second.chunks_exact(self.layout.size));
        for (nth, (a, b)) in copies.enumerate() {
            let address = block.address.saturating_add((nth * self.layout.size) as u64);
            let verdict = Verdict::of(self.layout, a, b);
            if verdict.is_settled() {
                keep(self.layout, address, b, verdict, &mut batch);
            } else {
                moving.push(address);
            }
        }
        self.again(moving, &mut batch)?;
        Ok(batch)
    }

    /// Copies single entries until they do not change.
    fn again(&mut self, mut moving: Vec<u64>, batch: &mut Batch) -> Result<(), TargetError> {
        for attempt in 1..=RETRIES {
            if moving.is_empty() {
                return Ok(());
            }
            batch.retried += moving.len() as u64;
            let mut left = Vec::new();
            for few in moving.chunks(64 >> attempt) {
                self.copy_twice(few)?;
                let size = self.layout.size;
                let copies = self.first.chunks_exact(size).zip(self.second.chunks_exact(size));
                for ((&address, (a, b)), &ok) in few.iter().zip(copies).zip(&self.ok) {
                    let verdict = Verdict::of(self.layout, a, b);
                    if !ok {
                        batch.unreadable += 1;
                    } else if verdict.is_settled() || attempt == RETRIES {
                        keep(self.layout, address, b, verdict, batch);
                    } else {
                        left.push(address);
                    }
                }
            }
            moving = left;
        }
        Ok(())
    }

    fn copy_twice(&mut self, addresses: &[u64]) -> Result<(), TargetError> {
        let size = self.layout.size;
        self.ranges.clear();
        self.ranges.extend(addresses.iter().map(|&address| Range { address, len: size }));
        for copy in [&mut self.first, &mut self.second] {
            copy.resize(size * addresses.len(), 0);
        }
        self.ok.clear();
        self.ok.resize(addresses.len(), false);
        self.memory.read_many(&self.ranges, &mut self.first, &mut self.ok)?;
        fence(Ordering::SeqCst);
        let mut ok = vec![false; addresses.len()];
        self.memory.read_many(&self.ranges, &mut self.second, &mut ok)?;
        self.ok.iter_mut().zip(ok).for_each(|(both, second)| *both &= second);
        Ok(())
    }
}

/// Keeps the reliable part of an entry.
fn keep(layout: &EntryLayout, address: u64, bytes: &[u8], verdict: Verdict, batch: &mut Batch) {
    match verdict.identity {
        Identity::Free => return,
        Identity::Moving => return batch.torn.push(address),
        Identity::Settled => {}
    }
    let entry = Bytes(bytes);
    let u32 = |field| layout.offset(field).map_or(0, |at| entry.u32(at));
    let u64 = |field| layout.offset(field).map_or(0, |at| entry.u64(at));
    let text = |address, len| Text { address: u64(address), len: u32(len) };
    let doing = verdict.poll.then(|| Doing {
        state: layout.offset(Field::State).map(|at| entry.u32(at)),
        polls: layout.offset(Field::Polls).map(|at| entry.u64(at)),
        last_start_ns: u64(Field::LastPollStartNs),
        last_end_ns: u64(Field::LastPollEndNs),
        wait_address: u64(Field::WaitAddress),
        wait_location: u64(Field::WaitLocation),
        wait_reason: u32(Field::WaitReason),
        thread: u32(Field::Thread),
    });
    if doing.is_some_and(|doing| doing.state == Some(0)) {
        return;
    }
    let start = batch.places.len();
    let runs = doing.is_none_or(|doing| doing.state == Some(RUNNING));
    let chain_status = match verdict.chain {
        true => chain::path(layout, bytes, runs, &mut batch.places),
        false => ChainStatus::Moving,
    };
    batch.entries.push(Entry {
        address,
        id: u64(Field::Id),
        parent: u64(Field::ParentId),
        spawned_ns: u64(Field::SpawnedNs),
        location: u64(Field::Location),
        type_name: text(Field::TypeName, Field::TypeNameLen),
        name: text(Field::Name, Field::NameLen),
        task_header: u64(Field::TaskHeader),
        kind: u32(Field::Kind),
        doing,
        chain_status,
        places: (start, batch.places.len() - start),
    });
}
