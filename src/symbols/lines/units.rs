//! Which compilation unit has the code at an address.

use std::sync::Arc;

use gimli::{
    Abbreviations, DebugAbbrev, DebugInfo, DebugInfoOffset, EndianSlice, LittleEndian, SectionId, UnitHeader,
    UnitType,
};

use rustc_hash::FxHashMap;

use super::first;
use super::patience::Patience;
use super::rows::text;
use super::sections::{MAX_UNITS, Opened, Reader as Bytes, Sections};
use super::split::{Skeleton, SplitParts, SplitUnit};
use crate::cache::{Reader, Writer};
use crate::symbols::kept::Answer;

/// Address ranges of all units at most.
const MAX_RANGES: usize = 4 << 20;
/// Bytes of the abbreviations of one unit that are read.
const MAX_ABBREVIATIONS: usize = 1 << 20;
/// Bytes between two ranges of a unit that may be no code: linkers align functions. They count as one range, since the ranges of
/// all functions are many.
const MAX_GAP: u64 = 63;
/// Ranges that are examined for one address; overlapping ones are rare.
const MAX_EXAMINED: usize = 256;

/// The compilation units of a file.
#[derive(Debug, Default, PartialEq, Eq)]
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
            let Some((opened, first)) = first::open(dwarf, texts, header, abbreviations) else { continue };
            let name = first.name.and_then(|name| opened.view().passing_string(name));
            if let (Some(name), Some(own)) = (name, self.crates.last_mut()) {
                *own = names.number(&name);
            }
            if let Some(id) = opened.unit.dwo_id {
                let string = |value: Option<_>| opened.view().string(value?).map(text);
                let (object, folder) = (string(first.object), string(first.folder));
                skeletons.push((number, Skeleton { offset, id: id.0, object, folder }));
            }
            first.each_range(&opened, &mut |begin, end| {
                let may = patience.check().is_some();
                if may {
                    self.add_range(begin, end, number);
                }
                may
            });
        }
        skeletons
    }

    fn add_range(&mut self, begin: u64, end: u64, number: u32) {
        // Code that the linker left out has the address 0.
        if begin == 0 || begin >= end {
            return;
        }
        let is_next =
            |(_, last, own): &(u64, u64, u32)| *own == number && *last <= begin && begin - *last <= MAX_GAP;
        if let Some((_, last, _)) = self.ranges.last_mut().filter(|last| is_next(last)) {
            *last = end;
        } else if self.ranges.len() < MAX_RANGES {
            self.ranges.push((begin, end, number));
        }
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

/// What is kept of units: of a file whose entries are all in the file itself.
impl Answer for Units {
    fn write(&self, into: &mut Writer) {
        // Each is near the one before.
        let mut last = 0;
        let mut near = |into: &mut Writer, value: u64| {
            into.number(value.wrapping_sub(last));
            last = value;
        };
        into.number(self.offsets.len() as u64);
        for (offset, own) in self.offsets.iter().zip(&self.crates) {
            near(into, *offset as u64);
            into.option(*own, |into, own| into.number(u64::from(own)));
        }
        into.number(self.ranges.len() as u64);
        for (begin, end, number) in &self.ranges {
            near(into, *begin);
            into.number(end.wrapping_sub(*begin));
            into.number(u64::from(*number));
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Units> {
        let mut last = 0_u64;
        let mut near = |from: &mut Reader<'_>| {
            last = last.wrapping_add(from.number()?);
            Some(last)
        };
        let mut units = Units::default();
        for _ in 0..from.number().filter(|count| *count <= MAX_UNITS as u64)? {
            units.offsets.push(usize::try_from(near(from)?).ok()?);
            units.crates.push(from.option(Reader::small)?);
        }
        for _ in 0..from.number().filter(|count| *count <= MAX_RANGES as u64)? {
            let begin = near(from)?;
            let end = begin.checked_add(from.number()?)?;
            units.ranges.push((begin, end, from.small()?));
        }
        (units.offsets.is_sorted() && units.ranges.is_sorted()).then_some(units)
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
fn header(bytes: Bytes<'_>) -> Option<UnitHeader<Bytes<'_>>> {
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
    let (mut opened, first) = first::open(sections.dwarf(), sections.texts(), header, abbreviations)?;
    first.add_names(&mut opened);
    opened.unit.line_program = first.lines.and_then(|at| {
        let table = gimli::DebugLine::from(sections.line_table(offset, at)?);
        let gimli::Unit { name, comp_dir, .. } = opened.unit;
        table.program(gimli::DebugLineOffset(0), opened.unit.header.address_size(), comp_dir, name).ok()
    });
    Some(opened)
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
    let (mut opened, first) = first::open(dwarf, texts, header, abbreviations)?;
    // Another build's file may be at the same place.
    opened.unit.dwo_id.filter(|id| id.0 == split.id)?;
    opened.unit.copy_relocated_attributes(&skeleton);
    first.add_names(&mut opened);
    opened.unit.comp_dir = opened.unit.comp_dir.or(skeleton.comp_dir);
    opened.unit.line_program = skeleton.line_program;
    Some(opened)
}

/// The crate that a unit's name says: "src/main.rs/@/api.2e181165d5c58bca" of "src/main.rs/@/api.2e181165d5c58bca-cgu.00". In
/// an incremental build a unit has a name of its own behind the file, as in "src/main.rs/@/05qswgch9yw2533dotyhwixvo": there
/// the file says which crate it is.
fn crate_of(name: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::rfind(name, b"-cgu.").or_else(|| memchr::memmem::rfind(name, b"/@/"))?;
    name.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::kept::{whole, written};

    fn some() -> Units {
        let mut units =
            Units { offsets: vec![0, 100, 5000], crates: vec![Some(1), None, Some(1)], ranges: Vec::new() };
        for (begin, end, number) in [
            (0x1000, 0x1010, 0),
            (0x1010, 0x1011, 0),
            (0x1020, 0x1030, 0),
            (0x1030, 0x1040, 2),
            (0x1040 + MAX_GAP, 0x1100, 2),
            (0x1101 + MAX_GAP, 0x1200, 2),
            (0x900, 0x910, 2),
            (0, 0x10, 2),
            (0x5000, 0x5000, 2),
        ] {
            units.add_range(begin, end, number);
        }
        units.ranges.sort_unstable();
        units
    }

    #[test]
    fn units_of_one_crate_are_alike() {
        let of = |name: &str| crate_of(name.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(of("src/main.rs/@/api.2e18-cgu.00"), of("src/main.rs/@/api.2e18-cgu.11"));
        assert_eq!(of("src/main.rs/@/05qswgch9yw25"), of("src/main.rs/@/1awhjnba348rx"));
        assert_ne!(of("src/main.rs/@/05qswgch9yw25"), of("web/src/main.rs/@/1awhjnba348rx"));
        assert_ne!(of("src/main.rs/@/api.2e18-cgu.00"), of("src/main.rs/@/web.77ab-cgu.00"));
        assert_eq!(of("main.c"), None);
    }

    #[test]
    fn neighbouring_functions_of_a_unit_are_one_range() {
        let units = some();
        let ranges =
            [(0x900, 0x910, 2), (0x1000, 0x1030, 0), (0x1030, 0x1100, 2), (0x1101 + MAX_GAP, 0x1200, 2)];
        assert_eq!(units.ranges, ranges);
        let at = |address| units.at(address).collect::<Vec<_>>();
        assert_eq!((at(0x1025), at(0x1030), at(0x8ff), at(0x910)), (vec![0], vec![5000], vec![], vec![]));
        assert_eq!(units.like(0).collect::<Vec<_>>(), [5000]);
    }

    #[test]
    fn units_are_kept() {
        let bytes = written(&some());
        assert_eq!(whole(&bytes), Some(some()));
        assert_eq!(whole(&written(&Units::default())), Some(Units::default()));
        for len in 0..bytes.len() {
            assert_eq!(whole::<Units>(&bytes[..len]), None, "{len}");
        }
        // Whatever else is there is read without harm.
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] = 0xff;
            if let Some(units) = whole::<Units>(&wrong) {
                _ = (units.at(0x1000).count(), units.like(0).count(), units.around(50));
            }
        }
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        let mut many = Writer::default();
        many.number(MAX_UNITS as u64 + 1);
        many.bytes(&[0; 100]);
        assert_eq!(whole::<Units>(&many.into_bytes()), None);
    }
}
