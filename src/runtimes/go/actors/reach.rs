//! Which objects a goroutine can reach by pointers.

use rustc_hash::FxHashSet;

use super::spans::{Object, Spans};
use super::wanted::Objects;
use crate::process::paged::PagedMemory;
use crate::runtimes::go::arch::MAX_ADDRESS;
use crate::snapshot::ObjectId;

/// Pointers that are followed one after the other.
const MAX_HOPS: u8 = 3;
/// Objects that are read for one goroutine.
const MAX_OBJECTS: usize = 4096;
/// Bytes that are read of one object.
const MAX_OBJECT: u64 = 16 << 10;
/// Bytes that are read for one goroutine.
const MAX_BYTES: u64 = 512 << 10;
/// Bytes that are read where an object's size is not known.
const WINDOW: u64 = 128;
/// Nothing is mapped below.
const LOWEST: u64 = 4096;

/// What was reached.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Objects that are asked for, with the number of pointers that lead to them from the roots.
    pub(super) objects: Vec<(ObjectId, u8)>,
    /// Not everything was followed.
    pub(super) cut: bool,
}

impl Reach {
    /// How many pointers lead to an object.
    pub(super) fn hops(&self, object: ObjectId) -> Option<u8> {
        self.objects.iter().find(|(known, _)| *known == object).map(|(_, hops)| *hops)
    }
}

/// The heap, as far as pointers are followed through it.
pub(super) struct Heap<'h> {
    /// None if the runtime's tables were not found.
    pub(super) spans: Option<&'h mut Spans>,
    /// Addresses of goroutine structs: they lead to everything and say nothing.
    pub(super) goroutines: &'h FxHashSet<u64>,
}

impl Heap<'_> {
    fn object(&mut self, memory: &mut PagedMemory<'_>, address: u64) -> Option<Object> {
        match &mut self.spans {
            Some(spans) => spans.object(memory, address),
            None => Some(Object { address: address & !7, size: WINDOW, is_plain: false }),
        }
    }

    /// What pointers from these words lead to.
    pub(super) fn reach(
        &mut self,
        roots: impl IntoIterator<Item = u64>,
        objects: &Objects,
        memory: &mut PagedMemory<'_>,
    ) -> Reach {
        let mut reach = Reach::default();
        let mut visited: FxHashSet<u64> = FxHashSet::default();
        let mut words: Vec<u64> = roots.into_iter().collect();
        let mut bytes = 0;
        for hops in 0..=MAX_HOPS {
            let mut next = Vec::new();
            for word in std::mem::take(&mut words) {
                if !(LOWEST..=MAX_ADDRESS).contains(&word) {
                    continue;
                }
                for object in objects.at(word) {
                    if reach.hops(object).is_none() {
                        reach.objects.push((object, hops));
                    }
                }
                if hops == MAX_HOPS {
                    continue;
                }
                let Some(object) = self.object(memory, word) else { continue };
                if object.is_plain
                    || self.goroutines.contains(&object.address)
                    || !visited.insert(object.address)
                {
                    continue;
                }
                // A waiter's record begins with its goroutine.
                let is_waiter = |word: u64| self.goroutines.contains(&word);
                if memory.word(object.address).is_some_and(is_waiter) {
                    continue;
                }
                if visited.len() > MAX_OBJECTS || bytes > MAX_BYTES {
                    reach.cut = true;
                    return reach;
                }
                reach.cut |= object.size > MAX_OBJECT;
                let size = object.size.min(MAX_OBJECT);
                bytes += size;
                next.extend(
                    (0..size / 8).filter_map(|nth| memory.word(object.address.checked_add(8 * nth)?)),
                );
            }
            words = next;
        }
        reach
    }
}
