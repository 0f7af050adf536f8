//! ELF headers of an image, read with a bound on every count. 64-bit little-endian files only: other files
//! mapped into a process of this machine are not code that runs in it.

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::pod::{Pod, from_bytes, slice_from_bytes};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::read::{CompressedData, CompressionFormat};
use object::{LittleEndian as Le, U32};

use super::image_file::ImageFile;
use super::{Image, Result};

/// Program headers read at most of a core file. `PN_XNUM` (65,535) means "more than that", as in core files
/// of processes with very many mappings.
const MAX_SEGMENTS: u64 = 1 << 20;
/// The same for a program: the kernel runs none with more than 64 KiB of them.
const MAX_SEGMENTS_OF_PROGRAM: u64 = 1170;
/// Sections read at most.
const MAX_SECTIONS: u64 = 1 << 16;
/// The table of section names is cut at this length.
const MAX_SECTION_NAMES: u64 = 16 << 20;
/// The name of a section is cut at this length.
const MAX_SECTION_NAME: usize = 256;
/// Longest name of a symbol that is read.
pub(super) const MAX_NAME: usize = 16 << 10;
/// Bytes of notes read from one file.
const MAX_NOTES: u64 = 1 << 20;
/// Notes read at most.
const MAX_NOTE_COUNT: usize = 1 << 20;
/// A string table longer than this is cut.
const MAX_STRINGS: u64 = 512 << 20;
/// Symbols read at most.
pub(super) const MAX_SYMBOLS: u64 = 8 << 20;
/// The names of all symbols together may be this many times as long as their table: symbols may share a name,
/// but not all of them a long one.
const MAX_SHARING: u64 = 8;
/// The limit on all symbol names together is at least this, bytes.
const LEAST_NAMES: u64 = 64 << 20;

/// A program header of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`: 1 is PT_LOAD.
    pub kind: u32,
    /// `p_flags`: 1 execute, 2 write, 4 read.
    pub flags: u32,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Address in the target.
    pub address: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub memory_size: u64,
}

/// A section of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name: ".text".
    pub name: String,
    /// Address in the target. 0 for a section that is not loaded, such as debug information.
    pub address: u64,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Bytes in memory; in the file too, unless `kind` is 8 (SHT_NOBITS).
    pub size: u64,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`: 1 write, 2 loaded, 4 execute, 0x800 compressed.
    pub flags: u64,
    link: u32,
}

impl Section {
    /// Whether it is part of the program in memory (`SHF_ALLOC`).
    pub fn is_loaded(&self) -> bool {
        self.flags & elf::SHF_ALLOC.0 != 0
    }

    /// Whether the file holds bytes for it. A file with separate debug information has empty sections for code, and
    /// the other way round.
    pub fn has_bytes(&self) -> bool {
        self.kind != elf::SHT_NOBITS.0 && self.size > 0
    }
}

/// A symbol of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Its name. Symbols whose names are not UTF-8 are left out.
    pub name: &'a str,
    /// Address in the target.
    pub address: u64,
    /// Bytes; 0 where the file does not say.
    pub size: u64,
    /// `STT_*`: 1 object, 2 function.
    pub kind: u8,
}

/// The symbol table of an image, read whole.
#[derive(Debug, Default)]
pub struct Symbols {
    table: Vec<u8>,
    strings: Vec<u8>,
    bias: u64,
}

impl Symbols {
    fn raw(&self) -> &[elf::Sym64<Le>] {
        let count = self.table.len() / size_of::<elf::Sym64<Le>>();
        slice_from_bytes::<elf::Sym64<Le>>(&self.table, count).map_or(&[][..], |(all, _)| all)
    }

    /// The defined symbols that have a name.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        let mut budget = (self.strings.len() as u64).saturating_mul(MAX_SHARING).max(LEAST_NAMES);
        let named = self.raw().iter().map_while(move |raw| {
            let symbol = self.symbol(raw);
            // Finding that a symbol has no name costs a search for the name's end.
            let cost = symbol.map_or(MAX_NAME.min(self.strings.len()), |symbol| symbol.name.len());
            let is_nameless = raw.st_name.get(Le) == 0 || raw.st_shndx.get(Le) == elf::SHN_UNDEF;
            let is_free = symbol.is_none() && is_nameless;
            budget = budget.checked_sub(if is_free { 0 } else { cost as u64 })?;
            Some(symbol)
        });
        named.flatten()
    }

    /// The number of entries, including nameless and undefined ones.
    pub fn len(&self) -> usize {
        self.raw().len()
    }

    /// The symbol of an entry, if it is defined and has a name.
    pub fn get(&self, index: usize) -> Option<Symbol<'_>> {
        self.symbol(self.raw().get(index)?)
    }

    fn symbol(&self, symbol: &elf::Sym64<Le>) -> Option<Symbol<'_>> {
        if symbol.st_shndx.get(Le) == elf::SHN_UNDEF {
            return None;
        }
        let name = string(&self.strings, symbol.st_name.get(Le), MAX_NAME)?;
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        let address = symbol.st_value.get(Le).wrapping_add(self.bias);
        Some(Symbol { name, address, size: symbol.st_size.get(Le), kind: symbol.st_info.0 & 0xf })
    }

    /// The first symbol of that name.
    pub fn find(&self, name: &str) -> Option<Symbol<'_>> {
        self.iter().find(|symbol| symbol.name == name)
    }

    /// Whether it has no entries at all.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// The headers of one ELF file, addresses as in the file.
#[derive(Debug)]
pub(super) struct Headers {
    pub(super) header: FileHeader64<Le>,
    pub(super) segments: Vec<Segment>,
}

impl Headers {
    /// Reads the file header and the program headers.
    pub(super) fn read(file: &ImageFile) -> Result<Headers> {
        let bytes = file.read_at(0, size_of::<FileHeader64<Le>>())?;
        let header = *record::<FileHeader64<Le>>(&bytes).ok_or_else(|| file.malformed("is too short"))?;
        if !header.e_ident.magic.eq(&elf::ELFMAG) {
            return Err(file.malformed("is not an ELF file"));
        }
        if !header.is_class_64() || !header.is_little_endian() {
            return Err(file.malformed("is not a 64-bit little-endian ELF file"));
        }
        let segments = read_segments(file, &header)?;
        Ok(Headers { header, segments })
    }

    /// The PT_LOAD segments.
    pub(super) fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD.0)
    }

    /// The notes of all PT_NOTE segments, each up to the first malformed note; `max` bytes in total.
    pub(super) fn notes(&self, file: &ImageFile, max: u64) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut left = max;
        for segment in self.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE.0) {
            let len = segment.file_size.min(left);
            let Some(len) = file.room(segment.offset, len).filter(|len| *len > 0) else { continue };
            left -= len as u64;
            if let Ok(bytes) = file.read_at(segment.offset, len) {
                parse_notes(&bytes, &mut notes);
            }
        }
        notes
    }
}

fn record<T: Pod>(bytes: &[u8]) -> Option<&T> {
    from_bytes(bytes).ok().map(|(record, _)| record)
}

/// Reads `count` records of a table, or an error if the file is too short for them.
fn table<T: Pod>(file: &ImageFile, what: &str, offset: u64, count: u64, max: u64) -> Result<Vec<T>> {
    if count > max {
        return Err(file.malformed(format!("has {count} {what}, too many to be true")));
    }
    let size = size_of::<T>() as u64;
    let len = usize::try_from(count.saturating_mul(size)).unwrap_or(usize::MAX);
    let bytes = file.read_at(offset, len)?;
    let records = slice_from_bytes::<T>(&bytes, usize::try_from(count).unwrap_or(usize::MAX));
    records.map(|(all, _)| all.to_vec()).map_err(|()| file.malformed(format!("has cut {what}")))
}

/// Section 0 holds the counts that do not fit into the file header.
fn section_0(file: &ImageFile, header: &FileHeader64<Le>) -> Option<SectionHeader64<Le>> {
    let offset = header.e_shoff.get(Le);
    if offset == 0 {
        return None;
    }
    table::<SectionHeader64<Le>>(file, "sections", offset, 1, 1).ok()?.first().copied()
}

fn read_segments(file: &ImageFile, header: &FileHeader64<Le>) -> Result<Vec<Segment>> {
    let mut count = u64::from(header.e_phnum.get(Le));
    if count == u64::from(elf::PN_XNUM) {
        count = section_0(file, header).map_or(count, |section| u64::from(section.sh_info.get(Le)));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    if usize::from(header.e_phentsize.get(Le)) != size_of::<ProgramHeader64<Le>>() {
        return Err(file.malformed("has program headers of an odd size"));
    }
    let most = if header.e_type.get(Le) == elf::ET_CORE { MAX_SEGMENTS } else { MAX_SEGMENTS_OF_PROGRAM };
    let raw: Vec<ProgramHeader64<Le>> = table(file, "program headers", header.e_phoff.get(Le), count, most)?;
    let segment = |raw: &ProgramHeader64<Le>| Segment {
        kind: raw.p_type(Le).0,
        flags: raw.p_flags(Le).0,
        offset: raw.p_offset.get(Le),
        address: raw.p_vaddr.get(Le),
        file_size: raw.p_filesz.get(Le),
        memory_size: raw.p_memsz.get(Le),
    };
    Ok(raw.iter().map(segment).collect())
}

fn read_sections(file: &ImageFile, header: &FileHeader64<Le>) -> Result<Vec<SectionHeader64<Le>>> {
    let offset = header.e_shoff.get(Le);
    if offset == 0 {
        return Ok(Vec::new());
    }
    if usize::from(header.e_shentsize.get(Le)) != size_of::<SectionHeader64<Le>>() {
        return Err(file.malformed("has section headers of an odd size"));
    }
    let mut count = u64::from(header.e_shnum.get(Le));
    if count == 0 {
        count = section_0(file, header).map_or(0, |section| section.sh_size.get(Le));
    }
    table(file, "sections", offset, count, MAX_SECTIONS)
}

/// The bytes of a string table up to the NUL, which must come within `max` bytes.
fn string(strings: &[u8], at: u32, max: usize) -> Option<&[u8]> {
    let tail = strings.get(usize::try_from(at).ok()?..)?;
    let tail = tail.get(..max).unwrap_or(tail);
    tail.get(..memchr::memchr(0, tail)?)
}

/// One note of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) name: Vec<u8>,
    pub(super) kind: u32,
    pub(super) data: Vec<u8>,
}

/// Parses notes (name and data padded to 4 bytes) until one is malformed.
pub(super) fn parse_notes(mut bytes: &[u8], into: &mut Vec<Note>) {
    fn take<'a>(bytes: &mut &'a [u8], len: u32) -> Option<&'a [u8]> {
        let len = usize::try_from(len).ok()?;
        let taken = bytes.get(..len)?;
        // The last note of a file may lack its padding.
        *bytes = bytes.get(len.checked_next_multiple_of(4)?..).unwrap_or(&[]);
        Some(taken)
    }
    while let Some((words, rest)) = bytes.split_first_chunk::<12>() {
        if into.len() >= MAX_NOTE_COUNT {
            return;
        }
        let word =
            |at: usize| record::<U32<Le>>(words.get(at..).unwrap_or(&[])).map_or(0, |word| word.get(Le));
        let (name_len, data_len, kind) = (word(0), word(4), word(8));
        bytes = rest;
        let Some(name) = take(&mut bytes, name_len) else { return };
        let Some(data) = take(&mut bytes, data_len) else { return };
        let name = name.strip_suffix(b"\0").unwrap_or(name).to_vec();
        into.push(Note { name, kind, data: data.to_vec() });
    }
}

/// The build id among the notes: GNU's in hexadecimal, else Go's own text.
pub(super) fn build_id(notes: &[Note]) -> Option<String> {
    const NT_GO_BUILD_ID: u32 = 4;
    let data = |name: &[u8], kind| {
        notes.iter().find(|note| note.name.starts_with(name) && note.kind == kind).map(|note| &note.data)
    };
    if let Some(id) = data(b"GNU", elf::NT_GNU_BUILD_ID.0).filter(|id| (1..=64).contains(&id.len())) {
        return Some(id.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    let id = data(b"Go", NT_GO_BUILD_ID).filter(|id| (1..=256).contains(&id.len()))?;
    let id = std::str::from_utf8(id).ok()?.trim_end_matches('\0');
    (!id.is_empty() && id.chars().all(|c| c.is_ascii_graphic())).then(|| id.to_owned())
}

impl Image {
    /// The program headers, addresses as in the target.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        let mut segments = Headers::read(&self.file)?.segments;
        for segment in &mut segments {
            segment.address = segment.address.wrapping_add(self.bias);
        }
        Ok(segments)
    }

    /// The sections, addresses as in the target. Empty for a file without sections, which can still run.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub fn sections(&self) -> Result<Vec<Section>> {
        let headers = Headers::read(&self.file)?;
        let raw = read_sections(&self.file, &headers.header)?;
        let mut names = u32::from(headers.header.e_shstrndx.get(Le).0);
        if names == u32::from(elf::SHN_XINDEX.0) {
            names = raw.first().map_or(0, |section| section.sh_link.get(Le));
        }
        let names = usize::try_from(names).ok().and_then(|index| raw.get(index));
        let names = names.map(|section| self.bytes_of(section)).transpose()?.unwrap_or_default();
        let section = |raw: &SectionHeader64<Le>| {
            let (flags, address) = (raw.sh_flags.get(Le).0, raw.sh_addr.get(Le));
            let loaded = flags & elf::SHF_ALLOC.0 != 0;
            let name = string(&names, raw.sh_name.get(Le), MAX_SECTION_NAME).unwrap_or_default();
            Section {
                name: String::from_utf8_lossy(name).into_owned(),
                address: if loaded { address.wrapping_add(self.bias) } else { 0 },
                offset: raw.sh_offset.get(Le),
                size: raw.sh_size.get(Le),
                kind: raw.sh_type(Le).0,
                flags,
                link: raw.sh_link.get(Le),
            }
        };
        Ok(raw.iter().map(section).collect())
    }

    fn bytes_of(&self, section: &SectionHeader64<Le>) -> Result<Vec<u8>> {
        if section.sh_type(Le) == elf::SHT_NOBITS {
            return Ok(Vec::new());
        }
        let len = usize::try_from(section.sh_size.get(Le).min(MAX_SECTION_NAMES)).unwrap_or(usize::MAX);
        self.file.read_at(section.sh_offset.get(Le), len)
    }

    /// The bytes of the section of that name in the file, decompressed if they are compressed; more than
    /// `max` bytes is an error. None if there is no such section or the file holds no bytes for it.
    ///
    /// # Errors
    /// The file cannot be read or is malformed, or the section is too large.
    pub fn section_data(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let sections = self.sections()?;
        let Some(section) = sections.iter().find(|section| section.name == name) else { return Ok(None) };
        if section.kind == elf::SHT_NOBITS.0 {
            return Ok(None);
        }
        let too_large = || self.file.malformed(format!("section {name} is larger than {max} bytes"));
        let len = usize::try_from(section.size).ok().filter(|&len| len <= max).ok_or_else(too_large)?;
        let bytes = self.file.read_at(section.offset, len)?;
        if section.flags & elf::SHF_COMPRESSED.0 == 0 {
            return Ok(Some(bytes));
        }
        let broken = |why: &str| self.file.malformed(format!("section {name}: {why}"));
        let header = record::<elf::CompressionHeader64<Le>>(&bytes).ok_or_else(|| broken("cut"))?;
        let format = match header.ch_type.get(Le) {
            elf::ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
            elf::ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
            _ => return Err(broken("unknown compression")),
        };
        let uncompressed_size = header.ch_size.get(Le);
        if uncompressed_size > max as u64 {
            return Err(too_large());
        }
        let data = bytes.get(size_of::<elf::CompressionHeader64<Le>>()..).unwrap_or(&[]);
        let data = CompressedData { format, data, uncompressed_size };
        data.decompress().map(|data| Some(data.into_owned())).map_err(|error| broken(&error.to_string()))
    }

    /// The build id: GNU's in hexadecimal, else Go's own text. None if the file has neither.
    pub fn build_id(&self) -> Option<String> {
        let headers = Headers::read(&self.file).ok()?;
        build_id(&headers.notes(&self.file, MAX_NOTES))
    }

    /// The symbols of `.symtab`; none if the file was stripped.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub fn symbols(&self) -> Result<Symbols> {
        self.symbols_of(elf::SHT_SYMTAB.0)
    }

    /// The symbols of `.dynsym`, which survive stripping: what a shared library offers.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub fn dynamic_symbols(&self) -> Result<Symbols> {
        self.symbols_of(elf::SHT_DYNSYM.0)
    }

    /// The section with the symbol table of this kind, and the one with its names. None if there is none.
    pub(super) fn symbol_sections(&self, kind: u32) -> Result<Option<(Section, Section)>> {
        let mut sections = self.sections()?;
        let Some(nth) = sections.iter().position(|section| section.kind == kind) else { return Ok(None) };
        let table = sections.get(nth).cloned();
        let names = table.as_ref().and_then(|table| usize::try_from(table.link).ok());
        let names = names.filter(|names| *names < sections.len()).map(|names| sections.swap_remove(names));
        let names = names.ok_or_else(|| self.file.malformed("symbols without names"))?;
        Ok(table.map(|table| (table, names)))
    }

    fn symbols_of(&self, kind: u32) -> Result<Symbols> {
        let bias = self.bias;
        let Some((table, strings)) = self.symbol_sections(kind)? else {
            return Ok(Symbols { bias, ..Symbols::default() });
        };
        let read = |section: &Section, max: u64| {
            let len = section.size.min(max);
            self.file.read_at(section.offset, usize::try_from(len).unwrap_or(usize::MAX))
        };
        let max = MAX_SYMBOLS * size_of::<elf::Sym64<Le>>() as u64;
        Ok(Symbols { table: read(&table, max)?, strings: read(&strings, MAX_STRINGS)?, bias })
    }
}
