//! A program whose file is gone from its path, as after an upgrade in place.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, build};
use loiter::process;
use loiter::runtimes::{self, ReadOptions};

#[test]
fn deleted_and_replaced() {
    for version in QUICK_VERSIONS {
        for flavour in [Flavour::Stripped, Flavour::Pie] {
            let program = build(&Toolchain::get(version), Program::Fixtures, flavour);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("server");
            fs::copy(&program, &path).unwrap();
            let fixture = Fixture::start(&path, &["parked"]);
            let read = || {
                let target = process::open_pid(fixture.pid()).unwrap();
                runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap()
            };
            let before = read();
            fs::remove_file(&path).unwrap();
            let deleted = read();
            // Another program at the same path must not be taken for it.
            fs::copy("/bin/true", &path).unwrap();
            let replaced = read();
            for after in [&deleted, &replaced] {
                assert_eq!(after.tasks.len(), before.tasks.len(), "{version} {flavour:?}");
                assert_eq!(after.header.target.name, "server");
                let (runtime, same) = (&after.header.runtimes[0], &before.header.runtimes[0]);
                assert_eq!((&runtime.version, &runtime.module), (&same.version, &same.module));
                assert_eq!(runtime.module.as_deref(), Some("fixtures"), "{version} {flavour:?}");
            }
        }
    }
}
