//! The wait objects of a snapshot, found by their kind and address.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::snapshot::{ObjectId, ObjectKind, WaitObject};

/// The wait objects of a snapshot. There may be millions: the index has their numbers only, so that little memory is touched.
/// Hashed with its own seed, because the addresses come from programs that may be hostile.
#[derive(Debug, Default)]
pub(super) struct Objects {
    all: Vec<WaitObject>,
    index: HashTable<Slot>,
    hasher: DefaultHashBuilder,
}

/// The number of an object, and enough of its hash that a growing index need not visit the objects.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    id: ObjectId,
}

impl Slot {
    /// A hash whose upper and lower bits are those of the slot: the index uses both.
    fn spread(self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}

impl Objects {
    /// The object of this kind at this address, and whether it is new.
    pub(super) fn find_or_add(&mut self, kind: ObjectKind, address: u64) -> (ObjectId, bool) {
        let hash = self.hasher.hash_one((kind, address)) as u32;
        let new = Slot { hash, id: ObjectId(self.all.len() as u32) };
        let all = &self.all;
        let is_it = |slot: &Slot| {
            slot.hash == hash
                && all.get(slot.id.index()).is_some_and(|one| one.kind == kind && one.address == address)
        };
        if let Some(known) = self.index.find(new.spread(), is_it) {
            return (known.id, false);
        }
        self.index.insert_unique(new.spread(), new, |slot| slot.spread());
        self.all.push(WaitObject { kind, address, channel: None, lock: None });
        (new.id, true)
    }

    /// Makes room for this many more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.all.reserve(more);
        self.index.reserve(more, |slot| slot.spread());
    }

    /// In the order of their ids.
    pub(super) fn all(&self) -> &[WaitObject] {
        &self.all
    }

    pub(super) fn get_mut(&mut self, id: ObjectId) -> Option<&mut WaitObject> {
        self.all.get_mut(id.index())
    }

    /// Takes back what was added and changed since there were these.
    pub(super) fn roll_back(&mut self, to: Vec<WaitObject>) {
        self.index.retain(|slot| slot.id.index() < to.len());
        self.all = to;
    }

    /// In the order of their ids.
    pub(super) fn into_all(self) -> Vec<WaitObject> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_is_there_once() {
        let mut objects = Objects::default();
        objects.reserve(100);
        let add = |objects: &mut Objects, address| objects.find_or_add(ObjectKind::Timer, address);
        for address in 0..5000 {
            assert_eq!(add(&mut objects, 8 * address), (ObjectId(address as u32), true));
        }
        assert_eq!(add(&mut objects, 8 * 17), (ObjectId(17), false));
        assert_eq!(objects.find_or_add(ObjectKind::Mutex, 8 * 17), (ObjectId(5000), true), "of another kind");
        let before = objects.all().get(..18).expect("there are more").to_vec();
        objects.roll_back(before);
        assert_eq!(add(&mut objects, 8 * 17), (ObjectId(17), false));
        assert_eq!(add(&mut objects, 8 * 18), (ObjectId(18), true));
        assert_eq!(objects.into_all().len(), 19);
    }
}
