//! A process that exists only as bytes: registries made by hand, field by field.
#![allow(unreachable_pub, reason = "a part of one test")]

use std::io::Write;
use std::sync::Arc;

use loiter::process::{
    Frozen, HoldTime, Image, ImageFile, Mapping, Memory, Range, Result, Target, TargetError, WithRegisters,
};
use loiter::snapshot::{ProcessFigures, TargetInfo};

/// Where the bytes are.
pub const BASE: u64 = 0x7f00_0000_0000;
/// The pid that the process sees itself.
pub const PID: u32 = 77;
/// Its CLOCK_MONOTONIC, nanoseconds.
pub const NOW: u64 = 1_000_000_000_000;
/// Where the header of the first registry is.
pub const REGISTRY: u64 = BASE + 0x1000;
/// Memory that nobody uses for anything else begins here.
const HEAP: usize = 0x4000;

/// Index, offset and size in version 1.0 of the fields of an entry.
pub const FIELDS: [(usize, u32, usize); 27] = [
    (0, 0, 4),
    (1, 4, 4),
    (2, 8, 8),
    (3, 16, 8),
    (4, 24, 8),
    (5, 32, 8),
    (6, 40, 8),
    (7, 48, 8),
    (8, 56, 4),
    (9, 60, 4),
    (10, 64, 4),
    (11, 68, 4),
    (12, 72, 8),
    (13, 80, 8),
    (14, 88, 8),
    (15, 96, 8),
    (16, 104, 8),
    (17, 112, 4),
    (18, 116, 4),
    (19, 120, 8),
    (20, 128, 8),
    (21, 136, 4),
    (22, 140, 4),
    (23, 144, 4),
    (24, 148, 2),
    (25, 150, 1),
    (26, 152, 104),
];

/// A version of the format.
#[derive(Debug, Clone)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub header_size: u32,
    pub entry_size: u32,
    pub location_size: u32,
    /// Where each field is.
    pub fields: Vec<u32>,
    pub location_fields: Vec<u32>,
}

impl Version {
    pub fn current() -> Self {
        Version {
            major: 1,
            minor: 0,
            header_size: 768,
            entry_size: 256,
            location_size: 40,
            fields: FIELDS.iter().map(|field| field.1).collect(),
            location_fields: vec![0, 8, 16, 20, 24, 28, 32],
        }
    }

    /// One that has only what it takes to list tasks with their names.
    pub fn older() -> Self {
        let mut old = Self::current();
        old.fields.truncate(10);
        old.location_fields.truncate(5);
        (old.entry_size, old.header_size, old.location_size) = (64, 712, 32);
        old
    }

    /// One with larger structures, other offsets and fields that nobody knows.
    pub fn newer() -> Self {
        let mut new = Self::current();
        new.minor = 9;
        new.fields.iter_mut().for_each(|offset| *offset += 64);
        new.fields.extend([0, 8]);
        new.location_fields = vec![48, 8, 56, 20, 40, 28, 32, 16];
        (new.entry_size, new.header_size, new.location_size) = (384, 1024, 64);
        new
    }
}

/// What stands in an entry: index of the field and its value.
pub type Entry = Vec<(usize, u64)>;

/// The process.
pub struct Process {
    pub bytes: Vec<u8>,
    pub notes: Vec<u64>,
    info: TargetInfo,
    file: tempfile::NamedTempFile,
}

impl Process {
    /// One with nothing in it.
    pub fn new() -> Self {
        let mut info = TargetInfo::default();
        (info.pid, info.name) = (Some(4242), "handmade".to_owned());
        let file = tempfile::NamedTempFile::new().unwrap();
        Process { bytes: vec![0; HEAP], notes: Vec::new(), info, file }
    }

    /// One with a registry of this version, noted, with these entries in its first chunk.
    pub fn with(version: &Version, entries: &[Entry]) -> Self {
        let mut process = Process::new();
        process.notes.push(REGISTRY);
        process.registry(REGISTRY, version, entries);
        process
    }

    pub fn put(&mut self, address: u64, value: &[u8]) {
        let at = (address - BASE) as usize;
        if self.bytes.len() < at + value.len() {
            self.bytes.resize(at + value.len(), 0);
        }
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }

    pub fn put_u32(&mut self, address: u64, value: u32) {
        self.put(address, &value.to_le_bytes());
    }

    pub fn put_u64(&mut self, address: u64, value: u64) {
        self.put(address, &value.to_le_bytes());
    }

    /// New memory of this size.
    pub fn room(&mut self, size: usize) -> u64 {
        let at = self.bytes.len().next_multiple_of(64);
        self.bytes.resize(at + size, 0);
        BASE + at as u64
    }

    /// A text: its address and its length.
    pub fn text(&mut self, text: &str) -> (u64, u64) {
        let at = self.room(text.len().max(1));
        self.put(at, text.as_bytes());
        (at, text.len() as u64)
    }

    /// A place in the source.
    pub fn place(&mut self, version: &Version, file: &str, line: u32, name: &str) -> u64 {
        let (file, file_len) = self.text(file);
        let (name, name_len) = self.text(name);
        let at = self.room(version.location_size as usize);
        let fields = version.location_fields.clone();
        let field = |index: usize| at + u64::from(fields[index]);
        self.put_u64(field(0), file);
        self.put_u64(field(1), if name_len == 0 { 0 } else { name });
        self.put_u32(field(2), file_len as u32);
        self.put_u32(field(3), name_len as u32);
        self.put_u32(field(4), line);
        at
    }

    /// A registry, its header at `at`.
    pub fn registry(&mut self, at: u64, version: &Version, entries: &[Entry]) {
        self.put(at, b"LOITERRG");
        self.put(at + 8, &version.major.to_le_bytes());
        self.put(at + 10, &version.minor.to_le_bytes());
        let words = [
            (12, version.header_size),
            (16, version.entry_size),
            (20, version.location_size),
            (24, version.fields.len() as u32),
            (28, version.location_fields.len() as u32),
            (192, 8),
            (196, 24),
            (200, if version.fields.len() > 26 { 13 } else { 0 }),
            (204, 1),
            (208, 1),
            (212, 6),
            (220, PID),
            (252, 1000),
            (656, entries.len() as u32),
        ];
        words.into_iter().for_each(|(offset, value)| self.put_u32(at + offset, value));
        for (index, &offset) in version.fields.iter().enumerate() {
            self.put_u32(at + 32 + 4 * index as u64, offset);
        }
        for (index, &offset) in version.location_fields.iter().enumerate() {
            self.put_u32(at + 160 + 4 * index as u64, offset);
        }
        self.put_u64(at + 512, entries.len() as u64);
        for (nth, chunk) in [0..8, 8..24].into_iter().enumerate() {
            let Some(some) = entries.get(chunk.start..entries.len().min(chunk.end)) else { continue };
            let memory = self.room(chunk.len() * version.entry_size as usize);
            self.put_u64(at + 264 + 8 * nth as u64, memory);
            for (nth, entry) in some.iter().enumerate() {
                self.entry(version, memory + nth as u64 * u64::from(version.entry_size), entry);
            }
        }
    }

    fn entry(&mut self, version: &Version, at: u64, entry: &Entry) {
        for &(index, value) in entry {
            // Slots of the chain follow each other, as if they had indices.
            let (index, slot) = (index.min(26), index.saturating_sub(26) as u64);
            let Some(&offset) = version.fields.get(index) else { continue };
            let size = FIELDS[index].2.min(8);
            self.put(at + u64::from(offset) + 8 * slot, &value.to_le_bytes()[..size]);
        }
    }

    /// Writes the image that the notes are in.
    fn image(&self) -> Image {
        let mut elf = vec![0_u8; 64];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        elf[16..20].copy_from_slice(&[3, 0, 62, 0]);
        elf[32] = 64;
        elf[52] = 64;
        elf[54] = 56;
        elf[56] = 1;
        let header = [4_u64 | 4 << 32, 0, 0x100, 0x100, 0x800, 0x800, 4];
        elf.extend(header.iter().flat_map(|word| word.to_le_bytes()));
        self.file.as_file().set_len(0).unwrap();
        std::fs::File::create(self.file.path()).unwrap().write_all(&elf).unwrap();
        let file = Arc::new(ImageFile::open(self.file.path()).unwrap());
        Image { path: "/srv/handmade".to_owned(), bias: BASE, is_executable: true, file }
    }

    /// Puts the notes where the image says that they are.
    pub fn write_notes(&mut self) {
        for (nth, registry) in self.notes.clone().into_iter().enumerate() {
            let at = BASE + 0x100 + 28 * nth as u64;
            self.put(at, b"\x07\0\0\0\x08\0\0\0\x01\0\0\0loiter\0\0");
            self.put_u64(at + 20, registry.wrapping_sub(at + 20));
        }
    }
}

impl Memory for Process {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = address
            .checked_sub(BASE)
            .and_then(|at| self.bytes.get(at as usize..)?.get(..buf.len()))
            .ok_or(TargetError::Unmapped { address, len: buf.len() })?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        let mut at = 0;
        for (range, ok) in ranges.iter().zip(ok) {
            *ok = self.read(range.address, &mut buf[at..at + range.len]).is_ok();
            at += range.len;
        }
        Ok(())
    }
}

impl Target for Process {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn pid_inside(&self) -> u32 {
        PID
    }

    fn mappings(&self) -> Result<Vec<Mapping>> {
        Ok(Vec::new())
    }

    fn images(&self) -> Result<Vec<Image>> {
        Ok(vec![self.image()])
    }

    fn threads(&self) -> Result<Vec<u32>> {
        Ok(vec![PID])
    }

    fn thread_from_inside(&self, tid: u32) -> Option<u32> {
        (tid == PID).then_some(4242)
    }

    fn with_stopped_thread(&self, tid: u32, _: &mut WithRegisters<'_>) -> Result<HoldTime> {
        Err(TargetError::CannotStop { tid, problem: "it is made of paper".to_owned() })
    }

    fn freeze(&self, _limit: HoldTime) -> Result<Frozen> {
        Ok(Frozen::new(|| Ok(HoldTime::ZERO)))
    }

    fn is_static(&self) -> bool {
        false
    }

    fn monotonic_ns(&self) -> Option<u64> {
        Some(NOW)
    }

    fn figures(&self) -> ProcessFigures {
        ProcessFigures::default()
    }
}
