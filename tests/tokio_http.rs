//! Tokio's tasks behind hyper, tower and tracing: what they wait for, and the program's own lines on the way there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use loiter::process;
use loiter::runtimes::{Pause, Readable};
use loiter::snapshot::{LocationId, ObjectKind, Snapshot, Task};

mod common;

use common::{Fixture, TokioFlavour, build_tokio_http};

/// How long the tasks may take to get where they wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// Each task that the program spawns: what it waits for, the marks of the lines where it awaits, innermost first, and behind
/// `|` those of each of its branches.
const EXPECTED: [&str; 19] = [
    "accept: serve",
    "http: http body, network I/O: connection | body |",
    "http: mpsc receive, network I/O: client | |",
    "http: sleep, network I/O: connection | slow |",
    // The worker of a buffer, which is written by hand.
    "mpsc receive:",
    "mutex lock: lock_owned",
    "network I/O: client",
    "network I/O: connection",
    "network I/O: connection",
    "network I/O: connection",
    "network I/O: connection",
    "oneshot receive: request",
    "rwlock read: read_owned",
    "sleep, or timeout: backend limits",
    "sleep: backend boxed",
    "sleep: backend buffered",
    "sleep: backend oneshot",
    "sleep: instrumented",
    "sleep: timer",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokio_http/main.rs")
}

/// The names of the marked lines.
fn marks() -> BTreeMap<u32, String> {
    let text = fs::read_to_string(source()).unwrap();
    let marked = text.lines().zip(1..).filter_map(|(text, line)| Some((line, text.split_once("// @")?.1)));
    marked.map(|(line, name)| (line, name.trim().to_owned())).collect()
}

/// The marks of the lines of a stack that are in the program's source.
fn names(snapshot: &Snapshot, stack: &[LocationId], marks: &BTreeMap<u32, String>) -> String {
    let frames = stack.iter().flat_map(|id| &snapshot.code.locations[id.index()].frames);
    let own = frames.filter(|frame| Path::new(snapshot.str(frame.file)) == source());
    let unmarked = |line: u32| format!("line {line}");
    own.map(|frame| marks.get(&frame.line).cloned().unwrap_or_else(|| unmarked(frame.line)) + " ").collect()
}

fn said(snapshot: &Snapshot, row: usize, task: &Task, marks: &BTreeMap<u32, String>) -> String {
    let reason = task.reason.map_or("nothing", |id| snapshot.str(id));
    let mut text = format!("{reason}: {}", names(snapshot, snapshot.stack_of(task), marks));
    for branch in snapshot.branches_of(row as u32) {
        let stack = branch.stack.map_or(&[][..], |id| snapshot.code.stack(id));
        text.push_str(&format!("| {}", names(snapshot, stack, marks)));
    }
    text.trim_end().to_owned()
}

fn check(flavour: TokioFlavour) {
    let fixture = Fixture::start(&build_tokio_http("1.54.1", flavour), &[]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let marks = marks();
    let began = Instant::now();
    loop {
        let snapshot = readable.read(&*target, &common::reading(Pause::Nothing)).unwrap();
        assert_eq!(snapshot.validate(), Ok(()));
        let tasks = snapshot.tasks.iter().enumerate().filter(|(_, task)| !task.system && task.id.is_some());
        let mut found: Vec<_> = tasks.clone().map(|(row, task)| said(&snapshot, row, task, &marks)).collect();
        found.sort();
        if found == EXPECTED {
            // Every connection waits for a socket of its own.
            let sockets = snapshot.objects.iter().filter(|object| object.kind == ObjectKind::Descriptor);
            assert_eq!(sockets.count(), 6 + 2 + 1, "{:?}", snapshot.objects);
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{flavour:?}: {found:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn dev() {
    check(TokioFlavour::Dev);
}

#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn optimised() {
    check(TokioFlavour::Full);
    check(TokioFlavour::Fat);
}
