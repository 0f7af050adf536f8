//! Goroutines that never stop running: their stacks come from their threads' registers.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use common::{Fixture, Flavour, Program, Toolchain, amount, build, matrix};
use loiter::process;
use loiter::runtimes::{Pause, Readable};
use loiter::snapshot::{Snapshot, StackStatus, Task, TaskState};

/// Outermost functions of the spinners and how many frames of the same function they keep.
const SPINNERS: [(&str, usize); 5] = [
    ("fixtures/spinners.tight", 1),
    ("fixtures/spinners.calling", 1),
    ("fixtures/spinners.descend", 51),
    ("fixtures/spinners.yielding", 1),
    ("fixtures/spinners.clocking", 1),
];

fn names<'a>(snapshot: &'a Snapshot, task: &Task) -> Vec<&'a str> {
    snapshot
        .stack_of(task)
        .iter()
        .flat_map(|id| &snapshot.code.locations[id.index()].frames)
        .map(|frame| snapshot.function_name(frame.function))
        .collect()
}

/// The spinner that a task is, known by its entry function; `go f(x)` may have a wrapper for it.
fn spinner_of(snapshot: &Snapshot, task: &Task) -> Option<bool> {
    let creator = snapshot.code.locations.get(task.creator?.index())?;
    let outer = creator.frames.last()?;
    (snapshot.function_name(outer.function) == "fixtures/spinners.Start").then_some(true)
}

fn check_stack(names: &[&str]) -> Result<&'static str, String> {
    for (function, frames) in SPINNERS {
        let count = names.iter().filter(|name| **name == function).count();
        if count == 0
            || (function == "fixtures/spinners.calling" && names.contains(&"fixtures/spinners.descend"))
        {
            continue;
        }
        // Going down and coming up again would change it, but descend only ever goes down.
        if count != frames {
            return Err(format!("{count} frames of {function}, not {frames}: {names:#?}"));
        }
        // From 1.27 on some of the runtime's closures are in a package called "_": `_.goready.func1`.
        let known = [
            "runtime.",
            "runtime/",
            "internal/",
            "fixtures/spinners.",
            "time.",
            "strconv.",
            "sync/atomic.",
            // A goroutine that begins a collection clears the pools.
            "sync.",
            "_.",
        ];
        if let Some(strange) =
            names.iter().find(|name| name.contains('.') && !known.iter().any(|k| name.starts_with(k)))
        {
            return Err(format!("{strange} is no part of it: {names:#?}"));
        }
        return Ok(function);
    }
    Err(format!("no spinner at all: {names:#?}"))
}

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Fixtures, flavour), &["spinners"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    for pause in [Pause::RunningThreads, Pause::Nothing, Pause::Everything] {
        let options = common::reading(pause);
        let mut statuses: BTreeMap<String, u32> = BTreeMap::new();
        let mut running = 0;
        let mut incomplete = Vec::new();
        for _ in 0..amount("LOITER_RUNNING_SNAPSHOTS", 20, 30) {
            let snapshot = readable.read(target.as_ref(), &options).unwrap();
            let spinners = snapshot.tasks.iter().filter(|t| spinner_of(&snapshot, t).is_some());
            let spinners: Vec<_> = spinners.collect();
            // One that moves all the time is there, too.
            assert_eq!(spinners.len(), SPINNERS.len(), "{what}, {pause:?}");
            let mut seen = Vec::new();
            for task in spinners {
                *statuses.entry(format!("{:?} {:?}", task.state, task.stack_status)).or_default() += 1;
                running += u32::from(task.state == TaskState::Running);
                if task.stack_status == StackStatus::Complete {
                    match check_stack(&names(&snapshot, task)) {
                        Ok(function) => seen.push(function),
                        Err(problem) => panic!("{what}, {pause:?}: {problem}"),
                    }
                    if task.state == TaskState::Running && pause == Pause::Everything {
                        assert!(task.thread.is_some(), "{what}: a running goroutine has a thread");
                    }
                } else if pause == Pause::Everything {
                    let (state, status) = (task.state, task.stack_status);
                    incomplete.push(format!("{state:?} {status:?} {:?}", names(&snapshot, task)));
                }
            }
            seen.sort_unstable();
            seen.dedup();
            if pause == Pause::Everything {
                assert_eq!(
                    seen.len(),
                    SPINNERS.len(),
                    "{what}: frozen, every spinner is seen: {seen:?}, not {incomplete:#?}"
                );
            }
        }
        eprintln!("{what}, {pause:?}: {statuses:?}");
        assert!(running > 0, "{what}, {pause:?}: none was ever running");
        let complete: u32 =
            statuses.iter().filter(|(k, _)| *k == "Running Complete").map(|(_, count)| count).sum();
        match pause {
            // Without registers a running goroutine has no stack.
            Pause::Nothing => assert_eq!(complete, 0, "{what}: {statuses:?}"),
            // Some may have moved on between two looks; most have not.
            _ => assert!(complete * 2 > running, "{what}, {pause:?}: {statuses:?}"),
        }
    }
    // The target runs on, as soon as it gets a CPU.
    let (before, began) = (fixture.counter("tight"), Instant::now());
    while fixture.counter("tight") == before {
        assert!(began.elapsed() < Duration::from_secs(120), "{what}: the target does not run on");
        thread::sleep(Duration::from_millis(10));
    }
}

matrix!(goroutines_that_run_are_read_from_their_threads, check, quick: [Stripped], spread: [Pie, Cgo]);
