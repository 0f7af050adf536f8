//! A table from the ids that a runtime gives its tasks to numbers. Looking up takes no lock, because each
//! poll does it. Entering and removing do: each happens once per task. Independent of any layout, so that
//! loom can model exactly the code that runs.

use std::sync::OnceLock;

#[cfg(loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

/// Slots of the smallest table.
const FIRST: usize = if cfg!(loom) { 2 } else { 16 };
/// Each table has twice as many slots as the previous one.
const TABLES: usize = 22;

/// A task's id, 0 for none, and its number.
#[derive(Debug, Default)]
struct Slot {
    id: AtomicU64,
    number: AtomicU32,
}

/// Slots, a power of two in number. An id is at most `reach` slots after the slot of its hash.
#[derive(Debug)]
struct Table {
    slots: Box<[Slot]>,
    reach: AtomicUsize,
}

impl Table {
    fn new(slots: usize) -> Table {
        Table { slots: (0..slots).map(|_| Slot::default()).collect(), reach: AtomicUsize::new(0) }
    }

    /// The slots where an id may be, with their distances: as many as `reach` says, or all.
    fn path(&self, id: u64, reach: usize) -> impl Iterator<Item = (usize, &Slot)> {
        let (first, mask) = ((id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize, self.slots.len() - 1);
        let slots = (0..=reach.min(mask)).map(move |step| (step, first.wrapping_add(step) & mask));
        slots.filter_map(|(step, at)| Some((step, self.slots.get(at)?)))
    }

    fn find(&self, id: u64) -> Option<&Slot> {
        let mut path = self.path(id, self.reach.load(Ordering::Acquire));
        path.find(|(_, slot)| slot.id.load(Ordering::Acquire) == id).map(|(_, slot)| slot)
    }

    /// Called by one thread at a time.
    fn enter(&self, id: u64, number: u32) {
        let mut path = self.path(id, usize::MAX);
        let Some((step, slot)) = path.find(|(_, slot)| slot.id.load(Ordering::Relaxed) == 0) else { return };
        if step > self.reach.load(Ordering::Relaxed) {
            self.reach.store(step, Ordering::Release);
        }
        slot.number.store(number, Ordering::Relaxed);
        slot.id.store(id, Ordering::Release);
    }
}

/// Numbers by ids. A thread that looks up an id must have seen that it was entered, and must not look it up
/// while it is removed. Other ids that are entered and removed meanwhile do not matter.
#[derive(Debug)]
pub struct Ids {
    /// Tables that became too small are kept for threads that still read them: together they are no larger
    /// than the one in use.
    tables: [OnceLock<Table>; TABLES],
    in_use: AtomicUsize,
    /// The number of ids; for the thread that changes the table.
    live: Mutex<usize>,
}

impl Ids {
    /// An empty table.
    #[cfg(not(loom))]
    pub const fn new() -> Ids {
        Ids { tables: [const { OnceLock::new() }; TABLES], in_use: AtomicUsize::new(0), live: Mutex::new(0) }
    }

    /// An empty table.
    #[cfg(loom)]
    pub fn new() -> Ids {
        Ids { tables: [const { OnceLock::new() }; TABLES], in_use: AtomicUsize::new(0), live: Mutex::new(0) }
    }

    /// The number of an id.
    pub fn find(&self, id: u64) -> Option<u32> {
        let table = self.tables.get(self.in_use.load(Ordering::Acquire))?.get()?;
        table.find(id).map(|slot| slot.number.load(Ordering::Relaxed))
    }

    /// Enters an id that is not yet there and not 0. False: there is no room.
    pub fn enter(&self, id: u64, number: u32) -> bool {
        let mut live = self.lock();
        let in_use = self.in_use.load(Ordering::Relaxed);
        let Some(place) = self.tables.get(in_use) else { return false };
        let mut table = place.get_or_init(|| Table::new(FIRST << in_use));
        if *live >= table.slots.len() / 2 {
            let Some(place) = self.tables.get(in_use + 1) else { return false };
            let larger = place.get_or_init(|| Table::new(FIRST << (in_use + 1)));
            for slot in &table.slots {
                let id = slot.id.load(Ordering::Relaxed);
                if id != 0 {
                    larger.enter(id, slot.number.load(Ordering::Relaxed));
                }
            }
            self.in_use.store(in_use + 1, Ordering::Release);
            table = larger;
        }
        table.enter(id, number);
        *live += 1;
        true
    }

    /// Removes an id; returns its number, if it was there.
    pub fn remove(&self, id: u64) -> Option<u32> {
        let mut live = self.lock();
        let table = self.tables.get(self.in_use.load(Ordering::Relaxed))?.get()?;
        let slot = table.find(id)?;
        let number = slot.number.load(Ordering::Relaxed);
        slot.id.store(0, Ordering::Relaxed);
        *live -= 1;
        Some(number)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.live.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ids_come_and_go() {
        let ids = Ids::new();
        assert_eq!((ids.find(1), ids.remove(1)), (None, None));
        for id in 1..=10_000 {
            assert!(ids.enter(id, id as u32 * 3));
            if id > 100 && id % 7 != 0 {
                assert_eq!(ids.remove(id - 100), Some((id - 100) as u32 * 3));
            }
        }
        let there = (1..=10_000).filter(|&id| ids.find(id) == Some(id as u32 * 3)).count();
        let removed = (101..=10_000).filter(|id| id % 7 != 0).count();
        assert_eq!(there, 10_000 - removed);
        assert_eq!(*ids.lock(), there);
    }
}
