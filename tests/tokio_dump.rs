//! Await chains compared with those of Tokio's own task dumps, in a build that has them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions};
use loiter::snapshot::{Snapshot, StackId};

mod common;

use common::{TokioFixture, TokioFlavour};

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

type Place = (PathBuf, u32);

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokio")
}

/// The places of a dump that are in the fixture: " at /path/waits.rs:136:23" at the end of a line. Functions that poll by hand
/// are in dumps, too: they are no awaits.
fn dumped(trace: &str) -> BTreeSet<Place> {
    let place = |line: &str| {
        let (_, place) = line.rsplit_once(" at ")?;
        let mut parts = place.trim().rsplitn(3, ':');
        let (_, line, file) = (parts.next()?, parts.next()?, parts.next()?);
        Some((PathBuf::from(file), line.parse().ok()?))
    };
    let awaits = trace.lines().filter(|line| !line.contains("::future::Future> at "));
    awaits.filter_map(place).filter(|(file, _)| file.starts_with(sources())).collect()
}

/// The places of each task and its branches, by the task's id.
fn read(target: &dyn process::Target) -> BTreeMap<u64, BTreeSet<Place>> {
    let options = common::reading(Pause::Everything);
    let snapshot = runtimes::snapshot(target, &options).unwrap();
    let mut all = BTreeMap::new();
    for (task, row) in snapshot.tasks.iter().zip(0..) {
        let branches = snapshot.branches_of(row).iter().filter_map(|branch| branch.stack);
        let stacks = task.stack.into_iter().chain(branches);
        let Some(id) = task.id else { continue };
        all.insert(id, stacks.flat_map(|stack| places(&snapshot, stack)).collect());
    }
    all
}

fn places(snapshot: &Snapshot, stack: StackId) -> Vec<Place> {
    let locations = snapshot.code.stack(stack).iter().map(|id| &snapshot.code.locations[id.index()]);
    let frames = locations.flat_map(|location| &location.frames);
    frames.map(|frame| (PathBuf::from(snapshot.str(frame.file)), frame.line)).collect()
}

/// Every frame of a dump is in the chain or in a branch of the task.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn dumps_are_contained() {
    // Futures that a closure polls are in dumps only: what a closure polls cannot be known, and that is said.
    const BY_HAND: [&str; 5] =
        ["polled by hand", "tuple in a closure", "unsized", "with a reference", "many"];
    let mut fixture = TokioFixture::start("1.54.1", TokioFlavour::Dump, &["waits", "chains", "locks"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let began = Instant::now();
    let failures = loop {
        let books = fixture.books();
        let answer = fixture.fixture.ask("dump");
        let ours = read(&*target);
        let (mut failures, mut compared) = (Vec::new(), 0);
        for task in answer["tasks"].as_array().unwrap() {
            let (id, trace) = (task["id"].as_u64().unwrap(), task["trace"].as_str().unwrap());
            let Some(booked) = books.get(&id).filter(|booked| !BY_HAND.contains(&&*booked.subject)) else {
                continue;
            };
            let theirs = dumped(trace);
            compared += theirs.len();
            let missing: Vec<_> = match ours.get(&id) {
                Some(ours) => theirs.difference(ours).collect(),
                None => theirs.iter().collect(),
            };
            if !missing.is_empty() {
                failures.push(format!(
                    "{}: {missing:?} is missing in {:?}\n{trace}",
                    booked.subject,
                    ours.get(&id)
                ));
            }
        }
        if compared < 60 {
            failures.push(format!("only {compared} places were compared"));
        }
        if failures.is_empty() || began.elapsed() > PATIENCE {
            break failures;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The figures of all runtimes are those that Tokio has.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn figures_are_equal() {
    let mut fixture = TokioFixture::start("1.54.1", TokioFlavour::Dump, &["states"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let began = Instant::now();
    loop {
        let options = ReadOptions { pause: Pause::Nothing, ..ReadOptions::default() };
        let (before, snapshot) = (fixture.metrics(), runtimes::snapshot(&*target, &options).unwrap());
        let scheduler = &snapshot.header.runtimes[0].scheduler;
        let mut ours: Vec<u32> = scheduler.workers.iter().map(|worker| worker.queue).collect();
        let mut theirs: Vec<u32> = before.iter().flat_map(|runtime| runtime.queues.clone()).collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        let threads: u32 = before.iter().map(|runtime| runtime.threads).sum();
        let idle: u32 = before.iter().map(|runtime| runtime.idle).sum();
        let global: u64 = before.iter().map(|runtime| runtime.global).sum();
        let jobs: u64 = before.iter().map(|runtime| runtime.jobs).sum();
        let starved = format!("is starved: {jobs} jobs wait");
        let is_equal = ours == theirs
            && scheduler.global_queue == Some(global)
            && (scheduler.threads, scheduler.idle_threads) == (Some(threads), Some(idle))
            && snapshot.header.warnings.iter().any(|warning| warning.contains(&starved));
        if is_equal {
            assert!(global > 0 && jobs > 0 && theirs.iter().any(|queue| *queue > 0), "{before:?}");
            let timers =
                snapshot.header.runtimes[0].provenance.iter().filter(|line| line.contains("no timers"));
            assert!(timers.count() > 0, "{:?}", snapshot.header.runtimes[0].provenance);
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{before:?}, not {scheduler:?} {:?}", snapshot.header.warnings);
        std::thread::sleep(Duration::from_millis(50));
    }
}
