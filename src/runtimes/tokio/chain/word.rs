//! Numbers that a walk reads, each with where it came from: so that the same walk can be taken in another task.

/// Which of a walk's readings a number came from. A task's own address comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Source(pub(super) u32);

impl Source {
    /// The address of the task.
    pub(super) const TASK: Source = Source(0);
    /// It came from no reading: the walk can be taken in no other task.
    pub(super) const NOWHERE: Source = Source(u32::MAX);
}

/// An address, or another number of which no step of a walk depends.
///
/// It cannot be compared, because a walk must not go another way by it: [`super::window::Window::same`] does that, and
/// remembers it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Word {
    pub(super) value: u64,
    pub(super) from: Source,
}

impl Word {
    /// The number at an offset. What wraps around cannot be read.
    pub(super) fn wrapping_add(self, offset: u64) -> Word {
        Word { value: self.value.wrapping_add(offset), ..self }
    }

    /// The number, given the values that were kept of a task: in a [`super::Template`], a word says which of them it is and what
    /// to add.
    pub(in super::super) fn of(self, kept: &[u64]) -> u64 {
        let base = kept.get(self.from.0 as usize).copied().unwrap_or(0);
        base.wrapping_add(self.value)
    }
}

impl From<u64> for Word {
    fn from(value: u64) -> Word {
        Word { value, from: Source::NOWHERE }
    }
}
