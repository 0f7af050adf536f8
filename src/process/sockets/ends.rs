//! The other ends of sockets, as far as they are on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustc_hash::{FxHashMap, FxHashSet};

use super::abroad::{Abroad, MAX_NAMESPACES, others};
use super::addresses::Addresses;
use super::row::{InetRow, UnixRow};
use super::view::View;
use crate::process::limit::Limit;
use crate::snapshot::{Descriptor, Endpoint, FileId, OtherEnd, Peer, Protocol, Socket, SocketState};

/// With more questions than this, the list of all sockets is read once.
const ONE_BY_ONE: usize = 200;

/// The other ends of sockets of a process, in the order of its descriptors. Sockets that have no other end (listening
/// ones, and ones that are not connected) and descriptors that are no sockets are left out. TCP and UDP connections
/// are looked for in every network namespace of a process that loiter can see, as long as `until` allows.
pub fn other_ends(pid: u32, descriptors: &[&Descriptor], until: &Limit) -> Vec<Peer> {
    let view = View::of(pid);
    let abroad = Abroad::new(pid, view.namespace);
    let mut peers: Vec<(usize, Peer)> = Vec::new();
    let mut open: Vec<Asked> = Vec::new();
    for (nth, descriptor) in descriptors.iter().enumerate() {
        let (Some(of), Some(socket)) = (descriptor.file, &descriptor.socket) else { continue };
        let to = match socket.protocol {
            Protocol::Tcp | Protocol::Udp => match Asked::new(nth, of, socket) {
                Some(asked) => {
                    open.push(asked);
                    continue;
                }
                // The kernel lists neither of the two.
                None if socket.protocol == Protocol::Tcp && socket.state == SocketState::Unknown => {
                    unknown("it is not connected any more, or was made in another network namespace")
                }
                None => continue,
            },
            _ if until.is_over() => nobody(false),
            Protocol::UnixStream | Protocol::UnixDatagram | Protocol::UnixSequence => {
                match unix_end(&view, &abroad, of, &socket.peer, until) {
                    Some(to) => to,
                    None => continue,
                }
            }
            Protocol::Netlink => OtherEnd::Kernel,
            Protocol::Other => unknown("loiter does not know this kind of socket"),
        };
        peers.push((nth, Peer { of, to }));
    }
    if !open.is_empty() {
        let ends = search(pid, &view, &open, until);
        peers.extend(open.iter().zip(ends).map(|(asked, to)| (asked.nth, Peer { of: asked.of, to })));
    }
    peers.sort_by_key(|(nth, _)| *nth);
    peers.into_iter().map(|(_, peer)| peer).collect()
}

/// The other end of a unix socket. None if it has none. `peer`: the address that it is being connected to, or that a
/// datagram is being sent to, if a call is known that does so.
fn unix_end(view: &View, abroad: &Abroad, of: FileId, peer: &Endpoint, until: &Limit) -> Option<OtherEnd> {
    let unknown = |why: &str| Some(unknown(why));
    let (view, row) = match view.unix(of.inode, until) {
        Ok(Some(row)) => (view, row),
        Ok(None) => match abroad.unix(of.inode, until) {
            Some(found) => found,
            None => return unknown("it was made in another network namespace"),
        },
        Err(_) => {
            return unknown(
                "the kernel names the other ends of unix sockets only within its own network namespace, or to root",
            );
        }
    };
    let file = |inode| FileId { inode, ..of };
    match (row.state, row.peer) {
        (SocketState::Listen, _) => None,
        (_, connected) if row.protocol == Protocol::UnixDatagram && matches!(peer, Endpoint::Unix(_)) => {
            let to = unix_named(view, of, peer, SocketState::Close, until);
            match (&to, connected) {
                (OtherEnd::Socket { file, .. }, Some(inode)) if file.inode != inode => {
                    unknown("it sends elsewhere than to the socket that it is connected to")
                }
                _ => Some(to),
            }
        }
        (_, Some(inode)) if inode != 0 => {
            // The other end may be of another network namespace: a path leads across.
            let unread = view.unix(inode, until).ok().flatten().and_then(|peer| peer.receive_queue);
            Some(OtherEnd::Socket { file: file(inode), unread })
        }
        (SocketState::Close, None) if matches!(peer, Endpoint::Unix(_)) => {
            Some(unix_named(view, of, peer, SocketState::Listen, until))
        }
        // Without a connection; datagrams may come from anybody.
        (SocketState::Close, None) => None,
        (_, None) if row.protocol == Protocol::UnixDatagram => None,
        (_, None) => unknown("the other end was closed"),
        (_, Some(_)) => {
            let mut listener = None;
            let seen = view.each_unix(until, &mut |row| {
                if row.clients.contains(&of.inode) {
                    listener = Some(file(row.inode));
                }
                listener.is_none()
            });
            match (listener, seen) {
                (Some(listener), _) => Some(OtherEnd::NotAccepted { listener }),
                (None, Ok(true)) => unknown("no process has the other end open"),
                (None, _) => unknown("not all sockets could be looked at"),
            }
        }
    }
}

/// The socket with an address: one that listens, or one that receives datagrams. As long as the call waits, the queue there
/// is full.
fn unix_named(view: &View, of: FileId, address: &Endpoint, state: SocketState, until: &Limit) -> OtherEnd {
    let listens = state == SocketState::Listen;
    if matches!(address, Endpoint::Unix(name) if !name.starts_with(['/', '@'])) {
        return unknown("the path of its address is relative to a folder");
    }
    let mut found: Vec<UnixRow> = Vec::new();
    let seen = view.each_unix(until, &mut |row| {
        let fits = if listens { is_full(&row) } else { has_datagrams(&row) };
        if fits && row.name == *address {
            found.push(row);
        }
        found.len() < 2
    });
    match (found.as_slice(), seen) {
        ([row], Ok(true)) => {
            let file = FileId { inode: row.inode, ..of };
            match listens {
                true => OtherEnd::NotAccepted { listener: file },
                false => OtherEnd::Socket { file, unread: row.receive_queue },
            }
        }
        // A program may have taken over the path of one that still runs.
        ([_, _, ..], _) => unknown("several sockets have the address"),
        ([], Ok(true)) => unknown("no socket with a full queue was found by this address"),
        _ => unknown("not all sockets could be looked at"),
    }
}

/// Whether a socket listens and accepts no more connections (`unix_recvq_full`), as far as that is known.
fn is_full(row: &UnixRow) -> bool {
    let queues = row.receive_queue.zip(row.send_queue);
    row.state == SocketState::Listen && queues.is_none_or(|(waiting, limit)| waiting > limit)
}

/// Whether a socket has datagrams that were not read, as far as that is known.
fn has_datagrams(row: &UnixRow) -> bool {
    row.protocol == Protocol::UnixDatagram && row.receive_queue != Some(0)
}

/// A connection whose other end is looked for.
#[derive(Debug, Clone)]
struct Asked {
    nth: usize,
    of: FileId,
    protocol: Protocol,
    local: SocketAddr,
    peer: SocketAddr,
    /// How far the connection is at this end.
    state: SocketState,
}

impl Asked {
    /// None if the socket is not connected.
    fn new(nth: usize, of: FileId, socket: &Socket) -> Option<Asked> {
        let (&Endpoint::Inet(local), &Endpoint::Inet(peer)) = (&socket.local, &socket.peer) else {
            return None;
        };
        Some(Asked { nth, of, protocol: socket.protocol, local, peer, state: socket.state })
    }
}

/// The other ends of connections, one for each.
fn search(pid: u32, own: &View, asked: &[Asked], until: &Limit) -> Vec<OtherEnd> {
    let mut ends: Vec<Option<OtherEnd>> = vec![None; asked.len()];
    let ours = Addresses::of(pid, until);
    let all: Vec<usize> = (0..asked.len()).collect();
    let (found, own_is_whole) = look(own, asked, &all, &ours, until);
    for (at, end) in found {
        ends[at] = Some(end);
    }
    // What is sent to these addresses does not leave the namespace.
    let stays = |at: &usize| ours.has(asked[*at].peer.ip());
    let (here, away): (Vec<_>, Vec<_>) = all.into_iter().filter(|&at| ends[at].is_none()).partition(stays);
    here.into_iter().for_each(|at| {
        ends[at] = Some(match asked[at].state {
            SocketState::CloseWait if own_is_whole => {
                unknown("the process at the other end has closed it, and nothing is left of that end")
            }
            _ => nobody(own_is_whole),
        });
    });
    let is_whole = away.is_empty() || elsewhere(pid, own, asked, &away, &mut ends, until);
    let rest = || match (own_is_whole, is_whole) {
        (true, true) => OtherEnd::Elsewhere,
        (true, false) => unknown("not all network namespaces could be looked at"),
        (false, _) => nobody(false),
    };
    ends.into_iter().map(|end| end.unwrap_or_else(rest)).collect()
}

/// Looks for connections in the other network namespaces of this machine. Returns whether all were looked at.
fn elsewhere(
    pid: u32,
    own: &View,
    asked: &[Asked],
    away: &[usize],
    ends: &mut [Option<OtherEnd>],
    until: &Limit,
) -> bool {
    let others = others(pid, own.namespace, until);
    let mut is_whole = others.len() < MAX_NAMESPACES;
    for pid in others {
        if until.is_over() {
            return false;
        }
        let there = Addresses::of(pid, until);
        let is_there = |at: &&usize| {
            let address = asked[**at].peer.ip();
            there.has(address) && !address.is_loopback()
        };
        let near: Vec<usize> = away.iter().filter(is_there).copied().collect();
        if near.is_empty() {
            continue;
        }
        let (found, all_listed) = look(&View::of(pid), asked, &near, &there, until);
        is_whole &= all_listed;
        let mut without: FxHashSet<usize> = near.into_iter().collect();
        for (at, end) in found {
            without.remove(&at);
            // Two namespaces that do not know of each other may use the same addresses.
            let is_second = matches!(&ends[at], Some(known) if !matches!(known, OtherEnd::Unknown(_)));
            let end = if is_second {
                unknown("sockets in several network namespaces have these addresses")
            } else {
                end
            };
            ends[at] = Some(end);
        }
        for at in without {
            ends[at].get_or_insert_with(|| nobody(all_listed));
        }
    }
    // What was cut short is not all.
    is_whole && !until.is_over()
}

/// The other ends that are in this network namespace, by their place in `asked`, and whether all of its sockets that
/// matter were listed.
fn look(
    view: &View,
    asked: &[Asked],
    which: &[usize],
    addresses: &Addresses,
    until: &Limit,
) -> (Vec<(usize, OtherEnd)>, bool) {
    let (twins, twins_listed) = twins(view, asked, which, until);
    let needs_listener = |at: &usize| match twins.get(at) {
        Some(twin) => twin.inode == 0,
        None => asked[*at].state == SocketState::SynSent && addresses.has(asked[*at].peer.ip()),
    };
    let waiting: Vec<usize> = which.iter().copied().filter(needs_listener).collect();
    let (listeners, listeners_listed) = listeners(view, asked, &waiting, until);
    let end = |&at: &usize| {
        let file = |inode| FileId { inode, ..asked[at].of };
        let listener = || listeners.get(&at).map(|row| OtherEnd::NotAccepted { listener: file(row.inode) });
        let end = match twins.get(&at) {
            Some(twin) if twin.inode != 0 => {
                OtherEnd::Socket { file: file(twin.inode), unread: Some(twin.receive_queue) }
            }
            Some(twin) if is_new(twin.state) => listener().unwrap_or_else(|| match listeners_listed {
                true => unknown("the connection was never accepted, and no socket listens"),
                false => nobody(false),
            }),
            Some(twin) => unknown(&left_behind(twin.state)),
            None => listener()?,
        };
        Some((at, end))
    };
    (which.iter().filter_map(end).collect(), twins_listed && listeners_listed)
}

/// A socket without a process in this state was not accepted yet; in any other state it was closed.
fn is_new(state: SocketState) -> bool {
    matches!(state, SocketState::Established | SocketState::CloseWait | SocketState::SynReceived)
}

/// What is said of an end that no process has any more: the kernel keeps it for a while.
fn left_behind(state: SocketState) -> String {
    let closed = "the process at the other end has closed it";
    let name = match state {
        SocketState::FinWait1 => "FIN-WAIT-1",
        SocketState::FinWait2 => "FIN-WAIT-2",
        SocketState::Closing => "CLOSING",
        SocketState::LastAck => "LAST-ACK",
        SocketState::TimeWait => "TIME-WAIT",
        _ => return closed.to_owned(),
    };
    format!("{closed}; the kernel keeps that end in {name}")
}

/// Sockets of a namespace that mirror connections, by their place in `asked`, and whether all were listed.
fn twins(view: &View, asked: &[Asked], which: &[usize], until: &Limit) -> (FxHashMap<usize, InetRow>, bool) {
    let (mut found, mut is_whole) = (FxHashMap::default(), true);
    let mut listed: FxHashMap<(SocketAddr, SocketAddr), usize> = FxHashMap::default();
    let mut protocols = [(Protocol::Tcp, false), (Protocol::Udp, false)];
    let one_by_one = view.can_ask() && which.len() <= ONE_BY_ONE;
    for &at in which {
        let Asked { protocol, local, peer, .. } = asked[at];
        if until.is_over() {
            return (found, false);
        }
        if protocol == Protocol::Tcp && one_by_one {
            found.extend(view.tcp(peer, local, until).map(|twin| (at, twin)));
            continue;
        }
        listed.insert((peer, local), at);
        protocols.iter_mut().filter(|known| known.0 == protocol).for_each(|known| known.1 = true);
    }
    for (protocol, _) in protocols.into_iter().filter(|known| known.1) {
        let mut bound: FxHashMap<SocketAddr, InetRow> = FxHashMap::default();
        let seen = view.each_inet(protocol, false, until, &mut |row| {
            match listed.get(&(row.local, row.peer)) {
                Some(&at) if asked[at].protocol == protocol => drop(found.insert(at, row)),
                // It receives what is sent to its address, from anybody.
                _ if protocol == Protocol::Udp && row.peer.port() == 0 => drop(bound.insert(row.local, row)),
                _ => {}
            }
            true
        });
        is_whole &= *seen.as_ref().unwrap_or(&false);
        if let Err(error) = seen {
            tracing::debug!("the sockets of {protocol:?} cannot be listed: {error}");
        }
        for (&(peer, _), &at) in listed.iter().filter(|(_, at)| asked[**at].protocol == protocol) {
            let receiver = at_address(peer).find_map(|address| bound.get(&address));
            if let Some(receiver) = receiver {
                found.entry(at).or_insert_with(|| receiver.clone());
            }
        }
    }
    (found, is_whole)
}

/// The listening sockets that accept connections to the addresses at the other ends, and whether all were listed.
fn listeners(
    view: &View,
    asked: &[Asked],
    which: &[usize],
    until: &Limit,
) -> (FxHashMap<usize, InetRow>, bool) {
    if which.is_empty() {
        return (FxHashMap::default(), true);
    }
    let mut listening: FxHashMap<SocketAddr, InetRow> = FxHashMap::default();
    let seen = view.each_inet(Protocol::Tcp, false, until, &mut |row| {
        if row.state == SocketState::Listen {
            // Several may share an address: the fullest one is the likeliest.
            let known = listening.get(&row.local).map_or(0, |known| known.receive_queue);
            if row.receive_queue >= known {
                listening.insert(row.local, row);
            }
        }
        true
    });
    let is_whole = *seen.as_ref().unwrap_or(&false);
    if let Err(error) = seen {
        tracing::debug!("the listening sockets cannot be listed: {error}");
    }
    let of = |&at: &usize| {
        let row = at_address(asked[at].peer).find_map(|address| listening.get(&address))?;
        Some((at, row.clone()))
    };
    (which.iter().filter_map(of).collect(), is_whole)
}

/// The local addresses of sockets that receive what is sent to this address, the closest one first.
fn at_address(address: SocketAddr) -> impl Iterator<Item = SocketAddr> {
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    // A socket for all IPv6 addresses receives what is sent to IPv4 addresses, too.
    let any = any.into_iter().skip(usize::from(address.is_ipv6()));
    std::iter::once(address.ip()).chain(any).map(move |ip| SocketAddr::new(ip, address.port()))
}

/// No socket was found. `all_listed`: all were looked at.
fn nobody(all_listed: bool) -> OtherEnd {
    unknown(match all_listed {
        true => "its address is of this machine, but no socket there has this connection",
        false => "not all sockets could be listed in time",
    })
}

fn unknown(why: &str) -> OtherEnd {
    OtherEnd::Unknown(why.to_owned())
}
