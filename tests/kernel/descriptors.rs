//! Descriptors that are no sockets, and who has them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loiter::process::{TargetError, descriptors, open_pid, sockets};
use loiter::snapshot::{Access, DescriptorKind, FileId, OtherEnd};

use crate::roles::play;
use crate::support::{file, folder, limit, look, number, our_ends, ourselves, owned};

const READ: Access = Access { read: true, write: false };
const WRITE: Access = Access { read: false, write: true };
const BOTH: Access = Access { read: true, write: true };

fn id(metadata: &std::fs::Metadata) -> FileId {
    FileId { device: metadata.dev(), inode: metadata.ino() }
}

/// Makes a named pipe.
fn fifo(path: &std::path::Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a new path");
}

#[test]
fn files_directories_and_devices() {
    let folder = folder();
    let path = folder.path().join("a file\nwith a line");
    let written = File::create(&path).expect("a new path");
    let found = look(&written);
    assert_eq!((found.kind, found.access), (DescriptorKind::File, WRITE));
    assert_eq!(found.name, Some(path.display().to_string()), "as it is: whoever prints it escapes it");
    assert_eq!(found.file, Some(id(&written.metadata().expect("open"))));
    let directory = File::open(folder.path()).expect("it is there");
    assert_eq!((look(&directory).kind, look(&directory).access), (DescriptorKind::Directory, READ));
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").expect("it is there");
    assert_eq!((look(&null).kind, look(&null).access), (DescriptorKind::Device, BOTH));
    std::fs::remove_file(&path).expect("it was there");
    assert_eq!(look(&written).name, Some(format!("{} (deleted)", path.display())));
    assert_eq!(our_ends(file(&written)), [(number(&written), false, true)]);
}

#[test]
fn both_ends_of_a_pipe() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (ours, its) = (look(&reader), look(&writer));
    assert_eq!((ours.kind, ours.access, &ours.name), (DescriptorKind::Pipe, READ, &None));
    assert_eq!((its.kind, its.access), (DescriptorKind::Pipe, WRITE));
    assert_eq!(ours.file, its.file);
    let mut expected = [(number(&reader), true, false), (number(&writer), false, true)];
    expected.sort_unstable();
    assert_eq!(our_ends(file(&reader)), expected);
    // A child that inherits one end has it, too.
    let child = Command::new("sleep").arg("1000").stdin(reader.try_clone().expect("a copy")).spawn();
    let mut child = child.expect("sleep starts");
    let ends = descriptors::who_has(&BTreeSet::from([file(&reader)]), &limit());
    let its: Vec<_> = ends.open.iter().filter(|end| end.pid == child.id() && end.fd == 0).collect();
    assert_eq!(its.len(), 1, "{ends:?}");
    assert_eq!(its[0].access, READ);
    child.kill().expect("it runs");
    child.wait().expect("it is our child");
    // To look at it opened nothing.
    drop(reader);
    let error = std::io::Write::write(&mut { writer }, b"x").expect_err("no reader is left");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn a_named_pipe_that_is_open_for_both() {
    let folder = folder();
    let path = folder.path().join("fifo");
    fifo(&path);
    let both = OpenOptions::new().read(true).write(true).open(&path).expect("it is there");
    let found = look(&both);
    assert_eq!((found.kind, found.access), (DescriptorKind::Fifo, BOTH));
    assert_eq!(found.name, Some(path.display().to_string()));
    assert_eq!(our_ends(file(&both)), [(number(&both), true, true)]);
    // The same one by another name.
    let link = folder.path().join("another name");
    std::fs::hard_link(&path, &link).expect("a new path");
    let reader = File::open(&link).expect("there is a writer");
    assert_eq!(file(&reader), file(&both));
    assert_eq!(our_ends(file(&both)).len(), 2);
}

#[test]
fn timers_counters_sets_and_processes() {
    // SAFETY: these calls take integers only.
    let (counter, timer, set) = unsafe {
        (
            owned(libc::eventfd(0, 0)),
            owned(libc::timerfd_create(libc::CLOCK_MONOTONIC, 0)),
            owned(libc::epoll_create1(0)),
        )
    };
    assert_eq!(look(&counter).kind, DescriptorKind::Event);
    // It has no inode of its own, but a number.
    let (copy, other) = (
        counter.try_clone().expect("a copy"),
        owned(
            // SAFETY: the call takes integers only.
            unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) },
        ),
    );
    let mut both = [(number(&counter), true, true), (number(&copy), true, true)];
    both.sort_unstable();
    assert_eq!(our_ends(file(&counter)), both);
    assert_eq!(our_ends(file(&other)), [(number(&other), true, true)]);
    assert_ne!(file(&counter), file(&other));
    assert_eq!((look(&timer).kind, look(&timer).expires_ns), (DescriptorKind::Timer, None), "it is not set");
    let now = || ourselves().monotonic_ns().expect("a clock");
    let hour = libc::timespec { tv_sec: 3600, tv_nsec: 0 };
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let setting = libc::itimerspec { it_interval: never, it_value: hour };
    let before = now();
    // SAFETY: `setting` is a valid itimerspec, and no old one is wanted.
    let set_time =
        unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const setting, std::ptr::null_mut()) };
    assert_eq!(set_time, 0);
    let after = now();
    let found = look(&timer).expires_ns.expect("it is set");
    let hour = 3_600_000_000_000;
    // It is read a moment later: the time until it expires is a little less, and now is a little more.
    let late = now() - after;
    assert!((before + hour..=after + hour + late).contains(&found), "{before} {found} {after}");

    let (reader, _writer) = std::io::pipe().expect("a pipe");
    assert_eq!(look(&set).kind, DescriptorKind::Poll);
    let pid = std::process::id();
    assert!(descriptors::watched_by(pid, number(&set)).is_empty());
    for (fd, events) in [(reader.as_raw_fd(), libc::EPOLLIN), (counter.as_raw_fd(), libc::EPOLLOUT)] {
        let mut event = libc::epoll_event { events: events as u32, u64: 0xffff_8000_0000_0001 };
        // SAFETY: `event` is a valid epoll_event.
        let added = unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        assert_eq!(added, 0);
    }
    let mut watched = descriptors::watched_by(pid, number(&set));
    watched.sort_by_key(|watched| watched.write);
    let facts: Vec<_> = watched.iter().map(|watched| (watched.fd, watched.read, watched.write)).collect();
    assert_eq!(facts, [(number(&reader), true, false), (number(&counter), false, true)]);
    assert!(watched.iter().all(|watched| watched.data == 0xffff_8000_0000_0001));

    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep starts");
    // SAFETY: pidfd_open takes two integers.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let pidfd = owned(i32::try_from(pidfd).expect("small"));
    assert_eq!((look(&pidfd).kind, look(&pidfd).process), (DescriptorKind::Process, Some(child.id())));
    child.kill().expect("it runs");
    child.wait().expect("it is our child");
    assert_eq!(look(&pidfd).process, None, "it has ended");
}

#[test]
fn a_terminal() {
    let nix::pty::OpenptyResult { master, slave } = nix::pty::openpty(None, None).expect("a terminal");
    assert_eq!((look(&slave).kind, look(&slave).access), (DescriptorKind::Terminal, BOTH));
    assert!(look(&slave).name.is_some_and(|name| name.starts_with("/dev/pts/")));
    assert_eq!(look(&master).kind, DescriptorKind::Terminal);
    assert_eq!(our_ends(file(&slave)), [(number(&slave), true, true)]);
    // The master is found from the terminal, and is another thing.
    let its_master = descriptors::master_of(&look(&slave)).expect("it is a pseudo-terminal");
    assert_eq!(our_ends(its_master), [(number(&master), true, true)]);
    let other = nix::pty::openpty(None, None).expect("a terminal");
    assert_eq!(our_ends(its_master), [(number(&master), true, true)]);
    assert_eq!(descriptors::master_of(&look(&other.master)), None);
}

#[test]
fn descriptors_of_a_core_file_or_an_ended_process() {
    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep starts");
    let target = open_pid(child.id()).expect("it can be read");
    assert!(target.descriptors(&[]).expect("none are asked for").is_empty());
    assert!(target.descriptors(&[77]).expect("it is not open").is_empty());
    child.kill().expect("it runs");
    child.wait().expect("it is our child");
    assert!(matches!(target.descriptors(&[0]), Err(TargetError::Ended { .. })));
}

#[test]
fn who_holds_a_lock_of_a_file() {
    let folder = folder();
    let path = folder.path().join("locked");
    let one = File::create(&path).expect("a new path");
    assert!(descriptors::lock_holders(&[file(&one)]).is_empty());
    one.lock().expect("nobody has it");
    let holders = descriptors::lock_holders(&[file(&one)]);
    assert_eq!(holders.len(), 1);
    assert_eq!(
        (holders[0].pid, holders[0].exclusive, holders[0].file),
        (Some(std::process::id()), true, file(&one))
    );
    one.unlock().expect("we have it");
    one.lock_shared().expect("nobody has it");
    let two = File::open(&path).expect("it is there");
    two.lock_shared().expect("both may");
    let holders = descriptors::lock_holders(&[file(&one)]);
    assert_eq!(holders.iter().map(|holder| holder.exclusive).collect::<Vec<_>>(), [false, false]);
}

/// As an ordinary user, processes of others are counted, and nothing of them is known.
#[test]
fn without_rights_it_is_said_who_could_not_be_looked_at() {
    assert!(nix::unistd::Uid::effective().is_root(), "this test changes the user: run it as root");
    let (_player, mut said) = play("who-has", std::process::id());
    assert_eq!(said.next().as_deref(), Some("2 ends, all of this process"));
    assert_eq!(said.next().as_deref(), Some("the process that started us could not be looked at"));
}

/// What nobody wants any more ends at once, and says that it is not whole.
#[test]
fn searches_that_are_not_wanted_any_more() {
    let stop = Arc::new(AtomicBool::new(false));
    let limit = limit().or_when(Some(Arc::clone(&stop)));
    let (pipe, _other) = std::io::pipe().expect("a pipe");
    let (unix, _its) = UnixStream::pair().expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let tcp = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (unix, tcp) = (look(&unix), look(&tcp));
    let search = || {
        let ends = descriptors::who_has(&BTreeSet::from([file(&pipe)]), &limit);
        let others = sockets::other_ends(std::process::id(), &[&unix, &tcp], &limit);
        let known = others.iter().filter(|peer| !matches!(peer.to, OtherEnd::Unknown(_))).count();
        (ends.is_whole, ends.open.is_empty(), others.len(), known)
    };
    assert_eq!(search(), (true, false, 2, 2));
    stop.store(true, Ordering::Relaxed);
    assert_eq!(search(), (false, true, 2, 0));
}
