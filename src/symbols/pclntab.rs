//! Go's own line tables (the pclntab), Go 1.18 and later, which every Go binary carries, stripped or not:
//! functions, frame sizes, files, lines and inlined calls of every code address.
//!
//! The format is described by `runtime/symtab.go`, `runtime/symtabinl.go`, `internal/abi/symtab.go` and
//! `cmd/link/internal/ld/pcln.go` of the Go sources. It has changed twice since 1.18: 1.20 added the start
//! line and shortened inline records from 20 to 16 bytes, and 1.26 stopped storing the start of text.
//!
//! Which address to look up: a return address belongs to the instruction *after* the call, which may be on
//! another line or in another function, so look up the return address minus one. Look up the pc of a running
//! or interrupted frame as it is. Pass the same address to [`Func::sp_delta`].
//!
//! The bytes are hostile: whatever they contain, lookups end and nothing panics.

use std::ops::Range;
use std::sync::OnceLock;

use memchr::memchr;
use rustc_hash::FxHashMap;

use crate::formats::go_names::TypeArguments;
use crate::process::bytes::{u32_at, u64_at};

mod func;
mod func_id;
mod inline;
mod pcvalue;

pub use func::Func;
pub use func_id::{FuncId, FuncKind};
#[cfg(feature = "test-support")]
pub use inline::InlineFrame;

use func_id::Kinds;

const MAGIC_1_18: u32 = 0xffff_fff0;
const MAGIC_1_20: u32 = 0xffff_fff1;

/// Bytes of the header, on a 64-bit machine.
const HEADER: usize = 72;

/// Text covered by one entry of the lookup index, as a power of two.
const BUCKET_BITS: u32 = 12;

/// No name or path of a table is longer; longer ones are cut.
const MAX_STRING: usize = 1 << 16;

/// Why a line table could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PclntabError {
    /// The bytes do not start with a known line table.
    #[error("not a Go line table, or one of an unknown format (magic {magic:#010x})")]
    Magic {
        /// The first four bytes.
        magic: u32,
    },
    /// It is for a machine that is not supported.
    #[error("a line table for {pointer_size}-byte pointers and {quantum}-byte instructions")]
    Machine {
        /// Bytes of a pointer.
        pointer_size: u8,
        /// Smallest size of an instruction, bytes.
        quantum: u8,
    },
    /// The table has fewer bytes than its header declares.
    #[error("the line table is cut short or damaged: {what}")]
    Truncated {
        /// Which part.
        what: &'static str,
    },
    /// Its functions are not in the order of their addresses.
    #[error("the line table's functions are out of order (at number {index})")]
    Unsorted {
        /// The first function that comes after a later one.
        index: usize,
    },
}

/// The format of a table, which gives some information about the version of Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Go 1.18 and 1.19.
    Go118,
    /// Go 1.20 and later.
    Go120,
}

/// A Go line table.
pub struct Pclntab {
    bytes: Vec<u8>,
    funcdata: Vec<u8>,
    text: u64,
    format: Format,
    /// The factor of pc deltas: 1 on x86, 4 on arm64.
    quantum: u32,
    count: usize,
    names: Range<usize>,
    units: Range<usize>,
    files: Range<usize>,
    pctab: Range<usize>,
    /// The functions, preceded by their index.
    functions: Range<usize>,
    /// For every 4 KiB of text, the function at its start.
    buckets: Box<[u32]>,
    type_arguments: TypeArguments,
    kinds: OnceLock<Kinds>,
}

impl std::fmt::Debug for Pclntab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pclntab")
            .field("format", &self.format)
            .field("text", &self.text)
            .field("functions", &self.count)
            .field("bytes", &self.bytes.len())
            .field("funcdata", &self.funcdata.len())
            .finish_non_exhaustive()
    }
}

impl Pclntab {
    /// Reads a table. `bytes` start at its header and may extend beyond its end. `text` is the run-time
    /// address of the start of Go's text (`moduledata.text`). `funcdata` are the bytes that start at
    /// `moduledata.gofunc`. Inlined calls are found as far as these bytes reach ([`Pclntab::funcdata_hint`]
    /// says how far is useful), so they may be empty.
    ///
    /// # Errors
    /// If the bytes are not a table of a known format, or incomplete.
    pub fn parse(bytes: Vec<u8>, text: u64, funcdata: Vec<u8>) -> Result<Self, PclntabError> {
        let format = match u32_at(&bytes, 0) {
            Some(MAGIC_1_18) => Format::Go118,
            Some(MAGIC_1_20) => Format::Go120,
            magic => return Err(PclntabError::Magic { magic: magic.unwrap_or(0) }),
        };
        let header = bytes.get(..HEADER).ok_or(PclntabError::Truncated { what: "header" })?;
        let (quantum, pointer_size) = (header[6], header[7]);
        if pointer_size != 8 || !matches!(quantum, 1 | 2 | 4) {
            return Err(PclntabError::Machine { pointer_size, quantum });
        }
        let word = |index: usize| u64_at(header, 8 + index * 8).unwrap_or(u64::MAX);
        // 0 is the number of functions, 1 of files, 2 the start of text (0 from 1.26 on).
        let mut sections = [0; 6];
        for (index, what) in ["names", "units", "files", "tables", "functions"].into_iter().enumerate() {
            sections[index] = usize::try_from(word(3 + index))
                .ok()
                .filter(|&at| at <= bytes.len() && index.checked_sub(1).is_none_or(|p| sections[p] <= at))
                .ok_or(PclntabError::Truncated { what })?;
        }
        sections[5] = bytes.len();
        let count = usize::try_from(word(0))
            .ok()
            .filter(|&count| count < u32::MAX as usize && count * 8 + 4 <= sections[5] - sections[4])
            .ok_or(PclntabError::Truncated { what: "index of functions" })?;
        let mut table = Pclntab {
            funcdata,
            text,
            format,
            quantum: u32::from(quantum),
            count,
            names: sections[0]..sections[1],
            units: sections[1]..sections[2],
            files: sections[2]..sections[3],
            pctab: sections[3]..sections[4],
            functions: sections[4]..sections[5],
            bytes,
            buckets: Box::default(),
            type_arguments: TypeArguments::default(),
            kinds: OnceLock::new(),
        };
        table.buckets = table.index()?;
        Ok(table)
    }

    /// The same table with the bytes at `moduledata.gofunc`, for callers that first ask
    /// [`Pclntab::funcdata_hint`] how many to read.
    #[must_use]
    pub fn with_funcdata(mut self, funcdata: Vec<u8>) -> Self {
        self.funcdata = funcdata;
        self
    }

    /// The same table, printing names as Go 1.`minor` does; the table itself does not record the version. The
    /// default is the newest style.
    #[must_use]
    pub fn for_go(mut self, minor: u32) -> Self {
        self.type_arguments = if minor < 27 { TypeArguments::OneGroup } else { TypeArguments::TwoGroups };
        self
    }

    /// Its format.
    #[cfg(any(test, feature = "test-support"))]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Number of functions.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no functions.
    #[cfg(any(test, feature = "test-support"))]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The addresses from the first function to the end of the last.
    #[cfg(any(test, feature = "test-support"))]
    pub fn text_range(&self) -> Range<u64> {
        let at = |index| self.text.wrapping_add(self.entry(index).into());
        at(0)..at(self.count)
    }

    /// About how many bytes from `moduledata.gofunc` hold all inlined calls: the start of the last inline
    /// tree and room for 4,096 records. 0 if nothing is inlined.
    pub fn funcdata_hint(&self) -> usize {
        let last = self.functions().filter_map(|f| f.funcdata_offset(func::INLINE_TREE)).max();
        last.map_or(0, |last| last as usize + 4096 * 20)
    }

    /// The function whose code contains `pc`: None outside Go's text and in a gap between two of its
    /// sections. Padding, and C code that was linked in between, counts as the function before it;
    /// [`Func::covers`] distinguishes them.
    pub fn find(&self, pc: u64) -> Option<Func<'_>> {
        let offset = u32::try_from(pc.checked_sub(self.text)?).ok()?;
        let first = self.entry(0);
        if offset < first || offset >= self.entry(self.count) {
            return None;
        }
        let bucket = ((offset - first) >> BUCKET_BITS) as usize;
        let mut low = *self.buckets.get(bucket)? as usize;
        let mut high = self.buckets.get(bucket + 1).map_or(self.count, |&next| next as usize + 1);
        // The last function that starts at or before the offset is in low..high.
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if self.entry(middle) <= offset {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.func(low)
    }

    /// Every function, in the order of their addresses.
    pub fn functions(&self) -> impl Iterator<Item = Func<'_>> {
        (0..self.count).filter_map(|index| self.func(index))
    }

    /// The function of this name, spelled as in the table.
    pub fn by_name(&self, name: &str) -> Option<Func<'_>> {
        self.by_names(&[name]).pop().flatten()
    }

    /// The functions of these names, in one pass over the table. The first one, if several functions share a name.
    pub fn by_names(&self, names: &[&str]) -> Vec<Option<Func<'_>>> {
        let mut found = vec![None; names.len()];
        let Some(&first) = names.first() else { return found };
        // Nearly every name is distinguished by its first bytes, without a search for its end.
        let prefix = names.iter().fold(first.as_bytes(), |prefix, name| {
            let same = prefix.iter().zip(name.as_bytes()).take_while(|(a, b)| a == b).count();
            &prefix[..same]
        });
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let mut wanted: FxHashMap<&[u8], Vec<usize>> = FxHashMap::default();
        for (index, name) in names.iter().enumerate() {
            wanted.entry(name.as_bytes()).or_default().push(index);
        }
        let table = &self.bytes[self.names.clone()];
        for index in 0..self.count {
            let Some(name) = self.name_offset(index).and_then(|at| table.get(at..)) else { continue };
            if !name.starts_with(prefix) {
                continue;
            }
            let Some(end) = memchr(0, &name[..name.len().min(longest + 1)]) else { continue };
            if let Some(places) = wanted.remove(&name[..end]) {
                let func = self.func(index);
                places.into_iter().for_each(|place| found[place] = func);
                if wanted.is_empty() {
                    break;
                }
            }
        }
        found
    }

    /// The meaning of a raw function id in this table. The numbers moved in 1.22 and 1.25, so they are
    /// learned from the functions that have one.
    pub fn kind(&self, id: FuncId) -> FuncKind {
        self.kinds.get_or_init(|| Kinds::learn(self)).kind(id)
    }

    /// Checks the order of the functions and builds the index.
    fn index(&self) -> Result<Box<[u32]>, PclntabError> {
        let first = self.entry(0);
        let mut buckets = Vec::new();
        let mut previous = first;
        for index in 0..self.count {
            let (entry, next) = (self.entry(index), self.entry(index + 1));
            if entry < previous || next < entry {
                return Err(PclntabError::Unsorted { index });
            }
            previous = entry;
            // Every bucket that starts within this function.
            let last = u64::from(next - first).div_ceil(1 << BUCKET_BITS) as usize;
            buckets.resize(last.max(buckets.len()), index as u32);
        }
        Ok(buckets.into_boxed_slice())
    }

    /// Where function `index` starts, as an offset from the start of text; for `count`, the end of the last
    /// function.
    fn entry(&self, index: usize) -> u32 {
        u32_at(&self.bytes, self.functions.start + index * 8).unwrap_or(0)
    }

    /// The position of the record of function `index` in the bytes.
    fn record(&self, index: usize) -> Option<usize> {
        let offset = u32_at(&self.bytes, self.functions.start + index * 8 + 4)?;
        // The linker marks the gap between two text sections with a function record at 0.
        (offset != 0).then(|| self.functions.start + offset as usize)
    }

    fn name_offset(&self, index: usize) -> Option<usize> {
        usize::try_from(u32_at(&self.bytes, self.record(index)? + 4)?).ok()
    }

    fn func(&self, index: usize) -> Option<Func<'_>> {
        Func::new(self, index)
    }

    /// The string at an offset in the table of names.
    fn name_at(&self, offset: u32) -> &[u8] {
        // The runtime treats offset 0 as no name, and so has none for the first function in the table.
        string_at(&self.bytes[self.names.clone()], offset)
    }
}

/// A string of a table, up to its NUL; empty if there is none.
fn string_at(table: &[u8], offset: u32) -> &[u8] {
    let Some(rest) = table.get(offset as usize..) else { return &[] };
    let rest = &rest[..rest.len().min(MAX_STRING)];
    &rest[..memchr(0, rest).unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests;
