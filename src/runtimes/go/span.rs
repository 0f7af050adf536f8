//! Ranges of addresses.

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Span {
    pub(super) fn contains(self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    pub(super) fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}
