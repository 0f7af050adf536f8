//! Descriptors at whose other ends others wait.
//!
//! Who has a descriptor points to its `poll.FD`, which points to its `pollDesc`. The kernel knows the `pollDesc` of each
//! descriptor that the runtime polls: it is what the runtime notes beside it in its epoll set.

use std::collections::BTreeSet;

use super::Search;
use super::descriptors::Known;
use crate::process::TargetError;
use crate::process::bytes::word;
use crate::process::descriptors::{polls_of, watched_by};
use crate::snapshot::{ObjectId, ObjectKind};

/// More descriptors are left out.
const MAX_ENDS: usize = 1 << 12;

impl Search<'_, '_> {
    /// For each of these descriptors that the runtime polls: the address of its `pollDesc`, and its object.
    pub(super) fn ends(&mut self, wanted: &[u32]) -> Result<Vec<(u64, ObjectId)>, TargetError> {
        let (Some(layout), Some(pid)) = (self.go.links.poll, self.target.info().pid) else {
            return Ok(Vec::new());
        };
        let wanted: BTreeSet<u32> = wanted.iter().copied().take(MAX_ENDS).collect();
        if wanted.is_empty() || self.target.is_static() {
            return Ok(Vec::new());
        }
        let minor = self.go.build.minor;
        let watched = polls_of(pid).into_iter().flat_map(|poll| watched_by(pid, poll));
        let candidates: Vec<(u32, u64)> = watched
            .filter(|watched| wanted.contains(&watched.fd))
            .map(|watched| (watched.fd, poll_desc(watched.data, minor)))
            .collect();
        let addresses: Vec<u64> = candidates.iter().map(|(_, address)| *address).collect();
        let mut found = BTreeSet::new();
        self.structs.each(&addresses, layout.size, |nth, bytes| {
            let (fd, address) = candidates[nth];
            if word(bytes, layout.own) == address && word(bytes, layout.fd) == u64::from(fd) {
                found.insert((address, fd, layout.identity(address, bytes)));
            }
        })?;
        let object = |(address, fd, identity)| {
            self.descriptors.entry(fd).or_insert_with(|| Known::polled(fd, identity));
            (address, self.into.object(ObjectKind::Descriptor, fd.into(), |_| None))
        };
        Ok(found.into_iter().map(object).collect())
    }
}

/// The address in what the runtime notes in its epoll set: below it, from 1.21 on, is a counter (`taggedPointer` in
/// `src/runtime/tagptr_64bit.go`); from 1.25 on a `pollDesc` is at a multiple of 512.
fn poll_desc(data: u64, minor: Option<u32>) -> u64 {
    let data = data as i64;
    let address = match minor {
        Some(..=20) => data,
        Some(21..=24) => data >> 19 << 3,
        _ => data >> 24 << 9,
    };
    address as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_counters() {
        let address = 0x7f12_3456_7800_u64;
        assert_eq!(poll_desc(address, Some(19)), address);
        assert_eq!(poll_desc(address >> 3 << 19 | 0x1234, Some(22)), address);
        assert_eq!(poll_desc(address >> 9 << 24 | 0x1234, Some(27)), address);
    }
}
