//! What is known of a struct: its size, and its fields by their paths.

use std::collections::BTreeMap;
use std::fmt;

/// A field of a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the (outermost) struct.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

impl Field {
    /// One past its last byte.
    #[cfg(any(test, feature = "test-support"))]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// The layout of a struct.
///
/// Fields are named by dotted paths, "sched.sp": a struct within the struct has an entry for itself and one
/// for each of its fields. Embedded structs' fields are promoted as in Go. Arrays are not split, and the
/// runtime's atomic types are single fields ("atomicstatus", never "atomicstatus.value"). From 1.26 on
/// `sudog.elem` and `sudog.c` are pairs of a pointer `vp` and the word `vu`, which holds the true value:
/// "elem" is then the place of "elem.vu".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StructLayout {
    /// Bytes.
    pub size: u64,
    /// Fields by their paths.
    pub fields: BTreeMap<String, Field>,
}

/// Structs by name, without the "runtime.".
pub type Structs = BTreeMap<String, StructLayout>;

/// Where a layout is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayoutSource {
    /// The binary's type descriptors.
    Descriptors,
    /// The binary's debugging information.
    Dwarf,
    /// loiter's table.
    Table {
        /// The row's version of Go: the 27 of 1.27.
        minor: u32,
        /// That is the program's version, and the row was made from a toolchain of it.
        exact: bool,
    },
}

impl fmt::Display for LayoutSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutSource::Descriptors => f.write_str("type descriptors"),
            LayoutSource::Dwarf => f.write_str("DWARF"),
            LayoutSource::Table { minor, exact: true } => write!(f, "table for go1.{minor}"),
            LayoutSource::Table { minor, exact: false } => {
                write!(f, "table for go1.{minor}, the nearest known")
            }
        }
    }
}

/// Builds a layout as [`StructLayout`] describes. The sources share it, so that they use the same names.
#[derive(Debug, Default)]
pub(super) struct Flattener {
    layout: StructLayout,
    /// Fields so far; fields with the same path are counted again.
    count: usize,
}

/// Maximum nesting of structs.
pub(super) const MAX_NESTING: usize = 8;
/// Fields of a struct that are read, nested ones included.
pub(super) const MAX_FIELDS: usize = 4096;

impl Flattener {
    pub(super) fn new(size: u64) -> Self {
        Flattener { layout: StructLayout { size, fields: BTreeMap::new() }, count: 0 }
    }

    /// Adds a field; false when there are too many.
    pub(super) fn field(&mut self, path: &str, offset: u64, size: u64) -> bool {
        self.layout.fields.entry(path.to_owned()).or_insert(Field { offset, size });
        self.count += 1;
        self.count < MAX_FIELDS
    }

    pub(super) fn finish(mut self) -> StructLayout {
        // The true value of a pair of words is its vu.
        let truths: Vec<(String, Field)> = (self.layout.fields.iter())
            .filter_map(|(path, field)| Some((path.strip_suffix(".vu")?.to_owned(), *field)))
            .collect();
        self.layout.fields.extend(truths);
        self.layout
    }
}

/// The runtime's atomic types are treated as words. `name` is a type's name as DWARF
/// ("internal/runtime/atomic.Uint32") or a descriptor ("atomic.Uint32") spells it.
pub(super) fn is_word_in_itself(name: &str) -> bool {
    let plain = name.split(['[', '{']).next().unwrap_or(name);
    plain.rsplit('/').next().is_some_and(|name| name.starts_with("atomic."))
}

/// The path of a field within a struct at `prefix`. Embedded structs add nothing to it.
pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomics() {
        for name in
            ["internal/runtime/atomic.Uint32", "atomic.Pointer[a/b.c]", "runtime/internal/atomic.Bool"]
        {
            assert!(is_word_in_itself(name), "{name}");
        }
        for name in ["runtime.gobuf", "runtime.x[a/atomic.Uint32]", "struct { n a/atomic.Uint32 }", ""] {
            assert!(!is_word_in_itself(name), "{name}");
        }
    }
}
