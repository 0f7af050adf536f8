//! What is where in a compilation unit: its functions by address, and what each type is inside of.
//!
//! Entries are read one after another, never by recursion: they may be nested to any depth.

use gimli::{AttributeValue, UnitOffset, constants};

use super::super::lines::Patience;
use super::super::lines::rows::text;
use super::super::lines::sections::InFile;

/// Scopes and types of one unit at most.
const MAX_SCOPES: usize = 8 << 20;
/// Functions of one unit at most.
const MAX_FUNCTIONS: usize = 1 << 20;
/// Bytes of names of types that are given of one unit.
const MAX_NAMED: usize = 64 << 20;
/// Scopes around a type whose names are part of its name.
const MAX_DEPTH: usize = 64;
/// Bytes of a path.
const MAX_PATH: usize = 8 << 10;
/// No scope around it.
const OUTERMOST: u32 = u32::MAX;

/// The functions, scopes and types of a unit.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// First address, offset of the entry in the unit; ascending.
    functions: Vec<(u64, u32)>,
    scopes: Vec<Scope>,
    /// Functions and the number of the scope that each is in; ascending by scope.
    bodies: Vec<(u32, u32)>,
}

/// A namespace or type.
#[derive(Debug, Clone, Copy)]
struct Scope {
    /// Of its entry in the unit.
    offset: u32,
    /// The number of the scope around it.
    around: u32,
}

impl Index {
    /// The index of a unit, as far as it can be read.
    pub(super) fn read(unit: InFile<'_, '_>, patience: &mut Patience) -> Index {
        let mut index = Index::default();
        let _ = read(unit, &mut index, patience);
        index.functions.sort_unstable();
        index.bodies.sort_unstable();
        index.functions.shrink_to_fit();
        index.scopes.shrink_to_fit();
        index
    }

    pub(super) fn len(&self) -> usize {
        self.functions.len() + self.scopes.len() + self.bodies.len()
    }

    /// The offset of the entry of the function that begins at an address.
    pub(super) fn function(&self, address: u64) -> Option<usize> {
        let at = self.functions.binary_search_by_key(&address, |(begin, _)| *begin).ok()?;
        Some(self.functions.get(at)?.1 as usize)
    }

    /// The offset of the entry of the last function that begins at or before an address: its code may end before.
    pub(super) fn last_before(&self, address: u64) -> Option<usize> {
        let behind = self.functions.partition_point(|(begin, _)| *begin <= address);
        Some(self.functions.get(behind.checked_sub(1)?)?.1 as usize)
    }

    /// The number of the innermost scope around an entry, which may be a scope itself.
    fn around(&self, offset: usize) -> Option<usize> {
        let offset = u32::try_from(offset).ok()?;
        if let Ok(at) = self.scopes.binary_search_by_key(&offset, |scope| scope.offset) {
            return Some(self.scopes.get(at)?.around as usize).filter(|around| *around < self.scopes.len());
        }
        let body = self.bodies.iter().find(|(_, body)| *body == offset)?;
        Some(body.0 as usize).filter(|around| *around < self.scopes.len())
    }

    /// The names of the scopes around an entry, joined. Empty if there are none.
    pub(super) fn path(&self, unit: InFile<'_, '_>, offset: usize) -> String {
        self.around(offset)
            .and_then(|scope| u32::try_from(scope).ok())
            .map_or_else(String::new, |scope| self.path_from(unit, scope))
    }

    /// The names of the scope with a number and of those around it, joined.
    fn path_from(&self, unit: InFile<'_, '_>, scope: u32) -> String {
        let mut names = Vec::new();
        let mut at = Some(scope as usize);
        while let Some(scope) = at.and_then(|at| self.scopes.get(at)) {
            if names.len() >= MAX_DEPTH {
                break;
            }
            names.push(name(unit, scope.offset as usize).unwrap_or_default());
            at = Some(scope.around as usize);
        }
        names.reverse();
        let mut path = names.join("::");
        if path.len() > MAX_PATH {
            let end = (0..=MAX_PATH).rev().find(|end| path.is_char_boundary(*end)).unwrap_or(0);
            path.truncate(end);
        }
        path
    }

    /// The types, and scopes, whose name begins like this: names and offsets of the entries.
    pub(super) fn named(
        &self,
        unit: InFile<'_, '_>,
        begins: &str,
        patience: &mut Patience,
    ) -> Vec<(String, usize)> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for scope in &self.scopes {
            if patience.check().is_none() || bytes >= MAX_NAMED {
                break;
            }
            let offset = scope.offset as usize;
            if let Some(name) = name(unit, offset).filter(|name| name.starts_with(begins)) {
                bytes += name.len();
                found.push((name, offset));
            }
        }
        found
    }

    /// The functions in the scope with this path.
    pub(super) fn bodies_in(&self, unit: InFile<'_, '_>, path: &str, patience: &mut Patience) -> Vec<usize> {
        let mut found = Vec::new();
        let mut last = None;
        for &(scope, body) in &self.bodies {
            if patience.check().is_none() {
                break;
            }
            let is_here = match last {
                Some((other, is_here)) if other == scope => is_here,
                _ => self.path_from(unit, scope) == path,
            };
            last = Some((scope, is_here));
            if is_here {
                found.push(body as usize);
            }
        }
        found
    }
}

fn name(unit: InFile<'_, '_>, offset: usize) -> Option<String> {
    let mut entries = unit.entries_raw(Some(UnitOffset(offset))).ok()?;
    let abbreviation = entries.read_abbreviation().ok()??;
    for &specification in abbreviation.attributes() {
        let attribute = entries.read_attribute(specification).ok()?;
        if attribute.name() == constants::DW_AT_name {
            return unit.string(attribute.value()).map(text);
        }
    }
    None
}

fn read(unit: InFile<'_, '_>, into: &mut Index, patience: &mut Patience) -> Option<()> {
    let mut entries = unit.entries_raw(None).ok()?;
    // The scopes around the present entry, each with its depth.
    let mut open: Vec<(isize, u32)> = Vec::new();
    while !entries.is_empty() {
        patience.check()?;
        let (UnitOffset(offset), depth) = (entries.next_offset(), entries.next_depth());
        let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
        let is_scope = is_scope(abbreviation.tag());
        let is_function = abbreviation.tag() == constants::DW_TAG_subprogram;
        if !is_scope && !is_function {
            entries.skip_attributes(abbreviation.attributes()).ok()?;
            continue;
        }
        while open.last().is_some_and(|(other, _)| *other >= depth) {
            open.pop();
        }
        let around = open.last().map_or(OUTERMOST, |(_, scope)| *scope);
        let offset = u32::try_from(offset).ok()?;
        if is_scope {
            entries.skip_attributes(abbreviation.attributes()).ok()?;
            if into.scopes.len() >= MAX_SCOPES {
                return None;
            }
            if abbreviation.has_children() {
                open.push((depth, into.scopes.len() as u32));
            }
            into.scopes.push(Scope { offset, around });
            continue;
        }
        if into.bodies.len() >= MAX_FUNCTIONS {
            return None;
        }
        into.bodies.push((around, offset));
        for &specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(specification).ok()?;
            if attribute.name() != constants::DW_AT_low_pc {
                continue;
            }
            let begin = match attribute.value() {
                AttributeValue::Addr(begin) => Some(begin),
                other => unit.attr_address(other).ok()?,
            };
            // Code that the linker left out has the address 0.
            into.functions.extend(begin.filter(|begin| *begin > 0).map(|begin| (begin, offset)));
        }
    }
    Some(())
}

fn is_scope(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        constants::DW_TAG_namespace
            | constants::DW_TAG_structure_type
            | constants::DW_TAG_union_type
            | constants::DW_TAG_class_type
            | constants::DW_TAG_enumeration_type
    )
}
