//! Processes in other network namespaces.

use std::process::Command;

use loiter::process::{open_pid, sockets};
use loiter::snapshot::{Descriptor, OtherEnd, SocketState};

use crate::roles::{Player, play};
use crate::support::{limit, until};

fn only_root() {
    assert!(nix::unistd::Uid::effective().is_root(), "this test makes network namespaces: run it as root");
}

fn descriptors(player: &Player, numbers: &[u32]) -> Vec<Descriptor> {
    let target = open_pid(player.pid()).expect("it can be read");
    target.descriptors(numbers).expect("it can be read")
}

fn numbers(line: Option<String>) -> Vec<u32> {
    let line = line.expect("it says so");
    line.split_ascii_whitespace().map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn a_connection_within_another_namespace() {
    only_root();
    let (player, mut said) = play("leave-sockets", 0);
    let fds = numbers(said.next());
    let sleeps = || {
        std::fs::read_to_string(format!("/proc/{}/comm", player.pid())).is_ok_and(|name| name == "sleep\n")
    };
    until("exec", sleeps);
    let all = descriptors(&player, &fds);
    let [listener, client, server] = all.as_slice() else { panic!("{all:?}") };
    let socket = |descriptor: &Descriptor| descriptor.socket.clone().expect("a socket");
    assert_eq!(socket(listener).state, SocketState::Listen);
    assert_eq!((socket(client).state, socket(client).receive_queue), (SocketState::Established, Some(5)));
    assert_eq!(socket(client).received_bytes, Some(5), "root may ask the kernel there");
    let end =
        |descriptor: &Descriptor| sockets::other_ends(player.pid(), &[descriptor], &limit()).remove(0).to;
    let (client_file, server_file) = (client.file.expect("known"), server.file.expect("known"));
    assert_eq!(end(client), OtherEnd::Socket { file: server_file, unread: Some(0) });
    assert_eq!(end(server), OtherEnd::Socket { file: client_file, unread: Some(5) });
    let ours = std::fs::read_link("/proc/self/ns/net").expect("there is one");
    assert_ne!(ours.display().to_string(), format!("net:[{}]", socket(client).namespace.expect("known")));

    // The same by the tables of the process, without the right to ask there.
    let (mut looker, mut said) = play("look", player.pid());
    let orders = fds.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    looker.say(&orders);
    assert_eq!(said.next().as_deref(), Some("Listen Some(0)"));
    assert_eq!(said.next().as_deref(), Some("Established Some(5)"));
    assert_eq!(said.next().as_deref(), Some("Established Some(0)"));
    let socket = |file, unread| format!("{:?}", OtherEnd::Socket { file, unread: Some(unread) });
    assert_eq!(said.next(), Some(socket(server_file, 0)));
    assert_eq!(said.next(), Some(socket(client_file, 5)));
}

#[test]
fn a_connection_between_two_namespaces() {
    only_root();
    let (mut server, mut server_said) = play("serve", 0);
    let (mut client, mut client_said) = play("connect", 0);
    assert_eq!(server_said.next().as_deref(), Some("there"));
    assert_eq!(client_said.next().as_deref(), Some("there"));
    let inside = |player: &Player, command: &str| {
        let pid = player.pid().to_string();
        let words = ["-t", &pid, "-n", "ip"].into_iter().chain(command.split(' '));
        let status = Command::new("nsenter").args(words).status().expect("nsenter (util-linux) is installed");
        assert!(status.success(), "ip {command}");
    };
    inside(&server, &format!("link add v0 type veth peer name v0 netns {}", client.pid()));
    inside(&server, "addr add 10.199.0.1/24 dev v0");
    inside(&client, "addr add 10.199.0.2/24 dev v0");
    inside(&server, "link set v0 up");
    inside(&client, "link set v0 up");
    server.go();
    assert_eq!(server_said.next().as_deref(), Some("listens"));
    client.go();
    let its = numbers(client_said.next());
    let ours = numbers(server_said.next());
    let (client_end, server_end) =
        (descriptors(&client, &its).remove(0), descriptors(&server, &ours).remove(0));
    let end =
        |player: &Player, of: &Descriptor| sockets::other_ends(player.pid(), &[of], &limit()).remove(0).to;
    let (client_file, server_file) = (client_end.file.expect("known"), server_end.file.expect("known"));
    until("arrival", || {
        descriptors(&server, &ours)[0].socket.as_ref().is_some_and(|s| s.receive_queue == Some(8))
    });
    assert_eq!(end(&client, &client_end), OtherEnd::Socket { file: server_file, unread: Some(8) });
    assert_eq!(end(&server, &server_end), OtherEnd::Socket { file: client_file, unread: Some(0) });
    // If nobody who is there can be seen any more, the other end is elsewhere.
    drop(client);
    until("the namespace to go", || {
        matches!(end(&server, &server_end), OtherEnd::Elsewhere | OtherEnd::Unknown(_))
    });
}
