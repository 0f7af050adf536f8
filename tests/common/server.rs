//! A Go program under a name of its own.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "each test file uses a part of it"
)]

use std::fs;
use std::path::PathBuf;

use super::common::{Fixture, Flavour, Program, Toolchain, build};

/// A Go program under a name that no other process has.
pub struct Server {
    pub directory: tempfile::TempDir,
    pub name: String,
}

impl Server {
    pub fn new(name: &str) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let name = format!("{name}-{}", std::process::id());
        let program = build(&Toolchain::get("1.27"), Program::Fixtures, Flavour::Stripped);
        fs::copy(program, directory.path().join(&name)).unwrap();
        Server { directory, name }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// Starts it, with forty goroutines that wait.
    pub fn start(&self) -> Fixture {
        Fixture::start_with(&self.path(), &["parked"], &[("COUNT", "40"), ("MODE", "mixed")])
    }
}
