//! The file of a store: questions with their answers, found in place by the question's hash.
//!
//! It has, all numbers little-endian: [`MAGIC`], the length of the key (u32), the number of entries (u32), the key; for each
//! entry the hash of its question (u64, ascending) and where it begins behind this list (u32); the entries, each a question
//! and an answer with their lengths; and the CRC-32 of all that.

use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

use super::values::{Reader, Writer};

/// What such a file begins with. The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"\x9floitC\n\x01";
/// Bytes before the key.
const HEADER: usize = 16;
/// Bytes of one row of the list.
const ROW: usize = 12;
/// Bytes of the checksum.
const CHECKSUM: usize = 4;
/// Bytes of a file without entries, besides the key.
pub(super) const AROUND: usize = HEADER + CHECKSUM;
/// Bytes of one file.
pub(super) const MAX_FILE: usize = 64 << 20;

/// Questions and answers that were read from a file.
#[derive(Debug)]
pub(crate) struct Answers {
    bytes: Vec<u8>,
    /// The bytes of the list, and of the entries behind it.
    list: (usize, usize),
    end: usize,
}

/// Entries that are not in a file yet, by the hash of the question.
pub(super) type Fresh = FxHashMap<u64, Vec<u8>>;

/// The hash of a question.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// An entry of a question and an answer.
pub(super) fn entry(question: &[u8], answer: &[u8]) -> Vec<u8> {
    let mut entry = Writer::default();
    entry.bytes(question);
    entry.bytes(answer);
    entry.into_bytes()
}

/// The answer in an entry. None if it is of another question, or damaged.
pub(super) fn answer_in<'a>(entry: &'a [u8], question: &[u8]) -> Option<&'a [u8]> {
    let mut entry = Reader::new(entry);
    entry.bytes().filter(|found| *found == question)?;
    let answer = entry.bytes()?;
    entry.is_at_end().then_some(answer)
}

/// The bytes that an entry takes in a file.
pub(super) fn size_of(entry: &[u8]) -> usize {
    entry.len() + ROW
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut checksum = flate2::Crc::new();
    checksum.update(bytes);
    checksum.sum()
}

impl Answers {
    /// The answers in the bytes of a file. None if they are damaged, or of another key.
    pub(crate) fn parse(bytes: Vec<u8>, key: &[u8]) -> Option<Answers> {
        let end = bytes.len().checked_sub(CHECKSUM).filter(|_| bytes.len() <= MAX_FILE)?;
        let content = bytes.get(..end)?;
        if !content.starts_with(&MAGIC) || checksum(content) != u32_at(&bytes, end)? {
            return None;
        }
        let key_len = u32_at(content, MAGIC.len())? as usize;
        let count = u32_at(content, MAGIC.len() + 4)? as usize;
        let list = HEADER.checked_add(key_len)?;
        content.get(HEADER..list).filter(|found| *found == key)?;
        let entries = list.checked_add(count.checked_mul(ROW)?).filter(|entries| *entries <= end)?;
        let found = Answers { list: (list, entries), end, bytes };
        found.is_in_order().then_some(found)
    }

    /// Whether the hashes ascend, and the entries lie one behind the other.
    fn is_in_order(&self) -> bool {
        let mut last = None;
        (0..self.count()).all(|nth| {
            let row = self.row(nth);
            let is_next = match (last, row) {
                (Some((hash, start)), Some((next, behind))) => hash < next && start < behind,
                (None, Some((_, first))) => first == 0,
                (_, None) => false,
            };
            last = row;
            is_next && row.is_some_and(|(_, start)| start <= self.end - self.list.1)
        })
    }

    fn count(&self) -> usize {
        (self.list.1 - self.list.0) / ROW
    }

    /// The hash of an entry's question, and where the entry begins.
    fn row(&self, nth: usize) -> Option<(u64, usize)> {
        let at = self.list.0.checked_add(nth.checked_mul(ROW)?).filter(|at| *at < self.list.1)?;
        Some((u64_at(&self.bytes, at)?, u32_at(&self.bytes, at + 8)? as usize))
    }

    fn entry(&self, nth: usize) -> Option<&[u8]> {
        let (_, start) = self.row(nth)?;
        let entries = self.bytes.get(self.list.1..self.end)?;
        let end = self.row(nth + 1).map_or(entries.len(), |(_, next)| next);
        entries.get(start..end)
    }

    /// The answer to a question.
    pub(crate) fn get(&self, question: &[u8]) -> Option<&[u8]> {
        let wanted = hash(question);
        let (mut from, mut to) = (0, self.count());
        while from < to {
            let middle = from.midpoint(to);
            match self.row(middle)?.0.cmp(&wanted) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return answer_in(self.entry(middle)?, question),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// The bytes of the file.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn all(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (0..self.count()).filter_map(|nth| Some((self.row(nth)?.0, self.entry(nth)?)))
    }
}

/// The bytes of a file with these answers; where both know a question, the fresh one counts.
pub(super) fn encode(key: &[u8], old: Option<&Answers>, fresh: &Fresh) -> Vec<u8> {
    let kept = old.into_iter().flat_map(Answers::all).filter(|(hash, _)| !fresh.contains_key(hash));
    let mut all: Vec<(u64, &[u8])> =
        kept.chain(fresh.iter().map(|(hash, entry)| (*hash, &**entry))).collect();
    all.sort_unstable_by_key(|(hash, _)| *hash);
    let entries: usize = all.iter().map(|(_, entry)| size_of(entry)).sum();
    let mut bytes = Vec::with_capacity(AROUND + key.len() + entries);
    bytes.extend(MAGIC);
    bytes.extend((key.len() as u32).to_le_bytes());
    bytes.extend((all.len() as u32).to_le_bytes());
    bytes.extend(key);
    let mut start = 0_u32;
    for (hash, entry) in &all {
        bytes.extend(hash.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        start += entry.len() as u32;
    }
    all.iter().for_each(|(_, entry)| bytes.extend(*entry));
    bytes.extend(checksum(&bytes).to_le_bytes());
    bytes
}

/// A file with this content between the first bytes and the checksum.
#[cfg(feature = "test-support")]
pub(super) fn framed(content: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAGIC, content].concat();
    bytes.extend(checksum(&bytes).to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(numbers: std::ops::Range<u32>, of: &str) -> Fresh {
        let question = |nth: u32| format!("question {nth}").into_bytes();
        numbers
            .map(|nth| (hash(&question(nth)), entry(&question(nth), format!("{of} {nth}").as_bytes())))
            .collect()
    }

    fn ask(answers: &Answers, nth: u32) -> Option<String> {
        let found = answers.get(format!("question {nth}").as_bytes())?;
        Some(String::from_utf8(found.to_vec()).unwrap())
    }

    #[test]
    fn answers_are_found_again() {
        let bytes = encode(b"key", None, &fresh(0..500, "old"));
        let old = Answers::parse(bytes, b"key").unwrap();
        let both = encode(b"key", Some(&old), &fresh(400..600, "new"));
        let both = Answers::parse(both, b"key").unwrap();
        assert_eq!(both.count(), 600);
        for nth in 0..600 {
            let of = if nth < 400 { "old" } else { "new" };
            assert_eq!(ask(&both, nth), Some(format!("{of} {nth}")));
        }
        assert_eq!(ask(&both, 600), None);
        let none = Answers::parse(encode(b"", None, &Fresh::default()), b"").unwrap();
        assert_eq!((none.count(), ask(&none, 0)), (0, None));
    }

    #[test]
    fn what_is_damaged_is_nothing() {
        let bytes = encode(b"key", None, &fresh(0..5, "an answer"));
        for len in 0..bytes.len() {
            assert!(Answers::parse(bytes[..len].to_vec(), b"key").is_none(), "{len}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(Answers::parse(flipped, b"key").is_none(), "{at} {bit}");
            }
        }
        assert!(Answers::parse([&bytes[..], &[0]].concat(), b"key").is_none());
        assert!(Answers::parse(bytes, b"another").is_none());
    }

    /// What somebody made wrong who computed the checksum.
    #[test]
    fn what_is_out_of_order_is_nothing() {
        let right = encode(b"key", None, &fresh(0..5, "an answer"));
        let content = &right[..right.len() - CHECKSUM];
        for at in 0..content.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut wrong = content.to_vec();
                wrong[at] = value;
                wrong.extend(checksum(&wrong).to_le_bytes());
                let Some(found) = Answers::parse(wrong, b"key") else { continue };
                (0..6).for_each(|nth| _ = found.get(format!("question {nth}").as_bytes()));
            }
        }
    }
}
