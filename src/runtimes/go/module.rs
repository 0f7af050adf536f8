//! Finding the Go module in an ELF image: its `moduledata` and its line table.
//!
//! Source: `src/runtime/symtab.go` (`moduledata`, `pcHeader`) of Go 1.19 to 1.27.

use memchr::memmem;

use super::GoError;
use crate::symbols::pclntab::Pclntab;
use crate::target::{Image, Mapping, Memory, Target};

/// Bytes that start a line table on a little-endian 64-bit machine whose instructions are a byte
/// or more long: magic, two zeros, minimum instruction length 1, pointer size 8.
const PCLNTAB_MAGICS: [[u8; 8]; 2] =
    [[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8], [0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8]];

/// No line table is larger than this: the largest known binaries have some 300 MB.
const MAX_PCLNTAB: u64 = 1 << 30;
/// Bound on the read-only data that holds inlining trees.
const MAX_FUNCDATA: u64 = 512 << 20;
/// Bytes of `moduledata` that are looked at (it has 576 to 592).
const MODULEDATA_SIZE: usize = 592;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Span {
    pub(super) fn contains(self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    pub(super) fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// What `moduledata` says of a module, in addresses of the target.
#[derive(Debug, Clone)]
pub(super) struct ModuleData {
    /// Where it stands.
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

/// Where `types`, `etypes` and `gofunc` stand in `moduledata`, by Go version. The newest first:
/// the first variant whose values make sense is taken.
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
    target: &dyn Target,
    image: &Image,
    mappings: &[Mapping],
) -> Result<Option<Module>, GoError> {
    if !looks_like_go(image) {
        return Ok(None);
    }
    let own = own_mappings(image, mappings);
    let sections = image.sections().unwrap_or_default();
    let named: Vec<_> = sections.iter().filter(|s| s.name.ends_with(".gopclntab")).collect();
    let headers: Vec<u64> = if named.is_empty() {
        search_headers(target, &own)
    } else {
        named.iter().map(|s| s.address).collect()
    };
    let module_section = sections.iter().find(|s| s.name.ends_with(".go.module"));
    for header in headers {
        let found = module_section
            .and_then(|s| read_moduledata(target, s.address, header, &own).map(|m| (m, ".go.module")))
            .or_else(|| search_moduledata(target, header, &own).map(|m| (m, "a pointer to the line table")));
        let Some((data, how)) = found else { continue };
        let pclntab = read_pclntab(target, image, &data, &own)?;
        let how = if named.is_empty() { format!("{how}, line table by its magic") } else { how.to_owned() };
        return Ok(Some(Module { data, pclntab, found_by: how }));
    }
    Ok(None)
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

/// Addresses of line-table headers in the read-only and relocated data of an image.
fn search_headers(target: &dyn Target, own: &[Mapping]) -> Vec<u64> {
    let mut found = Vec::new();
    for_each_block(target, own.iter().filter(|m| m.read && !m.path.is_empty()), |base, bytes| {
        for magic in &PCLNTAB_MAGICS {
            found.extend(memmem::find_iter(bytes, magic).map(|at| base + at as u64));
        }
    });
    found.retain(|address| address % 8 == 0);
    found.truncate(64);
    found
}

/// Calls `with` for blocks of memory, each overlapping the next by 8 bytes.
fn for_each_block<'a>(
    target: &dyn Target,
    mappings: impl Iterator<Item = &'a Mapping>,
    mut with: impl FnMut(u64, &[u8]),
) {
    const BLOCK: u64 = 4 << 20;
    let mut buffer = vec![0; BLOCK as usize];
    for mapping in mappings {
        let mut at = mapping.start;
        while at < mapping.end {
            let len = (mapping.end - at).min(BLOCK);
            let block = &mut buffer[..len as usize];
            if target.read(at, block).is_ok() {
                with(at, block);
            }
            if len < BLOCK {
                break;
            }
            at += len - 8;
        }
    }
}

/// A word in the data of an image that points to the line table, and what stands there makes sense
/// as `moduledata`.
fn search_moduledata(target: &dyn Target, header: u64, own: &[Mapping]) -> Option<ModuleData> {
    let needle = header.to_le_bytes();
    // The linker writes it into the file: into writable data nearly always, into data that is
    // read-only once it has been relocated else. Memory without a file (.bss) comes last: it may be
    // huge, and looking at pages that the program has not touched makes the kernel set them up.
    type Kind = fn(&Mapping) -> bool;
    let kinds: [Kind; 3] =
        [|m| m.write && !m.path.is_empty(), |m| !m.write && !m.path.is_empty(), |m| m.path.is_empty()];
    for kind in kinds {
        for region in own.iter().filter(|m| m.read && !m.execute && kind(m)) {
            let mut candidates = Vec::new();
            for_each_block(target, std::iter::once(region), |base, bytes| {
                let hits = memmem::find_iter(bytes, &needle).map(|at| base + at as u64);
                candidates.extend(hits.filter(|at| at % 8 == 0));
            });
            let found = candidates.iter().find_map(|&at| read_moduledata(target, at, header, own));
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Reads `moduledata` at `address`; None where it makes no sense.
fn read_moduledata(memory: &dyn Memory, address: u64, header: u64, own: &[Mapping]) -> Option<ModuleData> {
    let mut bytes = [0; MODULEDATA_SIZE];
    memory.read(address, &mut bytes).ok()?;
    let span = |at: usize| Span { start: word(&bytes, at), end: word(&bytes, at + 8) };
    let mapped = |address: u64| own.iter().any(|m| (m.start..=m.end).contains(&address));
    let good = |s: Span| s.start <= s.end && mapped(s.start) && mapped(s.end);

    let text = span(176);
    let (minpc, maxpc) = (word(&bytes, 160), word(&bytes, 168));
    if word(&bytes, 0) != header || !good(text) || text.len() == 0 || minpc > maxpc {
        return None;
    }
    if !text.contains(minpc) || maxpc > text.end {
        return None;
    }
    // The slices funcnametab, cutab, filetab, pctab, pclntable: the table ends where the last one does.
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
    let table = Pclntab::parse(table, data.text.start, Vec::new())
        .map_err(|e| GoError::Malformed(format!("line table: {e}")))?;
    // Inlining trees stand behind `gofunc`; how far is known only from the functions.
    let mapping = own.iter().find(|m| (m.start..m.end).contains(&data.gofunc));
    let end = (data.gofunc + (table.funcdata_hint() as u64).min(MAX_FUNCDATA))
        .min(mapping.map_or(data.gofunc, |m| m.end));
    let funcdata = read_static(target, image, Span { start: data.gofunc, end }, own)?;
    Ok(table.with_funcdata(funcdata))
}

/// Bytes that do not change while the program runs: from the file, so that the target's pages
/// need not be brought in, or else from memory.
pub(super) fn read_static(
    target: &dyn Target,
    image: &Image,
    span: Span,
    own: &[Mapping],
) -> Result<Vec<u8>, GoError> {
    let len = usize::try_from(span.len()).unwrap_or(usize::MAX);
    let inside = |m: &&Mapping| m.start <= span.start && span.end <= m.end && !m.path.is_empty();
    if let Some(mapping) = own.iter().find(inside) {
        let offset = mapping.offset + (span.start - mapping.start);
        if let Ok(bytes) = image.file.read_at(offset, len)
            && bytes.len() == len
        {
            return Ok(bytes);
        }
    }
    Ok(target.read_vec(span.start, len)?)
}
