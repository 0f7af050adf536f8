//! Types of native code, from DWARF: layouts of structs and enums, and the types that functions are generic over.
//!
//! [`frame`] says which functions are at an address, and where their variables are.
//! [`index`] is made of a compilation unit when a function or type in it is first asked for; [`entry`] reads one type or
//! function. A type's members are ids: each is read when it is needed. [`kept`] is what is known from the last time. Whatever is malformed is left out; the time, the
//! depth and all counts are bounded. Source: DWARF Debugging Information Format, version 5; rustc's
//! `rustc_codegen_llvm/src/debuginfo`.

mod entry;
mod frame;
mod index;
mod kept;
mod question;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gimli::Abbreviations;
use rustc_hash::FxHashMap;

use super::lines::sections::Sections;
use super::lines::units::{self, Units};
use super::lines::{Patience, debug_file, given};
use crate::cache::Store;
use crate::process::Image;
pub use frame::{Activation, Frame, Machine, Spot};
use index::Index;
pub(crate) use kept::Answer;
#[cfg(feature = "test-support")]
pub use kept::read_as_each;
pub(crate) use question::Conclusion;
use question::Question;

/// Types that are remembered of one file.
const MAX_TYPES: usize = 1 << 18;
/// Members, variants and parameters that are remembered of one file.
const MAX_PARTS: usize = 2 << 20;
/// Bytes of names that are remembered of one file.
const MAX_NAMES: usize = 256 << 20;
/// Units of one crate in which the code of one function is looked for.
const MAX_SIBLINGS: usize = 512;
/// Entries that are followed from a function's code to its name and its types.
const MAX_HOPS: usize = 4;
/// Entries of indexes that are remembered of one file.
const MAX_INDEXED: usize = 32 << 20;

/// Stands for a type of one file: the offset of its entry in `.debug_info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(usize);

/// A type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Type {
    /// Its name with the path to it: `core::pin::Pin<&mut api::serve::{async_fn_env#0}>`. Raw from the file.
    pub name: Arc<str>,
    /// Its size, bytes. 0 if it has none or if unknown.
    pub size: u64,
    /// Its alignment, bytes. 0 if the debug information does not say.
    pub alignment: u64,
    /// What it is.
    pub kind: TypeKind,
    /// Its members.
    pub members: Vec<Member>,
    /// The variants of an enum, or the states of an async function.
    pub variants: Option<Variants>,
    /// The types that it is generic over.
    pub parameters: Vec<Parameter>,
}

/// What a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TypeKind {
    /// A struct, tuple, closure, async function, or enum with data.
    Structure,
    /// A union.
    Union,
    /// A pointer or reference to one value, or a box with one.
    Pointer(Option<TypeId>),
    /// An array, with the type of its elements.
    Array(Option<TypeId>),
    /// A number, a character, a truth value, or an enum without data.
    Scalar,
    /// Something else: a function, or a type that is only declared.
    #[default]
    Other,
}

/// A member of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name; `__0` and so on in tuples.
    pub name: String,
    /// Its offset in the type, bytes.
    pub offset: u64,
    /// Its type.
    pub of: TypeId,
}

/// A type that a type or function is generic over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The parameter's name: "T".
    pub name: String,
    /// The type.
    pub of: TypeId,
}

/// The variants of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variants {
    /// Where the value is that says which variant it is: offset and size, bytes. None if there is one variant only.
    pub discriminant: Option<(u64, u64)>,
    /// The name of that value: `__state` in async functions.
    pub discriminant_name: String,
    /// The variants.
    pub list: Vec<Variant>,
}

/// A variant of an enum, or a state of an async function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The discriminant that says that it is this one. None for the one that all other values say.
    pub value: Option<u64>,
    /// Its data.
    pub member: Member,
    /// The file of the await, for a state of an async function.
    pub file: Option<Arc<str>>,
    /// The line of the await. 0 if unknown.
    pub line: u32,
}

impl Variants {
    /// The variant for a value of the discriminant. None stands for a value that no variant has for itself.
    pub fn of(&self, value: Option<u64>) -> Option<&Variant> {
        let exact = self.list.iter().find(|variant| value.is_some() && variant.value == value);
        exact.or_else(|| self.list.iter().find(|variant| variant.value.is_none()))
    }
}

/// An await in the source of an async function or block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The type of what is awaited.
    pub of: TypeId,
    /// The file.
    pub file: Arc<str>,
    /// The line; of an await in another crate's macro, that of the macro's call.
    pub line: u32,
}

/// A function, as far as types are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FunctionTypes {
    /// Its name with the path to it.
    pub name: String,
    /// The types that it is generic over.
    pub parameters: Vec<Parameter>,
    /// The type of its first argument.
    pub first_argument: Option<TypeId>,
}

/// The types of one file. Addresses are those in the file.
#[derive(Debug)]
pub struct Types {
    /// The file that it is from.
    image: Option<Image>,
    /// Bytes that may be read of it, as long as it was not opened: what is kept may be enough.
    unread: Option<usize>,
    /// Why it cannot be read after all.
    problem: Option<String>,
    store: Option<Store>,
    sections: Sections,
    patience: Patience,
    /// None until the first lookup.
    units: Option<Units>,
    /// By the offset of the unit.
    indexes: FxHashMap<usize, Indexed>,
    /// Types by their names without a path, of a unit, for each name without parameters that was asked for.
    named: FxHashMap<(usize, String), FxHashMap<String, Vec<TypeId>>>,
    indexed: usize,
    known: FxHashMap<TypeId, Option<Arc<Type>>>,
    /// Members, variants and parameters of these.
    parts: usize,
    /// Bytes of names of these and of those in `named`.
    name_bytes: usize,
}

#[derive(Debug, Clone)]
struct Indexed {
    abbreviations: Arc<Abbreviations>,
    index: Arc<Index>,
}

impl Types {
    /// Reads the debug information of an image, from the image, its separate file, or the file that a user gave: `max`
    /// bytes at most. All lookups together take no longer than `limit`. `cache`: the folder that has what is known from the
    /// last time. None if there is none.
    ///
    /// # Errors
    /// It is larger, cannot be read, or the user's file belongs to another build: one sentence.
    pub(crate) fn load(
        image: &Image,
        user: Option<&Path>,
        max: usize,
        limit: Duration,
        cache: Option<&Path>,
    ) -> Result<Option<Types>, String> {
        let file = match user.filter(|_| image.is_executable) {
            Some(path) => Some(given(image, path)?),
            None => debug_file(image),
        };
        let Some(file) = file else { return Ok(None) };
        let store = cache.and_then(|folder| super::kept::store(folder, &file, "types"));
        let is_known = store.as_ref().is_some_and(Store::is_known);
        let (sections, unread) = match is_known {
            true => (Sections::default(), Some(max)),
            false => (Sections::load(&file, max)?, None),
        };
        Ok(Some(Types { image: Some(file), unread, store, ..Types::new(sections, limit) }))
    }

    fn new(sections: Sections, limit: Duration) -> Types {
        Types {
            image: None,
            unread: None,
            problem: None,
            store: None,
            sections,
            patience: Patience::new(limit),
            units: None,
            indexes: FxHashMap::default(),
            named: FxHashMap::default(),
            indexed: 0,
            known: FxHashMap::default(),
            parts: 0,
            name_bytes: 0,
        }
    }

    /// The types in some bytes, by the names of their sections.
    #[cfg(any(test, feature = "test-support"))]
    pub fn of_sections<'a>(bytes: impl IntoIterator<Item = (&'a str, Vec<u8>)>, limit: Duration) -> Types {
        Types::new(Sections::of(bytes), limit)
    }

    /// Whether the time or the memory for lookups is spent: what was not read by now stays unknown.
    pub fn is_over(&self) -> bool {
        self.patience.is_over() || self.is_full() || self.sections.is_spent()
    }

    /// Why the file cannot be read, although it was read the last time: one sentence. What is not known from then stays
    /// unknown.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Whether a part of the debug information is in other files (`-C split-debuginfo`) that are not there, or are of
    /// another build. Known after the first lookup.
    pub fn is_incomplete(&self) -> bool {
        self.sections.is_incomplete()
    }

    fn is_full(&self) -> bool {
        self.known.len() >= MAX_TYPES || self.parts >= MAX_PARTS || self.name_bytes >= MAX_NAMES
    }

    /// The function whose code begins at an address.
    pub fn function(&mut self, address: u64) -> Option<FunctionTypes> {
        self.asked(Question::Function(address), |types| {
            types.spend(|types, patience| types.find_function(address, patience))
        })
    }

    /// A type.
    pub fn get(&mut self, id: TypeId) -> Option<Arc<Type>> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        if self.is_full() {
            return None;
        }
        let found =
            self.asked(Question::Type(id), |types| types.spend(|types, patience| types.read(id, patience)));
        let found = found.map(Arc::new);
        if let Some(found) = &found {
            let variants = found.variants.as_ref().map_or(0, |variants| variants.list.len());
            self.parts += found.members.len() + variants + found.parameters.len();
            self.name_bytes += found.name.len();
        }
        self.known.insert(id, found.clone());
        found
    }

    /// A type beside a function, in the same unit or another one of the crate: by its path, its name and its parameters, as
    /// in `a::b`, `Name`, `u8`. None if there is none or if there are several in a unit.
    pub fn beside(&mut self, function: u64, path: &str, name: &str, parameters: &str) -> Option<TypeId> {
        self.asked(Question::Beside { function, path, name, parameters }, |types| {
            types.find_beside(function, path, name, parameters)
        })
    }

    fn find_beside(&mut self, function: u64, path: &str, name: &str, parameters: &str) -> Option<TypeId> {
        let home = self.spend(|types, patience| types.unit_of(function, patience))?;
        let name_of = format!("{name}<{parameters}>");
        let full = format!("{path}::{name_of}");
        let found = self.named_in(home, name, &name_of, &full);
        if found.is_some() {
            return found;
        }
        let others = self.units_like(home)?;
        others.into_iter().find_map(|unit| self.named_in(unit, name, &name_of, &full))
    }

    fn named_in(&mut self, unit: usize, name: &str, name_of: &str, full: &str) -> Option<TypeId> {
        let all = self.spend(|types, patience| types.find_named(unit, name, name_of, patience))?;
        let mut found = all.into_iter().filter(|id| self.get(*id).is_some_and(|found| *found.name == *full));
        found.next().filter(|_| found.next().is_none())
    }

    /// The awaits in the body of the async function or block that has this type.
    pub fn awaits(&mut self, machine: TypeId) -> Vec<Awaited> {
        self.asked(Question::Awaits(machine), |types| {
            types.spend(|types, patience| types.find_awaits(machine, patience)).unwrap_or_default()
        })
    }

    fn spend<T>(&mut self, work: impl FnOnce(&mut Types, &mut Patience) -> Option<T>) -> Option<T> {
        if self.patience.is_over() {
            return None;
        }
        let mut patience = self.patience.clone();
        let done = patience.spend(|patience| {
            if let (Some(max), Some(image)) = (self.unread.take(), &self.image) {
                match Sections::load(image, max) {
                    Ok(sections) => self.sections = sections,
                    Err(why) => self.problem = Some(why),
                }
            }
            if self.units.is_none() {
                self.units = Some(self.find_units(patience));
            }
            work(self, patience)
        });
        self.patience = patience;
        done
    }

    fn find_function(&mut self, address: u64, patience: &mut Patience) -> Option<FunctionTypes> {
        let offsets: Vec<_> = self.units.as_ref()?.at(address).collect();
        for unit_offset in offsets {
            let indexed = self.indexed(unit_offset, patience)?;
            let Some(entry) = indexed.index.function(address) else { continue };
            let opened = units::open(&self.sections, unit_offset, Some(indexed.abbreviations))?;
            let unit = opened.view();
            let mut found = entry::function(unit, unit_offset, entry, patience)?;
            let from = found.origin.take();
            let types = found.into_types(indexed.index.path(unit, entry));
            // The code of a function, what was inlined of it, and its declaration may be three entries.
            return Some(self.completed(types, from, patience));
        }
        None
    }

    /// Adds what the entry says that a function refers to. The entry that this one refers to.
    fn complete(
        &mut self,
        types: &mut FunctionTypes,
        origin: usize,
        patience: &mut Patience,
    ) -> Option<TypeId> {
        let unit_offset = self.units.as_ref()?.around(origin)?;
        let indexed = self.indexed(unit_offset, patience)?;
        let opened = units::open(&self.sections, unit_offset, Some(indexed.abbreviations))?;
        let unit = opened.view();
        let entry = origin.checked_sub(unit_offset)?;
        let mut found = entry::function(unit, unit_offset, entry, patience)?;
        let next = found.origin.take();
        let more = found.into_types(indexed.index.path(unit, entry));
        if types.parameters.is_empty() {
            types.parameters = more.parameters;
        }
        types.first_argument = types.first_argument.or(more.first_argument);
        if types.name.is_empty() || types.name.ends_with("::") {
            types.name = more.name;
        }
        next
    }

    fn read(&mut self, id: TypeId, patience: &mut Patience) -> Option<Type> {
        let (mut found, discriminant) = self.read_one(id, patience)?;
        if let (Some(variants), Some((of, offset))) = (found.variants.as_mut(), discriminant) {
            let size = self.read_one(of, patience)?.0.size;
            variants.discriminant = Some((offset, Some(size).filter(|size| (1..=8).contains(size))?));
        }
        Some(found)
    }

    /// The type at a place, and the type and the offset of its discriminant.
    fn read_one(
        &mut self,
        TypeId(at): TypeId,
        patience: &mut Patience,
    ) -> Option<(Type, Option<(TypeId, u64)>)> {
        let unit_offset = self.units.as_ref()?.around(at)?;
        let indexed = self.indexed(unit_offset, patience)?;
        let opened = units::open(&self.sections, unit_offset, Some(indexed.abbreviations))?;
        let unit = opened.view();
        let entry = at.checked_sub(unit_offset)?;
        let (mut found, discriminant) = entry::read(unit, unit_offset, entry, patience)?;
        let scope = indexed.index.path(unit, entry);
        if !scope.is_empty() {
            found.name = format!("{scope}::{}", found.name).into();
        }
        Some((found, discriminant))
    }

    /// The unit with the function that begins at an address.
    fn unit_of(&mut self, function: u64, patience: &mut Patience) -> Option<usize> {
        let offsets: Vec<_> = self.units.as_ref()?.at(function).collect();
        offsets.into_iter().find(|&unit| {
            self.indexed(unit, patience).is_some_and(|found| found.index.function(function).is_some())
        })
    }

    /// The types of a unit with a name without a path.
    fn find_named(
        &mut self,
        unit_offset: usize,
        name: &str,
        name_of: &str,
        patience: &mut Patience,
    ) -> Option<Vec<TypeId>> {
        let indexed = self.indexed(unit_offset, patience)?;
        let key = (unit_offset, name.to_owned());
        if !self.named.contains_key(&key) {
            if self.is_full() {
                return None;
            }
            let opened = units::open(&self.sections, unit_offset, Some(indexed.abbreviations))?;
            let unit = opened.view();
            let mut found: FxHashMap<String, Vec<TypeId>> = FxHashMap::default();
            for (name, at) in indexed.index.named(unit, &format!("{name}<"), patience) {
                self.name_bytes += name.len();
                found.entry(name).or_default().push(TypeId(unit_offset.checked_add(at)?));
            }
            self.named.insert(key.clone(), found);
        }
        self.named.get(&key)?.get(name_of).cloned()
    }

    fn find_awaits(&mut self, TypeId(at): TypeId, patience: &mut Patience) -> Option<Vec<Awaited>> {
        let home = self.units.as_ref()?.around(at)?;
        let machine = self.read(TypeId(at), patience)?;
        let end = machine.name.find('<').unwrap_or(machine.name.len());
        let (scope, name) = machine.name.get(..end)?.rsplit_once("::{")?;
        // The type of `{async_fn#0}` is `{async_fn_env#0}`.
        let body = format!("{{{}}}", name.split_once('}')?.0.replace("_env#", "#"));
        let others = self.units_like(home)?;
        for unit_offset in std::iter::once(home).chain(others) {
            patience.check()?;
            let Some(indexed) = self.indexed(unit_offset, patience) else { continue };
            let opened = units::open(&self.sections, unit_offset, Some(indexed.abbreviations))?;
            let unit = opened.view();
            let bodies = indexed.index.bodies_in(unit, scope, patience);
            let found = entry::awaits(unit, unit_offset, &bodies, &body, patience).unwrap_or_default();
            if !found.is_empty() {
                return Some(found);
            }
        }
        None
    }

    /// The other units of the same crate: the code of a function may be in another one than its types.
    fn units_like(&self, home: usize) -> Option<Vec<usize>> {
        Some(self.units.as_ref()?.like(home).take(MAX_SIBLINGS).collect())
    }

    /// The index of the unit at an offset.
    fn indexed(&mut self, unit_offset: usize, patience: &mut Patience) -> Option<Indexed> {
        if let Some(known) = self.indexes.get(&unit_offset) {
            return Some(known.clone());
        }
        let opened = units::open(&self.sections, unit_offset, None)?;
        let index = Index::read(opened.view(), patience);
        self.indexed += index.len();
        let found = Indexed { abbreviations: opened.abbreviations(), index: Arc::new(index) };
        if self.indexed > MAX_INDEXED {
            self.indexes.clear();
            self.indexed = found.index.len();
        }
        self.indexes.insert(unit_offset, found.clone());
        Some(found)
    }
}

#[cfg(test)]
mod tests;
