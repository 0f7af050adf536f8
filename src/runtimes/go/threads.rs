//! The threads of Ms.

use rustc_hash::FxHashMap;

use crate::process::Target;

/// Finds threads; remembers the threads found.
pub(super) struct Threads<'a> {
    target: &'a dyn Target,
    procid_offset: u64,
    known: FxHashMap<u64, Option<u32>>,
}

impl<'a> Threads<'a> {
    /// `procid_offset` is the offset of `m.procid` in an M.
    pub(super) fn new(target: &'a dyn Target, procid_offset: u64) -> Self {
        Threads { target, procid_offset, known: FxHashMap::default() }
    }

    /// The thread of the M at this address.
    pub(super) fn of(&mut self, m: u64) -> Option<u32> {
        let (target, offset) = (self.target, self.procid_offset);
        *self.known.entry(m).or_insert_with(|| thread_of(target, offset, m))
    }
}

/// The thread (in loiter's pid namespace) of an M.
pub(super) fn thread_of(target: &dyn Target, procid_offset: u64, m: u64) -> Option<u32> {
    if m == 0 {
        return None;
    }
    known_inside(target, target.read_u64(m.wrapping_add(procid_offset)).ok()?)
}

/// The thread (in loiter's pid namespace) that `m.procid` names.
pub(super) fn known_inside(target: &dyn Target, procid: u64) -> Option<u32> {
    target.thread_from_inside(u32::try_from(procid).ok().filter(|tid| *tid != 0)?)
}
