//! Builds and starts programs that have registries: in C, in Go with C, in shared libraries.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::common::Toolchain;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A directory for what is built; it goes when this does.
pub(crate) struct Workshop(TempDir);

impl Workshop {
    pub(crate) fn new() -> Workshop {
        Workshop(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// A program or library in C. `source` is relative to the repository.
    pub(crate) fn c(&self, source: &str, name: &str, flags: &[&str]) -> PathBuf {
        let output = self.0.path().join(name);
        let mut cc = Command::new("cc");
        cc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I"]).arg(root().join("registry/include"));
        cc.args(flags).arg(root().join(source)).arg("-o").arg(&output);
        succeed(&mut cc);
        output
    }

    /// A shared library in C, whose registry has this name.
    pub(crate) fn c_library(&self, name: &str) -> PathBuf {
        let define = format!("-DLIBRARY=\"{name}\"");
        let flags = ["-O2", "-shared", "-fPIC", "-s", define.as_str()];
        self.c("fixtures/registry/library.c", &format!("lib{name}.so"), &flags)
    }

    /// The program that loads libraries, forks and so on.
    pub(crate) fn host(&self) -> PathBuf {
        self.c("fixtures/registry/host.c", "host", &["-O2", "-s"])
    }

    /// Go with C in which the registry is, as a program or as a shared library.
    pub(crate) fn go(&self, version: &str, name: &str, flags: &[&str]) -> PathBuf {
        let output = self.0.path().join(name);
        // That of the other fixtures: the standard library is built once.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fixtures").join("gocache");
        fs::create_dir_all(&cache).unwrap();
        let mut go = Command::new(Toolchain::get(version).go);
        go.current_dir(root().join("fixtures/registry/go")).arg("build").args(flags);
        go.args(["-buildvcs=false", "-o"]).arg(&output).arg(".");
        for (variable, value) in [("GOENV", "off"), ("GOTOOLCHAIN", "local"), ("GOPROXY", "off")] {
            go.env(variable, value);
        }
        go.env("GOWORK", "off").env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", "1").env("GOCACHE", &cache);
        for variable in ["GOROOT", "GOEXPERIMENT", "GODEBUG"] {
            go.env_remove(variable);
        }
        succeed(&mut go);
        output
    }
}

/// A shared library in Rust with two registries: the crate's own and one of the program's.
pub(crate) fn rust_library() -> PathBuf {
    let directory = root().join("target/books/stripped");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--package", "loiter-registry", "--features", "tokio"]);
    cargo.args(["--example", "library"]).current_dir(root()).env("CARGO_TARGET_DIR", &directory);
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env_remove("CARGO_ENCODED_RUSTFLAGS");
    succeed(&mut cargo);
    directory.join("release/examples/liblibrary.so")
}

/// A program that says "ready" and waits for the end of its input. Killed when this goes.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said before "ready".
    pub(crate) said: Vec<String>,
}

impl Running {
    pub(crate) fn start<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Running {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut running = Running { child, lines, said: Vec::new() };
        loop {
            match running.line() {
                line if line == "ready" => return running,
                line => running.said.push(line),
            }
        }
    }

    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("it has ended").unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The pids of its children, in order.
    pub(crate) fn children(&self) -> Vec<u32> {
        self.said.iter().filter_map(|line| line.strip_prefix("child ")?.parse().ok()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
