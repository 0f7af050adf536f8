//! What surrounds a program: pipes, daemons, gates in gates, variables, time limits, programs that are not there.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};

use crate::{gate, newest, run, stderr};

#[test]
fn a_daemon_that_outlives_the_program_keeps_no_pipe_open() {
    let mut command = gate(&[], &newest(), &["daemon", "0", "3"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let daemon = child.stdin.take().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    // The daemon lives as long as its standard input does.
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), child.wait().unwrap().code()), ("started\n", Some(3)), "{err}");
    drop(daemon);
}

#[test]
fn a_program_that_cannot_be_started_is_told_once() {
    for how in ["seccomp", "ptrace"] {
        let missing = run(gate(&["--how", how], Path::new("/no/such/program"), &[]));
        assert_eq!(missing.status.code(), Some(127), "{how}");
        let told = stderr(&missing);
        assert!(
            told.starts_with("loiter: cannot start /no/such/program") && told.lines().count() == 1,
            "{told}"
        );
        let refused = run(gate(&["--how", how], Path::new("/etc/passwd"), &[]));
        assert_eq!(refused.status.code(), Some(126), "{how}: {}", stderr(&refused));
    }
}

#[test]
fn a_program_without_a_runtime_keeps_its_status() {
    for how in ["seccomp", "ptrace"] {
        let shell = run(gate(&["--how", how], Path::new("/bin/sh"), &["-c", "exit 3"]));
        assert_eq!(shell.status.code(), Some(3), "{how}");
        assert!(stderr(&shell).contains("no runtime that loiter can read"), "{how}: {}", stderr(&shell));
    }
}

#[test]
fn a_gate_in_a_gate_traces() {
    let program = newest();
    let inner = ["gate", "--", program.to_str().unwrap(), "return", "2"];
    let nested = run(gate(&[], Path::new(env!("CARGO_BIN_EXE_loiter")), &inner));
    assert_eq!(nested.status.code(), Some(1), "{}", stderr(&nested));
    assert!(stderr(&nested).contains("left 2 goroutines"), "{}", stderr(&nested));
    let refused = ["gate", "--how", "seccomp", "--", program.to_str().unwrap(), "return", "0"];
    let nested = run(gate(&[], Path::new(env!("CARGO_BIN_EXE_loiter")), &refused));
    assert_eq!(nested.status.code(), Some(3), "{}", stderr(&nested));
    assert!(stderr(&nested).contains("EBUSY"), "{}", stderr(&nested));
}

#[test]
fn ancestors_are_added_to_godebug() {
    let told = |before: Option<&str>| {
        let mut command = gate(&["--ancestors"], &newest(), &["godebug", "0"]);
        command.envs(before.map(|before| ("GODEBUG", before)));
        String::from_utf8(run(command).stdout).unwrap()
    };
    assert_eq!(told(None), "tracebackancestors=20");
    assert_eq!(told(Some("gctrace=0")), "gctrace=0,tracebackancestors=20");
}

/// Runs a program with a time limit, which becomes longer until the program was there in time: a slow machine needs a
/// while to start it. Returns the limit in seconds, too.
fn timed_out(how: &str, arguments: &[&str], was_there: impl Fn(&Output) -> bool) -> (u32, Output) {
    let mut seconds = 1;
    loop {
        let limit = format!("{seconds}s");
        let output = run(gate(&["--how", how, "--timeout", &limit], &newest(), arguments));
        if was_there(&output) || seconds > 20 {
            return (seconds, output);
        }
        seconds *= 5;
    }
}

#[test]
fn a_program_that_does_not_end_is_read_and_ended() {
    for how in ["seccomp", "ptrace"] {
        let (seconds, ended) = timed_out(how, &["forever", "2"], |output| stderr(output).contains("left "));
        assert_eq!(ended.status.signal(), Some(15), "{how}: {}", stderr(&ended));
        let (told, limit) = (stderr(&ended), format!("had not ended after {seconds} s"));
        assert!(told.contains(&limit) && told.contains("left "), "{how}: {told}");
        // Its own end after SIGTERM is held; it was late all the same. It says "ready" when it handles SIGTERM.
        let is_ready = |output: &Output| output.stdout.starts_with(b"ready");
        let (_, late) = timed_out(how, &["graceful", "0", "0"], is_ready);
        assert_eq!(late.status.code(), Some(1), "{how}: {}", stderr(&late));
        let (_, late) = timed_out(how, &["graceful", "0", "9"], is_ready);
        assert_eq!(late.status.code(), Some(9), "{how}: {}", stderr(&late));
    }
}

#[test]
fn signals_to_the_process_that_the_caller_started_reach_the_program() {
    for how in ["seccomp", "ptrace"] {
        let mut command = gate(&["--how", how], &newest(), &["graceful", "2", "9"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{how}: {}", stderr(&output));
        assert!(stderr(&output).contains("left 2 goroutines"), "{how}: {}", stderr(&output));
    }
}

/// A pipe with no room left, and how much is in it.
fn full_pipe() -> (io::PipeReader, OwnedFd, usize) {
    let (reader, mut writer) = io::pipe().unwrap();
    let size = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let size = usize::try_from(size).unwrap();
    writer.write_all(&vec![b'.'; size]).unwrap();
    (reader, writer.into(), size)
}

#[test]
fn a_program_does_not_wait_for_a_reader_of_the_report() {
    for how in ["seccomp", "ptrace"] {
        let (mut reader, writer, size) = full_pipe();
        let mut command = gate(&["--how", how, "--settle", "0ms"], &newest(), &["exit", "2", "5"]);
        let begun = Instant::now();
        let status = command.stderr(writer).status().unwrap();
        // A second, and not the two minutes after which a program is let go in any case.
        assert!(begun.elapsed() < Duration::from_secs(100), "{how}");
        assert_eq!(status.code(), Some(5), "{how}");
        drop(command);
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        let told = told.get(size..).unwrap();
        // In place, it is told to whoever reads later. The parent of a traced program ends with it.
        assert_eq!(told.contains("left 2 goroutines"), how == "seccomp", "{how}: {told}");
    }
}
