//! The sockets of one network namespace: by questions to the kernel where that is possible, else by the tables that a
//! process of that namespace sees.

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;

use super::diag::{self, Family, InetQuestion};
use super::netlink::{Netlink, Wanted};
use super::row::{InetRow, UnixRow};
use super::table::{self, Heading};
use crate::process::limit::Limit;
use crate::snapshot::Protocol;

/// The sockets of the network namespace of a process.
#[derive(Debug)]
pub(super) struct View {
    pid: u32,
    /// Inode of the namespace. None if it may not be known.
    pub(super) namespace: Option<u64>,
    /// Whether the kernel can be asked, as far as it was tried.
    way: Way,
    /// For questions about single sockets.
    single: OnceCell<Netlink>,
}

/// How the namespace is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is loiter's own one.
    Own,
    /// It is another one; loiter can ask there, too.
    There,
    /// The kernel cannot be asked.
    Tables,
}

impl View {
    /// Of this process.
    pub(super) fn of(pid: u32) -> View {
        let namespace = namespace_of(pid);
        let ours = namespace_of(std::process::id());
        let way = match namespace {
            Some(_) if namespace == ours && Netlink::open().is_ok() => Way::Own,
            Some(_) if namespace != ours && open_there(pid, namespace).is_ok() => Way::There,
            _ => Way::Tables,
        };
        View { pid, namespace, way, single: OnceCell::new() }
    }

    /// A connection for one question about all sockets.
    fn netlink(&self) -> io::Result<Netlink> {
        match self.way {
            Way::Own => Netlink::open(),
            Way::There => open_there(self.pid, self.namespace),
            Way::Tables => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// A connection for questions about single sockets.
    fn single(&self) -> io::Result<&Netlink> {
        if self.single.get().is_none() {
            // If there is one already, this one is dropped.
            let _ = self.single.set(self.netlink()?);
        }
        self.single.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether the kernel can be asked about single sockets.
    pub(super) fn can_ask(&self) -> bool {
        self.way != Way::Tables
    }

    /// Every socket of a protocol, to `each`, which returns whether it wants more. Returns whether all of them were
    /// seen that `each` wanted.
    pub(super) fn each_inet(
        &self,
        protocol: Protocol,
        figures: bool,
        until: &Limit,
        each: &mut dyn FnMut(InetRow) -> bool,
    ) -> io::Result<bool> {
        let mut ended = false;
        for family in [Family::V4, Family::V6] {
            let whole = self.each_of(protocol, family, figures, until, &mut |row| {
                ended = !each(row);
                !ended
            })?;
            if ended || !whole {
                return Ok(ended);
            }
        }
        Ok(true)
    }

    fn each_of(
        &self,
        protocol: Protocol,
        family: Family,
        figures: bool,
        until: &Limit,
        each: &mut dyn FnMut(InetRow) -> bool,
    ) -> io::Result<bool> {
        if self.can_ask() {
            let question = diag::inet_question(protocol, InetQuestion::All(family), figures);
            let mut any = false;
            let asked = self.netlink()?.ask(&question, Wanted::All, until, &mut |body| {
                any = true;
                diag::inet_row(body, protocol).is_none_or(&mut *each)
            });
            // A kernel without the module for this protocol answers with an error before anything else.
            if any || asked.is_ok() {
                return asked;
            }
        }
        let name = match (protocol, family) {
            (Protocol::Udp, Family::V4) => "udp",
            (Protocol::Udp, Family::V6) => "udp6",
            (_, Family::V4) => "tcp",
            (_, Family::V6) => "tcp6",
        };
        let path = format!("/proc/{}/net/{name}", self.pid);
        let read = table::lines(&path, Heading::One, until, &mut |line| {
            table::inet(line, protocol).is_none_or(&mut *each)
        });
        match read {
            // A kernel without IPv6.
            Err(error) if family == Family::V6 && error.kind() == io::ErrorKind::NotFound => Ok(true),
            read => read,
        }
    }

    /// The TCP socket with these addresses and its figures. None if there is none, or if the kernel cannot be asked.
    pub(super) fn tcp(&self, local: SocketAddr, peer: SocketAddr, until: &Limit) -> Option<InetRow> {
        let netlink = self.single().ok()?;
        let question = diag::inet_question(Protocol::Tcp, InetQuestion::One(local, peer), true);
        let mut found = None;
        netlink
            .ask(&question, Wanted::One, until, &mut |body| {
                found = diag::inet_row(body, Protocol::Tcp);
                false
            })
            .ok()?;
        // Without a connection, the kernel answers with the socket that would accept it.
        found.filter(|row| row.local == local && row.peer == peer)
    }

    /// The unix socket with this inode. None if this namespace has none.
    ///
    /// # Errors
    /// If the kernel cannot be asked.
    pub(super) fn unix(&self, inode: u64, until: &Limit) -> io::Result<Option<UnixRow>> {
        let short = u32::try_from(inode).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut found = None;
        let question = diag::unix_question(Some(short));
        let asked = self.single()?.ask(&question, Wanted::One, until, &mut |body| {
            found = diag::unix_row(body).filter(|row| row.inode == inode);
            false
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            asked => asked.map(|_| found),
        }
    }

    /// Every unix socket, like [`View::each_inet`].
    pub(super) fn each_unix(&self, until: &Limit, each: &mut dyn FnMut(UnixRow) -> bool) -> io::Result<bool> {
        let mut ended = false;
        let mut each = |row| {
            ended = !each(row);
            !ended
        };
        let whole = if self.can_ask() {
            let question = diag::unix_question(None);
            self.netlink()?
                .ask(&question, Wanted::All, until, &mut |body| diag::unix_row(body).is_none_or(&mut each))?
        } else {
            let path = format!("/proc/{}/net/unix", self.pid);
            table::lines(&path, Heading::One, until, &mut |line| table::unix(line).is_none_or(&mut each))?
        };
        Ok(whole || ended)
    }
}

/// Inode of the network namespace of a process.
pub(super) fn namespace_of(pid: u32) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Asks in the namespace of a process, if it is still this one.
fn open_there(pid: u32, namespace: Option<u64>) -> io::Result<Netlink> {
    let file = File::open(format!("/proc/{pid}/ns/net"))?;
    if Some(file.metadata()?.ino()) != namespace {
        return Err(io::ErrorKind::NotFound.into());
    }
    Netlink::open_in(&file)
}
