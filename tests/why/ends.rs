//! What has no other end that is a socket or a pipe: pipes that are being opened, counters, terminals, locks of files; pipes
//! that many processes have; and connections that are not accepted.

use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use loiter::analysis::why::Why;
use loiter::session::why::{Inquiry, InquiryOptions, InquiryStep};
use loiter::source::{OpenOptions, Source};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::reports::{Other, named};

/// What `loiter why` says of a process.
pub(crate) fn why(pid: u32) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_loiter")).args(["why", &pid.to_string(), "-v"]).output();
    let output = output.expect("loiter starts");
    String::from_utf8_lossy(&output.stdout)
        .replace("\n", " ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Waits until the kernel says that a process sleeps in this call (its number on x86-64).
pub(crate) fn until_in(call: i64, pid: u32) {
    let path = format!("/proc/{pid}/syscall");
    while !std::fs::read_to_string(&path).is_ok_and(|text| text.starts_with(&format!("{call} "))) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// A program that reads from a descriptor of ours.
pub(crate) fn reader(of: &impl AsRawFd) -> Other {
    // SAFETY: the descriptor is open, and the copy is owned by the command alone.
    let copy = unsafe { OwnedFd::from_raw_fd(libc::dup(of.as_raw_fd())) };
    let child = Command::new("cat").stdin(Stdio::from(copy)).stdout(Stdio::null()).spawn();
    let child = Other::of(child.expect("there is cat"));
    until_in(libc::SYS_read, child.pid());
    child
}

fn not_inherited(fd: &impl AsRawFd) {
    // SAFETY: the descriptor is open for as long as it is borrowed.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd.as_raw_fd()) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it is open");
}

#[test]
fn a_named_pipe_that_nobody_else_opens() {
    let folder = tempfile::tempdir().unwrap();
    nix::unistd::mkfifo(&folder.path().join("one.fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (script, other) in [("exec < one.fifo", "writing"), ("exec > one.fifo", "reading")] {
        let shell = Other::start(script, folder.path());
        until_in(libc::SYS_openat, shell.pid());
        let text = why(shell.pid());
        assert!(text.contains(&format!("of a named pipe that no process has open for {other}")), "{text}");
        assert!(text.contains("waits to open one.fifo"), "{text}");
    }
}

/// A task that is found to have moved is followed anew, to whatever it waits for by then.
#[test]
fn what_moved_meanwhile_leads_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    nix::unistd::mkfifo(&folder.path().join("second.fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writer = Other::start("exec 3>second.fifo; exec sleep 1000", folder.path());
    let mut shell = Command::new("sh");
    // Both are descriptor 0 while the shell reads from them.
    shell.args(["-c", "exec 3<second.fifo; read line; read line <&3; exit"]).current_dir(folder.path());
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is a shell");
    let (mut line, output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
    let shell = Other::of(shell);
    let waiter = reader(&output);
    drop(output);
    let reads_from = |what: &str| {
        let path = format!("/proc/{}/fd/0", shell.pid());
        while !std::fs::read_link(&path).is_ok_and(|link| link.to_string_lossy().contains(what)) {
            thread::sleep(Duration::from_millis(2));
        }
        until_in(libc::SYS_read, shell.pid());
    };
    reads_from("pipe:");
    let options = InquiryOptions { limit: Duration::from_secs(600), ..InquiryOptions::default() };
    let inquiry = Inquiry::of(&Source::Pid(waiter.pid()), &OpenOptions::default(), options).unwrap();
    let mut moves = true;
    let outcome = inquiry.follow(None, &mut |step| {
        if matches!(step, InquiryStep::ReadsAgain(_)) && std::mem::take(&mut moves) {
            line.write_all(b"go on\n").unwrap();
            reads_from("second.fifo");
        }
    });
    let outcome = outcome.unwrap();
    let why = Why::new(&outcome.system);
    let causes = why.causes().causes;
    let chains: Vec<_> = causes.iter().map(|found| named(&why, &found.chain)).collect();
    assert_eq!(chains, [[waiter.pid(), shell.pid(), writer.pid()]], "{causes:#?}");
    assert_eq!(outcome.retries, 1);
}

/// Through a link to their executable, or by a script for an interpreter.
#[test]
fn processes_are_called_what_they_were_started_as() {
    let folder = tempfile::tempdir().unwrap();
    let [link, script] = ["night-watch", "a-script-with-a-long-name"].map(|name| folder.path().join(name));
    std::os::unix::fs::symlink("/bin/sleep", &link).unwrap();
    std::fs::write(&script, "#!/bin/sh\nread line\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let linked = Other::of(Command::new(&link).arg("1000").spawn().unwrap());
    // A process of another test may have the file open for writing for the moment between fork and exec.
    let spawn = || Command::new(&script).stdin(Stdio::piped()).spawn();
    let mut scripted = spawn();
    while scripted.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ExecutableFileBusy) {
        scripted = spawn();
    }
    let mut scripted = scripted.unwrap();
    let _input = scripted.stdin.take();
    let scripted = Other::of(scripted);
    until_in(libc::SYS_clock_nanosleep, linked.pid());
    until_in(libc::SYS_read, scripted.pid());
    for (process, name) in [(&linked, "night-watch"), (&scripted, "a-script-with-a-long-name")] {
        let (text, named) = (why(process.pid()), format!("{name} (pid {})", process.pid()));
        assert!(text.starts_with(&named), "{text}");
    }
}

#[test]
fn a_counter_that_another_process_has() {
    // SAFETY: the call takes integers only, and the descriptor is new.
    let counter = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    let reader = reader(&counter);
    let text = why(reader.pid());
    assert!(text.contains("anon_inode:[eventfd]"), "{text}");
    assert!(text.contains(&format!("it is open in pid {}", std::process::id())), "{text}");
    // Who waits for it is no one who raises it.
    drop(counter);
    let text = why(reader.pid());
    assert!(text.contains("no other process has it"), "{text}");
}

#[test]
fn a_terminal_leads_to_the_program_that_made_it() {
    let nix::pty::OpenptyResult { master, slave } = nix::pty::openpty(None, None).unwrap();
    not_inherited(&master);
    not_inherited(&slave);
    let reader = reader(&slave);
    let text = why(reader.pid());
    assert!(text.contains("/dev/pts/"), "{text}");
    assert!(text.contains(&format!("the other end is open in pid {}", std::process::id())), "{text}");
}

#[test]
fn of_many_processes_those_that_have_only_the_needed_end_come_first() {
    let (from, to) = std::io::pipe().unwrap();
    let sleeper = |stdin: Stdio, stdout: Stdio| -> Child {
        let mut sleep = Command::new("sleep");
        sleep.arg("1000").stdin(stdin).stdout(stdout).spawn().expect("there is sleep")
    };
    let copy = |fd: &dyn AsRawFd| -> Stdio {
        // SAFETY: the descriptor is open, and the copy is owned by the command alone.
        unsafe { Stdio::from_raw_fd(libc::dup(fd.as_raw_fd())) }
    };
    // They have inherited both ends, as the children of a careless program do.
    let both: Vec<Other> = (0..5).map(|_| Other::of(sleeper(copy(&from), copy(&to)))).collect();
    let writer = Other::of(sleeper(Stdio::null(), copy(&to)));
    let reader = reader(&from);
    drop((from, to));
    let text = why(reader.pid());
    let named = format!("pid {} sleep", writer.pid());
    assert!(text.contains(&named), "{text}");
    assert!(both.iter().all(|other| !text.contains(&format!("pid {} sleep (", other.pid()))), "{text}");
    assert!(text.contains(&format!("or {} other", both.len())), "{text}");
}

/// What is said of this process while one of its threads waits in this call, and what the thread returns at the end, which
/// `release` brings about.
fn while_in<T: Send + 'static>(
    call: i64,
    work: impl FnOnce() -> T + Send + 'static,
    release: impl FnOnce(),
) -> (String, T) {
    let (tell, told) = mpsc::channel();
    let waits = thread::spawn(move || {
        tell.send(nix::unistd::gettid().as_raw()).unwrap();
        work()
    });
    let path = format!("/proc/self/task/{}/syscall", told.recv().unwrap());
    while !std::fs::read_to_string(&path).is_ok_and(|text| text.starts_with(&format!("{call} "))) {
        assert!(!waits.is_finished(), "it does not wait");
        thread::sleep(std::time::Duration::from_millis(2));
    }
    let text = why(std::process::id());
    release();
    (text, waits.join().unwrap())
}

/// The queue of a listening socket is full: the kernel does not say of a socket where it is being connected to.
#[test]
fn a_unix_socket_whose_queue_is_full_leads_to_the_one_that_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // SAFETY: the descriptor is a listening socket, whose queue gets another length: for one connection.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let first = UnixStream::connect(&path).unwrap();
    let connect = move || UnixStream::connect(&path).is_ok();
    let (text, connected) = while_in(libc::SYS_connect, connect, || drop(listener));
    let named = format!("pid {} ", std::process::id());
    let said = text.match_indices(&named).any(|(at, _)| {
        text[at..].split_once(" has not accepted the connection").is_some_and(|(who, _)| !who.contains('└'))
    });
    assert!(said, "{text}");
    assert!(!connected);
    drop(first);
}

/// A datagram that is sent with an address: the kernel does not say of the socket where to.
#[test]
fn a_datagram_for_a_full_queue_leads_to_the_one_that_receives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box.sock");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(b"more", &path).is_ok() {}
    sender.set_nonblocking(false).unwrap();
    let send = move || sender.send_to(b"one too many", &path).is_ok();
    let (text, sent) = while_in(libc::SYS_sendto, send, || drop(receiver));
    let named = format!("the other end is open in pid {} ", std::process::id());
    assert!(text.contains(&named), "{text}");
    assert!(!sent);
}

/// Locks of open files have no process in /proc/locks.
#[test]
fn a_lock_of_an_open_file_leads_to_the_process_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locked");
    let lock = |command| {
        let file = std::fs::File::options().create(true).truncate(false).write(true).open(&path).unwrap();
        move || {
            // SAFETY: all zeroes are a value of this structure of integers: the whole file.
            let mut whole: libc::flock = unsafe { std::mem::zeroed() };
            whole.l_type = libc::F_WRLCK as i16;
            // SAFETY: the descriptor is open, and the structure lives during the call.
            let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const whole) };
            (result, file)
        }
    };
    let (result, held) = lock(libc::F_OFD_SETLK)();
    assert_eq!(result, 0);
    let (text, (result, _)) = while_in(libc::SYS_fcntl, lock(libc::F_OFD_SETLKW), || drop(held));
    let named = format!("pid {} ", std::process::id());
    let said = text
        .match_indices(&named)
        .any(|(at, _)| text[at..].split_once(" holds the lock").is_some_and(|(who, _)| !who.contains('└')));
    assert!(said, "{text}");
    assert_eq!(result, 0);
}
