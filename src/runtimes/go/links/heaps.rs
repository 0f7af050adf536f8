//! The heaps of timers, one on each P.

use rustc_hash::FxHashMap;

use super::budget::Budget;
use super::layout::{HeapLayout, TimerLayout};
use super::parked::Structs;
use super::raw_timer::RawTimer;
use crate::process::TargetError;
use crate::process::bytes::word;
use crate::runtimes::go::{Go, scheduler};

/// Timers that are read in one search.
const MAX_TIMERS: usize = 1 << 21;
/// Timers read together.
const BATCH: usize = 8192;

/// Calls `with` with each timer in a heap. False if not all were read.
pub(super) fn each(
    go: &Go,
    structs: &mut Structs<'_>,
    budget: &Budget,
    with: impl FnMut(RawTimer),
) -> Result<bool, TargetError> {
    let (Some(timer), Some(heap), Some(allp)) = (go.links.timer, go.links.heap, go.globals.allp) else {
        return Ok(false);
    };
    each_of(&scheduler::processors(structs.memory, allp), heap, timer, structs, budget, with)
}

/// The same for these Ps.
fn each_of(
    ps: &[u64],
    heap: HeapLayout,
    layout: TimerLayout,
    structs: &mut Structs<'_>,
    budget: &Budget,
    mut with: impl FnMut(RawTimer),
) -> Result<bool, TargetError> {
    let mut is_whole = !ps.is_empty();
    let mut left = MAX_TIMERS;
    for p in ps {
        let slice =
            structs.words(&[p.wrapping_add(heap.slice), p.wrapping_add(heap.slice).wrapping_add(8)])?;
        let [Some(array), Some(len)] = slice[..] else {
            is_whole = false;
            continue;
        };
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        is_whole &= wanted <= left;
        let mut rest = wanted.min(left);
        left -= rest;
        let mut at = array;
        while rest > 0 {
            if budget.is_over() {
                return Ok(false);
            }
            let count = rest.min(BATCH);
            let Some(timers) = entries(structs, heap, at, count) else {
                is_whole = false;
                break;
            };
            structs.each(&timers, layout.size, |_, bytes| with(layout.parse(bytes)))?;
            at = at.wrapping_add((count * heap.entry) as u64);
            rest -= count;
        }
    }
    Ok(is_whole)
}

/// The addresses of the timers in this many entries of a heap.
fn entries(structs: &Structs<'_>, heap: HeapLayout, at: u64, count: usize) -> Option<Vec<u64>> {
    let bytes = structs.memory.read_vec(at, count * heap.entry).ok()?;
    let all = bytes.chunks_exact(heap.entry).map(|entry| word(entry, 0));
    Some(all.filter(|timer| *timer != 0 && timer.is_multiple_of(8)).collect())
}

/// Names of the functions that timers call, by the address of the function's value.
pub(super) struct Purposes<'a> {
    go: &'a Go,
    names: FxHashMap<u64, Purpose>,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It sends on the channel that is its argument.
    Send,
    /// It calls the function that is its argument.
    Call,
    /// Something else: it wakes a sleeping goroutine, or it is a deadline of a descriptor.
    Other,
}

impl<'a> Purposes<'a> {
    pub(super) fn new(go: &'a Go) -> Self {
        Purposes { go, names: FxHashMap::default() }
    }

    /// What the timer whose function's value is at this address is for.
    pub(super) fn of(&mut self, function: u64, structs: &Structs<'_>) -> Purpose {
        let go = self.go;
        *self.names.entry(function).or_insert_with(|| {
            let entry = structs.memory.read_u64(function).ok();
            let function = entry.and_then(|entry| go.function(entry));
            match function.map(|function| function.name()).as_deref() {
                Some("time.sendTime") => Purpose::Send,
                Some("time.goFunc") => Purpose::Call,
                _ => Purpose::Other,
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::super::layout::LinkLayout;
    use super::*;
    use crate::process::{Memory, Range, Result, TargetError};
    use crate::runtimes::go::layout::Layouts;
    use crate::runtimes::go::offsets::Offsets;
    use crate::runtimes::go::structs::Structs as Known;

    /// Every word has the same value.
    struct Same(u64);

    impl Memory for Same {
        fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
            if address >= 1 << 46 {
                return Err(TargetError::Unmapped { address, len: buf.len() });
            }
            let (words, _) = buf.as_chunks_mut();
            words.fill(self.0.to_le_bytes());
            Ok(())
        }

        fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
            let mut at = 0;
            for (range, ok) in ranges.iter().zip(ok) {
                *ok = self.read(range.address, &mut buf[at..at + range.len]).is_ok();
                at += range.len;
            }
            Ok(())
        }
    }

    #[test]
    fn absurd_heaps_are_not_read_to_the_end() {
        for (minor, word) in [(19, u64::MAX), (27, u64::MAX), (19, 1 << 45), (27, 1 << 45), (22, 0), (27, 8)]
        {
            let layouts = Layouts::gather(Known::new(), || None, Some(minor));
            let (offsets, links) = (Offsets::new(&layouts).unwrap(), LinkLayout::new(&layouts));
            let memory = Same(word);
            let mut structs = Structs::new(&memory, &offsets, links, true);
            let mut count = 0;
            let budget = Budget::new(Duration::from_secs(3600));
            let (heap, timer) = (links.heap.unwrap(), links.timer.unwrap());
            let ps = [0x1000, 1 << 46, 0x2000];
            let whole = each_of(&ps, heap, timer, &mut structs, &budget, |_| count += 1).unwrap();
            assert!(!whole, "one P cannot be read");
            assert!(count <= MAX_TIMERS, "{count}");
        }
    }

    #[test]
    fn nothing_is_read_when_the_time_is_over() {
        let layouts = Layouts::gather(Known::new(), || None, Some(27));
        let (offsets, links) = (Offsets::new(&layouts).unwrap(), LinkLayout::new(&layouts));
        let memory = Same(64);
        let mut structs = Structs::new(&memory, &offsets, links, true);
        let (heap, timer) = (links.heap.unwrap(), links.timer.unwrap());
        let over = Budget::new(Duration::ZERO);
        let whole = each_of(&[0x1000], heap, timer, &mut structs, &over, |_| panic!("it is over"));
        assert!(!whole.unwrap());
    }
}
