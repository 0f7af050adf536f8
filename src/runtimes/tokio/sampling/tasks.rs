//! Which task has a header at a time.
//!
//! The memory of a task that has ended is used again, perhaps at once. Ids are not: each task has its own. So if a header had
//! an id before a moment and has it after that moment, it was this task's all the time.

use rustc_hash::FxHashMap;

use crate::process::bytes::u64_at;
use crate::process::{Memory, monotonic_ns};
use crate::runtimes::tokio::scan::{Header, Known};

/// Tasks that are remembered.
const MAX_TASKS: usize = 1 << 20;
/// More bytes from a header to its task's id are not believed.
const MAX_BYTES: u64 = 8192;

/// The tasks that were seen.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// The id that a header had, and when it was first seen for certain (CLOCK_MONOTONIC, nanoseconds).
    seen: FxHashMap<u64, (u64, u64)>,
}

impl Tasks {
    /// Headers had their ids when they were read, which was over at this time.
    pub(super) fn note(&mut self, headers: &[Header], read_ns: u64) {
        headers.iter().for_each(|header| self.see(header, read_ns));
    }

    fn see(&mut self, header: &Header, read_ns: u64) {
        match self.seen.get_mut(&header.address) {
            Some((id, _)) if *id == header.id => {}
            Some(known) => *known = (header.id, read_ns),
            None => {
                if self.seen.len() >= MAX_TASKS {
                    self.seen.clear();
                }
                self.seen.insert(header.address, (header.id, read_ns));
            }
        }
    }

    /// Whether a header, as it is now, was the same task's at a time. From now on it is known.
    pub(super) fn was(&mut self, header: &Header, at_ns: u64) -> bool {
        let known = self.seen.get(&header.address);
        let was = known.is_some_and(|&(id, since_ns)| id == header.id && since_ns < at_ns);
        self.see(header, monotonic_ns());
        was
    }
}

/// The header at an address, if it is one of a task with one of these vtables. The task may have ended.
pub(super) fn read(memory: &dyn Memory, known: &Known, vtables: &[u32], address: u64) -> Option<Header> {
    const VTABLE: usize = 16;
    const OWNER: usize = 24;
    if !address.is_multiple_of(8) {
        return None;
    }
    let all = || vtables.iter().filter_map(|number| Some((*number, known.vtables.get(*number as usize)?)));
    let last = all().map(|(_, vtable)| vtable.stage().max(vtable.scheduler + 8)).max()?;
    let len = usize::try_from(last.clamp(32, MAX_BYTES)).ok()?;
    let bytes = memory.read_vec(address, len).ok()?;
    let named = u64_at(&bytes, VTABLE)?;
    let (index, vtable) = all().find(|(_, vtable)| vtable.address == named)?;
    let field = |offset: u64| u64_at(&bytes, usize::try_from(offset).ok()?);
    Some(Header {
        address,
        state: u64_at(&bytes, 0)?,
        owner: u64_at(&bytes, OWNER)?,
        id: field(vtable.id).filter(|id| *id != 0)?,
        scheduler: if vtable.is_blocking() { 0 } else { field(vtable.scheduler)? },
        spawned_at: vtable.spawned_at.and_then(field).unwrap_or(0),
        vtable: index,
    })
}
