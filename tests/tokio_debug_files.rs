//! Await chains by debug information in other places than the program itself, and in other forms.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions};
use loiter::snapshot::{Snapshot, Task, TaskState};

mod common;

use common::{TokioFixture, TokioFlavour, build_tokio};

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder for the files of one test, empty.
fn folder(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tokio-debug-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn objcopy(arguments: &[&str], from: &Path, to: &Path) {
    let mut command = Command::new("objcopy");
    assert!(command.args(arguments).args([from, to]).status().unwrap().success(), "{command:?}");
}

/// The program without debug information, and a file that has it.
fn separate(program: &Path, folder: &Path, compression: &str) -> PathBuf {
    let (stripped, debug) = (folder.join("books"), folder.join("books.debug"));
    objcopy(&["--only-keep-debug", compression], program, &debug);
    let mut link = OsString::from("--add-gnu-debuglink=");
    link.push(&debug);
    objcopy(&["--strip-all", link.to_str().unwrap()], program, &stripped);
    stripped
}

/// The frames of each task by its id: files and lines. Of a program in which nothing moves any more.
fn frames(
    fixture: &TokioFixture,
    debug_file: Option<PathBuf>,
) -> (BTreeMap<u64, Vec<(String, u32)>>, Snapshot) {
    let target = process::open_pid(fixture.pid()).unwrap();
    let options = ReadOptions { pause: Pause::Nothing, debug_file, ..ReadOptions::default() };
    let snapshot = runtimes::snapshot(&*target, &options).unwrap();
    let mut all = BTreeMap::new();
    for task in &snapshot.tasks {
        let locations = snapshot.stack_of(task).iter().map(|id| &snapshot.code.locations[id.index()]);
        let frames = locations.flat_map(|location| &location.frames);
        let places = frames.map(|frame| (snapshot.str(frame.file).to_owned(), frame.line));
        all.insert(task.id.unwrap(), places.filter(|(file, _)| !file.is_empty()).collect());
    }
    (all, snapshot)
}

/// The chains of the tasks that stay where they are.
fn lines(program: &Path, debug_file: Option<PathBuf>) -> Vec<Vec<(String, u32)>> {
    let fixture = TokioFixture::start_program(program, &["many=20"]);
    let began = Instant::now();
    loop {
        let (found, snapshot) = frames(&fixture, debug_file.clone());
        assert_eq!(snapshot.header.warnings, [""; 0]);
        // A task has a chain when a worker has polled it.
        let waiting = |task: &&Task| !task.system && task.state == TaskState::Waiting;
        if snapshot.tasks.iter().filter(waiting).count() < 20 && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let mut found: Vec<_> = found.into_values().filter(|frames| !frames.is_empty()).collect();
        found.sort();
        return found;
    }
}

#[test]
fn a_separate_file_and_compressed_sections_say_the_same() {
    let program = build_tokio("1.54.1", TokioFlavour::Dev);
    let expected = lines(&program, None);
    assert_eq!(expected.len(), 20, "{expected:?}");
    assert!(expected[0][0].0.ends_with("fixtures/tokio/waits.rs") && expected[0][0].1 > 0, "{expected:?}");
    for compression in ["none", "zlib", "zstd"] {
        let folder = folder(compression);
        let option = format!("--compress-debug-sections={compression}");
        let separated = separate(&program, &folder, &option);
        assert_eq!(lines(&separated, None), expected, "{compression}");
        // Where nobody would look for it.
        let elsewhere = folder.join("elsewhere");
        std::fs::rename(folder.join("books.debug"), &elsewhere).unwrap();
        assert_eq!(lines(&separated, Some(elsewhere)), expected, "{compression}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// Debug information of single units in a package beside the program, or in objects where they were built.
#[test]
fn split_files_say_the_same() {
    let expected = lines(&build_tokio("1.54.1", TokioFlavour::Dev), None);
    let packed = build_tokio("1.54.1", TokioFlavour::Packed);
    assert_eq!(lines(&packed, None), expected);
    assert_eq!(lines(&build_tokio("1.54.1", TokioFlavour::Unpacked), None), expected);

    let folder = folder("split");
    let alone = folder.join("books");
    std::fs::copy(&packed, &alone).unwrap();
    let warning = || {
        let (found, snapshot) = frames(&TokioFixture::start_program(&alone, &["many=3"]), None);
        assert!(found.values().all(Vec::is_empty), "{found:?}");
        let [warning] = snapshot.header.warnings.as_slice() else { panic!("{:?}", snapshot.header.warnings) };
        warning.clone()
    };
    let nothing = warning();
    assert!(nothing.contains("in other files (.dwo, .dwp)"), "{nothing}");
    // A package of another program.
    let other = folder.join("other.rs");
    std::fs::write(&other, "fn main() {}").unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let options = ["-g", "-Csplit-debuginfo=packed", "-o"];
    let status = Command::new(rustc).args(options).args([&folder.join("other"), &other]).status();
    assert!(status.unwrap().success());
    std::fs::rename(folder.join("other.dwp"), folder.join("books.dwp")).unwrap();
    assert_eq!(warning(), nothing);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A file that belongs to another build is not used, and what is missing is said.
#[test]
fn a_file_of_another_build_is_not_used() {
    let folder = folder("other");
    let stripped =
        separate(&build_tokio("1.54.1", TokioFlavour::Dev), &folder, "--compress-debug-sections=none");
    let other = build_tokio("1.36.0", TokioFlavour::Dev);
    objcopy(&["--only-keep-debug"], &other, &folder.join("books.debug"));
    let fixture = TokioFixture::start_program(&stripped, &["many=3"]);
    let warning = |debug_file| {
        let (found, snapshot) = frames(&fixture, debug_file);
        assert!(found.values().all(Vec::is_empty), "{found:?}");
        let [warning] = snapshot.header.warnings.as_slice() else { panic!("{:?}", snapshot.header.warnings) };
        warning.clone()
    };
    let nothing = warning(None);
    assert!(nothing.contains("is stripped") && nothing.contains("--debug-file"), "{nothing}");
    let refused = warning(Some(folder.join("books.debug")));
    assert!(refused.contains("books.debug is of another build"), "{refused}");
    let missing = warning(Some(folder.join("missing")));
    assert!(missing.contains("missing") && missing.contains("ENOENT"), "{missing}");
    std::fs::remove_dir_all(&folder).unwrap();
}
