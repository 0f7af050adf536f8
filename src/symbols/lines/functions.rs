//! The functions of a compilation unit, and the calls that were inlined into them.
//!
//! Entries are read one after another, never by recursion: they may be nested to any depth.

use gimli::{Abbreviation, AttributeValue, EntriesRaw, RangeListsOffset, UnitOffset, constants};

use super::patience::Patience;
use super::rows::text;
use super::sections::{InFile, Opened, Reader};

/// Ranges of the functions of one unit at most.
const MAX_FUNCTIONS: usize = 1 << 20;
/// Calls at one address that were inlined into each other.
const MAX_INLINED: usize = 128;
/// Entries that are followed from an entry to the one that has its name.
const MAX_HOPS: usize = 8;

/// A unit, and the offset of an entry in it.
pub(super) type InUnit<'a> = (Opened<'a>, UnitOffset<usize>);
type Value<'a> = AttributeValue<Reader<'a>>;

/// The functions of a unit that have code.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// First address, one past the last address, offset of the entry in the unit; ascending.
    ranges: Vec<(u64, u64, usize)>,
}

impl Functions {
    /// The functions of a unit, as far as they can be read.
    pub(super) fn read(unit: InFile<'_, '_>, patience: &mut Patience) -> Functions {
        let mut ranges = Vec::new();
        let _ = read(unit, &mut ranges, patience);
        ranges.sort_unstable();
        ranges.shrink_to_fit();
        Functions { ranges }
    }

    /// The offset of the entry of the function at an address.
    pub(super) fn at(&self, address: u64) -> Option<usize> {
        let behind = self.ranges.partition_point(|(begin, ..)| *begin <= address);
        let (_, end, entry) = *self.ranges.get(behind.checked_sub(1)?)?;
        (address < end).then_some(entry)
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }
}

fn read(unit: InFile<'_, '_>, into: &mut Vec<(u64, u64, usize)>, patience: &mut Patience) -> Option<()> {
    let mut entries = unit.entries_raw(None).ok()?;
    while !entries.is_empty() {
        patience.check()?;
        let UnitOffset(offset) = entries.next_offset();
        let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
        if abbreviation.tag() != constants::DW_TAG_subprogram {
            entries.skip_attributes(abbreviation.attributes()).ok()?;
            continue;
        }
        let entry = Entry::read(&mut entries, abbreviation, unit)?;
        entry.each_range(unit, patience, |begin, end| {
            // Code that the linker left out has the address 0.
            if begin > 0 && into.len() < MAX_FUNCTIONS {
                into.push((begin, end, offset));
            }
        });
    }
    Some(())
}

/// What is needed of the entry of a function or an inlined call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry<'a> {
    low: Option<u64>,
    high: Option<u64>,
    size: Option<u64>,
    ranges: Option<RangeListsOffset<usize>>,
    linkage_name: Option<Value<'a>>,
    name: Option<Value<'a>>,
    /// The entry that has what is not in this one.
    origin: Option<Value<'a>>,
    /// Where the inlined call is: the number of a file in the line table, and the line.
    pub(super) call_file: Option<u64>,
    pub(super) call_line: u32,
}

impl<'a> Entry<'a> {
    fn read(
        entries: &mut EntriesRaw<'_, Reader<'a>>,
        abbreviation: &Abbreviation,
        unit: InFile<'_, 'a>,
    ) -> Option<Entry<'a>> {
        let mut entry = Entry::default();
        for &specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(specification).ok()?;
            let value = attribute.value();
            match attribute.name() {
                constants::DW_AT_low_pc => entry.low = unit.attr_address(value).ok()?,
                constants::DW_AT_high_pc => match value {
                    AttributeValue::Udata(size) => entry.size = Some(size),
                    address => entry.high = unit.attr_address(address).ok()?,
                },
                constants::DW_AT_ranges => entry.ranges = unit.attr_ranges_offset(value).ok()?,
                constants::DW_AT_linkage_name | constants::DW_AT_MIPS_linkage_name => {
                    entry.linkage_name = Some(value);
                }
                constants::DW_AT_name => entry.name = Some(value),
                constants::DW_AT_abstract_origin | constants::DW_AT_specification => {
                    entry.origin = Some(value);
                }
                constants::DW_AT_call_file => {
                    if let AttributeValue::FileIndex(number) = value {
                        entry.call_file = Some(number);
                    }
                }
                constants::DW_AT_call_line => {
                    let line = attribute.udata_value().and_then(|line| u32::try_from(line).ok());
                    entry.call_line = line.unwrap_or(0);
                }
                _ => {}
            }
        }
        Some(entry)
    }

    /// Calls `with` with the first address of each range of its code, and one past the last.
    fn each_range(
        &self,
        unit: InFile<'_, 'a>,
        patience: &mut Patience,
        mut with: impl FnMut(u64, u64),
    ) -> Option<()> {
        let Some(ranges) = self.ranges else {
            let begin = self.low?;
            let end = self.high.or_else(|| begin.checked_add(self.size?))?;
            if begin < end {
                with(begin, end);
            }
            return Some(());
        };
        unit.each_range(ranges, &mut |begin, end| {
            let may = patience.check().is_some();
            if may {
                with(begin, end);
            }
            may
        })
    }

    fn contains(&self, address: u64, unit: InFile<'_, 'a>, patience: &mut Patience) -> bool {
        let mut found = false;
        self.each_range(unit, patience, |begin, end| found |= begin <= address && address < end);
        found
    }
}

/// The entry of the function at this offset in the unit, and those of the calls that were inlined at an address, from
/// the outermost inwards. None if the entries cannot be read to the end, or are nested too deeply: then the innermost
/// one is not known.
pub(super) fn chain<'a>(
    unit: InFile<'_, 'a>,
    function: usize,
    address: u64,
    patience: &mut Patience,
) -> Option<Vec<Entry<'a>>> {
    // Each with its depth.
    let mut open = Vec::new();
    follow(unit, function, address, &mut open, patience)?;
    Some(open.into_iter().map(|(_, entry)| entry).collect())
}

fn follow<'a>(
    unit: InFile<'_, 'a>,
    function: usize,
    address: u64,
    open: &mut Vec<(isize, Entry<'a>)>,
    patience: &mut Patience,
) -> Option<()> {
    let mut entries = unit.entries_raw(Some(UnitOffset(function))).ok()?;
    let top = entries.next_depth();
    let abbreviation = entries.read_abbreviation().ok()??;
    open.push((top, Entry::read(&mut entries, abbreviation, unit)?));
    // What is below an entry of this depth is of another function, or of a call that is elsewhere.
    let mut elsewhere = None;
    while !entries.is_empty() && entries.next_depth() > top {
        patience.check()?;
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
        if elsewhere.is_some_and(|elsewhere| depth > elsewhere) {
            entries.skip_attributes(abbreviation.attributes()).ok()?;
            continue;
        }
        elsewhere = None;
        match abbreviation.tag() {
            constants::DW_TAG_inlined_subroutine => {
                let entry = Entry::read(&mut entries, abbreviation, unit)?;
                if !entry.contains(address, unit, patience) {
                    elsewhere = Some(depth);
                    continue;
                }
                open.retain(|(other, _)| *other < depth);
                if open.len() >= MAX_INLINED {
                    return None;
                }
                open.push((depth, entry));
            }
            tag => {
                elsewhere = (tag == constants::DW_TAG_subprogram).then_some(depth);
                entries.skip_attributes(abbreviation.attributes()).ok()?;
            }
        }
    }
    Some(())
}

/// The linker's name of a function, or where to look for it.
enum Way {
    Name(String),
    /// The entry at this offset of the unit.
    Here(UnitOffset<usize>),
    /// The entry at this offset of `.debug_info`.
    Elsewhere(usize),
    End,
}

impl<'a> Entry<'a> {
    fn way_to_name(&self, unit: InFile<'_, 'a>) -> Way {
        let name = self.linkage_name.and_then(|name| unit.string(name));
        match (name.filter(|name| !name.is_empty()), self.origin) {
            (Some(name), _) => Way::Name(text(name)),
            (None, Some(AttributeValue::UnitRef(offset))) => Way::Here(offset),
            (None, Some(AttributeValue::DebugInfoRef(offset))) => {
                unit.elsewhere(offset).map_or(Way::End, Way::Elsewhere)
            }
            (None, _) => Way::End,
        }
    }
}

/// The name of a function, as the linker knows it or, where it does not, as in the source. `other` reads a unit by an
/// offset in it, and gives that offset in the unit.
pub(super) fn name<'a>(
    entry: &Entry<'a>,
    unit: InFile<'_, 'a>,
    other: &dyn Fn(usize) -> Option<InUnit<'a>>,
) -> Option<String> {
    let (mut entry, mut elsewhere) = (*entry, None);
    let mut plain = None;
    for _ in 0..MAX_HOPS {
        let here = elsewhere.as_ref().map_or(unit, Opened::view);
        plain = plain.or_else(|| here.string(entry.name?)).filter(|text| !text.is_empty());
        let (moved, at) = match entry.way_to_name(here) {
            Way::Name(name) => return Some(name),
            Way::End => break,
            Way::Here(at) => (None, at),
            Way::Elsewhere(at) => {
                let Some((found, at)) = other(at) else { break };
                (Some(found), at)
            }
        };
        elsewhere = moved.or(elsewhere);
        let here = elsewhere.as_ref().map_or(unit, Opened::view);
        let Some(next) = entry_at(here, at) else { break };
        entry = next;
    }
    plain.map(text)
}

fn entry_at<'a>(unit: InFile<'_, 'a>, at: UnitOffset<usize>) -> Option<Entry<'a>> {
    let mut entries = unit.entries_raw(Some(at)).ok()?;
    let abbreviation = entries.read_abbreviation().ok()??;
    Entry::read(&mut entries, abbreviation, unit)
}
