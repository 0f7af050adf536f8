//! A running fixture that answers questions about itself.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use loiter::import::{GoDump, GoProfile};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::threads;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running fixture. It ends when this is dropped, and also when the test dies.
#[derive(Debug)]
pub struct Fixture {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    ready: Value,
    dir: TempDir,
}

/// What `runtime.ReadMemStats` and its like say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MemStats {
    /// Bytes in spans in use.
    pub heap_inuse: u64,
    /// Heap size at which the next collection is due.
    pub next_gc: u64,
    /// Collections completed.
    pub num_gc: u64,
    /// Pause of the last collection, nanoseconds.
    pub last_pause_ns: u64,
    /// Goroutines that are not the runtime's own.
    pub goroutines: u64,
    /// GOMAXPROCS.
    pub gomaxprocs: u32,
    /// Threads ever made.
    pub threads_made: u32,
}

impl Fixture {
    /// Starts a program with these subjects and waits until it has settled.
    pub fn start(program: &Path, subjects: &[&str]) -> Fixture {
        Self::start_with(program, subjects, &[])
    }

    /// The same with environment variables.
    pub fn start_with(program: &Path, subjects: &[&str], variables: &[(&str, &str)]) -> Fixture {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(program);
        command.args(subjects).env("TRUTH_DIR", dir.path());
        // Labels in dumps are off by default before Go 1.27.
        command.env("GODEBUG", "tracebacklabels=1");
        for variable in ["GOTRACEBACK", "GOMAXPROCS", "GOGC", "GOMEMLIMIT"] {
            command.env_remove(variable);
        }
        command.envs(variables.iter().map(|&(name, value)| (OsStr::new(name), OsStr::new(value))));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Tiny has nothing but println, which writes to stderr.
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let stdin = child.stdin.take();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let errors = sender.clone();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if !line.starts_with("ready ") {
                    eprintln!("fixture: {line}");
                }
                if errors.send(line).is_err() {
                    break;
                }
            }
        });
        let mut fixture = Fixture { child, stdin, lines, ready: Value::Null, dir };
        fixture.ready = fixture.answer("ready");
        fixture.until_asleep();
        fixture
    }

    /// Waits until all threads of a program that is at rest sleep in the kernel. What it has said comes a little before
    /// that, and a thread may get no CPU just then: to the runtime it is in a system call already.
    fn until_asleep(&self) {
        let began = Instant::now();
        let moves = |(_, state): &(u32, char)| matches!(state, 'R' | 'D');
        while self.ready["rest"].as_bool() == Some(true)
            && threads::states(self.pid()).iter().any(moves)
            && began.elapsed() < PATIENCE
        {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said when it was ready.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Asks a question of the protocol and gives the answer.
    pub fn ask(&mut self, question: &str) -> Value {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{question}").unwrap_or_else(|e| panic!("the fixture has ended: {e}"));
        let answer = self.answer(question);
        self.until_asleep();
        answer
    }

    fn answer(&mut self, question: &str) -> Value {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|e| panic!("no answer to {question}: {e} ({:?})", self.child.try_wait()));
            if let Some(json) = line.strip_prefix(question).and_then(|rest| rest.strip_prefix(' ')) {
                return serde_json::from_str(json).expect("answers are JSON");
            }
        }
    }

    /// Its own dump (debug=2) and profile (debug=1), as text.
    pub fn dump_text(&mut self) -> (String, String) {
        let answer = self.ask("dump");
        (read(&answer["stack"]), read(&answer["debug1"]))
    }

    /// Its own profile as a protocol buffer, compressed.
    pub fn pprof(&mut self) -> Vec<u8> {
        let answer = self.ask("pprof0");
        let path = PathBuf::from(answer["path"].as_str().expect("a path"));
        let bytes = fs::read(&path).expect("what the fixture wrote can be read");
        let _ = fs::remove_file(path);
        bytes
    }

    /// The same, read.
    pub fn dump(&mut self) -> (GoDump, GoProfile) {
        let (stack, profile) = self.dump_text();
        (GoDump::parse(stack.as_bytes()), GoProfile::parse(profile.as_bytes()))
    }

    /// Its memory figures.
    pub fn memstats(&mut self) -> MemStats {
        serde_json::from_value(self.ask("memstats")).expect("memstats")
    }

    /// A counter of a subject; they only ever grow.
    pub fn counter(&mut self, name: &str) -> u64 {
        let counters = self.ask("counters");
        counters[name].as_u64().unwrap_or_else(|| panic!("no counter {name} in {counters}"))
    }

    /// The longest gap that its own clock has shown since it was last asked, and how often the
    /// clock has ticked in all.
    pub fn clock_gap(&mut self) -> (Duration, u64) {
        let answer = self.ask("clock");
        let gap = answer["gap_ns"].as_u64().expect("gap_ns");
        (Duration::from_nanos(gap), answer["ticks"].as_u64().expect("ticks"))
    }

    /// A directory that goes with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn read(path: &Value) -> String {
    let path = PathBuf::from(path.as_str().expect("a path"));
    let bytes = fs::read(&path).expect("what the fixture wrote can be read");
    let _ = fs::remove_file(path);
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
