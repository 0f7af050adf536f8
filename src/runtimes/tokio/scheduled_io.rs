//! Which tasks wait for which descriptors, without debug information.
//!
//! For each descriptor Tokio's I/O driver has a record, `ScheduledIo`, in which tasks leave the wakers with which they are
//! woken once it is ready. The kernel knows the record of each descriptor: its address is what the driver notes beside the
//! descriptor in its epoll set (since Tokio 1.33; in 1.28 that is a number).
//!
//! Source: `src/runtime/io/{driver,scheduled_io}.rs`, `src/util/linked_list.rs` and `src/runtime/task/waker.rs` of Tokio
//! 1.33 to 1.54. The order of the fields is rustc's own choice. It was the same in every build that was looked at, and what
//! is read must fit together: the wakers have one vtable, which is in a file, their tasks are known, and no descriptor is
//! ready for what it is waited for.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::process::bytes::word;
use crate::process::descriptors::{polls_of, watched_by};
use crate::process::{Range, Target, TargetError};
use crate::snapshot::WaitOp;

/// Bytes of a record that are read, and where its fields are.
const RECORD: usize = 80;
const READINESS: usize = 16;
/// The first of those who wait, as a list.
const LIST: usize = 32;
/// The waker of the task that reads, and that of the task that writes, each as a vtable and a header.
const SLOTS: [(usize, u64); 2] = [(48, READABLE), (64, WRITABLE)];

/// Bytes of an entry of the list that are read, and where its fields are. It begins with the one before.
const ENTRY: usize = 40;
const NEXT: usize = 8;
const WAKER: usize = 16;
const INTEREST: usize = 32;

/// Bits of a readiness, and of an interest.
const READABLE: u64 = 1;
const WRITABLE: u64 = 2;

/// Entries of one record's list that are looked at. So many tasks seldom wait for one descriptor.
const MAX_LIST: usize = 1024;
/// Entries of all lists.
const MAX_ENTRIES: usize = 1 << 18;
/// Programs with more descriptors than this are not asked. The kernel keeps an epoll set locked for half a microsecond for
/// each of its descriptors while it lists them: so long the program's I/O driver may have to wait.
const MAX_DESCRIPTORS: usize = 1 << 16;
/// The same for a program that is read again and again.
const MAX_REPEATED: usize = 1 << 12;

/// A task that is woken when a descriptor is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiter {
    /// The address of its header.
    pub(super) task: u64,
    pub(super) fd: u32,
    /// What it wants to do.
    pub(super) op: WaitOp,
    /// The inode of what the driver has the record for.
    pub(super) inode: Option<u64>,
}

/// A descriptor that the driver has a record for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Polled {
    fd: u32,
    inode: Option<u64>,
}

/// A waker that was found.
#[derive(Debug, Clone, Copy)]
struct Waker {
    vtable: u64,
    waiter: Waiter,
    /// The descriptor is ready for it: the task is about to be woken.
    is_over: bool,
}

/// Those of these tasks that wait for descriptors, in order; None if the program has so many that it is not asked.
///
/// # Errors
/// If the target cannot be read.
pub(super) fn waiters(
    target: &dyn Target,
    pid: u32,
    repeated: bool,
    is_task: impl Fn(u64) -> bool,
) -> Result<Option<Vec<Waiter>>, TargetError> {
    let most = if repeated { MAX_REPEATED } else { MAX_DESCRIPTORS };
    if open_descriptors(pid) > most {
        return Ok(None);
    }
    let watched = polls_of(pid).into_iter().flat_map(|poll| watched_by(pid, poll));
    let records: FxHashSet<(u64, Polled)> = watched
        .map(|watched| (watched.data, Polled { fd: watched.fd, inode: watched.inode }))
        .filter(|(address, _)| is_pointer(*address))
        .take(most)
        .collect();
    let mut records: Vec<(u64, Polled)> = records.into_iter().collect();
    records.sort_unstable();
    let mut wakers = Vec::new();
    let mut entries = Vec::new();
    each(target, &records, RECORD, |&(_, polled), bytes| {
        let readiness = word(bytes, READINESS);
        wakers.extend(
            SLOTS.iter().filter_map(|&(at, interest)| waker(bytes, at, interest, (polled, readiness))),
        );
        entries.push((word(bytes, LIST), (polled, readiness)));
    })?;
    listed(target, entries, &mut wakers)?;
    wakers.retain(|waker| is_task(waker.waiter.task));
    let of_tasks = vtable(target, &wakers)?;
    let is_sure = |waker: &Waker| !waker.is_over && Some(waker.vtable) == of_tasks;
    let mut found: Vec<Waiter> = wakers.into_iter().filter(is_sure).map(|waker| waker.waiter).collect();
    found.sort_unstable();
    Ok(Some(found))
}

/// Adds the wakers of lists. `entries`: where each list begins, and its descriptor with the readiness.
fn listed(
    target: &dyn Target,
    mut entries: Vec<(u64, (Polled, u64))>,
    wakers: &mut Vec<Waker>,
) -> Result<(), TargetError> {
    let mut left = MAX_ENTRIES;
    let mut seen = FxHashSet::default();
    for _ in 0..MAX_LIST {
        // A list that changes, or that the program has made so, may lead back.
        entries.retain(|(address, _)| is_pointer(*address) && seen.insert(*address));
        entries.truncate(left);
        left -= entries.len();
        if entries.is_empty() {
            break;
        }
        let mut next = Vec::new();
        each(target, &entries, ENTRY, |&(_, of), bytes| {
            wakers.extend(waker(bytes, WAKER, word(bytes, INTEREST) & (READABLE | WRITABLE), of));
            next.push((word(bytes, NEXT), of));
        })?;
        entries = next;
    }
    Ok(())
}

/// The waker at `at`, if there may be one.
fn waker(bytes: &[u8], at: usize, interest: u64, (polled, readiness): (Polled, u64)) -> Option<Waker> {
    let op = match interest {
        READABLE => WaitOp::Read,
        WRITABLE => WaitOp::Write,
        // For either, or for what is neither.
        _ => WaitOp::Wait,
    };
    let (vtable, task) = (word(bytes, at), word(bytes, at + 8));
    let Polled { fd, inode } = polled;
    let waiter = Waiter { task, fd, op, inode };
    (vtable != 0).then_some(Waker { vtable, waiter, is_over: readiness & interest != 0 })
}

/// The vtable that wakers of tasks have: Tokio has one for all of them, in a file.
fn vtable(target: &dyn Target, wakers: &[Waker]) -> Result<Option<u64>, TargetError> {
    let mut votes: FxHashMap<u64, usize> = FxHashMap::default();
    wakers.iter().for_each(|waker| *votes.entry(waker.vtable).or_default() += 1);
    let Some((most, _)) = votes.into_iter().max_by_key(|(vtable, votes)| (*votes, *vtable)) else {
        return Ok(None);
    };
    let is_in_file = target.mappings()?.iter().any(|mapping| {
        mapping.path.starts_with('/') && mapping.read && (mapping.start..mapping.end).contains(&most)
    });
    Ok(Some(most).filter(|_| is_in_file))
}

/// Reads bytes at each of these addresses, in few calls. What cannot be read is left out.
pub(super) fn each<T>(
    target: &dyn Target,
    all: &[(u64, T)],
    size: usize,
    mut with: impl FnMut(&(u64, T), &[u8]),
) -> Result<(), TargetError> {
    const AT_A_TIME: usize = 1024;
    for part in all.chunks(AT_A_TIME) {
        let ranges: Vec<Range> =
            part.iter().map(|(address, _)| Range { address: *address, len: size }).collect();
        let (mut bytes, mut ok) = (vec![0; size * part.len()], vec![false; part.len()]);
        target.read_many(&ranges, &mut bytes, &mut ok)?;
        let read = part.iter().zip(bytes.chunks_exact(size)).zip(&ok).filter(|(_, ok)| **ok);
        read.for_each(|((one, bytes), _)| with(one, bytes));
    }
    Ok(())
}

fn is_pointer(word: u64) -> bool {
    word.is_multiple_of(8) && (4096..1 << 47).contains(&word)
}

/// How many descriptors a process has open.
fn open_descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VTABLE: u64 = 0x5600_0000_1000;
    const TASK: u64 = 0x7f00_0000_2000;

    const POLLED: Polled = Polled { fd: 7, inode: Some(61) };

    fn record(words: [u64; 10]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn wakers_of_those_who_read_and_write() {
        // The second slot is empty: its waker was taken, and the task's address is left.
        let bytes = record([0, 0, 0x1_0002, 0, 0, 0, VTABLE, TASK, 0, TASK]);
        let found: Vec<Waker> = SLOTS
            .iter()
            .filter_map(|&(at, interest)| waker(&bytes, at, interest, (POLLED, 0x1_0002)))
            .collect();
        let [reader] = found[..] else { panic!("{found:?}") };
        assert_eq!(reader.waiter, Waiter { task: TASK, fd: 7, op: WaitOp::Read, inode: Some(61) });
        assert!(!reader.is_over);
        let ready = waker(&bytes, SLOTS[0].0, READABLE, (POLLED, 0x1_0003));
        assert!(ready.is_some_and(|waker| waker.is_over), "it is about to be woken");
        let either = waker(&bytes, SLOTS[0].0, READABLE | WRITABLE, (POLLED, 0));
        assert!(either.is_some_and(|waker| waker.waiter.op == WaitOp::Wait));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..RECORD + 8), readiness: u64) {
            for (at, interest) in SLOTS {
                let _ = waker(&bytes, at, interest, (POLLED, readiness));
            }
            let _ = waker(&bytes, WAKER, readiness, (POLLED, readiness));
        }
    }
}
