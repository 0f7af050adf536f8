//! Lists of where variables are, which are read when one is asked for: few ever are.

use std::sync::OnceLock;

use gimli::{
    AttributeValue, DebugLoc, DebugLocLists, EndianSlice, LittleEndian, LocationLists, LocationListsOffset,
    SectionId, UnitRef,
};

use super::pieces::Section;
use crate::process::Image;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Bytes of one list that are read.
const MAX_LIST: usize = 64 << 10;
/// Entries of one list that are examined.
const MAX_ENTRIES: usize = 4 << 10;
/// Bytes that a list section may have if it has to be read whole.
const MAX_WHOLE: usize = 256 << 20;

/// `.debug_loc` of DWARF 4 and before, and `.debug_loclists`.
#[derive(Debug, Default)]
pub(in crate::symbols) struct Lists {
    image: Option<Image>,
    sections: OnceLock<[Section; 2]>,
    /// They are of a unit whose entries are not in the program: before DWARF 5 they have a form of their own there.
    is_split: bool,
}

impl Lists {
    /// Those of a file.
    pub(super) fn of(image: &Image) -> Lists {
        Lists { image: Some(image.clone()), sections: OnceLock::new(), is_split: false }
    }

    /// Those of a unit whose entries are not in the program.
    pub(super) fn split(old: Vec<u8>, new: Vec<u8>) -> Lists {
        let sections = OnceLock::from([old, new].map(Section::Whole));
        Lists { image: None, sections, is_split: true }
    }

    /// The expression that an attribute of a unit has for an address of the code. None: there is none.
    pub(in crate::symbols) fn expression(
        &self,
        unit: &UnitRef<'_, Slice<'_>>,
        value: &AttributeValue<Slice<'_>>,
        address: u64,
    ) -> Option<Vec<u8>> {
        let version = unit.encoding().version;
        let at = match *value {
            AttributeValue::Exprloc(expression) => return Some(expression.0.slice().to_vec()),
            AttributeValue::LocationListsRef(LocationListsOffset(at)) => at,
            AttributeValue::DebugLocListsIndex(index) => self.offset_of(unit, index.0)?,
            _ => return None,
        };
        let section = self.section(version);
        let bytes = section.bytes(at, section.len().checked_sub(at)?.min(MAX_LIST))?;
        let (list, none) = (EndianSlice::new(&bytes, LittleEndian), EndianSlice::new(&[], LittleEndian));
        let (old, new) = if version < 5 { (list, none) } else { (none, list) };
        let lists = LocationLists::new(DebugLoc::from(old), DebugLocLists::from(new));
        // The list was cut out of its section: it begins at 0.
        let (begin, addresses) = (LocationListsOffset(0), &unit.dwarf.debug_addr);
        let (encoding, base) = (unit.encoding(), unit.addr_base);
        let mut found = match self.is_split {
            true => lists.locations_dwo(begin, encoding, unit.low_pc, addresses, base).ok()?,
            false => lists.locations(begin, encoding, unit.low_pc, addresses, base).ok()?,
        };
        for _ in 0..MAX_ENTRIES {
            let entry = found.next().ok()??;
            if entry.range.begin <= address && address < entry.range.end {
                return Some(entry.data.0.slice().to_vec());
            }
        }
        None
    }

    /// Where the list with a number is, by the table before the lists of the unit.
    fn offset_of(&self, unit: &UnitRef<'_, Slice<'_>>, index: usize) -> Option<usize> {
        let size = usize::from(unit.encoding().format.word_size());
        let base = unit.loclists_base.0;
        let at = base.checked_add(index.checked_mul(size)?)?;
        let bytes = self.section(5).bytes(at, size)?;
        let number = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        base.checked_add(usize::try_from(number).ok()?)
    }

    fn section(&self, version: u16) -> &Section {
        let read = || {
            let one = |id| Section::of(self.image.as_ref()?, id, MAX_WHOLE).ok();
            [SectionId::DebugLoc, SectionId::DebugLocLists].map(|id| one(id).unwrap_or_default())
        };
        let [old, new] = self.sections.get_or_init(read);
        if version < 5 { old } else { new }
    }
}
