//! The state that locks and wait groups record. They do not record their holders.
//!
//! Source: `src/sync/mutex.go` (`internal/sync` from 1.24), `rwmutex.go`, `waitgroup.go` of Go 1.19 to 1.27.

use crate::process::bytes::word;
use crate::process::{Memory, TargetError};
use crate::runtimes::go::buffers::Buffers;
use crate::snapshot::{LockState, ObjectId, ObjectKind, SnapshotBuilder};

/// `Mutex { state int32; sema uint32 }`: the lowest bit of `state`.
const LOCKED: u64 = 1;
/// `RWMutex { w Mutex; writerSem, readerSem uint32; readerCount, readerWait int32 }`.
const READER_COUNT: usize = 16;
/// Bytes that are read: the size of the largest.
const SIZE: usize = 24;
/// Locks read together.
const BATCH: usize = 4096;

/// Reads the state of every lock and wait group that is waited for.
pub(in crate::runtimes::go) fn read(
    memory: &dyn Memory,
    into: &mut SnapshotBuilder,
) -> Result<(), TargetError> {
    let mut objects: Vec<(u64, ObjectKind, ObjectId)> = (0..)
        .map(ObjectId)
        .zip(into.objects())
        .filter(|(_, object)| state_in(object.kind, &[0; SIZE]).is_some())
        .map(|(id, object)| (object.address, object.kind, id))
        .collect();
    objects.sort_unstable_by_key(|(address, ..)| *address);
    let mut buffers = Buffers::default();
    for batch in objects.chunks(BATCH) {
        let addresses: Vec<u64> = batch.iter().map(|(address, ..)| *address).collect();
        buffers.read_structs(memory, &addresses, SIZE, |i, bytes| {
            let (_, kind, id) = batch[i];
            if let Some(state) = state_in(kind, bytes) {
                into.set_lock_state(id, state);
            }
        })?;
    }
    Ok(())
}

fn state_in(kind: ObjectKind, bytes: &[u8]) -> Option<LockState> {
    let first = word(bytes, 0);
    match kind {
        ObjectKind::Mutex if first & LOCKED != 0 => Some(LockState::Exclusive),
        ObjectKind::Mutex => Some(LockState::Free),
        ObjectKind::RwMutex => {
            let both = word(bytes, READER_COUNT);
            let (count, departing) = (both as u32 as i32, (both >> 32) as u32 as i32);
            // A writer that waits or writes makes the count negative; it waits for `departing` readers.
            Some(match (count, departing) {
                (..0, 1..) => LockState::Shared(departing as u32),
                (..0, _) => LockState::Exclusive,
                (0, _) => LockState::Free,
                (count, _) => LockState::Shared(count as u32),
            })
        }
        // The upper half is the counter, the lower one counts waiters.
        ObjectKind::WaitGroup => Some(LockState::Outstanding((first >> 32) as u32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(first: u64, third: u64) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[16..].copy_from_slice(&third.to_le_bytes());
        bytes
    }

    #[test]
    fn states_are_read() {
        let both = |count: i32, departing: i32| u64::from(count as u32) | u64::from(departing as u32) << 32;
        let max = 1 << 30;
        for (kind, bytes, state) in [
            (ObjectKind::Mutex, words(0b1001, 0), LockState::Exclusive),
            (ObjectKind::Mutex, words(0b1010, 0), LockState::Free),
            (ObjectKind::RwMutex, words(1, both(2 - max, 0)), LockState::Exclusive),
            (ObjectKind::RwMutex, words(1, both(3 - max, 2)), LockState::Shared(2)),
            (ObjectKind::RwMutex, words(0, both(5, 0)), LockState::Shared(5)),
            (ObjectKind::RwMutex, words(0, 0), LockState::Free),
            (ObjectKind::WaitGroup, words(3 << 32 | 1, 0), LockState::Outstanding(3)),
        ] {
            assert_eq!(state_in(kind, &bytes), Some(state), "{kind:?}");
        }
        assert_eq!(state_in(ObjectKind::Channel, &[0; SIZE]), None);
    }
}
