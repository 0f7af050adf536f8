//! The heaps of timers, one on each P.

use rustc_hash::FxHashMap;

use super::budget::Budget;
use super::layout::HeapLayout;
use super::parked::Structs;
use super::timers::RawTimer;
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
    mut with: impl FnMut(RawTimer),
) -> Result<bool, TargetError> {
    let (Some(layout), Some(heap), Some(allp)) = (go.links.timer, go.links.heap, go.globals.allp) else {
        return Ok(false);
    };
    let ps = scheduler::processors(structs.target, allp);
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
    let bytes = structs.target.read_vec(at, count * heap.entry).ok()?;
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
            let entry = structs.target.read_u64(function).ok();
            let function = entry.and_then(|entry| go.function(entry));
            match function.map(|function| function.name()).as_deref() {
                Some("time.sendTime") => Purpose::Send,
                Some("time.goFunc") => Purpose::Call,
                _ => Purpose::Other,
            }
        })
    }
}
