//! `loiter gate`: a program is what it is without the gate, is held at its end, and ends whatever happens to loiter.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

#[path = "gate_hold/deaths.rs"]
mod deaths;
#[path = "gate_hold/ends.rs"]
mod ends;
#[path = "gate_hold/go_test.rs"]
mod go_test;
#[path = "gate_hold/kinds.rs"]
mod kinds;
#[path = "gate_hold/load.rs"]
mod load;
#[path = "gate_hold/others.rs"]
mod others;
#[path = "gate_hold/places.rs"]
mod places;
#[path = "gate_hold/rust.rs"]
mod rust;
#[path = "gate_hold/tokio.rs"]
mod tokio;
#[path = "gate_hold/watch.rs"]
mod watch;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::{Flavour, Program, QUICK_VERSIONS, Toolchain, build};

/// The program that ends as it is told to.
fn program(version: &str, flavour: Flavour) -> PathBuf {
    build(&Toolchain::get(version), Program::Gate, flavour)
}

/// The same of the newest Go.
fn newest() -> PathBuf {
    program(QUICK_VERSIONS[1], Flavour::Plain)
}

/// `loiter gate OPTIONS -- PROGRAM ARGUMENTS`.
fn gate(options: &[&str], program: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.arg("gate").args(options).arg("--").arg(program).args(arguments);
    plain(&mut command);
    command
}

fn plain(command: &mut Command) {
    command.stdin(Stdio::null()).env_remove("GODEBUG").env_remove("GITHUB_ACTIONS");
}

fn run(mut command: Command) -> Output {
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
