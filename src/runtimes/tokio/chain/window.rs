//! Memory that was read for one chain: the parts of a future are close to each other.

use crate::process::Memory;

/// Bytes read at a time.
const PIECE: usize = 512;
/// The same for the task itself.
const FIRST: usize = 2048;
/// Pieces that are remembered.
const MAX_PIECES: usize = 64;

pub(super) struct Window<'a> {
    memory: &'a dyn Memory,
    pieces: Vec<(u64, Vec<u8>)>,
    /// What was read: address, size and number.
    numbers: Vec<(u64, u64, u64)>,
}

impl<'a> Window<'a> {
    /// `task`: the address of its header.
    pub(super) fn new(memory: &'a dyn Memory, task: u64) -> Window<'a> {
        let mut window = Window { memory, pieces: Vec::new(), numbers: Vec::new() };
        window.fetch(task, FIRST);
        window
    }

    /// A little-endian number of 1 to 8 bytes.
    pub(super) fn number(&mut self, at: u64, size: u64) -> Option<u64> {
        let number = self.read(at, size)?;
        self.numbers.push((at, size, number));
        Some(number)
    }

    /// A pointer that is not null.
    pub(super) fn pointer(&mut self, at: u64) -> Option<u64> {
        self.number(at, 8).filter(|pointer| *pointer != 0)
    }

    /// Whether all that was read is still the same. What is around it may have changed.
    pub(super) fn is_unchanged(&self) -> bool {
        let mut again = Window { memory: self.memory, pieces: Vec::new(), numbers: Vec::new() };
        for (at, piece) in &self.pieces {
            again.fetch(*at, piece.len());
        }
        self.numbers.iter().all(|&(at, size, number)| again.read(at, size) == Some(number))
    }

    fn read(&mut self, at: u64, size: u64) -> Option<u64> {
        let size = usize::try_from(size).ok().filter(|size| (1..=8).contains(size))?;
        let found = |(begin, piece): &(u64, Vec<u8>)| {
            let from = usize::try_from(at.wrapping_sub(*begin)).ok()?;
            piece.get(from..from.checked_add(size)?).map(number)
        };
        if let Some(found) = self.pieces.iter().rev().find_map(found) {
            return Some(found);
        }
        self.fetch(at, PIECE);
        if let Some(found) = self.pieces.last().and_then(found) {
            return Some(found);
        }
        // The mapping may end before the piece does.
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..size)?;
        self.memory.read(at, bytes).ok()?;
        Some(number(bytes))
    }

    fn fetch(&mut self, at: u64, len: usize) {
        let mut piece = vec![0; len];
        if self.memory.read(at, &mut piece).is_err() {
            return;
        }
        if self.pieces.len() >= MAX_PIECES {
            self.pieces.remove(0);
        }
        self.pieces.push((at, piece));
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
