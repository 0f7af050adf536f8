//! One type or function of a compilation unit.

use std::sync::Arc;

use gimli::{Abbreviation, AttributeValue, EntriesRaw, UnitOffset, constants};

use super::super::lines::Patience;
use super::super::lines::rows::{self, text};
use super::super::lines::sections::{InFile, Reader};
use super::{Awaited, FunctionTypes, Member, Parameter, Type, TypeId, TypeKind, Variant, Variants};

/// Members of one type, and types that it is generic over, at most.
const MAX_MEMBERS: usize = 4 << 10;
/// Variants of one type at most.
const MAX_VARIANTS: usize = 16 << 10;
/// What the compiler calls the variable with the future that an await polls.
const AWAITED: &str = "__awaitee";
/// Variables that are kept of one function.
const MAX_VARIABLES: usize = 1 << 10;

/// The attributes of an entry that types are made of.
#[derive(Debug, Default)]
struct Attributes<'a> {
    name: Option<Reader<'a>>,
    of: Option<TypeId>,
    origin: Option<TypeId>,
    size: u64,
    alignment: u64,
    offset: Option<u64>,
    value: Option<u64>,
    file: Option<u64>,
    line: u32,
    is_declaration: bool,
}

impl<'a> Attributes<'a> {
    fn read(
        entries: &mut EntriesRaw<'_, Reader<'a>>,
        abbreviation: &Abbreviation,
        unit: InFile<'_, 'a>,
        unit_offset: usize,
    ) -> Option<Attributes<'a>> {
        let mut found = Attributes::default();
        for &specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(specification).ok()?;
            let value = attribute.value();
            match attribute.name() {
                constants::DW_AT_name => found.name = unit.string(value),
                constants::DW_AT_type => found.of = reference(&value, unit, unit_offset),
                constants::DW_AT_abstract_origin | constants::DW_AT_specification => {
                    found.origin = reference(&value, unit, unit_offset);
                }
                constants::DW_AT_byte_size => found.size = attribute.udata_value().unwrap_or(0),
                constants::DW_AT_data_member_location => found.offset = attribute.udata_value(),
                constants::DW_AT_discr_value => {
                    let signed = || attribute.sdata_value().map(|value| value as u64);
                    found.value = attribute.udata_value().or_else(signed);
                }
                constants::DW_AT_decl_file => {
                    if let AttributeValue::FileIndex(number) = value {
                        found.file = Some(number);
                    }
                }
                constants::DW_AT_decl_line => {
                    let line = attribute.udata_value().and_then(|line| u32::try_from(line).ok());
                    found.line = line.unwrap_or(0);
                }
                constants::DW_AT_alignment => found.alignment = attribute.udata_value().unwrap_or(0),
                constants::DW_AT_declaration => found.is_declaration = true,
                _ => {}
            }
        }
        Some(found)
    }

    fn name(&self) -> String {
        self.name.map(text).unwrap_or_default()
    }

    fn member(&self) -> Option<Member> {
        Some(Member { name: self.name(), offset: self.offset.unwrap_or(0), of: self.of? })
    }

    fn parameter(&self) -> Option<Parameter> {
        Some(Parameter { name: self.name(), of: self.of? })
    }
}

/// The place in `.debug_info` that a reference leads to.
pub(super) fn reference(
    value: &AttributeValue<Reader<'_>>,
    unit: InFile<'_, '_>,
    unit_offset: usize,
) -> Option<TypeId> {
    match *value {
        AttributeValue::UnitRef(UnitOffset(offset)) => Some(TypeId(unit_offset.checked_add(offset)?)),
        AttributeValue::DebugInfoRef(offset) => unit.elsewhere(offset).map(TypeId),
        _ => None,
    }
}

/// The type at an offset in a unit; its name is without a path. Also the type and the offset of its discriminant: that type
/// may be in another unit, so its size is to be read yet.
pub(super) fn read(
    unit: InFile<'_, '_>,
    unit_offset: usize,
    at: usize,
    patience: &mut Patience,
) -> Option<(Type, Option<(TypeId, u64)>)> {
    let mut entries = unit.entries_raw(Some(UnitOffset(at))).ok()?;
    let top = entries.next_depth();
    let abbreviation = entries.read_abbreviation().ok()??;
    let own = Attributes::read(&mut entries, abbreviation, unit, unit_offset)?;
    let kind = match abbreviation.tag() {
        _ if own.is_declaration => TypeKind::Other,
        constants::DW_TAG_structure_type | constants::DW_TAG_class_type => TypeKind::Structure,
        constants::DW_TAG_array_type => TypeKind::Array(own.of),
        constants::DW_TAG_union_type => TypeKind::Union,
        constants::DW_TAG_pointer_type | constants::DW_TAG_reference_type => TypeKind::Pointer(own.of),
        constants::DW_TAG_base_type | constants::DW_TAG_enumeration_type => TypeKind::Scalar,
        _ => TypeKind::Other,
    };
    let size = if matches!(kind, TypeKind::Pointer(_)) { 8 } else { own.size };
    let mut found = Type { name: own.name().into(), size, alignment: own.alignment, kind, ..Type::default() };
    let mut discriminant = None;
    if abbreviation.has_children() && matches!(kind, TypeKind::Structure | TypeKind::Union) {
        discriminant = children(&mut entries, top, unit, unit_offset, &mut found, patience)?;
    }
    Some((found, discriminant))
}

/// Reads the children of a type. The type and the offset of its discriminant, if it has one.
fn children<'a>(
    entries: &mut EntriesRaw<'_, Reader<'a>>,
    top: isize,
    unit: InFile<'_, 'a>,
    unit_offset: usize,
    found: &mut Type,
    patience: &mut Patience,
) -> Option<Option<(TypeId, u64)>> {
    // The depth of what is inside of the variant part and of the present variant.
    let (mut in_part, mut value) = (None, None);
    let mut discriminant = None;
    while !entries.is_empty() && entries.next_depth() > top {
        patience.check()?;
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
        let is_direct = depth == top + 1;
        if is_direct {
            in_part = None;
        }
        let is_in_part = in_part.is_some();
        let is_wanted = is_direct || is_in_part && depth <= top + 3;
        if !is_wanted {
            entries.skip_attributes(abbreviation.attributes()).ok()?;
            continue;
        }
        let attributes = Attributes::read(entries, abbreviation, unit, unit_offset)?;
        match (abbreviation.tag(), depth - top) {
            (constants::DW_TAG_member, 1) if found.members.len() < MAX_MEMBERS => {
                found.members.extend(attributes.member());
            }
            (constants::DW_TAG_template_type_parameter, 1) if found.parameters.len() < MAX_MEMBERS => {
                found.parameters.extend(attributes.parameter());
            }
            (constants::DW_TAG_variant_part, 1) if found.variants.is_none() => {
                in_part = Some(());
                found.variants = Some(Variants::default());
            }
            (constants::DW_TAG_member, 2) if is_in_part && discriminant.is_none() => {
                discriminant = attributes.of.zip(attributes.offset);
                let variants = found.variants.as_mut()?;
                variants.discriminant_name = attributes.name();
            }
            (constants::DW_TAG_variant, 2) => value = Some(attributes.value),
            (constants::DW_TAG_member, 3) => {
                let variants = found.variants.as_mut()?;
                let Some((value, member)) = value.take().zip(attributes.member()) else { continue };
                if variants.list.len() >= MAX_VARIANTS {
                    return None;
                }
                let file = attributes.file.and_then(|number| rows::file(unit, number)).map(Arc::from);
                variants.list.push(Variant { value, member, file, line: attributes.line });
            }
            _ => {}
        }
    }
    Some(discriminant)
}

/// What the entry of a function says.
#[derive(Debug, Default)]
pub(super) struct Function {
    name: String,
    parameters: Vec<Parameter>,
    first_argument: Option<TypeId>,
    /// The entry that has what is not in this one.
    pub(super) origin: Option<TypeId>,
}

impl Function {
    pub(super) fn into_types(self, scope: String) -> FunctionTypes {
        let name = match (scope.is_empty(), self.name.is_empty()) {
            (_, true) => String::new(),
            (true, _) => self.name,
            (false, _) => format!("{scope}::{}", self.name),
        };
        FunctionTypes { name, parameters: self.parameters, first_argument: self.first_argument }
    }
}

/// The function at an offset in a unit.
pub(super) fn function(
    unit: InFile<'_, '_>,
    unit_offset: usize,
    at: usize,
    patience: &mut Patience,
) -> Option<Function> {
    let mut entries = unit.entries_raw(Some(UnitOffset(at))).ok()?;
    let top = entries.next_depth();
    let abbreviation = entries.read_abbreviation().ok()??;
    if abbreviation.tag() != constants::DW_TAG_subprogram {
        return None;
    }
    let own = Attributes::read(&mut entries, abbreviation, unit, unit_offset)?;
    let mut found = Function { name: own.name(), origin: own.origin, ..Function::default() };
    let mut is_first = true;
    if !abbreviation.has_children() {
        return Some(found);
    }
    while !entries.is_empty() && entries.next_depth() > top {
        patience.check()?;
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
        if depth != top + 1 {
            entries.skip_attributes(abbreviation.attributes()).ok()?;
            continue;
        }
        let attributes = Attributes::read(&mut entries, abbreviation, unit, unit_offset)?;
        match abbreviation.tag() {
            constants::DW_TAG_template_type_parameter if found.parameters.len() < MAX_MEMBERS => {
                found.parameters.extend(attributes.parameter());
            }
            constants::DW_TAG_formal_parameter if is_first => {
                is_first = false;
                found.first_argument = attributes.of;
            }
            _ => {}
        }
    }
    Some(found)
}

/// The variables that hold what is awaited in the functions, among `bodies`, whose name begins with `body_name`.
pub(super) fn awaits(
    unit: InFile<'_, '_>,
    unit_offset: usize,
    bodies: &[usize],
    body_name: &str,
    patience: &mut Patience,
) -> Option<Vec<Awaited>> {
    let mut found = Vec::new();
    for &body in bodies {
        patience.check()?;
        let mut entries = unit.entries_raw(Some(UnitOffset(body))).ok()?;
        let top = entries.next_depth();
        let abbreviation = entries.read_abbreviation().ok()??;
        let own = Attributes::read(&mut entries, abbreviation, unit, unit_offset)?;
        if !own.name().starts_with(body_name) || !abbreviation.has_children() {
            continue;
        }
        while !entries.is_empty() && entries.next_depth() > top {
            patience.check()?;
            let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
            if abbreviation.tag() != constants::DW_TAG_variable || found.len() >= MAX_VARIABLES {
                entries.skip_attributes(abbreviation.attributes()).ok()?;
                continue;
            }
            let attributes = Attributes::read(&mut entries, abbreviation, unit, unit_offset)?;
            if attributes.name() != AWAITED || attributes.line == 0 {
                continue;
            }
            let file = attributes.file.and_then(|number| rows::file(unit, number)).map(Arc::from);
            let known = attributes.of.zip(file);
            found.extend(known.map(|(of, file)| Awaited { of, file, line: attributes.line }));
        }
    }
    Some(found)
}
