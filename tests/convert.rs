//! `loiter convert` and Go's formats of `loiter stacks`: the real binary on real files.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;
mod samples;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, build};
use loiter::import::{GoDump, GoProfile, pprof};
use loiter::snapshot::{SourceKind, file};

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loiter")).current_dir(directory).args(arguments).output().unwrap()
}

/// Runs `loiter convert`, which must succeed, and returns stderr.
fn convert(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, &[&["convert"], arguments].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    stderr
}

#[test]
fn the_name_says_the_format() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let snapshot = samples::server();
    file::save(&snapshot, &here.join("a.loiter")).unwrap();
    let bytes = |name: &str| fs::read(here.join(name)).unwrap();

    let stderr = convert(here, &["a.loiter", "b.pb.gz"]);
    assert!(stderr.contains("1,351 goroutines") && stderr.contains("-> b.pb.gz ("), "{stderr}");
    assert!(stderr.contains("2 system goroutines left out, as in Go's own output"), "{stderr}");
    assert!(bytes("b.pb.gz").starts_with(b"\x1f\x8b"));
    let read = pprof::read(&bytes("b.pb.gz")).unwrap();
    assert_eq!((read.task_count(), read.header.target.source), (1351, SourceKind::Profile));

    convert(here, &["a.loiter", "b.pb"]);
    assert!(pprof::looks_like_pprof(&bytes("b.pb")));
    assert_eq!(pprof::read(&bytes("b.pb")).unwrap(), read);
    convert(here, &["a.loiter", "b.pprof"]);
    assert_eq!(pprof::read(&bytes("b.pprof")).unwrap(), read);

    let text = String::from_utf8(run(here, &["stacks", "b.pb.gz"]).stdout).unwrap();
    assert!(text.contains("1,351 goroutines in 8 groups"), "{text}");
    assert!(text.contains("tasks stored individually in a profile"), "{text}");
    assert!(text.contains("route=/v1/users"), "{text}");

    convert(here, &["a.loiter", "-o", "b.txt"]);
    let dump = GoDump::parse(&bytes("b.txt"));
    // One of them would not hold still: a line says that there is no stack.
    assert_eq!((dump.goroutines.len(), dump.other_lines), (1351, 1));
    convert(here, &["a.loiter", "b", "--to", "profile"]);
    let profile = GoProfile::parse(&bytes("b"));
    assert_eq!((profile.total, profile.other_lines), (1351, 0));

    convert(here, &["a.loiter", "b.json"]);
    let json: serde_json::Value = serde_json::from_slice(&bytes("b.json")).unwrap();
    assert_eq!(json["tasks"].as_array().unwrap().len(), 1353, "JSON says which are the system's");
    assert_eq!(convert(here, &["a.loiter", "c.loiter"]).lines().count(), 1);
    assert_eq!(file::load(&here.join("c.loiter")).unwrap(), snapshot);
}

#[test]
fn files_are_replaced_whole_and_private() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    file::save(&samples::server(), &here.join("a.loiter")).unwrap();
    fs::write(here.join("b.txt"), "something else").unwrap();
    convert(here, &["a.loiter", "b.txt"]);
    assert_eq!(fs::metadata(here.join("b.txt")).unwrap().permissions().mode() & 0o077, 0);
    assert_eq!(fs::read_dir(here).unwrap().count(), 2, "no temporary file is left");

    let output = run(here, &["convert", "a.loiter", "no/such/b.txt"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.starts_with("loiter: cannot write no/such/b.txt: No such file"), "{stderr}");
    let output = run(here, &["convert", "a.loiter", "/dev/full", "--to", "go"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("loiter: cannot write /dev/full: No space left"), "{stderr}");
}

#[test]
fn an_option_names_the_file_as_with_the_other_commands() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    file::save(&samples::server(), &here.join("a.loiter")).unwrap();
    convert(here, &["a.loiter", "a.json"]);
    convert(here, &["a.loiter", "-o", "b.json"]);
    assert_eq!(fs::read(here.join("a.json")).unwrap(), fs::read(here.join("b.json")).unwrap());
    let output = run(here, &["convert", "a.loiter", "c.json", "-o", "d.json"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("either OUT or -o"), "{stderr}");
    assert!(!here.join("c.json").exists() && !here.join("d.json").exists());
}

#[test]
fn a_format_that_nobody_named_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    for out in ["b.gz", "b", "-"] {
        // Said before the source is looked at.
        let output = run(directory.path(), &["convert", "nonexistent", out]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        // Endings do not help where there is no name.
        let endings = stderr.contains(".loiter, .pb.gz, .pprof, .pb, .txt, .json");
        assert_eq!(endings, out != "-", "{stderr}");
        assert!(stderr.contains("snapshot, pprof, profile, go, json"), "{stderr}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn standard_output_and_input() {
    let mut saved = Vec::new();
    file::write(&samples::server(), &mut saved).unwrap();
    for (format, check) in [
        ("snapshot", (|bytes| file::read(bytes).unwrap().task_count()) as fn(&[u8]) -> u64),
        ("pprof", |bytes| pprof::read(bytes).unwrap().task_count() + 2),
        ("go", |bytes| GoDump::parse(bytes).goroutines.len() as u64 + 2),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loiter"))
            .args(["convert", "-", "-", "--to", format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&saved).unwrap();
        let mut bytes = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(check(&bytes), 1353, "{format}");
    }
}

#[test]
fn stacks_of_a_live_process_in_gos_formats() {
    let toolchain = Toolchain::get(QUICK_VERSIONS[1]);
    let fixture = Fixture::start(&build(&toolchain, Program::Fixtures, Flavour::Plain), &["locks"]);
    let (pid, here) = (fixture.pid().to_string(), fixture.dir());
    let output = run(here, &["stacks", &pid, "--format", "pprof", "--function", "(*Mutex).Lock"]);
    assert!(output.status.success());
    let read = pprof::read(&output.stdout).unwrap();
    let found = read.tasks.len();
    assert!(found > 0 && read.tasks.iter().all(|task| task.id.is_some() && task.reason.is_some()));
    let output = run(here, &["stacks", &pid, "--format", "profile", "--function", "(*Mutex).Lock"]);
    assert_eq!(GoProfile::parse(&output.stdout).total, found as u64);
    let stderr = convert(here, &[&pid, "x.pb.gz"]);
    assert!(stderr.contains("-> x.pb.gz"), "{stderr}");
    assert!(pprof::read(&fs::read(here.join("x.pb.gz")).unwrap()).unwrap().tasks.len() >= found);
}

/// Whatever Go writes of its goroutines becomes whatever loiter writes, with as many of them.
#[test]
fn every_dump_becomes_every_format() {
    for version in QUICK_VERSIONS {
        let program = build(&Toolchain::get(version), Program::Fixtures, Flavour::Plain);
        let mut fixture = Fixture::start(&program, &["channels", "labels", "panics"]);
        let (debug2, debug1) = fixture.dump_text();
        let pprof0 = fixture.pprof();
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        let count = GoDump::parse(debug2.as_bytes()).goroutines.len();
        for (name, bytes) in
            [("debug2", debug2.as_bytes()), ("debug1", debug1.as_bytes()), ("pprof0", &pprof0)]
        {
            fs::write(here.join(name), bytes).unwrap();
            for format in ["snapshot", "pprof", "profile", "go", "json"] {
                let stderr = convert(here, &[name, "out", "--to", format]);
                let unknown = stderr.contains("have the id 0");
                assert_eq!(
                    unknown,
                    format == "go" && name != "debug2",
                    "{version} {name} {format}: {stderr}"
                );
                if format == "json" {
                    let json: serde_json::Value =
                        serde_json::from_slice(&fs::read(here.join("out")).unwrap()).unwrap();
                    let counts = json["tasks"].as_array().unwrap().iter().map(|task| task["count"].as_u64());
                    assert_eq!(counts.sum::<Option<u64>>(), Some(count as u64), "{version} {name}");
                    continue;
                }
                // And back again.
                convert(here, &["out", "again.loiter"]);
                let again = file::load(&here.join("again.loiter")).unwrap();
                assert_eq!(again.task_count(), count as u64, "{version} {name} {format}");
                let ids = again.tasks.iter().filter(|task| task.id.is_some_and(|id| id != 0)).count();
                let has_ids = name == "debug2" && format != "profile";
                assert_eq!(ids, if has_ids { count } else { 0 }, "{version} {name} {format}");
            }
        }
    }
}

#[test]
fn what_is_no_text_is_kept_from_terminals() {
    let directory = tempfile::tempdir().unwrap();
    file::save(&samples::server(), &directory.path().join("a.loiter")).unwrap();
    // The end of a terminal that its emulator holds is one, too.
    let terminal = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
    for arguments in [
        &["stacks", "a.loiter", "--format", "pprof"][..],
        &["convert", "a.loiter", "-", "--to", "pprof"],
        &["convert", "a.loiter", "-", "--to", "snapshot"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_loiter"))
            .current_dir(directory.path())
            .args(arguments)
            .stdout(terminal.try_clone().unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not text"), "{arguments:?}");
    }
}
