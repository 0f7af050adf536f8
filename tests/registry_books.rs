//! A program that keeps its own books of its tasks (registry/examples/books.rs) against what loiter
//! reads of it, in every kind of build.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use loiter::process;
use loiter::runtimes::{self, Pause};
use loiter::snapshot::{Age, Snapshot, StackStatus, Task, TaskState};
use serde_json::{Value, json};

mod common;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How the program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    Dev,
    Release,
    Stripped,
    FatLto,
    NonPie,
}

fn builds() -> &'static [Build] {
    use Build::{Dev, FatLto, NonPie, Release, Stripped};
    if common::full_matrix() { &[Dev, Release, Stripped, FatLto, NonPie] } else { &[Stripped] }
}

/// Builds the program; cargo knows whether there is anything to do.
fn build(build: Build) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = root.join("target/books").join(format!("{build:?}").to_lowercase());
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "loiter-registry",
        "--example",
        "books",
        "--features",
        "tokio",
    ]);
    cargo.current_dir(root).env("CARGO_TARGET_DIR", &directory).env_remove("CARGO_ENCODED_RUSTFLAGS");
    let mut profile = "release";
    // Only one kind needs the optimisation at link time, which takes longest.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    match build {
        Build::Dev => profile = "debug",
        Build::Release => {}
        Build::Stripped => drop(cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols")),
        Build::FatLto => {
            cargo.env("CARGO_PROFILE_RELEASE_LTO", "fat").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
            cargo.env("CARGO_PROFILE_RELEASE_PANIC", "abort");
        }
        // With a target, the flags are not for build scripts and macros, which must stay PIC.
        Build::NonPie => {
            cargo.env("RUSTFLAGS", "-C relocation-model=static").args(["--target", TARGET]);
        }
    }
    if profile == "release" {
        cargo.arg("--release");
    }
    let status = cargo.status().unwrap();
    assert!(status.success(), "{build:?}: {status}");
    let below = if build == Build::NonPie { TARGET } else { "" };
    directory.join(below).join(profile).join("examples/books")
}

/// The program, ended when this goes.
struct Books {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Books {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut books = Books { child, stdin, stdout: BufReader::new(stdout) };
        assert_eq!(books.line(), "ready");
        books
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// What the program knows of its tasks.
    fn open(&mut self) -> Vec<Value> {
        self.stdin.write_all(b"books\n").unwrap();
        let lines = std::iter::repeat_with(|| self.line()).take_while(|line| line != "end");
        lines.collect::<Vec<_>>().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn read(&self, pause: Pause) -> Snapshot {
        let target = process::open_pid(self.child.id()).unwrap();
        let options = common::reading(pause);
        let snapshot = runtimes::snapshot(target.as_ref(), &options).unwrap();
        snapshot.validate().unwrap();
        snapshot
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(snapshot: &Snapshot, task: &Task) -> String {
    let pairs = task.labels.map_or(&[][..], |id| &snapshot.code.label_sets[id.index()].pairs);
    let name = pairs.iter().find(|&&(key, _)| snapshot.str(key) == "name");
    name.map_or("", |&(_, value)| snapshot.str(value)).to_owned()
}

/// The await places, the outermost first, without the entry.
fn chain(snapshot: &Snapshot, task: &Task) -> Vec<Value> {
    let frames = snapshot.stack_of(task).iter().map(|id| snapshot.code.locations[id.index()].frames[0]);
    let places = frames.filter(|frame| Some(frame.function) != task.entry);
    let mut places: Vec<_> = places
        .map(|frame| {
            let name = snapshot.function_name(frame.function);
            json!({ "name": name, "file": snapshot.str(frame.file), "line": frame.line })
        })
        .collect();
    places.reverse();
    places
}

/// Waits until the tasks are where they stay: they need a moment to get there.
fn settle(books: &mut Books) {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let (known, snapshot) = (books.open(), books.read(Pause::Nothing));
        // Of one that is being registered not all is known.
        if snapshot.tasks.iter().all(|task| task.creator.is_some()) && as_books(&snapshot) == known {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What loiter read, as the program writes it.
fn as_books(snapshot: &Snapshot) -> Vec<Value> {
    let page = |task: &Task| {
        let creator = snapshot.code.locations[task.creator.unwrap().index()].frames[0];
        json!({
            "id": task.id,
            "parent": task.parent.unwrap_or(0),
            "file": snapshot.str(creator.file),
            "line": creator.line,
            "name": name(snapshot, task),
            "state": if task.state == TaskState::Runnable { "created" } else { task.state.name() },
            "reason": task.reason.map_or("", |id| snapshot.str(id)),
            "chain": chain(snapshot, task),
        })
    };
    snapshot.tasks.iter().map(page).collect()
}

#[test]
fn loiter_reads_what_the_program_knows() {
    for &kind in builds() {
        let mut books = Books::start(&build(kind), &[]);
        settle(&mut books);
        for pause in [Pause::Nothing, Pause::RunningThreads, Pause::Everything] {
            let known = books.open();
            let snapshot = books.read(pause);
            let read = as_books(&snapshot);
            for (known, read) in known.iter().zip(&read) {
                assert_eq!(known, read, "{kind:?}, {pause:?}");
            }
            assert_eq!(known.len(), read.len(), "{kind:?}, {pause:?}");
            assert_eq!(snapshot.header.warnings, Vec::<String>::new());
            assert_eq!(snapshot.header.runtimes[0].flavour, ["tokio"]);
            assert!(snapshot.tasks.iter().all(|task| matches!(task.age, Age::Exactly(_))));
            let locks: Vec<_> = snapshot.waits.iter().map(|wait| wait.object).collect();
            assert_eq!(locks.len(), 3, "three tasks wait for one lock");
            assert_eq!(snapshot.objects.len(), 1);
        }
    }
}

#[test]
fn tasks_that_come_and_go_leave_those_that_stay_whole() {
    let books = Books::start(&build(builds()[0]), &["churn"]);
    // The last ones that are to stay may still be on their way.
    let began = Instant::now();
    let all_stay = |snapshot: &Snapshot| {
        let stays = |task: &&Task| task.state == TaskState::Waiting && chain(snapshot, task).len() == 3;
        snapshot.tasks.iter().filter(stays).count() == 1000
    };
    while !all_stay(&books.read(Pause::Nothing)) && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (mut short, mut torn, mut retried) = (0, 0, 0);
    for _ in 0..common::amount("LOITER_CHURN", 100, 300) {
        let snapshot = books.read(Pause::Nothing);
        let mut parked = 0;
        for task in &snapshot.tasks {
            if task.id.is_none() {
                assert_eq!(task.stack_status, StackStatus::Torn);
                continue;
            }
            let places = chain(&snapshot, task);
            let names: Vec<_> = places.iter().map(|place| place["name"].as_str().unwrap()).collect();
            match name(&snapshot, task).as_str() {
                "short" => {
                    short += 1;
                    assert!(matches!(names[..], [] | ["yielding"]), "{names:?}");
                }
                name => {
                    parked += 1;
                    assert!(["reader", "writer", "sweeper"].contains(&name), "{name}");
                    assert_eq!((names.len(), names[0], names[1]), (3, name, "middle"));
                    assert_eq!(task.state, TaskState::Waiting);
                }
            }
        }
        assert_eq!(parked, 1000);
        torn += snapshot.header.reading.torn;
        retried += snapshot.header.reading.retried;
    }
    eprintln!("{short} short tasks seen, {retried} entries read again, {torn} torn");
}
