//! What the end-to-end tests share: Go toolchains, built fixtures, running fixtures.

// Every test file is a crate of its own and uses a part of this.
#![allow(dead_code, unreachable_pub, unused_imports, unused_macros)]

pub mod compare;
mod cores;
pub mod expected;
mod fixture;
mod go_build;
pub mod locks;
pub mod matrix;
pub mod pty;
pub mod random;
pub mod steps;
pub mod threads;
mod tokio_books;
mod tokio_build;

pub use cores::{disassemble, write_core, write_core_at};
pub use fixture::{Fixture, MemStats};
pub(crate) use matrix::matrix;

pub use tokio_books::{BookedRoot, BookedTask, Metrics, TokioFixture};
pub use tokio_build::{
    TOKIO_ASKED, TOKIO_VERSIONS, TokioFlavour, asked_versions, build_tokio, build_tokio_http,
    build_tokio_leaks, build_tokio_sockets, build_tokio_streams,
};

pub use go_build::{Flavour, Program, Toolchain, build, target_dir};

use std::env;
use std::time::Duration;

use loiter::runtimes::{Pause, ReadOptions};

/// Every Go version of the matrix, the oldest first. The list is in `matrix.rs`.
pub const GO_VERSIONS: [&str; 8] = matrix::with_go_versions!(version_names {});

/// The oldest and the newest, for the quick runs.
pub const QUICK_VERSIONS: [&str; 2] = [GO_VERSIONS[0], GO_VERSIONS[GO_VERSIONS.len() - 1]];

/// How a test reads: as by default, but a frozen process is not let go before a slow machine has read it.
pub fn reading(pause: Pause) -> ReadOptions {
    ReadOptions { pause, freeze_limit: Duration::from_secs(120), ..ReadOptions::default() }
}

/// Repeats a measurement that depends on how the machine shares its CPUs, until it gives what it has to: so often at
/// most. What is wrong on any machine has to panic in it.
///
/// # Panics
/// With what each measurement gave.
pub fn measured(times: u32, mut measure: impl FnMut() -> Result<(), String>) {
    let mut wrong = Vec::new();
    for _ in 0..times {
        match measure() {
            Ok(()) => return,
            Err(problem) => {
                eprintln!("measured again: {problem}");
                wrong.push(problem);
            }
        }
    }
    panic!("measured {times} times: {wrong:#?}");
}

/// `.ci/run` sets it: everything is tested, not only a sample.
pub fn full_matrix() -> bool {
    env::var("LOITER_MATRIX").is_ok_and(|value| value == "full")
}

/// A number for the quick runs, another for the full one; the environment may name a third.
pub fn amount(variable: &str, quick: u32, full: u32) -> u32 {
    match env::var(variable).ok().and_then(|value| value.parse().ok()) {
        Some(amount) => amount,
        None if full_matrix() => full,
        None => quick,
    }
}
