//! Who has the other ends of what tasks wait for.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashSet;

use crate::analysis::why::{Ends, OpenEnd, OtherEnd, Peer};
use crate::process::{Limit, descriptors, sockets};
use crate::snapshot::{Descriptor, DescriptorKind, FileId};

/// What was found out about other ends, and of which descriptors.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Descriptors by pid and number, once they were asked for.
    asked: BTreeMap<(u32, u32), Descriptor>,
    /// What was looked for in all processes.
    wanted: BTreeSet<FileId>,
    pub(super) ends: Ends,
    pub(super) peers: Vec<Peer>,
}

impl Known {
    /// Whether a descriptor was asked for. Its number may be that of another thing by now.
    pub(super) fn has(&self, pid: u32, descriptor: &Descriptor) -> bool {
        self.asked.get(&(pid, descriptor.fd)).is_some_and(|asked| asked.file == descriptor.file)
    }

    /// Finds the other ends of new descriptors, and who has them.
    pub(super) fn ask(&mut self, new: Vec<(u32, Descriptor)>, until: &Limit) {
        let mut of: BTreeMap<u32, Vec<&Descriptor>> = BTreeMap::new();
        for (pid, descriptor) in &new {
            of.entry(*pid).or_default().push(descriptor);
        }
        let mut files: BTreeSet<FileId> = BTreeSet::new();
        let mut locked: BTreeSet<FileId> = BTreeSet::new();
        for (pid, descriptors) in of {
            let peers = other_ends(pid, &descriptors, until);
            files.extend(peers.iter().filter_map(|peer| end_of(&peer.to)));
            self.peers.extend(peers);
            for descriptor in descriptors {
                match descriptor.kind {
                    DescriptorKind::Pipe | DescriptorKind::Fifo | DescriptorKind::Event => {
                        files.extend(descriptor.file)
                    }
                    // Who waits for a file waits for its lock.
                    DescriptorKind::File => locked.extend(descriptor.file),
                    _ => {}
                }
            }
        }
        self.peers.sort_by_key(|peer| peer.of);
        self.peers.dedup_by_key(|peer| peer.of);
        for (pid, descriptor) in new {
            self.asked.insert((pid, descriptor.fd), descriptor);
        }
        let new: BTreeSet<FileId> = files.difference(&self.wanted).copied().collect();
        if !new.is_empty() {
            let found = without_loiter(descriptors::who_has(&new, until));
            let is_first = self.wanted.is_empty();
            self.ends.is_whole = found.is_whole && (is_first || self.ends.is_whole);
            self.ends.open.extend(found.open);
            self.ends.unreadable.extend(found.unreadable);
            self.wanted.extend(new);
        }
        self.ends.open.extend(lockers(&locked, until));
        self.ends.open.sort_by_key(|end| (end.file, end.pid, end.fd));
        self.ends.open.dedup();
        self.ends.unreadable.sort_unstable();
        self.ends.unreadable.dedup();
    }

    /// Looks a second time: what is no longer so is dropped.
    pub(super) fn confirm(&mut self, until: &Limit) {
        let mut of: BTreeMap<u32, Vec<&Descriptor>> = BTreeMap::new();
        for ((pid, _), descriptor) in &self.asked {
            of.entry(*pid).or_default().push(descriptor);
        }
        let mut again: BTreeMap<FileId, OtherEnd> = BTreeMap::new();
        for (pid, descriptors) in of {
            again.extend(other_ends(pid, &descriptors, until).into_iter().map(|peer| (peer.of, peer.to)));
        }
        for peer in &mut self.peers {
            let is_same = again.get(&peer.of).is_some_and(|to| end_of(to) == end_of(&peer.to));
            if !is_same && end_of(&peer.to).is_some() {
                peer.to = OtherEnd::Unknown("its other end has changed between the readings".to_owned());
            }
        }
        if self.wanted.is_empty() {
            return;
        }
        let found = descriptors::who_has(&self.wanted, until);
        self.ends.is_whole &= found.is_whole;
        let still: FxHashSet<(FileId, u32, u32)> =
            found.open.iter().map(|end| (end.file, end.pid, end.fd)).collect();
        let wanted = &self.wanted;
        self.ends.open.retain(|end| {
            // Those who hold a lock of a file were not looked for in this way.
            !wanted.contains(&end.file) || still.contains(&(end.file, end.pid, end.fd))
        });
    }
}

/// The other ends of sockets, and the masters of terminals.
fn other_ends(pid: u32, descriptors: &[&Descriptor], until: &Limit) -> Vec<Peer> {
    let master = |descriptor: &&Descriptor| {
        let to = OtherEnd::Socket { file: descriptors::master_of(descriptor)?, unread: None };
        Some(Peer { of: descriptor.file?, to })
    };
    let mut peers = sockets::other_ends(pid, descriptors, until);
    peers.extend(descriptors.iter().filter_map(master));
    peers
}

/// What has to be looked for in other processes.
fn end_of(end: &OtherEnd) -> Option<FileId> {
    match end {
        OtherEnd::Socket { file, .. } => Some(*file),
        OtherEnd::NotAccepted { listener } => Some(*listener),
        _ => None,
    }
}

/// Loiter itself has no part in anything that it examines.
fn without_loiter(mut ends: Ends) -> Ends {
    let own = std::process::id();
    ends.open.retain(|end| end.pid != own);
    ends.unreadable.retain(|&pid| pid != own);
    ends
}

/// The processes that hold locks of files: who took them, and who has the lock through an inherited descriptor.
fn lockers(files: &BTreeSet<FileId>, until: &Limit) -> Vec<OpenEnd> {
    let list: Vec<FileId> = files.iter().copied().collect();
    if list.is_empty() {
        return Vec::new();
    }
    let holders = descriptors::lock_holders(&list);
    if holders.is_empty() {
        return Vec::new();
    }
    let holding: FxHashSet<(FileId, u32)> =
        holders.iter().filter_map(|holder| Some((holder.file, holder.pid?))).collect();
    let open = without_loiter(descriptors::who_has(files, until)).open;
    let holds =
        |end: &OpenEnd| holding.contains(&(end.file, end.pid)) || descriptors::has_lock(end.pid, end.fd);
    open.into_iter().filter(holds).collect()
}
