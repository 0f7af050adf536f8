//! Machine code without runtime tables: C, and code that is linked like C.
//!
//! Names come from ELF symbols, callers of frames from `.eh_frame`. There are many images with large tables,
//! so the tables of an image are read when an address is first found in it.

use gimli::UnwindContext;
use rustc_hash::FxHashMap;

use crate::process::Image;

mod cfi;
mod functions;
mod prologue;
mod unwind;

use cfi::{Cfi, Rules};
use functions::Functions;
pub use unwind::{NativeFrame, NoCaller, StackBytes};

/// Executable parts of one image that are examined; usually there is one.
const MAX_PARTS: usize = 16;
/// Bytes of unwind tables kept in all.
const MAX_TABLES: usize = 256 << 20;
/// Images whose symbols are read at most.
const MAX_SYMBOL_TABLES: usize = 64;
/// Addresses whose rules are remembered.
const MAX_REMEMBERED: usize = 1 << 16;

const PT_LOAD: u32 = 1;
const PF_X: u32 = 1;

/// The function at an address, as far as known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeFunction {
    /// Its name, demangled.
    pub name: String,
    /// Its first address in the target.
    pub start: u64,
}

/// The code of the images of a target.
#[derive(Debug)]
pub struct NativeCode {
    images: Vec<Loaded>,
    /// Executable parts, ascending.
    parts: Vec<Part>,
    room: usize,
    symbol_tables: usize,
    rules: FxHashMap<(u64, bool), Option<Rules>>,
    context: UnwindContext<usize>,
}

/// An image and those of its tables that were needed.
#[derive(Debug)]
struct Loaded {
    image: Image,
    cfi: Option<Option<Cfi>>,
    functions: Option<Option<Functions>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    start: u64,
    end: u64,
    image: usize,
}

impl NativeCode {
    /// The code of these images, which all belong to one target.
    pub fn new(images: Vec<Image>) -> NativeCode {
        let mut parts = Vec::new();
        for (number, image) in images.iter().enumerate() {
            let segments = image.segments().unwrap_or_default();
            let code = segments.iter().filter(|s| s.kind == PT_LOAD && s.flags & PF_X != 0).take(MAX_PARTS);
            parts.extend(code.map(|s| Part {
                start: s.address,
                end: s.address.saturating_add(s.memory_size),
                image: number,
            }));
        }
        parts.sort_unstable();
        NativeCode {
            images: images.into_iter().map(|image| Loaded { image, cfi: None, functions: None }).collect(),
            parts,
            room: MAX_TABLES,
            symbol_tables: 0,
            rules: FxHashMap::default(),
            context: UnwindContext::new(),
        }
    }

    fn image_at(&self, address: u64) -> Option<usize> {
        let behind = self.parts.partition_point(|part| part.start <= address);
        self.parts.get(behind.checked_sub(1)?).filter(|part| address < part.end).map(|part| part.image)
    }

    /// The image with code at an address, and that address in the image's file.
    pub fn image(&self, address: u64) -> Option<(&str, u64)> {
        let loaded = self.images.get(self.image_at(address)?)?;
        Some((&loaded.image.path, address.wrapping_sub(loaded.image.bias)))
    }

    /// The function with code at an address, if a symbol names it.
    pub fn function(&mut self, address: u64) -> Option<NativeFunction> {
        let number = self.image_at(address)?;
        let loaded = self.images.get_mut(number)?;
        if loaded.functions.is_none() {
            let allowed = self.symbol_tables < MAX_SYMBOL_TABLES;
            self.symbol_tables += usize::from(allowed);
            loaded.functions = Some(allowed.then(|| Functions::load(&loaded.image)));
        }
        loaded.functions.as_ref()?.as_ref()?.at(address)
    }

    /// The frame that called `frame`. None if the tables do not say, or say that there is no caller.
    pub fn caller(&mut self, frame: &NativeFrame, stack: StackBytes<'_>) -> Option<NativeFrame> {
        self.step(frame, stack).ok()
    }

    /// The frame that called `frame`, or why there is none.
    ///
    /// # Errors
    /// [`NoCaller`] says which of these it is: the outermost frame, more stack than given, no rule.
    pub fn step(&mut self, frame: &NativeFrame, stack: StackBytes<'_>) -> Result<NativeFrame, NoCaller> {
        let (cfi, rules) = self.rules(frame).ok_or(NoCaller::Unknown)?;
        frame.caller(rules, cfi, stack)
    }

    /// The rules at a frame's address, with the tables that they are from.
    fn rules(&mut self, frame: &NativeFrame) -> Option<(&Cfi, &Rules)> {
        let address = frame.lookup();
        let number = self.image_at(address)?;
        let loaded = self.images.get_mut(number)?;
        if loaded.cfi.is_none() {
            let cfi = Cfi::load(&loaded.image, self.room);
            self.room -= cfi.as_ref().map_or(0, Cfi::size).min(self.room);
            loaded.cfi = Some(cfi);
        }
        let cfi = loaded.cfi.as_ref()?.as_ref()?;
        let key = (frame.pc, frame.is_interrupted);
        if !self.rules.contains_key(&key) {
            if self.rules.len() >= MAX_REMEMBERED {
                self.rules.clear();
            }
            let in_file = |address: u64| address.wrapping_sub(loaded.image.bias);
            let rules = cfi.rules(in_file(address), in_file(frame.pc), &loaded.image, &mut self.context);
            self.rules.insert(key, rules);
        }
        Some((cfi, self.rules.get(&key)?.as_ref()?))
    }
}

#[cfg(test)]
mod tests;
