//! When code was mapped in the place of other code, so that no address is looked up in the wrong image.
//!
//! The images of a process are read some time after a sample. They tell what was at an address when the sample was taken
//! unless something was mapped there in between. The kernel tells of all that is mapped; of what is unmapped alone it
//! tells nothing, but then nothing is found at the address.

use super::batch::Mapped;
use crate::process::monotonic_ns;

/// The kernel tells of code a little after it was mapped: this much later at most, nanoseconds, however loaded the machine
/// is.
const LATE_NS: u64 = 50_000_000;

/// When images were read, and what was mapped around that time.
#[derive(Debug, Default)]
pub(super) struct CodeChanges {
    /// When the last reading of the images began, and until when the kernel may tell of what it found. CLOCK_MONOTONIC.
    read: (u64, u64),
    mapped: Vec<Mapped>,
}

impl CodeChanges {
    /// The images are read for the first time.
    pub(super) fn new(read: impl FnOnce()) -> CodeChanges {
        let mut changes = CodeChanges::default();
        changes.read(read);
        changes
    }

    /// The images are read. Returns until when it must be known what was mapped.
    pub(super) fn read(&mut self, read: impl FnOnce()) -> u64 {
        let begin = monotonic_ns();
        read();
        self.read = (begin, monotonic_ns().saturating_add(LATE_NS));
        self.read.1
    }

    /// Something was mapped.
    pub(super) fn note(&mut self, mapped: impl Iterator<Item = Mapped>) {
        self.mapped.extend(mapped);
    }

    /// Nothing was mapped that matters.
    pub(super) fn are_none(&self) -> bool {
        self.mapped.is_empty()
    }

    /// Something was mapped before a time that the images do not have yet.
    pub(super) fn is_stale(&self, at_ns: u64) -> bool {
        self.mapped.iter().any(|mapped| mapped.at_ns > self.read.0 && mapped.at_ns <= at_ns)
    }

    /// The images do not say what was at an address at a time: it was mapped between that time and their reading.
    pub(super) fn is_unknown(&self, address: u64, at_ns: u64) -> bool {
        self.mapped.iter().any(|mapped| {
            (mapped.start..mapped.end).contains(&address)
                && mapped.at_ns > at_ns
                && mapped.at_ns <= self.read.1
        })
    }

    /// Nothing more is asked about the time before.
    pub(super) fn forget(&mut self, before_ns: u64) {
        let keep = before_ns.min(self.read.0);
        self.mapped.retain(|mapped| mapped.at_ns > keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(at_ns: u64) -> Mapped {
        Mapped { at_ns, start: 0x1000, end: 0x2000 }
    }

    #[test]
    fn code_is_unknown_between_its_time_and_the_reading_of_its_images() {
        let mut changes = CodeChanges { read: (100, 110), mapped: Vec::new() };
        changes.note([mapped(50), mapped(105), mapped(120)].into_iter());
        assert!(changes.is_unknown(0x1000, 40), "mapped at 50");
        assert!(changes.is_unknown(0x1fff, 60), "perhaps mapped before the images were read");
        assert!(!changes.is_unknown(0x2000, 40), "elsewhere");
        assert!(!changes.is_unknown(0x1000, 106), "120 is after the reading");
        assert!(!changes.is_stale(104) && changes.is_stale(105) && changes.is_stale(130));
        changes.forget(110);
        assert_eq!(changes.mapped.len(), 2, "what was before the reading is forgotten");
    }
}
