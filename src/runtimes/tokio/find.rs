//! Finds the vtables of Tokio's tasks: constants with seven functions and three offsets.
//!
//! Each type of future on each kind of scheduler has one (tokio, src/runtime/task/raw.rs, 1.28 to 1.54). They are in
//! relocated read-only data, so they are read from memory, and they are there in a stripped program too.

use crate::process::bytes::u64_at;
use crate::process::{Image, Segment, Target, TargetError};

/// `PT_LOAD` and `PT_GNU_RELRO` (elf.h).
const PT_LOAD: u32 = 1;
const PT_GNU_RELRO: u32 = 0x6474_e552;
/// Bits of a segment's flags.
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
/// Constants searched in one image, bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Bytes read at a time. Neighbouring blocks overlap by a vtable.
const BLOCK: usize = 4 << 20;
/// More constants than this are searched only in an image that is not Go's: looking for that costs more than a small
/// search.
const SMALL: u64 = 64 << 10;
/// Vtables kept of one process: a large program has some thousands.
const MAX_VTABLES: usize = 1 << 17;

const FUNCTIONS: usize = 7;
const WORDS: usize = FUNCTIONS + 3;
/// The header of a task is at least this long, bytes.
const HEADER: u64 = 32;
/// A future that is aligned more than this is not believed.
const MAX_CORE: u64 = 4096;
/// A larger task is not believed, bytes.
const MAX_TASK: u64 = 64 << 20;

/// A vtable of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vtable {
    /// Where it is in the target.
    pub(super) address: u64,
    /// The function that polls such a task.
    pub(super) poll: u64,
    /// The function that schedules one: the same for all tasks of one kind of scheduler.
    pub(super) schedule: u64,
    /// The function that frees one.
    pub(super) dealloc: u64,
    /// Offsets from a task's header, bytes.
    pub(super) trailer: u64,
    pub(super) scheduler: u64,
    pub(super) id: u64,
    /// Of the place where it was spawned, in a build with `tokio_unstable`.
    pub(super) spawned_at: Option<u64>,
}

impl Vtable {
    /// Offset of the stage (future or output) from the header, for a future that is not aligned to more than 8 bytes.
    pub(super) fn stage(&self) -> u64 {
        self.spawned_at.unwrap_or(self.id) + 8
    }

    /// The scheduler is not one pointer: a job of the blocking pool, whose schedule is empty or has hooks.
    pub(super) fn is_blocking(&self) -> bool {
        self.id - self.scheduler != 8
    }
}

/// The vtables in an image, in order of address.
pub(super) fn vtables(target: &dyn Target, image: &Image) -> Result<Vec<Vtable>, TargetError> {
    let Ok(segments) = image.segments() else { return Ok(Vec::new()) };
    let regions = regions(image, &segments);
    let bytes: u64 = regions.iter().map(|region| region.1 - region.0).sum();
    let text: Vec<(u64, u64)> = segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD && segment.flags & EXECUTE != 0)
        .map(|segment| (segment.address, segment.address.saturating_add(segment.memory_size)))
        .collect();
    if text.is_empty() || (bytes > SMALL && is_go(image)) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut left = MAX_BYTES;
    for (start, end) in regions {
        for (from, to) in target.present(start, end) {
            search(target, (from, to), &text, &mut left, &mut found)?;
        }
    }
    found.sort_unstable_by_key(|vtable| vtable.address);
    found.dedup_by_key(|vtable| vtable.address);
    // A word that follows a vtable by chance may look like the offset of a place, but not one after each.
    if found.iter().any(|vtable| vtable.spawned_at.is_none()) {
        found.iter_mut().for_each(|vtable| vtable.spawned_at = None);
    }
    Ok(found)
}

/// Where constants with addresses are: data that is read-only once it is relocated, and all constants of a program
/// that need not be relocated.
fn regions(image: &Image, segments: &[Segment]) -> Vec<(u64, u64)> {
    let constants = |segment: &&Segment| match segment.kind {
        PT_GNU_RELRO => true,
        PT_LOAD => image.bias == 0 && segment.flags & (EXECUTE | WRITE) == 0,
        _ => false,
    };
    let region = |segment: &Segment| (segment.address, segment.address.saturating_add(segment.memory_size));
    segments.iter().filter(constants).map(region).collect()
}

/// Go's tables look for nothing here, and a search of them would take longer than reading the goroutines.
fn is_go(image: &Image) -> bool {
    image.sections().is_ok_and(|sections| sections.iter().any(|section| section.name.ends_with(".gopclntab")))
}

fn search(
    target: &dyn Target,
    (start, end): (u64, u64),
    text: &[(u64, u64)],
    left: &mut u64,
    found: &mut Vec<Vtable>,
) -> Result<(), TargetError> {
    const OVERLAP: u64 = (WORDS as u64 + 1) * 8;
    let mut at = start.next_multiple_of(8);
    while at < end && *left > 0 && found.len() < MAX_VTABLES {
        let len = (end - at).min(BLOCK as u64).min(*left);
        *left -= len;
        match target.read_vec(at, usize::try_from(len).unwrap_or(0)) {
            Ok(bytes) => parse(&bytes, at, text, found),
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
        let behind = at.saturating_add(len);
        at = if behind < end && len > OVERLAP { behind - OVERLAP } else { behind };
    }
    Ok(())
}

/// The vtables in a piece of constants at `base`.
pub(super) fn parse(bytes: &[u8], base: u64, text: &[(u64, u64)], into: &mut Vec<Vtable>) {
    let is_code = |word: u64| text.iter().any(|&(start, end)| start <= word && word < end);
    let (words, _) = bytes.as_chunks::<8>();
    // How many words that are addresses of code come directly before this one.
    let mut functions = 0;
    for (nth, word) in words.iter().enumerate() {
        if into.len() >= MAX_VTABLES {
            return;
        }
        if is_code(u64::from_le_bytes(*word)) {
            functions += 1;
            continue;
        }
        if functions >= FUNCTIONS
            && let Some(vtable) = at(bytes, (nth - FUNCTIONS) * 8, base)
        {
            into.push(vtable);
        }
        functions = 0;
    }
}

/// The vtable at this place, if the offsets after its functions make sense.
fn at(bytes: &[u8], place: usize, base: u64) -> Option<Vtable> {
    let word = |nth: usize| u64_at(bytes, place + nth * 8);
    let (trailer, scheduler, id) = (word(FUNCTIONS)?, word(FUNCTIONS + 1)?, word(FUNCTIONS + 2)?);
    let aligned = [trailer, scheduler, id].iter().all(|offset| offset.is_multiple_of(8));
    let in_order = (HEADER..=MAX_CORE).contains(&scheduler)
        && (scheduler..=scheduler + MAX_CORE).contains(&id)
        && (id + 16..=MAX_TASK).contains(&trailer);
    (aligned && in_order).then_some(())?;
    Some(Vtable {
        address: base.saturating_add(place as u64),
        poll: word(0)?,
        schedule: word(1)?,
        dealloc: word(2)?,
        trailer,
        scheduler,
        id,
        spawned_at: word(WORDS).filter(|&offset| offset == id + 8 && offset < trailer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[(u64, u64)] = &[(0x1000, 0x2000)];

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn parsed(words: &[u64]) -> Vec<Vtable> {
        let mut found = Vec::new();
        parse(&bytes(words), 0x9000, TEXT, &mut found);
        found
    }

    #[test]
    fn seven_functions_and_three_offsets() {
        let functions = [0x1000, 0x1010, 0x1020, 0x1030, 0x1040, 0x1050, 0x1060];
        let with = |rest: &[u64]| parsed(&[&[5, 0x1ff0], &functions[..], rest].concat());
        let [found] = with(&[192, 32, 40])[..] else { panic!("one vtable") };
        assert_eq!((found.address, found.poll, found.dealloc), (0x9010, 0x1000, 0x1020));
        assert_eq!((found.trailer, found.stage(), found.is_blocking()), (192, 48, false));
        let [unstable] = with(&[192, 32, 40, 48])[..] else { panic!("one vtable") };
        assert_eq!((unstable.spawned_at, unstable.stage()), (Some(48), 56));
        let [blocking] = with(&[192, 32, 32])[..] else { panic!("one vtable") };
        assert!(blocking.is_blocking());
        for wrong in
            [[192, 40, 32], [40, 32, 40], [192, 8, 40], [191, 32, 40], [0, 32, 40], [u64::MAX, 32, 40]]
        {
            assert_eq!(with(&wrong), [], "{wrong:?}");
        }
        assert_eq!(parsed(&[&functions[1..], &[192, 32, 40]].concat()), []);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..512), base: u64) {
            parse(&bytes, base, TEXT, &mut Vec::new());
        }

        #[test]
        fn any_words(words in proptest::collection::vec(prop_oneof![0x1000_u64..0x2000, 0_u64..300, any::<u64>()], 0..64)) {
            for vtable in parsed(&words) {
                prop_assert!(vtable.stage() <= vtable.trailer);
            }
        }
    }
}
