//! `.debug_str`: strings that are referred to by their offsets, from anywhere.

use std::sync::OnceLock;

use gimli::{EndianSlice, LittleEndian};

use super::pieces::{Budget, Section};

/// Bytes read at a time. Linkers put strings into an order of their own, so neighbours are rarely needed.
const PAGE: usize = 16 << 10;
/// Each page has the beginning of the next one, so that every string is whole in the page where it begins. Longer ones
/// are cut.
const MAX_STRING: usize = 4 << 10;
/// Bytes of a string that is needed only once that are read at first.
const SHORT: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Strings {
    section: Section,
    /// What was read of it, if it has to be read.
    pages: Vec<OnceLock<Vec<u8>>>,
}

impl Strings {
    pub(super) fn new(section: Section) -> Strings {
        let pages = match &section {
            Section::Whole(_) => 0,
            Section::File(.., len) => len.div_ceil(PAGE),
        };
        Strings { section, pages: std::iter::repeat_with(OnceLock::new).take(pages).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.section.len()
    }

    /// The string at an offset, cut. None if it has no end, or cannot be read.
    pub(super) fn get(&self, at: usize, budget: &Budget) -> Option<EndianSlice<'_, LittleEndian>> {
        let rest = match &self.section {
            Section::Whole(bytes) => bytes.get(at..)?,
            Section::File(image, offset, len) => {
                let (number, within) = (at / PAGE, at % PAGE);
                let page = self.pages.get(number)?.get_or_init(|| {
                    let begin = number * PAGE;
                    let size = (PAGE + MAX_STRING).min(len - begin);
                    budget.read(image, offset.saturating_add(begin as u64), size)
                });
                page.get(within..)?
            }
        };
        Some(EndianSlice::new(whole(rest)?, LittleEndian))
    }

    /// The same for a string that is needed only once: what is read of a file is not kept.
    pub(super) fn passing(&self, at: usize) -> Option<Vec<u8>> {
        let room = self.len().checked_sub(at)?;
        let read = |len: usize| self.section.bytes(at, len.min(room));
        [SHORT, MAX_STRING].into_iter().find_map(|len| {
            let bytes = read(len)?;
            // One that is cut here is read anew, longer.
            let is_enough = memchr::memchr(0, &bytes).is_some() || len == MAX_STRING;
            is_enough.then(|| whole(&bytes).map(<[u8]>::to_vec)).flatten()
        })
    }
}

/// The string that some bytes begin with, cut. None if it has no end.
fn whole(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.get(..MAX_STRING).unwrap_or(rest);
    let end = memchr::memchr(0, rest).or((rest.len() == MAX_STRING).then_some(MAX_STRING))?;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Image, ImageFile};
    use std::io::Write as _;
    use std::sync::Arc;

    #[test]
    fn pieces_are_as_the_whole() {
        // Strings of all lengths, also such as are longer than a page has of the next one; the last one has no end.
        let mut bytes = vec![0xff; 7];
        for len in (0..).map(|nth| nth * 37 % 5000).take(100) {
            bytes.extend(std::iter::repeat_n(b'a' + (len % 26) as u8, len));
            bytes.push(0);
        }
        bytes.extend([b'z'; 100]);
        let len = bytes.len();
        assert!(len > 2 * PAGE);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let opened = Arc::new(ImageFile::open(file.path()).unwrap());
        let image = Image { path: String::new(), bias: 0, is_executable: false, file: opened };
        let section = bytes.split_off(7);
        let pieces = Strings::new(Section::File(image, 7, section.len()));
        let whole = Strings::new(Section::Whole(section));
        let budget = Budget::new(usize::MAX);
        for at in 0..len {
            let found = whole.get(at, &budget);
            assert_eq!(found, pieces.get(at, &budget), "{at:#x}");
            let found = found.map(|found| found.to_vec());
            assert_eq!((whole.passing(at), pieces.passing(at)), (found.clone(), found), "{at:#x}");
        }
        assert!(whole.get(1, &budget).is_some() && whole.get(len - 8, &budget).is_none());
        assert!(!budget.is_spent());
        let small = Budget::new(PAGE);
        let pieces = Strings::new(pieces.section);
        assert_eq!((pieces.get(0, &small), small.is_spent()), (None, true));
    }
}
