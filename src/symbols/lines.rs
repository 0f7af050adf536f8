//! Files, lines and inlined calls of native code, from DWARF.
//!
//! [`separate`] finds the file with the debug information of an image, [`split`] those with the entries of single units,
//! [`sections`] and [`strings`] read them, [`units`] says which compilation unit has an address, [`functions`] and
//! [`rows`] read that unit. Whatever is malformed is left out; the time and the bytes are bounded. Source: DWARF Debugging
//! Information Format, version 5.

mod first;
mod functions;
mod lists;
mod patience;
mod pieces;
mod ranges;
pub(super) mod rows;
pub(super) mod sections;
mod separate;
mod split;
mod strings;
pub(super) mod units;

use std::sync::Arc;

use gimli::{Abbreviations, UnitOffset};
use rustc_hash::FxHashMap;

use super::demangle::demangled;
use crate::process::Image;
use functions::{Functions, InUnit};
pub(crate) use patience::Patience;
use rows::Rows;
use sections::{InFile, Sections};
pub(crate) use separate::{debug_file, given};
use units::Units;

/// Rows and functions that are remembered, of all units of one file.
const MAX_REMEMBERED: usize = 8 << 20;

/// A function at an address, with the line that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFrame {
    /// Its name, demangled. None if it is unknown.
    pub function: Option<String>,
    /// Source file. None if unknown.
    pub file: Option<String>,
    /// Line, from 1. 0 if unknown.
    pub line: u32,
}

/// The debug information of one file. Addresses are those in the file.
#[derive(Debug)]
pub struct Lines {
    sections: Sections,
    /// None until the first lookup.
    units: Option<Units>,
    known: FxHashMap<usize, Known>,
    remembered: usize,
}

/// What was read of a unit.
#[derive(Debug)]
struct Known {
    abbreviations: Arc<Abbreviations>,
    functions: Functions,
    rows: Rows,
}

impl Lines {
    /// Reads the debug information in a file, `max` bytes at most.
    ///
    /// # Errors
    /// It is larger, or cannot be read: one sentence.
    pub(crate) fn load(image: &Image, max: usize) -> Result<Lines, String> {
        Sections::load(image, max).map(Lines::new)
    }

    fn new(sections: Sections) -> Lines {
        Lines { sections, units: None, known: FxHashMap::default(), remembered: 0 }
    }

    /// The debug information of a file, and of the files of its units.
    #[cfg(any(test, feature = "test-support"))]
    pub fn of_image(image: &Image) -> Lines {
        Sections::load(image, 1 << 30).map(Lines::new).unwrap_or_else(|_| Lines::new(Sections::default()))
    }

    /// The debug information in some bytes, by the names of their sections.
    #[cfg(any(test, feature = "test-support"))]
    pub fn of_sections<'a>(bytes: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Lines {
        Lines::new(Sections::of(bytes))
    }

    /// The bytes that it occupies.
    pub(crate) fn size(&self) -> usize {
        self.sections.size()
    }

    /// The functions at an address, innermost (inlined) first. The last one really has code there; if only its line is
    /// known, it has no name. Empty if nothing is known.
    pub(crate) fn at(&mut self, address: u64, patience: &mut Patience) -> Vec<SourceFrame> {
        patience.spend(|patience| self.find(address, patience))
    }

    /// The same, for a lookup that takes no longer than this.
    #[cfg(any(test, feature = "test-support"))]
    pub fn within(&mut self, address: u64, limit: std::time::Duration) -> Vec<SourceFrame> {
        self.at(address, &mut Patience::new(limit))
    }

    fn find(&mut self, address: u64, patience: &mut Patience) -> Vec<SourceFrame> {
        if patience.is_over() {
            return Vec::new();
        }
        let Lines { sections, units, known, remembered } = self;
        let units = units.get_or_insert_with(|| Units::read(sections, patience));
        let sections = &*sections;
        for offset in units.at(address) {
            if patience.check().is_none() {
                break;
            }
            let abbreviations = known.get(&offset).map(|known| Arc::clone(&known.abbreviations));
            let Some(opened) = units::open(sections, offset, abbreviations) else { continue };
            let unit = opened.view();
            if !known.contains_key(&offset) {
                let found = Known::read(unit, patience);
                *remembered += found.size();
                if *remembered > MAX_REMEMBERED {
                    known.clear();
                    *remembered = found.size();
                }
                known.insert(offset, found);
            }
            let Some(known) = known.get(&offset) else { continue };
            let frames = known.frames(unit, address, &Other { sections, units }, patience);
            if !frames.is_empty() {
                return frames;
            }
        }
        Vec::new()
    }
}

impl Known {
    fn read(unit: InFile<'_, '_>, patience: &mut Patience) -> Known {
        Known {
            abbreviations: Arc::clone(&unit.abbreviations),
            functions: Functions::read(unit, patience),
            rows: Rows::read(&unit, patience),
        }
    }

    fn size(&self) -> usize {
        self.functions.len() + self.rows.len()
    }

    fn frames<'a>(
        &self,
        unit: InFile<'_, 'a>,
        address: u64,
        other: &Other<'a, '_>,
        patience: &mut Patience,
    ) -> Vec<SourceFrame> {
        let (mut number, mut line) = match self.rows.at(address) {
            Some((number, line)) => (Some(number), line),
            None => (None, 0),
        };
        let frame = |function, number: Option<u64>, line| SourceFrame {
            function,
            file: number.and_then(|number| rows::file(unit, number)),
            line,
        };
        let Some(function) = self.functions.at(address) else {
            return number.map(|number| frame(None, Some(number), line)).into_iter().collect();
        };
        // The line is that of the innermost call.
        let Some(chain) = functions::chain(unit, function, address, patience) else { return Vec::new() };
        let innermost_first = chain.iter().rev().map(|entry| {
            let name = functions::name(entry, unit, &|offset| other.unit(offset));
            let found = frame(name.map(|name| demangled(&name)), number, line);
            (number, line) = (entry.call_file, entry.call_line);
            found
        });
        innermost_first.collect()
    }
}

/// The other units of a file.
struct Other<'a, 'b> {
    sections: &'a Sections,
    units: &'b Units,
}

impl<'a> Other<'a, '_> {
    /// The unit that an offset in `.debug_info` is in, and the offset in the unit.
    fn unit(&self, offset: usize) -> Option<InUnit<'a>> {
        let start = self.units.around(offset)?;
        let opened = units::open(self.sections, start, None)?;
        Some((opened, UnitOffset(offset.checked_sub(start)?)))
    }
}

#[cfg(test)]
mod tests;
