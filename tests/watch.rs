//! `loiter watch` in a real pseudo-terminal, on a real Go program: keys are typed, and the screen is read.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

mod common;

use common::{Fixture, Flavour, Program, Toolchain, build};

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// loiter in a terminal of its own.
struct Terminal {
    child: Child,
    /// Our side of it.
    ours: File,
    /// The side of the program; kept open, so that its settings can be read after the end.
    theirs: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn start(columns: u16, lines: u16, directory: &Path, arguments: &[&str]) -> Terminal {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let theirs = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
        command.arg("watch").args(arguments).current_dir(directory).env("TERM", "xterm-256color");
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        command.stdin(theirs()).stdout(theirs()).stderr(theirs());
        // SAFETY: both calls are allowed between fork and exec: they are system calls that allocate nothing.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let (ours, its) = (File::from(pty.master), Arc::clone(&screen));
        let mut output = ours.try_clone().unwrap();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                its.lock().unwrap().process(&bytes[..read]);
            }
        });
        Terminal { child, ours, theirs: pty.slave, screen }
    }

    fn press(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).unwrap();
    }

    fn contents(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn on_other_screen(&self) -> bool {
        self.screen.lock().unwrap().screen().alternate_screen()
    }

    /// Waits until the screen is as it should be.
    fn until(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let contents = self.contents();
            if is(&contents) {
                return contents;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(begin.elapsed() < PATIENCE && ended.is_none(), "no {what} ({ended:?}):\n{contents}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn shows(&mut self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
    }

    fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "does not end:\n{}", self.contents());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The terminal is as a shell expects it.
    fn assert_restored(&self) {
        let begin = Instant::now();
        // What was written last may still be on its way to the screen.
        while self.on_other_screen() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        let screen = self.screen.lock().unwrap();
        let screen = screen.screen();
        assert!(!screen.alternate_screen());
        assert!(!screen.hide_cursor());
        assert!(!screen.bracketed_paste());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        let flags = tcgetattr(&self.theirs).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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

    let screen = terminal.shows("● live 0.1 s");
    assert!(screen.contains("1 Overview") && screen.contains("goroutines"), "{screen}");
    assert!(terminal.on_other_screen());
    println!("{}", terminal.shows("chan receive"));

    terminal.press("2");
    println!("{}", terminal.shows("COUNT"));
    terminal.press("/reason:\"chan send\"\r");
    let screen = terminal.shows("50 of 20");
    println!("{screen}");
    terminal.press("\r");
    let screen = terminal.shows("FUNCTION  (50 goroutines of");
    println!("{screen}");
    terminal.press("\r");
    let screen = terminal.shows("waits to send on channel");
    println!("{screen}");
    assert!(screen.contains("parked.go:"), "{screen}");
    // Back to the tasks, to the groups, and without the filter.
    terminal.press("\x1b");
    terminal.shows("FUNCTION  (50 goroutines of");
    terminal.press("\x1b");
    terminal.shows("50 of 20");
    terminal.press("\x1b");
    terminal.until("all groups", |screen| screen.contains("select") && !screen.contains(" of 20"));

    for (key, text) in [
        ("3", "FUNCTION  (2"),
        ("4", "STARTED WITH"),
        ("5", "width: goroutines"),
        ("6", "SURE"),
        ("7", "WORKER"),
    ] {
        terminal.press(key);
        println!("{}", terminal.shows(text));
    }
    terminal.press("?");
    println!("{}", terminal.shows("turn the order round"));
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
