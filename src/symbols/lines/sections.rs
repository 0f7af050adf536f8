//! The sections with debug information of one file.
//!
//! The largest ones are read in pieces, when each is first needed: units and their line tables one at a time, [`Strings`] some
//! pages, lists of [`ranges`] anew each time. They are never mapped, because a file that is cut while it is mapped would end loiter with SIGBUS. Compressed sections have no
//! pieces, so these are read whole.
//!
//! Units whose entries are in other files ([`split`](super::split)) have offsets behind those of `.debug_info`.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use gimli::{
    Abbreviations, AttributeValue, DebugInfoOffset, Dwarf, DwarfFileType, EndianSlice, LittleEndian,
    RangeLists, RangeListsOffset, SectionId, Unit, UnitRef,
};

use super::lists::Lists;
use super::pieces::{Budget, Section};
use super::ranges;
use super::split::{self, Skeleton, SplitParts, SplitUnit};
use super::strings::Strings;
use crate::cause::full_text;
use crate::process::Image;

pub(in crate::symbols) type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// What names, files and lines need, besides what is read in pieces.
const WHOLE: [SectionId; 5] = [
    SectionId::DebugAbbrev,
    SectionId::DebugLineStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugAddr,
    SectionId::DebugRngLists,
];
/// Units of one file at most.
pub(super) const MAX_UNITS: usize = 1 << 18;
/// Bytes of a unit that have its first entry.
const HEAD: usize = 4 << 10;

/// Debug information, decompressed.
#[derive(Debug, Default)]
pub(in crate::symbols) struct Sections {
    whole: Vec<(SectionId, Vec<u8>)>,
    info: Section,
    units: Vec<UnitBytes>,
    strings: Strings,
    lines: Section,
    /// `.debug_ranges`.
    ranges: Section,
    lists: Lists,
    budget: Budget,
    /// The file that may have the entries of some units in other files beside it.
    program: Option<Image>,
    /// The entries of a unit are in another file that is not there, or that belongs to another build.
    is_incomplete: AtomicBool,
}

/// Where one unit is.
#[derive(Debug)]
struct UnitBytes {
    start: usize,
    len: usize,
    /// What was read of it, if it had to be read.
    read: OnceLock<Vec<u8>>,
    /// The same for its line table.
    lines: OnceLock<Vec<u8>>,
    /// If its entries are in another file.
    split: Option<Box<SplitUnit>>,
}

/// The units in a section, as far as their lengths are right.
fn units(info: &Section) -> Vec<UnitBytes> {
    let (mut units, mut start) = (Vec::new(), 0);
    while let Some(len) = info.unit_len(start) {
        if units.len() >= MAX_UNITS {
            break;
        }
        units.push(UnitBytes { start, len, read: OnceLock::new(), lines: OnceLock::new(), split: None });
        start += len;
    }
    units
}

impl Sections {
    /// Whether a file has debug information.
    pub(in crate::symbols) fn are_in(image: &Image) -> bool {
        let name = SectionId::DebugInfo.name();
        image.sections().unwrap_or_default().iter().any(|section| section.name == name && section.has_bytes())
    }

    /// Opens the sections. `max` bytes at most are ever read.
    ///
    /// # Errors
    /// What must be read whole is larger, or cannot be read: one sentence.
    pub(in crate::symbols) fn load(image: &Image, max: usize) -> Result<Sections, String> {
        let (mut whole, mut room) = (Vec::new(), max);
        for id in WHOLE {
            let section = image.section_data(id.name(), room).map_err(|error| full_text(&error))?;
            let Some(section) = section else { continue };
            room = room.saturating_sub(section.len());
            whole.push((id, section));
        }
        let mut part = |id| {
            let found = Section::of(image, id, room)?;
            room = room.saturating_sub(found.size());
            Ok::<_, String>(found)
        };
        let (info, strings) = (part(SectionId::DebugInfo)?, part(SectionId::DebugStr)?);
        let (lines, ranges) = (part(SectionId::DebugLine)?, part(SectionId::DebugRanges)?);
        let (lists, program) = (Lists::of(image), Some(image.clone()));
        Ok(Sections { lines, ranges, lists, program, ..Sections::new(whole, info, strings, room) })
    }

    fn new(whole: Vec<(SectionId, Vec<u8>)>, info: Section, strings: Section, room: usize) -> Sections {
        let units = units(&info);
        let (strings, budget) = (Strings::new(strings), Budget::new(room));
        Sections { whole, info, units, strings, budget, ..Sections::default() }
    }

    /// Sections with these names and bytes; others than those that are needed are left out.
    #[cfg(any(test, feature = "test-support"))]
    pub(in crate::symbols) fn of<'a>(bytes: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Sections {
        let mut whole = Vec::new();
        let [mut info, mut strings, mut lines, mut ranges] = [const { Vec::new() }; 4];
        for (name, bytes) in bytes {
            let is = |id: SectionId| id.name() == name;
            match WHOLE.into_iter().find(|id| is(*id)) {
                Some(id) => whole.push((id, bytes)),
                None if is(SectionId::DebugInfo) => info = bytes,
                None if is(SectionId::DebugStr) => strings = bytes,
                None if is(SectionId::DebugLine) => lines = bytes,
                None if is(SectionId::DebugRanges) => ranges = bytes,
                None => {}
            }
        }
        let [info, strings, lines, ranges] = [info, strings, lines, ranges].map(Section::Whole);
        Sections { lines, ranges, ..Sections::new(whole, info, strings, 0) }
    }

    /// Bytes that it may occupy in all.
    pub(in crate::symbols) fn size(&self) -> usize {
        let whole: usize = self.whole.iter().map(|(_, bytes)| bytes.len()).sum();
        [self.info.len(), self.strings.len(), self.lines.len(), self.ranges.size()]
            .into_iter()
            .fold(whole, usize::saturating_add)
    }

    /// Whether something was not read because too much was read already.
    pub(in crate::symbols) fn is_spent(&self) -> bool {
        self.budget.is_spent()
    }

    /// The bytes of a section that is read whole.
    pub(in crate::symbols) fn get(&self, id: SectionId) -> Reader<'_> {
        let found = self.whole.iter().find(|(other, _)| *other == id);
        EndianSlice::new(found.map_or(&[], |(_, bytes)| bytes), LittleEndian)
    }

    /// The sections that the units of the file itself refer to.
    pub(super) fn dwarf(&self) -> Dwarf<Reader<'_>> {
        let load = |id| Ok::<_, std::convert::Infallible>(self.get(id));
        match Dwarf::load(load) {
            Ok(dwarf) => dwarf,
            Err(never) => match never {},
        }
    }

    /// Those that a unit refers to whose entries are in another file.
    pub(super) fn dwarf_with<'a>(&'a self, parts: &SplitParts<'a>) -> Dwarf<Reader<'a>> {
        let slice = |bytes| EndianSlice::new(bytes, LittleEndian);
        let old_ranges = slice(&[]).into();
        Dwarf {
            debug_str_offsets: slice(parts.string_offsets).into(),
            ranges: RangeLists::new(old_ranges, slice(parts.ranges).into()),
            file_type: DwarfFileType::Dwo,
            ..self.dwarf()
        }
    }

    /// What is read in pieces for the units of the file itself.
    pub(super) fn texts(&self) -> Texts<'_> {
        let Sections { strings, ranges, lists, budget, .. } = self;
        Texts { strings, line_strings: strings, ranges, lists, budget }
    }

    /// The same for a unit whose entries are in another file.
    pub(super) fn texts_with<'a>(&'a self, parts: &SplitParts<'a>) -> Texts<'a> {
        Texts { strings: parts.strings, lists: parts.lists, ..self.texts() }
    }

    /// The offsets of all units, ascending.
    pub(super) fn unit_offsets(&self) -> impl Iterator<Item = usize> {
        self.units.iter().map(|unit| unit.start)
    }

    /// Finds the units of skeletons: their offsets.
    pub(super) fn add_split(&mut self, skeletons: &[&Skeleton]) -> Vec<Option<usize>> {
        let Some(program) = &self.program else { return skeletons.iter().map(|_| None).collect() };
        let mut start = self.units.last().map_or(0, |last| last.start.saturating_add(last.len));
        let mut added = Vec::new();
        for found in split::find(program, skeletons) {
            let offset = found.and_then(|(unit, len)| {
                let end = start.checked_add(len.max(1)).filter(|_| self.units.len() < MAX_UNITS)?;
                let (read, lines, split) = (OnceLock::new(), OnceLock::new(), Some(Box::new(unit)));
                self.units.push(UnitBytes { start, len, read, lines, split });
                Some(std::mem::replace(&mut start, end))
            });
            added.push(offset);
        }
        added
    }

    /// Whether units have their entries in other files.
    pub(in crate::symbols) fn are_split(&self) -> bool {
        self.units.last().is_some_and(|last| last.split.is_some())
    }

    /// Notes that the entries of a unit are not there.
    pub(super) fn note_incomplete(&self) {
        self.is_incomplete.store(true, Ordering::Relaxed);
    }

    /// Whether the entries of a unit were not there.
    pub(in crate::symbols) fn is_incomplete(&self) -> bool {
        self.is_incomplete.load(Ordering::Relaxed)
    }

    fn unit_bytes(&self, offset: usize) -> Option<&UnitBytes> {
        let nth = self.units.binary_search_by_key(&offset, |unit| unit.start).ok()?;
        self.units.get(nth)
    }

    /// The unit at an offset, if its entries are in another file, and its parts, if they can be read.
    pub(super) fn split(&self, offset: usize) -> Option<(&SplitUnit, Option<SplitParts<'_>>)> {
        let unit = self.unit_bytes(offset)?.split.as_deref()?;
        Some((unit, unit.parts(&self.budget)))
    }

    /// The bytes of the unit at an offset.
    pub(super) fn unit(&self, offset: usize) -> Option<Reader<'_>> {
        let unit = self.unit_bytes(offset)?;
        let bytes = match &self.info {
            Section::Whole(bytes) => bytes.get(unit.start..unit.start.checked_add(unit.len)?)?,
            Section::File(image, at, _) => {
                let at = at.checked_add(unit.start as u64)?;
                unit.read.get_or_init(|| self.budget.read(image, at, unit.len))
            }
        };
        (!bytes.is_empty()).then(|| EndianSlice::new(bytes, LittleEndian))
    }

    /// The line table at an offset in its section, which is that of the unit at another offset. It is not cut at its end.
    pub(super) fn line_table(&self, unit: usize, at: usize) -> Option<Reader<'_>> {
        let bytes = match &self.lines {
            Section::Whole(bytes) => bytes.get(at..)?,
            lines => self.unit_bytes(unit)?.lines.get_or_init(|| {
                let whole = || lines.take(at, lines.unit_len(at)?, &self.budget);
                whole().unwrap_or_default()
            }),
        };
        (!bytes.is_empty()).then(|| EndianSlice::new(bytes, LittleEndian))
    }

    /// The beginning of the unit at an offset, with its first entry, as if the unit were so short.
    pub(super) fn head(&self, offset: usize) -> Option<Cow<'_, [u8]>> {
        let unit = self.unit_bytes(offset)?;
        if unit.len <= HEAD || matches!(self.info, Section::Whole(_)) {
            return self.info.bytes(unit.start, unit.len);
        }
        let mut head = self.info.bytes(unit.start, HEAD)?.into_owned();
        match head.first_chunk::<4>() {
            Some(&[0xff, 0xff, 0xff, 0xff]) => {
                head.get_mut(4..12)?.copy_from_slice(&(HEAD as u64 - 12).to_le_bytes());
            }
            _ => head.get_mut(..4)?.copy_from_slice(&(HEAD as u32 - 4).to_le_bytes()),
        }
        Some(Cow::Owned(head))
    }
}

/// A unit that was opened, with the sections that its entries refer to.
#[derive(Debug)]
pub(in crate::symbols) struct Opened<'a> {
    pub(super) dwarf: Dwarf<Reader<'a>>,
    pub(super) unit: Unit<Reader<'a>>,
    pub(super) texts: Texts<'a>,
}

/// What is read in pieces of the sections that the entries of a unit refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a> {
    pub(super) strings: &'a Strings,
    /// Those of the line table, which is in the program.
    pub(super) line_strings: &'a Strings,
    pub(super) ranges: &'a Section,
    pub(super) lists: &'a Lists,
    pub(super) budget: &'a Budget,
}

impl<'a> Opened<'a> {
    /// Its abbreviations.
    pub(in crate::symbols) fn abbreviations(&self) -> Arc<Abbreviations> {
        Arc::clone(&self.unit.abbreviations)
    }

    /// What reads its entries.
    pub(in crate::symbols) fn view(&self) -> InFile<'_, 'a> {
        InFile { unit: UnitRef::new(&self.dwarf, &self.unit), texts: self.texts }
    }
}

/// A unit, with the sections of its file.
#[derive(Debug, Clone, Copy)]
pub(in crate::symbols) struct InFile<'u, 'a> {
    unit: UnitRef<'u, Reader<'a>>,
    texts: Texts<'a>,
}

impl<'u, 'a> InFile<'u, 'a> {
    /// The lists of where variables are.
    pub(in crate::symbols) fn lists(&self) -> &'a Lists {
        self.texts.lists
    }

    /// The offset that a reference to an entry of another unit leads to. None in units whose entries are not in the program,
    /// which have no other units beside them.
    pub(in crate::symbols) fn elsewhere(&self, at: DebugInfoOffset<usize>) -> Option<usize> {
        (self.unit.dwarf.file_type != DwarfFileType::Dwo).then_some(at.0)
    }

    /// The string of the line table that an attribute has.
    pub(super) fn line_string(&self, value: AttributeValue<Reader<'a>>) -> Option<Reader<'a>> {
        match value {
            AttributeValue::DebugStrRef(at) => self.texts.line_strings.get(at.0, self.texts.budget),
            other => self.string(other),
        }
    }

    /// The string that an attribute has. None if it has none, or if that cannot be read.
    pub(in crate::symbols) fn string(&self, value: AttributeValue<Reader<'a>>) -> Option<Reader<'a>> {
        match self.string_offset(value)? {
            Some(at) => self.texts.strings.get(at, self.texts.budget),
            None => self.unit.attr_string(value).ok(),
        }
    }

    /// The same for a string that is needed only once: it is not kept.
    pub(super) fn passing_string(&self, value: AttributeValue<Reader<'a>>) -> Option<Vec<u8>> {
        match self.string_offset(value)? {
            Some(at) => self.texts.strings.passing(at),
            None => self.unit.attr_string(value).ok().map(|string| string.slice().to_vec()),
        }
    }

    /// Where the string of an attribute is. The outer option: whether that can be read; the inner: whether it is among those
    /// that are read in pieces.
    fn string_offset(&self, value: AttributeValue<Reader<'a>>) -> Option<Option<usize>> {
        match value {
            AttributeValue::DebugStrRef(offset) => Some(Some(offset.0)),
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let offsets = &self.unit.dwarf.debug_str_offsets;
                let offset =
                    offsets.get_str_offset(self.unit.header.format(), self.unit.str_offsets_base, index);
                Some(Some(offset.ok()?.0))
            }
            _ => Some(None),
        }
    }

    /// Calls `with` with the first address of each range of a list, and one past the last, until it returns false. None: the
    /// list cannot be read to its end.
    pub(in crate::symbols) fn each_range(
        &self,
        list: RangeListsOffset<usize>,
        with: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Option<()> {
        ranges::each(&self.unit, self.texts.ranges, list, with)
    }
}

impl<'u, 'a> std::ops::Deref for InFile<'u, 'a> {
    type Target = UnitRef<'u, Reader<'a>>;

    fn deref(&self) -> &UnitRef<'u, Reader<'a>> {
        &self.unit
    }
}
