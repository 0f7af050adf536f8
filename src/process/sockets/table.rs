//! The tables of sockets in /proc/PID/net, as the process sees them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::row::{InetRow, UnixRow, state, unix_protocol};
use crate::process::limit::Limit;
use crate::snapshot::{Endpoint, Protocol, SocketState};

/// A table is read up to this many bytes: some millions of sockets.
const MAX_BYTES: u64 = 1 << 30;
/// A longer line is cut: a name of a unix socket has at most 108 bytes.
const MAX_LINE: u64 = 4096;
/// How many lines are read before the clock is looked at.
const BETWEEN: u64 = 1024;

/// Whether a table begins with the names of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heading {
    /// The first line has them.
    One,
    /// Every line is an entry.
    None,
}

/// Gives each line behind the heading to `each`, which returns whether it wants more. Returns whether all were read.
pub(super) fn lines(
    path: &str,
    heading: Heading,
    until: &Limit,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    let mut file = BufReader::with_capacity(64 << 10, File::open(path)?.take(MAX_BYTES));
    let mut line = Vec::new();
    for nth in 0u64.. {
        line.clear();
        if (&mut file).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let is_heading = nth == 0 && heading == Heading::One;
        let wants_more = is_heading || each(line.strip_suffix(b"\n").unwrap_or(&line));
        if !wants_more || nth % BETWEEN == 0 && until.is_over() {
            return Ok(false);
        }
    }
    Ok(file.get_ref().limit() > 0)
}

/// A line of `net/tcp`, `net/tcp6`, `net/udp` or `net/udp6`.
pub(super) fn inet(line: &[u8], protocol: Protocol) -> Option<InetRow> {
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = address(fields.next()?)?;
    let peer = address(fields.next()?)?;
    let number = u8::from_str_radix(fields.next()?, 16).ok()?;
    let (send, receive) = fields.next()?.split_once(':')?;
    let (timer, _) = fields.next()?.split_once(':')?;
    let inode = fields.nth(3)?.parse().ok()?;
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let state = state(number);
    Some(InetRow {
        inode,
        protocol,
        local,
        peer,
        state,
        receive_queue: hex(receive)?,
        // Of a listening socket this table does not have the limit.
        send_queue: hex(send).filter(|_| state != SocketState::Listen),
        probes: protocol == Protocol::Tcp && timer == "04",
        figures: None,
    })
}

/// "0100007F:1F90": words of the address as the processor reads them, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(words.iter().flatten()).for_each(|(to, from)| *to = *from);
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// A line of `net/unix`: "Num: RefCount Protocol Flags Type St Inode Path". The other end is not in it.
pub(super) fn unix(line: &[u8]) -> Option<UnixRow> {
    let (fields, name) = split_fields(line, 7)?;
    let hex = |nth: usize| u32::from_str_radix(fields.get(nth)?, 16).ok();
    // The flag says that it listens (`__SO_ACCEPTCON`); the states are those of `socket_state`.
    let state = match (hex(3)? & 0x0001_0000 != 0, hex(5)?) {
        (true, _) => SocketState::Listen,
        (false, 1) => SocketState::Close,
        (false, 2) => SocketState::SynSent,
        (false, 3) => SocketState::Established,
        _ => SocketState::Unknown,
    };
    let name = String::from_utf8_lossy(name);
    Some(UnixRow {
        inode: fields.get(6)?.parse().ok()?,
        protocol: unix_protocol(hex(4)?),
        state,
        name: if name.is_empty() { Endpoint::None } else { Endpoint::Unix(name.into_owned()) },
        peer: None,
        clients: Vec::new(),
        receive_queue: None,
        send_queue: None,
        is_full: false,
    })
}

/// The first fields of a line, and what follows the space behind them, which may contain spaces.
fn split_fields(mut line: &[u8], count: usize) -> Option<(Vec<&str>, &[u8])> {
    let mut fields = Vec::with_capacity(count);
    while fields.len() < count {
        line = line.trim_ascii_start();
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let (field, rest) = line.split_at_checked(end).filter(|(field, _)| !field.is_empty())?;
        fields.push(std::str::from_utf8(field).ok()?);
        line = rest;
    }
    Some((fields, line.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_tcp() {
        let line =
            b"   1: 0100007F:1F90 0200000A:C350 01 0000000B:00000400 04:00000014 00000000  1000 0 4711 1 x";
        let row = inet(line, Protocol::Tcp).expect("a line");
        assert_eq!((row.local, row.peer), (at("127.0.0.1:8080"), at("10.0.0.2:50000")));
        assert_eq!((row.inode, row.state), (4711, SocketState::Established));
        assert_eq!((row.send_queue, row.receive_queue, row.probes), (Some(11), 1024, true));
        assert!(!inet(line, Protocol::Udp).expect("a line").probes);
        let listening = b"0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000002 00:0 0 0 0 7";
        let row = inet(listening, Protocol::Tcp).expect("a line");
        assert_eq!((row.local, row.receive_queue, row.send_queue), (at("[::]:80"), 2, None));
        // IPv4 in an IPv6 socket.
        let mapped = b"0: 0000000000000000FFFF00000100007F:0050 B80D0120000000000000000001000000:0001 01 0:0 00:0 0 0 0 7";
        let row = inet(mapped, Protocol::Tcp).expect("a line");
        assert_eq!((row.local, row.peer), (at("127.0.0.1:80"), at("[2001:db8::1]:1")));
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn lines_of_unix() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01 4711 /tmp/a  b";
        let row = unix(line).expect("a line");
        assert_eq!((row.inode, row.state, row.protocol), (4711, SocketState::Listen, Protocol::UnixStream));
        assert_eq!(row.name, Endpoint::Unix("/tmp/a  b".to_owned()));
        let row = unix(b"0: 3 0 0 2 3 4712").expect("a line without a name");
        assert_eq!((row.state, row.protocol), (SocketState::Established, Protocol::UnixDatagram));
        assert_eq!(row.name, Endpoint::None);
    }

    proptest! {
        #[test]
        fn any_bytes(line: Vec<u8>) {
            inet(&line, Protocol::Tcp);
            unix(&line);
        }

        #[test]
        fn nearly_lines(line in "[ 0-9]{0,4}:( [0-9A-F]{0,33}:[0-9A-F]{0,5}){0,3} [0-9A-F]{0,3}( [0-9A-F]{0,9}:[0-9A-F]{0,9}){0,3}( [0-9]{0,22}){0,5}.{0,20}") {
            inet(line.as_bytes(), Protocol::Tcp);
        }

        #[test]
        fn nearly_unix(line in "[0-9a-f]{0,16}:( [0-9A-F]{0,9}){0,7}.{0,120}") {
            unix(line.as_bytes());
        }
    }
}
