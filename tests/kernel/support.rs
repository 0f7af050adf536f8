//! Looking at descriptors and waiting for what is to happen.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use loiter::process::{self, Limit, Target, descriptors, sockets};
use loiter::snapshot::{Descriptor, FileId, OtherEnd, Socket};

/// Longer than anything takes.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// The same for searches.
pub(crate) fn limit() -> Limit {
    Limit::of(LONG)
}

/// This process, as loiter reads it.
pub(crate) fn ourselves() -> Box<dyn Target> {
    process::open_pid(std::process::id()).expect("we can be read")
}

/// The number of a descriptor.
pub(crate) fn number(fd: &impl AsRawFd) -> u32 {
    u32::try_from(fd.as_raw_fd()).expect("descriptors are not negative")
}

/// What loiter says of a descriptor of this process.
pub(crate) fn look(fd: &impl AsRawFd) -> Descriptor {
    let all = ourselves().descriptors(&[number(fd)]).expect("our descriptors can be read");
    assert_eq!(all.len(), 1, "it is open");
    assert_eq!(all[0].fd, number(fd));
    all.into_iter().next().expect("there is one")
}

/// What loiter says of a socket of this process.
pub(crate) fn socket(fd: &impl AsRawFd) -> Socket {
    look(fd).socket.expect("it is a socket")
}

/// What is open.
pub(crate) fn file(fd: &impl AsRawFd) -> FileId {
    look(fd).file.expect("it has an inode")
}

/// The other end of a socket of this process.
pub(crate) fn other_end(fd: &impl AsRawFd) -> Option<OtherEnd> {
    let descriptor = look(fd);
    let peers = sockets::other_ends(std::process::id(), &[&descriptor], &limit());
    assert!(peers.iter().all(|peer| Some(peer.of) == descriptor.file), "{peers:?}");
    assert!(peers.len() <= 1);
    peers.into_iter().next().map(|peer| peer.to)
}

/// The descriptors of this process that have a file open.
pub(crate) fn our_ends(file: FileId) -> Vec<(u32, bool, bool)> {
    let ends = descriptors::who_has(&BTreeSet::from([file]), &limit());
    assert!(ends.is_whole);
    let ours = ends.of(file).iter().filter(|end| end.pid == std::process::id());
    ours.map(|end| (end.fd, end.access.read, end.access.write)).collect()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < LONG, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The result of a system call that makes a descriptor.
pub(crate) fn owned(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just returned it, and nothing else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A folder of its own, removed in the end.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

/// What `ss` says of a socket: state, both queues, both addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) state: String,
    pub(crate) receive_queue: u32,
    pub(crate) send_queue: u32,
    pub(crate) local: String,
    pub(crate) peer: String,
}

/// The line in which `ss` has this text.
fn ss_line(flags: &str, text: &str) -> String {
    let output = std::process::Command::new("ss").args(["-H", "-O", flags]).output();
    let output = output.expect("ss (iproute2) is installed: the tests compare with it");
    let all = String::from_utf8_lossy(&output.stdout);
    let line = all.lines().find(|line| format!("{line} ").contains(text));
    line.unwrap_or_else(|| panic!("ss has no line with {text}:\n{all}")).to_owned()
}

/// Asks `ss` about the TCP or UDP socket with this inode.
pub(crate) fn ss(flags: &str, inode: u64) -> Line {
    let line = ss_line(flags, &format!(" ino:{inode} "));
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    line_of(&words)
}

/// Asks `ss` about the unix socket with this inode. A name may contain spaces: the addresses are not taken apart.
pub(crate) fn ss_unix(inode: u64) -> Line {
    let line = ss_line("-xane", &format!(" {inode} * "));
    let words: Vec<&str> = line.split_ascii_whitespace().skip(1).collect();
    line_of(&words)
}

fn line_of(words: &[&str]) -> Line {
    Line {
        state: words[0].to_owned(),
        receive_queue: words[1].parse().expect("a queue"),
        send_queue: words[2].parse().expect("a queue"),
        local: words[3].to_owned(),
        peer: words[4].to_owned(),
    }
}
