//! Open descriptors: what they are, and for sockets how far the connection is.

use std::net::SocketAddr;

/// An open descriptor of the process.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its number.
    pub fd: u32,
    /// What it is.
    pub kind: DescriptorKind,
    /// A path, or the kernel's name for it: "/srv/data", `anon_inode:[eventfd]`, "/dev/pts/3". None where the kernel
    /// has only a number (sockets, pipes).
    pub name: Option<String>,
    /// What is open. Two descriptors with the same one are ends of the same thing.
    pub file: Option<FileId>,
    /// What it was opened for.
    pub access: Access,
    /// For sockets.
    pub socket: Option<Socket>,
    /// Until when the task that reads waits.
    pub read_deadline: Deadline,
    /// Until when the task that writes waits.
    pub write_deadline: Deadline,
    /// For a timerfd: when it expires next, nanoseconds on CLOCK_MONOTONIC.
    pub expires_ns: Option<u64>,
    /// For a pidfd: the process, as loiter sees it.
    pub process: Option<u32>,
}

impl Descriptor {
    /// A descriptor about which nothing else is known.
    pub fn new(fd: u32) -> Self {
        Descriptor {
            fd,
            kind: DescriptorKind::Unknown,
            name: None,
            file: None,
            access: Access::default(),
            socket: None,
            read_deadline: Deadline::Unknown,
            write_deadline: Deadline::Unknown,
            expires_ns: None,
            process: None,
        }
    }
}

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum DescriptorKind {
    /// Not known.
    #[default]
    Unknown,
    /// A socket.
    Socket,
    /// A pipe without a name.
    Pipe,
    /// A pipe with a name in the file system.
    Fifo,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A terminal.
    Terminal,
    /// Another device.
    Device,
    /// A timer of the kernel.
    Timer,
    /// A counter of the kernel (eventfd).
    Event,
    /// A set of descriptors (epoll).
    Poll,
    /// A process (pidfd).
    Process,
    /// Something else of the kernel (inotify, signalfd, ...).
    Other,
}

impl DescriptorKind {
    /// Every kind with its name in files.
    pub const NAMES: [(DescriptorKind, &'static str); 13] = [
        (DescriptorKind::Unknown, "unknown"),
        (DescriptorKind::Socket, "socket"),
        (DescriptorKind::Pipe, "pipe"),
        (DescriptorKind::Fifo, "fifo"),
        (DescriptorKind::File, "file"),
        (DescriptorKind::Directory, "directory"),
        (DescriptorKind::Terminal, "terminal"),
        (DescriptorKind::Device, "device"),
        (DescriptorKind::Timer, "timer"),
        (DescriptorKind::Event, "event"),
        (DescriptorKind::Poll, "poll"),
        (DescriptorKind::Process, "process"),
        (DescriptorKind::Other, "other"),
    ];

    /// Its name in files: "socket".
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|known| known.0 == self).map_or("unknown", |known| known.1)
    }
}

/// What identifies an open file on this machine, for sockets and pipes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device number (`st_dev`).
    pub device: u64,
    /// Inode (`st_ino`).
    pub inode: u64,
}

/// What a descriptor was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Access {
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
}

/// Until when a task waits for a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Deadline {
    /// Not known.
    #[default]
    Unknown,
    /// For ever.
    None,
    /// Until this time on the target machine's CLOCK_MONOTONIC, nanoseconds.
    At(u64),
    /// It has passed.
    Expired,
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Socket {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its own address.
    pub local: Endpoint,
    /// The address at the other end.
    pub peer: Endpoint,
    /// The state of the connection.
    pub state: SocketState,
    /// Bytes received that the process has not read. For a listening socket: connections that it has not accepted.
    pub receive_queue: Option<u32>,
    /// Bytes written that the other end has not acknowledged. For a listening socket: how many connections may
    /// wait.
    pub send_queue: Option<u32>,
    /// Nanoseconds since data was received last. None if unknown, or if none ever was: see `received_bytes`.
    pub idle_receive_ns: Option<u64>,
    /// Nanoseconds since data was sent last.
    pub idle_send_ns: Option<u64>,
    /// Bytes received since the connection began.
    pub received_bytes: Option<u64>,
    /// Bytes sent and acknowledged since then.
    pub sent_bytes: Option<u64>,
    /// The other end's buffer is full: it does not read.
    pub peer_full: bool,
    /// Inode of the socket at the other end, where the kernel names it (unix sockets).
    pub peer_inode: Option<u64>,
    /// Inode of its network namespace.
    pub namespace: Option<u64>,
}

/// The protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// Something else, or not known.
    #[default]
    Other,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// A unix socket with a stream of bytes.
    UnixStream,
    /// A unix socket with messages.
    UnixDatagram,
    /// A unix socket with a sequence of messages.
    UnixSequence,
    /// Netlink: the other end is the kernel.
    Netlink,
}

/// The address of one end of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Endpoint {
    /// Not known.
    #[default]
    Unknown,
    /// It has none.
    None,
    /// An address and a port.
    Inet(SocketAddr),
    /// A path, or "@name" for an abstract one.
    Unix(String),
}

/// The state of a connection (`net/tcp_states.h`; unix sockets use some of them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum SocketState {
    /// Not known.
    #[default]
    Unknown,
    /// Connected.
    Established,
    /// It tries to connect.
    SynSent,
    /// A connection is being accepted by the kernel.
    SynReceived,
    /// It was closed here.
    FinWait1,
    /// It was closed here, which the other end knows.
    FinWait2,
    /// It is over; late packets are awaited.
    TimeWait,
    /// It is not connected.
    Close,
    /// The other end closed it.
    CloseWait,
    /// Closed by both ends, not yet acknowledged.
    LastAck,
    /// It accepts connections.
    Listen,
    /// Both ends close it at the same time.
    Closing,
}
