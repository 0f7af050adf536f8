//! A Go test binary that is held where it would end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use loiter::process;
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::Snapshot;

use crate::common::Toolchain;

/// The sources.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gate_tests")
}

/// A running test binary that has run its tests and not ended.
pub(crate) struct Held {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Held {
    /// Builds the tests with a toolchain, and starts them. `flags` are for the build, `variables` for the program.
    pub(crate) fn start(version: &str, flags: &[&str], variables: &[(&str, &str)]) -> Held {
        let binary = build(version, flags);
        let mut child = Command::new(binary)
            .arg("-test.paniconexit0")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tests start");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut held = Held { child, input, output };
        held.wait_for("ready");
        held
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim() != word {
            line.clear();
            assert!(self.output.read_line(&mut line).expect("output") > 0, "the tests ended before {word:?}");
        }
    }

    /// Reads it with the ancestors of its goroutines.
    pub(crate) fn read(&self) -> Arc<Snapshot> {
        let target = process::open_pid(self.child.id()).expect("it can be opened");
        let options = ReadOptions { ancestors: true, ..ReadOptions::default().once() };
        Arc::new(runtimes::snapshot(target.as_ref(), &options).expect("it can be read"))
    }

    /// Lets the goroutines end that end on their own.
    pub(crate) fn settle(&mut self) {
        writeln!(self.input.as_mut().expect("it is open"), "again").expect("it reads");
        self.wait_for("settled");
    }

    /// What the runtime prints of all goroutines when it is told to quit.
    pub(crate) fn quit(mut self) -> String {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT).expect("it is there");
        let mut text = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut text).expect("text");
        text
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds the test binary.
fn build(version: &str, flags: &[&str]) -> PathBuf {
    let toolchain = Toolchain::get(version);
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixtures");
    // Tests in other threads build the same, and run what they have built.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (directory, number) = (PathBuf::from(env!("CARGO_TARGET_TMPDIR")), NUMBER.fetch_add(1, Relaxed));
    let binary = directory.join(format!("gate-{}-{number}-{version}.test", std::process::id()));
    let output = Command::new(&toolchain.go)
        .args(["test", "-c", "-o"])
        .arg(&binary)
        .args(flags)
        .arg(".")
        .current_dir(sources())
        .env("GOENV", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .env("GOPATH", cache.join("gopath"))
        .env("GOCACHE", cache.join("gocache"))
        .env_remove("GOROOT")
        .output()
        .expect("go can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    binary
}
