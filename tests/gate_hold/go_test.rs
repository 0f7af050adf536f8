//! `go test -exec 'loiter gate --'`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Toolchain, matrix};

const LEAKY: &str = r#"package sample

import "testing"

func TestLeaks(t *testing.T) {
	for i := 0; i < 3; i++ {
		answers := make(chan int)
		go func() { answers <- 1 }()
	}
}
"#;

const CLEAN: &str = r#"package sample

import "testing"

func TestIsClean(t *testing.T) {
	done := make(chan bool)
	go func() { close(done) }()
	<-done
	t.Run("parallel", func(t *testing.T) { t.Parallel() })
}
"#;

fn packages(version: &str) {
    let toolchain = Toolchain::get(version);
    let directory = tempfile::tempdir().unwrap();
    let module = directory.path();
    fs::write(module.join("go.mod"), format!("module example.com/sample\n\ngo {version}\n")).unwrap();
    for (name, text) in [("leaky", LEAKY), ("clean", CLEAN)] {
        fs::create_dir(module.join(name)).unwrap();
        fs::write(module.join(name).join("sample_test.go"), text).unwrap();
    }
    let mut told = String::new();
    // What is about to end when the tests are over may need longer on a slow machine.
    for settle in ["500ms", "30s"] {
        told = go_test(&toolchain, module, settle);
        if is_right(&told) {
            break;
        }
    }
    assert!(is_right(&told), "{told}");
}

/// The packages are told apart, and what one of them leaves is counted.
fn is_right(told: &str) -> bool {
    let said = [
        "ok  \texample.com/sample/clean",
        "FAIL\texample.com/sample/leaky",
        "left 3 goroutines",
        "TestLeaks",
    ];
    said.iter().all(|said| told.contains(said))
}

/// `go test` of all packages, each with the gate: what is printed. It must fail.
fn go_test(toolchain: &Toolchain, module: &Path, settle: &str) -> String {
    let exec = format!("{} gate --settle {settle} --", env!("CARGO_BIN_EXE_loiter"));
    let output = Command::new(&toolchain.go)
        .args(["test", "-exec", &exec, "./..."])
        .current_dir(module)
        .env("GOENV", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .env("GOPATH", module.join("gopath"))
        .env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/../fixtures/gocache"))
        .env_remove("GOROOT")
        .env_remove("GITHUB_ACTIONS")
        .output()
        .unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{told}");
    told
}

matrix!(go_test_gates_every_package, packages);
