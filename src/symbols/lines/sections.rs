//! The sections with debug information of one file.

use gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};

use crate::cause::full_text;
use crate::process::Image;

pub(in crate::symbols) type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// What names, files and lines need.
const WANTED: [SectionId; 9] = [
    SectionId::DebugInfo,
    SectionId::DebugAbbrev,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugAddr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
];

/// Debug information, decompressed.
#[derive(Debug, Default)]
pub(in crate::symbols) struct Sections {
    bytes: Vec<(SectionId, Vec<u8>)>,
}

impl Sections {
    /// Whether a file has debug information.
    pub(in crate::symbols) fn are_in(image: &Image) -> bool {
        let name = SectionId::DebugInfo.name();
        image.sections().unwrap_or_default().iter().any(|section| section.name == name && section.has_bytes())
    }

    /// Reads the sections, `max` bytes at most in all.
    ///
    /// # Errors
    /// They are larger, or cannot be read: one sentence.
    pub(in crate::symbols) fn load(image: &Image, max: usize) -> Result<Sections, String> {
        let (mut bytes, mut room) = (Vec::new(), max);
        for id in WANTED {
            let section = image.section_data(id.name(), room).map_err(|error| full_text(&error))?;
            let Some(section) = section else { continue };
            room = room.saturating_sub(section.len());
            bytes.push((id, section));
        }
        Ok(Sections { bytes })
    }

    /// Sections with these names and bytes; others than those that are needed are left out.
    #[cfg(any(test, feature = "test-support"))]
    pub(in crate::symbols) fn of<'a>(bytes: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Sections {
        let known = |(name, bytes)| Some((WANTED.into_iter().find(|id| id.name() == name)?, bytes));
        Sections { bytes: bytes.into_iter().filter_map(known).collect() }
    }

    /// Bytes in all.
    pub(in crate::symbols) fn size(&self) -> usize {
        self.bytes.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    pub(in crate::symbols) fn get(&self, id: SectionId) -> Reader<'_> {
        let found = self.bytes.iter().find(|(other, _)| *other == id);
        EndianSlice::new(found.map_or(&[], |(_, bytes)| bytes), LittleEndian)
    }

    pub(in crate::symbols) fn dwarf(&self) -> Dwarf<Reader<'_>> {
        let load = |id| Ok::<_, std::convert::Infallible>(self.get(id));
        match Dwarf::load(load) {
            Ok(dwarf) => dwarf,
            Err(never) => match never {},
        }
    }
}
