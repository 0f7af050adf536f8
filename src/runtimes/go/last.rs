//! What one reading keeps for the next one: the list of goroutines, what tells whether they have run, and what was read of
//! them.
//!
//! It takes some 300 bytes for each goroutine, and the distinct stacks.

use super::chunk::CHUNK;
use super::known::Known;
use super::labels::KnownLabels;
use super::piece::Piece;
use super::stacks::Stacks;

/// What one reading keeps for the next one.
#[derive(Debug, Default)]
pub(super) struct LastReading {
    /// The addresses of the structs, in the runtime's order. The runtime only adds to this list.
    listed: Vec<u64>,
    /// The goroutines, in pieces that are read together.
    pub(super) pieces: Vec<Piece>,
    /// What was read of them.
    pub(super) known: Known,
    /// The stacks that their numbers refer to.
    pub(super) stacks: Stacks,
    /// How many stacks there were, and how many addresses in them, when unused ones were last removed.
    compacted: (usize, usize),
    /// Stacks were cut to this many frames.
    pub(super) max_depth: usize,
    /// The runtime's count of goroutines that ran, before the reading began.
    pub(super) run_count: Option<u64>,
    /// The labels of all goroutines.
    pub(super) labels: KnownLabels,
    /// How many objects the goroutines waited for.
    pub(super) objects: usize,
    /// Whether it is worth a try to prove anything by that count.
    pub(super) count_fails: Fails,
}

/// How often something that costs more if it fails has failed. Once may be chance: many goroutines ran just while they were
/// read. When it fails again and again, it is tried seldom.
#[derive(Debug, Default)]
pub(super) struct Fails {
    /// So many times it is left out.
    left: u32,
    /// So many times it was left out after the last failure; 0 if it has worked since.
    before: u32,
}

impl Fails {
    const MAX: u32 = 8;

    pub(super) fn may_try(&self) -> bool {
        self.left == 0
    }

    /// It was tried if it was to be, and may have failed.
    pub(super) fn note(&mut self, failed: bool) {
        if failed {
            self.before = (2 * self.before).clamp(1, Self::MAX);
            self.left = self.before;
        } else if self.left > 0 {
            self.left -= 1;
        } else {
            self.before = 0;
        }
    }
}

impl LastReading {
    /// Nothing is known yet.
    pub(super) fn none(max_depth: usize) -> Self {
        LastReading { max_depth, ..LastReading::default() }
    }

    /// Prepares for a list of goroutines that was read just now. New ones are known by their addresses only.
    pub(super) fn update(&mut self, listed: Vec<u64>) {
        let known = if listed.starts_with(&self.listed) {
            self.listed.len()
        } else {
            self.pieces.clear();
            0
        };
        let new = listed.get(known..).unwrap_or_default();
        let mut new: Vec<u64> = new.iter().copied().filter(|g| *g != 0 && g.is_multiple_of(8)).collect();
        if !new.is_empty() {
            new.sort_unstable();
            new.dedup();
            self.forget_known(&mut new);
            if let Some(last) = self.pieces.pop_if(|last| last.addresses.len() < CHUNK) {
                new.extend(last.addresses);
                new.sort_unstable();
            }
            self.pieces.extend(new.chunks(CHUNK).map(Piece::new));
        }
        self.listed = listed;
    }

    /// Removes addresses that are in a piece already. `new` is sorted.
    fn forget_known(&self, new: &mut Vec<u64>) {
        if self.pieces.is_empty() {
            return;
        }
        let mut twice = vec![false; new.len()];
        for address in self.pieces.iter().flat_map(|piece| &piece.addresses) {
            if let Ok(at) = new.binary_search(address) {
                twice[at] = true;
            }
        }
        let mut twice = twice.into_iter();
        new.retain(|_| !twice.next().unwrap_or(false));
    }

    /// How many goroutines there are to read.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.addresses.len()).sum()
    }

    /// Removes stacks that no row refers to, if there may be many.
    pub(super) fn compact(&mut self) {
        let (stacks, addresses) = self.stacks.size();
        if stacks <= 2 * self.compacted.0 + 1024 && addresses <= 2 * self.compacted.1 + (64 << 10) {
            return;
        }
        let mut used = vec![false; stacks];
        self.known.mark_stacks(&mut used);
        let numbers = self.stacks.keep(&used);
        self.known.renumber_stacks(&numbers);
        self.compacted = self.stacks.size();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn addresses(last: &LastReading) -> Vec<u64> {
        let mut all: Vec<_> = last.pieces.iter().flat_map(|piece| piece.addresses.clone()).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn what_fails_once_is_tried_soon_and_what_fails_often_seldom() {
        let mut fails = Fails::default();
        let mut tries = |work: bool, readings: u32| {
            let mut tried = Vec::new();
            for nth in 0..readings {
                let tries = fails.may_try();
                fails.note(tries && !work);
                tried.extend(tries.then_some(nth));
            }
            tried
        };
        assert_eq!(tries(false, 32), [0, 2, 5, 10, 19, 28]);
        assert_eq!(tries(true, 8), [5, 6, 7]);
        assert_eq!(tries(false, 4), [0, 2]);
    }

    #[test]
    fn a_list_that_grows_adds_goroutines() {
        let mut last = LastReading::default();
        let list = |n: u64| (1..=n).rev().map(|i| 0x1000 + 512 * i).collect::<Vec<_>>();
        last.update(vec![0x5000, 0x2000, 0, 0x3001, 0x2000]);
        assert_eq!(addresses(&last), [0x2000, 0x5000]);
        last.update(vec![0x5000, 0x2000, 0, 0x3001, 0x2000, 0x4000, 0x5000]);
        assert_eq!(addresses(&last), [0x2000, 0x4000, 0x5000]);
        assert_eq!(last.pieces.len(), 1);
        last.update(list(3000));
        assert_eq!((last.len(), last.pieces.len()), (3000, 3));
        assert!(last.pieces.iter().all(|piece| piece.addresses.is_sorted()));
        let mut longer = list(3000);
        longer.extend([0x800, 0x900_0000]);
        last.update(longer);
        assert_eq!((last.len(), last.pieces.len()), (3002, 3));
        assert!(last.pieces.iter().all(|piece| piece.addresses.is_sorted()));
    }
}
