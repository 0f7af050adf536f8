//! A runtime that nobody knows: its reader says in the model's terms what its tasks wait for and what its functions
//! are for, and leaks are found, locks understood, groups made and all of it shown without a word of it in `src/`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::field_reassign_with_default, reason = "the structs of the model may get more fields")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use loiter::analysis::leaks::{self, Options, Report, Sureness};
use loiter::analysis::{Series, SeriesOptions};
use loiter::snapshot::*;

const SECOND: u64 = 1_000_000_000;

const POURS: &str = "pours into a full flume";
const BIDES: &str = "bides its turn at the weir";
const RESTS: &str = "rests";
const DRY: &str = "ran dry for good";
const SEEP: &str = "brook~seep";
const WELLSPRING: &str = "brook~wellspring";
const ENTER: &str = "brook/weir~enter";
const NOUN: &str = "rill";

/// Words of the runtime that nothing else is called by.
const WORDS: [&str; 6] = [POURS, BIDES, DRY, SEEP, WELLSPRING, ENTER];

/// What a reader of this runtime says of a function, from its name.
fn function(builder: &mut SnapshotBuilder, name: &str) -> FunctionId {
    let (kind, layer, begins) = match name {
        SEEP => (FunctionKind::Internal, Layer::Machinery, Begins::Nothing),
        WELLSPRING => (FunctionKind::Internal, Layer::Machinery, Begins::Task),
        ENTER => (FunctionKind::Normal, Layer::Lock, Begins::Nothing),
        "mill~grind" => (FunctionKind::Normal, Layer::Application, Begins::Program),
        _ => (FunctionKind::Normal, Layer::Application, Begins::Nothing),
    };
    let package = name.split('~').next().unwrap();
    builder.code.function_with(name, package, kind, FunctionRole { layer, begins })
}

fn location(builder: &mut SnapshotBuilder, name: &str) -> LocationId {
    let function = function(builder, name);
    let frame = builder.code.frame(function, "mill.brk", 7);
    // The same function has the same address in every reading.
    let address = name.bytes().fold(7_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    let mut location = Location::in_source(vec![frame]);
    location.address = Some(address);
    builder.code.location(location)
}

/// What a reader of this runtime says of a wait reason.
fn class(reason: &str) -> WaitClass {
    match reason {
        POURS => WaitClass::Send,
        BIDES => WaitClass::Lock,
        RESTS => WaitClass::Sleep,
        DRY => WaitClass::NoCases,
        _ => WaitClass::Other,
    }
}

/// Adds a task that waits in `at`, started by `creator`.
fn task(builder: &mut SnapshotBuilder, id: u64, reason: &str, at: &[&str], creator: &str) -> Task {
    let mut stack = vec![location(builder, SEEP)];
    stack.extend(at.iter().map(|name| location(builder, name)));
    stack.push(location(builder, WELLSPRING));
    let mut task = Task::default();
    task.id = Some(id);
    task.address = 0x7000 + id * 0x100;
    task.state = TaskState::Waiting;
    task.reason = Some(builder.code.string(reason));
    task.wait_class = class(reason);
    task.age = Age::AtLeast(600 * SECOND);
    task.mark = Some(id);
    task.creator = Some(location(builder, creator));
    task.stack = Some(builder.code.stack(stack));
    task.stack_status = StackStatus::Complete;
    task.stack_bytes = 4096;
    task
}

/// A reading `at` seconds after the first.
fn reading(at: u64) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    builder.header.target.pid = Some(7);
    builder.header.target.start_ticks = Some(9);
    builder.header.taken_at_ns = Some((1_000_000 + at) * SECOND);
    builder.header.monotonic_ns = Some((5_000 + at) * SECOND);
    let mut module = Module::default();
    module.path = "mill".to_owned();
    let mut runtime = RuntimeInfo::default();
    runtime.name = "brook".to_owned();
    runtime.version = Some("brook 3".to_owned());
    runtime.task_noun = NOUN.to_owned();
    runtime.module = Some("mill".to_owned());
    runtime.modules = vec![module];
    builder.header.runtimes = vec![runtime];
    // Senders that become more.
    for id in 100..110 + 2 * at {
        let sender = task(&mut builder, id, POURS, &["mill~answer"], "mill~ask");
        builder.task(sender);
    }
    // One that never goes on, and one that only rests.
    let dry = task(&mut builder, 1, DRY, &["mill~forever"], "mill~grind");
    builder.task(dry);
    let rests = task(&mut builder, 2, RESTS, &["mill~tick"], "mill~grind");
    builder.task(rests);
    // A lock that one holds while it waits for ever, and others that wait for it.
    let weir = builder.object(ObjectKind::Mutex, 0x50, |_| None);
    builder.set_lock_state(weir, LockState::Exclusive);
    for id in 10..15 {
        let waits = builder.waits([Wait { op: WaitOp::Lock, object: weir }]);
        let mut waiter = task(&mut builder, id, BIDES, &[ENTER, "mill~store"], "mill~serve");
        waiter.waits = waits;
        builder.task(waiter);
    }
    let place = location(&mut builder, "mill~refresh");
    let holds = builder.holds([Hold { object: weir, how: HoldKind::Exclusive, location: Some(place) }]);
    let mut holder = task(&mut builder, 20, RESTS, &["mill~refresh"], "mill~grind");
    holder.holds = holds;
    builder.task(holder);
    let snapshot = builder.finish();
    assert_eq!(snapshot.validate(), Ok(()));
    snapshot
}

fn report() -> Report {
    let series = Series::of(SeriesOptions::default(), (0..8).map(reading));
    leaks::find(&series, &Options::default()).unwrap()
}

#[test]
fn its_leaks_are_found() {
    let report = report();
    let found = |rule: &str| {
        let of_rule = |finding: &&leaks::Finding| finding.hits.iter().any(|hit| hit.rule == rule);
        report.findings.iter().find(of_rule).unwrap_or_else(|| panic!("no finding of {rule}"))
    };
    let sender = found("send");
    assert_eq!((sender.now, sender.sureness), (24, Sureness::Likely));
    assert_eq!(sender.noun, NOUN);
    let never = found("never");
    assert_eq!((never.now, never.sureness), (1, Sureness::Proven));
    let lock = found("lock");
    assert_eq!((lock.now, lock.sureness), (5, Sureness::Stuck));
    assert_eq!(lock.holders.first().and_then(|holder| holder.task.id), Some(20));
    // What waits for the lock is the program's function, not the lock's own.
    let at = lock.parts.first().and_then(|part| part.at.as_ref()).unwrap();
    assert_eq!(&*at.function, "mill~store");
    assert_eq!(report.findings.len(), 3, "what only rests is no finding");
}

/// Runs the binary on files of the readings.
fn loiter(directory: &Path, arguments: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_loiter")).args(arguments).current_dir(directory).output();
    let output = run.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_is_kept_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let snapshot = reading(0);
    file::save(&snapshot, &here.join("a.loiter")).unwrap();
    assert_eq!(file::load(&here.join("a.loiter")).unwrap(), snapshot, "classes and roles are kept");

    let text = loiter(here, &["stacks", "a.loiter"]);
    for shown in [POURS, BIDES, "mill~store", "rills", "mill~refresh"] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert!(!text.contains(SEEP) && !text.contains(WELLSPRING), "machinery is not shown: {text}");
    let short = loiter(here, &["stacks", "a.loiter", "--short"]);
    let of_lock = short.lines().find(|line| line.contains(BIDES)).unwrap();
    assert!(of_lock.contains("mill~store") && !of_lock.contains(ENTER), "{of_lock}");

    let json = loiter(here, &["stacks", "a.loiter", "--each", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let tasks = document["tasks"].as_array().unwrap();
    for class in ["send", "lock", "sleep", "no-cases"] {
        assert!(tasks.iter().any(|task| task["wait_class"] == class), "{class}");
    }
    // A profile has room for the classes, too.
    loiter(here, &["convert", "a.loiter", "a.pb.gz"]);
    let classes = |snapshot: &Snapshot| {
        let mut all: Vec<_> = snapshot.tasks.iter().map(|task| (task.id, task.wait_class)).collect();
        all.sort_unstable();
        all
    };
    loiter(here, &["convert", "a.pb.gz", "b.loiter"]);
    let again = file::load(&here.join("b.loiter")).unwrap();
    assert_eq!(classes(&again), classes(&snapshot));
    let is_lock = |function: &Function| function.role.layer == Layer::Lock;
    assert!(again.code.functions.iter().any(is_lock), "roles are kept in a profile");
    loiter(here, &["flame", "a.loiter", "-o", "a.svg"]);
    assert!(fs::read_to_string(here.join("a.svg")).unwrap().contains("mill~answer"));
}

/// All Rust sources below a folder.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The string literals of a source without its tests and comments.
fn literals(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code = code.split("#[cfg(test)]\n#[allow(").next().unwrap();
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut rest = line;
        while let Some(start) = rest.find('"') {
            let Some(inside) = rest.get(start + 1..) else { break };
            let mut escaped = false;
            let end = inside.find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let Some(end) = end else { break };
            found.push(inside[..end].to_owned());
            rest = inside.get(end + 1..).unwrap_or_default();
        }
    }
    found
}

/// Is this a word of Go's, Tokio's or the registry's: a wait reason, or a name of a function or package?
fn is_word_of_a_runtime(literal: &str) -> bool {
    const REASONS: &[&str] = &[
        "chan send",
        "chan receive",
        "channel send",
        "channel receive",
        "select (no cases)",
        "IO wait",
        "semacquire",
        "read lock",
        "write lock",
        "blocking call",
        "finalizer wait",
        "force gc",
        "GC ",
        "gc ",
        "(nil chan)",
    ];
    const NAMES: &[&str] = &[
        "runtime.",
        "main.",
        "sync.",
        "time.",
        "net/",
        "net.",
        "os/",
        "internal/",
        "bufio.",
        "context.",
        "io.",
        "database/",
        "testing.",
        "goexit",
        "gopark",
        "tokio",
        "std::",
        "parking_lot",
        "hyper",
        "chanrecv",
        "chansend",
        "selectgo",
    ];
    literal == "notification"
        || REASONS.iter().any(|reason| literal.contains(reason))
        || NAMES.iter().any(|name| literal.starts_with(name))
}

#[test]
fn analysis_and_reports_know_no_words_of_runtimes() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut all, mut wrong, mut seen) = (Vec::new(), Vec::new(), 0);
    sources(&src.join("analysis"), &mut all);
    sources(&src.join("report"), &mut all);
    for path in all {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
        if is_test || name.starts_with("analysis/lore/") {
            continue;
        }
        let found = literals(&fs::read_to_string(&path).unwrap());
        seen += found.len();
        wrong.extend(
            found.into_iter().filter(|text| is_word_of_a_runtime(text)).map(|t| format!("{name}: {t}")),
        );
    }
    assert!(wrong.is_empty(), "these belong to src/words or src/analysis/lore: {wrong:#?}");
    assert!(seen > 500, "only {seen} literals were looked at");
}

#[test]
fn the_check_of_words_can_fail() {
    let source =
        "/// \"runtime.gopark\" in a comment\nlet a = \"an \\\" and\"; let b = name == \"runtime.goexit\";\n";
    assert_eq!(literals(source), ["an \\\" and", "runtime.goexit"]);
    assert_eq!(literals(source).iter().filter(|text| is_word_of_a_runtime(text)).count(), 1);
    assert!(is_word_of_a_runtime("chan send (nil chan)") && !is_word_of_a_runtime("send"));
}

#[test]
fn nobody_knows_this_runtime() {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    assert!(all.len() > 100);
    for path in all {
        let source = fs::read_to_string(&path).unwrap();
        for word in WORDS {
            assert!(!source.contains(word), "{word} in {}", path.display());
        }
    }
}
