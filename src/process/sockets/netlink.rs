//! Questions to the kernel about sockets, over netlink (sock_diag(7)): sending, and taking answers apart.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::process::limit::Limit;
use crate::process::sys;

/// Room for one answer. The kernel puts at most 32 KiB into one.
const ANSWER: usize = 64 << 10;
/// The kernel answers at once; if it does not, the question is given up.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of the header of a message (`nlmsghdr`).
const HEADER: usize = 16;
/// The number of all questions of sock_diag (`SOCK_DIAG_BY_FAMILY`).
const BY_FAMILY: u16 = 20;
/// Kinds of answers (`NLMSG_ERROR`, `NLMSG_DONE`).
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Flags of questions (`NLM_F_REQUEST`, `NLM_F_DUMP`).
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;

/// A connection to the kernel that answers for one network namespace.
#[derive(Debug)]
pub(super) struct Netlink {
    /// A netlink socket. The type only gives it `send` and `recv`.
    socket: UdpSocket,
    /// The number of the last question. An answer has that of its question.
    asked: Cell<u32>,
}

/// How much is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The one socket that the question describes.
    One,
    /// All sockets that match it.
    All,
}

impl Netlink {
    /// For the network namespace of loiter.
    pub(super) fn open() -> io::Result<Netlink> {
        Self::new(sys::sock_diag_socket()?)
    }

    /// For another network namespace. Only a thread made for this purpose is ever in that namespace.
    ///
    /// # Errors
    /// Without CAP_SYS_ADMIN over that namespace.
    pub(super) fn open_in(namespace: &File) -> io::Result<Netlink> {
        let open = || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(sys::sock_diag_socket()?)
        };
        let socket: io::Result<OwnedFd> = thread::scope(|scope| {
            let opener = thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, open)?;
            opener.join().unwrap_or_else(|_| Err(io::Error::other("the thread has panicked")))
        });
        Self::new(socket?)
    }

    fn new(socket: OwnedFd) -> io::Result<Netlink> {
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Netlink { socket, asked: Cell::new(0) })
    }

    /// Asks, and gives the body of each answer to `each`, which returns whether it wants more. Returns whether all
    /// answers came before `until`. After a question about all sockets it is of no use any more: the kernel may still
    /// have answers.
    ///
    /// # Errors
    /// What the kernel answered; ENOENT if there is no such socket.
    pub(super) fn ask(
        &self,
        question: &[u8],
        wanted: Wanted,
        until: &Limit,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> io::Result<bool> {
        let flags = if wanted == Wanted::All { REQUEST | DUMP } else { REQUEST };
        let len = HEADER + question.len();
        let mut message = Vec::with_capacity(len);
        message.extend(u32::try_from(len).unwrap_or(0).to_ne_bytes());
        message.extend(BY_FAMILY.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        let number = self.asked.get().wrapping_add(1);
        self.asked.set(number);
        message.extend(number.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(question);
        self.socket.send(&message)?;
        let mut buffer = vec![0; ANSWER];
        loop {
            let got = self.socket.recv(&mut buffer)?;
            for (kind, of, body) in messages(buffer.get(..got).unwrap_or_default()) {
                match kind {
                    _ if of != number => {}
                    DONE => return Ok(true),
                    ERROR => return error(body).map_or(Ok(true), Err),
                    _ if !each(body) => return Ok(false),
                    _ if wanted == Wanted::One => return Ok(true),
                    _ => {}
                }
            }
            if got == 0 || until.is_over() {
                return Ok(false);
            }
        }
    }
}

/// The kind, the number and the body of each message in an answer. A damaged message ends it.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
        let number = u32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
        let body = bytes.get(HEADER..len)?;
        bytes = bytes.get(len.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some((kind, number, body))
    })
}

/// The error in an answer; none if it is a confirmation.
fn error(body: &[u8]) -> Option<io::Error> {
    let number = body.first_chunk().map_or(libc::EPROTO, |bytes| i32::from_ne_bytes(*bytes).saturating_neg());
    (number != 0).then(|| io::Error::from_raw_os_error(number))
}

/// The attributes behind a fixed structure: number and value of each (`rtattr`). A damaged one ends them.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let number = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some((number, value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, number: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(HEADER + body.len()).expect("small");
        let head = [len.to_ne_bytes().to_vec(), kind.to_ne_bytes().to_vec(), vec![0; 2]].concat();
        let mut bytes = [head, number.to_ne_bytes().to_vec(), vec![0; 4], body.to_vec()].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn messages_and_attributes() {
        let both = [message(20, 1, b"abc"), message(DONE, 2, b"")].concat();
        let found: Vec<_> = messages(&both).collect();
        assert_eq!(found, [(20, 1, &b"abc"[..]), (DONE, 2, b"")]);
        let bytes = [
            &7u16.to_ne_bytes()[..],
            &5u16.to_ne_bytes(),
            b"abc\0",
            &4u16.to_ne_bytes(),
            &1u16.to_ne_bytes(),
        ];
        assert_eq!(attributes(&bytes.concat()).collect::<Vec<_>>(), [(5, &b"abc"[..]), (1, b"")]);
        assert_eq!(error(&(-2i32).to_ne_bytes()).and_then(|error| error.raw_os_error()), Some(libc::ENOENT));
        assert!(error(&[0; 4]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER + 1);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4 + 1);
            error(&bytes);
        }

        #[test]
        fn lengths_of_any_size(lengths in prop::collection::vec(0u16..24, 0..20)) {
            let bytes: Vec<u8> = lengths.iter().flat_map(|len| len.to_ne_bytes()).collect();
            prop_assert!(messages(&bytes).count() <= bytes.len());
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
