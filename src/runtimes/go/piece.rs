//! The list of goroutines in pieces that are read together, with what tells whether a goroutine has run since the last
//! reading.

use super::chunk::Same;
use super::proof::Look;

/// Goroutines that are read together, in the order of their addresses.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) addresses: Vec<u64>,
    /// For each address what is known from the last reading. Empty before the first one.
    pub(super) seen: Vec<Option<Seen>>,
    /// Positions of goroutines that wait for channels which may change meanwhile.
    pub(super) moving: Vec<u32>,
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

/// A goroutine that waited in the last reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) look: Look,
    /// Its row in what is known.
    pub(super) row: u32,
    /// It had not run since the reading before.
    unchanged: bool,
    /// Nor had it between that reading and the one before.
    settled: bool,
}

impl Seen {
    pub(super) fn new(look: Look, row: u32) -> Self {
        Seen { look, row, unchanged: false, settled: false }
    }

    /// It has not run since the last reading. `since`: what its `waitsince` is now.
    pub(super) fn stays(&mut self, since: i64) -> Same {
        self.look.stays(since);
        if !self.settled {
            self.settled = std::mem::replace(&mut self.unchanged, true);
        }
        Same { row: self.row, since, settled: self.settled }
    }
}

impl Piece {
    pub(super) fn new(addresses: &[u64]) -> Self {
        Piece { addresses: addresses.to_vec(), ..Piece::default() }
    }

    /// The position of a goroutine. `next`: where it is in all likelihood.
    pub(super) fn position(&self, address: u64, next: usize) -> Option<usize> {
        match self.addresses.get(next) {
            Some(same) if *same == address => Some(next),
            _ => self.addresses.binary_search(&address).ok(),
        }
    }
}
