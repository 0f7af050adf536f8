//! A section of a file of which pieces are read when they are needed.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gimli::SectionId;

use crate::cause::full_text;
use crate::process::Image;

/// Bytes that say how long a unit is.
const LENGTH: usize = 12;
/// `SHF_COMPRESSED` (elf.h).
const COMPRESSED: u64 = 0x800;

/// A section whose pieces are read when they are needed.
#[derive(Debug)]
pub(super) enum Section {
    Whole(Vec<u8>),
    /// The file, where the section is in it, and how long it is.
    File(Image, u64, usize),
}

impl Default for Section {
    fn default() -> Section {
        Section::Whole(Vec::new())
    }
}

/// Bytes that may still be read in pieces.
#[derive(Debug, Default)]
pub(super) struct Budget {
    left: AtomicUsize,
    is_spent: AtomicBool,
}

impl Budget {
    pub(super) fn new(left: usize) -> Budget {
        Budget { left: AtomicUsize::new(left), is_spent: AtomicBool::new(false) }
    }

    /// Whether something was not read because too much was read already.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent.load(Ordering::Relaxed)
    }

    /// Reads some bytes, unless that would be more than may be read. Empty if it cannot be read.
    pub(super) fn read(&self, image: &Image, offset: u64, len: usize) -> Vec<u8> {
        if self.spend(len).is_none() {
            return Vec::new();
        }
        image.file.read_at(offset, len).unwrap_or_default()
    }

    /// Takes some bytes off. None if there are not so many left.
    fn spend(&self, len: usize) -> Option<()> {
        let enough =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(len));
        if enough.is_err() {
            self.is_spent.store(true, Ordering::Relaxed);
        }
        enough.ok().map(|_| ())
    }
}

impl Section {
    /// The section of a file. `max` bytes at most if it has to be read whole.
    ///
    /// # Errors
    /// It is larger, or cannot be read: one sentence.
    pub(super) fn of(image: &Image, id: SectionId, max: usize) -> Result<Section, String> {
        Section::named(image, id.name(), max)
    }

    /// The same by its name.
    ///
    /// # Errors
    /// As above.
    pub(super) fn named(image: &Image, name: &str, max: usize) -> Result<Section, String> {
        let sections = image.sections().unwrap_or_default();
        match sections.iter().find(|section| section.name == name) {
            Some(section) if section.has_bytes() && section.flags & COMPRESSED == 0 => {
                let room = image.file.len().saturating_sub(section.offset).min(section.size);
                let len = usize::try_from(room).unwrap_or(usize::MAX);
                Ok(Section::File(image.clone(), section.offset, len))
            }
            _ => {
                let data = image.section_data(name, max).map_err(|error| full_text(&error))?;
                Ok(Section::Whole(data.unwrap_or_default()))
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Section::Whole(bytes) => bytes.len(),
            Section::File(.., len) => *len,
        }
    }

    /// Bytes that are in memory from the beginning.
    pub(super) fn size(&self) -> usize {
        match self {
            Section::Whole(bytes) => bytes.len(),
            Section::File(..) => 0,
        }
    }

    /// Some bytes, which are read anew. None if there are not so many.
    pub(super) fn bytes(&self, at: usize, len: usize) -> Option<Cow<'_, [u8]>> {
        let end = at.checked_add(len).filter(|end| *end <= self.len())?;
        match self {
            Section::Whole(bytes) => bytes.get(at..end).map(Cow::Borrowed),
            Section::File(image, offset, _) => {
                image.file.read_at(offset.checked_add(at as u64)?, len).ok().map(Cow::Owned)
            }
        }
    }

    /// Some bytes, which are read anew and taken off what may be read. None if there are not so many.
    pub(super) fn take(&self, at: usize, len: usize, budget: &Budget) -> Option<Vec<u8>> {
        at.checked_add(len).filter(|end| *end <= self.len())?;
        budget.spend(len)?;
        self.bytes(at, len).map(Cow::into_owned)
    }

    /// The length of the unit that begins here, with the bytes that say so.
    pub(super) fn unit_len(&self, start: usize) -> Option<usize> {
        let room = self.len().checked_sub(start)?;
        let bytes = self.bytes(start, LENGTH.min(room))?;
        let short = u32::from_le_bytes(*bytes.first_chunk()?);
        let len = match short {
            // A unit of 64-bit DWARF.
            u32::MAX => u64::from_le_bytes(*bytes.get(4..)?.first_chunk()?).checked_add(12)?,
            short => u64::from(short) + 4,
        };
        usize::try_from(len).ok().filter(|len| *len <= room)
    }
}
