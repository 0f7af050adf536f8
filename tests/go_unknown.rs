//! A Go that is newer than any that loiter knows is read by its own type descriptors, with a
//! warning, not refused. A program for another machine is refused, and its system calls keep their numbers.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Fixture, Flavour, Program, Toolchain, build};
use loiter::process::{self, calls};
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::StackStatus;
use memchr::memmem;

/// The newest fixture, but it says that it is Go 1.99.
fn from_the_future() -> std::path::PathBuf {
    let toolchain = Toolchain::get("1.27");
    let program = build(&toolchain, Program::Fixtures, Flavour::Stripped);
    let mut bytes = fs::read(&program).unwrap();
    let version = toolchain.full_version.as_bytes();
    let finder = memmem::Finder::new(version);
    let found: Vec<usize> = finder.find_iter(&bytes).collect();
    assert!(!found.is_empty(), "the version is nowhere in the program");
    for at in found {
        bytes[at..at + 6].copy_from_slice(b"go1.99");
    }
    let path = std::env::temp_dir().join(format!("loiter-go1.99-{}", std::process::id()));
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_newer_go_is_tried() {
    let path = from_the_future();
    let fixture = Fixture::start(&path, &["channels", "locks"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let snapshot = runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap();
    fs::remove_file(&path).unwrap();

    assert!(
        snapshot.header.runtimes[0].version.as_ref().is_some_and(|version| version.starts_with("go1.99"))
    );
    assert!(
        snapshot.header.warnings.iter().any(|w| w.contains("go1.99") && w.contains("newer")),
        "no warning: {:?}",
        snapshot.header.warnings
    );
    let complete = snapshot.tasks.iter().filter(|t| t.stack_status == StackStatus::Complete).count();
    assert!(complete >= 30, "{complete} complete stacks of {}", snapshot.tasks.len());
    let sends = |t: &&loiter::snapshot::Task| t.reason.is_some_and(|r| snapshot.str(r) == "chan send");
    assert!(snapshot.tasks.iter().any(|t| sends(&t)), "nobody sends");
}

/// System calls have other numbers in 32-bit programs: there, `close` of x86-64 is `read`.
#[test]
fn a_program_for_another_machine_is_not_taken_for_one_of_this() {
    let program = build(&Toolchain::get("1.27"), Program::Tiny, Flavour::X86_32);
    let fixture = Fixture::start(&program, &[]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let error = runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap_err();
    let loiter::Error::NoRuntime { looked_at, .. } = &error else { panic!("{error:?}") };
    assert_eq!(
        looked_at[0],
        "the program is built for 32-bit x86: loiter reads programs for x86-64 (64-bit)"
    );
    let sleeps = |tid: &u32| target.call_of(*tid);
    let mut calls = Vec::new();
    while calls.is_empty() {
        calls = target.threads().unwrap().iter().filter_map(sleeps).collect();
    }
    for call in &calls {
        assert!(call.foreign, "{call:?}");
        assert_eq!(calls::awaited(call, target.as_ref()), calls::Awaited::Unknown);
    }
}
