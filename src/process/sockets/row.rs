//! Sockets as the kernel lists them, whichever list they come from.

use std::net::SocketAddr;

use crate::process::Memory;
use crate::snapshot::{Endpoint, Protocol, Socket, SocketState};

/// A TCP or UDP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InetRow {
    /// Its inode. 0 if no process has it open: not accepted yet, or closed.
    pub(super) inode: u64,
    /// TCP or UDP.
    pub(super) protocol: Protocol,
    /// Its own address. IPv4 addresses in an IPv6 socket are IPv4 addresses here.
    pub(super) local: SocketAddr,
    /// The address at the other end; port 0 if there is none.
    pub(super) peer: SocketAddr,
    pub(super) state: SocketState,
    /// Bytes not read; for a listening socket, connections not accepted.
    pub(super) receive_queue: u32,
    /// Bytes not acknowledged; for a listening socket, the most connections that may wait, if known.
    pub(super) send_queue: Option<u32>,
    /// It asks the other end again and again whether there is room: the timer of window probes runs.
    pub(super) probes: bool,
    /// Figures of a TCP connection, where the kernel was asked for them.
    pub(super) figures: Option<TcpFigures>,
}

/// Figures of a TCP connection (`struct tcp_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TcpFigures {
    /// Milliseconds since data was sent last; since the beginning if none was.
    pub(super) last_sent_ms: u32,
    /// The same for data received.
    pub(super) last_received_ms: u32,
    /// Bytes received.
    pub(super) received: Option<u64>,
    /// Bytes sent for the first time.
    pub(super) sent: Option<u64>,
    /// Bytes in the send queue that were never sent.
    pub(super) not_sent: u32,
}

impl InetRow {
    /// As the model describes it.
    pub(super) fn socket(&self, namespace: Option<u64>) -> Socket {
        let is_listening = self.state == SocketState::Listen;
        let mut socket = Socket {
            protocol: self.protocol,
            local: Endpoint::Inet(self.local),
            peer: if self.peer.port() == 0 { Endpoint::None } else { Endpoint::Inet(self.peer) },
            state: self.state,
            receive_queue: Some(self.receive_queue),
            send_queue: self.send_queue,
            peer_full: self.probes,
            namespace,
            ..Socket::default()
        };
        if let Some(figures) = self.figures.filter(|_| !is_listening) {
            let nanos = |ms: u32| u64::from(ms) * 1_000_000;
            let in_flight = u64::from(self.send_queue.unwrap_or(0).saturating_sub(figures.not_sent));
            socket.received_bytes = figures.received;
            socket.sent_bytes = figures.sent.map(|sent| sent.saturating_sub(in_flight));
            // Both count from the beginning of the connection if nothing ever came or went.
            let ever = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes > 0);
            socket.idle_receive_ns = ever(figures.received).then(|| nanos(figures.last_received_ms));
            socket.idle_send_ns = ever(figures.sent).then(|| nanos(figures.last_sent_ms));
        }
        socket
    }
}

/// A unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnixRow {
    pub(super) inode: u64,
    pub(super) protocol: Protocol,
    pub(super) state: SocketState,
    /// Its own name.
    pub(super) name: Endpoint,
    /// Inode of the socket at the other end. 0: no process has that one open. None: there is none, or not known.
    pub(super) peer: Option<u64>,
    /// Of a listening socket: inodes of the clients that wait to be accepted.
    pub(super) clients: Vec<u64>,
    pub(super) receive_queue: Option<u32>,
    pub(super) send_queue: Option<u32>,
    /// What was sent and not read fills the send buffer.
    pub(super) is_full: bool,
}

impl UnixRow {
    /// As the model describes it.
    pub(super) fn socket(&self, namespace: Option<u64>) -> Socket {
        Socket {
            protocol: self.protocol,
            local: self.name.clone(),
            peer: if self.peer.is_none() { Endpoint::None } else { Endpoint::Unknown },
            state: self.state,
            receive_queue: self.receive_queue,
            send_queue: self.send_queue,
            peer_full: self.is_full,
            peer_inode: self.peer.filter(|&inode| inode != 0),
            namespace,
            ..Socket::default()
        }
    }
}

/// The state with this number (`net/tcp_states.h`).
pub(super) fn state(number: u8) -> SocketState {
    match number {
        1 => SocketState::Established,
        2 => SocketState::SynSent,
        3 | 12 => SocketState::SynReceived,
        4 => SocketState::FinWait1,
        5 => SocketState::FinWait2,
        6 => SocketState::TimeWait,
        7 | 13 => SocketState::Close,
        8 => SocketState::CloseWait,
        9 => SocketState::LastAck,
        10 => SocketState::Listen,
        11 => SocketState::Closing,
        _ => SocketState::Unknown,
    }
}

/// The protocol of a unix socket of this type (`SOCK_STREAM`, ...).
pub(super) fn unix_protocol(kind: u32) -> Protocol {
    match kind {
        1 => Protocol::UnixStream,
        2 => Protocol::UnixDatagram,
        5 => Protocol::UnixSequence,
        _ => Protocol::Other,
    }
}

/// The address of a unix socket in the memory of a process: an argument of connect(2). None if it is another address, or
/// cannot be read.
pub fn unix_address(memory: &dyn Memory, address: u64, len: u64) -> Option<Endpoint> {
    /// `struct sockaddr_un` (unix(7)): the family, and a name of at most 108 bytes.
    const FAMILY: usize = 2;
    const MAX: u64 = 110;
    let bytes = memory.read_vec(address, usize::try_from(len.min(MAX)).ok()?).ok()?;
    let (family, name) = bytes.split_at_checked(FAMILY)?;
    let is_unix = family == (libc::AF_UNIX as u16).to_ne_bytes();
    Some(unix_name(name)).filter(|name| is_unix && *name != Endpoint::None)
}

/// The name of a unix socket: a path, or "@name" for an abstract one, as the kernel shows them.
pub(super) fn unix_name(bytes: &[u8]) -> Endpoint {
    match bytes {
        [] => Endpoint::None,
        [0, name @ ..] => {
            // Zero bytes may be in it, too: shown as the kernel does in net/unix.
            let name: Vec<u8> = name.iter().map(|&byte| if byte == 0 { b'@' } else { byte }).collect();
            Endpoint::Unix(format!("@{}", String::from_utf8_lossy(&name)))
        }
        path => {
            let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
            Endpoint::Unix(String::from_utf8_lossy(path).into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::process::{Range, Result, TargetError};

    /// Memory that begins at address 0x100.
    struct At100(Vec<u8>);

    impl Memory for At100 {
        fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
            let start = address.checked_sub(0x100).and_then(|start| usize::try_from(start).ok());
            let bytes = start.and_then(|start| self.0.get(start..start.checked_add(buf.len())?));
            let bytes = bytes.ok_or(TargetError::Unmapped { address, len: buf.len() })?;
            buf.copy_from_slice(bytes);
            Ok(())
        }

        fn read_many(&self, _: &[Range], _: &mut [u8], ok: &mut [bool]) -> Result<()> {
            ok.fill(false);
            Ok(())
        }
    }

    #[test]
    fn addresses_of_unix_sockets() {
        let of = |bytes: &[u8], len| unix_address(&At100(bytes.to_vec()), 0x100, len);
        let name = |name: &str| Some(Endpoint::Unix(name.to_owned()));
        assert_eq!(of(b"\x01\0/run/a.sock\0more", 18), name("/run/a.sock"));
        assert_eq!(of(b"\x01\0\0abstract\0", 11), name("@abstract"));
        assert_eq!(of(b"\x02\0\x1f\x90\x7f\0\0\x01", 8), None, "it is an IPv4 address");
        assert_eq!(of(b"\x01\0", 2), None, "it has no name");
        assert_eq!(of(b"\x01", 1), None);
        assert_eq!(of(b"\x01\0/a", u64::MAX), None, "not so much is mapped");
    }

    proptest! {
        #[test]
        fn any_address(bytes: Vec<u8>, address: u64, len: u64) {
            let memory = At100(bytes);
            for address in [address, 0x100] {
                if let Some(Endpoint::Unix(name)) = unix_address(&memory, address, len) {
                    prop_assert!(name.len() <= 3 * 110);
                }
            }
        }
    }
}
