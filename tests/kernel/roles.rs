//! What this test program does when a test starts it as another process.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use loiter::process::{descriptors, open_pid, sockets};
use nix::sched::{CloneFlags, unshare};

use crate::support::{LONG, file, limit, number};

const ROLE: &str = "LOITER_TEST_ROLE";

/// A process in a role, killed in the end.
pub(crate) struct Player {
    child: Child,
    orders: ChildStdin,
}

impl Player {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on.
    pub(crate) fn go(&mut self) {
        self.say("");
    }

    /// Says a line to it.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("it listens");
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts this program in a role, and gives what it says.
pub(crate) fn play(role: &str, pid: u32) -> (Player, impl Iterator<Item = String> + use<>) {
    let exe = std::env::current_exe().expect("we are a file");
    // All threads of these are in a network namespace of their own.
    let mut command = if matches!(role, "serve" | "connect") {
        let mut command = Command::new("unshare");
        command.arg("-n").arg(exe);
        command
    } else {
        Command::new(exe)
    };
    let mut child = command
        .args(["roles::plays_a_role", "--exact", "--ignored", "--nocapture"])
        .env(ROLE, format!("{role} {pid}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("we start");
    let said = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let orders = child.stdin.take().expect("piped");
    (Player { child, orders }, said)
}

fn say(text: impl std::fmt::Display) {
    writeln!(std::io::stderr(), "{text}").expect("somebody listens");
}

fn wait_for_order() {
    std::io::stdin().read_exact(&mut [0]).expect("an order");
}

fn stay() -> ! {
    loop {
        std::thread::sleep(LONG);
    }
}

fn become_nobody() {
    nix::unistd::setgroups(&[]).ok();
    nix::unistd::setgid(65534.into()).expect("we are root");
    nix::unistd::setuid(65534.into()).expect("we are root");
}

/// A network namespace of its own, with loopback.
fn leave() {
    unshare(CloneFlags::CLONE_NEWNET).expect("we are root");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("ip (iproute2) is installed").success());
}

/// Not a test: the process that a test starts with [`play`]. `.config/nextest.toml` leaves it out.
#[test]
#[ignore = "other tests start it"]
fn plays_a_role() {
    let role = std::env::var(ROLE).unwrap_or_else(|_| panic!("{ROLE} says which role"));
    let (role, pid) = role.split_once(' ').expect("role and pid");
    let pid: u32 = pid.parse().expect("a pid");
    match role {
        "who-has" => {
            let (reader, _writer) = std::io::pipe().expect("a pipe");
            let wanted = BTreeSet::from([file(&reader)]);
            become_nobody();
            let ends = descriptors::who_has(&wanted, &limit());
            let ours = ends.open.iter().filter(|end| end.pid == std::process::id()).count();
            let all = if ours == ends.open.len() { "all of this process" } else { "some of others" };
            say(format_args!("{ours} ends, {all}"));
            if ends.unreadable.contains(&pid) && ends.is_whole {
                say("the process that started us could not be looked at");
            }
        }
        // A connection within a namespace, left open for a program of nobody.
        "leave-sockets" => {
            leave();
            let listener = TcpListener::bind("127.0.0.1:7001").expect("nobody else is here");
            let client = TcpStream::connect("127.0.0.1:7001").expect("it listens");
            let (mut server, _) = listener.accept().expect("one waits");
            server.write_all(b"hello").expect("it is connected");
            say(format_args!("{} {} {}", number(&listener), number(&client), number(&server)));
            for fd in [listener.as_raw_fd(), client.as_raw_fd(), server.as_raw_fd()] {
                // SAFETY: fcntl takes integers here.
                assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);
            }
            become_nobody();
            let error = Command::new("sleep").arg("1000").exec();
            panic!("{error}");
        }
        // Says what it sees of another process, as nobody.
        "look" => {
            become_nobody();
            let target = open_pid(pid).expect("it is nobody's, too");
            let mut numbers = String::new();
            std::io::stdin().read_line(&mut numbers).expect("which descriptors");
            let numbers: Vec<u32> =
                numbers.split_ascii_whitespace().map(|fd| fd.parse().expect("a number")).collect();
            let all = target.descriptors(&numbers).expect("they are nobody's, too");
            for descriptor in &all {
                let socket = descriptor.socket.as_ref().expect("a socket");
                say(format_args!("{:?} {:?}", socket.state, socket.receive_queue));
            }
            let which: Vec<_> = all.iter().collect();
            for end in sockets::other_ends(pid, &which, &limit()) {
                say(format_args!("{:?}", end.to));
            }
        }
        "serve" => {
            say("there");
            wait_for_order();
            let listener = TcpListener::bind("10.199.0.1:7002").expect("nobody else is here");
            say("listens");
            let (mut server, _) = listener.accept().expect("it will come");
            server.read_exact(&mut [0; 3]).expect("some come");
            say(number(&server));
            stay()
        }
        "connect" => {
            say("there");
            wait_for_order();
            let mut client = TcpStream::connect("10.199.0.1:7002").expect("it listens");
            client.write_all(b"hello world").expect("it is connected");
            say(number(&client));
            stay()
        }
        other => panic!("{other} is no role"),
    }
}
