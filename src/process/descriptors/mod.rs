//! The open descriptors of processes: what they are, and who else has the same thing open.
//!
//! `link` understands the names that the kernel gives to what is open, `info` its further facts (`fdinfo`), `who_has`
//! looks through all processes, `shared` identifies what has no inode of its own, `locks` reads who holds locks of files.
//!
//! A descriptor is never opened: to open a pipe through /proc would make one more reader or writer of it.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustc_hash::FxHashMap;

mod info;
mod link;
mod locks;
mod shared;
mod who_has;

pub use info::{Watched, has_lock, watched_by};
pub use locks::{LockHolder, lock_holders};
pub use shared::master_of;
pub use who_has::who_has;

use super::limit::Limit;
use super::{Result, permission, proc, sockets, sys, watch};
use crate::snapshot::{Access, Descriptor, DescriptorKind, FileId, Protocol};

/// Time for the facts of all sockets of one call.
const SOCKETS: Duration = Duration::from_secs(3);

/// What these descriptors of a process are, in this order; those that are not open are left out. `now_ns` tells
/// its CLOCK_MONOTONIC.
pub(super) fn of_process(
    pid: u32,
    numbers: &[u32],
    now_ns: &dyn Fn() -> Option<u64>,
) -> Result<Vec<Descriptor>> {
    let mut all = Vec::with_capacity(numbers.len().min(1 << 20));
    let mut sockets = FxHashMap::default();
    for &fd in numbers {
        match one(pid, fd, now_ns) {
            Ok(mut descriptor) => {
                if let (DescriptorKind::Socket, Some(file)) = (descriptor.kind, descriptor.file) {
                    let name = protocol_name(pid, fd);
                    let protocol = name.as_deref().map(link::protocol);
                    descriptor.name = name.filter(|_| protocol == Some(Protocol::Other)).map(link::family);
                    sockets.insert(file.inode, protocol);
                }
                all.push(descriptor);
            }
            Err(error) if proc::is_gone(&error) => {}
            Err(error) => return Err(permission::explain(pid, &format!("read /proc/{pid}/fd/{fd}"), error)),
        }
    }
    if all.is_empty() {
        // Nothing of all that is open, or nothing may be read.
        let list = format!("list /proc/{pid}/fd");
        std::fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| permission::ended(pid, &list, error))?;
    }
    if !sockets.is_empty() {
        let mut found = sockets::facts(pid, &sockets, &Limit::of(SOCKETS));
        let (mut taken, is_socket) =
            (FxHashMap::default(), |d: &&mut Descriptor| d.kind == DescriptorKind::Socket);
        for descriptor in all.iter_mut().filter(is_socket) {
            let Some(inode) = descriptor.file.map(|file| file.inode) else { continue };
            // Several descriptors may be of one socket.
            if let Some(socket) = found.remove(&inode) {
                taken.insert(inode, socket);
            }
            descriptor.socket = taken.get(&inode).cloned();
        }
    }
    Ok(all)
}

/// What a descriptor is, except what sockets are.
fn one(pid: u32, fd: u32, now_ns: &dyn Fn() -> Option<u64>) -> io::Result<Descriptor> {
    let link = format!("/proc/{pid}/fd/{fd}");
    let text = std::fs::read_link(&link)?;
    let text = text.as_os_str().as_bytes();
    let path = CString::new(link.as_str())?;
    let mut descriptor = Descriptor::new(fd);
    // The rights of the link are those with which the descriptor was opened.
    descriptor.access = access(sys::file_facts(&path, false)?.mode);
    // Behind the link may be a file of a server that does not answer.
    let facts = watch::with_file(Path::new(&link), || sys::file_facts(&path, true)).ok();
    // All things without an inode of their own share one.
    let is_own = !text.starts_with(b"anon_inode:");
    descriptor.file =
        facts.filter(|_| is_own).map(|facts| FileId { device: facts.device, inode: facts.inode });
    descriptor.kind = link::kind(text, facts);
    descriptor.name = link::name(text);
    match descriptor.kind {
        DescriptorKind::Timer => descriptor.expires_ns = info::of(pid, fd).expires(now_ns()),
        DescriptorKind::Process => descriptor.process = info::of(pid, fd).process,
        DescriptorKind::Event => {
            descriptor.file = facts.and_then(|facts| shared::counter(facts, info::of(pid, fd)));
        }
        _ => {}
    }
    Ok(descriptor)
}

/// The epoll sets of a process, by their numbers. Empty if its descriptors may not be read.
pub fn polls_of(pid: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let is_poll = |fd: &u32| {
        let link = std::fs::read_link(format!("/proc/{pid}/fd/{fd}"));
        link.is_ok_and(|link| link.as_os_str() == "anon_inode:[eventpoll]")
    };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(is_poll).collect()
}

/// What a link of /proc/PID/fd allows.
fn access(mode: u32) -> Access {
    Access { read: mode & 0o400 != 0, write: mode & 0o200 != 0 }
}

/// What the kernel calls the protocol of a socket (`system.sockprotoname`, since Linux 3.7).
fn protocol_name(pid: u32, fd: u32) -> Option<Vec<u8>> {
    let path = CString::new(format!("/proc/{pid}/fd/{fd}")).ok()?;
    let mut name = [0; 64];
    let len = sys::attribute(&path, c"system.sockprotoname", &mut name).ok()?;
    name.get(..len).map(<[u8]>::to_vec)
}
