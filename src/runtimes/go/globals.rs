//! Finding the runtime's global variables.
//!
//! With a symbol table they have names. Without one, named functions of the line table refer to them: each
//! variable has functions that are known to use it, and a test that only the right address passes. The list
//! of goroutines is also searched for in the data itself, to confirm it, or to find it where the code does
//! not lead to it.

use std::collections::BTreeSet;

use memchr::memmem;
use rustc_hash::FxHashMap;

use super::GoError;
use super::arch;
use super::layout::Layouts;
use super::list;
use super::module::Module;
use super::offsets::Offsets;
use crate::process::bytes::words;
use crate::process::{Image, Memory, Target};

/// A larger number of Ps is not believed. The runtime itself allows any number from 1.10 on.
pub(super) const MAX_PS: u64 = 1 << 16;

/// Addresses of the runtime's global variables. `None` if a variable could not be found; what depends on it
/// is unknown.
#[derive(Debug, Clone, Default)]
pub(super) struct Globals {
    /// `runtime.allgptr`, `runtime.allglen`: the list of goroutines, to be read length first.
    pub(super) allgptr: u64,
    pub(super) allglen: u64,
    pub(super) allp: Option<u64>,
    pub(super) allm: Option<u64>,
    pub(super) sched: Option<u64>,
    pub(super) semtable: Option<u64>,
    pub(super) memstats: Option<u64>,
    pub(super) gc_controller: Option<u64>,
    pub(super) wait_reasons: Option<u64>,
    /// How each was found, one line each, for `-v`.
    pub(super) provenance: Vec<String>,
}

/// The variables searched for, with their names in the symbol table.
const NAMES: [&str; 9] = [
    "runtime.allgptr",
    "runtime.allglen",
    "runtime.allp",
    "runtime.allm",
    "runtime.sched",
    "runtime.semtable",
    "runtime.memstats",
    "runtime.gcController",
    "runtime.waitReasonStrings",
];

/// Runtime functions whose data references lead to the variables.
const ANCHORS: [&str; 14] = [
    "runtime.forEachGRace",
    "runtime.schedtrace",
    "runtime.checkdead",
    "runtime.newproc1",
    "runtime.mcommoninit",
    "runtime.procresize",
    "runtime.semrelease1",
    "runtime.semacquire1",
    "runtime.gcMarkTermination",
    "runtime.gcControllerCommit",
    "runtime.gcinit",
    "runtime.gcStart",
    "runtime.waitReason.String",
    "runtime.goroutineheader",
];

/// Largest function that is decoded.
const MAX_FUNCTION: u64 = 64 << 10;

/// Finds the variables.
///
/// # Errors
/// When the list of goroutines cannot be found.
pub(super) fn find(
    target: &dyn Target,
    image: &Image,
    module: &Module,
    layouts: &Layouts,
    offsets: &Offsets,
) -> Result<Globals, GoError> {
    if let Some(globals) = from_symbols(image, module) {
        return Ok(globals);
    }
    Finder { target, module, layouts, offsets, references: references(target, module) }.find()
}

fn from_symbols(image: &Image, module: &Module) -> Option<Globals> {
    let mut found: FxHashMap<&str, u64> = FxHashMap::default();
    for symbol in image.symbols().ok()?.iter() {
        if let Some(name) = NAMES.iter().find(|name| **name == symbol.name) {
            found.insert(name, symbol.address);
        }
    }
    let data = &module.data;
    let inside = |address: &u64| {
        [data.noptrdata, data.data, data.bss, data.noptrbss].iter().any(|span| span.contains(*address))
    };
    let get = |name: &str| found.get(name).copied().filter(inside);
    Some(Globals {
        allgptr: get("runtime.allgptr")?,
        allglen: get("runtime.allglen")?,
        allp: get("runtime.allp"),
        allm: get("runtime.allm"),
        sched: get("runtime.sched"),
        semtable: get("runtime.semtable"),
        memstats: get("runtime.memstats"),
        gc_controller: get("runtime.gcController"),
        wait_reasons: found.get("runtime.waitReasonStrings").copied(),
        provenance: vec!["globals: symbol table".to_owned()],
    })
}

/// The data references of every anchor in the binary.
fn references(memory: &dyn Memory, module: &Module) -> FxHashMap<&'static str, Vec<u64>> {
    let mut all = FxHashMap::default();
    for (name, function) in ANCHORS.iter().zip(module.pclntab.by_names(&ANCHORS)) {
        let Some(function) = function else { continue };
        let len = function.end().saturating_sub(function.entry()).min(MAX_FUNCTION);
        if let Ok(code) = memory.read_vec(function.entry(), len as usize) {
            all.insert(*name, arch::data_references(&code, function.entry()));
        }
    }
    all
}

struct Finder<'a> {
    target: &'a dyn Target,
    module: &'a Module,
    layouts: &'a Layouts,
    offsets: &'a Offsets,
    references: FxHashMap<&'static str, Vec<u64>>,
}

impl Finder<'_> {
    fn find(&self) -> Result<Globals, GoError> {
        let mut provenance = Vec::new();
        let (allgptr, allglen) = match self.goroutines_from_code() {
            Some(code) => {
                let confirmed = if self.stands_in_data(code.0) { "confirmed" } else { "not confirmed" };
                provenance.push(format!("goroutine list: code of forEachGRace, {confirmed} in the data"));
                code
            }
            None => {
                let slice = self.slice_of_goroutines().ok_or_else(|| self.not_found())?;
                provenance.push("goroutine list: a slice in the data".to_owned());
                slice
            }
        };
        let globals = Globals {
            allgptr,
            allglen,
            allp: self.allp(),
            allm: self.allm(),
            sched: self.sched(),
            semtable: self.semtable(),
            memstats: self.vote("mstats", &["runtime.gcMarkTermination"], &["numgc", "pause_ns"], 5),
            gc_controller: self.gc_controller(),
            wait_reasons: self.wait_reasons(),
            provenance: Vec::new(),
        };
        let others = [
            ("processors", globals.allp),
            ("threads", globals.allm),
            ("scheduler", globals.sched),
            ("semaphores", globals.semtable),
            ("memory statistics", globals.memstats),
            ("collector", globals.gc_controller),
            ("wait reasons", globals.wait_reasons),
        ];
        let list = |found: bool| {
            others
                .iter()
                .filter(|(_, a)| a.is_some() == found)
                .map(|(n, _)| *n)
                .collect::<Vec<_>>()
                .join(", ")
        };
        provenance.push(format!("from the code: {}", list(true)));
        if others.iter().any(|(_, address)| address.is_none()) {
            provenance.push(format!("not found: {}", list(false)));
        }
        Ok(Globals { provenance, ..globals })
    }

    fn not_found(&self) -> GoError {
        // Before the scheduler starts there is no goroutine to find.
        let started = self.target.read_u64(self.module.data.bss.start).is_ok();
        match self.references.is_empty() && started {
            true => GoError::NotFound {
                what: "the list of goroutines (runtime.allgs)",
                tried: "no symbol, no runtime function that refers to it, nothing like it in the data".into(),
            },
            false => GoError::NotFound {
                what: "the list of goroutines (runtime.allgs)",
                tried: "no symbol; runtime.forEachGRace refers to no list of goroutines; nothing \
                        like it in the data (a program that has only just started has none yet)"
                    .into(),
            },
        }
    }

    fn refs(&self, function: &str) -> &[u64] {
        self.references.get(function).map_or(&[], Vec::as_slice)
    }

    /// (allgptr, allglen): what `forEachGRace` loads.
    fn goroutines_from_code(&self) -> Option<(u64, u64)> {
        let refs = self.refs("runtime.forEachGRace");
        let mut pairs = refs.iter().flat_map(|a| refs.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b);
        pairs.find(|&(ptr, len)| list::check(self.target, self.offsets, ptr, len))
    }

    /// Does the data contain, apart from `allgptr`, a slice with the array that it points to?
    ///
    /// That slice is `allgs`, which contains pointers and so is in `.bss`. Data without pointers
    /// (`.noptrbss`) may be huge and is not searched.
    fn stands_in_data(&self, allgptr: u64) -> bool {
        const MAX_BSS: u64 = 16 << 20;
        let Ok(array) = self.target.read_u64(allgptr) else { return false };
        let needle = array.to_le_bytes();
        let bss = self.module.data.bss;
        let end = bss.start.saturating_add(bss.len().min(MAX_BSS));
        for (start, end) in self.target.present(bss.start, end) {
            let Ok(block) = self.target.read_vec(start, (end - start) as usize) else { return false };
            let hits = memmem::find_iter(&block, &needle).map(|at| start + at as u64);
            let mut slices = hits.filter(|&at| at % 8 == 0 && at != allgptr);
            let lengths =
                |at: u64| Some((self.target.read_u64(at + 8).ok()?, self.target.read_u64(at + 16).ok()?));
            if slices.any(|at| {
                lengths(at).is_some_and(|(len, cap)| len > 0 && len <= cap && cap < list::MAX_TASKS)
            }) {
                return true;
            }
        }
        false
    }

    /// Addresses of the pointer and the length of the slice `allgs`.
    fn slice_of_goroutines(&self) -> Option<(u64, u64)> {
        const MAX_DATA: u64 = 64 << 20;
        let data = &self.module.data;
        let mut parts: Vec<(u64, Vec<u64>)> = Vec::new();
        for span in [data.data, data.bss, data.noptrbss] {
            let end = span.start.saturating_add(span.len().min(MAX_DATA) & !7);
            for (start, end) in self.target.present(span.start, end) {
                let Ok(bytes) = self.target.read_vec(start, (end - start) as usize) else { continue };
                parts.push((start, words(&bytes).collect()));
            }
        }
        let mut count: FxHashMap<u64, u32> = FxHashMap::default();
        for value in parts.iter().flat_map(|(_, w)| w).filter(|v| **v != 0 && *v % 8 == 0) {
            *count.entry(*value).or_default() += 1;
        }
        for (start, words) in &parts {
            for (at, slice) in words.windows(3).enumerate() {
                let (array, len, cap) = (slice[0], slice[1], slice[2]);
                let plausible =
                    array != 0 && array % 8 == 0 && len > 0 && len <= cap && cap < list::MAX_TASKS;
                let address = start + 8 * at as u64;
                if plausible
                    && count.get(&array).is_some_and(|n| *n > 1)
                    && list::check(self.target, self.offsets, address, address + 8)
                {
                    return Some((address, address + 8));
                }
            }
        }
        None
    }

    /// The slice of Ps: each knows its own number.
    fn allp(&self) -> Option<u64> {
        let refs = self.refs("runtime.schedtrace");
        refs.iter().chain(self.refs("runtime.procresize")).copied().find(|&at| {
            let Ok(len) = self.target.read_u64(at + 8) else { return false };
            let Ok(array) = self.target.read_u64(at) else { return false };
            (1..=MAX_PS).contains(&len)
                && (0..len.min(8)).all(|i| {
                    let p = self.target.read_u64(array.wrapping_add(8 * i)).unwrap_or(0);
                    p != 0 && self.target.read_u32(p.wrapping_add(self.offsets.p_id)).ok() == Some(i as u32)
                })
        })
    }

    /// The list of Ms: each has a g0 that points back to it.
    fn allm(&self) -> Option<u64> {
        let refs = self.refs("runtime.schedtrace");
        refs.iter().chain(self.refs("runtime.mcommoninit")).copied().find(|&at| {
            let read = |address| self.target.read_u64(address).ok().filter(|v| *v != 0);
            read(at).is_some_and(|m| {
                read(m.wrapping_add(self.offsets.m_g0))
                    .is_some_and(|g0| read(g0.wrapping_add(self.offsets.g_m as u64)) == Some(m))
            })
        })
    }

    fn sched(&self) -> Option<u64> {
        let functions = ["runtime.schedtrace", "runtime.checkdead", "runtime.newproc1"];
        let sched = self.vote("schedt", &functions, &["goidgen", "nmidle"], 6)?;
        // The id generator comes first and has issued at least goroutine 1.
        let issued = self.target.read_u64(sched).ok()?;
        (1..1 << 56).contains(&issued).then_some(sched)
    }

    fn semtable(&self) -> Option<u64> {
        let both = self.refs("runtime.semacquire1");
        self.refs("runtime.semrelease1").iter().copied().find(|at| at % 8 == 0 && both.contains(at))
    }

    /// The receiver that four functions of the collector all pass.
    fn gc_controller(&self) -> Option<u64> {
        let (init, start) = (self.refs("runtime.gcinit"), self.refs("runtime.gcStart"));
        let commit = self.refs("runtime.gcControllerCommit");
        let bss = [self.module.data.noptrbss, self.module.data.bss, self.module.data.data];
        commit
            .iter()
            .copied()
            .filter(|at| init.contains(at) && bss.iter().any(|span| span.contains(*at)))
            .max_by_key(|at| (start.contains(at), commit.iter().filter(|other| *other == at).count()))
    }

    /// The array of strings that starts with "", "GC assist marking", "IO wait" in every version.
    fn wait_reasons(&self) -> Option<u64> {
        let refs = self.refs("runtime.waitReason.String").iter().chain(self.refs("runtime.goroutineheader"));
        refs.copied().find(|&at| super::names::string(self.target, at + 32, 64).as_deref() == Some("IO wait"))
    }

    /// The base of a struct whose fields some functions use: the address from which the most references are
    /// exactly its fields, `must` among them. At least `least` different references, and no tie.
    fn vote(&self, name: &str, functions: &[&str], must: &[&str], least: usize) -> Option<u64> {
        let fields = &self.layouts.get(name)?.fields;
        let must: Vec<u64> = must.iter().map(|f| fields.get(*f).map(|f| f.offset)).collect::<Option<_>>()?;
        let refs: BTreeSet<u64> = functions.iter().flat_map(|f| self.refs(f)).copied().collect();
        let offsets: BTreeSet<u64> = fields.values().map(|f| f.offset).collect();
        let mut votes: FxHashMap<u64, usize> = FxHashMap::default();
        for reference in &refs {
            for base in offsets.iter().filter_map(|offset| reference.checked_sub(*offset)) {
                if base % 8 == 0 && must.iter().all(|offset| refs.contains(&base.wrapping_add(*offset))) {
                    *votes.entry(base).or_default() += 1;
                }
            }
        }
        let (&base, &most) = votes.iter().max_by_key(|(_, n)| **n)?;
        let unique = votes.values().filter(|n| **n == most).count() == 1;
        (most >= least && unique).then_some(base)
    }
}
