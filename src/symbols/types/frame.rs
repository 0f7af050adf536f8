//! The functions that run at an address, those that were inlined there too, and where their variables are.
//!
//! What the debug information says of an address is read once ([`Frame`]); where a variable is in one call of the function
//! is computed from the registers and the stack of that call ([`Machine`]). Source: DWARF Debugging Information Format,
//! version 5, sections 2.5, 2.6, 3.3 and 4.1.

use gimli::{
    Abbreviation, AttributeValue, Encoding, EndianSlice, EntriesRaw, EvaluationResult, Expression,
    LittleEndian, Location, Piece, RangeListsOffset, UnitOffset, Value, constants,
};

use super::super::lines::Patience;
use super::super::lines::sections::{InFile, Reader};
use super::super::lines::units;
use super::question::Question;
use super::{FunctionTypes, MAX_HOPS, Parameter, TypeId, Types, entry};

/// Functions at one address that were inlined into each other.
const MAX_INLINED: usize = 128;
/// Variables of one function.
const MAX_VARIABLES: usize = 256;
/// Bytes of the expression that says where a variable is.
const MAX_EXPRESSION: usize = 256;
/// Operations of such an expression, which may contain a loop.
const MAX_OPERATIONS: u32 = 256;
/// Ranges of one entry that are examined.
const MAX_RANGES: usize = 4 << 10;

/// What debug information says of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The functions, the innermost first: the last one has the code, the others were inlined there.
    pub functions: Vec<Activation>,
    /// What places of variables are relative to.
    pub(super) base: Option<Code>,
}

/// A function at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Its name with the path to it. Raw from the file; empty if unknown.
    pub name: String,
    /// The types that it is generic over.
    pub parameters: Vec<Parameter>,
    /// Its variables that are somewhere at the address, if they were asked for.
    pub variables: Vec<Variable>,
}

/// A variable at an address of the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its type.
    pub of: TypeId,
    /// It is an argument of the function: what it had may have been moved elsewhere.
    pub is_argument: bool,
    pub(super) place: Code,
}

/// An expression of DWARF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bytes: Vec<u8>,
    pub(super) encoding: Encoding,
}

/// The registers and the memory of one call of a function.
pub trait Machine {
    /// A register by DWARF's number. None: unknown.
    fn register(&self, number: u16) -> Option<u64>;
    /// The word at an address. None: unknown.
    fn word(&self, address: u64) -> Option<u64>;
}

/// Where a variable is in one call of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// In memory, at this address.
    Memory(u64),
    /// Nowhere, or in a register: this is its value.
    Value(u64),
}

impl Frame {
    /// Where a variable is. None: it is unknown, or in several parts.
    pub fn spot(&self, variable: &Variable, machine: &dyn Machine) -> Option<Spot> {
        let base = || match self.base.as_ref()?.run(machine, &|| None)? {
            Spot::Memory(base) | Spot::Value(base) => Some(base),
        };
        variable.place.run(machine, &base)
    }
}

impl Code {
    fn run(&self, machine: &dyn Machine, base: &dyn Fn() -> Option<u64>) -> Option<Spot> {
        let code = Expression(EndianSlice::new(&self.bytes, LittleEndian));
        let mut evaluation = code.evaluation(self.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = Value::Generic(machine.register(register.0)?);
                    evaluation.resume_with_register(value).ok()?
                }
                EvaluationResult::RequiresMemory { address, size: 8, space: None, .. } => {
                    evaluation.resume_with_memory(Value::Generic(machine.word(address)?)).ok()?
                }
                EvaluationResult::RequiresFrameBase => evaluation.resume_with_frame_base(base()?).ok()?,
                _ => return None,
            };
        }
        let [Piece { size_in_bits: None, bit_offset: None, location }] = evaluation.as_result() else {
            return None;
        };
        match *location {
            Location::Address { address } => Some(Spot::Memory(address)),
            Location::Register { register } => machine.register(register.0).map(Spot::Value),
            Location::Value { value: Value::Generic(value) } => Some(Spot::Value(value)),
            _ => None,
        }
    }
}

/// A function at an address, as its entry has it.
struct Found {
    depth: isize,
    origin: Option<TypeId>,
    variables: Vec<FoundVariable>,
}

struct FoundVariable {
    of: Option<TypeId>,
    origin: Option<TypeId>,
    is_argument: bool,
    place: Code,
}

/// The functions at an address, the outermost first.
struct Walked {
    functions: Vec<Found>,
    base: Option<Code>,
}

/// What is needed of an entry.
#[derive(Default)]
struct Entry<'a> {
    low: Option<u64>,
    high: Option<u64>,
    size: Option<u64>,
    ranges: Option<RangeListsOffset<usize>>,
    origin: Option<TypeId>,
    of: Option<TypeId>,
    place: Option<AttributeValue<Reader<'a>>>,
    base: Option<AttributeValue<Reader<'a>>>,
}

impl<'a> Entry<'a> {
    fn read(
        entries: &mut EntriesRaw<'_, Reader<'a>>,
        abbreviation: &Abbreviation,
        unit: InFile<'_, 'a>,
        unit_offset: usize,
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
                constants::DW_AT_abstract_origin => {
                    entry.origin = entry::reference(&value, unit, unit_offset)
                }
                constants::DW_AT_type => entry.of = entry::reference(&value, unit, unit_offset),
                constants::DW_AT_location => entry.place = Some(value),
                constants::DW_AT_frame_base => entry.base = Some(value),
                _ => {}
            }
        }
        Some(entry)
    }

    /// Whether the code at an address belongs to it. None: it does not say where its code is.
    fn has(&self, address: u64, unit: InFile<'_, 'a>, patience: &mut Patience) -> Option<bool> {
        let Some(ranges) = self.ranges else {
            let begin = self.low?;
            let end = self.high.or_else(|| begin.checked_add(self.size?))?;
            return Some((begin..end).contains(&address));
        };
        let (mut found, mut examined) = (Some(false), 0);
        unit.each_range(ranges, &mut |begin, end| {
            found = patience.check().map(|()| (begin..end).contains(&address));
            examined += 1;
            found == Some(false) && examined < MAX_RANGES
        })?;
        found
    }
}

/// An expression, for code at an address.
fn code<'a>(value: &AttributeValue<Reader<'a>>, unit: InFile<'_, 'a>, address: u64) -> Option<Code> {
    let bytes =
        unit.lists().expression(&unit, value, address).filter(|bytes| bytes.len() <= MAX_EXPRESSION)?;
    (!bytes.is_empty()).then(|| Code { bytes, encoding: unit.encoding() })
}

/// Reads the entry of a function and those within it, one after another: they may be nested to any depth. None if the function
/// has no code at the address, or if not all entries can be read.
fn walk(
    unit: InFile<'_, '_>,
    (unit_offset, function): (usize, usize),
    address: u64,
    patience: &mut Patience,
) -> Option<Walked> {
    let mut entries = unit.entries_raw(Some(UnitOffset(function))).ok()?;
    let top = entries.next_depth();
    let abbreviation = entries.read_abbreviation().ok()??;
    let own = Entry::read(&mut entries, abbreviation, unit, unit_offset)?;
    own.has(address, unit, patience).filter(|has| *has)?;
    let base = own.base.and_then(|base| code(&base, unit, address));
    let mut functions = vec![Found { depth: top, origin: None, variables: Vec::new() }];
    // The numbers of the functions that the next entry is inside of.
    let mut open = vec![0_usize];
    // What is below an entry of this depth is elsewhere.
    let mut elsewhere = None;
    let has_children = abbreviation.has_children();
    while has_children && !entries.is_empty() && entries.next_depth() > top {
        patience.check()?;
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
        if elsewhere.is_some_and(|elsewhere| depth > elsewhere) {
            entries.skip_attributes(abbreviation.attributes()).ok()?;
            continue;
        }
        elsewhere = None;
        let is_closed = |nth: &usize| functions.get(*nth).is_none_or(|found| found.depth >= depth);
        while open.last().is_some_and(is_closed) {
            open.pop();
        }
        let tag = abbreviation.tag();
        let is_block = tag == constants::DW_TAG_lexical_block;
        let is_argument = tag == constants::DW_TAG_formal_parameter;
        match tag {
            constants::DW_TAG_inlined_subroutine | constants::DW_TAG_lexical_block => {
                let entry = Entry::read(&mut entries, abbreviation, unit, unit_offset)?;
                // A block that does not say where it is, is where the function is.
                if !entry.has(address, unit, patience).unwrap_or(is_block) {
                    elsewhere = Some(depth);
                } else if !is_block {
                    if functions.len() >= MAX_INLINED {
                        return None;
                    }
                    open.push(functions.len());
                    functions.push(Found { depth, origin: entry.origin, variables: Vec::new() });
                }
            }
            constants::DW_TAG_variable | constants::DW_TAG_formal_parameter => {
                let Entry { origin, of, place, .. } =
                    Entry::read(&mut entries, abbreviation, unit, unit_offset)?;
                let place = place.and_then(|place| code(&place, unit, address));
                let inside = open.last().and_then(|nth| functions.get_mut(*nth));
                if let (Some(place), Some(found)) = (place, inside)
                    && found.variables.len() < MAX_VARIABLES
                {
                    found.variables.push(FoundVariable { of, origin, is_argument, place });
                }
                elsewhere = Some(depth);
            }
            _ => {
                entries.skip_attributes(abbreviation.attributes()).ok()?;
                elsewhere = Some(depth);
            }
        }
    }
    Some(Walked { functions, base })
}

impl Types {
    /// The functions at an address of the code: for a caller, that of the call, not the one after it. The variables only of
    /// those that `wanted` says by their names. That must be the same in all calls: answers are kept.
    pub fn frame(&mut self, address: u64, wanted: fn(&str) -> bool) -> Option<Frame> {
        self.asked(Question::Frame(address), |types| {
            types.spend(|types, patience| types.find_frame(address, wanted, patience))
        })
    }

    fn find_frame(
        &mut self,
        address: u64,
        wanted: fn(&str) -> bool,
        patience: &mut Patience,
    ) -> Option<Frame> {
        let offsets: Vec<_> = self.units.as_ref()?.at(address).collect();
        for unit_offset in offsets {
            let indexed = self.indexed(unit_offset, patience)?;
            let Some(entry) = indexed.index.last_before(address) else { continue };
            let (walked, own) = {
                let opened = units::open(&self.sections, unit_offset, Some(indexed.abbreviations))?;
                let unit = opened.view();
                let Some(walked) = walk(unit, (unit_offset, entry), address, patience) else { continue };
                let mut own = entry::function(unit, unit_offset, entry, patience)?;
                let origin = own.origin.take();
                (walked, (own.into_types(indexed.index.path(unit, entry)), origin))
            };
            let mut own = Some(own);
            let mut functions = Vec::new();
            for found in walked.functions {
                let (types, origin) = own.take().unwrap_or((FunctionTypes::default(), found.origin));
                let types = self.completed(types, origin, patience);
                let is_wanted = wanted(&types.name);
                let variables = found.variables.into_iter().filter(|_| is_wanted);
                let variables = variables.filter_map(|variable| self.variable(variable, patience)).collect();
                functions.push(Activation { name: types.name, parameters: types.parameters, variables });
            }
            functions.reverse();
            return Some(Frame { functions, base: walked.base });
        }
        None
    }

    /// A function with what the entries say that it refers to.
    pub(super) fn completed(
        &mut self,
        mut types: FunctionTypes,
        mut from: Option<TypeId>,
        patience: &mut Patience,
    ) -> FunctionTypes {
        for _ in 0..MAX_HOPS {
            let Some(TypeId(origin)) = from else { break };
            from = self.complete(&mut types, origin, patience);
        }
        types
    }

    /// A variable, whose type another entry may say.
    fn variable(&mut self, found: FoundVariable, patience: &mut Patience) -> Option<Variable> {
        let FoundVariable { mut of, mut origin, is_argument, place } = found;
        for _ in 0..MAX_HOPS {
            let Some(TypeId(at)) = origin.filter(|_| of.is_none()) else { break };
            let unit_offset = self.units.as_ref()?.around(at)?;
            let indexed = self.indexed(unit_offset, patience)?;
            let opened = units::open(&self.sections, unit_offset, Some(indexed.abbreviations))?;
            let unit = opened.view();
            let mut entries = unit.entries_raw(Some(UnitOffset(at.checked_sub(unit_offset)?))).ok()?;
            let abbreviation = entries.read_abbreviation().ok()??;
            let entry = Entry::read(&mut entries, abbreviation, unit, unit_offset)?;
            (of, origin) = (entry.of, entry.origin);
        }
        Some(Variable { of: of?, is_argument, place })
    }
}
