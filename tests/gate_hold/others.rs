//! What surrounds a program: pipes, daemons, gates in gates, variables, time limits, programs that are not there.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::pty;
use crate::{gate, newest, plain, run, stderr};

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

#[test]
fn a_program_that_does_not_end_is_read_and_ended() {
    for how in ["seccomp", "ptrace"] {
        let options = ["--how", how, "--timeout", "1s"];
        let ended = run(gate(&options, &newest(), &["forever", "2"]));
        assert_eq!(ended.status.signal(), Some(15), "{how}: {}", stderr(&ended));
        let told = stderr(&ended);
        assert!(told.contains("had not ended after 1 s") && told.contains("left "), "{how}: {told}");
        // Its own end after SIGTERM is held; it was late all the same.
        let late = run(gate(&options, &newest(), &["graceful", "0", "0"]));
        assert_eq!(late.status.code(), Some(1), "{how}: {}", stderr(&late));
        let late = run(gate(&options, &newest(), &["graceful", "0", "9"]));
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

/// Reads a terminal until it shows a text.
fn read_until(terminal: &mut std::fs::File, text: &str) {
    let (mut seen, mut byte) = (String::new(), [0]);
    while !seen.ends_with(text) {
        terminal.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {seen}"));
        seen.push(char::from(byte[0]));
    }
}

#[test]
fn a_shell_stops_and_continues_the_program_as_a_job() {
    let program = newest();
    for how in ["seccomp", "ptrace"] {
        let mut shell = Command::new("bash");
        plain(shell.args(["--norc", "--noprofile", "-i"]).env("PS1", "$").env("TERM", "dumb"));
        let (mut child, mut terminal, slave) = pty::start(shell, 200, 50);
        let loiter = env!("CARGO_BIN_EXE_loiter");
        let line = format!("{loiter} gate --how {how} -- {} graceful 0 5\n", program.display());
        terminal.write_all(line.as_bytes()).unwrap();
        read_until(&mut terminal, "ready");
        terminal.write_all(b"\x1a").unwrap();
        read_until(&mut terminal, "Stopped");
        terminal.write_all(b"fg; echo status=$?\n").unwrap();
        // The shell shows the job before it continues it.
        read_until(&mut terminal, "graceful 0 5\r\n");
        terminal.write_all(b"\x03").unwrap();
        // SIGINT ends it: no handler.
        read_until(&mut terminal, "\n$");
        terminal.write_all(b"echo after=$?; exit\n").unwrap();
        read_until(&mut terminal, "after=130");
        drop(slave);
        let _ = child.kill();
        child.wait().unwrap();
    }
}
