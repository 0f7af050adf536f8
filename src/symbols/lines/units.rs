//! Which compilation unit has the code at an address.

use std::sync::Arc;

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfo, DebugInfoOffset, Dwarf, EndianSlice, LittleEndian,
    SectionId, Unit, UnitHeader, UnitType, constants,
};

use rustc_hash::FxHashMap;

use super::patience::Patience;
use super::sections::{InFile, Reader, Sections};

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
    is_split: bool,
}

impl Units {
    /// Reads the list of units. A unit that cannot be read is left out.
    pub(in crate::symbols) fn read(sections: &Sections, patience: &mut Patience) -> Units {
        let dwarf = sections.dwarf();
        let mut units = Units::default();
        // Many units may share their abbreviations.
        let mut last: Option<(usize, Arc<Abbreviations>)> = None;
        let mut crates: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
        for offset in sections.unit_offsets() {
            if patience.check().is_none() {
                break;
            }
            let number = units.offsets.len() as u32;
            units.offsets.push(offset);
            units.crates.push(None);
            let Some(head) = sections.head(offset) else { continue };
            let Some(header) = header(EndianSlice::new(&head, LittleEndian)) else { continue };
            if !matches!(header.type_(), UnitType::Compilation | UnitType::Skeleton(_)) {
                continue;
            }
            let at = header.debug_abbrev_offset().0;
            let known = last.take().filter(|(other, _)| *other == at).map(|(_, known)| known);
            let Some(abbreviations) = known.or_else(|| abbreviations(sections, at)) else { continue };
            last = Some((at, Arc::clone(&abbreviations)));
            let Ok(unit) = Unit::new_with_abbreviations(&dwarf, header, abbreviations) else { continue };
            let (name, _) = names(InFile::new(sections, &dwarf, &unit));
            if let Some(name) = name.as_ref().and_then(|name| crate_of(name.slice())) {
                let next = crates.len() as u32;
                let known = crates.get(name).copied();
                let own = known.unwrap_or_else(|| *crates.entry(name.to_vec()).or_insert(next));
                units.crates.pop();
                units.crates.push(Some(own));
            }
            units.add_ranges(number, &unit, &dwarf, patience);
        }
        units.ranges.sort_unstable();
        units
    }

    fn add_ranges<'a>(
        &mut self,
        number: u32,
        unit: &Unit<Reader<'a>>,
        dwarf: &Dwarf<Reader<'a>>,
        patience: &mut Patience,
    ) -> Option<()> {
        self.is_split |= unit.dwo_id.is_some();
        let mut ranges = dwarf.unit_ranges(unit).ok()?;
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

    /// Whether what some units say is in other files (`-C split-debuginfo`).
    pub(in crate::symbols) fn is_split(&self) -> bool {
        self.is_split
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

/// The abbreviations at an offset in `.debug_abbrev`.
pub(in crate::symbols) fn abbreviations(sections: &Sections, at: usize) -> Option<Arc<Abbreviations>> {
    let rest = sections.get(SectionId::DebugAbbrev).slice().get(at..)?;
    let bytes = EndianSlice::new(rest.get(..MAX_ABBREVIATIONS).unwrap_or(rest), LittleEndian);
    let found = DebugAbbrev::from(bytes).abbreviations(gimli::DebugAbbrevOffset(0)).ok()?;
    Some(Arc::new(found))
}

/// The header of the unit that these bytes begin with.
fn header(bytes: Reader<'_>) -> Option<UnitHeader<Reader<'_>>> {
    DebugInfo::from(bytes).header_from_offset(DebugInfoOffset(0)).ok()
}

/// The unit at an offset in `.debug_info`. Its own offset is 0.
pub(in crate::symbols) fn unit<'a>(
    sections: &'a Sections,
    dwarf: &Dwarf<Reader<'a>>,
    offset: usize,
    known: Option<Arc<Abbreviations>>,
) -> Option<Unit<Reader<'a>>> {
    let header = header(sections.unit(offset)?)?;
    let abbreviations = known.or_else(|| abbreviations(sections, header.debug_abbrev_offset().0))?;
    let mut unit = Unit::new_with_abbreviations(dwarf, header, abbreviations).ok()?;
    // Its strings are not among the sections that are read whole.
    let (name, folder) = names(InFile::new(sections, dwarf, &unit));
    unit.name = name.or(unit.name);
    unit.comp_dir = folder.or(unit.comp_dir);
    Some(unit)
}

/// The crate that a unit's name says: "src/main.rs/@/api.2e181165d5c58bca" of "src/main.rs/@/api.2e181165d5c58bca-cgu.00".
fn crate_of(name: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::rfind(name, b"-cgu.")?;
    name.get(..end)
}

/// The name of a unit, and its directory.
fn names<'a>(unit: InFile<'_, 'a>) -> (Option<Reader<'a>>, Option<Reader<'a>>) {
    let attribute = |wanted| -> Option<AttributeValue<Reader<'a>>> {
        let mut entries = unit.entries_raw(None).ok()?;
        let abbreviation = entries.read_abbreviation().ok()??;
        for &specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(specification).ok()?;
            if attribute.name() == wanted {
                return Some(attribute.value());
            }
        }
        None
    };
    let string = |wanted| unit.string(attribute(wanted)?);
    (string(constants::DW_AT_name), string(constants::DW_AT_comp_dir))
}
