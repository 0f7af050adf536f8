//! `loiter watch` in a real pseudo-terminal, on a real Go program: keys are typed, and the screen is read.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::Winsize;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

mod common;
#[path = "watch_support/terminal.rs"]
mod terminal;

use common::{Fixture, Flavour, Program, Toolchain, build};
use terminal::{PATIENCE, Terminal};

fn program() -> std::path::PathBuf {
    build(&Toolchain::get("1.27"), Program::Fixtures, Flavour::Stripped)
}

fn parked(count: &str) -> Fixture {
    Fixture::start_with(&program(), &["parked"], &[("COUNT", count), ("MODE", "mixed")])
}

#[test]
fn keys_and_screen() {
    let fixture = parked("200");
    let directory = tempfile::tempdir().unwrap();
    let pid = fixture.pid().to_string();
    let mut terminal = Terminal::start(100, 30, directory.path(), &[&pid, "--interval", "100ms"]);

    terminal.shows_all(&["● live 0.1 s", "1 Overview", "goroutines"]);
    assert!(terminal.on_other_screen());
    terminal.shows("chan receive");

    terminal.press("2");
    terminal.shows("PER MIN");
    terminal.press("/reason:\"chan send\"\r");
    terminal.shows("50 of 20");
    terminal.press("\r");
    terminal.shows("FUNCTION  (50 goroutines of");
    terminal.press("\r");
    terminal.shows_all(&["waits to send on channel", "parked.go:"]);
    // Back to the tasks, to the groups, and without the filter.
    terminal.press("\x1b");
    terminal.shows("FUNCTION  (50 goroutines of");
    terminal.press("\x1b");
    terminal.shows("50 of 20");
    terminal.press("\x1b");
    terminal.until("all groups", |screen| screen.contains("select") && !screen.contains(" of 20"));

    for (key, text) in [
        ("3", "FUNCTION  (2"),
        ("4", "ENTRY FUNCTION"),
        ("5", "width: goroutines"),
        ("6", "CONFIDENCE"),
        ("7", "WORKER"),
    ] {
        terminal.press(key);
        terminal.shows(text);
    }
    terminal.press("?");
    terminal.shows("reverse the order");
    terminal.press("?");
    terminal.press(" ");
    terminal.shows("frozen");
    terminal.press(" ");
    terminal.shows("● live");
    terminal.press("+");
    terminal.shows("● live 0.2 s");

    terminal.press("q");
    assert_eq!(terminal.wait().code(), Some(0));
    terminal.assert_restored();
}

/// A watched program with few goroutines, and where files go.
struct Scene {
    fixture: Fixture,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene { fixture: parked("40"), directory: tempfile::tempdir().unwrap() }
    }

    fn watch(&self, arguments: &[&str]) -> Terminal {
        let pid = self.fixture.pid().to_string();
        let arguments: Vec<&str> =
            [pid.as_str(), "--interval", "100ms"].iter().chain(arguments).copied().collect();
        let mut terminal = Terminal::start(80, 24, self.directory.path(), &arguments);
        terminal.shows("live 0.1 s");
        terminal
    }

    /// The files in the directory, by name.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn the_terminal_is_given_back_when_a_signal_ends_it() {
    let scene = Scene::new();
    use Signal::*;
    // From outside, and as a fault or a limit would end it.
    for signal in
        [SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU, SIGSEGV, SIGBUS]
    {
        let mut terminal = scene.watch(&[]);
        kill(terminal.pid(), signal).unwrap();
        let status = terminal.wait();
        // As if it had not been caught.
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal as i32));
        terminal.assert_restored();
    }
}

#[test]
fn suspended_and_continued() {
    let scene = Scene::new();
    let mut terminal = scene.watch(&[]);
    // By the key, and from outside.
    for from_outside in [false, true] {
        if from_outside {
            kill(terminal.pid(), Signal::SIGTSTP).unwrap();
        } else {
            terminal.press("\x1a");
        }
        let begin = Instant::now();
        while terminal.state() != 'T' {
            assert!(begin.elapsed() < PATIENCE, "not suspended: {}", terminal.contents());
            thread::sleep(Duration::from_millis(10));
        }
        terminal.assert_restored();
        kill(terminal.pid(), Signal::SIGCONT).unwrap();
        terminal.shows("live 0.1 s");
        assert!(terminal.on_other_screen());
        // Keys work again, one by one and without echo.
        terminal.press("2");
        terminal.shows("PER MIN");
        terminal.press("1");
        terminal.shows("wait reason or state");
    }
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
}

#[test]
fn when_the_program_ends_the_last_picture_stays() {
    let scene = Scene::new();
    let mut terminal = scene.watch(&[]);
    kill(Pid::from_raw(scene.fixture.pid() as i32), Signal::SIGKILL).unwrap();
    terminal.shows_all(&["this is the last reading", "■ ended", "goroutines"]);
    terminal.press("2");
    terminal.shows("fixtures/parked.");
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
}

#[test]
fn a_resized_terminal_is_filled() {
    let scene = Scene::new();
    let mut terminal = scene.watch(&[]);
    let size = Winsize { ws_row: 30, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
    terminal.screen.lock().unwrap().screen_mut().set_size(30, 132);
    // SAFETY: the ioctl reads a winsize, which is there.
    let done = unsafe { libc::ioctl(terminal.ours.as_raw_fd(), libc::TIOCSWINSZ, &size) };
    assert_eq!(done, 0);
    terminal.until("line of 132 columns", |screen| screen.lines().any(|line| line == "─".repeat(132)));
    // Drawn anew on request, too.
    terminal.press("\x0c");
    terminal.until("hint in the last line", |screen| {
        screen.lines().nth(29).is_some_and(|l| l.ends_with("q quit"))
    });
}

#[test]
fn what_is_shown_is_written() {
    let scene = Scene::new();
    let mut terminal = scene.watch(&[]);
    for (keys, extension) in [("Ws", "loiter"), ("Wr", "txt"), ("Wf", "svg")] {
        terminal.press(keys);
        terminal.shows("wrote ");
        // The next key takes the message away.
        terminal.press("g");
        terminal.until("no message", |screen| !screen.contains("wrote "));
        let written = scene.files().into_iter().filter(|name| name.ends_with(extension)).count();
        assert_eq!(written, 1, "{:?}", scene.files());
    }
    terminal.press("q");
    assert!(terminal.wait().success());
    let read = |extension: &str| {
        let name = scene.files().into_iter().find(|name| name.ends_with(extension)).unwrap();
        fs::read(scene.directory.path().join(name)).unwrap()
    };
    let snapshot = loiter::snapshot::file::read(read("loiter").as_slice()).unwrap();
    assert!(snapshot.tasks.len() >= 40);
    assert!(String::from_utf8(read("txt")).unwrap().contains("fixtures/parked."));
    assert!(String::from_utf8(read("svg")).unwrap().contains("<svg"));
}

#[test]
fn recorded_and_replayed() {
    let scene = Scene::new();
    let directory = scene.directory.path().join("ring");
    let ring = directory.to_str().unwrap();
    let mut terminal = scene.watch(&["--record", ring, "--keep", "5"]);
    terminal.shows("●rec");
    // More readings than are kept.
    let begin = Instant::now();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(ring).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let first = loop {
        if let Some(first) = fs::read_dir(ring).ok().and_then(|_| names().first().cloned()) {
            break first;
        }
        assert!(begin.elapsed() < PATIENCE);
    };
    while names().contains(&first) || names().len() < 5 {
        assert!(begin.elapsed() < PATIENCE, "{:?}", names());
        thread::sleep(Duration::from_millis(50));
    }
    // loiter may be ended after it has written a reading, and before it has removed the oldest: no reading comes any more.
    kill(Pid::from_raw(scene.fixture.pid() as i32), Signal::SIGKILL).unwrap();
    terminal.shows("this is the last reading");
    terminal.press("q");
    assert!(terminal.wait().success());
    let kept = names();
    assert_eq!(kept.len(), 5, "{kept:?}");

    let mut replay = Terminal::start(100, 30, scene.directory.path(), &[ring]);
    replay.shows("◀ 5/5 ▶");
    replay.press("[[");
    replay.shows("◀ 3/5 ▶");
    replay.press("{");
    replay.shows("◀ 1/5 ▶");
    replay.press("2]");
    replay.shows_all(&["◀ 2/5 ▶", "UTC"]);
    replay.shows("fixtures/parked.");
    replay.press("q");
    assert!(replay.wait().success());
    replay.assert_restored();
}

#[test]
fn plain_terminals() {
    let scene = Scene::new();
    let mut terminal = scene.watch(&["--ascii", "--color", "never"]);
    let screen = terminal.contents();
    assert!(screen.is_ascii(), "{screen}");
    let colours = {
        let parser = terminal.screen.lock().unwrap();
        let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
        let cell = |(row, column)| parser.screen().cell(row, column).map(|c| (c.fgcolor(), c.bgcolor()));
        cells.filter_map(cell).filter(|&pair| pair != (vt100::Color::Default, vt100::Color::Default)).count()
    };
    assert_eq!(colours, 0);
    terminal.press("q");
    assert!(terminal.wait().success());
}

#[test]
fn what_cannot_be_watched_is_said_before_the_screen_changes() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_loiter")).arg("watch").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(&["1"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("watch needs a terminal"), "{error}");

    for (source, code, text) in [
        ("999999999", 4, "there is no process"),
        (directory.path().to_str().unwrap(), 2, "there is no snapshot in"),
        ("/nonexistent", 2, "/nonexistent"),
    ] {
        let mut terminal = Terminal::start(100, 30, directory.path(), &[source]);
        assert_eq!(terminal.wait().code(), Some(code), "{source}");
        terminal.until_text(text);
        terminal.assert_restored();
    }
}
