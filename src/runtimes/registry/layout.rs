//! The header of a registry: its version, where the fields of its entries are, and its chunks.
//!
//! The format is `registry/FORMAT.md`. The offsets of fields are data there, so a registry of a later minor
//! version can be read as far as this version knows it.

use super::error::RegistryError;
use crate::process::Memory;

/// The major version known here.
pub(super) const MAJOR: u16 = 1;

const MAGIC: [u8; 8] = *b"LOITERRG";
/// The known part of the header, bytes.
const HEADER: usize = 768;
/// A header must include at least the addresses of chunks.
const MIN_HEADER: u32 = 456;
const MAX_HEADER: u32 = 1 << 16;
const MAX_ENTRY: u32 = 4096;
const MAX_LOCATION: u32 = 256;
const MAX_FIELDS: usize = 32;
const MAX_LOCATION_FIELDS: usize = 8;
const MAX_CHAIN: u32 = 64;
const CHUNKS: usize = 24;
/// A larger number of entries is not trusted.
const MAX_ENTRIES: u64 = 1 << 26;
const ABSENT: u32 = u32::MAX;

/// What covers a field: a sequence number that is even and unchanged while the field is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// `seq`: the task's identity.
    Identity,
    /// `poll_seq`: its state.
    Poll,
    /// `chain_seq`: where it awaits.
    Chain,
    /// Nothing: a hint, or a sequence number itself.
    Nothing,
}

macro_rules! fields {
    ($($name:ident = $index:literal, $size:literal, $group:ident;)+) => {
        /// A field of an entry: its index in the table of offsets.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Field { $($name = $index),+ }
        /// All fields with their size in bytes and what covers them.
        const FIELDS: &[(Field, usize, Group)] = &[$((Field::$name, $size, Group::$group)),+];
    };
}

fields! {
    Seq = 0, 4, Nothing;
    Id = 2, 8, Identity;
    ParentId = 3, 8, Identity;
    SpawnedNs = 4, 8, Identity;
    Location = 5, 8, Identity;
    TypeName = 6, 8, Identity;
    Name = 7, 8, Identity;
    TypeNameLen = 8, 4, Identity;
    NameLen = 9, 4, Identity;
    PollSeq = 10, 4, Nothing;
    State = 11, 4, Poll;
    Polls = 12, 8, Poll;
    LastPollStartNs = 13, 8, Poll;
    LastPollEndNs = 14, 8, Poll;
    WaitAddress = 15, 8, Poll;
    WaitLocation = 16, 8, Poll;
    WaitReason = 17, 4, Poll;
    Thread = 18, 4, Poll;
    TaskHeader = 20, 8, Identity;
    Kind = 21, 4, Identity;
    ChainSeq = 23, 4, Nothing;
    ChainLost = 24, 2, Chain;
    ChainLast = 25, 1, Nothing;
    Chain = 26, 0, Chain;
}

/// Where the fields of entries are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryLayout {
    /// Distance between two entries, bytes.
    pub(super) size: usize,
    /// Await places in an entry.
    pub(super) chain_slots: usize,
    offsets: [Option<usize>; MAX_FIELDS],
    /// For each group, the bytes that it covers, with neighbours joined.
    identity: Vec<(usize, usize)>,
    poll: Vec<(usize, usize)>,
    chain: Vec<(usize, usize)>,
}

impl EntryLayout {
    fn new(header: &Bytes<'_>) -> Result<Self, RegistryError> {
        let size = header.u32(16);
        let slots = header.u32(200);
        if size == 0 || size > MAX_ENTRY || !size.is_multiple_of(8) {
            return Err(malformed(format!("it claims entries of {size} bytes")));
        }
        if slots > MAX_CHAIN {
            return Err(malformed(format!("it claims {slots} await locations for each entry")));
        }
        let (size, chain_slots) = (size as usize, slots as usize);
        let known = count(header.u32(24), MAX_FIELDS, "fields")?;
        let mut layout = EntryLayout {
            size,
            chain_slots,
            offsets: [None; MAX_FIELDS],
            identity: Vec::new(),
            poll: Vec::new(),
            chain: Vec::new(),
        };
        for &(field, len, group) in FIELDS {
            let len = if field == Field::Chain { chain_slots * 8 } else { len };
            let index = field as usize;
            let Some(offset) = offset(header, 32, index, known, len, size)? else { continue };
            if let Some(slot) = layout.offsets.get_mut(index) {
                *slot = Some(offset);
            }
            match group {
                Group::Identity => layout.identity.push((offset, len)),
                Group::Poll => layout.poll.push((offset, len)),
                Group::Chain => layout.chain.push((offset, len)),
                Group::Nothing => {}
            }
        }
        for needed in [Field::Seq, Field::Id] {
            if layout.offset(needed).is_none() {
                return Err(malformed(format!("its entries lack the field {needed:?}")));
            }
        }
        for ranges in [&mut layout.identity, &mut layout.poll, &mut layout.chain] {
            join_neighbours(ranges);
        }
        Ok(layout)
    }

    /// Where a field is in an entry.
    pub(super) fn offset(&self, field: Field) -> Option<usize> {
        self.offsets.get(field as usize).copied().flatten()
    }

    /// The bytes that a group covers: offsets and lengths.
    pub(super) fn covered(&self, group: Group) -> &[(usize, usize)] {
        match group {
            Group::Identity => &self.identity,
            Group::Poll => &self.poll,
            Group::Chain => &self.chain,
            Group::Nothing => &[],
        }
    }
}

/// Where the fields of locations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocationLayout {
    /// Bytes of one.
    pub(super) size: usize,
    pub(super) file: Option<usize>,
    pub(super) name: Option<usize>,
    pub(super) file_len: Option<usize>,
    pub(super) name_len: Option<usize>,
    pub(super) line: Option<usize>,
}

impl LocationLayout {
    fn new(header: &Bytes<'_>) -> Result<Self, RegistryError> {
        let size = header.u32(20);
        if size > MAX_LOCATION {
            return Err(malformed(format!("it claims locations of {size} bytes")));
        }
        let known = count(header.u32(28), MAX_LOCATION_FIELDS, "fields of locations")?;
        let at = |index, len| offset(header, 160, index, known, len, size as usize);
        Ok(LocationLayout {
            size: size as usize,
            file: at(0, 8)?,
            name: at(1, 8)?,
            file_len: at(2, 4)?,
            name_len: at(3, 4)?,
            line: at(4, 4)?,
        })
    }
}

/// A chunk or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Address of its first entry.
    pub(super) address: u64,
    /// Entries.
    pub(super) entries: u64,
}

/// Text in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Text {
    pub(super) address: u64,
    pub(super) len: u32,
}

/// A registry's description of itself, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) minor: u16,
    pub(super) entry: EntryLayout,
    pub(super) location: LocationLayout,
    /// Kind of runtime, see the format.
    pub(super) runtime_kind: u32,
    /// The clock of spawn times, then that of polls.
    pub(super) clocks: [u32; 2],
    /// Bit 0: tasks of libraries are included.
    pub(super) flags: u32,
    /// The pid of the writing process in its own namespace. 0: nothing was registered yet.
    pub(super) pid: u32,
    pub(super) name: Text,
    pub(super) producer: Text,
    pub(super) epoch: u32,
    pub(super) entry_limit: u32,
    pub(super) next: u64,
    pub(super) spawned: u64,
    pub(super) finished: u64,
    pub(super) dropped: u64,
    pub(super) strings_dropped: u64,
    pub(super) high_water: u64,
    first_chunk: u64,
    chunks: Vec<u64>,
}

impl Header {
    /// Reads and checks the header at `address`.
    pub(super) fn read(memory: &dyn Memory, address: u64) -> Result<Header, RegistryError> {
        let mut start = [0; 16];
        memory.read(address, &mut start)?;
        let start = Bytes(&start);
        if start.0.get(..8) != Some(&MAGIC) {
            return Err(malformed(format!("there is no registry at {address:#x}, where a note points")));
        }
        let (major, minor) = (start.u16(8), start.u16(10));
        if major != MAJOR {
            return Err(RegistryError::Version { major, minor, known: MAJOR });
        }
        let size = start.u32(12);
        if !(MIN_HEADER..=MAX_HEADER).contains(&size) {
            return Err(malformed(format!("it claims a header of {size} bytes")));
        }
        let mut bytes = vec![0; HEADER];
        memory.read(address, bytes.get_mut(..HEADER.min(size as usize)).unwrap_or_default())?;
        Self::parse(minor, &Bytes(&bytes))
    }

    fn parse(minor: u16, bytes: &Bytes<'_>) -> Result<Header, RegistryError> {
        let high_water = u64::from(bytes.u32(656));
        if high_water > MAX_ENTRIES {
            return Err(malformed(format!("it claims to have {high_water} entries")));
        }
        let first_chunk = u64::from(bytes.u32(192));
        if first_chunk == 0 {
            return Err(malformed("it claims a first chunk without entries".to_owned()));
        }
        let chunks = count(bytes.u32(196), CHUNKS, "chunks")?;
        Ok(Header {
            minor,
            entry: EntryLayout::new(bytes)?,
            location: LocationLayout::new(bytes)?,
            runtime_kind: bytes.u32(204),
            clocks: [bytes.u32(208), bytes.u32(212)],
            flags: bytes.u32(216),
            pid: bytes.u32(220),
            name: Text { address: bytes.u64(224), len: bytes.u32(232) },
            epoch: bytes.u32(236),
            producer: Text { address: bytes.u64(240), len: bytes.u32(248) },
            entry_limit: bytes.u32(252),
            next: bytes.u64(256),
            spawned: bytes.u64(512),
            finished: bytes.u64(576),
            dropped: bytes.u64(640),
            strings_dropped: bytes.u64(648),
            high_water,
            first_chunk,
            chunks: (0..chunks).map(|i| bytes.u64(264 + 8 * i)).collect(),
        })
    }

    /// The entries that were ever used, chunk by chunk.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut left = self.high_water;
        let mut runs = Vec::new();
        let mut len = self.first_chunk;
        for &address in &self.chunks {
            let entries = left.min(len);
            if entries > 0 && address != 0 {
                runs.push(Run { address, entries });
            }
            left -= entries;
            len = len.saturating_mul(2);
        }
        runs
    }

    /// Tasks that are alive.
    pub(super) fn live(&self) -> u64 {
        self.spawned.saturating_sub(self.finished)
    }
}

/// Little-endian numbers in bytes; 0 beyond their end.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    pub(super) fn u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.array(at))
    }

    pub(super) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}

fn malformed(problem: String) -> RegistryError {
    RegistryError::Malformed(problem)
}

fn count(n: u32, most: usize, what: &str) -> Result<usize, RegistryError> {
    usize::try_from(n)
        .ok()
        .filter(|&n| n <= most)
        .ok_or_else(|| malformed(format!("it claims to have {n} {what}")))
}

/// The offset at `index` of the table at `table`; None if the field is absent.
fn offset(
    header: &Bytes<'_>,
    table: usize,
    index: usize,
    known: usize,
    len: usize,
    size: usize,
) -> Result<Option<usize>, RegistryError> {
    if index >= known {
        return Ok(None);
    }
    match header.u32(table + 4 * index) {
        ABSENT => Ok(None),
        at if (at as usize).checked_add(len).is_some_and(|end| end <= size) => Ok(Some(at as usize)),
        at => Err(malformed(format!("it claims that field {index} is at byte {at} of {size}"))),
    }
}

/// Joins ranges that touch, so that few comparisons are needed.
fn join_neighbours(ranges: &mut Vec<(usize, usize)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let touches = next.0 <= before.0 + before.1;
        if touches {
            before.1 = before.1.max(next.0 + next.1 - before.0);
        }
        touches
    });
}
