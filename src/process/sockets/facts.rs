//! What the kernel says of the sockets of one process.

use rustc_hash::FxHashMap;

use super::abroad::Abroad;
use super::row::InetRow;
use super::view::View;
use crate::process::limit::Limit;
use crate::snapshot::{Protocol, Socket, SocketState};

/// With more connections than this, all are read with their figures, instead of each one again.
const ONE_BY_ONE: usize = 2000;

/// Sockets by their inodes.
pub(in crate::process) type Found = FxHashMap<u64, Socket>;
/// Protocols of sockets by their inodes. None: not known, it may be any.
pub(in crate::process) type Wanted = FxHashMap<u64, Option<Protocol>>;

/// The facts of the sockets with these inodes, whose protocols are known as far as `system.sockprotoname` says. One that
/// is not found has its protocol and nothing else.
pub(in crate::process) fn facts(pid: u32, wanted: &Wanted, until: &Limit) -> Found {
    let view = View::of(pid);
    let mut found = Found::default();
    let of = |protocol| wanted.values().filter(move |&&known| known == protocol).count();
    let unknown = of(None);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let count = of(Some(protocol)) + unknown;
        if count > 0 {
            inet(&view, protocol, count, wanted, until, &mut found);
        }
    }
    let unix: Vec<u64> = wanted.iter().filter(|(_, protocol)| is_unix(**protocol)).map(|at| *at.0).collect();
    if !unix.is_empty() || unknown > 0 {
        unix_sockets(&view, &unix, unknown, wanted, until, &mut found);
        let abroad = Abroad::new(pid, view.namespace);
        let missing: Vec<u64> = unix.iter().copied().filter(|inode| !found.contains_key(inode)).collect();
        for inode in missing {
            let there = abroad.unix(inode, until);
            found.extend(there.map(|(view, row)| (inode, row.socket(view.namespace))));
        }
    }
    for (&inode, &protocol) in wanted {
        let protocol = protocol.unwrap_or_default();
        let rest = Socket { protocol, namespace: view.namespace, ..Socket::default() };
        found.entry(inode).or_insert(rest);
    }
    found
}

fn is_unix(protocol: Option<Protocol>) -> bool {
    matches!(protocol, Some(Protocol::UnixStream | Protocol::UnixDatagram | Protocol::UnixSequence))
}

fn inet(view: &View, protocol: Protocol, count: usize, wanted: &Wanted, until: &Limit, found: &mut Found) {
    let all_figures = count > ONE_BY_ONE;
    // A connection with several paths has a row for each.
    let mut rows: FxHashMap<u64, InetRow> = FxHashMap::default();
    let seen = view.each_inet(protocol, all_figures && protocol == Protocol::Tcp, until, &mut |row| {
        if wanted.contains_key(&row.inode) {
            rows.entry(row.inode).or_insert(row);
        }
        rows.len() < count
    });
    if let Err(error) = seen {
        tracing::debug!("the sockets of {protocol:?} cannot be listed: {error}");
    }
    for row in rows.into_values() {
        let is_connected = !matches!(row.state, SocketState::Listen | SocketState::Close);
        let ask = protocol == Protocol::Tcp && is_connected && row.figures.is_none() && view.can_ask();
        let again = if ask { view.tcp(row.local, row.peer, until) } else { None };
        let row = again.filter(|again| again.inode == row.inode).unwrap_or(row);
        found.insert(row.inode, row.socket(view.namespace));
    }
}

fn unix_sockets(
    view: &View,
    unix: &[u64],
    unknown: usize,
    wanted: &Wanted,
    until: &Limit,
    found: &mut Found,
) {
    let few = unix.len() <= ONE_BY_ONE && unknown == 0 && view.can_ask();
    let mut rows = Vec::new();
    if few {
        rows.extend(unix.iter().filter_map(|&inode| view.unix(inode, until).ok()?));
    } else {
        let count = unix.len() + unknown;
        let seen = view.each_unix(until, &mut |row| {
            if wanted.contains_key(&row.inode) {
                rows.push(row);
            }
            rows.len() < count
        });
        if let Err(error) = seen {
            tracing::debug!("the unix sockets cannot be listed: {error}");
        }
    }
    found.extend(rows.into_iter().map(|row| (row.inode, row.socket(view.namespace))));
}
