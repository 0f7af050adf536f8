//! The await places of a task: slots that name the slot around them.

use super::layout::{Bytes, EntryLayout, Field};

/// No slot.
const NONE: usize = 255;

/// How the await places of a task were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainStatus {
    /// It has none: the program does not mark them, or the task is at none.
    Unmarked,
    /// They are consistent.
    Whole,
    /// They are consistent, but some found no free slot.
    Gaps,
    /// They kept changing.
    Moving,
    /// They are invalid: a loop, or a slot that does not exist.
    Broken,
}

/// Appends the addresses of the Locations where a task is, innermost first.
///
/// It begins at the slot that was polled last. If that await is over, the slot is the one around it, which may
/// still contain others. For a task that `runs`, the slot is the current place.
pub(super) fn path(layout: &EntryLayout, entry: &[u8], runs: bool, into: &mut Vec<u64>) -> ChainStatus {
    let Some(chain) = layout.offset(Field::Chain) else { return ChainStatus::Unmarked };
    let bytes = Bytes(entry);
    let slots = layout.chain_slots;
    let slot = |nth: usize| if nth < slots { bytes.u64(chain + 8 * nth) } else { 0 };
    let around = |value: u64| (value >> 8) as usize & 0xff;
    let lost = layout.offset(Field::ChainLost).is_some_and(|at| bytes.u16(at) != 0);

    let hint = layout.offset(Field::ChainLast).map_or(NONE, |at| usize::from(bytes.u8(at)));
    let lowest = |within: usize| (0..slots).find(|&nth| slot(nth) != 0 && around(slot(nth)) == within);
    let first = if slot(hint) == 0 {
        (0..slots).find(|&nth| slot(nth) != 0 && lowest(nth).is_none())
    } else {
        let mut first = hint;
        // More steps than slots: a loop, which the outward path will find too.
        for _ in 0..slots {
            match lowest(first).filter(|_| !runs) {
                Some(inner) => first = inner,
                None => break,
            }
        }
        Some(first)
    };
    let Some(mut at) = first else {
        let all_empty = (0..slots).all(|nth| slot(nth) == 0);
        return match (all_empty, lost) {
            (true, false) => ChainStatus::Unmarked,
            (true, true) => ChainStatus::Gaps,
            // Each slot is around another one.
            (false, _) => ChainStatus::Broken,
        };
    };
    let start = into.len();
    loop {
        let value = slot(at);
        if value == 0 {
            break;
        }
        if into.len() - start == slots {
            into.truncate(start);
            return ChainStatus::Broken;
        }
        into.push(value >> 16);
        at = around(value);
        if at != NONE && at >= slots {
            return ChainStatus::Broken;
        }
    }
    if lost { ChainStatus::Gaps } else { ChainStatus::Whole }
}
