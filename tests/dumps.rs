//! What is read of dumps of every version of Go, real ones and, for versions before 1.19, ones written by
//! hand; see fixtures/dumps/README.md.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use loiter::analysis::each::each;
use loiter::analysis::{Filter, SortBy};
use loiter::import::{self, ReadDump};
use loiter::report::text::{self, TextOptions};

#[path = "common/expected.rs"]
mod expected;

use expected::check;

fn dumps() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/dumps")
}

fn read(name: &str) -> ReadDump {
    let bytes = fs::read(dumps().join(name)).unwrap();
    let found = import::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    found.snapshot.validate().unwrap_or_else(|error| panic!("{name}: {error}"));
    found
}

fn shown(found: &ReadDump, name: &str) -> String {
    let mut snapshot = found.snapshot.clone();
    snapshot.header.target.name = name.to_owned();
    let filter = Filter { system: true, ..Filter::default() };
    let mut out = Vec::new();
    let options = TextOptions { full_paths: true, time: true, ..TextOptions::default() };
    text::each(&snapshot, &each(&snapshot, &filter, SortBy::Id, None), &options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn names(which: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dumps())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| which(name))
        .collect();
    names.sort();
    names
}

#[test]
fn every_version_and_form() {
    let names = names(|name| name.ends_with(".txt"));
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        let found = read(&name);
        assert_eq!(found.cut, name.starts_with("cut-"), "{name}");
        let snapshot = format!("dump-{}", name.trim_end_matches(".txt"));
        check(&snapshot, &shown(&found, &name));
    }
}

/// The same dump with what a log puts around it. `2026-11-21T10:00:00Z` is in all that have a zone.
#[test]
fn whatever_a_log_makes_of_it() {
    let plain = read("go1.22-panic.txt").snapshot;
    let names = names(|name| name.ends_with(".log"));
    assert!(names.len() > 6, "{names:?}");
    for name in names {
        let found = read(&name);
        assert!(!found.cut, "{name}");
        let mut snapshot = found.snapshot;
        let zone = !["journal", "compose", "indented"].iter().any(|kind| name.starts_with(kind));
        let second = snapshot.header.taken_at_ns.unwrap_or(0) / 1_000_000_000;
        assert_eq!(second, if zone { 1_795_255_200 } else { 0 }, "{name}");
        snapshot.header.taken_at_ns = None;
        assert_eq!(snapshot.header.warnings, plain.header.warnings, "{name}");
        assert_eq!(snapshot, plain, "{name}");
    }
}
