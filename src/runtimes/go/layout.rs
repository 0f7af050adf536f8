//! Where the runtime's structs keep their fields.
//!
//! There are three sources: the binary's own type descriptors ([`super::types`]), which exist even in
//! stripped binaries but lack some structs; DWARF ([`super::dwarf`]), which has all structs where it was
//! kept; and a table by version of Go ([`super::layout_table`]). The first two describe the very program that
//! is read, so they come first. With them even a Go release that loiter does not know can be read. What
//! several sources know is cross-checked.

#[cfg(any(test, feature = "test-support"))]
use std::collections::BTreeMap;

use super::layout_table;
#[cfg(any(test, feature = "test-support"))]
use super::structs::Field;
use super::structs::{LayoutSource, StructLayout, Structs};

/// All known layouts of one program's runtime.
///
/// A struct is taken whole from the best source that has it: a field that its descriptors do not
/// list does not exist in this version, whatever the table of another version says.
#[derive(Debug, Clone, Default)]
pub struct Layouts {
    /// Best first.
    layers: Vec<(LayoutSource, Structs)>,
    warnings: Vec<String>,
}

impl Layouts {
    /// Combines the sources. `descriptors` are what [`super::types::TypeImage::structs`] found. `minor` is
    /// the 27 of "go1.27", None where the version is not known. `dwarf` is called only when it is needed
    /// (debugging information can be large, and compressed): when the descriptors and an exact row of the
    /// table lack a struct, or disagree.
    pub fn gather(descriptors: Structs, dwarf: impl FnOnce() -> Option<Structs>, minor: Option<u32>) -> Self {
        let mut layouts = Layouts::default();
        layouts.add(LayoutSource::Descriptors, descriptors);
        let table = layout_table::for_go(minor);
        let exact = matches!(table.0, LayoutSource::Table { exact: true, .. });
        layouts.add(table.0, table.1);
        if !exact || !layouts.warnings.is_empty() {
            layouts.warnings.clear();
            if let Some(structs) = dwarf() {
                layouts.add(LayoutSource::Dwarf, structs);
            }
            layouts.cross_check();
        }
        layouts
    }

    /// Adds what a source says. Better sources may be added after worse ones.
    pub fn add(&mut self, source: LayoutSource, structs: Structs) {
        if structs.is_empty() {
            return;
        }
        self.layers.push((source, structs));
        self.layers.sort_by_key(|(source, _)| *source);
        self.cross_check();
    }

    fn cross_check(&mut self) {
        self.warnings.clear();
        for (index, (better, known)) in self.layers.iter().enumerate() {
            for (worse, others) in &self.layers[index + 1..] {
                // A neighbouring version's row is expected to differ.
                if !matches!(worse, LayoutSource::Table { exact: false, .. }) {
                    self.warnings.extend(disagreements(*better, known, *worse, others));
                }
            }
        }
    }

    /// A struct, from the best source that has it.
    pub fn get(&self, name: &str) -> Option<&StructLayout> {
        self.layers.iter().find_map(|(_, structs)| structs.get(name))
    }

    /// A field: `field("g", "sched.sp")`.
    #[cfg(any(test, feature = "test-support"))]
    pub fn field(&self, name: &str, path: &str) -> Option<Field> {
        self.get(name)?.fields.get(path).copied()
    }

    /// Where a field is, bytes from the start of the struct.
    #[cfg(any(test, feature = "test-support"))]
    pub fn offset(&self, name: &str, path: &str) -> Option<u64> {
        self.field(name, path).map(|field| field.offset)
    }

    /// The size of a struct, bytes.
    #[cfg(any(test, feature = "test-support"))]
    pub fn size(&self, name: &str) -> Option<u64> {
        self.get(name).map(|layout| layout.size)
    }

    /// Where a struct's layout is from.
    pub fn source(&self, name: &str) -> Option<LayoutSource> {
        self.layers.iter().find(|(_, structs)| structs.contains_key(name)).map(|(source, _)| *source)
    }

    /// Every known struct and its source, by name.
    #[cfg(any(test, feature = "test-support"))]
    pub fn sources(&self) -> BTreeMap<&str, LayoutSource> {
        let mut sources = BTreeMap::new();
        for (source, structs) in &self.layers {
            for name in structs.keys() {
                sources.entry(name.as_str()).or_insert(*source);
            }
        }
        sources
    }

    /// Where sources that should agree do not, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// What two sources both know and say differently, one line per struct.
fn disagreements(
    better: LayoutSource,
    known: &Structs,
    worse: LayoutSource,
    others: &Structs,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, other) in others {
        let Some(layout) = known.get(name) else { continue };
        let different: Vec<&str> = other
            .fields
            .iter()
            .filter(|(path, field)| layout.fields.get(*path).is_some_and(|known| known != *field))
            .map(|(path, _)| path.as_str())
            .collect();
        if different.is_empty() && layout.size == other.size {
            continue;
        }
        let what = match different.first() {
            Some(first) if different.len() > 1 => format!("{first} and {} more fields", different.len() - 1),
            Some(first) => (*first).to_owned(),
            None => format!("the size ({} and {} bytes)", layout.size, other.size),
        };
        lines.push(format!("layout of {name}: {better} and {worse} differ in {what}; using {better}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, size: u64, fields: &[(&str, u64)]) -> Structs {
        let fields =
            fields.iter().map(|&(path, offset)| (path.to_owned(), Field { offset, size: 8 })).collect();
        BTreeMap::from([(name.to_owned(), StructLayout { size, fields })])
    }

    #[test]
    fn the_best_source_of_a_struct_counts() {
        let mut layouts = Layouts::default();
        layouts
            .add(LayoutSource::Table { minor: 27, exact: false }, one("g", 400, &[("goid", 1), ("gone", 3)]));
        layouts.add(LayoutSource::Descriptors, one("g", 440, &[("goid", 8)]));
        layouts.add(LayoutSource::Dwarf, one("schedt", 100, &[("goidgen", 0)]));
        assert_eq!((layouts.offset("g", "goid"), layouts.size("g")), (Some(8), Some(440)));
        assert_eq!(layouts.offset("g", "gone"), None);
        assert_eq!(layouts.source("g"), Some(LayoutSource::Descriptors));
        assert_eq!(layouts.source("schedt"), Some(LayoutSource::Dwarf));
        assert!(layouts.warnings().is_empty());
    }

    #[test]
    fn disagreement_is_reported() {
        let mut layouts = Layouts::default();
        layouts.add(LayoutSource::Descriptors, one("g", 440, &[("goid", 8), ("m", 16)]));
        layouts.add(LayoutSource::Dwarf, one("g", 440, &[("goid", 16), ("m", 24), ("other", 1)]));
        assert_eq!(
            layouts.warnings(),
            [
                "layout of g: type descriptors and DWARF differ in goid and 1 more fields; using type descriptors"
            ]
        );
    }

    #[test]
    fn dwarf_is_asked_only_when_needed() {
        let exact = layout_table::for_go(Some(27)).1;
        let known: Structs = exact.into_iter().filter(|(name, _)| name == "g").collect();
        let layouts = Layouts::gather(known.clone(), || panic!("not needed"), Some(27));
        assert!(layouts.warnings().is_empty());
        let asked = std::cell::Cell::new(false);
        let ask = || {
            asked.set(true);
            None
        };
        Layouts::gather(known, ask, Some(99));
        assert!(asked.get());
    }
}
