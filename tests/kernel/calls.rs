//! System calls that threads are in.

use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use loiter::process::ThreadCall;
use loiter::process::calls::{self, Awaited, Child, Until, awaited};
use loiter::snapshot::{Age, WaitOp};

use crate::support::{folder, number, ourselves, owned, until};

/// Lets a thread wait, and gives its call once it sleeps in one with this name. The thread stays in it.
fn call_in(name: &'static str, wait: impl FnOnce() + Send + 'static) -> (ThreadCall, u32) {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: gettid has no arguments.
        sender.send(unsafe { libc::gettid() }).expect("it is awaited");
        wait();
    });
    let tid = u32::try_from(receiver.recv().expect("it says so")).expect("small");
    let target = ourselves();
    let call = || target.call_of(tid).filter(|call| calls::name(call.number) == Some(name));
    until(name, || call().is_some());
    (call().expect("it stays there"), tid)
}

fn what(call: &ThreadCall) -> Awaited {
    awaited(call, ourselves().as_ref())
}

fn one(fd: u32, op: WaitOp) -> Awaited {
    Awaited::Descriptors { any: vec![(fd, op)], forever: true, more: false }
}

#[test]
fn reading_writing_and_accepting() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (fd, mut copy) = (number(&reader), reader.try_clone().expect("a copy"));
    let copied = number(&copy);
    let (call, _) = call_in("read", move || drop(copy.read(&mut [0; 8])));
    assert_eq!(what(&call), one(copied, WaitOp::Read));
    assert_ne!(fd, copied);
    assert!(call.kernel_function.as_deref().is_some_and(|name| name.contains("pipe")), "{call:?}");
    assert_ne!((call.sp, call.pc), (0, 0));
    drop(writer);

    let (reader, writer) = std::io::pipe().expect("a pipe");
    let fd = number(&writer);
    let (call, _) = call_in("write", move || drop(std::io::Write::write_all(&mut { writer }, &[0; 1 << 20])));
    assert_eq!(what(&call), one(fd, WaitOp::Write));
    drop(reader);

    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let (fd, copy) = (number(&listener), listener.try_clone().expect("a copy"));
    let copied = number(&copy);
    let (call, _) = call_in("accept4", move || drop(copy.accept()));
    assert_eq!(what(&call), one(copied, WaitOp::Accept));
    assert_ne!(fd, copied);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let fd = number(&client);
    let (call, _) = call_in("recvfrom", move || drop({ client }.read(&mut [0; 8])));
    assert_eq!(what(&call), one(fd, WaitOp::Read));
}

/// Polls until something comes.
fn poll(polled: Vec<(OwnedFd, i16)>, limit: i32) {
    let event =
        |(fd, events): &(OwnedFd, i16)| libc::pollfd { fd: fd.as_raw_fd(), events: *events, revents: 0 };
    let mut all: Vec<libc::pollfd> = polled.iter().map(event).collect();
    // SAFETY: `all` has as many entries as it says.
    unsafe { libc::poll(all.as_mut_ptr(), all.len() as u64, limit) };
}

#[test]
fn several_descriptors_at_once() {
    let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().expect("a pipe")).collect();
    let [(one, _), (two, _), (three, _)] = pipes.as_slice() else { panic!("three") };
    let copies: Vec<OwnedFd> = [one, two, three].map(|pipe| pipe.try_clone().expect("a copy").into()).into();
    let numbers: Vec<u32> = copies.iter().map(number).collect();
    let polled: Vec<_> = copies.into_iter().map(|fd| (fd, libc::POLLIN)).collect();
    let (call, _) = call_in("poll", move || poll(polled, -1));
    let any = numbers.iter().map(|&fd| (fd, WaitOp::Read)).collect();
    assert_eq!(what(&call), Awaited::Descriptors { any, forever: true, more: false });

    let (stream, _peer) = UnixStream::pair().expect("a pair");
    let fd = number(&stream);
    let (call, _) = call_in("poll", move || poll(vec![(stream.into(), libc::POLLIN)], 1_000_000));
    assert_eq!(
        what(&call),
        Awaited::Descriptors { any: vec![(fd, WaitOp::Read)], forever: false, more: false }
    );

    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let fd = reader.as_raw_fd();
    let waits = move || {
        let reader = reader;
        // SAFETY: the sets are valid and initialised, and the descriptor is less than their size.
        unsafe {
            let mut set = std::mem::zeroed::<libc::fd_set>();
            libc::FD_SET(reader.as_raw_fd(), &raw mut set);
            let none = std::ptr::null_mut();
            libc::pselect(fd + 1, &raw mut set, none, none, std::ptr::null(), std::ptr::null());
        }
    };
    let (call, _) = call_in("pselect6", waits);
    assert_eq!(what(&call), one_of(fd));

    // SAFETY: epoll_create1 takes an integer.
    let set = owned(unsafe { libc::epoll_create1(0) });
    let fd = number(&set);
    let waits = move || {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: there is room for one event.
        unsafe { libc::epoll_wait(set.as_raw_fd(), &raw mut event, 1, -1) };
    };
    let (call, _) = call_in("epoll_wait", waits);
    assert_eq!(what(&call), Awaited::Poll { fd, forever: true });
}

fn one_of(fd: i32) -> Awaited {
    one(u32::try_from(fd).expect("not negative"), WaitOp::Read)
}

#[test]
fn locks_children_and_files() {
    let waits = || {
        let (lock, cond) = (Mutex::new(()), Condvar::new());
        drop(cond.wait(lock.lock().expect("not poisoned")));
    };
    let (call, _) = call_in("futex", waits);
    assert_eq!(what(&call), Awaited::Futex { address: call.arguments[0], is_lock: false, forever: true });

    #[allow(clippy::zombie_processes, reason = "a thread waits for it")]
    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep starts");
    let pid = child.id();
    let waits = move || {
        let mut status = 0;
        // SAFETY: `status` is valid.
        unsafe { libc::waitpid(pid.cast_signed(), &raw mut status, 0) };
    };
    let (call, _) = call_in("wait4", waits);
    assert_eq!(what(&call), Awaited::Child(Child::Pid(pid)));
    // SAFETY: pidfd_open takes two integers.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = u32::try_from(pidfd).expect("small");
    let waits = move || {
        // SAFETY: zeroed is a valid siginfo_t to write to.
        unsafe {
            let mut info = std::mem::zeroed::<libc::siginfo_t>();
            libc::waitid(libc::P_PIDFD, fd, &raw mut info, libc::WEXITED | libc::WNOWAIT);
        }
    };
    let (call, _) = call_in("waitid", waits);
    assert_eq!(what(&call), Awaited::Child(Child::Descriptor(fd)));
    child.kill().expect("it runs");

    let folder = folder();
    let path = folder.path().join("locked");
    let (one, two) = (File::create(&path).expect("a new path"), File::create(&path).expect("it is there"));
    one.lock().expect("nobody has it");
    let fd = number(&two);
    let (call, _) = call_in("flock", move || drop(two.lock()));
    assert_eq!(what(&call), Awaited::FileLock { fd, op: WaitOp::Lock });

    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a new path");
    let opened = fifo.clone();
    let (call, _) = call_in("openat", move || drop(File::open(opened)));
    let Awaited::Open { path } = what(&call) else { panic!("{call:?}") };
    let mut bytes = vec![0; fifo.as_os_str().len() + 1];
    ourselves().read(path, &mut bytes).expect("our memory");
    assert_eq!(bytes, [fifo.as_os_str().as_encoded_bytes(), b"\0"].concat());
}

#[test]
fn sleeping_and_for_how_long() {
    let begin = Instant::now();
    let (call, tid) = call_in("clock_nanosleep", || std::thread::sleep(Duration::from_secs(1000)));
    assert!(matches!(what(&call), Awaited::Time(Until::For(1..=1_000_000_000_000))), "{:?}", what(&call));
    let target = ourselves();
    // It sleeps now, at the latest.
    let sleeps = Instant::now();
    until("a second", || sleeps.elapsed() > Duration::from_secs(1));
    let age = || match target.call_of(tid).expect("it sleeps").age {
        Age::AtLeast(ns) => Some(Duration::from_nanos(ns)),
        Age::Exactly(_) => panic!("that cannot be known"),
        Age::Unknown => None,
    };
    let Some(first) = age() else {
        assert!(!std::path::Path::new("/proc/self/sched").exists(), "the kernel has what is needed");
        return;
    };
    assert!(first <= begin.elapsed());
    until("an age", || age() > Some(Duration::from_millis(500)));
    let found = age().expect("known");
    assert!(found <= begin.elapsed(), "{found:?} is a lower bound");
    assert_eq!(
        target.call_of(tid).map(|call| call.sleeps),
        target.blocked_at(tid).map(|blocked| blocked.sleeps)
    );
}

#[test]
fn a_running_thread_is_in_no_call() {
    let (sender, receiver) = mpsc::channel();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let its = std::sync::Arc::clone(&stop);
    let spinner = std::thread::spawn(move || {
        // SAFETY: gettid has no arguments.
        sender.send(unsafe { libc::gettid() }).expect("it is awaited");
        while !its.load(std::sync::atomic::Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    let tid = u32::try_from(receiver.recv().expect("it says so")).expect("small");
    let target = ourselves();
    until("it to run", || target.call_of(tid).is_none());
    assert!((0..50).all(|_| target.call_of(tid).is_none()));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    spinner.join().expect("it ends");
    assert_eq!(target.call_of(tid), None, "it has ended");
}
