//! Passes over tables of many large rows, of which each pass needs little.
//!
//! A processor fetches memory ahead of a pass that reads all of it. A pass that reads a part of each row waits for memory at
//! nearly every row, longer than its own work takes. So these passes ask for rows some time before they come to them.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// So many rows before: long enough for memory, and not so long that the rows are out of the cache again.
const ROWS: usize = 12;
/// Bytes that memory gives at a time.
const LINE: usize = 64;

/// The rows, in order. The pass needs the first `bytes` of each.
pub(crate) fn ahead<T>(rows: &[T], bytes: usize) -> impl Iterator<Item = &T> {
    let base = rows.as_ptr();
    (0..).zip(rows).map(move |(at, row)| {
        prefetch(base.wrapping_add(at + ROWS), bytes);
        row
    })
}

/// The same rows, to be changed.
pub(crate) fn ahead_mut<T>(rows: &mut [T], bytes: usize) -> impl Iterator<Item = &mut T> {
    let base = rows.as_ptr();
    (0..).zip(rows).map(move |(at, row)| {
        prefetch(base.wrapping_add(at + ROWS), bytes);
        row
    })
}

/// The rows with these indices, in this order, each with its index. Those that are not there are left out.
pub(crate) fn picked<'r, T>(
    rows: &'r [T],
    indices: &'r [u32],
    bytes: usize,
) -> impl Iterator<Item = (u32, &'r T)> {
    let base = rows.as_ptr();
    // Behind the last index, what is asked for does not matter.
    let later = indices.iter().skip(ROWS).chain(std::iter::repeat(&0));
    indices.iter().zip(later).filter_map(move |(&index, &later)| {
        prefetch(base.wrapping_add(later as usize), bytes);
        Some((index, rows.get(index as usize)?))
    })
}

#[inline]
fn prefetch<T>(row: *const T, bytes: usize) {
    for line in (0..bytes).step_by(LINE) {
        // SAFETY: a prefetch never faults and changes nothing that the program can see: any address will do, even one behind
        // the last row.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.cast::<i8>().wrapping_add(line)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_once_and_in_order() {
        for len in [0, 1, ROWS, 1000] {
            let mut rows: Vec<[usize; 24]> = (0..len).map(|nth| [nth; 24]).collect();
            assert!(ahead(&rows, 192).map(|row| row[23]).eq(0..len));
            ahead_mut(&mut rows, 64).for_each(|row| row[0] += 1);
            assert!(rows.iter().map(|row| row[0]).eq(1..=len));
            let some: Vec<u32> = (0..len as u32).filter(|index| index % 3 > 0).chain([u32::MAX]).collect();
            assert!(
                picked(&rows, &some, 192).map(|(_, row)| row[23]).eq((0..len).filter(|index| index % 3 > 0))
            );
        }
    }
}
