//! Futures that threads block on, compared with the marks in the sources of the program.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use loiter::process;
use loiter::runtimes::{Pause, Readable};
use loiter::snapshot::{Branch, HoldKind, LocationId, Snapshot, StackStatus, Task, TaskState};

mod common;

use common::{BookedRoot, TokioFixture, TokioFlavour};

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the sources say of one future.
#[derive(Debug, Default)]
struct Expected {
    /// The lines where it awaits, innermost first.
    awaits: Vec<u32>,
    reason: String,
    is_polled: bool,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokio/roots.rs")
}

/// The lines with `// @name`, by name.
fn marks() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(source()).unwrap();
    let marked = text.lines().zip(1..).filter_map(|(text, line)| {
        let (_, mark) = text.split_once("// @")?;
        Some((mark.split(' ').next()?.to_owned(), line))
    });
    marked.collect()
}

/// Behind `// = `, names of such lines and the reason of the wait; `!` for a future that is polled.
fn expected() -> BTreeMap<u32, Expected> {
    let (names, text) = (marks(), fs::read_to_string(source()).unwrap());
    let mut all = BTreeMap::new();
    for (text, line) in text.lines().zip(1..) {
        let Some((_, mark)) = text.split_once("// ").and_then(|(_, marks)| marks.split_once("= ")) else {
            continue;
        };
        let expected = match mark.split_once(": ") {
            Some((awaits, reason)) => Expected {
                awaits: awaits.split_whitespace().map(|name| names[name]).collect(),
                reason: reason.to_owned(),
                is_polled: false,
            },
            None => {
                assert_eq!(mark, "!");
                Expected { is_polled: true, ..Expected::default() }
            }
        };
        all.insert(line, expected);
    }
    all
}

fn is_root(snapshot: &Snapshot, task: &Task) -> bool {
    let labels =
        task.labels.map(|set| snapshot.code.label_sets[set.index()].pairs.as_slice()).unwrap_or_default();
    labels.iter().any(|(key, value)| (snapshot.str(*key), snapshot.str(*value)) == ("kind", "block_on"))
}

/// The lines of a stack that are in the source, innermost first.
fn lines(snapshot: &Snapshot, stack: &[LocationId]) -> Vec<u32> {
    let frames = stack.iter().flat_map(|id| &snapshot.code.locations[id.index()].frames);
    frames.filter(|frame| Path::new(snapshot.str(frame.file)) == source()).map(|frame| frame.line).collect()
}

/// How much a build says of the futures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// All of it.
    All,
    /// Some have no place that is certain: then nothing is claimed of where they await.
    Some,
    /// No types.
    Nothing,
}

/// What is wrong with how the futures of one thread were read.
fn wrong(snapshot: &Snapshot, booked: &BookedRoot, expected: &Expected, says: Says) -> Option<String> {
    let has_types = says != Says::Nothing;
    let of_thread = |task: &&Task| is_root(snapshot, task) && task.thread == Some(booked.thread);
    let mut roots: Vec<&Task> = snapshot.tasks.iter().filter(of_thread).collect();
    // One within another one: the outer one is polled.
    if booked.subject == "within a future" && has_types {
        let polled: Vec<_> = roots.iter().filter(|root| root.state == TaskState::Running).collect();
        if polled.len() != 1 {
            return Some(format!("{}: {} are polled", booked.subject, polled.len()));
        }
        roots.retain(|root| root.state != TaskState::Running);
    }
    let name = |root: &Task| root.entry.map_or("", |entry| snapshot.function_name(entry)).to_owned();
    let said = roots.iter().map(|root| {
        let reason = root.reason.map(|id| snapshot.str(id));
        let lines = lines(snapshot, snapshot.stack_of(root));
        format!("{} {:?} {:?} {reason:?} {lines:?}", name(root), root.state, root.stack_status)
    });
    let said = format!("{}: {:?}", booked.subject, said.collect::<Vec<_>>());
    if !has_types {
        // Whatever is known without types, it is no chain.
        let is_chain = |root: &&Task| !lines(snapshot, snapshot.stack_of(root)).is_empty();
        return roots.iter().any(is_chain).then_some(said);
    }
    let [root] = roots[..] else { return Some(said) };
    if root.id.is_some() || root.address == 0 || name(root).is_empty() {
        return Some(format!("{said}: id {:?}", root.id));
    }
    if expected.is_polled {
        let is_whole = says != Says::All || root.stack_status == StackStatus::Complete;
        return (root.state != TaskState::Running || !is_whole).then_some(said);
    }
    let lines = lines(snapshot, snapshot.stack_of(root));
    let reason = root.reason.map(|id| snapshot.str(id));
    let is_lost = root.stack_status == StackStatus::Unknown && lines.is_empty() && reason.is_none();
    if says == Says::Some && is_lost {
        return None;
    }
    let right = root.state == TaskState::Waiting
        && root.stack_status == StackStatus::Complete
        && lines == expected.awaits
        && reason == Some(&*expected.reason);
    (!right).then_some(said)
}

/// Who waits for whom.
fn check_links(snapshot: &Snapshot, books: &[BookedRoot], about: &str) {
    let root = |subject: &str| {
        let thread = books.iter().find(|root| root.subject == subject).unwrap().thread;
        let row =
            snapshot.tasks.iter().position(|task| is_root(snapshot, task) && task.thread == Some(thread));
        (row.unwrap(), &snapshot.tasks[row.unwrap()])
    };
    let (_, waits) = root("waits for it");
    let [wait] = snapshot.waits_of(waits) else { panic!("{about}: {waits:?}") };
    let (_, holder) = root("holds");
    let hold = snapshot.holds_of(holder).iter().find(|hold| hold.object == wait.object);
    assert_eq!(hold.map(|hold| hold.how), Some(HoldKind::Perhaps), "{about}: {holder:?}");
    let (_, awaits) = root("awaits a task");
    let [wait] = snapshot.waits_of(awaits) else { panic!("{about}: {awaits:?}") };
    let acts = snapshot.links.actors.iter().filter(|actor| actor.object == wait.object).count();
    assert_eq!(acts, 1, "{about}: the task that it awaits");
    let (row, _) = root("select");
    let branches: Vec<&Branch> = snapshot.branches_of(row as u32).iter().collect();
    assert_eq!(branches.len(), 2, "{about}");
}

fn check(version: &str, flavour: TokioFlavour, says: Says) {
    let about = format!("{version} {flavour:?}");
    let expected = expected();
    let mut fixture = TokioFixture::start(version, flavour, &["roots"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let began = Instant::now();
    for pause in [Pause::RunningThreads, Pause::Nothing, Pause::Everything] {
        // A future needs a moment to get where it waits.
        let (snapshot, books) = loop {
            let books = fixture.roots();
            let options = common::reading(pause);
            let snapshot = readable.read(&*target, &options).unwrap();
            assert_eq!(snapshot.validate(), Ok(()));
            let mut failures: Vec<String> =
                books.iter().filter_map(|root| wrong(&snapshot, root, &expected[&root.line], says)).collect();
            let lines: BTreeSet<u32> = books.iter().map(|root| root.line).collect();
            if !lines.iter().eq(expected.keys()) {
                failures.push(format!("only {lines:?} have begun"));
            }
            let is_lost = |warning: &&String| warning.contains("of block_on");
            let lost: Vec<String> = snapshot.header.warnings.iter().filter(is_lost).cloned().collect();
            if says != Says::Some {
                failures.extend(lost);
            }
            let mut origin = snapshot.header.runtimes.iter().flat_map(|runtime| &runtime.provenance);
            if !origin.any(|said| said.ends_with("of block_on, by the stacks of all threads")) {
                failures.push("not all stacks were read to their ends".to_owned());
            }
            if failures.is_empty() {
                break (snapshot, books);
            }
            assert!(began.elapsed() < PATIENCE, "{about} {pause:?}:\n{}", failures.join("\n"));
            std::thread::sleep(Duration::from_millis(50));
        };
        if says == Says::All {
            check_links(&snapshot, &books, &about);
        }
        let threads: BTreeSet<u32> = books.iter().map(|root| root.thread).collect();
        let roots = snapshot.tasks.iter().filter(|task| is_root(&snapshot, task));
        let others: Vec<_> =
            roots.filter(|task| task.thread.is_none_or(|tid| !threads.contains(&tid))).collect();
        assert!(others.is_empty(), "{about}: no other thread is in block_on: {others:?}");
    }
}

#[test]
fn tokio_1_54_dev() {
    check("1.54.1", TokioFlavour::Dev, Says::All);
}

#[test]
fn tokio_1_54_fat() {
    check("1.54.1", TokioFlavour::Fat, Says::Some);
}

#[test]
fn tokio_1_36_dev() {
    check("1.36.0", TokioFlavour::Dev, Says::Some);
}

#[test]
fn without_types() {
    check("1.54.1", TokioFlavour::V0, Says::Nothing);
    check("1.40.0", TokioFlavour::Lines, Says::Nothing);
}

/// The C library of these has no unwind tables.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn linked_with_musl() {
    check("1.54.1", TokioFlavour::Musl, Says::All);
    check("1.54.1", TokioFlavour::MuslFull, Says::Some);
}

/// A future that is polled all the time is read where it awaits, or not at all.
#[test]
fn one_that_moves() {
    let marks = marks();
    let allowed = [["first_turn", "first"], ["second_turn", "second"]]
        .map(|names| names.map(|name| marks[name]).to_vec());
    let mut fixture = TokioFixture::start("1.54.1", TokioFlavour::Dev, &["restless root"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let began = Instant::now();
    let (mut read_it, mut nth) = (0, 0);
    while read_it < 3 || nth < 30 {
        assert!(began.elapsed() < PATIENCE, "{nth} readings showed {read_it} chains");
        let pause = if nth % 3 == 0 { Pause::Everything } else { Pause::RunningThreads };
        let options = common::reading(pause);
        let snapshot = readable.read(&*target, &options).unwrap();
        let Some(booked) = fixture.roots().pop() else { continue };
        for root in snapshot.tasks.iter().filter(|task| is_root(&snapshot, task)) {
            assert_eq!(root.thread, Some(booked.thread));
            let lines = lines(&snapshot, snapshot.stack_of(root));
            // `yield_now` polls by hand: what is inside of that is unknown.
            if root.state == TaskState::Waiting && root.stack_status != StackStatus::Torn {
                assert!(allowed.contains(&lines), "{lines:?} {:?}", root.stack_status);
                read_it += 1;
            }
        }
        nth += 1;
    }
}
