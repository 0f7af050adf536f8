//! What the processes of a gate tell each other, over pairs of sockets that keep messages whole.

use std::io::{IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, send,
    sendmsg, socketpair,
};

use super::filter::Call;

/// One end of a pair.
#[derive(Debug)]
pub(super) struct Line(OwnedFd);

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<T> {
    Message(T),
    /// Nothing now.
    Nothing,
    /// The other side is gone.
    Gone,
}

impl Line {
    pub(super) fn pair() -> Result<(Line, Line), Errno> {
        let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
        socketpair(AddressFamily::Unix, kind, None, flags).map(|(one, other)| (Line(one), Line(other)))
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.0
    }

    pub(super) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Leaves the descriptor to whoever closes it by its number.
    pub(super) fn leave(self) {
        let _ = ManuallyDrop::new(self);
    }

    /// Sends a message if there is room for it.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        again(|| send(self.raw(), bytes, flags)).map(drop)
    }

    /// The next message, of `N` bytes. `wait`: until there is one.
    pub(super) fn receive<const N: usize>(&self, wait: bool) -> Received<[u8; N]> {
        let mut bytes = [0; N];
        let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
        match again(|| recv(self.raw(), &mut bytes, flags)) {
            Ok(len) if len == N => Received::Message(bytes),
            Err(Errno::EAGAIN) => Received::Nothing,
            _ => Received::Gone,
        }
    }

    /// Passes a descriptor on.
    pub(super) fn send_descriptor(&self, fd: &OwnedFd) -> Result<(), Errno> {
        let fds = [fd.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&fds)];
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let sent = again(|| sendmsg::<()>(self.raw(), &[IoSlice::new(&[0])], &message, flags, None));
        sent.map(drop)
    }

    /// Waits for a descriptor. None if the other side is gone.
    pub(super) fn receive_descriptor(&self) -> Option<OwnedFd> {
        let mut space = nix::cmsg_space!([RawFd; 1]);
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            match recvmsg::<()>(self.raw(), &mut parts, Some(&mut space), flags) {
                Err(Errno::EINTR) => {}
                other => break other.ok()?,
            }
        };
        let fd = message.cmsgs().ok()?.find_map(|part| match part {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        })?;
        // SAFETY: the kernel has just made this descriptor for us, and it has no other owner.
        Some(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// A held call as a message.
pub(super) fn pack(call: Call) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (id, tid) = bytes.split_at_mut(8);
    id.copy_from_slice(&call.id.to_ne_bytes());
    tid.copy_from_slice(&call.tid.to_ne_bytes());
    bytes
}

/// The held call in a message.
pub(super) fn unpack(bytes: [u8; 12]) -> Call {
    let [a, b, c, d, e, f, g, h, tid @ ..] = bytes;
    let id = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
    Call { id, tid: u32::from_ne_bytes(tid), is_probe: false }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn calls_and_descriptors_arrive() {
        let (one, other) = Line::pair().unwrap();
        let call = Call { id: 0xfedc_ba98_7654_3210, tid: 42, is_probe: false };
        one.send(&pack(call)).unwrap();
        assert_eq!(other.receive(false), Received::Message(pack(call)));
        assert_eq!(unpack(pack(call)), call);
        assert_eq!(other.receive::<12>(false), Received::Nothing);
        let (mut reader, writer) = std::io::pipe().unwrap();
        one.send_descriptor(&writer.into()).unwrap();
        drop(other.receive_descriptor().unwrap());
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0, "the last copy of the descriptor is closed");
        drop(one);
        assert_eq!(other.receive::<12>(true), Received::Gone);
        assert!(other.receive_descriptor().is_none());
    }
}
