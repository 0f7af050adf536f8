//! From the descriptor of `g` to the layouts of the runtime's structs.

use std::collections::VecDeque;

use memchr::memmem;
use rustc_hash::FxHashSet;

use super::{Described, HEADER, MAX_HITS, Type, TypeImage};
use crate::runtimes::go::structs::{Flattener, MAX_NESTING, StructLayout, Structs, is_word_in_itself, join};

/// Kinds of types (`internal/abi.Kind`).
const ARRAY: u8 = 17;
const CHAN: u8 = 18;
const POINTER: u8 = 22;
const SLICE: u8 = 23;
const STRUCT: u8 = 25;

/// Bytes of a struct field's record: name, type, offset.
const FIELD: usize = 24;

/// The flag in the name of an embedded field.
const EMBEDDED: u8 = 1 << 3;
/// Position of the name's offset in a descriptor's header.
const NAME_AT: usize = 40;
/// Position of the slice of fields in a struct's descriptor, after the package's path.
const FIELDS_AT: usize = HEADER + 8;
/// Bytes of a field's name.
const MAX_FIELD_NAME: usize = 1024;

/// Maximum number of types that are followed.
const MAX_TYPES: usize = 20_000;
/// Fields of one struct.
const MAX_FIELDS: u64 = 1024;
/// Fields that are read in all: real programs can reach about ten thousand.
const MAX_WORK: usize = 1 << 20;

/// The runtime's structs that are searched for by name when no field leads to them.
const BY_NAME: [&str; 13] = [
    "sudog",
    "hchan",
    "m",
    "p",
    "mspan",
    "schedt",
    "mheap",
    "semaRoot",
    "timer",
    "pollDesc",
    "itab",
    "moduledata",
    "heapArena",
];

/// A field of a struct's descriptor.
struct FieldOf<'a> {
    name: &'a str,
    embedded: bool,
    ty: Type,
    offset: u64,
}

/// The runtime's structs in `image`.
pub(super) fn find(image: &TypeImage) -> Structs {
    Walk::new(image).run()
}

/// The layout of a struct of a package of the standard library.
pub(super) fn named(image: &TypeImage, package: &str, name: &str) -> Option<StructLayout> {
    let mut walk = Walk::new(image);
    let ty = walk.find_struct(package, name)?;
    walk.layout(&ty)
}

/// The type that is described at `address`, or that the pointer described there points to.
pub(super) fn behind(image: &TypeImage, address: u64) -> Option<Described> {
    let ty = image.type_at(address)?;
    let is_pointer = ty.kind == POINTER;
    let ty = if is_pointer { image.type_at(image.word(ty.at + HEADER)?)? } else { ty };
    let layout = (ty.kind == STRUCT).then(|| Walk::new(image).layout(&ty)).flatten();
    Some(Described { name: image.string(&ty)?.to_owned(), is_pointer, layout })
}

/// Is the type described at `address` a channel's?
pub(super) fn is_channel(image: &TypeImage, address: u64) -> bool {
    image.type_at(address).is_some_and(|ty| ty.kind == CHAN)
}

struct Walk<'a> {
    image: &'a TypeImage,
    /// Descriptors that refer to each other in a cycle must not keep loiter busy.
    fields_left: usize,
    seen: FxHashSet<usize>,
    found: Structs,
}

impl<'a> Walk<'a> {
    fn new(image: &'a TypeImage) -> Self {
        Walk { image, fields_left: MAX_WORK, seen: FxHashSet::default(), found: Structs::new() }
    }

    fn run(mut self) -> Structs {
        let Some(g) = self.find_g() else { return self.found };
        self.follow(g);
        for name in BY_NAME {
            if !self.found.contains_key(name)
                && let Some(ty) = self.find_struct("runtime", name)
            {
                self.follow(ty);
            }
        }
        self.found
    }

    /// Finds the struct `g`, by the name of a field that no other struct has, else by its own name.
    fn find_g(&mut self) -> Option<Type> {
        let image = self.image;
        for field in image.names("atomicstatus").into_iter().flat_map(|name| image.words(name)) {
            // Its record is somewhere in the array of fields. The descriptor has the start of the array.
            let first = (0..MAX_FIELDS as usize)
                .map_while(|back| field.checked_sub(back * FIELD))
                .take_while(|&at| image.word(at).is_some_and(|name| image.name(name).is_some()))
                .find(|&at| image.word(at + 16) == Some(0));
            let slices = first.map(|first| image.words(image.base.wrapping_add(first as u64)));
            for slice in slices.unwrap_or_default() {
                let ty = slice.checked_sub(FIELDS_AT).and_then(|at| image.header(at));
                if let Some(ty) = ty.filter(|ty| self.is_of(ty, "runtime", "g")) {
                    return Some(ty);
                }
            }
        }
        self.find_struct("runtime", "g")
    }

    /// Finds a struct of a package by its name.
    fn find_struct(&mut self, package: &str, name: &str) -> Option<Type> {
        let image = self.image;
        // The name of T is stored as the name of *T with a flag.
        for address in image.names(&format!("*{package}.{name}")) {
            let offset = u32::try_from(address - image.base).ok()?.to_le_bytes();
            let hits = memmem::find_iter(&image.bytes, &offset).filter(|at| at.is_multiple_of(8));
            for at in hits.take(MAX_HITS) {
                let ty = at.checked_sub(NAME_AT).and_then(|at| image.header(at));
                if let Some(ty) = ty.filter(|ty| self.is_of(ty, package, name)) {
                    return Some(ty);
                }
            }
        }
        None
    }

    /// Adds a type and everything that it leads to.
    fn follow(&mut self, start: Type) {
        let image = self.image;
        let mut queue = VecDeque::from([start]);
        while let Some(ty) = queue.pop_front() {
            if self.seen.len() >= MAX_TYPES || !self.seen.insert(ty.at) {
                continue;
            }
            match ty.kind {
                STRUCT => {
                    queue.extend(self.fields(&ty).unwrap_or_default().into_iter().map(|field| field.ty));
                    let name = image.string(&ty).and_then(|name| name.strip_prefix("runtime."));
                    if let Some(name) = name.filter(|name| self.is_of(&ty, "runtime", name))
                        && let Some(layout) = self.layout(&ty)
                    {
                        self.found.insert(name.to_owned(), layout);
                    }
                }
                ARRAY | CHAN | POINTER | SLICE => {
                    queue.extend(image.word(ty.at + HEADER).and_then(|at| image.type_at(at)));
                }
                _ => {}
            }
        }
    }

    /// The layout of a struct and of the structs within it.
    fn layout(&mut self, ty: &Type) -> Option<StructLayout> {
        let mut flattener = Flattener::new(ty.size);
        self.flatten(ty, "", 0, 0, &mut flattener)?;
        Some(flattener.finish())
    }

    fn flatten(
        &mut self,
        ty: &Type,
        prefix: &str,
        base: u64,
        depth: usize,
        into: &mut Flattener,
    ) -> Option<()> {
        for field in self.fields(ty)? {
            if field.name == "_" {
                continue;
            }
            let path = join(prefix, field.name);
            let offset = base.checked_add(field.offset)?;
            if !into.field(&path, offset, field.ty.size) {
                return None;
            }
            let inside =
                field.ty.kind == STRUCT && !self.image.string(&field.ty).is_some_and(is_word_in_itself);
            if inside && depth < MAX_NESTING {
                let prefix = if field.embedded { prefix } else { &path };
                self.flatten(&field.ty, prefix, offset, depth + 1, into)?;
            }
        }
        Some(())
    }

    /// The fields of a struct. None where its descriptor makes no sense.
    fn fields(&mut self, ty: &Type) -> Option<Vec<FieldOf<'a>>> {
        let image = self.image;
        let count = image.word(ty.at + FIELDS_AT + 8).filter(|&count| count <= MAX_FIELDS)?;
        self.fields_left = self.fields_left.checked_sub(1 + count as usize)?;
        let first = if count == 0 { 0 } else { image.offset(image.word(ty.at + FIELDS_AT)?)? };
        let field = |index: u64| {
            let at = first + index as usize * FIELD;
            let (name, flags) =
                image.name(image.word(at)?).filter(|(name, _)| name.len() <= MAX_FIELD_NAME)?;
            let inner = image.type_at(image.word(at + 8)?)?;
            let offset = image.word(at + 16)?;
            let end = offset.checked_add(inner.size)?;
            (end <= ty.size).then_some(FieldOf { name, embedded: flags & EMBEDDED != 0, ty: inner, offset })
        };
        (0..count).map(field).collect()
    }

    /// Is it the struct of this name in the package itself, not in another one named so?
    fn is_of(&mut self, ty: &Type, package: &str, name: &str) -> bool {
        let image = self.image;
        let path = || image.word(ty.at + HEADER).and_then(|at| image.name(at));
        let full = image.string(ty).and_then(|full| full.strip_prefix(package)?.strip_prefix('.'));
        ty.kind == STRUCT
            && full == Some(name)
            && path().is_some_and(|(path, _)| path == package)
            && self.fields(ty).is_some()
    }
}
