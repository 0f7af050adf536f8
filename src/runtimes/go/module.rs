//! Finding the Go module in an ELF image: its `moduledata` and its line table.
//!
//! Source: `src/runtime/symtab.go` (`moduledata`, `pcHeader`) of Go 1.19 to 1.27.

use memchr::memmem;

use super::GoError;
use super::search::{Parts, Search};
use super::span::Span;
use crate::process::bytes::{word, words};
use crate::process::{Image, Mapping, Memory, Segment, Target};
use crate::symbols::pclntab::Pclntab;

/// Bytes that start a line table on a little-endian 64-bit machine whose instructions are a byte
/// or more long: magic, two zeros, minimum instruction length 1, pointer size 8.
const PCLNTAB_MAGICS: [[u8; 8]; 2] =
    [[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8], [0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8]];

/// No line table is larger than this: the largest known binaries have some 300 MB.
const MAX_PCLNTAB: u64 = 512 << 20;
/// Bound on the read-only data that holds inlining trees.
const MAX_FUNCDATA: u64 = 256 << 20;
/// Line tables tried in one image.
const MAX_HEADERS: usize = 64;
/// Places tried for `moduledata` in one image.
const MAX_CANDIDATES: usize = 4096;
/// Bytes of `moduledata` that are read (it has 576 to 592).
const MODULEDATA_SIZE: usize = 592;

/// What `moduledata` says of a module, in addresses of the target.
#[derive(Debug, Clone)]
pub(super) struct ModuleData {
    /// Its address.
    pub(super) address: u64,
    pub(super) text: Span,
    pub(super) noptrdata: Span,
    pub(super) data: Span,
    pub(super) bss: Span,
    pub(super) noptrbss: Span,
    pub(super) types: Span,
    pub(super) gofunc: u64,
    pclntab: Span,
}

/// A Go module found in an image.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) data: ModuleData,
    pub(super) pclntab: Pclntab,
    /// How it was found, for `-v`.
    pub(super) found_by: String,
}

/// Where `types`, `etypes` and `gofunc` are in `moduledata`, by Go version, newest first: the first variant
/// whose values make sense is taken.
const VARIANTS: [(&str, usize, usize, usize); 3] =
    [("1.27", 296, 312, 344), ("1.20 to 1.26", 296, 304, 320), ("1.19", 280, 288, 304)];

/// Is there a Go line table in this image? Cheap: section names only, unless there are none.
pub(super) fn looks_like_go(image: &Image) -> bool {
    match image.sections() {
        Ok(sections) if !sections.is_empty() => sections.iter().any(|s| {
            s.name.ends_with(".gopclntab") || s.name == ".go.buildinfo" || s.name == ".note.go.buildid"
        }),
        _ => true,
    }
}

/// Finds the Go module of an image.
///
/// `Ok(None)` where the image is not Go's.
pub(super) fn find(
    search: &mut Search<'_>,
    image: &Image,
    mappings: &[Mapping],
) -> Result<Option<Module>, GoError> {
    if !looks_like_go(image) {
        return Ok(None);
    }
    let target = search.target;
    let own = own_mappings(image, mappings);
    let segments = image.segments().unwrap_or_default();
    let sections = image.sections().unwrap_or_default();
    let named: Vec<_> = sections.iter().filter(|s| s.name.ends_with(".gopclntab")).collect();
    let headers: Vec<u64> = if named.is_empty() {
        search_headers(search, image, &segments)
    } else {
        named.iter().take(MAX_HEADERS).map(|s| s.address).collect()
    };
    let module_section = sections.iter().find(|s| s.name.ends_with(".go.module"));
    let in_section =
        |header: &u64| module_section.and_then(|s| read_moduledata(target, s.address, *header, &own));
    let found = (headers.iter().find_map(in_section).map(|data| (data, ".go.module"))).or_else(|| {
        let data = search_moduledata(search, &headers, &Parts::of(&segments, &own), &own)?;
        Some((data, "a pointer to the line table"))
    });
    let Some((data, how)) = found else { return nothing(search, !named.is_empty()) };
    let pclntab = read_pclntab(target, image, &data, &own)?;
    let how = if named.is_empty() { format!("{how}, line table by its magic") } else { how.to_owned() };
    Ok(Some(Module { data, pclntab, found_by: how }))
}

/// What it means that nothing was found: the image is not Go's, unless it was not searched whole.
fn nothing(search: &Search<'_>, has_line_table: bool) -> Result<Option<Module>, GoError> {
    let cut = search.target.core_extent().is_some_and(|extent| extent.missing > 0);
    let tried = match (search.gave_up(), has_line_table, cut) {
        (true, ..) => {
            "the process claims to have more data than loiter searches, or much of it cannot be read"
        }
        (_, true, true) => "the core file is cut, and the memory of its data is missing",
        _ => return Ok(None),
    };
    Err(GoError::NotFound { what: "the module data of Go", tried: tried.to_owned() })
}

/// The mappings that belong to an image: those of its file, and the anonymous ones (.bss) that
/// follow them directly.
fn own_mappings(image: &Image, mappings: &[Mapping]) -> Vec<Mapping> {
    let mut own: Vec<Mapping> = Vec::new();
    for mapping in mappings {
        let follows = own.last().is_some_and(|last| {
            last.end == mapping.start && mapping.path.is_empty() && mapping.write && mapping.read
        });
        if mapping.is_of(image) || follows {
            own.push(mapping.clone());
        }
    }
    own
}

/// Addresses of line-table headers in an image: the file holds them as memory does.
fn search_headers(search: &mut Search<'_>, image: &Image, segments: &[Segment]) -> Vec<u64> {
    let mut found = Vec::new();
    search.file(image, segments, &mut |base, bytes| {
        for magic in &PCLNTAB_MAGICS {
            let hits = memmem::find_iter(bytes, magic).map(|at| base.wrapping_add(at as u64));
            let aligned = hits.filter(|address| address % 8 == 0);
            found.extend(aligned.take(MAX_HEADERS.saturating_sub(found.len())));
        }
        found.len() >= MAX_HEADERS
    });
    found.sort_unstable();
    found.dedup();
    found
}

/// Finds a word in an image's data that points to a line table and begins a plausible `moduledata`.
fn search_moduledata(
    search: &mut Search<'_>,
    headers: &[u64],
    parts: &Parts,
    own: &[Mapping],
) -> Option<ModuleData> {
    let (first, last) = (*headers.iter().min()?, *headers.iter().max()?);
    let target = search.target;
    let mut tried = 0;
    // The linker writes it into the file: nearly always into writable data, else into data that becomes
    // read-only after relocation. Memory without a file (.bss) comes last: it may be huge.
    for spans in [&parts.data, &parts.constants, &parts.bss] {
        let mut found = None;
        search.memory(spans, &mut |base, bytes| {
            let skip = (base.wrapping_neg() % 8) as usize;
            let base = base.wrapping_add(skip as u64);
            for (nth, word) in words(bytes.get(skip..).unwrap_or_default()).enumerate() {
                if (first..=last).contains(&word) && headers.contains(&word) {
                    let address = base.wrapping_add(8 * nth as u64);
                    found = read_moduledata(target, address, word, own);
                    tried += 1;
                }
                if found.is_some() || tried >= MAX_CANDIDATES {
                    return true;
                }
            }
            false
        });
        if found.is_some() || tried >= MAX_CANDIDATES {
            return found;
        }
    }
    None
}

/// Reads `moduledata` at `address`; None where it makes no sense.
fn read_moduledata(memory: &dyn Memory, address: u64, header: u64, own: &[Mapping]) -> Option<ModuleData> {
    let mut bytes = [0; MODULEDATA_SIZE];
    memory.read(address, &mut bytes).ok()?;
    let span = |at: usize| Span { start: word(&bytes, at), end: word(&bytes, at + 8) };
    let mapped = |address: u64| {
        let behind = own.partition_point(|m| m.start <= address);
        behind.checked_sub(1).and_then(|at| own.get(at)).is_some_and(|m| address <= m.end)
    };
    let good = |s: Span| s.start <= s.end && mapped(s.start) && mapped(s.end);

    let text = span(176);
    let (minpc, maxpc) = (word(&bytes, 160), word(&bytes, 168));
    if word(&bytes, 0) != header || !good(text) || text.len() == 0 || minpc > maxpc {
        return None;
    }
    if !text.contains(minpc) || maxpc > text.end {
        return None;
    }
    // The slices funcnametab, cutab, filetab, pctab, pclntable: the table ends where the last slice does.
    let mut end = header;
    for (at, size) in [(8, 1), (32, 4), (56, 1), (80, 1), (104, 1)] {
        let (start, len) = (word(&bytes, at), word(&bytes, at + 8));
        end = end.max(start.checked_add(len.checked_mul(size)?)?);
    }
    // ftab has one entry of 8 bytes more than its length says, for the end of the text.
    end = end.max(word(&bytes, 128).checked_add(word(&bytes, 136).checked_mul(8)?)?);
    if end - header > MAX_PCLNTAB || !mapped(end) {
        return None;
    }
    let (_, types, etypes, gofunc) = *VARIANTS.iter().find(|(_, types, etypes, gofunc)| {
        let types = Span { start: word(&bytes, *types), end: word(&bytes, *etypes) };
        let gofunc = word(&bytes, *gofunc);
        good(types) && types.len() > 0 && mapped(gofunc) && !text.contains(gofunc)
    })?;
    Some(ModuleData {
        address,
        text,
        noptrdata: span(192),
        data: span(208),
        bss: span(224),
        noptrbss: span(240),
        types: Span { start: word(&bytes, types), end: word(&bytes, etypes) },
        gofunc: word(&bytes, gofunc),
        pclntab: Span { start: header, end },
    })
    .filter(|m| [m.noptrdata, m.data, m.bss, m.noptrbss].into_iter().all(good))
}

fn read_pclntab(
    target: &dyn Target,
    image: &Image,
    data: &ModuleData,
    own: &[Mapping],
) -> Result<Pclntab, GoError> {
    let table = read_static(target, image, data.pclntab, own)?;
    let table = Pclntab::parse(table, data.text.start, Vec::new())?;
    // Inlining trees follow `gofunc`; only the functions tell how far they reach.
    let mapping = own.iter().find(|m| (m.start..m.end).contains(&data.gofunc));
    let end = data
        .gofunc
        .saturating_add((table.funcdata_hint() as u64).min(MAX_FUNCDATA))
        .min(mapping.map_or(data.gofunc, |m| m.end));
    let funcdata = read_static(target, image, Span { start: data.gofunc, end }, own)?;
    Ok(table.with_funcdata(funcdata))
}

/// Bytes that do not change while the program runs: from the file, so that the target's pages need not be
/// loaded, or else from memory.
pub(super) fn read_static(
    target: &dyn Target,
    image: &Image,
    span: Span,
    own: &[Mapping],
) -> Result<Vec<u8>, GoError> {
    match from_file(image, span, own) {
        Some(bytes) => Ok(bytes),
        None => Ok(target.read_vec(span.start, usize::try_from(span.len()).unwrap_or(usize::MAX))?),
    }
}

/// The same for bytes that were relocated when the program started: pages present in memory come from memory.
pub(super) fn read_relocated(
    target: &dyn Target,
    image: &Image,
    span: Span,
    own: &[Mapping],
) -> Result<Vec<u8>, GoError> {
    let live = !target.is_static();
    let Some(mut bytes) = from_file(image, span, own).filter(|_| live) else {
        return Ok(target.read_vec(span.start, usize::try_from(span.len()).unwrap_or(usize::MAX))?);
    };
    for (start, end) in target.present(span.start, span.end) {
        let at = usize::try_from(start.saturating_sub(span.start)).unwrap_or(usize::MAX);
        let len = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let Some(part) = bytes.get_mut(at..).and_then(|bytes| bytes.get_mut(..len)) else { continue };
        target.read(start, part)?;
    }
    Ok(bytes)
}

/// The bytes of a span from the image's file, if one of its mappings has all of it.
fn from_file(image: &Image, span: Span, own: &[Mapping]) -> Option<Vec<u8>> {
    let inside = |m: &&Mapping| m.start <= span.start && span.end <= m.end && !m.path.is_empty();
    let mapping = own.iter().find(inside)?;
    let offset = mapping.offset.checked_add(span.start - mapping.start)?;
    image.file.read_at(offset, usize::try_from(span.len()).ok()?).ok()
}
