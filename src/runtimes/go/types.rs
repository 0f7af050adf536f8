//! The binary's own type descriptors, which survive stripping: the fields of the runtime's structs,
//! and the names of types.
//!
//! The format is that of `internal/abi/type.go` (`runtime/type.go` up to 1.20), which has kept its layout
//! from 1.18 to 1.27 on 64-bit machines: a 48-byte header, then what the kind adds. The descriptors, the
//! arrays of struct fields and the names are all between `moduledata.types` and `moduledata.etypes`. In
//! position-independent binaries the pointers are right only in memory, so the bytes must be read from there.

use memchr::memmem;

use super::structs::{StructLayout, Structs};
use crate::process::bytes::{u32_at, u64_at};

mod structs;

/// Bytes of the header of every descriptor.
const HEADER: usize = 48;
/// Up to 1.23 the kind's byte has flags above these bits.
const KIND_MASK: u8 = 0x1f;

/// The name of the type has an extra star (`TFlagExtraStar`).
const EXTRA_STAR: u8 = 1 << 1;
/// Bytes of a name.
const MAX_NAME: usize = 1 << 16;
/// Places that are checked when a name is searched for.
const MAX_HITS: usize = 64;

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
    /// Its position in the bytes.
    at: usize,
    size: u64,
    flags: u8,
    kind: u8,
    name: u32,
}

/// A type, or what a pointer points to.
#[derive(Debug, Clone)]
pub(super) struct Described {
    /// As `%T` prints it: "context.timerCtx".
    pub(super) name: String,
    /// The descriptor was that of a pointer to it.
    pub(super) is_pointer: bool,
    /// For a struct.
    pub(super) layout: Option<StructLayout>,
}

impl TypeImage {
    /// `base` is `moduledata.types`, `bytes` the running program's memory from there.
    pub fn new(base: u64, bytes: Vec<u8>) -> Self {
        TypeImage { base, bytes }
    }

    /// The name of the type whose descriptor is at `address`, as `%T` prints it: "int", "*http.Request",
    /// "struct {}". None if there is none, as for types made by reflection.
    pub fn type_name(&self, address: u64) -> Option<String> {
        Some(self.string(&self.type_at(address)?)?.to_owned())
    }

    /// The size of the type whose descriptor is at `address`, bytes.
    #[cfg(any(test, feature = "test-support"))]
    pub fn type_size(&self, address: u64) -> Option<u64> {
        self.type_at(address).map(|ty| ty.size)
    }

    /// The runtime's structs that are described: `g`, what its fields lead to, and structs found by name.
    /// Empty if there are none.
    pub fn structs(&self) -> Structs {
        structs::find(self)
    }

    /// The layout of a struct of a package of the standard library: `named("context", "cancelCtx")`.
    pub(super) fn named(&self, package: &str, name: &str) -> Option<StructLayout> {
        structs::named(self, package, name)
    }

    /// The type whose descriptor is at `address`; for a pointer, what it points to.
    pub(super) fn behind(&self, address: u64) -> Option<Described> {
        structs::behind(self, address)
    }

    /// Is the type whose descriptor is at `address` a channel's?
    pub(super) fn is_channel(&self, address: u64) -> bool {
        structs::is_channel(self, address)
    }

    fn type_at(&self, address: u64) -> Option<Type> {
        self.header(self.offset(address)?)
    }

    fn header(&self, at: usize) -> Option<Type> {
        let header = self.bytes.get(at..at.checked_add(HEADER)?)?;
        let size = self.word(at)?;
        let name = u32_at(header, 40)?;
        let ty = Type { at, size, flags: header[20], kind: header[23] & KIND_MASK, name };
        (at.is_multiple_of(8) && (1..=26).contains(&ty.kind) && size < 1 << 40).then_some(ty)
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

    /// The addresses of names that read `text`.
    fn names(&self, text: &str) -> Vec<u64> {
        // All names that are searched for are shorter than 128 bytes, so their length is one byte.
        let needle: Vec<u8> = std::iter::once(text.len() as u8).chain(text.bytes()).collect();
        memmem::find_iter(&self.bytes, &needle)
            .filter_map(|at| self.base.checked_add(at.checked_sub(1)? as u64))
            .filter(|&address| self.name(address).is_some())
            .take(MAX_HITS)
            .collect()
    }

    /// The positions of words with this value.
    fn words(&self, value: u64) -> Vec<usize> {
        let needle = value.to_le_bytes();
        memmem::find_iter(&self.bytes, &needle).filter(|at| at.is_multiple_of(8)).take(MAX_HITS).collect()
    }

    fn offset(&self, address: u64) -> Option<usize> {
        usize::try_from(address.checked_sub(self.base)?).ok().filter(|&at| at < self.bytes.len())
    }

    fn word(&self, at: usize) -> Option<u64> {
        u64_at(&self.bytes, at)
    }
}

#[cfg(test)]
pub(super) mod tests;
