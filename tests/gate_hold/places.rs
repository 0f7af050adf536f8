//! Programs in C that end in unusual ways, and unusual surroundings: the status, the output and what is inherited are the
//! same with the gate.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{plain, run, stderr};

fn program(directory: &Path) -> PathBuf {
    let out = directory.join("ends");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/gate_c/ends.c");
    let built = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&out).arg(source).status().unwrap();
    assert!(built.success());
    out
}

/// Runs a program below a shell that prepares its surroundings with `before`, alone and in both ways of the gate.
fn compare(before: &str, words: &[&str]) {
    let command = |gate: &[&str]| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{before} exec \"$@\""), "sh"]).args(gate).args(words);
        plain(&mut command);
        run(command)
    };
    let alone = command(&[]);
    for how in ["seccomp", "ptrace"] {
        let gated = command(&[env!("CARGO_BIN_EXE_loiter"), "gate", "--how", how, "--"]);
        let case = format!("{before} {words:?} {how}: {}", stderr(&gated));
        assert_eq!((gated.status, &gated.stdout), (alone.status, &alone.stdout), "{case}");
    }
}

#[test]
fn unusual_ends_stay_what_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path());
    let script = directory.path().join("script");
    std::fs::write(&script, "#!/bin/sh\necho script $1\nexit 22\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    for how in [
        "exit-in-thread",
        "after-the-leader",
        "last-thread",
        "together",
        "vfork",
        "double-fork",
        "own-filter",
        "strict",
        "exec-with-threads",
        "undumpable",
        "inherited",
    ] {
        compare("", &[program.to_str().unwrap(), how]);
    }
    compare("", &[script.to_str().unwrap(), "argument"]);
}

#[test]
fn unusual_surroundings_are_left_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path());
    for before in [
        "ulimit -n 16;",
        "ulimit -f 0;",
        "ulimit -c 0;",
        "exec <&-;",
        "exec 2>&-;",
        "exec <&- 2>&-;",
        "trap '' PIPE INT XFSZ;",
        "cd /;",
    ] {
        compare(before, &[program.to_str().unwrap(), "inherited"]);
    }
}
