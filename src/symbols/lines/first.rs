//! The first entry of a unit, which says what the others refer to. Source: DWARF Debugging Information Format, version 5,
//! section 3.1.1.

use std::sync::Arc;

use gimli::{
    Abbreviations, AttributeValue, DebugAddrBase, DebugLocListsBase, DebugRngListsBase, DebugStrOffsetsBase,
    Dwarf, Unit, UnitHeader, UnitType, constants,
};

use super::sections::{Opened, Reader, Texts};

type Value<'a> = AttributeValue<Reader<'a>>;

/// What it says besides what [`Unit`] has.
#[derive(Debug, Default)]
pub(super) struct First<'a> {
    pub(super) name: Option<Value<'a>>,
    pub(super) folder: Option<Value<'a>>,
    /// The path of the file with the unit's entries, if they are elsewhere.
    pub(super) object: Option<Value<'a>>,
    /// Where the line table is in its section.
    pub(super) lines: Option<usize>,
    low: Option<Value<'a>>,
    high: Option<Value<'a>>,
    ranges: Option<Value<'a>>,
}

/// Opens a unit by its first entry. [`Unit::new`] would read its name and its line table from sections that must be in memory
/// for that; these are missing here.
pub(super) fn open<'a>(
    dwarf: Dwarf<Reader<'a>>,
    texts: Texts<'a>,
    header: UnitHeader<Reader<'a>>,
    abbreviations: Arc<Abbreviations>,
) -> Option<(Opened<'a>, First<'a>)> {
    let (encoding, file) = (header.encoding(), dwarf.file_type);
    let mut unit = Unit {
        name: None,
        comp_dir: None,
        low_pc: 0,
        str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, file),
        addr_base: DebugAddrBase(0),
        loclists_base: DebugLocListsBase::default_for_encoding_and_file(encoding, file),
        rnglists_base: DebugRngListsBase::default_for_encoding_and_file(encoding, file),
        line_program: None,
        dwo_id: match header.type_() {
            UnitType::Skeleton(id) | UnitType::SplitCompilation(id) => Some(id),
            _ => None,
        },
        abbreviations: Arc::clone(&abbreviations),
        header,
    };
    let mut entries = header.entries_raw(&abbreviations, None).ok()?;
    let abbreviation = entries.read_abbreviation().ok()??;
    let mut first = First::default();
    for &specification in abbreviation.attributes() {
        let attribute = entries.read_attribute(specification).ok()?;
        let value = attribute.value();
        match (attribute.name(), value) {
            (constants::DW_AT_name, _) => first.name = Some(value),
            (constants::DW_AT_comp_dir, _) => first.folder = Some(value),
            (constants::DW_AT_dwo_name | constants::DW_AT_GNU_dwo_name, _) => first.object = Some(value),
            (constants::DW_AT_low_pc, _) => first.low = Some(value),
            (constants::DW_AT_high_pc, _) => first.high = Some(value),
            (constants::DW_AT_ranges, _) => first.ranges = Some(value),
            (_, AttributeValue::DebugLineRef(at)) => first.lines = Some(at.0),
            (_, AttributeValue::DebugStrOffsetsBase(base)) => unit.str_offsets_base = base,
            (_, AttributeValue::DebugAddrBase(base)) => unit.addr_base = base,
            (_, AttributeValue::DebugLocListsBase(base)) => unit.loclists_base = base,
            (_, AttributeValue::DebugRngListsBase(base)) => unit.rnglists_base = base,
            (_, AttributeValue::DwoId(id)) => unit.dwo_id = unit.dwo_id.or(Some(id)),
            _ => {}
        }
    }
    if let Some(low) = first.low {
        unit.low_pc = dwarf.attr_address(&unit, low).ok()?.unwrap_or(0);
    }
    Some((Opened { dwarf, unit, texts }, first))
}

impl<'a> First<'a> {
    /// Adds the unit's name and its directory.
    pub(super) fn add_names(&self, opened: &mut Opened<'a>) {
        let string = |value: Option<Value<'a>>| opened.view().string(value?);
        (opened.unit.name, opened.unit.comp_dir) = (string(self.name), string(self.folder));
    }

    /// Calls `with` with the first address of each range of the unit's code, and one past the last, until it returns false.
    pub(super) fn each_range(
        &self,
        opened: &Opened<'a>,
        with: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Option<()> {
        let Opened { dwarf, unit, .. } = opened;
        if let Some(list) = self.ranges
            && let Some(list) = dwarf.attr_ranges_offset(unit, list).ok()?
        {
            return opened.view().each_range(list, with);
        }
        let begin = dwarf.attr_address(unit, self.low?).ok()??;
        let end = match self.high? {
            AttributeValue::Udata(size) => begin.checked_add(size)?,
            end => dwarf.attr_address(unit, end).ok()??,
        };
        with(begin, end);
        Some(())
    }
}
