//! Task registries: whatever stands in memory, reading ends, and gives a snapshot that holds
//! together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::runtimes::{Attached, ReadOptions, registry};
use loiter::snapshot::{ProcessFigures, SnapshotBuilder, TargetInfo};
use loiter::target::{
    Frozen, Held, Image, Mapping, Memory, Range, Result, Target, TargetError, WithRegisters,
};

/// Where the bytes are.
const BASE: u64 = 0x1000;

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

    fn with_stopped_thread(&self, tid: u32, _: &mut WithRegisters<'_>) -> Result<Held> {
        Err(TargetError::CannotStop { tid, problem: String::new() })
    }

    fn freeze(&self) -> Result<Frozen> {
        Ok(Frozen::new(|| Held::ZERO))
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

fuzz_target!(|data: &[u8]| {
    let process = Process { bytes: data, info: TargetInfo::default() };
    let Ok(registries) = registry::attach_at(&process, &[BASE, BASE + 0x800]) else { return };
    let mut into = SnapshotBuilder::new();
    for (number, registry) in registries.found.iter().enumerate() {
        let Ok(info) = registry.info(&process) else { continue };
        into.header.runtimes.push(info);
        let number = u8::try_from(number).expect("few registries");
        let _ = registry.read(&process, &ReadOptions::default(), number, &mut into);
    }
    if into.header.runtimes.len() == registries.found.len() {
        into.finish().validate().expect("every index is within its table");
    }
});
