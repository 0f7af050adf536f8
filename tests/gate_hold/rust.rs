//! `cargo test` with the gate as its runner: what tests of Rust leave, with Tokio alone and with a registry, and which test
//! is charged with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{plain, run, stderr};

const MANIFEST: &str = r#"[workspace]

[package]
name = "left"
version = "0.0.0"
edition = "2024"

[[test]]
name = "left-tasks"
path = "@ROOT@/fixtures/gate_rust/left.rs"

[dependencies]
loiter-registry = { path = "@ROOT@/registry", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["rt-multi-thread"] }
"#;

/// A package with the tests of `fixtures/gate_rust`, built as `cargo test` builds it.
fn package() -> PathBuf {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../fixtures/gate-rust");
    fs::create_dir_all(package.join("src")).unwrap();
    fs::write(package.join("src/lib.rs"), "").unwrap();
    let manifest = MANIFEST.replace("@ROOT@", env!("CARGO_MANIFEST_DIR"));
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    package
}

/// `cargo test --test left-tasks -- ARGUMENTS`, with the gate.
fn cargo_test(package: &Path, is_registered: bool, arguments: &[&str]) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--quiet", "--test", "left-tasks", "--"]).args(arguments).current_dir(package);
    // Nothing of the build that this test belongs to.
    for variable in
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER", "REGISTERED"]
    {
        cargo.env_remove(variable);
    }
    cargo.env("CARGO_TARGET_DIR", package.join("target")).env("CARGO_INCREMENTAL", "0");
    let runner = format!("{} gate --json --", env!("CARGO_BIN_EXE_loiter"));
    cargo.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
    if is_registered {
        cargo.env("REGISTERED", "1");
    }
    plain(&mut cargo);
    run(cargo)
}

/// For each test, or "": the number of tasks it is charged with, and how that is known.
fn charges(output: &Output) -> BTreeMap<String, (u64, String)> {
    let told = stderr(output);
    // Cargo may say something before it.
    let begins = told
        .match_indices('{')
        .map(|(at, _)| at)
        .find(|at| told[..*at].is_empty() || told[..*at].ends_with('\n'));
    let document = begins.map(|at| &told[at..]).unwrap_or_else(|| panic!("{told}"));
    let mut documents = serde_json::Deserializer::from_str(document).into_iter::<serde_json::Value>();
    let document = documents.next().unwrap_or_else(|| panic!("{told}")).unwrap();
    let leaks = document["leaks"].as_array().unwrap();
    let mut all: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for charge in leaks.iter().flat_map(|leak| leak["charges"].as_array().unwrap()) {
        let text = |key: &str| charge[key].as_str().unwrap_or_default().to_owned();
        let sum = all.entry(text("test")).or_default();
        *sum = (sum.0 + charge["tasks"].as_u64().unwrap(), text("by"));
    }
    all
}

#[test]
fn tests_of_rust_are_charged_with_what_they_leave() {
    let package = package();
    for is_registered in [false, true] {
        let output = cargo_test(&package, is_registered, &[]);
        let charged = charges(&output);
        let tasks = |test: &str| charged.get(test).map(|(tasks, _)| *tasks);
        let expected = [
            ("inner::leaves_and_panics", 1),
            ("inner::leaves_two", 1),
            ("leaves_two", 2),
            ("leaves_two_and_one", 3),
            // The helper's code does not say who called it.
            ("", 1),
        ];
        for (test, count) in expected {
            assert_eq!(tasks(test), Some(count), "{is_registered} {test}: {charged:?} {}", stderr(&output));
        }
        assert_eq!(charged.len(), expected.len(), "{is_registered}: {charged:?}");
        assert!(!output.status.success(), "{is_registered}");

        // As nextest does it: each test in a process of its own.
        let test = "leaves_by_a_helper";
        let output = cargo_test(&package, is_registered, &["--exact", test, "--nocapture"]);
        let expected = BTreeMap::from([(test.to_owned(), (1, "only".to_owned()))]);
        assert_eq!(charges(&output), expected, "{is_registered}");
    }
}
