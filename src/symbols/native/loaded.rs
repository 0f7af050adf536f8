//! An image with those of its tables that were needed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::NativeFunction;
use super::cfi::Cfi;
use super::functions::Functions;
use crate::cache::{Reader, Store, Writer};
use crate::process::Image;
use crate::symbols::kept;
use crate::symbols::lines::{Lines, Patience, SourceFrame, debug_file};

/// Bytes of unwind tables kept in all.
pub(super) const MAX_TABLES: usize = 256 << 20;
/// Bytes of debug information kept in all.
const MAX_DEBUG: usize = 1 << 30;
/// Images whose symbols are read at most.
const MAX_SYMBOL_TABLES: usize = 64;
/// The time for reading debug information in all. 500 MB of it take about a second.
const MAX_TIME: Duration = Duration::from_secs(20);
/// `SHT_SYMTAB` (elf.h).
const SHT_SYMTAB: u32 = 2;
/// The path of the image that the kernel brings.
const VDSO: &str = "[vdso]";
/// Bytes of a symbol table that is worth a file in the cache folder.
const MANY: u64 = 1 << 20;

/// What may still be read, and what was not.
#[derive(Debug)]
pub(super) struct Allowance {
    tables: usize,
    symbol_tables: usize,
    debug: usize,
    patience: Patience,
    /// Each one sentence.
    pub(super) warnings: Vec<String>,
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance {
            tables: MAX_TABLES,
            symbol_tables: MAX_SYMBOL_TABLES,
            debug: MAX_DEBUG,
            patience: Patience::new(MAX_TIME),
            warnings: Vec::new(),
        }
    }
}

/// Stands for the file of an image and its place. The same file may be loaded at two places.
pub type ImageKey = (usize, u64);

/// An image and those of its tables that were needed; the outer option says whether they were read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) image: Image,
    cfi: Option<Option<Cfi>>,
    functions: Option<Option<Functions>>,
    debug_file: Option<Option<Image>>,
    lines: Option<Option<Lines>>,
    /// What is known of functions from the last time.
    store: Option<Option<Store>>,
}

impl Loaded {
    pub(super) fn new(image: Image) -> Loaded {
        Loaded { image, cfi: None, functions: None, debug_file: None, lines: None, store: None }
    }

    pub(super) fn key(&self) -> ImageKey {
        (Arc::as_ptr(&self.image.file) as usize, self.image.bias)
    }

    pub(super) fn is_vdso(&self) -> bool {
        self.image.path == VDSO
    }

    pub(super) fn in_file(&self, address: u64) -> u64 {
        address.wrapping_sub(self.image.bias)
    }

    /// Reads the unwind tables, unless they were read.
    pub(super) fn need_cfi(&mut self, allowed: &mut Allowance) {
        self.cfi.get_or_insert_with(|| {
            let cfi = Cfi::load(&self.image, allowed.tables);
            allowed.tables -= cfi.as_ref().map_or(0, Cfi::size).min(allowed.tables);
            cfi
        });
    }

    /// The unwind tables, if they were read and there are any.
    pub(super) fn cfi(&self) -> Option<&Cfi> {
        self.cfi.as_ref()?.as_ref()
    }

    pub(super) fn functions(&mut self, allowed: &mut Allowance) -> Option<&Functions> {
        let debug_file = self.debug_file.get_or_insert_with(|| debug_file(&self.image)).as_ref();
        let functions = self.functions.get_or_insert_with(|| {
            let may = allowed.symbol_tables > 0;
            allowed.symbol_tables -= usize::from(may);
            may.then(|| Functions::load(&self.image, debug_file))
        });
        functions.as_ref()
    }

    /// The function with code at an address. `cache`: the folder with what is known from the last time.
    pub(super) fn function(
        &mut self,
        address: u64,
        cache: Option<&Path>,
        allowed: &mut Allowance,
    ) -> Option<NativeFunction> {
        self.need_store(cache);
        if self.store().is_none() {
            return self.functions(allowed)?.at(address).function;
        }
        let bias = self.image.bias;
        let in_file = self.in_file(address);
        // What runs is at another place of a function each time: code with one unwind entry is asked for as a whole.
        self.need_cfi(allowed);
        let extent = self.cfi().and_then(|cfi| cfi.extent(in_file));
        let whole = extent.map(|(start, _)| Question::Extent(start));
        let questions = whole.into_iter().chain([Question::Address(in_file)]);
        let known =
            questions.filter_map(|question| read(self.store()?.answer(&question.bytes())?, bias)).next();
        if let Some(known) = known {
            return known;
        }
        let said = self.functions(allowed)?.at(address);
        let is_whole = extent.is_some_and(|(start, len)| {
            let start = start.wrapping_add(bias);
            said.of.start <= start && start.checked_add(len).is_some_and(|end| end <= said.of.end)
        });
        let question = whole.filter(|_| is_whole).unwrap_or(Question::Address(in_file));
        if let Some(Some(store)) = &mut self.store {
            store.add(&question.bytes(), &written(said.function.as_ref(), bias));
        }
        said.function
    }

    /// Whether symbols of different names begin at an address.
    pub(super) fn is_shared(&mut self, address: u64, cache: Option<&Path>, allowed: &mut Allowance) -> bool {
        let question = Question::Shared(self.in_file(address));
        let find = |loaded: &mut Loaded| Some(u64::from(loaded.functions(allowed)?.is_shared(address)));
        self.number(question, cache, find) == Some(1)
    }

    /// An answer about the image, which `find` finds if it is not known from the last time.
    pub(super) fn about(
        &mut self,
        what: &str,
        cache: Option<&Path>,
        find: impl FnOnce(&Image) -> Option<u64>,
    ) -> Option<u64> {
        self.number(Question::About(what), cache, |loaded| find(&loaded.image))
    }

    fn number(
        &mut self,
        question: Question<'_>,
        cache: Option<&Path>,
        find: impl FnOnce(&mut Loaded) -> Option<u64>,
    ) -> Option<u64> {
        self.need_store(cache);
        let question = question.bytes();
        if let Some(known) = self.store().and_then(|store| kept::whole(store.answer(&question)?)) {
            return Some(known);
        }
        let found = find(self)?;
        if let Some(Some(store)) = &mut self.store {
            store.add(&question, &kept::written(&found));
        }
        Some(found)
    }

    /// Opens what is known from the last time, unless that was tried.
    fn need_store(&mut self, cache: Option<&Path>) {
        let image = &self.image;
        let open = |folder| if has_many(image) { kept::store(folder, image, "functions") } else { None };
        self.store.get_or_insert_with(|| cache.and_then(open));
    }

    fn store(&self) -> Option<&Store> {
        self.store.as_ref()?.as_ref()
    }

    /// Keeps what was found out for the next loiter.
    pub(super) fn keep(&mut self, repeated: bool) {
        let Some(Some(store)) = &mut self.store else { return };
        if store.has_news(repeated) && self.image.file.is_intact() {
            store.save();
        }
    }

    /// The functions at an address of the file by its debug information, innermost first.
    pub(super) fn source(&mut self, address: u64, allowed: &mut Allowance) -> Vec<SourceFrame> {
        let Allowance { debug, patience, warnings, .. } = allowed;
        if patience.is_over() {
            return Vec::new();
        }
        let debug_file = self.debug_file.get_or_insert_with(|| debug_file(&self.image)).as_ref();
        let lines = self.lines.get_or_insert_with(|| match Lines::load(debug_file?, *debug) {
            Ok(lines) => {
                *debug -= lines.size().min(*debug);
                Some(lines)
            }
            Err(why) => {
                warnings.push(format!("the lines of {} are not known: {why}", self.image.path));
                None
            }
        });
        let found = lines.as_mut().map(|lines| lines.at(address, patience)).unwrap_or_default();
        if patience.is_over() {
            let seconds = MAX_TIME.as_secs();
            let path = &self.image.path;
            warnings
                .push(format!("reading the lines of {path} took longer than {seconds} s: no more are read"));
        }
        found
    }

    /// Takes over what was read of the same image. `allowed` is what may still be read.
    pub(super) fn take_over(&mut self, before: Loaded, allowed: &mut Allowance) {
        let size = before.cfi.as_ref().and_then(Option::as_ref).map_or(0, Cfi::size);
        allowed.tables -= size.min(allowed.tables);
        let size = before.lines.as_ref().and_then(Option::as_ref).map_or(0, Lines::size);
        allowed.debug -= size.min(allowed.debug);
        let has_symbols = before.functions.as_ref().is_some_and(Option::is_some);
        allowed.symbol_tables -= usize::from(has_symbols).min(allowed.symbol_tables);
        *self = Loaded { image: self.image.clone(), ..before };
    }
}

/// Whether an image has so many symbols of its own that it takes long to read them.
fn has_many(image: &Image) -> bool {
    let sections = image.sections().unwrap_or_default();
    sections.iter().any(|section| section.kind == SHT_SYMTAB && section.size >= MANY)
}

/// What is asked of the functions of an image, with addresses in the file.
#[derive(Debug, Clone, Copy)]
enum Question<'a> {
    /// Which function has the code at this address.
    Address(u64),
    /// Which one has all the code of the unwind entry that begins here.
    Extent(u64),
    /// Whether several of them begin at this address.
    Shared(u64),
    /// Something about all of them.
    About(&'a str),
}

impl Question<'_> {
    fn bytes(self) -> Vec<u8> {
        let mut question = Writer::default();
        let (kind, address) = match self {
            Question::Address(address) => (0, address),
            Question::Extent(start) => (1, start),
            Question::Shared(address) => (2, address),
            Question::About(_) => (3, 0),
        };
        question.number(kind);
        question.number(address);
        if let Question::About(what) = self {
            question.text(what);
        }
        question.into_bytes()
    }
}

/// The answer that a function is, with its start in the file.
fn written(found: Option<&NativeFunction>, bias: u64) -> Vec<u8> {
    let mut answer = Writer::default();
    answer.option(found, |answer, found| {
        answer.text(&found.name);
        answer.number(found.start.wrapping_sub(bias));
    });
    answer.into_bytes()
}

/// The function that an answer is. The outer option: whether it is undamaged.
fn read(answer: &[u8], bias: u64) -> Option<Option<NativeFunction>> {
    let mut answer = Reader::new(answer);
    let found = answer.option(|answer| {
        let name = answer.text()?.to_owned();
        Some(NativeFunction { name, start: answer.number()?.wrapping_add(bias) })
    })?;
    answer.is_at_end().then_some(found)
}

impl Allowance {
    /// What may be read again after the images were read again, with the time that is left.
    pub(super) fn renewed(self) -> Allowance {
        Allowance { patience: self.patience, warnings: self.warnings, ..Allowance::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of a function is known of all its code, and symbols are not read for it.
    #[test]
    fn functions_are_kept_whole() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cache");
        let mut image = Image::from_file("/proc/self/exe").unwrap();
        assert!(has_many(&image));
        let functions = Functions::load(&image, None);
        let text = image.segments().unwrap().into_iter().find(|segment| segment.flags & 1 != 0).unwrap();
        let named = |at: &u64| functions.at(*at).function.is_some();
        let starts: Vec<u64> =
            (text.address..text.address + text.file_size).step_by(5000).filter(named).collect();
        assert!(starts.len() > 100, "{}", starts.len());
        let cfi = Cfi::load(&image, MAX_TABLES).unwrap();
        let mut moved = 0;
        // Another process has it at another place.
        for bias in [0x1000, 0x7000] {
            image.bias = bias;
            let (mut loaded, mut allowed) = (Loaded::new(image.clone()), Allowance::default());
            let known = bias != 0x1000;
            for start in &starts {
                let expected = functions.at(*start);
                let is_whole =
                    |(begin, len): (u64, u64)| expected.of.contains(&begin) && begin + len <= expected.of.end;
                // The second time, another address of the same function.
                let room = cfi.extent(*start).filter(|extent| known && is_whole(*extent));
                let last = room.map_or(*start, |(begin, len)| begin + len - 1);
                moved += usize::from(last > *start);
                let found = loaded.function(last + bias, Some(&folder), &mut allowed).unwrap();
                let expected = expected.function.unwrap();
                assert_eq!(
                    loaded.functions.is_none(),
                    known,
                    "{start:#x} {room:x?} {:x?}",
                    cfi.extent(*start)
                );
                assert_eq!((found.name, found.start), (expected.name, expected.start + bias));
            }
            let shared =
                starts.iter().filter(|start| loaded.is_shared(**start + bias, Some(&folder), &mut allowed));
            assert!(shared.count() < starts.len());
            assert_eq!(loaded.functions.is_none(), known);
            assert_eq!(loaded.about("a number", Some(&folder), |_| (!known).then_some(7)), Some(7));
            loaded.keep(false);
        }
        assert!(moved > 100, "{moved}");
    }
}
