//! How a long list of ranges is split into system calls: the hottest path of all.
//!
//! Each range of a call makes the kernel walk the page tables under the target's mmap lock, about half a
//! microsecond, whatever its length. Ranges that are close together (such as the stacks and g structs of
//! small goroutines) are therefore read as one, including the gap between them. Measured: this halves the
//! time on 2 KiB stacks and divides it by four on g structs.

use std::cell::RefCell;

use nix::sys::uio::RemoteIoVec;

use super::Range;

/// Ranges in one call: the kernel's UIO_MAXIOV.
pub(super) const MAX_VECTORS: usize = 1024;
/// After a range that cannot be read, calls become small, because the kernel copies in all ranges of a call
/// each time it is resumed. They double again while all goes well.
const FEW_VECTORS: usize = 4;
/// Bytes in one call; the kernel transfers at most 2 GiB less a page.
pub(super) const MAX_BYTES: usize = 1 << 30;
/// The widest gap that is read along. Less than a page, so it never touches a page that the ranges around it
/// do not touch, and cannot fail where they would not. Above about 4 KiB it no longer pays.
const MAX_GAP: u64 = 2048;
/// Bytes read in one call with gaps: they go through a buffer that should stay in the cache.
pub(super) const BOUNCE: usize = 256 << 10;

thread_local! {
    pub(super) static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Buffers that are reused for each call.
#[derive(Default)]
pub(super) struct Scratch {
    /// The ranges requested from the kernel.
    pub(super) vectors: Vec<RemoteIoVec>,
    /// For each range of the batch: where it begins in the bytes that the kernel returns.
    places: Vec<usize>,
    /// The first destination of the bytes if there are gaps among them.
    pub(super) bounce: Vec<u8>,
}

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    /// Bytes requested from the kernel, gaps included.
    pub(super) span: usize,
    /// There are gaps among them.
    pub(super) has_gaps: bool,
}

/// A list of ranges that is being read into a buffer.
pub(super) struct Reading<'a> {
    pub(super) ranges: &'a [Range],
    /// The next range to be read.
    pub(super) next: usize,
    /// The position of its bytes in the buffer.
    pub(super) at: usize,
    /// Vectors in the next call at most.
    pub(super) limit: usize,
}

pub(super) fn remote(address: u64, len: usize) -> RemoteIoVec {
    // An address that does not fit (on a 32-bit loiter) cannot be read.
    RemoteIoVec { base: usize::try_from(address).unwrap_or(usize::MAX), len }
}

impl Reading<'_> {
    /// Puts the ranges of the next call into `scratch`. The list ends at a range that does not fit into the
    /// buffer (`room` bytes long).
    pub(super) fn gather(&self, room: usize, scratch: &mut Scratch) -> Batch {
        scratch.vectors.clear();
        scratch.places.clear();
        let room = room.saturating_sub(self.at);
        let (mut bytes, mut span, mut has_gaps) = (0usize, 0usize, false);
        for range in self.ranges.iter().skip(self.next) {
            let Some(sum) = bytes.checked_add(range.len).filter(|&sum| sum <= room) else { break };
            if range.len == 0 {
                scratch.places.push(span);
                continue;
            }
            let gap = scratch.vectors.last().and_then(|last| gap(last, range));
            let wider = |gap: usize| span + gap + range.len;
            match (gap, scratch.vectors.last_mut()) {
                (Some(0), Some(last)) if !has_gaps || wider(0) <= BOUNCE => last.len += range.len,
                (Some(gap), Some(last)) if gap > 0 && wider(gap) <= BOUNCE => {
                    last.len += gap + range.len;
                    span += gap;
                    has_gaps = true;
                }
                _ => {
                    if scratch.vectors.len() >= self.limit || (has_gaps && wider(0) > BOUNCE) {
                        break;
                    }
                    scratch.vectors.push(remote(range.address, range.len));
                }
            }
            scratch.places.push(span);
            span += range.len;
            bytes = sum;
            if bytes >= MAX_BYTES {
                break;
            }
        }
        Batch { span, has_gaps }
    }

    /// Records the `n` bytes that the call returned, and copies them to their places.
    pub(super) fn account(
        &mut self,
        batch: &Batch,
        n: usize,
        scratch: &Scratch,
        buf: &mut [u8],
        ok: &mut [bool],
    ) {
        let ranges = self.ranges.iter().skip(self.next);
        for (range, &place) in ranges.zip(&scratch.places) {
            if place + range.len > n {
                break;
            }
            if batch.has_gaps {
                let from = scratch.bounce.get(place..place + range.len);
                let to = buf.get_mut(self.at..self.at + range.len);
                if let (Some(from), Some(to)) = (from, to) {
                    to.copy_from_slice(from);
                }
            }
            if let Some(ok) = ok.get_mut(self.next) {
                *ok = true;
            }
            self.at += range.len;
            self.next += 1;
        }
        if n == batch.span && n > 0 {
            self.limit = (self.limit * 2).min(MAX_VECTORS);
        } else if let Some(failed) = self.ranges.get(self.next) {
            self.at = self.at.saturating_add(failed.len);
            self.next += 1;
            self.limit = FEW_VECTORS;
        }
    }
}

/// Bytes between the end of `last` and the start of `range`, if they are few enough to read along.
fn gap(last: &RemoteIoVec, range: &Range) -> Option<usize> {
    let end = (last.base as u64).checked_add(last.len as u64)?;
    let gap = range.address.checked_sub(end).filter(|&gap| gap <= MAX_GAP)?;
    usize::try_from(gap).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pages of 4 KiB, some of them unreadable; every byte is a hash of its address.
    fn byte(address: u64) -> u8 {
        (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    fn readable(address: u64, holes: &[bool]) -> bool {
        holes.get((address >> 12) as usize).is_some_and(|hole| !hole)
    }

    /// What process_vm_readv does: stops at the first page that it cannot read.
    fn kernel(vectors: &[RemoteIoVec], into: &mut [u8], holes: &[bool]) -> usize {
        let mut n = 0;
        for vector in vectors {
            for address in vector.base..vector.base.saturating_add(vector.len) {
                if !readable(address as u64, holes) {
                    return n;
                }
                into[n] = byte(address as u64);
                n += 1;
            }
        }
        n
    }

    proptest! {
        #[test]
        fn every_range_gets_its_own_bytes(
            pieces in prop::collection::vec((0u64..6000, 0usize..3000, prop::bool::weighted(0.1)), 0..200),
            holes in prop::collection::vec(prop::bool::weighted(0.2), 1..200),
            cut in 0usize..20_000,
        ) {
            let mut address = 0;
            let ranges: Vec<Range> = pieces.iter().map(|&(gap, len, back)| {
                let range = Range { address: if back { gap } else { address + gap }, len };
                address = range.address + len as u64;
                range
            }).collect();
            let whole: usize = ranges.iter().map(|range| range.len).sum();
            // Sometimes the buffer is too small.
            let mut buf = vec![0; whole.saturating_sub(cut / 19_000 * 5_000)];
            let room = buf.len();
            let mut ok = vec![false; ranges.len()];
            let mut scratch = Scratch::default();
            let mut reading = Reading { ranges: &ranges, next: 0, at: 0, limit: MAX_VECTORS };
            let mut calls = 0;
            while reading.next < ranges.len() {
                let batch = reading.gather(buf.len(), &mut scratch);
                prop_assert!(scratch.vectors.len() <= MAX_VECTORS);
                prop_assert_eq!(scratch.vectors.iter().map(|v| v.len).sum::<usize>(), batch.span);
                let n = if batch.has_gaps {
                    prop_assert!(batch.span <= BOUNCE);
                    scratch.bounce.resize(BOUNCE, 0);
                    kernel(&scratch.vectors, &mut scratch.bounce, &holes)
                } else {
                    kernel(&scratch.vectors, &mut buf[reading.at.min(room)..], &holes)
                };
                reading.account(&batch, n, &scratch, &mut buf, &mut ok);
                calls += 1;
                prop_assert!(calls <= ranges.len() + 1);
            }
            let mut at = 0;
            for (range, ok) in ranges.iter().zip(ok) {
                let addresses = range.address..range.address + range.len as u64;
                let fits = range.len == 0 || at + range.len <= buf.len();
                let expected = fits && addresses.clone().all(|address| readable(address, &holes));
                prop_assert_eq!(ok, expected, "{:?}", range);
                if ok {
                    prop_assert!(addresses.zip(buf.iter().skip(at)).all(|(address, &got)| byte(address) == got));
                }
                at += range.len;
            }
        }
    }
}
