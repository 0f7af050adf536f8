//! Which texts of a target have been read, and their strings in the snapshot.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::layout::Text;
use crate::snapshot::StrId;

/// No string: the text cannot be read.
const UNREADABLE: u32 = u32::MAX;

/// A text of the target: 16 bytes, because there may be a million.
#[derive(Debug, Clone, Copy)]
struct Known {
    address: u64,
    len: u32,
    string: u32,
}

/// Texts by their address and length.
#[derive(Debug, Default)]
pub(super) struct Texts {
    known: HashTable<Known>,
    hasher: DefaultHashBuilder,
}

fn hash(hasher: &DefaultHashBuilder, address: u64, len: u32) -> u64 {
    hasher.hash_one((address, len))
}

impl Texts {
    /// The string, or that it cannot be read. None: it was never requested.
    pub(super) fn get(&self, text: Text) -> Option<Option<StrId>> {
        let hash = hash(&self.hasher, text.address, text.len);
        let known = self.known.find(hash, |known| known.address == text.address && known.len == text.len)?;
        Some((known.string != UNREADABLE).then_some(StrId(known.string)))
    }

    /// Adds a text that was never requested, as one that cannot be read.
    pub(super) fn want(&mut self, text: Text) {
        let new = Known { address: text.address, len: text.len, string: UNREADABLE };
        let Texts { known, hasher } = self;
        let hash_of = |known: &Known| hash(hasher, known.address, known.len);
        known.insert_unique(hash_of(&new), new, hash_of);
    }

    /// Records that the text was read.
    pub(super) fn set(&mut self, text: Text, string: StrId) {
        let hash = hash(&self.hasher, text.address, text.len);
        let same = |known: &Known| known.address == text.address && known.len == text.len;
        if let Some(known) = self.known.find_mut(hash, same) {
            known.string = string.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_for_then_read() {
        let mut texts = Texts::default();
        let text = |address| Text { address, len: 5 };
        for address in 0..3000 {
            assert_eq!(texts.get(text(address)), None);
            texts.want(text(address));
        }
        texts.set(text(7), StrId(3));
        assert_eq!(texts.get(text(7)), Some(Some(StrId(3))));
        assert_eq!(texts.get(text(8)), Some(None));
        assert_eq!(texts.get(Text { address: 7, len: 6 }), None);
    }
}
