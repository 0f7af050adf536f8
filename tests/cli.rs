//! The real binary on saved snapshots and on things that are none.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use loiter::snapshot::{Snapshot, file};
use tempfile::TempDir;

mod samples;

/// A directory with a saved snapshot.
struct Saved {
    directory: TempDir,
}

impl Saved {
    fn new(snapshot: &Snapshot) -> Self {
        let directory = tempfile::tempdir().unwrap();
        file::save(snapshot, &directory.path().join("a.loiter")).unwrap();
        Saved { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("a.loiter")
    }

    /// Runs `loiter stacks FILE` with more arguments.
    fn stacks(&self, arguments: &[&str]) -> String {
        let output = loiter(&["stacks"]).arg(self.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        // Why nothing passes a filter is said, and nothing else.
        let said = stderr(&output);
        let text = String::from_utf8(output.stdout).unwrap();
        let nothing = text.contains("0 of ") && said.starts_with("no goroutine ");
        assert!(said.is_empty() || nothing, "{arguments:?}: {said}");
        text
    }

    /// The header's counts: "1 of 1,351 goroutines in 1 group".
    fn counts(&self, arguments: &[&str]) -> String {
        let text = self.stacks(arguments);
        let head = text.split("\n\n").next().unwrap().replace("\n  ", " ");
        head.split(" · ").nth(1).unwrap().to_owned()
    }
}

fn loiter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.args(arguments);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs loiter, which must fail: exit code and stderr.
fn failure(arguments: &[&str]) -> (i32, String) {
    let output = loiter(arguments).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (output.status.code().unwrap(), stderr(&output))
}

#[test]
fn filters_combine() {
    let saved = Saved::new(&samples::server());
    for (arguments, counts) in [
        (vec![], "1,351 goroutines in 8 groups"),
        (vec!["--system"], "1,353 goroutines in 9 groups"),
        (vec!["--state", "running,syscall"], "2 of 1,351 goroutines in 2 groups"),
        (vec!["--state", "running", "--state", "waiting"], "1,350 of 1,351 goroutines in 7 groups"),
        (vec!["--reason", "chan"], "1,205 of 1,351 goroutines in 2 groups"),
        (vec!["--reason", "chan", "--creator", "fetchAll"], "1,204 of 1,351 goroutines in 1 group"),
        (vec!["--function", "(*conn).Read"], "128 of 1,351 goroutines in 1 group"),
        (vec!["--function", "net/http*backgroundRead"], "128 of 1,351 goroutines in 1 group"),
        (vec!["--function", "runtime.gopark"], "0 of 1,351 goroutines in 0 groups"),
        (vec!["--function", "runtime.gopark", "--all-frames"], "1,348 of 1,351 goroutines in 5 groups"),
        (vec!["--package", "net"], "128 of 1,351 goroutines in 1 group"),
        (vec!["--package", "ne"], "0 of 1,351 goroutines in 0 groups"),
        (vec!["--package", "example.com/*"], "1,216 of 1,351 goroutines in 2 groups"),
        (vec!["--label", "route"], "128 of 1,351 goroutines in 1 group"),
        (vec!["--label", "route=/v1/orders"], "32 of 1,351 goroutines in 1 group"),
        (vec!["--id", "20,21", "--id", "40"], "3 of 1,351 goroutines in 2 groups"),
        (vec!["--id", "3"], "0 of 1,351 goroutines in 0 groups"),
        (vec!["--min-age", "40min"], "1,273 of 1,351 goroutines in 3 groups"),
        (vec!["--each", "--min-age", "3h"], "1 of 1,351 goroutines"),
    ] {
        assert_eq!(saved.counts(&arguments), counts, "{arguments:?}");
    }
}

#[test]
fn order_and_limit() {
    let saved = Saved::new(&samples::server());
    let text = saved.stacks(&["--sort", "age", "--limit", "1"]);
    assert!(text.contains("chan receive"), "{text}");
    assert!(text.contains("7 groups more with 1,350 goroutines (--limit 0 shows all)"), "{text}");
    let ids = |arguments: &[&str]| -> Vec<String> {
        let text = saved.stacks(arguments);
        let words = text.lines().filter_map(|l| l.strip_prefix("goroutine ")?.split(' ').next());
        words.map(str::to_owned).collect()
    };
    assert_eq!(ids(&["--each", "--id", "40,1,20", "--sort", "age"]), ["1", "20", "40"]);
    assert_eq!(ids(&["--each", "--id", "40,1,20", "--sort", "name"]), ["1", "40", "20"]);
    assert_eq!(ids(&["--each", "--id", "40,1,20", "--limit", "2"]), ["1", "20"]);
}

#[test]
fn formats() {
    let saved = Saved::new(&samples::server());
    let json = saved.stacks(&["--json", "--limit", "1"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["format"], &value["version"]), (&"loiter-stacks".into(), &2.into()));
    assert_eq!(value["groups"][0]["count"], 1204);
    assert_eq!(value["groups"].as_array().unwrap().len(), 1);
    assert_eq!(value["total_groups"], 8);
    let json = saved.stacks(&["--format", "json", "--each", "--id", "40"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["tasks"][0]["waits"][0]["address"], "0xc000012040");
    let go = saved.stacks(&["--format", "go", "--id", "20"]);
    assert!(go.starts_with("goroutine 20 [select]:\nworker.(*Pool).next(...)\n\t/home/ci/"), "{go}");
}

#[test]
fn colours_where_they_are_wanted() {
    let saved = Saved::new(&samples::server());
    assert!(!saved.stacks(&[]).contains('\x1b'));
    assert!(saved.stacks(&["--color", "always"]).contains('\x1b'));
    let path = saved.path();
    let stacks = |variable: &str, color: &str| {
        let mut command = loiter(&["stacks", "--color", color]);
        let output = command.arg(&path).env(variable, "1").output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains('\x1b')
    };
    assert!(stacks("CLICOLOR_FORCE", "auto"));
    assert!(!stacks("CLICOLOR_FORCE", "never"));
    assert!(!stacks("NO_COLOR", "auto"));
    assert!(stacks("NO_COLOR", "always"));
}

#[test]
fn a_snapshot_is_kept_again_and_read_from_a_pipe() {
    let saved = Saved::new(&samples::server());
    let output = loiter(&["snapshot"]).arg(saved.path()).args(["-o", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(file::read(&output.stdout[..]).unwrap(), samples::server());
    let told = stderr(&output);
    assert!(
        told.starts_with(
            "api-server (pid 4242, go1.24.3, stripped): 1,351 goroutines and 2 system ones, read in 6 ms"
        ),
        "{told}"
    );

    let mut child = (loiter(&["stacks", "-", "--id", "40"]).stdin(Stdio::piped()).stdout(Stdio::piped()))
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&output.stdout).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("main.refresh"));
}

#[test]
fn a_snapshot_gets_a_name_of_its_own() {
    let saved = Saved::new(&samples::server());
    let mut command = loiter(&["snapshot", "a.loiter"]);
    let output = command.current_dir(saved.directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let name = "api-server-4242-20261118T110640Z.loiter";
    let name = name.replace("api-server", "api_server");
    assert!(stderr(&output).contains(&format!("-> {name} (")), "{}", stderr(&output));
    assert_eq!(file::load(&saved.directory.path().join(name)).unwrap(), samples::server());
}

#[test]
fn failures_have_codes_and_reasons() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, contents: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text = path("text", b"\nhello, world\n");
    let heap = path("heap", b"heap profile: 1: 16 [2: 32] @ heap/1048576\n");
    let newer = path("newer", &[&file::MAGIC[..], &[7, 0]].concat());
    let elf = path("elf", b"\x7fELFnonsense");
    let evil = path("e\x1b[31mvil\n", b"");
    for (source, code, message) in [
        (text.as_str(), 2, "/text: no goroutine was found: its first line is \"hello, world\"\n  a file may"),
        (&heap, 2, "/heap: a profile of heap, not of goroutines\n"),
        (&newer, 2, "written by a newer loiter (format 7; this one reads up to 1)"),
        (&elf, 2, "cannot read core file "),
        (&evil, 2, "/e\\x1b[31mvil\\n: no goroutine was found: it is empty"),
        ("/nonexistent/file", 2, "/nonexistent/file: No such file or directory"),
        ("http://127.0.0.1:1", 2, "http://127.0.0.1:1/debug/pprof/goroutine?debug=2: Connection refused"),
        ("http://:1", 2, ":1: no address: "),
        ("4194305", 4, "there is no process with pid 4194305"),
    ] {
        let (got, text) = failure(&["stacks", source]);
        assert_eq!(got, code, "{text}");
        assert!(text.contains("loiter: ") && text.contains(message), "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }
    for arguments in [
        &["stacks"][..],
        &["stacks", "1", "--freeze", "--no-pause"],
        &["stacks", "1", "--each", "--group-by", "state"],
        &["stacks", "1", "--group-by", "label:"],
        &["stacks", "1", "--min-age", "soon"],
        &["stacks", "1", "--state", "asleep"],
        &["stacks", "1", "--json", "--format", "go"],
        &["nonsense"],
        &["man", "loiter-nonsense.1"],
    ] {
        assert_eq!(failure(arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let saved = Saved::new(&samples::many(20_000));
    let mut child = (loiter(&["stacks", "--each"]).arg(saved.path()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
}

#[test]
fn ps_lists_this_machine() {
    let output = loiter(&["ps", "--all"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().next().unwrap().contains("PID  RUNTIME"), "{text}");
    let own = std::process::id().to_string();
    assert!(text.lines().any(|line| line.trim_start().starts_with(&own)), "{text}");
    let output = loiter(&["ps", "--all", "--json"]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["format"], "loiter-ps");
    let processes = value["processes"].as_array().unwrap();
    assert!(processes.iter().any(|process| process["pid"] == std::process::id()));
}
