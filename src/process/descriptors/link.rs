//! What the kernel calls an open thing.

use super::super::sys::FileFacts;
use crate::snapshot::{DescriptorKind, Protocol};

/// Major numbers of terminals: consoles and serial lines, /dev/tty and /dev/ptmx, and /dev/pts (admin-guide/devices.txt).
const CONSOLES: u32 = 4;
const OWN_TERMINAL: u32 = 5;
const PSEUDO_TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

/// The kind of what a link leads to. `facts` are those of the file, if they are known.
pub(super) fn kind(text: &[u8], facts: Option<FileFacts>) -> DescriptorKind {
    // A path begins with a slash: no file can have one of these names.
    if text.starts_with(b"socket:[") {
        return DescriptorKind::Socket;
    }
    if text.starts_with(b"pipe:[") {
        return DescriptorKind::Pipe;
    }
    if let Some(name) = text.strip_prefix(b"anon_inode:") {
        return match name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]")).unwrap_or(name) {
            b"eventpoll" => DescriptorKind::Poll,
            b"eventfd" => DescriptorKind::Event,
            b"timerfd" => DescriptorKind::Timer,
            b"pidfd" => DescriptorKind::Process,
            _ => DescriptorKind::Other,
        };
    }
    let Some(facts) = facts else { return DescriptorKind::Unknown };
    // Since Linux 6.9, pidfds have a file system of their own.
    if text.starts_with(b"pidfd:[") {
        return DescriptorKind::Process;
    }
    match facts.mode & libc::S_IFMT {
        libc::S_IFIFO => DescriptorKind::Fifo,
        libc::S_IFREG => DescriptorKind::File,
        libc::S_IFDIR => DescriptorKind::Directory,
        libc::S_IFCHR => match facts.special.0 {
            CONSOLES | OWN_TERMINAL => DescriptorKind::Terminal,
            major if PSEUDO_TERMINALS.contains(&major) => DescriptorKind::Terminal,
            _ => DescriptorKind::Device,
        },
        libc::S_IFBLK => DescriptorKind::Device,
        _ => DescriptorKind::Other,
    }
}

/// The name for the model: none if it has only a number.
pub(super) fn name(text: &[u8]) -> Option<String> {
    let numbered = [&b"socket:["[..], b"pipe:[", b"pidfd:["].iter().any(|prefix| text.starts_with(prefix));
    (!numbered).then(|| String::from_utf8_lossy(text).into_owned())
}

/// The inode in the name of a socket or a pipe.
pub(super) fn inode(text: &[u8]) -> Option<u64> {
    let number = text.strip_prefix(b"socket:[").or_else(|| text.strip_prefix(b"pipe:["))?;
    std::str::from_utf8(number.strip_suffix(b"]")?).ok()?.parse().ok()
}

/// A protocol that the model does not know, as its name in the kernel says it: "packet", "vsock".
pub(super) fn family(name: Vec<u8>) -> String {
    let name = name.strip_suffix(b"\0").unwrap_or(&name);
    String::from_utf8_lossy(name.strip_prefix(b"AF_").unwrap_or(name)).to_lowercase()
}

/// The protocol with this name in the kernel (`struct proto`). Other than streams, all unix sockets have the same one.
pub(super) fn protocol(name: &[u8]) -> Protocol {
    match name.strip_suffix(b"\0").unwrap_or(name) {
        // A socket of several paths is in the tables of TCP by its first path, with its own inode.
        b"TCP" | b"TCPv6" | b"MPTCP" | b"MPTCPv6" => Protocol::Tcp,
        b"UDP" | b"UDPv6" => Protocol::Udp,
        b"UNIX-STREAM" => Protocol::UnixStream,
        b"UNIX" => Protocol::UnixDatagram,
        b"NETLINK" => Protocol::Netlink,
        _ => Protocol::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_cannot_look_like_a_socket() {
        let facts = FileFacts { device: 1, inode: 2, mode: libc::S_IFREG, special: (0, 0) };
        assert_eq!(kind(b"/tmp/socket:[7]", Some(facts)), DescriptorKind::File);
        assert_eq!(kind(b"socket:[7]", Some(facts)), DescriptorKind::Socket);
        assert_eq!(kind(b"/memfd:x (deleted)", Some(facts)), DescriptorKind::File);
        assert_eq!(kind(b"/nowhere", None), DescriptorKind::Unknown);
        let known = [("[eventpoll]", DescriptorKind::Poll), ("inotify", DescriptorKind::Other)];
        for (name, expected) in known {
            assert_eq!(kind(format!("anon_inode:{name}").as_bytes(), Some(facts)), expected);
        }
        assert_eq!((inode(b"pipe:[12]"), inode(b"/pipe:[12]"), inode(b"pipe:[x]")), (Some(12), None, None));
        assert_eq!((name(b"pipe:[12]"), name(b"/a").as_deref()), (None, Some("/a")));
        assert_eq!((protocol(b"MPTCP\0"), protocol(b"SCTP\0")), (Protocol::Tcp, Protocol::Other));
    }

    proptest! {
        #[test]
        fn any_name(text: Vec<u8>) {
            kind(&text, None);
            inode(&text);
            name(&text);
            protocol(&text);
        }
    }
}
