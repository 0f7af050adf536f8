//! The way that a walk went: each reading, where it was, and what the walk did by it.

use std::sync::Arc;

use super::word::{Source, Word};

/// Readings of a way that is remembered.
const MAX_TURNS: usize = 2 << 10;
/// How far from a pointer something is read, bytes.
const MAX_OFFSET: u64 = 1 << 24;

/// What is done with a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The way depends on it.
    Number,
    /// The way depends on which of these it is, or none.
    Among(Arc<[u64]>),
    /// The way depends on whether it has bits from this one on.
    Below(u32),
    /// A pointer that is followed, or null.
    Pointer,
    /// Nothing depends on it.
    Kept,
    /// The same, and others may change it while the task rests.
    Counted,
}

impl What {
    /// What the way depends on.
    pub(super) fn outcome(&self, number: u64) -> u64 {
        match self {
            What::Number => number,
            What::Among(values) => {
                values.iter().position(|value| *value == number).unwrap_or(values.len()) as u64
            }
            What::Below(bits) => u64::from(number.checked_shr(*bits).unwrap_or(0) == 0),
            What::Pointer => u64::from(number != 0),
            What::Kept | What::Counted => 0,
        }
    }
}

/// A place relative to something that was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) from: Source,
    pub(super) offset: u64,
}

/// What is done at a junction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Bytes are read.
    Read { at: Spot, size: u8, what: What },
    /// Two addresses are compared.
    Same(Spot, Spot),
}

/// The way that a walk went.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) turns: Vec<(Step, u64)>,
    /// What the sources were.
    sources: Vec<u64>,
    /// It went by something that cannot be found again.
    pub(super) is_lost: bool,
}

impl Way {
    /// Begins at a task.
    pub(super) fn begin(&mut self, task: u64) {
        self.sources.clear();
        self.sources.push(task);
        self.begin_again();
    }

    pub(super) fn begin_again(&mut self) {
        self.turns.clear();
        self.sources.truncate(1);
        self.is_lost = false;
    }

    /// Something was read.
    pub(super) fn read(&mut self, at: Word, size: u64, what: What, outcome: u64) {
        let spot = self.spot(at);
        let (Some(at), Ok(size)) = (spot, u8::try_from(size)) else { return self.is_lost = true };
        self.take(Step::Read { at, size, what }, outcome);
    }

    /// Two addresses were compared.
    pub(super) fn same(&mut self, one: Word, other: Word, same: bool) {
        let (Some(one), Some(other)) = (self.spot(one), self.spot(other)) else { return self.is_lost = true };
        self.take(Step::Same(one, other), u64::from(same));
    }

    fn take(&mut self, step: Step, outcome: u64) {
        if self.turns.len() >= MAX_TURNS {
            self.is_lost = true;
        } else {
            self.turns.push((step, outcome));
        }
    }

    /// What was just read is the source of others.
    pub(super) fn source(&mut self, value: u64) -> Word {
        if self.sources.len() > MAX_TURNS {
            self.is_lost = true;
            return value.into();
        }
        self.sources.push(value);
        Word { value, from: Source(self.sources.len() as u32 - 1) }
    }

    /// Where a word is, from its source.
    fn spot(&self, word: Word) -> Option<Spot> {
        let base = self.value(word.from)?;
        let offset = word.value.wrapping_sub(base);
        (offset < MAX_OFFSET).then_some(Spot { from: word.from, offset })
    }

    /// What a source was.
    pub(super) fn value(&self, source: Source) -> Option<u64> {
        self.sources.get(source.0 as usize).copied()
    }
}
