//! Memory that was read for one chain: the parts of a future are close to each other.

use crate::process::Memory;

/// Bytes read at a time.
const PIECE: usize = 512;
/// Pieces that are remembered.
const MAX_PIECES: usize = 64;

pub(super) struct Window<'a> {
    memory: &'a dyn Memory,
    pieces: Vec<(u64, [u8; PIECE])>,
}

impl<'a> Window<'a> {
    pub(super) fn new(memory: &'a dyn Memory) -> Window<'a> {
        Window { memory, pieces: Vec::new() }
    }

    /// A little-endian number of 1 to 8 bytes.
    pub(super) fn number(&mut self, at: u64, size: u64) -> Option<u64> {
        let size = usize::try_from(size).ok().filter(|size| (1..=8).contains(size))?;
        let mut bytes = [0; 8];
        let into = bytes.get_mut(..size)?;
        for (begin, piece) in self.pieces.iter().rev() {
            let from = usize::try_from(at.wrapping_sub(*begin)).unwrap_or(usize::MAX);
            if let Some(found) = from.checked_add(size).and_then(|end| piece.get(from..end)) {
                into.copy_from_slice(found);
                return Some(u64::from_le_bytes(bytes));
            }
        }
        let mut piece = [0; PIECE];
        if self.memory.read(at, &mut piece).is_err() {
            // The mapping may end before.
            self.memory.read(at, into).ok()?;
            return Some(u64::from_le_bytes(bytes));
        }
        into.copy_from_slice(piece.get(..size)?);
        if self.pieces.len() >= MAX_PIECES {
            self.pieces.remove(0);
        }
        self.pieces.push((at, piece));
        Some(u64::from_le_bytes(bytes))
    }

    /// A pointer that is not null.
    pub(super) fn pointer(&mut self, at: u64) -> Option<u64> {
        self.number(at, 8).filter(|pointer| *pointer != 0)
    }
}
