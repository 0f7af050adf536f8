//! What one reading keeps for the next one: the list of goroutines, and for those that wait what was read of them.
//!
//! It takes some 200 bytes for each goroutine, and the distinct stacks.

use super::chunk::{CHUNK, Chunk};
use super::goroutine::{Goroutine, Raw};
use super::labels::KnownLabels;
use super::proof::{self, Reasons};
use super::stacks::{StackNumber, Stacks};
use super::waits::RawWait;
use crate::snapshot::{Span, StackStatus};

/// What one reading keeps for the next one.
#[derive(Debug, Default)]
pub(super) struct LastReading {
    /// The addresses of the structs, in the runtime's order. The runtime only adds to this list.
    listed: Vec<u64>,
    /// The goroutines, in pieces that are read together.
    pub(super) pieces: Vec<Piece>,
    /// The stacks that the numbers of the pieces refer to.
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

/// Goroutines that are read together, in the order of their addresses.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) addresses: Vec<u64>,
    /// For each address what is known from the last reading.
    pub(super) rows: Vec<Option<Row>>,
    /// What the goroutines wait for. Rows may be left over from goroutines that have run since.
    pub(super) waits: Vec<RawWait>,
    /// At this many waits the left-over ones are removed.
    many_waits: usize,
    /// Goroutines that look the same, until that is proved or not.
    pub(super) open: Vec<Open>,
}

/// A goroutine that looks the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    /// Its position in the piece.
    pub(super) at: u32,
    /// What its `waitsince` is now.
    pub(super) since: i64,
}

/// A goroutine that waited, and what its stack and its sudogs said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) raw: Raw,
    stack: StackNumber,
    stack_status: StackStatus,
    /// Range in the waits of the piece.
    pub(super) waits: Span,
    /// It had not run since the reading before.
    unchanged: bool,
    /// Nor had it between that reading and the one before.
    settled: bool,
}

impl Row {
    /// None if the goroutine has to be read anew each time.
    pub(super) fn of(goroutine: &Goroutine, reasons: &Reasons) -> Option<Self> {
        let whole = matches!(
            goroutine.stack_status,
            StackStatus::Complete | StackStatus::Truncated | StackStatus::Broken
        );
        proof::covers(&goroutine.raw, reasons).then_some(())?;
        Some(Row {
            raw: goroutine.raw,
            stack: goroutine.stack.filter(|_| whole)?,
            stack_status: goroutine.stack_status,
            waits: goroutine.waits,
            unchanged: false,
            settled: false,
        })
    }

    /// It has not run since the last reading. `since`: what its `waitsince` is now.
    pub(super) fn stays(&mut self, since: i64) {
        // Rows of many readings stay as they are: memory that is not written need not be written back.
        if self.raw.waitsince != since {
            self.raw.waitsince = since;
        }
        if !self.settled {
            self.settled = std::mem::replace(&mut self.unchanged, true);
        }
    }

    /// The goroutine, which has not run.
    pub(super) fn goroutine(&self) -> Goroutine {
        Goroutine {
            stack: Some(self.stack),
            waits: self.waits,
            unchanged: self.unchanged,
            settled: self.settled,
            ..Goroutine::without_stack(self.raw, self.stack_status)
        }
    }
}

impl Piece {
    fn new(addresses: &[u64]) -> Self {
        Piece { addresses: addresses.to_vec(), ..Piece::default() }
    }

    /// The rows of the goroutines at these positions.
    pub(super) fn rows<'p>(&'p self, at: &'p [u32]) -> impl Iterator<Item = &'p Row> {
        at.iter().filter_map(|at| self.rows.get(*at as usize)?.as_ref())
    }

    /// Keeps what was read of goroutines that have run, for the next reading.
    pub(super) fn keep(&mut self, chunk: &Chunk, reasons: &Reasons) {
        let mut next = 0;
        for goroutine in &chunk.goroutines {
            let address = goroutine.raw.address;
            // Most come in the order of their addresses.
            let at = match self.addresses.get(next) {
                Some(same) if *same == address => Some(next),
                _ => self.addresses.binary_search(&address).ok(),
            };
            let Some((at, row)) = at.and_then(|at| Some((at, self.rows.get_mut(at)?))) else { continue };
            next = at + 1;
            *row = Row::of(goroutine, reasons).map(|row| {
                let waits = goroutine.waits.slice(&chunk.waits).iter().copied();
                Row { waits: Span::append(&mut self.waits, waits), ..row }
            });
        }
        if self.waits.len() > self.many_waits {
            let all = std::mem::take(&mut self.waits);
            for row in self.rows.iter_mut().flatten() {
                row.waits = Span::append(&mut self.waits, row.waits.slice(&all).iter().copied());
            }
            self.many_waits = 2 * self.waits.len() + CHUNK;
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
        for row in self.pieces.iter().flat_map(|piece| &piece.rows).flatten() {
            if let Some(used) = used.get_mut(row.stack as usize) {
                *used = true;
            }
        }
        let numbers = self.stacks.keep(&used);
        for row in self.pieces.iter_mut().flat_map(|piece| &mut piece.rows) {
            *row = row.and_then(|row| {
                Some(Row { stack: numbers.get(row.stack as usize).copied().flatten()?, ..row })
            });
        }
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
