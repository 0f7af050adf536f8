//! The runtime's structs as debugging information describes them.
//!
//! Go's linker writes all types as entries with their names inline (`cmd/link/internal/ld/dwarf.go`),
//! so a struct is found by searching for its name instead of reading the hundreds of megabytes that
//! large programs have. DWARF 4 and, from Go 1.25 on, 5.

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfo, DebugInfoOffset, DebuggingInformationEntry, DwAt,
    EndianSlice, LittleEndian, UnitHeader, UnitOffset, constants,
};
use memchr::memmem;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::structs::{Field, Flattener, MAX_NESTING, StructLayout, Structs, is_word_in_itself, join};

/// Go's own attributes: the kind of a type, and that a field is embedded.
const GO_KIND: DwAt = DwAt(0x2900);
const GO_EMBEDDED: DwAt = DwAt(0x2903);
/// `internal/abi.Kind` of structs; strings, slices and interfaces are structs in DWARF too.
const STRUCT: u64 = 25;

/// Steps from a type's name to the type itself.
const MAX_TYPEDEFS: usize = 16;
/// Places that are checked when a name is searched for.
const MAX_HITS: usize = 256;
/// Members that are read in all: all of the runtime's structs have a few thousand.
const MAX_WORK: usize = 1 << 20;
/// Units of a program.
const MAX_UNITS: usize = 1 << 20;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// The sections that are needed, decompressed.
#[derive(Debug, Clone, Copy)]
pub struct DebugSections<'a> {
    /// `.debug_info`.
    pub info: &'a [u8],
    /// `.debug_abbrev`.
    pub abbrev: &'a [u8],
}

/// The layouts of the runtime's structs that are present; `names` without "runtime.". For an array type, like
/// `semTable`, the one field "entry" is its first element.
pub fn structs(sections: DebugSections<'_>, names: &[&str]) -> Structs {
    let mut reader = Reader::new(sections);
    let mut found = Structs::new();
    for &name in names {
        if let Some(layout) = reader.find(name) {
            found.insert(name.to_owned(), layout);
        }
    }
    found
}

struct Reader<'a> {
    bytes: &'a [u8],
    abbrev: DebugAbbrev<Slice<'a>>,
    /// In the order of the section.
    units: Vec<UnitHeader<Slice<'a>>>,
    /// Go's units share one table.
    abbreviations: FxHashMap<usize, Rc<Abbreviations>>,
    /// Entries that refer to each other in a cycle must not keep loiter busy.
    members_left: usize,
}

/// An entry and its unit.
struct Place<'a> {
    unit: usize,
    entry: Entry<'a>,
}

impl<'a> Reader<'a> {
    fn new(sections: DebugSections<'a>) -> Self {
        let info = DebugInfo::new(sections.info, LittleEndian);
        let mut units = Vec::new();
        let mut headers = info.units();
        while let Ok(Some(header)) = headers.next() {
            units.push(header);
            if units.len() >= MAX_UNITS {
                break;
            }
        }
        Reader {
            bytes: sections.info,
            abbrev: DebugAbbrev::new(sections.abbrev, LittleEndian),
            units,
            abbreviations: FxHashMap::default(),
            members_left: MAX_WORK,
        }
    }

    /// Finds a type of the runtime by its name.
    fn find(&mut self, name: &str) -> Option<StructLayout> {
        let full = format!("runtime.{name}");
        let needle = [full.as_bytes(), b"\0"].concat();
        let bytes = self.bytes;
        memmem::find_iter(bytes, &needle).take(MAX_HITS).find_map(|at| {
            // In front of the name is only the number of the entry's form, one or two bytes.
            [1, 2].into_iter().filter_map(|back| at.checked_sub(back)).find_map(|at| {
                let place = self.entry_at(at)?;
                let named = matches!(place.entry.attr_value(constants::DW_AT_name), Some(AttributeValue::String(s)) if s.slice() == full.as_bytes());
                if named { self.layout(&place) } else { None }
            })
        })
    }

    fn layout(&mut self, place: &Place<'a>) -> Option<StructLayout> {
        let size = number(&place.entry, constants::DW_AT_byte_size)?;
        match place.entry.tag {
            constants::DW_TAG_structure_type => {
                let mut flattener = Flattener::new(size);
                self.flatten(place, "", 0, 0, &mut flattener)?;
                Some(flattener.finish())
            }
            constants::DW_TAG_array_type => {
                let element = self.type_of(place)?;
                let entry = Field { offset: 0, size: self.size(element)? };
                Some(StructLayout { size, fields: BTreeMap::from([("entry".to_owned(), entry)]) })
            }
            _ => None,
        }
    }

    fn flatten(
        &mut self,
        place: &Place<'a>,
        prefix: &str,
        base: u64,
        depth: usize,
        into: &mut Flattener,
    ) -> Option<()> {
        for member in self.members(place)? {
            let name = match member.entry.attr_value(constants::DW_AT_name) {
                Some(AttributeValue::String(name)) => std::str::from_utf8(name.slice()).ok()?,
                _ => return None,
            };
            if name == "_" {
                continue;
            }
            let offset = base.checked_add(number(&member.entry, constants::DW_AT_data_member_location)?)?;
            let embedded = member.entry.attr_value(GO_EMBEDDED) == Some(AttributeValue::Flag(true));
            // An embedded field is named by its type's full name in some versions.
            let name = if embedded { name.rsplit('.').next().unwrap_or(name) } else { name };
            let path = join(prefix, name);
            let ty = self.type_of(&member)?;
            let inside = ty.entry.tag == constants::DW_TAG_structure_type
                && number(&ty.entry, GO_KIND) == Some(STRUCT)
                && !type_name(&ty.entry).is_some_and(is_word_in_itself);
            let size = self.size(Place { unit: ty.unit, entry: ty.entry.clone() })?;
            if !into.field(&path, offset, size) {
                return None;
            }
            if inside && depth < MAX_NESTING {
                let prefix = if embedded { prefix } else { &path };
                self.flatten(&ty, prefix, offset, depth + 1, into)?;
            }
        }
        Some(())
    }

    /// A struct's members.
    fn members(&mut self, place: &Place<'a>) -> Option<Vec<Place<'a>>> {
        let mut members = Vec::new();
        self.members_left = self.members_left.checked_sub(1)?;
        if !place.entry.has_children {
            return Some(members);
        }
        let abbreviations = self.abbreviations(place.unit)?;
        let header = self.units.get(place.unit)?;
        let mut entries = header.entries_at_offset(&abbreviations, place.entry.offset).ok()?;
        entries.next_dfs().ok()??;
        while let Some(entry) = entries.next_dfs().ok()? {
            if entry.depth <= 0 || members.len() >= super::structs::MAX_FIELDS {
                break;
            }
            if entry.tag == constants::DW_TAG_member {
                members.push(Place { unit: place.unit, entry: entry.clone() });
            }
        }
        self.members_left = self.members_left.checked_sub(members.len())?;
        Some(members)
    }

    /// The type that an entry names, with typedefs resolved.
    fn type_of(&mut self, place: &Place<'a>) -> Option<Place<'a>> {
        let mut place = self.named_type(place)?;
        for _ in 0..MAX_TYPEDEFS {
            // The name of an interface, channel or map refers to a struct or pointer that is internal to the
            // runtime.
            let opaque = number(&place.entry, GO_KIND).is_some_and(|kind| kind != 0 && kind != STRUCT);
            if place.entry.tag != constants::DW_TAG_typedef || opaque {
                return Some(place);
            }
            place = self.named_type(&place)?;
        }
        None
    }

    fn named_type(&mut self, place: &Place<'a>) -> Option<Place<'a>> {
        let at = match place.entry.attr_value(constants::DW_AT_type)? {
            AttributeValue::DebugInfoRef(at) => at.0,
            AttributeValue::UnitRef(at) => at.to_debug_info_offset(self.units.get(place.unit)?)?.0,
            _ => return None,
        };
        self.entry_at(at)
    }

    fn size(&mut self, mut place: Place<'a>) -> Option<u64> {
        for _ in 0..MAX_TYPEDEFS {
            if let Some(size) = number(&place.entry, constants::DW_AT_byte_size) {
                return Some(size);
            }
            match place.entry.tag {
                // 64-bit machines only.
                constants::DW_TAG_pointer_type | constants::DW_TAG_subroutine_type => return Some(8),
                _ => place = self.named_type(&place)?,
            }
        }
        None
    }

    /// The entry at an offset of the section.
    fn entry_at(&mut self, at: usize) -> Option<Place<'a>> {
        let unit = self.units.partition_point(|header| start(header) <= at).checked_sub(1)?;
        let abbreviations = self.abbreviations(unit)?;
        let header = self.units.get(unit)?;
        let offset: UnitOffset<usize> = DebugInfoOffset(at).to_unit_offset(header)?;
        let entry = header.entry(&abbreviations, offset).ok()?;
        Some(Place { unit, entry })
    }

    fn abbreviations(&mut self, unit: usize) -> Option<Rc<Abbreviations>> {
        let offset = self.units.get(unit)?.debug_abbrev_offset();
        if let Some(known) = self.abbreviations.get(&offset.0) {
            return Some(Rc::clone(known));
        }
        let table = Rc::new(self.abbrev.abbreviations(offset).ok()?);
        self.abbreviations.insert(offset.0, Rc::clone(&table));
        Some(table)
    }
}

fn start(header: &UnitHeader<Slice<'_>>) -> usize {
    header.offset().0
}

fn number(entry: &Entry<'_>, attribute: DwAt) -> Option<u64> {
    entry.attr_value(attribute)?.udata_value()
}

fn type_name<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    match entry.attr_value(constants::DW_AT_name)? {
        AttributeValue::String(name) => std::str::from_utf8(name.slice()).ok(),
        _ => None,
    }
}
