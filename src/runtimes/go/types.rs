//! The binary's own type descriptors, which survive stripping: the fields of the runtime's structs,
//! and the names of types.
//!
//! The format is that of `internal/abi/type.go` (`runtime/type.go` up to 1.20), which has kept its
//! layout from 1.18 to 1.27 on 64-bit machines: a 48-byte header, then what the kind adds. All of
//! it stands between `moduledata.types` and `moduledata.etypes`: the descriptors, the arrays of
//! struct fields and the names. In position-independent binaries the pointers are right only in
//! memory, so that is where the bytes are to be read from.

use std::collections::VecDeque;

use memchr::memmem;
use rustc_hash::FxHashSet;

use super::layout::{Flattener, MAX_NESTING, StructLayout, Structs, is_word_in_itself, join};

/// Kinds of types (`internal/abi.Kind`).
const ARRAY: u8 = 17;
const CHAN: u8 = 18;
const POINTER: u8 = 22;
const SLICE: u8 = 23;
const STRUCT: u8 = 25;
/// Up to 1.23 the kind's byte has flags above these bits.
const KIND_MASK: u8 = 0x1f;

/// The name of the type has a star too many (`TFlagExtraStar`).
const EXTRA_STAR: u8 = 1 << 1;
/// Bytes of a struct field's record: name, type, offset.
const FIELD: usize = 24;

/// Types that are followed from one to the next at most.
const MAX_TYPES: usize = 20_000;
/// Fields of one struct.
const MAX_FIELDS: u64 = 1024;
/// Bytes of a name.
const MAX_NAME: usize = 1 << 16;
/// Places that are looked at when a name is searched for.
const MAX_HITS: usize = 64;

/// The runtime's structs that are looked for by name when no field leads to them.
const BY_NAME: [&str; 12] = [
    "sudog",
    "hchan",
    "m",
    "p",
    "mspan",
    "schedt",
    "mheap",
    "semaRoot",
    "timer",
    "itab",
    "moduledata",
    "heapArena",
];

/// The bytes from `moduledata.types` to `moduledata.etypes` of one module.
pub struct TypeImage {
    base: u64,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for TypeImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TypeImage({:#x}, {} bytes)", self.base, self.bytes.len())
    }
}

/// The header that all descriptors share.
#[derive(Debug, Clone, Copy)]
struct Type {
    /// Where it stands in the bytes.
    at: usize,
    size: u64,
    flags: u8,
    kind: u8,
    name: u32,
}

/// A field of a struct's descriptor.
struct FieldOf<'a> {
    name: &'a str,
    embedded: bool,
    ty: Type,
    offset: u64,
}

impl TypeImage {
    /// `base` is `moduledata.types`, `bytes` what stands there in the running program.
    pub fn new(base: u64, bytes: Vec<u8>) -> Self {
        TypeImage { base, bytes }
    }

    /// The name of the type whose descriptor stands at `address`, as `%T` prints it: "int",
    /// "*http.Request", "struct {}". None where there is none, as for types made by reflection.
    pub fn type_name(&self, address: u64) -> Option<String> {
        Some(self.string(&self.type_at(address)?)?.to_owned())
    }

    /// The size of the type whose descriptor stands at `address`, bytes.
    pub fn type_size(&self, address: u64) -> Option<u64> {
        self.type_at(address).map(|ty| ty.size)
    }

    /// The runtime's structs that are described: `g` and what its fields lead to, and what is
    /// found by name. Empty where there are none.
    pub fn structs(&self) -> Structs {
        let mut found = Structs::new();
        let Some(g) = self.find_g() else { return found };
        let mut seen = FxHashSet::default();
        self.follow(g, &mut seen, &mut found);
        for name in BY_NAME {
            if !found.contains_key(name) {
                if let Some(ty) = self.find_struct(name) {
                    self.follow(ty, &mut seen, &mut found);
                }
            }
        }
        found
    }

    /// Finds the struct `g`, by the name of a field that no other struct has, else by its own name.
    fn find_g(&self) -> Option<Type> {
        self.names("atomicstatus")
            .flat_map(|name| self.words(name))
            .find_map(|field| {
                // Its record is somewhere in the array of fields; the array's start stands in the
                // descriptor.
                let first = (0..MAX_FIELDS as usize)
                    .map_while(|back| field.checked_sub(back * FIELD))
                    .take_while(|&at| self.word(at).is_some_and(|name| self.name(name).is_some()))
                    .find(|&at| self.word(at + 16).is_some_and(|offset| offset >> 1 == 0))?;
                let slices = self.words(self.base.wrapping_add(first as u64));
                slices.filter_map(|at| self.header(at.checked_sub(56)?)).find(|ty| self.is_runtime(ty, "g"))
            })
            .or_else(|| self.find_struct("g"))
    }

    /// Finds a struct of the runtime by its name.
    fn find_struct(&self, name: &str) -> Option<Type> {
        // The name of T is kept as that of *T with a flag.
        self.names(&format!("*runtime.{name}")).find_map(|address| {
            let offset = u32::try_from(address - self.base).ok()?.to_le_bytes();
            let hits = memmem::find_iter(&self.bytes, &offset).filter(|at| at % 8 == 0).take(MAX_HITS);
            hits.filter_map(|at| self.header(at.checked_sub(40)?)).find(|ty| self.is_runtime(ty, name))
        })
    }

    /// Takes in a type and everything that it leads to.
    fn follow(&self, start: Type, seen: &mut FxHashSet<usize>, found: &mut Structs) {
        let mut queue = VecDeque::from([start]);
        while let Some(ty) = queue.pop_front() {
            if seen.len() >= MAX_TYPES || !seen.insert(ty.at) {
                continue;
            }
            match ty.kind {
                STRUCT => {
                    let fields = self.fields(&ty).unwrap_or_default();
                    queue.extend(fields.iter().map(|field| field.ty));
                    let name = self.string(&ty).and_then(|name| name.strip_prefix("runtime."));
                    if let Some(name) = name.filter(|name| self.is_runtime(&ty, name)) {
                        if let Some(layout) = self.layout(&ty) {
                            found.insert(name.to_owned(), layout);
                        }
                    }
                }
                ARRAY | CHAN | POINTER | SLICE => {
                    queue.extend(self.word(ty.at + 48).and_then(|at| self.type_at(at)))
                }
                _ => {}
            }
        }
    }

    /// The layout of a struct, with those within it.
    fn layout(&self, ty: &Type) -> Option<StructLayout> {
        let mut flattener = Flattener::new(ty.size);
        self.flatten(ty, "", 0, 0, &mut flattener)?;
        Some(flattener.finish())
    }

    fn flatten(&self, ty: &Type, prefix: &str, base: u64, depth: usize, into: &mut Flattener) -> Option<()> {
        for field in self.fields(ty)? {
            if field.name == "_" {
                continue;
            }
            let path = join(prefix, field.name);
            let offset = base.checked_add(field.offset)?;
            if !into.field(&path, offset, field.ty.size) {
                return None;
            }
            let inside = field.ty.kind == STRUCT && !self.string(&field.ty).is_some_and(is_word_in_itself);
            if inside && depth < MAX_NESTING {
                let prefix = if field.embedded { prefix } else { &path };
                self.flatten(&field.ty, prefix, offset, depth + 1, into)?;
            }
        }
        Some(())
    }

    /// The fields of a struct. None where its descriptor makes no sense.
    fn fields(&self, ty: &Type) -> Option<Vec<FieldOf<'_>>> {
        let count = self.word(ty.at + 64).filter(|&count| count <= MAX_FIELDS)?;
        let first = if count == 0 { 0 } else { self.offset(self.word(ty.at + 56)?)? };
        let field = |index: u64| {
            let at = first + index as usize * FIELD;
            let (name, flags) = self.name(self.word(at)?)?;
            let inner = self.type_at(self.word(at + 8)?)?;
            let offset = self.word(at + 16)?;
            let end = offset.checked_add(inner.size)?;
            (end <= ty.size).then_some(FieldOf { name, embedded: flags & 8 != 0, ty: inner, offset })
        };
        (0..count).map(field).collect()
    }

    /// A struct of the package `runtime` (and not of one that is only called so), by this name.
    fn is_runtime(&self, ty: &Type, name: &str) -> bool {
        ty.kind == STRUCT
            && self.string(ty).and_then(|full| full.strip_prefix("runtime.")) == Some(name)
            && self
                .word(ty.at + 48)
                .and_then(|at| self.name(at))
                .is_some_and(|(package, _)| package == "runtime")
            && self.fields(ty).is_some()
    }

    fn type_at(&self, address: u64) -> Option<Type> {
        self.header(self.offset(address)?)
    }

    fn header(&self, at: usize) -> Option<Type> {
        let header = self.bytes.get(at..at.checked_add(48)?)?;
        let size = self.word(at)?;
        let name = u32::from_le_bytes(*header.get(40..)?.first_chunk()?);
        let ty = Type { at, size, flags: header[20], kind: header[23] & KIND_MASK, name };
        (at % 8 == 0 && (1..=26).contains(&ty.kind) && size < 1 << 40).then_some(ty)
    }

    /// A type's name as Go prints it.
    fn string(&self, ty: &Type) -> Option<&str> {
        let (name, _) = self.name(self.base.checked_add(ty.name.into())?)?;
        if ty.flags & EXTRA_STAR != 0 { name.strip_prefix('*') } else { Some(name) }
    }

    /// The name at an address and its flags: a byte of flags, the length in 7-bit groups, the text.
    fn name(&self, address: u64) -> Option<(&str, u8)> {
        let rest = self.bytes.get(self.offset(address)?..)?;
        let flags = *rest.first().filter(|&&flags| flags < 16)?;
        let mut length = 0;
        for index in 0..3 {
            let byte = *rest.get(1 + index)?;
            length |= usize::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                let text = rest.get(2 + index..)?.get(..length).filter(|_| length <= MAX_NAME)?;
                return Some((std::str::from_utf8(text).ok()?, flags));
            }
        }
        None
    }

    /// The addresses at which names reading `text` stand.
    fn names(&self, text: &str) -> impl Iterator<Item = u64> {
        // All names that are searched for are shorter than 128 bytes, so their length is one byte.
        let needle: Vec<u8> = std::iter::once(text.len() as u8).chain(text.bytes()).collect();
        let hits: Vec<u64> = memmem::find_iter(&self.bytes, &needle)
            .filter_map(|at| Some(self.base + at.checked_sub(1)? as u64))
            .filter(|&address| self.name(address).is_some())
            .take(MAX_HITS)
            .collect();
        hits.into_iter()
    }

    /// The places at which a word of this value stands.
    fn words(&self, value: u64) -> impl Iterator<Item = usize> {
        let needle = value.to_le_bytes();
        let hits: Vec<usize> =
            memmem::find_iter(&self.bytes, &needle).filter(|at| at % 8 == 0).take(MAX_HITS).collect();
        hits.into_iter()
    }

    fn offset(&self, address: u64) -> Option<usize> {
        usize::try_from(address.checked_sub(self.base)?).ok().filter(|&at| at < self.bytes.len())
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
    }
}
