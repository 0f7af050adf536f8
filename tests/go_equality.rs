//! What loiter reads equals what the target's own runtime prints, at a moment when nothing moves:
//! every Go version, every build flavour.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::compare::{Printing, differences, profile_differences, report};
use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::import::{DumpGoroutine, GoDump};
use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions};
use loiter::snapshot::{ReadMode, Snapshot, Task, WaitClass};

fn read(pid: u32, pause: Pause) -> Snapshot {
    let target = process::open_pid(pid).unwrap();
    // Deeper than the deepest fixture.
    let options = ReadOptions { max_depth: 20_000, ..common::reading(pause) };
    runtimes::snapshot(target.as_ref(), &options).unwrap()
}

/// What must not change while it is compared: everything but the writer and the passing time.
fn at_rest(dump: &GoDump) -> Vec<DumpGoroutine> {
    let mut goroutines = dump.goroutines.get(1..).unwrap_or_default().to_vec();
    for goroutine in &mut goroutines {
        goroutine.wait_minutes = 0;
        goroutine.scan = false;
    }
    goroutines
}

/// Waits that a dump puts into another class than the process itself. It does not say what channels carry, nor how
/// they are received from, nor that all but one channel of a select are nil; there is no other difference.
fn class_differences(snapshot: &Snapshot, dump: &Snapshot) -> Vec<String> {
    let by_id: HashMap<_, _> = snapshot.tasks.iter().filter_map(|task| Some((task.id?, task))).collect();
    let mut found = Vec::new();
    let mut compared = 0;
    for said in &dump.tasks {
        let Some(task) = said.id.and_then(|id| by_id.get(&id)) else { continue };
        if task.state != said.state || task.stack.is_none() {
            continue;
        }
        let coarse = match task.wait_class {
            WaitClass::Range | WaitClass::Signal => WaitClass::Receive,
            WaitClass::Timer if task.waits.len > 1 => WaitClass::Select,
            WaitClass::Timer => WaitClass::Receive,
            class => class,
        };
        compared += 1;
        let is_select_of_one = said.wait_class == WaitClass::Select && task.waits.len == 1;
        if coarse != said.wait_class && !is_select_of_one {
            let state = common::compare::state_text(snapshot, task);
            found.push(format!(
                "goroutine {:?} in {state}: {:?}, {:?}",
                task.id, task.wait_class, said.wait_class
            ));
        }
    }
    assert!(compared > 10, "{compared}");
    found
}

/// Compares one program that is at rest, in every way of reading it.
fn compare(fixture: &mut Fixture, printing: Printing, what: &str) {
    for (pause, mode) in [
        (Pause::RunningThreads, ReadMode::Live),
        (Pause::Nothing, ReadMode::NoPause),
        (Pause::Everything, ReadMode::Frozen),
    ] {
        for attempt in 0.. {
            let (before, profile) = fixture.dump();
            // What the dump takes of memory may begin a collection, which moves stacks.
            fixture.ask("gc");
            let snapshot = read(fixture.pid(), pause);
            let (after, _) = fixture.dump();
            // One of the runtime's own goroutines may have moved.
            let is_torn = snapshot.header.reading.torn > 0;
            if at_rest(&before) != at_rest(&after) || is_torn && attempt < 10 {
                assert!(attempt < 10, "{what}: the fixture does not come to rest");
                continue;
            }
            assert_eq!(before.other_lines, 0, "{what}: the dump was not understood");
            assert_eq!(profile.other_lines, 0, "{what}: the profile was not understood");
            let writer = before.goroutines[0].id;
            let mut found = differences(&snapshot, &before, printing);
            found.extend(class_differences(&snapshot, &Snapshot::from(&before)));
            found.extend(profile_differences(&snapshot, &profile, writer, printing));
            assert!(found.is_empty(), "{}", report(&format!("{what}, {mode:?}"), &found));
            assert_eq!(snapshot.header.reading.mode, mode, "{what}");
            assert_eq!(snapshot.header.reading.torn, 0, "{what}");
            break;
        }
    }
}

/// What loiter should say of a build.
fn traits(flavour: Flavour) -> &'static [&'static str] {
    match flavour {
        Flavour::Plain | Flavour::X86_32 => &[],
        Flavour::Stripped => &["stripped"],
        Flavour::Pie => &["pie"],
        Flavour::PieStripped => &["stripped", "pie"],
        Flavour::Cgo | Flavour::CgoInternal => &["cgo"],
        Flavour::CgoStripped => &["stripped", "cgo"],
        Flavour::CgoPie => &["pie", "cgo"],
        Flavour::Trimpath => &["trimpath"],
    }
}

/// The figures in the header equal those that the program has of itself.
fn compare_figures(fixture: &mut Fixture, toolchain: &Toolchain, flavour: Flavour, what: &str) {
    let mut attempt = 0;
    let (snapshot, figures) = loop {
        let before = fixture.memstats();
        let snapshot = read(fixture.pid(), Pause::RunningThreads);
        if before == fixture.memstats() {
            break (snapshot, before);
        }
        attempt += 1;
        assert!(attempt < 50, "{what}: the memory figures do not come to rest");
    };
    let runtime = &snapshot.header.runtimes[0];
    assert_eq!(runtime.name, "go", "{what}");
    assert_eq!(runtime.version.as_ref(), Some(&toolchain.full_version), "{what}");
    assert_eq!(runtime.module.as_deref(), Some("fixtures"), "{what}: main package");
    assert_eq!(runtime.flavour, traits(flavour), "{what}: kind of build");
    let heap = runtime.heap.as_ref().unwrap_or_else(|| panic!("{what}: no heap figures"));
    assert_eq!(heap.in_use, Some(figures.heap_inuse), "{what}: heap in use");
    assert_eq!(heap.next_gc, Some(figures.next_gc), "{what}: next GC");
    assert_eq!(heap.collections, Some(figures.num_gc), "{what}: collections");
    assert_eq!(heap.last_pause_ns, Some(figures.last_pause_ns), "{what}: last pause");
    let scheduler = &runtime.scheduler;
    assert_eq!(scheduler.max_workers, Some(figures.gomaxprocs), "{what}: GOMAXPROCS");
    assert_eq!(scheduler.workers.len(), figures.gomaxprocs as usize, "{what}: Ps");
    assert_eq!(scheduler.threads, Some(figures.threads_made), "{what}: Ms");
    // NumGoroutine leaves out every goroutine that was the runtime's when it started, those that run
    // the program's finalizers and cleanups at the moment too.
    let helper =
        |entry: &str| matches!(entry, "runtime.runfinq" | "runtime.runFinalizers" | "runtime.runCleanups");
    let of_program =
        |t: &&Task| !t.system && !t.entry.is_some_and(|entry| helper(snapshot.function_name(entry)));
    let program = snapshot.tasks.iter().filter(of_program).count() as u64;
    assert_eq!(program, figures.goroutines, "{what}: goroutines");
    let created = scheduler.tasks_created.unwrap_or_else(|| panic!("{what}: goroutines created"));
    assert!(created >= snapshot.tasks.len() as u64, "{what}: {created} goroutines created");
    let threads = common::threads::states(fixture.pid()).len() as u32;
    assert_eq!(snapshot.header.process.threads, Some(threads), "{what}: threads");
}

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let program = build(&toolchain, Program::Fixtures, flavour);
    let mut fixture = Fixture::start(&program, &["all"]);
    let printing = Printing { minor: toolchain.minor() };
    compare(&mut fixture, printing, &what);
    compare_figures(&mut fixture, &toolchain, flavour, &what);
}

/// The program that imports almost nothing cannot be asked; what it must hold is known.
fn check_tiny(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} tiny {flavour:?}", toolchain.full_version);
    let fixture = Fixture::start(&build(&toolchain, Program::Tiny, flavour), &[]);
    let printing = Printing { minor: toolchain.minor() };
    let seen = |snapshot: &Snapshot| {
        let text = |task: &Task| {
            let frames = printing.visible(snapshot, snapshot.stack_of(task));
            let functions: Vec<_> = frames.into_iter().map(|frame| frame.function).collect();
            (common::compare::state_text(snapshot, task), functions.join(" < "))
        };
        let mut seen: Vec<_> = snapshot.tasks.iter().filter(|task| !task.system).map(text).collect();
        seen.sort();
        seen
    };
    let waits = ("chan receive".to_owned(), "main.wait".to_owned());
    let sleeps = ("sleep".to_owned(), "time.Sleep < main.main".to_owned());
    let expected = [waits.clone(), waits.clone(), waits, sleeps];
    let began = Instant::now();
    // It says that it is ready a little before its goroutines wait.
    let snapshot = loop {
        let snapshot = read(fixture.pid(), Pause::RunningThreads);
        if seen(&snapshot) == expected || began.elapsed() > Duration::from_secs(60) {
            break snapshot;
        }
    };
    assert_eq!(seen(&snapshot), expected, "{what}");
    assert_eq!(snapshot.header.runtimes[0].version.as_ref(), Some(&toolchain.full_version), "{what}");
}

matrix!(
    snapshots_equal_what_the_runtime_prints,
    check,
    quick: [Plain, Stripped, PieStripped],
    full: [Plain, Stripped, Pie, PieStripped, Cgo, CgoStripped, CgoPie, Trimpath],
);

matrix!(
    tiny_programs_are_read,
    check_tiny,
    quick: [Plain, Stripped, PieStripped],
    full: [Plain, Stripped, Pie, PieStripped, Trimpath],
);
