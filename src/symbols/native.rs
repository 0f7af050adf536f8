//! Machine code without runtime tables: C, and code that is linked like C.
//!
//! Names come from ELF symbols, files and lines from DWARF, callers of frames from `.eh_frame`. There are many images with large tables,
//! so the tables of an image are read when an address is first found in it.

use std::path::{Path, PathBuf};

use gimli::UnwindContext;
use rustc_hash::FxHashMap;

use super::lines::SourceFrame;
use crate::process::{Image, Target, TargetError};

mod cfi;
mod epilogue;
mod functions;
mod index;
mod loaded;
mod prologue;
mod unfiled;
mod unwind;

use cfi::{Cfi, Rules};
pub use loaded::ImageKey;
use loaded::{Allowance, Loaded};
use unfiled::Unfiled;
pub use unwind::{NativeFrame, NoCaller, StackBytes};

/// Executable parts of one image that are examined; usually there is one.
const MAX_PARTS: usize = 16;
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
    unfiled: Unfiled,
    /// The folder with what is known from the last time.
    cache: Option<PathBuf>,
    allowed: Allowance,
    rules: FxHashMap<(u64, bool), Option<Rules>>,
    context: UnwindContext<usize>,
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
            images: images.into_iter().map(Loaded::new).collect(),
            parts,
            unfiled: Unfiled::default(),
            cache: None,
            allowed: Allowance::default(),
            rules: FxHashMap::default(),
            context: UnwindContext::new(),
        }
    }

    /// All code of a target: its images, the vDSO, and memory without a file.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub fn of(target: &dyn Target) -> Result<NativeCode, TargetError> {
        let (mut images, mappings) = (target.images()?, target.mappings()?);
        images.extend(Image::vdso(target));
        Ok(NativeCode { unfiled: Unfiled::new(mappings), ..NativeCode::new(images) })
    }

    /// The same, with what is known of its functions from the last time, in this folder.
    pub(crate) fn kept_in(self, cache: Option<&Path>) -> NativeCode {
        NativeCode { cache: cache.map(Path::to_owned), ..self }
    }

    /// Keeps what was found out about functions for the next loiter. `repeated`: more may follow.
    pub(crate) fn keep(&mut self, repeated: bool) {
        self.images.iter_mut().for_each(|loaded| loaded.keep(repeated));
    }

    /// The target has mapped or unmapped code. What was read of images that are still there is kept.
    ///
    /// # Errors
    /// If the target cannot be read; then nothing changes.
    pub fn renew(&mut self, target: &dyn Target) -> Result<(), TargetError> {
        let fresh = NativeCode::of(target)?;
        if self.has_same_images(&fresh) {
            self.unfiled = fresh.unfiled;
            return Ok(());
        }
        let NativeCode { images, allowed, cache, .. } = std::mem::replace(self, fresh);
        (self.allowed, self.cache) = (allowed.renewed(), cache);
        let mut before: FxHashMap<_, _> = images.into_iter().map(|loaded| (loaded.key(), loaded)).collect();
        for loaded in &mut self.images {
            if let Some(before) = before.remove(&loaded.key()) {
                loaded.take_over(before, &mut self.allowed);
            }
        }
        Ok(())
    }

    /// Whether the same images are at the same places. That of the vDSO, which is no file, is copied anew each time.
    fn has_same_images(&self, other: &NativeCode) -> bool {
        let is_same = |(one, other): (&Loaded, &Loaded)| {
            one.key() == other.key()
                || (one.is_vdso() && other.is_vdso() && one.image.bias == other.image.bias)
        };
        self.parts == other.parts
            && self.images.len() == other.images.len()
            && self.images.iter().zip(&other.images).all(is_same)
    }

    fn image_at(&self, address: u64) -> Option<usize> {
        let behind = self.parts.partition_point(|part| part.start <= address);
        self.parts.get(behind.checked_sub(1)?).filter(|part| address < part.end).map(|part| part.image)
    }

    /// The image with code at an address, and that address in the image's file.
    pub fn image(&self, address: u64) -> Option<(&str, u64)> {
        let loaded = self.images.get(self.image_at(address)?)?;
        Some((&loaded.image.path, loaded.in_file(address)))
    }

    /// Stands for the image with code at an address.
    pub fn image_key(&self, address: u64) -> Option<ImageKey> {
        Some(self.images.get(self.image_at(address)?)?.key())
    }

    /// Whether the target has code at an address, in an image or without one.
    pub fn is_code(&self, address: u64) -> bool {
        self.image_at(address).is_some() || self.unfiled.has(address)
    }

    /// The function with code at an address, if a symbol names it.
    pub fn function(&mut self, address: u64) -> Option<NativeFunction> {
        let number = self.image_at(address)?;
        self.images.get_mut(number)?.function(address, self.cache.as_deref(), &mut self.allowed)
    }

    /// An answer about the executable itself, which `find` finds if it is not known from the last time. None: there is no
    /// executable, or nothing is found out.
    pub(crate) fn about_program(
        &mut self,
        what: &str,
        find: impl FnOnce(&Image) -> Option<u64>,
    ) -> Option<u64> {
        let program = self.images.iter_mut().find(|loaded| loaded.image.is_executable)?;
        program.about(what, self.cache.as_deref(), find)
    }

    /// Whether symbols of different names begin at an address: then none of them says which function this is.
    pub fn is_shared(&mut self, address: u64) -> bool {
        let loaded = self.image_at(address).and_then(|number| self.images.get_mut(number));
        loaded.is_some_and(|loaded| loaded.is_shared(address, self.cache.as_deref(), &mut self.allowed))
    }

    /// A name for the code at an address that no symbol names, and its start if that is known. Code with one unwind
    /// entry is one function, named by its place in the image: `libc.so.6+0x3fb90`.
    pub fn place(&mut self, address: u64) -> (String, Option<u64>) {
        let Some(loaded) = self.image_at(address).and_then(|number| self.images.get_mut(number)) else {
            return (self.unfiled.name(address).0, None);
        };
        let in_file = loaded.in_file(address);
        loaded.need_cfi(&mut self.allowed);
        let entry = loaded.cfi().and_then(|cfi| cfi.entry(in_file));
        let path = &loaded.image.path;
        let file = path.rsplit('/').next().unwrap_or(path);
        let name = format!("{file}+{:#x}", entry.unwrap_or(in_file));
        (name, entry.map(|entry| entry.wrapping_add(loaded.image.bias)))
    }

    /// The code with the same unwind entry as an address, a function or a part of one: where it begins, and its length in
    /// bytes.
    pub fn extent(&mut self, address: u64) -> Option<(u64, u64)> {
        let number = self.image_at(address)?;
        let loaded = self.images.get_mut(number)?;
        loaded.need_cfi(&mut self.allowed);
        let (start, len) = loaded.cfi()?.extent(loaded.in_file(address))?;
        Some((start.wrapping_add(loaded.image.bias), len))
    }

    /// What stands for the file of the code at an address: the path of its image, or `[anonymous]` and the like.
    pub fn file(&self, address: u64) -> &str {
        self.image(address).map_or_else(|| self.unfiled.name(address).1, |(path, _)| path)
    }

    /// The functions at an address with files and lines, innermost (inlined) first, by the debug information of its
    /// image. Empty if there is none.
    pub fn source(&mut self, address: u64) -> Vec<SourceFrame> {
        let loaded = self.image_at(address).and_then(|number| self.images.get_mut(number));
        loaded.map(|loaded| loaded.source(loaded.in_file(address), &mut self.allowed)).unwrap_or_default()
    }

    /// What could not be read since the last call, each one sentence.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.allowed.warnings)
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
        loaded.need_cfi(&mut self.allowed);
        let (cfi, image) = (loaded.cfi()?, &loaded.image);
        let key = (frame.pc, frame.is_interrupted);
        if !self.rules.contains_key(&key) {
            if self.rules.len() >= MAX_REMEMBERED {
                self.rules.clear();
            }
            let in_file = |address: u64| address.wrapping_sub(image.bias);
            let rules = cfi.rules(in_file(address), in_file(frame.pc), image, &mut self.context);
            self.rules.insert(key, rules);
        }
        Some((cfi, self.rules.get(&key)?.as_ref()?))
    }
}

#[cfg(test)]
mod tests;
