//! loiter in a pseudo-terminal: keys are typed, and the screen is read.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "each test file uses a part of it"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

#[allow(clippy::duplicate_mod, reason = "some test files have it from what all share, too")]
#[path = "../common/pty.rs"]
mod pty;

/// Longer than anything takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// loiter in a terminal of its own.
pub struct Terminal {
    pub child: Child,
    /// Our side of it.
    pub ours: File,
    /// The side of the program; kept open, so that its settings can be read after the end.
    theirs: OwnedFd,
    pub screen: Arc<Mutex<vt100::Parser>>,
    /// Everything that was written to it.
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub fn start(columns: u16, lines: u16, directory: &Path, arguments: &[&str]) -> Terminal {
        Terminal::start_by(columns, lines, directory, arguments, |_| {})
    }

    /// The same for a loiter that is started in another way.
    pub fn start_by(
        columns: u16,
        lines: u16,
        directory: &Path,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Terminal {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
        command.arg("watch").args(arguments).current_dir(directory).env("TERM", "xterm-256color");
        change(&mut command);
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        let (child, ours, theirs) = pty::start(command, columns, lines);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let its = Arc::clone(&screen);
        let written = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&written);
        let mut output = ours.try_clone().unwrap();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                all.lock().unwrap().extend_from_slice(&bytes[..read]);
                its.lock().unwrap().process(&bytes[..read]);
            }
        });
        Terminal { child, ours, theirs, screen, written }
    }

    pub fn press(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).unwrap();
    }

    pub fn contents(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Everything that was written to it, as text.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    pub fn on_other_screen(&self) -> bool {
        self.screen.lock().unwrap().screen().alternate_screen()
    }

    /// Waits until the screen is as it should be.
    pub fn until(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
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

    pub fn shows(&mut self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Waits until all of these are there: what is written may come in pieces.
    pub fn shows_all(&mut self, texts: &[&str]) -> String {
        self.until(&texts.join(" and "), |screen| texts.iter().all(|text| screen.contains(text)))
    }

    /// The same after the end.
    pub fn until_text(&self, text: &str) {
        let begin = Instant::now();
        while !self.contents().contains(text) {
            assert!(begin.elapsed() < PATIENCE, "no {text}:\n{}", self.contents());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
    }

    pub fn wait(&mut self) -> ExitStatus {
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
    pub fn assert_restored(&self) {
        let begin = Instant::now();
        // What was written last may still be on its way to the screen, or a part of it.
        let is_restored = || {
            let screen = self.screen.lock().unwrap();
            let screen = screen.screen();
            let (other, hidden, paste) =
                (screen.alternate_screen(), screen.hide_cursor(), screen.bracketed_paste());
            !other && !hidden && !paste && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        };
        while !is_restored() && begin.elapsed() < PATIENCE {
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
