//! Registries in real processes: in C, in shared libraries, several at once, beside Go, after a fork.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use loiter::process;
use loiter::runtimes::{self, Pause};
use loiter::snapshot::{ObjectKind, Snapshot, StackStatus, Task, TaskState, WaitOp};

mod common;
#[path = "registry/programs.rs"]
mod programs;

use programs::{Running, Workshop, rust_library};

const PAUSES: [Pause; 3] = [Pause::RunningThreads, Pause::Nothing, Pause::Everything];

fn try_read(pid: u32, pause: Pause) -> loiter::Result<Snapshot> {
    let target = process::open_pid(pid)?;
    let snapshot = runtimes::snapshot(target.as_ref(), &common::reading(pause))?;
    snapshot.validate().unwrap();
    Ok(snapshot)
}

fn read(pid: u32) -> Snapshot {
    let snapshot = try_read(pid, Pause::default()).unwrap();
    assert_eq!(snapshot.header.warnings, Vec::<String>::new());
    snapshot
}

fn name<'a>(snapshot: &'a Snapshot, task: &Task) -> &'a str {
    let pairs = task.labels.map_or(&[][..], |id| &snapshot.code.label_sets[id.index()].pairs);
    let name = pairs.iter().find(|&&(key, _)| snapshot.str(key) == "name");
    name.map_or("", |&(_, value)| snapshot.str(value))
}

/// Innermost first.
fn functions<'a>(snapshot: &'a Snapshot, task: &Task) -> Vec<&'a str> {
    let frames = snapshot.stack_of(task).iter().flat_map(|id| &snapshot.code.locations[id.index()].frames);
    frames.map(|frame| snapshot.function_name(frame.function)).collect()
}

/// For each runtime: what sets it apart, and its tasks by name.
fn by_runtime(snapshot: &Snapshot) -> Vec<(Vec<&str>, Vec<&str>)> {
    let mut all: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for runtime in &snapshot.header.runtimes {
        all.push((runtime.flavour.iter().map(String::as_str).collect(), Vec::new()));
    }
    for task in &snapshot.tasks {
        all[usize::from(task.runtime)].1.push(name(snapshot, task));
    }
    all.sort();
    all
}

/// What the real binary prints.
fn loiter(arguments: &[&str], pid: u32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    let output = command.args(arguments).arg(pid.to_string()).env("NO_COLOR", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_c_example() {
    let workshop = Workshop::new();
    for (build, flags) in [
        ("pie", &["-O2", "-pie", "-fPIE", "-s"][..]),
        ("fixed", &["-O0", "-no-pie", "-fno-pie"]),
        ("sections", &["-O2", "-flto", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-s"]),
    ] {
        let example = workshop.c("registry/examples/c/queue.c", build, flags);
        let running = Running::start::<&str>(&example, &[]);
        for pause in PAUSES {
            check_queue(&try_read(running.pid(), pause).unwrap(), running.pid());
        }
        let text = loiter(&["stacks"], running.pid());
        assert!(text.contains("1,002 tasks in 3 groups"), "{build}: {text}");
        assert!(text.contains("writing an item"), "{build}: {text}");
    }
}

fn check_queue(snapshot: &Snapshot, pid: u32) {
    let runtime = &snapshot.header.runtimes[0];
    assert_eq!(
        (runtime.name.as_str(), runtime.version.as_deref()),
        ("registry", Some("loiter_registry.h 1.0"))
    );
    assert_eq!(runtime.flavour, ["event loop", "queue"]);
    assert_eq!(runtime.scheduler.tasks_created, Some(2002));
    assert_eq!(snapshot.tasks.len(), 1002);
    let [producer, worker, client, ..] = snapshot.tasks.as_slice() else { panic!("{:?}", snapshot.tasks) };
    assert_eq!([producer, worker, client].map(|task| name(snapshot, task)), ["producer", "worker", "client"]);
    assert_eq!(functions(snapshot, producer), ["writing an item", "filling the queue"]);
    assert_eq!(producer.stack_status, StackStatus::Complete);
    assert_eq!(producer.reason.map(|id| snapshot.str(id)), Some("the queue is full"));
    assert_eq!((producer.state, producer.polls, producer.thread), (TaskState::Waiting, Some(1), None));
    assert_eq!((worker.state, worker.parent, worker.thread), (TaskState::Running, producer.id, Some(pid)));
    assert_eq!((client.parent, client.reason.map(|id| snapshot.str(id))), (worker.id, Some("lock")));
    let wait = snapshot.waits_of(client)[0];
    let lock = snapshot.objects[wait.object.index()];
    assert_eq!((wait.op, lock.kind), (WaitOp::Lock, ObjectKind::Mutex));
    let place = snapshot.code.locations[worker.creator.unwrap().index()].frames[0];
    assert!(snapshot.str(place.file).ends_with("examples/c/queue.c"));
    assert!(
        snapshot.tasks.iter().skip(2).all(|task| task.state == TaskState::Waiting && task.polls == Some(1))
    );
}

#[test]
fn a_library_that_is_loaded_brings_its_registry() {
    let workshop = Workshop::new();
    let running = Running::start(&workshop.host(), &[workshop.c_library("first")]);
    let snapshot = read(running.pid());
    let workers = vec!["worker of first"; 3];
    // The program's own registry was never used: it is none.
    assert_eq!(by_runtime(&snapshot), [(vec!["thread pool", "first", "in libfirst.so"], workers)]);
    for task in &snapshot.tasks {
        assert_eq!(functions(&snapshot, task), ["fetching"]);
    }
}

/// Of the program, of two libraries in C and of one in Rust, which has two.
#[test]
fn several_registries_in_one_process() {
    let workshop = Workshop::new();
    let libraries = [workshop.c_library("first"), workshop.c_library("second"), rust_library()];
    let mut arguments = vec![Path::new("own")];
    arguments.extend(libraries.iter().map(|path| path.as_path()));
    let running = Running::start(&workshop.host(), &arguments);
    for pause in PAUSES {
        let snapshot = try_read(running.pid(), pause).unwrap();
        assert_eq!(
            by_runtime(&snapshot),
            [
                (vec!["actors", "mail", "in liblibrary.so"], vec!["mailbox", "log"]),
                (vec!["event loop", "host"], vec!["main loop", "job"]),
                (vec!["in liblibrary.so"], vec!["timer"]),
                (vec!["thread pool", "first", "in libfirst.so"], vec!["worker of first"; 3]),
                (vec!["thread pool", "second", "in libsecond.so"], vec!["worker of second"; 3]),
            ]
        );
        assert_eq!(snapshot.header.warnings, Vec::<String>::new());
    }
    let text = loiter(&["stacks", "--each"], running.pid());
    for of in ["event loop host", "thread pool first in libfirst.so", "actors mail in liblibrary.so"] {
        assert!(text.lines().any(|line| line.starts_with("task 1 ") && line.ends_with(of)), "{of}: {text}");
    }
    let text = loiter(&["stacks"], running.pid());
    assert!(text.contains("runtime loiter_registry.h 1.0 thread pool second in libsecond.so"), "{text}");
}

/// Waits until the goroutines wait: the last one may still be on its way when the program says that it is ready.
fn until_parked(pid: u32) {
    let begun = Instant::now();
    loop {
        let snapshot = try_read(pid, Pause::default()).unwrap();
        let is_parked = |task: &&Task| {
            task.state == TaskState::Waiting && functions(&snapshot, task).contains(&"main.parked")
        };
        if snapshot.tasks.iter().filter(is_parked).count() == 4 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", snapshot.tasks);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Goroutines and fibers, each saying which they are.
fn check_both(snapshot: &Snapshot, version: &str, in_library: bool) {
    let [go, fibers] = snapshot.header.runtimes.as_slice() else { panic!("{:?}", snapshot.header.runtimes) };
    assert_eq!((go.name.as_str(), go.task_noun.as_str()), ("go", "goroutine"));
    let found = go.version.as_deref().unwrap_or_default();
    assert!(found.starts_with(&format!("go{version}")), "{found}");
    assert_eq!((fibers.name.as_str(), fibers.task_noun.as_str()), ("registry", "task"));
    let library: &[&str] = if in_library { &["in libboth.so"] } else { &[] };
    assert_eq!(fibers.flavour, [&["fibers", "c part"][..], library].concat());
    let parked: Vec<_> =
        snapshot.tasks.iter().filter(|task| functions(snapshot, task).contains(&"main.parked")).collect();
    assert_eq!(parked.len(), 4);
    assert!(parked.iter().all(|task| task.runtime == 0 && task.stack_status == StackStatus::Complete));
    let fibers: Vec<_> = snapshot.tasks.iter().filter(|task| task.runtime == 1).collect();
    assert_eq!(fibers.len(), 2);
    for fiber in fibers {
        assert_eq!((name(snapshot, fiber), functions(snapshot, fiber)), ("fiber", vec!["polling"]));
    }
    assert_eq!(snapshot.header.warnings, Vec::<String>::new());
}

fn check_both_printed(pid: u32, version: &str) {
    let text = loiter(&["stacks", "--each"], pid);
    let heads: Vec<_> =
        text.lines().filter(|line| line.starts_with("task ") || line.starts_with("goroutine ")).collect();
    let of = |line: &&&str, which: &str| line.contains(which);
    let fibers = heads.iter().filter(|line| of(line, "loiter_registry.h 1.0 fibers c part")).count();
    let goroutines = heads.iter().filter(|line| of(line, &format!("  go{version}"))).count();
    assert_eq!((fibers, fibers + goroutines), (2, heads.len()), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&loiter(&["stacks", "--format", "json"], pid)).unwrap();
    for group in json["groups"].as_array().unwrap() {
        let parked = group["stack"].to_string().contains("main.parked");
        let runtime = group["runtimes"][0]["runtime"].as_str().unwrap();
        assert!(!parked || runtime == "go", "{group}");
        assert_eq!(runtime == "registry", group["stack"].to_string().contains("polling"), "{group}");
    }
}

#[test]
fn go_and_a_registry_in_one_program() {
    let workshop = Workshop::new();
    for version in common::QUICK_VERSIONS {
        for (build, flags) in [("plain", &[][..]), ("stripped-pie", &["-buildmode=pie", "-ldflags=-s -w"])] {
            let program = workshop.go(version, &format!("both-{build}-{version}"), flags);
            let running = Running::start::<&str>(&program, &[]);
            until_parked(running.pid());
            for pause in PAUSES {
                check_both(&try_read(running.pid(), pause).unwrap(), version, false);
            }
            check_both_printed(running.pid(), version);
        }
    }
}

#[test]
fn go_and_a_registry_in_a_library() {
    let workshop = Workshop::new();
    for version in common::QUICK_VERSIONS {
        let library = workshop.go(version, "libboth.so", &["-buildmode=c-shared"]);
        let running = Running::start(&workshop.host(), &[library]);
        until_parked(running.pid());
        for pause in PAUSES {
            check_both(&try_read(running.pid(), pause).unwrap(), version, true);
        }
        check_both_printed(running.pid(), version);
    }
}

/// Waits until all children have begun.
fn begun(running: &mut Running) -> Vec<u32> {
    let children = running.children();
    while running.said.iter().filter(|line| *line == "begun").count() < children.len() {
        let line = running.line();
        running.said.push(line);
    }
    children
}

#[test]
fn the_child_of_a_fork_has_its_own_tasks_only() {
    let workshop = Workshop::new();
    let mut running = Running::start(&workshop.host(), &["own", "fork", "copy"]);
    let [told, untold] = begun(&mut running)[..] else { panic!("{:?}", running.said) };
    assert_eq!(by_runtime(&read(running.pid()))[0].1, ["main loop", "job"]);
    let child = read(told);
    assert_eq!(by_runtime(&child)[0].1, ["of the child"]);
    assert_eq!(child.tasks[0].id, Some(1));

    let loiter::Error::NoRuntime { looked_at, .. } = try_read(untold, Pause::default()).unwrap_err() else {
        panic!("the copy passes for the child's own");
    };
    let copy =
        format!("is a copy that process {untold} got when it was forked from process {}", running.pid());
    assert!(looked_at.iter().any(|line| line.contains(&copy)), "{looked_at:?}");
    assert!(!looked_at.iter().any(|line| line.contains("no image has the note")), "{looked_at:?}");
}

/// What the child loaded itself is read; that something was left out is said.
#[test]
fn a_copy_hides_nothing_that_is_the_childs_own() {
    let workshop = Workshop::new();
    let library = workshop.c_library("first");
    let arguments = [Path::new("own"), Path::new("copy"), library.as_path()];
    let mut running = Running::start(&workshop.host(), &arguments);
    let [child] = begun(&mut running)[..] else { panic!("{:?}", running.said) };
    assert_eq!(by_runtime(&read(running.pid()))[0].1, ["main loop", "job"]);
    let snapshot = try_read(child, Pause::default()).unwrap();
    let workers = vec!["worker of first"; 3];
    assert_eq!(by_runtime(&snapshot), [(vec!["thread pool", "first", "in libfirst.so"], workers)]);
    let [warning] = snapshot.header.warnings.as_slice() else { panic!("{:?}", snapshot.header.warnings) };
    assert!(warning.contains(&format!("got when it was forked from process {}", running.pid())), "{warning}");
}
