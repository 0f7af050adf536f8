//! Rings that several events write to, read as one stream in the order of time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::abi::record;
#[cfg(any(test, feature = "test-support"))]
use super::parse::Layout;
use super::parse::{Place, Stamp, Unread, header, stamp};
use super::sys::Memory;

/// A ring, and the events that write to it.
#[derive(Debug)]
pub(super) struct Ring {
    memory: Memory,
    /// The first is the one whose ring it is. Any of them tells whether there is something to read.
    events: Vec<Arc<OwnedFd>>,
    /// The event to wait for. As many as `events` has: all have ended.
    waits_for: usize,
}

/// A record that was found in a ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) ring: usize,
    pub(super) place: Place,
    pub(super) stamp: Stamp,
}

/// What is counted without being read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Skipped {
    pub(super) others: u64,
    pub(super) malformed: u64,
}

impl Ring {
    pub(super) fn new(memory: Memory, event: Arc<OwnedFd>) -> Ring {
        Ring { memory, events: vec![event], waits_for: 0 }
    }

    /// Another event that writes to it.
    pub(super) fn add(&mut self, event: Arc<OwnedFd>) {
        self.events.push(event);
    }

    /// The event whose ring it is.
    pub(super) fn owner(&self) -> &OwnedFd {
        &self.events[0]
    }

    /// All events that write to it.
    pub(super) fn events(&self) -> impl Iterator<Item = &OwnedFd> {
        self.events.iter().map(|event| &**event)
    }

    /// The descriptor that tells when there is something to read.
    pub(super) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.events.get(self.waits_for).map(|event| event.as_fd())
    }

    /// The event that was waited for has ended: another one tells from now on.
    pub(super) fn hung_up(&mut self) {
        self.waits_for += 1;
    }

    /// All its events have ended.
    pub(super) fn is_over(&self) -> bool {
        self.waits_for >= self.events.len()
    }

    pub(super) fn unread(&self) -> Unread<'_> {
        let (first, second) = self.memory.unread();
        Unread(first, second)
    }

    /// Finds the records up to a time that concern a process. Returns how many bytes these and the others have.
    pub(super) fn find(
        &self,
        ring: usize,
        pid: u32,
        until_ns: u64,
        found: &mut Vec<Found>,
        skipped: &mut Skipped,
    ) -> usize {
        let unread = self.unread();
        // A ring that runs full is read in any case.
        let is_full = unread.len() > self.memory.size() / 2;
        let until_ns = if is_full { u64::MAX } else { until_ns };
        find(unread, pid, until_ns, skipped, &mut |place, stamp| found.push(Found { ring, place, stamp }))
    }

    /// Gives bytes back to the kernel that were read.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.memory.advance(bytes);
    }
}

/// Finds the records up to a time that concern a process. Returns how many bytes these and the others have.
fn find(
    unread: Unread<'_>,
    pid: u32,
    until_ns: u64,
    skipped: &mut Skipped,
    found: &mut dyn FnMut(Place, Stamp),
) -> usize {
    let mut start = 0;
    loop {
        let place = match unread.record(start) {
            Ok(Some(place)) => place,
            Ok(None) => return start,
            Err(_) => {
                skipped.malformed += 1;
                return unread.len();
            }
        };
        let record = unread.bytes(place).unwrap_or_default();
        let kind = header(&record).map_or(0, |(kind, ..)| kind);
        match stamp(&record) {
            Ok(stamp) if stamp.at_ns > until_ns => return start,
            Ok(stamp) if stamp.pid == pid || is_of_all(kind) => found(place, stamp),
            Ok(_) => skipped.others += u64::from(kind == record::SAMPLE),
            Err(_) => skipped.malformed += 1,
        }
        start += place.size;
    }
}

/// Reads bytes as a ring that contains them in two parts: what is in it of a process. Returns how many records made no
/// sense.
#[cfg(any(test, feature = "test-support"))]
pub fn read(
    first: &[u8],
    second: &[u8],
    pid: u32,
    layout: Layout,
    with: &mut dyn FnMut(Stamp, super::parse::Body<'_>),
) -> u64 {
    let (unread, mut skipped) = (Unread(first, second), Skipped::default());
    let (mut chains, mut malformed) = (Vec::new(), 0);
    let read = find(unread, pid, u64::MAX, &mut skipped, &mut |place, stamp| {
        let bytes = unread.bytes(place).unwrap_or_default();
        match super::parse::body(&bytes, layout, &mut chains) {
            Ok(body) => with(stamp, body),
            Err(_) => malformed += 1,
        }
    });
    assert_eq!(read, unread.len(), "nothing is left");
    malformed + skipped.malformed
}

/// Whether a kind of record says something about the ring, and not about the thread that happens to run.
fn is_of_all(kind: u32) -> bool {
    matches!(kind, record::LOST | record::LOST_SAMPLES | record::THROTTLE)
}

#[cfg(test)]
mod tests;
