//! Which process `loiter watch` watches: one that is picked, one that is started, one that is restarted.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

mod common;
#[path = "common/server.rs"]
mod server;
#[path = "watch_support/terminal.rs"]
mod terminal;

use common::Fixture;
use server::Server;
use terminal::{PATIENCE, Terminal};

fn watch(arguments: &[&str]) -> Terminal {
    let arguments: Vec<&str> = [&["--interval", "100ms"], arguments].concat();
    // Not in its own directory, where its name is that of a file.
    Terminal::start(100, 30, &std::env::temp_dir(), &arguments)
}

/// A script that becomes the server, with an input that never ends.
fn script(server: &Server) -> String {
    let input = server.directory.path().join("input");
    if !input.exists() {
        mkfifo(&input, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    }
    let (path, input) = (server.path().display().to_string(), input.display().to_string());
    format!("echo hello from the script >&2; COUNT=40 exec '{path}' parked <>'{input}'")
}

fn send(signal: Signal, pid: u32) {
    kill(Pid::from_raw(pid as i32), signal).unwrap();
}

/// The pid of the process that runs this executable.
fn running(path: &Path) -> Option<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(|pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == path))
}

#[test]
fn a_restarted_program_is_found_again() {
    let server = Server::new("restart");
    // Another one with the same command line, which was there before, is not taken for it.
    let _other = server.start();
    let first = server.start();
    let pid = first.pid().to_string();
    let mut terminal = watch(&[&pid]);
    terminal.shows("live 0.1 s");
    send(Signal::SIGKILL, first.pid());
    terminal.shows_all(&["waiting for a new one", "this is the last reading"]);
    let second = server.start();
    let (restarted, was) =
        (format!("restarted as pid {}", second.pid()), format!("pid {} (was {pid})", second.pid()));
    terminal.shows_all(&[&restarted, &was]);
    terminal.until("break in the charts", |screen| screen.contains('┊'));
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
}

#[test]
fn a_program_that_was_asked_for_by_name_may_come_back_with_other_arguments() {
    let server = Server::new("by-name");
    let first = server.start();
    let mut terminal = watch(&[&server.name]);
    terminal.shows("live 0.1 s");
    send(Signal::SIGKILL, first.pid());
    terminal.shows("waiting for a new one");
    let second = Fixture::start_with(&server.path(), &["parked", "channels"], &[("COUNT", "30")]);
    terminal.shows(&format!("restarted as pid {}", second.pid()));
    terminal.press("q");
    assert!(terminal.wait().success());
}

#[test]
fn a_process_is_picked_from_a_list() {
    let server = Server::new("picked");
    let fixture = server.start();
    let mut terminal = watch(&[]);
    terminal.shows("Choose a process to watch");
    terminal.press(&server.name);
    let pid = format!(" {} ", fixture.pid());
    terminal.until("process in the list", |screen| screen.lines().skip(4).any(|line| line.contains(&pid)));
    terminal.press("\r");
    terminal.shows("live 0.1 s");
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();

    let mut terminal = watch(&[]);
    terminal.shows("Choose a process to watch");
    terminal.press("\x1b");
    assert!(terminal.wait().success());
    terminal.assert_restored();

    let mut terminal = watch(&[]);
    terminal.shows("Choose a process to watch");
    kill(terminal.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.wait().signal(), Some(Signal::SIGTERM as i32));
    terminal.assert_restored();
}

#[test]
fn a_program_is_started_and_ends_with_the_dashboard() {
    let server = Server::new("started");
    for signal in [None, Some(Signal::SIGTERM)] {
        let mut terminal = watch(&["--", "sh", "-c", &script(&server)]);
        let screen = terminal.shows("live 0.1 s");
        assert!(!screen.contains("hello"), "{screen}");
        let pid = running(&server.path()).unwrap();
        match signal {
            None => terminal.press("q"),
            Some(signal) => kill(terminal.pid(), signal).unwrap(),
        }
        assert_eq!(terminal.wait().signal(), signal.map(|signal| signal as i32));
        terminal.assert_restored();
        terminal.until_text("hello from the script");
        terminal.until_text(&format!("sh (pid {pid}), which loiter had started, is ended: SIGTERM"));
        assert_eq!(running(&server.path()), None);
    }
}

#[test]
fn the_end_of_a_program_is_told() {
    let server = Server::new("ending");
    let mut terminal = watch(&["--", "sh", "-c", &script(&server)]);
    terminal.shows("live 0.1 s");
    send(Signal::SIGKILL, running(&server.path()).unwrap());
    terminal.shows_all(&["the program has ended: SIGKILL", "■ ended"]);
    terminal.press("q");
    assert!(terminal.wait().success());

    let mut terminal = watch(&["--", "sh", "-c", "echo no luck; exit 7"]);
    assert_eq!(terminal.wait().code(), Some(4));
    terminal.until_text("sh has ended before it could be read: exit status 7");
    terminal.until_text("no luck");
}

#[test]
fn a_killed_loiter_takes_its_program_along() {
    let server = Server::new("orphan");
    let mut terminal = watch(&["--", "sh", "-c", &script(&server)]);
    terminal.shows("live 0.1 s");
    assert!(running(&server.path()).is_some());
    kill(terminal.pid(), Signal::SIGKILL).unwrap();
    terminal.wait();
    let begin = Instant::now();
    while running(&server.path()).is_some() {
        assert!(begin.elapsed() < PATIENCE, "it still runs");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_key_copies_and_the_mouse_is_left_alone() {
    let server = Server::new("copied");
    let _fixture = server.start();
    let mut terminal = watch(&["--no-mouse", "-p", &server.name]);
    terminal.shows("live 0.1 s");
    let mouse = terminal.screen.lock().unwrap().screen().mouse_protocol_mode();
    assert_eq!(mouse, vt100::MouseProtocolMode::None);
    terminal.press("2");
    terminal.shows("fixtures/parked.");
    terminal.press("y");
    terminal.shows(", if the terminal allows it");
    let written = terminal.written();
    let (_, rest) = written.split_once("\x1b]52;c;").unwrap();
    let (text, _) = rest.split_once('\x07').unwrap();
    let text = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("goroutines: ") && text.contains("parked.go:"), "{text}");
    terminal.press("1y");
    terminal.shows("nothing selected");
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
}
