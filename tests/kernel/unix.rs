//! Unix sockets.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use loiter::snapshot::{Endpoint, OtherEnd, Protocol, SocketState};

use crate::support::{file, folder, number, other_end, our_ends, owned, socket, ss_unix, until};

/// A connected pair.
fn pair(kind: i32) -> [OwnedFd; 2] {
    let mut fds = [0; 2];
    // SAFETY: the kernel writes two integers to `fds`.
    assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) }, 0);
    fds.map(owned)
}

fn same_as_ss(fd: &impl AsRawFd) {
    let found = socket(fd);
    let line = ss_unix(file(fd).inode);
    assert_eq!((Some(line.receive_queue), Some(line.send_queue)), (found.receive_queue, found.send_queue));
    let state = match line.state.as_str() {
        "ESTAB" => SocketState::Established,
        "LISTEN" => SocketState::Listen,
        "UNCONN" => SocketState::Close,
        other => panic!("{other}"),
    };
    assert_eq!(found.state, state);
}

#[test]
fn pairs_of_each_type() {
    let types = [
        (libc::SOCK_STREAM, Protocol::UnixStream),
        (libc::SOCK_DGRAM, Protocol::UnixDatagram),
        (libc::SOCK_SEQPACKET, Protocol::UnixSequence),
    ];
    for (kind, protocol) in types {
        let [one, two] = pair(kind);
        let (ours, its) = (socket(&one), socket(&two));
        assert_eq!((ours.protocol, its.protocol), (protocol, protocol));
        assert_eq!((ours.state, ours.local), (SocketState::Established, Endpoint::None));
        assert_eq!((ours.peer_inode, its.peer_inode), (Some(file(&two).inode), Some(file(&one).inode)));
        assert_eq!(other_end(&one), Some(OtherEnd::Socket { file: file(&two), unread: Some(0) }));
        // SAFETY: the bytes are there.
        assert_eq!(unsafe { libc::write(two.as_raw_fd(), b"hello".as_ptr().cast(), 5) }, 5);
        assert_eq!(socket(&one).receive_queue, Some(5));
        assert_eq!(other_end(&two), Some(OtherEnd::Socket { file: file(&one), unread: Some(5) }));
        same_as_ss(&one);
        same_as_ss(&two);
        assert_eq!(our_ends(file(&two)), [(number(&two), true, true)]);
        drop(two);
        assert!(matches!(other_end(&one), None | Some(OtherEnd::Unknown(_))), "{:?}", other_end(&one));
    }
}

#[test]
fn a_path_an_abstract_name_and_who_accepts() {
    let folder = folder();
    let path = folder.path().join("a socket");
    let name = format!("loiter-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
    let ways = [
        (UnixListener::bind(&path).expect("a new path"), path.display().to_string()),
        (UnixListener::bind_addr(&abstract_name).expect("a new name"), format!("@{name}")),
    ];
    for (listener, name) in ways {
        let address = listener.local_addr().expect("bound");
        let client = UnixStream::connect_addr(&address).expect("it listens");
        let listening = socket(&listener);
        assert_eq!((listening.protocol, listening.state), (Protocol::UnixStream, SocketState::Listen));
        assert_eq!((listening.local, listening.receive_queue), (Endpoint::Unix(name.clone()), Some(1)));
        same_as_ss(&listener);
        assert_eq!(other_end(&listener), None);
        assert_eq!(other_end(&client), Some(OtherEnd::NotAccepted { listener: file(&listener) }));
        let (server, _) = listener.accept().expect("one waits");
        assert_eq!(socket(&server).local, Endpoint::Unix(name));
        assert_eq!(other_end(&client), Some(OtherEnd::Socket { file: file(&server), unread: Some(0) }));
        assert_eq!(other_end(&server), Some(OtherEnd::Socket { file: file(&client), unread: Some(0) }));
        same_as_ss(&client);
    }
}

#[test]
fn a_writer_whose_reader_does_not_read() {
    let (mut one, two) = UnixStream::pair().expect("a pair");
    one.set_nonblocking(true).expect("a flag");
    assert!(!socket(&one).peer_full);
    while one.write(&[0; 4096]).is_ok() {}
    until("no more room", || socket(&one).peer_full);
    assert!(!socket(&two).peer_full);
    assert!(matches!(other_end(&one), Some(OtherEnd::Socket { unread: Some(4096..), .. })));
}

#[test]
fn datagrams_with_and_without_a_connection() {
    let folder = folder();
    let path = folder.path().join("box");
    let server = UnixDatagram::bind(&path).expect("a new path");
    let client = UnixDatagram::unbound().expect("a socket");
    assert_eq!(other_end(&client), None, "it is not connected");
    client.connect(&path).expect("it is there");
    assert_eq!(other_end(&server), None, "it receives from anybody");
    assert_eq!(other_end(&client), Some(OtherEnd::Socket { file: file(&server), unread: Some(0) }));
    client.send(b"hello").expect("connected");
    assert_eq!(socket(&server).receive_queue, Some(5));
}
