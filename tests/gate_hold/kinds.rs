//! The kinds of leaks that leak detectors within a program know. Each test of the fixture is named after what goleak 1.2 says
//! of it (Find, with no options), which was compared once with Go 1.27.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{QUICK_VERSIONS, Toolchain};

/// The status of a program that left something.
const LEFT: i32 = 7;

fn build(version: &str, folder: &Path) -> PathBuf {
    let toolchain = Toolchain::get(version);
    let binary = folder.join("kinds.test");
    let output = Command::new(&toolchain.go)
        .args(["test", "-c", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gate_kinds"))
        .envs([
            ("GOENV", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOPROXY", "off"),
            ("GOWORK", "off"),
            ("GOFLAGS", ""),
        ])
        .env("GOPATH", folder.join("gopath"))
        .env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/../fixtures/gocache"))
        .env_remove("GOROOT")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    binary
}

/// While tasks are left, they are read again for this long. The default is short, and enough for most machines; on a
/// slow one, what is about to end may need longer.
const SETTLES: [&str; 2] = ["500ms", "30s"];

/// The status and what the gate said.
fn gate(binary: &Path, test: &str, options: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(["gate", "--exit-code", &LEFT.to_string(), "--ignore-file", "/dev/null"]).args(options);
    command.arg("--").arg(binary).args(["-test.run", &format!("^{test}$")]);
    let output = command.env_remove("GITHUB_ACTIONS").output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn check(version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let binary = build(version, folder.path());
    let output = Command::new(&binary).args(["-test.list", "."]).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    let tests: Vec<&str> = list.lines().filter(|line| line.starts_with("Test")).collect();
    assert!(tests.len() > 20, "{tests:?}");
    for test in tests {
        let (kind, _) = test.trim_start_matches("Test").split_once('_').unwrap();
        let (expected, text) = match kind {
            "Clean" => (0, String::new()),
            // Its own failure is what counts.
            "Fails" => (1, String::new()),
            left => {
                let count: u32 = left.trim_start_matches("Left").parse().unwrap();
                (LEFT, format!("left {count} goroutine{} ", if count == 1 { "" } else { "s" }))
            }
        };
        let is_right = |(status, told): &(i32, String)| *status == expected && told.contains(&text);
        let mut said = gate(&binary, test, &["--settle", SETTLES[0]]);
        if !is_right(&said) {
            said = gate(&binary, test, &["--settle", SETTLES[1]]);
        }
        assert!(is_right(&said), "{version} {test}: {} {}", said.0, said.1);
    }
    // What is known is ignored by its function.
    let known = ["--ignore", "*kinds.TestLeft10_Receive*"];
    let settled = [&known[..], &["--settle", SETTLES[1]]].concat();
    assert_eq!(gate(&binary, "TestLeft10_Receive", &settled).0, 0, "{version}");
    assert_eq!(gate(&binary, "TestLeft1_Receive", &known).0, LEFT, "{version}");
}

#[test]
fn every_kind_is_found_with_the_oldest_go() {
    check(QUICK_VERSIONS[0]);
}

#[test]
fn every_kind_is_found_with_the_newest_go() {
    check(QUICK_VERSIONS[1]);
}
