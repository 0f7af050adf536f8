//! Task registries: whatever stands in memory, reading ends, and gives a snapshot that holds
//! together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::__test::registry;
use loiter::process::{
    Frozen, HoldTime, Image, Mapping, Memory, Range, Result, Target, TargetError, WithRegisters,
};
use loiter::runtimes::{Attached, ReadOptions};
use loiter::snapshot::{ProcessFigures, SnapshotBuilder, TargetInfo};

/// Where the bytes are.
const BASE: u64 = 0x1000;
/// The pid of the process: a registry that names another one is left out unread.
const PID: u32 = 7;
/// Bytes of a header, and where the second one begins.
const HEADER: usize = 768;
const SECOND: usize = 0x800;

/// A process whose memory is the input.
struct Process<'a> {
    bytes: &'a [u8],
    info: TargetInfo,
}

impl Memory for Process<'_> {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        let at = address.checked_sub(BASE).and_then(|at| usize::try_from(at).ok());
        let bytes = at.and_then(|at| self.bytes.get(at..)?.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(TargetError::Unmapped { address, len: buf.len() })?);
        Ok(())
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        let mut rest = buf;
        for (range, ok) in ranges.iter().zip(ok) {
            let (part, after) = rest.split_at_mut(range.len);
            *ok = self.read(range.address, part).is_ok();
            rest = after;
        }
        Ok(())
    }
}

impl Target for Process<'_> {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn mappings(&self) -> Result<Vec<Mapping>> {
        Ok(Vec::new())
    }

    fn images(&self) -> Result<Vec<Image>> {
        Ok(Vec::new())
    }

    fn threads(&self) -> Result<Vec<u32>> {
        Ok(Vec::new())
    }

    fn thread_from_inside(&self, tid: u32) -> Option<u32> {
        Some(tid)
    }

    fn with_stopped_thread(&self, tid: u32, _: &mut WithRegisters<'_>) -> Result<HoldTime> {
        Err(TargetError::CannotStop { tid, problem: String::new() })
    }

    fn freeze(&self, _limit: HoldTime) -> Result<Frozen> {
        Ok(Frozen::new(|| Ok(HoldTime::ZERO)))
    }

    fn is_static(&self) -> bool {
        true
    }

    fn monotonic_ns(&self) -> Option<u64> {
        Some(1 << 40)
    }

    fn figures(&self) -> ProcessFigures {
        ProcessFigures::default()
    }
}

/// Offsets of the fields of an entry in version 1.0.
const FIELDS: [u32; 27] = [
    0, 4, 8, 16, 24, 32, 40, 48, 56, 60, 64, 68, 72, 80, 88, 96, 104, 112, 116, 120, 128, 136, 140, 144, 148,
    150, 152,
];

/// Writes what a header must say for entries to be read at all, so that not every input has to find
/// that by chance. The entries follow the header.
fn make_whole(bytes: &mut [u8], at: usize) {
    let Some(header) = bytes.get_mut(at..at + HEADER) else { return };
    let mut put = |offset: usize, value: &[u8]| header[offset..offset + value.len()].copy_from_slice(value);
    put(0, b"LOITERRG\x01\0\0\0");
    // Sizes of the header, entries and locations; how many fields they have.
    for (nth, value) in [HEADER as u32, 256, 40, 27, 7].into_iter().enumerate() {
        put(12 + 4 * nth, &value.to_le_bytes());
    }
    for (nth, offset) in FIELDS.into_iter().enumerate() {
        put(32 + 4 * nth, &offset.to_le_bytes());
    }
    for (nth, offset) in [0_u32, 8, 16, 20, 24, 28, 32].into_iter().enumerate() {
        put(160 + 4 * nth, &offset.to_le_bytes());
    }
    for (nth, value) in [1024, 24, 13, 1, 6, 6, 0, PID].into_iter().enumerate() {
        put(192 + 4 * nth, &u32::to_le_bytes(value));
    }
    put(264, &(BASE + (at + HEADER) as u64).to_le_bytes());
    put(656, &5_u32.to_le_bytes());
}

fuzz_target!(|data: &[u8]| {
    let Some((&whole, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    for (bit, at) in [(1, 0), (2, SECOND)] {
        if whole & bit != 0 {
            make_whole(&mut bytes, at);
        }
    }
    let mut info = TargetInfo::default();
    info.pid = Some(PID);
    let process = Process { bytes: &bytes, info };
    let Ok(registries) = registry::attach_at(&process, &[BASE, BASE + SECOND as u64]) else { return };
    let mut into = SnapshotBuilder::new();
    for registry in &registries.found {
        let Ok(info) = registry.info(&process) else { continue };
        let number = u8::try_from(into.header.runtimes.len()).expect("few registries");
        let before = into.checkpoint();
        into.header.runtimes.push(info);
        if registry.read(&process, &ReadOptions::default(), number, &mut into).is_err() {
            into.roll_back(before);
        }
    }
    into.finish().validate().expect("every index is within its table");
});
