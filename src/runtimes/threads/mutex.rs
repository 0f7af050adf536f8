//! Who holds a mutex of glibc (`pthread_mutex_t`) on x86-64: its own memory says it.

use crate::process::{Memory, Target};

/// Bytes that are read: the lock at 0, count at 4, owner at 8, users at 12, kind at 16.
const LEN: usize = 20;
/// A locked mutex for which threads wait.
const CONTENDED: u32 = 2;
/// The bits that a kind may have: type, robust, protocols, elision, shared (`PTHREAD_MUTEX_*_NP` of nptl).
const KIND: u32 = 0x1ff;
/// The thread id in the word of a lock with priority inheritance (`FUTEX_TID_MASK`).
const TID: u32 = 0x3fff_ffff;

/// The owner of the mutex at an address, by its thread id as the process knows it. None if this is no such mutex: other
/// libraries use the same number for a lock with waiting threads, but have no owner.
pub(super) fn owner(target: &dyn Target, address: u64) -> Option<u32> {
    let words = words(target, address)?;
    let is_same = words == self::words(target, address)?;
    let [lock, count, owner, users, kind] = words;
    let is_mutex = lock == CONTENDED && kind & !KIND == 0 && users > 0 && users <= 1 << 22;
    // Only a recursive one counts.
    let counts = kind & 3 == 1;
    (is_same && is_mutex && owner != 0 && (counts || count == 0)).then_some(owner)
}

/// The owner of a lock that the kernel itself gives to the next thread.
pub(super) fn owner_of_pi(target: &dyn Target, address: u64) -> Option<u32> {
    let word = target.read_u32(address).ok()?;
    let is_same = word == target.read_u32(address).ok()?;
    Some(word & TID).filter(|&tid| is_same && tid != 0)
}

fn words(memory: &(impl Memory + ?Sized), address: u64) -> Option<[u32; 5]> {
    let mut bytes = [0; LEN];
    memory.read(address, &mut bytes).ok()?;
    let (words, _) = bytes.as_chunks::<4>();
    let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
    Some([words.next()?, words.next()?, words.next()?, words.next()?, words.next()?])
}
