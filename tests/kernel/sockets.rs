//! TCP and UDP.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use loiter::snapshot::{DescriptorKind, Endpoint, OtherEnd, Protocol, Socket, SocketState};

use crate::support::{Line, file, look, number, other_end, our_ends, owned, socket, ss, until};

/// Where to listen, and where to connect to.
const WAYS: [(&str, &str); 4] =
    [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.1")];

fn canonical(address: SocketAddr) -> Endpoint {
    Endpoint::Inet(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn listen(at: &str, to: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(at).expect("this machine has loopback addresses");
    let port = listener.local_addr().expect("bound").port();
    let ip: IpAddr = to.parse().expect("an address");
    (listener, SocketAddr::new(ip, port))
}

/// What `ss` shows as an address.
fn same_address(text: &str, endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::None => text.ends_with(":*"),
        Endpoint::Inet(address) => {
            let (ip, port) = text.rsplit_once(':').expect("a port");
            let ip = ip.trim_matches(['[', ']']);
            let ip = if ip == "*" { "::" } else { ip };
            let ip: IpAddr = ip.parse().expect("an address");
            (ip.to_canonical(), port) == (address.ip(), address.port().to_string().as_str())
        }
        _ => false,
    }
}

fn same_as_ss(fd: &impl AsRawFd, flags: &str) {
    let descriptor = look(fd);
    let inode = descriptor.file.expect("a socket has an inode").inode;
    let mut found = None;
    // The kernel may still move bytes, and timers of its own: what changed meanwhile is not compared.
    until("a socket that rests", || {
        let (before, line, after) = (socket(fd), ss(flags, inode), socket(fd));
        let facts = |socket: &Socket| (socket.state, socket.receive_queue, socket.send_queue);
        let rests = facts(&before) == facts(&after);
        found = Some((after, line));
        rests
    });
    let (socket, line) = found.expect("it was looked at");
    let Line { state, receive_queue, send_queue, local, peer } = line;
    let states = [
        ("ESTAB", SocketState::Established),
        ("LISTEN", SocketState::Listen),
        ("CLOSE-WAIT", SocketState::CloseWait),
        ("FIN-WAIT-2", SocketState::FinWait2),
        ("SYN-SENT", SocketState::SynSent),
        ("FIN-WAIT-1", SocketState::FinWait1),
        ("LAST-ACK", SocketState::LastAck),
        ("CLOSING", SocketState::Closing),
        ("UNCONN", SocketState::Close),
    ];
    assert!(states.contains(&(state.as_str(), socket.state)), "{state} {socket:?}");
    assert_eq!(
        (Some(receive_queue), Some(send_queue)),
        (socket.receive_queue, socket.send_queue),
        "{socket:?}"
    );
    assert!(same_address(&local, &socket.local), "{local} {socket:?}");
    assert!(same_address(&peer, &socket.peer), "{peer} {socket:?}");
}

#[test]
fn a_connection_and_both_of_its_ends() {
    for (at, to) in WAYS {
        let (listener, address) = listen(at, to);
        let mut client = TcpStream::connect(address).expect("it listens");
        // The kernel may finish the other side of it later.
        until("the connection", || socket(&listener).receive_queue == Some(1));
        let listening = socket(&listener);
        assert_eq!((listening.protocol, listening.state), (Protocol::Tcp, SocketState::Listen));
        assert_eq!(
            (listening.receive_queue, listening.peer),
            (Some(1), Endpoint::None),
            "one is not accepted"
        );
        same_as_ss(&listener, "-tlne");
        assert_eq!(other_end(&listener), None);
        assert_eq!(other_end(&client), Some(OtherEnd::NotAccepted { listener: file(&listener) }), "{at}");

        let (mut server, _) = listener.accept().expect("one waits");
        assert_eq!(other_end(&client), Some(OtherEnd::Socket { file: file(&server), unread: Some(0) }));
        server.write_all(b"hello world").expect("it is connected");
        until("arrival", || socket(&client).receive_queue == Some(11));
        until("acknowledgement", || socket(&server).send_queue == Some(0));
        let (ours, its) = (socket(&client), socket(&server));
        assert_eq!((ours.state, its.state), (SocketState::Established, SocketState::Established));
        assert_eq!(ours.local, canonical(client.local_addr().expect("connected")));
        assert_eq!(ours.peer, canonical(client.peer_addr().expect("connected")));
        assert_eq!((&its.local, &its.peer), (&ours.peer, &ours.local));
        assert_eq!((ours.received_bytes, ours.sent_bytes), (Some(11), Some(0)));
        assert_eq!((its.received_bytes, its.sent_bytes), (Some(0), Some(11)));
        assert!(ours.idle_receive_ns.is_some() && ours.idle_send_ns.is_none(), "{ours:?}");
        assert!(its.idle_receive_ns.is_none() && its.idle_send_ns.is_some(), "{its:?}");
        assert!(!ours.peer_full && !its.peer_full);
        assert!(ours.namespace.is_some() && ours.namespace == its.namespace);
        assert_eq!(other_end(&server), Some(OtherEnd::Socket { file: file(&client), unread: Some(11) }));
        assert_eq!(our_ends(file(&server)), [(number(&server), true, true)]);
        same_as_ss(&client, "-tane");
        same_as_ss(&server, "-tane");

        let mut text = [0; 11];
        client.read_exact(&mut text).expect("it was sent");
        assert_eq!(socket(&client).receive_queue, Some(0));
        client.shutdown(Shutdown::Write).expect("it is connected");
        until("the end", || socket(&server).state == SocketState::CloseWait);
        until("its confirmation", || socket(&client).state == SocketState::FinWait2);
        same_as_ss(&client, "-tane");
        same_as_ss(&server, "-tane");
        assert_eq!(other_end(&server), Some(OtherEnd::Socket { file: file(&client), unread: Some(0) }));
        drop(client);
        until("the other end to be nobody's", || matches!(other_end(&server), Some(OtherEnd::Unknown(_))));
    }
}

#[test]
fn one_socket_with_several_descriptors() {
    let (listener, address) = listen("127.0.0.1:0", "127.0.0.1");
    let client = TcpStream::connect(address).expect("it listens");
    let copy = client.try_clone().expect("it can be copied");
    assert_eq!(socket(&copy), socket(&client));
    let all =
        crate::support::ourselves().descriptors(&[number(&copy), 1_000_000, number(&client)]).expect("ours");
    let numbers: Vec<u32> = all.iter().map(|descriptor| descriptor.fd).collect();
    assert_eq!(numbers, [number(&copy), number(&client)], "one is not open");
    assert!(all.iter().all(|descriptor| descriptor.socket == all[0].socket && descriptor.socket.is_some()));
    let mut expected = [(number(&client), true, true), (number(&copy), true, true)];
    expected.sort_unstable();
    assert_eq!(our_ends(file(&client)), expected);
    drop(listener);
}

/// Writes until there is no more room, and the other end is asked for some.
fn fill(stream: &TcpStream) {
    stream.set_nonblocking(true).expect("a flag");
    until("no more room, and a probe", || {
        while { stream }.write(&[0; 1 << 16]).is_ok() {}
        socket(stream).peer_full
    });
}

/// A connection whose first end cannot send any more.
fn connection() -> (TcpStream, TcpStream) {
    let (listener, address) = listen("127.0.0.1:0", "127.0.0.1");
    let client = TcpStream::connect(address).expect("it listens");
    let (server, _) = listener.accept().expect("one waits");
    fill(&client);
    (client, server)
}

#[test]
fn a_writer_whose_reader_does_not_read() {
    let (client, server) = connection();
    let ours = socket(&client);
    assert!(ours.send_queue.is_some_and(|bytes| bytes > 0), "{ours:?}");
    match other_end(&client) {
        Some(OtherEnd::Socket { file: end, unread: Some(unread) }) => {
            assert_eq!(end, file(&server));
            assert!(unread > 0);
        }
        end => panic!("{end:?}"),
    }
    assert!(!socket(&server).peer_full);
}

#[test]
fn queues_that_are_full_at_both_ends() {
    let (one, two) = connection();
    fill(&two);
    for stream in [&one, &two] {
        let full = socket(stream);
        assert!(
            full.receive_queue.is_some_and(|bytes| bytes > 0)
                && full.send_queue.is_some_and(|bytes| bytes > 0)
        );
        same_as_ss(stream, "-tane");
    }
}

/// The end of a connection stays behind what nobody reads.
#[test]
fn connections_that_cannot_end() {
    let state = |stream: &TcpStream| socket(stream).state;
    let (one, two) = connection();
    one.shutdown(Shutdown::Write).expect("it is connected");
    assert_eq!(state(&one), SocketState::FinWait1);
    same_as_ss(&one, "-tane");
    two.shutdown(Shutdown::Write).expect("it is connected");
    until("the end of the other one", || state(&one) == SocketState::Closing);
    until("its confirmation", || state(&two) == SocketState::FinWait2);
    same_as_ss(&one, "-tane");
    same_as_ss(&two, "-tane");

    let (one, two) = connection();
    two.shutdown(Shutdown::Write).expect("it is connected");
    until("the end", || state(&one) == SocketState::CloseWait);
    one.shutdown(Shutdown::Write).expect("it is connected");
    assert_eq!(state(&one), SocketState::LastAck);
    same_as_ss(&one, "-tane");
    same_as_ss(&two, "-tane");
}

/// The kernel keeps the ends of connections for a while after their processes have closed them.
#[test]
fn ends_that_no_process_has() {
    let said = |stream: &TcpStream| match other_end(stream) {
        Some(OtherEnd::Unknown(why)) => why,
        end => panic!("{end:?}"),
    };
    let connection = || {
        let (listener, address) = listen("127.0.0.1:0", "127.0.0.1");
        let client = TcpStream::connect(address).expect("it listens");
        (client, listener.accept().expect("one waits").0)
    };
    // It has closed first, and its end is confirmed.
    let (client, server) = connection();
    drop(client);
    until("its confirmation", || {
        socket(&server).state == SocketState::CloseWait && said(&server).ends_with("in FIN-WAIT-2")
    });
    // Now that this end is closed, too, the connection is over: that may happen while it is looked at.
    let before = look(&server);
    server.shutdown(Shutdown::Write).expect("it is connected");
    let pid = std::process::id();
    until("the end of the connection", || {
        let ends = loiter::process::sockets::other_ends(pid, &[&before], &crate::support::limit());
        matches!(&ends[0].to, OtherEnd::Unknown(why) if why.ends_with("in TIME-WAIT"))
    });
    until("the end of this end", || said(&server).starts_with("it is not connected any more"));

    // Its end cannot arrive behind what is not read here.
    let (client, server) = connection();
    fill(&client);
    drop(client);
    assert!(said(&server).ends_with("in FIN-WAIT-1"), "{}", said(&server));
    // Neither can this one: the end that is left has room for it, and confirms it.
    server.shutdown(Shutdown::Write).expect("it is connected");
    until("the confirmation", || said(&server).ends_with("in CLOSING"));
}

#[test]
fn a_full_backlog() {
    let (listener, address) = listen("127.0.0.1:0", "127.0.0.1");
    // SAFETY: listen takes two integers.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 1) }, 0);
    let mut clients = Vec::new();
    let SocketAddr::V4(v4) = address else { panic!("an IPv4 address") };
    for _ in 0..6 {
        // SAFETY: socket takes three integers.
        let client =
            owned(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0) });
        let to = libc::sockaddr_in {
            sin_family: 2,
            sin_port: v4.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
            sin_zero: [0; 8],
        };
        let len = size_of_val(&to) as u32;
        // SAFETY: `to` is a socket address of this length.
        unsafe { libc::connect(client.as_raw_fd(), (&raw const to).cast(), len) };
        clients.push(client);
    }
    let connecting = || clients.iter().rfind(|client| socket(*client).state == SocketState::SynSent);
    until("a connection that waits for room", || connecting().is_some());
    until("a full queue", || socket(&listener).receive_queue == Some(2));
    let waiting = connecting().expect("there is one");
    same_as_ss(waiting, "-tane");
    let full = socket(&listener);
    assert_eq!((full.receive_queue, full.send_queue), (Some(2), Some(1)), "more than the limit by one");
    for client in &clients {
        assert_eq!(other_end(client), Some(OtherEnd::NotAccepted { listener: file(&listener) }));
    }
}

#[test]
fn udp_and_who_receives() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let one = UdpSocket::bind(address).expect("loopback");
        let two = UdpSocket::bind(address).expect("loopback");
        two.connect(one.local_addr().expect("bound")).expect("an address");
        let unconnected = socket(&one);
        assert_eq!((unconnected.protocol, unconnected.state), (Protocol::Udp, SocketState::Close));
        assert_eq!((unconnected.peer.clone(), other_end(&one)), (Endpoint::None, None));
        same_as_ss(&one, "-uane");
        // It receives from anybody.
        assert_eq!(other_end(&two), Some(OtherEnd::Socket { file: file(&one), unread: Some(0) }));
        one.connect(two.local_addr().expect("bound")).expect("an address");
        two.send(b"hello").expect("connected");
        until("arrival", || socket(&one).receive_queue.is_some_and(|bytes| bytes > 0));
        same_as_ss(&one, "-uane");
        same_as_ss(&two, "-uane");
        assert!(
            matches!(other_end(&two), Some(OtherEnd::Socket { file: end, unread: Some(1..) }) if end == file(&one))
        );
        assert_eq!(other_end(&one), Some(OtherEnd::Socket { file: file(&two), unread: Some(0) }));
        drop(one);
        assert!(matches!(other_end(&two), Some(OtherEnd::Unknown(_))));
    }
    let everywhere = UdpSocket::bind("0.0.0.0:0").expect("all addresses");
    let port = everywhere.local_addr().expect("bound").port();
    let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    sender.connect(("127.0.0.1", port)).expect("an address");
    assert_eq!(other_end(&sender), Some(OtherEnd::Socket { file: file(&everywhere), unread: Some(0) }));
}

#[test]
fn an_address_of_nobody_here_is_elsewhere() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    // 192.0.2.0/24 is for documentation: no machine has it. Without a route it cannot be connected.
    let outside = UdpSocket::bind("0.0.0.0:0").expect("all addresses");
    match outside.connect("192.0.2.1:9") {
        Ok(()) => assert_eq!(other_end(&outside), Some(OtherEnd::Elsewhere)),
        Err(error) => eprintln!("not tested: this machine has no route to other machines ({error})"),
    }
    assert_eq!(look(&socket).kind, DescriptorKind::Socket);
}

#[test]
fn a_netlink_socket_talks_to_the_kernel() {
    // SAFETY: socket takes three integers.
    let netlink = owned(unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE) });
    assert_eq!(socket(&netlink).protocol, Protocol::Netlink);
    assert_eq!(other_end(&netlink), Some(OtherEnd::Kernel));
}

#[test]
fn many_sockets_are_listed_at_once() {
    let (listener, address) = listen("127.0.0.1:0", "127.0.0.1");
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit to write to and to read from.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max.min(1 << 16);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    let pairs: Vec<(TcpStream, TcpStream)> = (0..1100)
        .map(|_| {
            let client = TcpStream::connect(address).expect("it listens");
            (client, listener.accept().expect("one waits").0)
        })
        .collect();
    let numbers: Vec<u32> =
        pairs.iter().flat_map(|(client, server)| [number(client), number(server)]).collect();
    let all = crate::support::ourselves().descriptors(&numbers).expect("ours");
    assert_eq!(all.len(), 2200);
    for ((client, server), two) in pairs.iter().zip(all.chunks(2)) {
        let [ours, its] = two else { panic!("two for each pair") };
        let (ours, its) = (ours.socket.as_ref().expect("a socket"), its.socket.as_ref().expect("a socket"));
        assert_eq!(ours.local, canonical(client.local_addr().expect("connected")));
        assert_eq!(its.peer, canonical(server.peer_addr().expect("connected")));
        assert_eq!((ours.received_bytes, its.received_bytes), (Some(0), Some(0)), "with their figures");
    }
    let clients: Vec<_> = all.iter().step_by(2).collect();
    let ends = loiter::process::sockets::other_ends(std::process::id(), &clients, &crate::support::limit());
    assert_eq!(ends.len(), 1100);
    for (end, server) in ends.iter().zip(all.iter().skip(1).step_by(2)) {
        assert_eq!(end.to, OtherEnd::Socket { file: server.file.expect("a socket"), unread: Some(0) });
    }
}
