//! Which objects can be reached by pointers.

use rustc_hash::FxHashSet;

use super::spans::{Object, Spans};
use super::wanted::Objects;
use crate::process::paged::PagedMemory;
use crate::runtimes::go::arch::MAX_ADDRESS;
use crate::runtimes::go::module::Module;
use crate::runtimes::go::offsets::Offsets;
use crate::snapshot::ObjectId;

/// Pointers that are followed one after the other.
const MAX_HOPS: u8 = 3;
/// Bytes that are read of one object.
const MAX_OBJECT: u64 = 64 << 10;
/// Bytes that are read where an object's size is not known.
const WINDOW: u64 = 128;
/// Nothing is mapped below.
const LOWEST: u64 = 4096;

/// Can this be an address?
pub(super) fn is_address(word: u64) -> bool {
    (LOWEST..=MAX_ADDRESS).contains(&word)
}

/// How much may be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) objects: usize,
    pub(super) bytes: u64,
}

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
    /// Addresses of goroutine structs and of the scheduler's Ps and Ms: they lead to everything and say nothing.
    pub(super) goroutines: &'h FxHashSet<u64>,
    pub(super) modules: &'h [Module],
    pub(super) offsets: &'h Offsets,
}

impl Heap<'_> {
    /// The object that contains an address. Where sizes are not known, a few bytes from there on.
    pub(super) fn object(&mut self, memory: &mut PagedMemory<'_>, address: u64) -> Option<Object> {
        match &mut self.spans {
            Some(spans) => spans.object(memory, address),
            None => Some(Object { address: address & !7, size: WINDOW, is_plain: false }),
        }
    }

    /// What pointers from these words lead to.
    pub(super) fn reach(
        &mut self,
        roots: Vec<u64>,
        objects: &Objects,
        memory: &mut PagedMemory<'_>,
        limits: Limits,
    ) -> Reach {
        let mut reach = Reach::default();
        let mut visited: FxHashSet<u64> = FxHashSet::default();
        let (mut words, mut bytes) = (roots, 0);
        for hops in 0..=MAX_HOPS {
            let mut next = Vec::new();
            for word in std::mem::take(&mut words) {
                if !is_address(word) {
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
                if object.is_plain || !visited.insert(object.address) || self.is_task(memory, object) {
                    continue;
                }
                if visited.len() > limits.objects || bytes > limits.bytes {
                    reach.cut = true;
                    return reach;
                }
                // What is queued in a channel belongs to the channel.
                let object = match self.queue(memory, object) {
                    Some(0) => continue,
                    Some(queue) => match self.object(memory, queue) {
                        Some(queue) if !queue.is_plain => queue,
                        _ => continue,
                    },
                    None => object,
                };
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

    /// Is this a goroutine's struct, a P, an M, or the record of its wait, which begins with the goroutine?
    fn is_task(&self, memory: &mut PagedMemory<'_>, object: Object) -> bool {
        // Since Go 1.22, large objects with pointers begin behind a header (`mallocHeaderSize`).
        const HEADER: u64 = 8;
        self.goroutines.contains(&object.address)
            || self.goroutines.contains(&object.address.wrapping_add(HEADER))
            || memory.word(object.address).is_some_and(|word| self.goroutines.contains(&word))
    }

    /// The array of a channel's queue; 0 if the channel has none. None if the object is no channel.
    fn queue(&self, memory: &mut PagedMemory<'_>, object: Object) -> Option<u64> {
        const BUFFER: u64 = 16;
        let o = self.offsets;
        let size = o.hchan_size as u64;
        if !(size..2 * size).contains(&object.size) {
            return None;
        }
        let mut field = |offset: usize| memory.word(object.address.checked_add(offset as u64)?);
        let (count, room, element) =
            (field(o.hchan_qcount)?, field(o.hchan_dataqsiz)?, field(o.hchan_elemtype)?);
        let is_channel = count <= room
            && room < 1 << 32
            && self.modules.iter().any(|module| module.data.types.contains(element));
        let buffer = memory.word(object.address.checked_add(BUFFER)?)?;
        is_channel.then_some(if count == 0 { 0 } else { buffer })
    }
}
