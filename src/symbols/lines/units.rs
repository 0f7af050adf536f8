//! Which compilation unit has the code at an address.

use std::sync::Arc;

use gimli::{
    Abbreviations, DebugAbbrev, DebugInfo, DebugInfoOffset, EndianSlice, LittleEndian, SectionId, Unit,
    UnitHeader, UnitType, constants,
};

use rustc_hash::FxHashMap;

use super::patience::Patience;
use super::rows::text;
use super::sections::{Opened, Reader, Sections};
use super::split::{Skeleton, SplitParts, SplitUnit};

/// Address ranges of all units at most.
const MAX_RANGES: usize = 4 << 20;
/// Bytes of the abbreviations of one unit that are read.
const MAX_ABBREVIATIONS: usize = 1 << 20;
/// Ranges that are examined for one address; overlapping ones are rare.
const MAX_EXAMINED: usize = 256;

/// The compilation units of a file.
#[derive(Debug, Default)]
pub(in crate::symbols) struct Units {
    /// Offsets in `.debug_info`, ascending.
    offsets: Vec<usize>,
    /// First address, one past the last address, number of the unit; ascending.
    ranges: Vec<(u64, u64, u32)>,
    /// For each unit, a number that it shares with the others of its crate.
    crates: Vec<Option<u32>>,
}

impl Units {
    /// Reads the list of units, and finds those whose entries are in other files. A unit that cannot be read is left out.
    pub(in crate::symbols) fn read(sections: &mut Sections, patience: &mut Patience) -> Units {
        let mut units = Units::default();
        let mut names = Names::default();
        let skeletons = units.read_own(sections, &mut names, patience);
        let offsets = sections.add_split(&skeletons.iter().map(|(_, skeleton)| skeleton).collect::<Vec<_>>());
        // A unit's code is said by its skeleton, and everything else where its entries are.
        let mut moved = FxHashMap::default();
        for ((number, skeleton), offset) in skeletons.iter().zip(offsets) {
            let Some(offset) = offset else {
                sections.note_incomplete();
                continue;
            };
            moved.insert(*number, units.offsets.len() as u32);
            units.offsets.push(offset);
            let object = skeleton.object.as_deref().unwrap_or_default();
            let name = object.rsplit('/').next().unwrap_or(object);
            units.crates.push(names.number(name.as_bytes()));
        }
        for (.., number) in &mut units.ranges {
            *number = moved.get(number).copied().unwrap_or(*number);
        }
        units.ranges.sort_unstable();
        units
    }

    /// Reads the units of the file itself. Returns the skeletons among them with their numbers.
    fn read_own(
        &mut self,
        sections: &Sections,
        names: &mut Names,
        patience: &mut Patience,
    ) -> Vec<(u32, Skeleton)> {
        let mut skeletons = Vec::new();
        // Many units may share their abbreviations.
        let mut last: Option<(usize, Arc<Abbreviations>)> = None;
        for offset in sections.unit_offsets() {
            if patience.check().is_none() {
                break;
            }
            let number = self.offsets.len() as u32;
            self.offsets.push(offset);
            self.crates.push(None);
            let Some(head) = sections.head(offset) else { continue };
            let Some(header) = header(EndianSlice::new(&head, LittleEndian)) else { continue };
            if !matches!(header.type_(), UnitType::Compilation | UnitType::Skeleton(_)) {
                continue;
            }
            let at = header.debug_abbrev_offset().0;
            let known = last.take().filter(|(other, _)| *other == at).map(|(_, known)| known);
            let whole = || abbreviations(sections.get(SectionId::DebugAbbrev).slice(), at);
            let Some(abbreviations) = known.or_else(whole) else { continue };
            last = Some((at, Arc::clone(&abbreviations)));
            let (dwarf, texts) = (sections.dwarf(), sections.texts());
            let Ok(unit) = Unit::new_with_abbreviations(&dwarf, header, abbreviations) else { continue };
            let opened = Opened { dwarf, unit, texts };
            let said = Said::read(&opened);
            if let (Some(name), Some(own)) = (said.name.as_ref(), self.crates.last_mut()) {
                *own = names.number(name.slice());
            }
            if let Some(id) = opened.unit.dwo_id {
                let (object, folder) = (said.object.map(text), said.folder.map(text));
                skeletons.push((number, Skeleton { offset, id: id.0, object, folder }));
            }
            self.add_ranges(number, &opened, patience);
        }
        skeletons
    }

    fn add_ranges(&mut self, number: u32, opened: &Opened<'_>, patience: &mut Patience) -> Option<()> {
        let mut ranges = opened.dwarf.unit_ranges(&opened.unit).ok()?;
        while let Some(range) = ranges.next().ok()? {
            patience.check()?;
            // Code that the linker left out has the address 0.
            if range.begin > 0 && range.begin < range.end && self.ranges.len() < MAX_RANGES {
                self.ranges.push((range.begin, range.end, number));
            }
        }
        Some(())
    }

    /// The offsets of units that may have the code at an address; the likeliest first.
    pub(in crate::symbols) fn at(&self, address: u64) -> impl Iterator<Item = usize> {
        let behind = self.ranges.partition_point(|(begin, ..)| *begin <= address);
        let before = self.ranges.get(..behind).unwrap_or(&[]).iter().rev().take(MAX_EXAMINED);
        let has_it = before.filter(move |(_, end, _)| address < *end);
        has_it.filter_map(|(.., number)| self.offsets.get(*number as usize).copied())
    }

    /// The offsets of the other units of the same crate.
    pub(in crate::symbols) fn like(&self, home: usize) -> impl Iterator<Item = usize> {
        let own = self.offsets.binary_search(&home).ok().and_then(|nth| *self.crates.get(nth)?);
        let all = self.offsets.iter().zip(&self.crates);
        let others = all.filter(move |(offset, other)| **offset != home && own.is_some() && **other == own);
        others.map(|(offset, _)| *offset)
    }

    /// The offset of the unit that an offset in `.debug_info` is in.
    pub(in crate::symbols) fn around(&self, offset: usize) -> Option<usize> {
        let behind = self.offsets.partition_point(|other| *other <= offset);
        self.offsets.get(behind.checked_sub(1)?).copied()
    }
}

/// Numbers for the crates that units are of.
#[derive(Debug, Default)]
struct Names(FxHashMap<Vec<u8>, u32>);

impl Names {
    /// The number of the crate that a unit's name says. None if it says none.
    fn number(&mut self, unit: &[u8]) -> Option<u32> {
        let name = crate_of(unit)?;
        let next = self.0.len() as u32;
        let known = self.0.get(name).copied();
        Some(known.unwrap_or_else(|| *self.0.entry(name.to_vec()).or_insert(next)))
    }
}

/// The abbreviations at an offset in some bytes.
fn abbreviations(bytes: &[u8], at: usize) -> Option<Arc<Abbreviations>> {
    let rest = bytes.get(at..)?;
    let bytes = EndianSlice::new(rest.get(..MAX_ABBREVIATIONS).unwrap_or(rest), LittleEndian);
    let found = DebugAbbrev::from(bytes).abbreviations(gimli::DebugAbbrevOffset(0)).ok()?;
    Some(Arc::new(found))
}

/// The header of the unit that these bytes begin with.
fn header(bytes: Reader<'_>) -> Option<UnitHeader<Reader<'_>>> {
    DebugInfo::from(bytes).header_from_offset(DebugInfoOffset(0)).ok()
}

/// The unit at an offset. Its own offset is 0.
pub(in crate::symbols) fn open(
    sections: &Sections,
    offset: usize,
    known: Option<Arc<Abbreviations>>,
) -> Option<Opened<'_>> {
    match sections.split(offset) {
        None => open_own(sections, offset, known),
        Some((split, parts)) => {
            let found = parts.and_then(|parts| open_split(sections, split, &parts, known));
            if found.is_none() {
                sections.note_incomplete();
            }
            found
        }
    }
}

fn open_own(sections: &Sections, offset: usize, known: Option<Arc<Abbreviations>>) -> Option<Opened<'_>> {
    let header = header(sections.unit(offset)?)?;
    let whole = || {
        let at = header.debug_abbrev_offset().0;
        abbreviations(sections.get(SectionId::DebugAbbrev).slice(), at)
    };
    let abbreviations = known.or_else(whole)?;
    let (dwarf, texts) = (sections.dwarf(), sections.texts());
    let unit = Unit::new_with_abbreviations(&dwarf, header, abbreviations).ok()?;
    Some(named(Opened { dwarf, unit, texts }))
}

/// A unit whose entries are in another file; its addresses and lines are in the program.
fn open_split<'a>(
    sections: &'a Sections,
    split: &SplitUnit,
    parts: &SplitParts<'a>,
    known: Option<Arc<Abbreviations>>,
) -> Option<Opened<'a>> {
    let skeleton = open_own(sections, split.skeleton, None)?.unit;
    let header = header(EndianSlice::new(parts.info, LittleEndian))?;
    let abbreviations =
        known.or_else(|| abbreviations(parts.abbreviations, header.debug_abbrev_offset().0))?;
    let (dwarf, texts) = (sections.dwarf_with(parts), sections.texts_with(parts));
    let mut unit = Unit::new_with_abbreviations(&dwarf, header, abbreviations).ok()?;
    // Another build's file may be at the same place.
    unit.dwo_id.filter(|id| id.0 == split.id)?;
    unit.copy_relocated_attributes(&skeleton);
    let mut opened = named(Opened { dwarf, unit, texts });
    opened.unit.comp_dir = opened.unit.comp_dir.or(skeleton.comp_dir);
    opened.unit.line_program = skeleton.line_program;
    Some(opened)
}

/// The same unit with its name and its directory: these strings are not among the sections that are read whole.
fn named(mut opened: Opened<'_>) -> Opened<'_> {
    let said = Said::read(&opened);
    opened.unit.name = said.name.or(opened.unit.name);
    opened.unit.comp_dir = said.folder.or(opened.unit.comp_dir);
    opened
}

/// The crate that a unit's name says: "src/main.rs/@/api.2e181165d5c58bca" of "src/main.rs/@/api.2e181165d5c58bca-cgu.00".
fn crate_of(name: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::rfind(name, b"-cgu.")?;
    name.get(..end)
}

/// What a unit says of itself.
#[derive(Debug, Default)]
struct Said<'a> {
    name: Option<Reader<'a>>,
    folder: Option<Reader<'a>>,
    /// The path of the file with its entries.
    object: Option<Reader<'a>>,
}

impl<'a> Said<'a> {
    fn read(opened: &Opened<'a>) -> Said<'a> {
        let mut said = Said::default();
        let _ = said.add(opened);
        said
    }

    fn add(&mut self, opened: &Opened<'a>) -> Option<()> {
        let unit = opened.view();
        let mut entries = unit.entries_raw(None).ok()?;
        let abbreviation = entries.read_abbreviation().ok()??;
        for &specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(specification).ok()?;
            let string = || unit.string(attribute.value());
            match attribute.name() {
                constants::DW_AT_name => self.name = string(),
                constants::DW_AT_comp_dir => self.folder = string(),
                constants::DW_AT_dwo_name | constants::DW_AT_GNU_dwo_name => self.object = string(),
                _ => {}
            }
        }
        Some(())
    }
}
