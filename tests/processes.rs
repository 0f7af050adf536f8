//! Processes by pid, by name, and started by loiter.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::process::{Command, Output, Stdio};

mod common;
#[path = "common/server.rs"]
mod server;

use server::Server;

fn loiter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(arguments);
    command
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Where there is no file of the server's name.
fn outside(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    said(&loiter(arguments).current_dir(server.directory.path().join("..")).output().unwrap())
}

#[test]
fn a_name_is_as_good_as_a_pid() {
    let server = Server::new("by-name");
    let fixture = server.start();
    let (name, pid) = (server.name.as_str(), fixture.pid().to_string());
    let saved = server.directory.path().join("a.loiter").display().to_string();
    let out = server.directory.path().join("a.pb.gz").display().to_string();
    for arguments in [
        &["stacks", name, "--limit", "1"][..],
        &["stacks", "-p", name],
        &["stacks", "--pid", &pid],
        &["stacks", &pid],
        &["flame", name, "--format", "folded"],
        &["flame", "-p", &pid, "--format", "folded"],
        &["snapshot", name, "-o", &saved],
        &["snapshot", "-p", &pid, "-o", &saved],
        &["convert", name, &out],
        &["convert", "-p", name, &out],
        &["diff", &saved, name],
        &["diff", &saved, "-p", name],
        &["leaks", "-p", name, "--for", "200ms", "--every", "100ms"],
        &["leaks", name, "--for", "200ms", "--every", "100ms"],
    ] {
        let (code, stdout, stderr) = outside(&server, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        let told = stdout + &stderr;
        let is_told = told.contains(name) || arguments.contains(&"folded") && told.contains("parked");
        assert!(is_told, "{arguments:?}: {told}");
    }
}

#[test]
fn a_name_is_never_a_guess() {
    let server = Server::new("twice");
    let (first, second) = (server.start(), server.start());
    let name = server.name.as_str();
    let (code, stdout, stderr) = outside(&server, &["stacks", name]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains(&format!("2 processes are named {name}: which one is meant?")), "{stderr}");
    for pid in [first.pid(), second.pid()] {
        let line = stderr.lines().find(|line| line.contains(&format!(" {pid} "))).unwrap();
        assert!(line.contains(" parked"), "{stderr}");
    }
    drop(second);
    // A part of a name is not the name, but is understood.
    let part = &name[..name.len() - 1];
    let (code, _, stderr) = outside(&server, &["stacks", part]);
    assert_eq!(code, Some(4));
    assert!(stderr.contains("similar names:") && stderr.contains(&first.pid().to_string()), "{stderr}");
    // Who has the name among its arguments only is not meant: neither this loiter nor the shell.
    let script = format!("'{}' stacks '{part}'; exit $?", env!("CARGO_BIN_EXE_loiter"));
    let output = Command::new("sh").args(["-c", &script, part]).output().unwrap();
    assert_eq!(said(&output).0, Some(4));
    // What started loiter is named, but not taken.
    let starter = format!("starter-{}", std::process::id());
    let shell = server.directory.path().join(&starter);
    fs::copy("/bin/sh", &shell).unwrap();
    let script = format!("'{}' stacks {starter}; exit $?", env!("CARGO_BIN_EXE_loiter"));
    let (code, _, stderr) = said(&Command::new(&shell).args(["-c", &script]).output().unwrap());
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains(&format!("only what started this loiter is named {starter}")), "{stderr}");
}

#[test]
fn what_is_missing_is_told_with_what_there_is() {
    let server = Server::new("there");
    let fixture = server.start();
    let (code, _, stderr) = outside(&server, &["stacks", "zzz-no-such-thing-zzz"]);
    assert_eq!(code, Some(4));
    let text = "no process is named zzz-no-such-thing-zzz, and there is no such file";
    assert!(stderr.contains(text) && stderr.contains("can be read"), "{stderr}");
    // Where it looks like a file, it is a file that is missing.
    for file in ["./zzz", "no/such/file", "missing.loiter", "missing.pb.gz", "core.12"] {
        let (code, _, stderr) = outside(&server, &["stacks", file]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(file) && stderr.contains("No such file"), "{stderr}");
    }
    // A file of the name of a process is the file; -p is always the process.
    let name = server.name.as_str();
    let inside =
        |arguments: &[&str]| said(&loiter(arguments).current_dir(server.directory.path()).output().unwrap());
    let (code, _, stderr) = inside(&["stacks", name]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains(&format!("-p {name}")), "{stderr}");
    let (code, stdout, _) = inside(&["stacks", "-p", name]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains(&format!("pid {}", fixture.pid())), "{stdout}");
    // Without a terminal and without a source, the processes are listed.
    let (code, _, stderr) = outside(&server, &["watch"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("watch needs a terminal") && stderr.contains("can be read"), "{stderr}");
}

#[test]
fn one_source_at_a_time() {
    let server = Server::new("nobody");
    for arguments in [
        &["stacks"][..],
        &["stacks", "1", "-p", "2"],
        &["stacks", "-p", "/bin/sh"],
        &["convert", "-p", "1"],
        &["convert", "-p", "1", "a", "b"],
        &["convert", "a"],
        &["diff", "-p", "1"],
        &["leaks"],
        &["leaks", "1", "--", "true"],
        &["watch", "1", "--", "true"],
    ] {
        assert_eq!(outside(&server, arguments).0, Some(2), "{arguments:?}");
    }
}

/// Runs `loiter leaks` on a program that it starts; gives it an input, which is given back.
fn leaks(options: &[&str], program: &[&str]) -> std::process::Child {
    let arguments = [&["leaks"], options, &["--"], program].concat();
    let mut command = loiter(&arguments);
    command.env("COUNT", "20").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn leaks_starts_a_program_and_ends_it() {
    let server = Server::new("started");
    let path = server.path().display().to_string();
    let run = |time: &str, program: &[&str]| {
        let mut child = leaks(&["--for", time, "--every", "200ms"], program);
        // The program goes on as long as its input is open.
        let input = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(input);
        said(&output)
    };
    let mut outcome = run("400ms", &[&path, "parked"]);
    // It is read as soon as it has begun: a slow machine needs longer until it says something.
    for time in ["5s", "50s"] {
        if outcome.2.contains("ready ") {
            break;
        }
        outcome = run(time, &[&path, "parked"]);
    }
    let (code, stdout, stderr) = outcome;
    assert_eq!(code, Some(0), "{stderr}");
    // What the program prints does not stand in the report.
    assert!(stdout.contains(&server.name) && !stdout.contains("ready "), "{stdout}");
    let told = stderr.contains("which loiter had started, is ended: SIGTERM");
    assert!(stderr.contains("ready ") && told, "{stderr}");

    let (code, _, stderr) = run("400ms", &["sh", "-c", "exit 3"]);
    assert_eq!(code, Some(4));
    assert!(stderr.contains("sh has ended before it could be read: exit status 3"), "{stderr}");
    let (code, _, stderr) = run("400ms", &["/no/such/program"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("cannot start /no/such/program"), "{stderr}");
}

#[test]
fn leaks_says_how_a_program_has_ended() {
    let server = Server::new("ends");
    let path = server.path().display().to_string();
    let mut child = leaks(&["--for", "1h", "--every", "100ms"], &[&path, "parked"]);
    let input = child.stdin.take();
    // Usually it has been read by then; where it has not, it is told all the same.
    std::thread::sleep(std::time::Duration::from_secs(2));
    drop(input);
    let (_, _, stderr) = said(&child.wait_with_output().unwrap());
    assert!(stderr.contains("has ended") && stderr.contains("exit status 0"), "{stderr}");
}
