//! Tokio's tasks in streams, sinks and futures of futures-util, tokio-stream and tokio-util: what they wait for, and the
//! program's own lines on the way there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use loiter::process;
use loiter::runtimes::{Pause, Readable};
use loiter::snapshot::{LocationId, Snapshot, StackStatus, Task};

mod common;

use common::{Fixture, TokioFlavour, build_tokio_streams};

/// How long the tasks may take to get where they wait.
const PATIENCE: Duration = Duration::from_secs(120);

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokio_streams/main.rs")
}

/// What the program's marks say: the names of lines, and what is expected of its tasks.
fn marks() -> (BTreeMap<u32, String>, Vec<String>) {
    let (mut names, mut expected) = (BTreeMap::new(), Vec::new());
    for (text, line) in fs::read_to_string(source()).unwrap().lines().zip(1..) {
        let Some((_, mark)) = text.split_once(" @") else { continue };
        let (name, task) = mark.split_once(" = ").unwrap_or((mark, ""));
        names.insert(line, name.to_owned());
        expected.extend(Some(task.to_owned()).filter(|task| !task.is_empty()));
    }
    expected.sort();
    (names, expected)
}

/// The names of the lines of a stack that are in the program's source, each with a blank before it. The line of another crate's
/// macro has no name.
fn names(snapshot: &Snapshot, stack: &[LocationId], names: &BTreeMap<u32, String>) -> String {
    let frames = stack.iter().flat_map(|id| &snapshot.code.locations[id.index()].frames);
    let own = frames.filter(|frame| Path::new(snapshot.str(frame.file)) == source());
    let name = |line: u32| names.get(&line).cloned().unwrap_or_else(|| format!("line {line}"));
    own.map(|frame| format!(" {}", name(frame.line))).collect()
}

fn said(snapshot: &Snapshot, row: usize, task: &Task, marks: &BTreeMap<u32, String>) -> String {
    let reason = task.reason.map_or("nothing", |id| snapshot.str(id));
    let mut text = format!("{reason}:{}", names(snapshot, snapshot.stack_of(task), marks));
    for branch in snapshot.branches_of(row as u32) {
        let stack = branch.stack.map_or(&[][..], |id| snapshot.code.stack(id));
        let depth = " >".repeat(branch.depth as usize - 1);
        text.push_str(&format!(" |{depth}{}", names(snapshot, stack, marks)));
    }
    text.push_str(if task.stack_status == StackStatus::Complete { "" } else { " ?" });
    text
}

fn check(version: &str, flavour: TokioFlavour) {
    let fixture = Fixture::start(&build_tokio_streams(version, flavour), &[]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let (marks, expected) = marks();
    let began = Instant::now();
    let mut right = 0;
    // The first reading looks at types; later ones go the same ways again.
    while right < 3 {
        let snapshot = readable.read(&*target, &common::reading(Pause::Nothing)).unwrap();
        assert_eq!(snapshot.validate(), Ok(()));
        let tasks = snapshot.tasks.iter().enumerate().filter(|(_, task)| !task.system && task.id.is_some());
        let mut found: Vec<_> = tasks.map(|(row, task)| said(&snapshot, row, task, &marks)).collect();
        found.sort();
        if found == expected {
            right += 1;
            continue;
        }
        let (mut wrong, mut lacking) = (found.clone(), expected.clone());
        wrong.retain(|text| !expected.contains(text));
        lacking.retain(|text| !found.contains(text));
        let late = right > 0 || began.elapsed() > PATIENCE;
        assert!(!late, "{version} {flavour:?}: {wrong:#?}, not {lacking:#?} ({})", found.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn dev() {
    check("1.54.1", TokioFlavour::Dev);
}

#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn optimised() {
    check("1.54.1", TokioFlavour::Full);
    check("1.54.1", TokioFlavour::Fat);
    check("1.47.1", TokioFlavour::Full);
}
