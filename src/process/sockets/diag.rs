//! The words of sock_diag(7): questions about sockets, and what is in the answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::netlink::attributes;
use super::row::{InetRow, TcpFigures, UnixRow, state, unix_name, unix_protocol};
use crate::snapshot::{Endpoint, Protocol, SocketState};

/// No cookie: any socket with these addresses (`INET_DIAG_NOCOOKIE`).
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// The timer of window probes runs (`idiag_timer`).
const PROBES: u8 = 4;
/// The number of the attribute with the figures of a connection (`INET_DIAG_INFO`).
const INFO: u16 = 2;
/// Attributes of unix sockets (`UNIX_DIAG_NAME`, ...).
const NAME: u16 = 0;
const PEER: u16 = 2;
const CLIENTS: u16 = 3;
const QUEUES: u16 = 4;
const MEMORY: u16 = 5;
/// All of them are wanted (`UDIAG_SHOW_NAME`, `_PEER`, `_ICONS`, `_RQLEN`, `_MEMINFO`).
const SHOW: u32 = 0x01 | 0x04 | 0x08 | 0x10 | 0x20;
/// A listening socket waits for at most this many clients.
const MAX_CLIENTS: usize = 1 << 16;

/// Which sockets are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InetQuestion {
    /// All sockets of this family.
    All(Family),
    /// The TCP socket with these addresses; the address of the other end is the second one.
    One(SocketAddr, SocketAddr),
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    fn number(self) -> u8 {
        // AF_INET and AF_INET6.
        match self {
            Family::V4 => 2,
            Family::V6 => 10,
        }
    }
}

/// A question about TCP or UDP sockets (`inet_diag_req_v2`). `figures`: with those of each connection.
pub(super) fn inet_question(protocol: Protocol, about: InetQuestion, figures: bool) -> Vec<u8> {
    let (family, states, id) = match about {
        InetQuestion::All(family) => (family, u32::MAX, vec![0; 48]),
        InetQuestion::One(local, peer) => {
            let family = if local.is_ipv4() { Family::V4 } else { Family::V6 };
            let mut id = Vec::with_capacity(48);
            id.extend(local.port().to_be_bytes());
            id.extend(peer.port().to_be_bytes());
            id.extend(octets(local.ip()));
            id.extend(octets(peer.ip()));
            id.extend([0; 4]);
            id.extend(NO_COOKIE);
            (family, u32::MAX, id)
        }
    };
    let number = if protocol == Protocol::Udp { libc::IPPROTO_UDP } else { libc::IPPROTO_TCP };
    let mut question = vec![family.number(), u8::try_from(number).unwrap_or(0), u8::from(figures) << 1, 0];
    question.extend(states.to_ne_bytes());
    question.extend(id);
    question
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets.iter_mut().zip(address.octets()).for_each(|(to, from)| *to = from);
            octets
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// An answer about a TCP or UDP socket (`inet_diag_msg` and attributes).
pub(super) fn inet_row(body: &[u8], protocol: Protocol) -> Option<InetRow> {
    let (fixed, rest) = body.split_at_checked(72)?;
    let family = *fixed.first()?;
    let address = |port: usize, address: usize| {
        let port = u16::from_be_bytes(*fixed.get(port..)?.first_chunk()?);
        let ip = match family {
            2 => IpAddr::V4(Ipv4Addr::from(*fixed.get(address..)?.first_chunk::<4>()?)),
            10 => IpAddr::V6(Ipv6Addr::from(*fixed.get(address..)?.first_chunk::<16>()?)).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    };
    let info = attributes(rest).find(|&(number, _)| number == INFO);
    Some(InetRow {
        inode: word(fixed, 68)?.into(),
        protocol,
        local: address(4, 8)?,
        peer: address(6, 24)?,
        state: state(*fixed.get(1)?),
        receive_queue: word(fixed, 56)?,
        send_queue: Some(word(fixed, 60)?),
        probes: protocol == Protocol::Tcp && *fixed.get(2)? == PROBES,
        figures: info.and_then(|(_, info)| figures(info)).filter(|_| protocol == Protocol::Tcp),
    })
}

/// `struct tcp_info`: older kernels have a shorter one.
fn figures(info: &[u8]) -> Option<TcpFigures> {
    // Everything that was sent, less what was sent again.
    let sent = long(info, 200).zip(long(info, 208)).map(|(all, again)| all.saturating_sub(again));
    Some(TcpFigures {
        last_sent_ms: word(info, 44)?,
        last_received_ms: word(info, 52)?,
        received: long(info, 128),
        sent,
        not_sent: word(info, 144).unwrap_or(0),
    })
}

/// A question about unix sockets (`unix_diag_req`): about the one with this inode, or about all.
pub(super) fn unix_question(inode: Option<u32>) -> Vec<u8> {
    let mut question = vec![1, 0, 0, 0];
    question.extend(u32::MAX.to_ne_bytes());
    question.extend(inode.unwrap_or(0).to_ne_bytes());
    question.extend(SHOW.to_ne_bytes());
    question.extend(NO_COOKIE);
    question
}

/// An answer about a unix socket (`unix_diag_msg` and attributes).
pub(super) fn unix_row(body: &[u8]) -> Option<UnixRow> {
    let (fixed, rest) = body.split_at_checked(16)?;
    let mut row = UnixRow {
        inode: word(fixed, 4)?.into(),
        protocol: unix_protocol((*fixed.get(1)?).into()),
        state: state(*fixed.get(2)?),
        name: Endpoint::None,
        peer: None,
        clients: Vec::new(),
        receive_queue: None,
        send_queue: None,
        is_full: false,
    };
    for (number, value) in attributes(rest) {
        match number {
            NAME => row.name = unix_name(value),
            PEER => row.peer = word(value, 0).map(u64::from),
            CLIENTS => {
                let (words, _) = value.as_chunks::<4>();
                let inodes = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word)));
                row.clients = inodes.take(MAX_CLIENTS).collect();
            }
            QUEUES => (row.receive_queue, row.send_queue) = (word(value, 0), word(value, 4)),
            MEMORY => row.is_full = is_full(value).unwrap_or(false),
            _ => {}
        }
    }
    if row.state == SocketState::Listen {
        row.peer = None;
        row.is_full = false;
    }
    Some(row)
}

/// Whether a socket is not writable: what it sent and nobody read takes more than a quarter of its send buffer
/// (`unix_writable`; `SK_MEMINFO_SNDBUF`, `SK_MEMINFO_WMEM_ALLOC`).
fn is_full(memory: &[u8]) -> Option<bool> {
    let (limit, used) = (word(memory, 12)?, word(memory, 8)?);
    Some(u64::from(used) * 4 > u64::from(limit))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(4 + value.len()).expect("small");
        let mut bytes = [&len.to_ne_bytes()[..], &number.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn questions_have_the_size_of_their_structures() {
        let (local, peer) = ("127.0.0.1:1", "[::1]:2");
        let one = InetQuestion::One(local.parse().expect("an address"), peer.parse().expect("an address"));
        for about in [InetQuestion::All(Family::V4), InetQuestion::All(Family::V6), one] {
            assert_eq!(inet_question(Protocol::Tcp, about, true).len(), 56);
        }
        assert_eq!(unix_question(None).len(), 24);
    }

    #[test]
    fn an_answer_about_a_connection() {
        let mut fixed = vec![0; 72];
        fixed[..3].copy_from_slice(&[2, 1, PROBES]);
        fixed[4..12].copy_from_slice(&[0x1f, 0x90, 0xc3, 0x50, 127, 0, 0, 1]);
        fixed[24..28].copy_from_slice(&[10, 0, 0, 2]);
        fixed[56..60].copy_from_slice(&3u32.to_ne_bytes());
        fixed[60..64].copy_from_slice(&100u32.to_ne_bytes());
        fixed[68..72].copy_from_slice(&4711u32.to_ne_bytes());
        let mut info = vec![0; 232];
        info[52..56].copy_from_slice(&1500u32.to_ne_bytes());
        info[128..136].copy_from_slice(&7u64.to_ne_bytes());
        info[144..148].copy_from_slice(&40u32.to_ne_bytes());
        info[200..208].copy_from_slice(&1000u64.to_ne_bytes());
        info[208..216].copy_from_slice(&10u64.to_ne_bytes());
        let body = [fixed.clone(), attribute(INFO, &info)].concat();
        let row = inet_row(&body, Protocol::Tcp).expect("an answer");
        assert_eq!(
            (row.local.to_string(), row.peer.to_string()),
            ("127.0.0.1:8080".into(), "10.0.0.2:50000".into())
        );
        let socket = row.socket(Some(9));
        assert_eq!((socket.received_bytes, socket.idle_receive_ns), (Some(7), Some(1_500_000_000)));
        // 1000 sent, 10 of them again, and 60 of 100 in the queue are under way.
        assert_eq!((socket.sent_bytes, socket.send_queue), (Some(930), Some(100)));
        assert!(socket.peer_full);
        // An older kernel's structure is shorter.
        let body = [fixed, attribute(INFO, &info[..104])].concat();
        let socket = inet_row(&body, Protocol::Tcp).expect("an answer").socket(None);
        assert_eq!((socket.received_bytes, socket.sent_bytes, socket.idle_receive_ns), (None, None, None));
    }

    #[test]
    fn an_answer_about_a_unix_socket() {
        let mut fixed = vec![1, 1, 1, 0];
        fixed.extend(4711u32.to_ne_bytes());
        fixed.extend([0; 8]);
        let body = [
            fixed,
            attribute(NAME, b"\0name\0x"),
            attribute(PEER, &4712u32.to_ne_bytes()),
            attribute(QUEUES, &[5u32.to_ne_bytes(), 6u32.to_ne_bytes()].concat()),
            attribute(MEMORY, &[0u32, 0, 300, 1000].map(u32::to_ne_bytes).concat()),
        ];
        let row = unix_row(&body.concat()).expect("an answer");
        assert_eq!((row.inode, row.peer, row.name), (4711, Some(4712), Endpoint::Unix("@name@x".to_owned())));
        assert_eq!((row.receive_queue, row.send_queue, row.is_full), (Some(5), Some(6), true));
    }

    proptest! {
        #[test]
        fn any_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            inet_row(&bytes, Protocol::Tcp);
            if let Some(row) = unix_row(&bytes) {
                prop_assert!(row.clients.len() <= MAX_CLIENTS);
            }
            figures(&bytes);
            is_full(&bytes);
        }

        #[test]
        fn any_attributes_behind_a_good_beginning(number in 0u16..8, value: Vec<u8>, state: u8) {
            let mut fixed = vec![10; 72];
            fixed[1] = state;
            let body = [fixed, attribute(number, &value)].concat();
            if let Some(row) = inet_row(&body, Protocol::Tcp) {
                row.socket(None);
            }
            let body = [vec![1; 16], attribute(number, &value)].concat();
            if let Some(row) = unix_row(&body) {
                row.socket(None);
            }
        }
    }
}
