//! The tables of sockets in /proc/PID/net, as the process sees them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use super::row::{InetRow, UnixRow, state, unix_protocol};
use crate::snapshot::{Endpoint, Protocol, SocketState};

/// A table is read up to this many bytes: some millions of sockets.
const MAX_BYTES: u64 = 1 << 30;
/// A longer line is cut: a name of a unix socket has at most 108 bytes.
const MAX_LINE: u64 = 4096;
/// How many lines are read before the clock is looked at.
const BETWEEN: u64 = 1024;

/// Gives each line but the first to `each`, which returns whether it wants more. Returns whether all were read.
pub(super) fn lines(path: &str, until: Instant, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut file = BufReader::with_capacity(64 << 10, File::open(path)?.take(MAX_BYTES));
    let mut line = Vec::new();
    for nth in 0u64.. {
        line.clear();
        if (&mut file).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let wants_more = nth == 0 || each(line.strip_suffix(b"\n").unwrap_or(&line));
        if !wants_more || nth % BETWEEN == 0 && Instant::now() > until {
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
