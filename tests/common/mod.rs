//! What the end-to-end tests share: Go toolchains, built fixtures, running fixtures.

// Every test file is a crate of its own and uses a part of this.
#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod compare;
mod cores;
mod fixture;
mod go_build;
pub mod locks;
pub mod pty;
pub mod random;
pub mod threads;

pub use cores::write_core;
pub use fixture::{Fixture, MemStats};
pub use go_build::{Flavour, Program, Toolchain, build};

use std::env;

/// Every Go version of the matrix, the oldest first.
pub const GO_VERSIONS: [&str; 8] = ["1.19", "1.21", "1.22", "1.23", "1.24", "1.25", "1.26", "1.27"];

/// The oldest and the newest, for the quick runs.
pub const QUICK_VERSIONS: [&str; 2] = ["1.19", "1.27"];

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
