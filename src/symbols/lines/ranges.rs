//! Lists of the code that an entry has. Those of DWARF 4 and before are read when they are needed: every function of a program
//! without optimisation is in one, and few are ever asked for. Source: DWARF Debugging Information Format, version 4, section
//! 2.17.3; version 5, section 2.17.3.

use gimli::{EndianSlice, LittleEndian, RangeListsOffset, UnitRef};

use super::pieces::Section;

/// Bytes of a list that are read at first, and at most at a time.
const SHORT: usize = 512;
const LONG: usize = 64 << 10;

/// Calls `with` with the first address of each range of a list, and one past the last, until it returns false. `old` is
/// `.debug_ranges`. None: the list cannot be read to its end.
pub(super) fn each(
    unit: &UnitRef<'_, EndianSlice<'_, LittleEndian>>,
    old: &Section,
    list: RangeListsOffset<usize>,
    with: &mut dyn FnMut(u64, u64) -> bool,
) -> Option<()> {
    if unit.encoding().version < 5 {
        return each_old(old, list.0, usize::from(unit.encoding().address_size), unit.low_pc, with);
    }
    let mut ranges = unit.ranges(list).ok()?;
    while let Some(range) = ranges.next().ok()? {
        if !with(range.begin, range.end) {
            break;
        }
    }
    Some(())
}

fn each_old(
    section: &Section,
    mut at: usize,
    size: usize,
    mut base: u64,
    with: &mut dyn FnMut(u64, u64) -> bool,
) -> Option<()> {
    // This stands for a new base, and with the one before it for code that the linker left out.
    let last = match size {
        8 => u64::MAX,
        4 => u64::from(u32::MAX),
        _ => return None,
    };
    let mut len = SHORT;
    loop {
        let bytes = section.bytes(at, len.min(section.len().checked_sub(at)?))?;
        let pairs = bytes.chunks_exact(2 * size);
        if pairs.len() == 0 {
            return None;
        }
        at = at.checked_add(pairs.len() * 2 * size)?;
        len = (len * 8).min(LONG);
        for pair in pairs {
            let (begin, end) = pair.split_at_checked(size)?;
            let (begin, end) = (word(begin), word(end));
            if (begin, end) == (0, 0) {
                return Some(());
            }
            if begin == last {
                base = end;
                continue;
            }
            let (begin, end) = (begin.wrapping_add(base) & last, end.wrapping_add(base) & last);
            if base < last - 1 && begin < last - 1 && begin < end && !with(begin, end) {
                return Some(());
            }
        }
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[u64], at: usize, base: u64) -> (Option<()>, Vec<(u64, u64)>) {
        let section = Section::Whole(words.iter().flat_map(|word| word.to_le_bytes()).collect());
        let mut found = Vec::new();
        let end = each_old(&section, at, 8, base, &mut |begin, end| {
            found.push((begin, end));
            found.len() < 9000
        });
        (end, found)
    }

    #[test]
    fn lists_with_bases() {
        let list =
            [9, 9, 0x10, 0x20, 0x30, 0x30, u64::MAX, 0x5000, 1, 2, u64::MAX, u64::MAX - 1, 3, 4, 0, 0, 7, 8];
        assert_eq!(found(&list, 16, 0x1000), (Some(()), vec![(0x1010, 0x1020), (0x5001, 0x5002)]));
        assert_eq!(found(&list[..6], 16, 0), (None, vec![(0x10, 0x20)]), "it is cut");
        assert_eq!(found(&list, 8 * list.len(), 0), (None, vec![]));
        assert_eq!(found(&list, usize::MAX, 0), (None, vec![]));
        let narrow = Section::Whole([4_u32, 8, u32::MAX, 0x100, 1, 2, 0, 0].map(u32::to_le_bytes).concat());
        let mut seen = Vec::new();
        let mut keep = |begin, end| {
            seen.push((begin, end));
            true
        };
        assert_eq!(each_old(&narrow, 0, 4, 16, &mut keep), Some(()));
        assert_eq!(each_old(&narrow, 0, 3, 16, &mut keep), None);
        assert_eq!(seen, [(20, 24), (0x101, 0x102)]);
    }

    #[test]
    fn long_lists_are_read_to_their_ends() {
        let mut list: Vec<u64> = (1..20_000_u64).map(|nth| nth.div_ceil(2) * 16 + nth % 2).collect();
        list.insert(0, 16);
        list.extend([0, 0]);
        let pairs: Vec<_> =
            list.chunks_exact(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| a < b).collect();
        assert!(pairs.len() > 9000);
        assert_eq!(found(&list, 0, 0), (Some(()), pairs[..9000].to_vec()));
        assert_eq!(found(&list[16_000..], 0, 0), (Some(()), pairs[8000..].to_vec()));
    }
}
