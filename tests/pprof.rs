//! pprof profiles: Go's are read as the live process, loiter's are taken by Go's own tool, and what is
//! written is read again.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;
mod samples;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, build};
use loiter::import::{GoProfile, pprof as reader};
use loiter::process;
use loiter::report::{pprof, profile};
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::*;
use proptest::prelude::*;

fn all(snapshot: &Snapshot) -> Vec<u32> {
    (0..snapshot.tasks.len() as u32).collect()
}

/// The program's tasks.
fn of_program(snapshot: &Snapshot) -> Vec<u32> {
    all(snapshot).into_iter().filter(|&index| !snapshot.tasks[index as usize].system).collect()
}

fn written(snapshot: &Snapshot, tasks: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    pprof::write(snapshot, tasks, &mut bytes).unwrap();
    bytes
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    function: String,
    package: String,
    kind: String,
    file: String,
    line: u32,
    /// Of the return; None if profiles have no room for it.
    address: Option<u64>,
}

/// The frames that Go's traceback walks over.
fn frames(snapshot: &Snapshot, task: &Task) -> Vec<Line> {
    let (mut lines, mut callee) = (Vec::new(), FunctionKind::Normal);
    for location in snapshot.stack_of(task).iter().map(|id| &snapshot.code.locations[id.index()]) {
        let raises = |kind| matches!(kind, FunctionKind::Panic | FunctionKind::Fault);
        let mut kinds = vec![callee];
        kinds.extend(location.frames.iter().map(|f| snapshot.code.functions[f.function.index()].kind));
        // Of what is inlined into one place, all adapters are kept or none.
        let keep = kinds.windows(2).any(|pair| pair[1] == FunctionKind::Wrapper && raises(pair[0]));
        callee = *kinds.last().unwrap();
        for frame in &location.frames {
            let line = line(snapshot, location, frame);
            if (keep || line.kind != "Wrapper") && line.function != "runtime.goexit" {
                lines.push(line);
            }
        }
    }
    lines
}

fn line(snapshot: &Snapshot, location: &Location, frame: &Frame) -> Line {
    let function = snapshot.code.functions[frame.function.index()];
    Line {
        function: snapshot.str(function.name).to_owned(),
        package: snapshot.str(function.package).to_owned(),
        kind: format!("{:?}", function.kind),
        file: snapshot.str(frame.file).to_owned(),
        line: frame.line,
        address: location.address.filter(|&address| address > 1),
    }
}

/// Frames and labels.
type Group = (Vec<Line>, Vec<(String, String)>);

/// Stacks (no more of them than every Go keeps) and labels, counted; without the goroutine that wrote
/// the profile, and without what it is doing while loiter looks.
fn groups(snapshot: &Snapshot) -> BTreeMap<Group, u64> {
    let mut groups = BTreeMap::new();
    for task in snapshot.tasks.iter().filter(|task| !task.system) {
        let mut frames = frames(snapshot, task);
        if !frames.iter().any(|f| f.function == "fixtures/truth.Serve") {
            frames.truncate(30);
            *groups.entry((frames, common::compare::labels(snapshot, task))).or_default() += task.count();
        }
    }
    groups
}

fn read_live(pid: u32) -> Snapshot {
    let target = process::open_pid(pid).unwrap();
    runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap()
}

fn start(version: &str) -> (Toolchain, Fixture) {
    let toolchain = Toolchain::get(version);
    let program = build(&toolchain, Program::Fixtures, Flavour::Plain);
    (toolchain, Fixture::start(&program, &["all"]))
}

#[test]
fn a_profile_that_go_wrote_equals_the_live_process() {
    for version in QUICK_VERSIONS {
        let (toolchain, mut fixture) = start(version);
        let (live, bytes) = (read_live(fixture.pid()), fixture.pprof());
        let read = reader::read(&bytes).unwrap();
        assert_eq!(read.header.target.source, SourceKind::Profile);
        assert_eq!(read.header.target.exe, live.header.target.exe);
        assert!(read.header.taken_at_ns >= live.header.taken_at_ns);
        let found = &read.header.runtimes[0].version;
        assert!(
            found.as_ref().is_none_or(|found| toolchain.full_version.starts_with(found.as_str())),
            "{found:?}"
        );
        assert_eq!(read.task_count(), of_program(&live).len() as u64, "{version}");
        let (ours, theirs) = (groups(&live), groups(&read));
        for key in ours.keys().chain(theirs.keys()) {
            let (a, b) = (ours.get(key), theirs.get(key));
            assert_eq!(a, b, "{}: live, read from the profile: {key:?}", toolchain.full_version);
        }
        let cut = count_tasks(read.tasks.iter().filter(|task| task.stack_status == StackStatus::Truncated));
        assert!(cut >= 3, "{version}: the deep stacks are cut, and said to be");
    }
}

/// Runs `go tool pprof` on a file; it must say nothing on stderr.
fn tool(toolchain: &Toolchain, arguments: &[&str], file: &Path) -> String {
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).chain([file.as_os_str()]).collect();
    let output = toolchain.pprof(&arguments);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it says of functions, without what differs between two profiles of one process at rest. Go's
/// have type arguments.
fn without_head(text: &str) -> Vec<String> {
    let skipped = ["File: ", "Build ID: ", "Time: "];
    let lines = text.lines().filter(|line| !skipped.iter().any(|head| line.starts_with(head)));
    lines
        .map(|line| match (line.find('['), line.rfind(']')) {
            (Some(open), Some(close)) => format!("{}[...]{}", &line[..open], &line[close + 1..]),
            _ => line.to_owned(),
        })
        .collect()
}

#[test]
fn gos_tool_takes_what_loiter_writes() {
    let mut fixture = start(QUICK_VERSIONS[1]).1;
    let directory = tempfile::tempdir().unwrap();
    let (ours, gos) = (directory.path().join("ours.pb.gz"), directory.path().join("gos.pb.gz"));
    fs::write(&gos, fixture.pprof()).unwrap();
    let live = read_live(fixture.pid());
    let tasks = of_program(&live);
    fs::write(&ours, written(&live, &tasks)).unwrap();
    for version in QUICK_VERSIONS {
        let toolchain = Toolchain::get(version);
        // Deeper than Go looks, of several types in one, and what asks and is asked.
        let ignore = "-ignore=fixtures/(truth|recursion|generics|wrappers)|iter.Pull";
        let top = |file| tool(&toolchain, &["-top", "-nodecount=1000", ignore], file);
        assert_eq!(without_head(&top(&ours)), without_head(&top(&gos)), "{version}");
        let text = tool(&toolchain, &["-top"], &ours);
        assert!(text.contains(&format!(" of {} total", tasks.len())), "{version}: {text}");
        assert!(text.contains("Type: goroutine\n"), "{version}: {text}");
        for arguments in [&["-tree"][..], &["-traces"], &["-raw"], &["-tags"], &["-dot"], &["-peek=gopark"]] {
            assert!(!tool(&toolchain, arguments, &ours).is_empty());
        }
        let base = format!("-diff_base={}", gos.display());
        let difference = tool(&toolchain, &["-top", &base, ignore], &ours);
        assert!(difference.contains("Showing nodes accounting for 0, 0% of"), "{version}: {difference}");
        let waiting = live.tasks.iter().filter(|t| !t.system && t.state == TaskState::Waiting).count();
        let focused = tool(&toolchain, &["-top", "-tagfocus=state=waiting"], &ours);
        assert!(focused.contains(&format!("accounting for {waiting}, ")), "{version}: {focused}");
        let by_creator = tool(&toolchain, &["-traces", "-tagfocus=created_by=fixtures/locks"], &ours);
        assert!(by_creator.contains("sync.(*Mutex).Lock"), "{version}: {by_creator}");
    }
}

#[test]
fn the_text_that_loiter_writes_is_what_go_writes() {
    for version in QUICK_VERSIONS {
        let (toolchain, mut fixture) = start(version);
        let (live, (dump, gos)) = (read_live(fixture.pid()), fixture.dump_text());
        let mut ours = Vec::new();
        profile::write(&live, &of_program(&live), &mut ours).unwrap();
        let ours = String::from_utf8(ours).unwrap();
        // To the last tab the same where nothing is inlined and nothing is cut.
        let gos_records: Vec<_> = gos.split("\n\n").collect();
        let plain = plain_records(&ours);
        assert!(plain.len() > 20, "{version}: {plain:#?}");
        for record in plain {
            assert!(gos_records.contains(&record), "{version}: {record}\n\n{gos}");
        }
        // As a whole the same to the reader.
        let (dump, parsed) =
            (loiter::import::GoDump::parse(dump.as_bytes()), GoProfile::parse(ours.as_bytes()));
        assert_eq!(parsed.other_lines, 0);
        assert_eq!(parsed.total, GoProfile::parse(gos.as_bytes()).total);
        let printing = common::compare::Printing { minor: toolchain.minor() };
        let writer = dump.goroutines[0].id;
        let mut found = common::compare::profile_differences(&live, &parsed, writer, printing);
        // Here it does not write, but waits to be asked.
        found.retain(|difference| !difference.contains("function: \"syscall."));
        assert!(found.is_empty(), "{}", common::compare::report(version, &found));
    }
}

/// The records of some subjects in which nothing is inlined.
fn plain_records(text: &str) -> Vec<&str> {
    let subjects = ["channels", "creators", "panics"];
    let inlined = |record: &str| {
        let addresses: Vec<_> =
            record.lines().filter_map(|line| line.strip_prefix("#\t")?.split('\t').next()).collect();
        addresses.windows(2).any(|pair| pair[0] == pair[1])
    };
    let of_subject = |record: &&str| {
        subjects.iter().any(|subject| record.contains(&format!("\tfixtures/{subject}.")))
            && !record.contains("fixtures/truth.Serve")
            && !inlined(record)
    };
    text.split("\n\n").filter(of_subject).collect()
}

/// All that a profile can hold of a task.
fn described(snapshot: &Snapshot, task: &Task) -> String {
    let frames = frames(snapshot, task);
    let creator = task.creator.map(|id| {
        let location = &snapshot.code.locations[id.index()];
        Line { address: None, ..line(snapshot, location, &location.frames[0]) }
    });
    let said = (task.id, task.state, task.reason.map(|id| snapshot.str(id)), task.parent, task.stack_status);
    let facts = (task.runtime, task.locked_to_thread, task.system, task.leaked);
    let seconds = task.age.nanos().map(|ns| ns / 1_000_000_000);
    format!(
        "{said:?} {facts:?} {seconds:?} {creator:?} {:?} {frames:#?}",
        common::compare::labels(snapshot, task)
    )
}

fn descriptions(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in &snapshot.tasks {
        *all.entry(described(snapshot, task)).or_default() += task.count();
    }
    all
}

fn check_round_trip(snapshot: &Snapshot) {
    let mut raw = Vec::new();
    pprof::write_raw(snapshot, &all(snapshot), &mut raw).unwrap();
    assert!(reader::looks_like_pprof(&raw));
    let read = reader::read(&raw).unwrap();
    let mut header = snapshot.header.clone();
    header.target.source = SourceKind::Profile;
    assert_eq!(read.header, header);
    assert_eq!(descriptions(&read), descriptions(snapshot));
    let ages = read.tasks.iter().all(|task| !matches!(task.age, Age::Exactly(_)));
    assert!(ages, "whole seconds are at least so many");
    assert_eq!(reader::read(&written(snapshot, &all(snapshot))).unwrap(), read);
}

#[test]
fn samples_are_read_as_they_were_written() {
    for snapshot in [samples::server(), samples::hostile(), samples::many(1000)] {
        check_round_trip(&snapshot);
    }
}

#[test]
fn a_programs_labels_are_not_mistaken_for_loiters() {
    let mut m = samples::Maker::new();
    let keys = ["id", "state", "is", "label:state", "label:", "runtime", ""];
    let labels = m.builder.code.labels(keys.map(|key| (key, "7")));
    m.builder.task(samples::with!(samples::task(0); labels: Some(labels)));
    check_round_trip(&m.finish());
}

#[test]
fn equal_tasks_without_ids_are_one_sample() {
    let mut m = samples::Maker::new();
    let stack = m.stack(&[samples::GOPARK]);
    for reason in ["select", "select", "sleep"] {
        let task = m.waiting(1, reason, Age::Unknown, stack);
        m.builder.task(samples::with!(task; id: None));
    }
    let snapshot = m.finish();
    check_round_trip(&snapshot);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pb.gz");
    fs::write(&path, written(&snapshot, &all(&snapshot))).unwrap();
    let text = tool(&Toolchain::get(QUICK_VERSIONS[1]), &["-raw"], &path);
    assert!(text.contains("\n          2: 1 \n"), "{text}");
}

#[test]
fn places_without_addresses_are_told_apart() {
    let mut m = samples::Maker::new();
    for (id, name) in [(1, "api::fetch::{{closure}}"), (2, "api::store"), (3, "api::store")] {
        let function = m.builder.code.function(name, "api", FunctionKind::Normal);
        let frame = m.builder.code.frame(function, "src/api.rs", 7);
        let location = m.builder.code.location(Location::in_source(vec![frame]));
        let stack = m.builder.code.stack(vec![location]);
        let task = m.waiting(id, "", Age::Unknown, stack);
        m.builder.task(task);
    }
    m.builder.header.runtimes[0].task_noun = "task".to_owned();
    let snapshot = m.finish();
    check_round_trip(&snapshot);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pb.gz");
    fs::write(&path, written(&snapshot, &all(&snapshot))).unwrap();
    for version in QUICK_VERSIONS {
        let text = tool(&Toolchain::get(version), &["-top"], &path);
        assert!(text.contains("Type: task") && text.contains("66.67%  api::store"), "{version}: {text}");
        assert!(text.contains("api::fetch::{{closure}}"), "{version}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_snapshot_is_read_as_it_was_written(seed: Vec<(u64, u64, u8)>, text: String) {
        // Every function has a name of its own.
        let texts: Vec<_> = (0..seed.len()).map(|n| format!("{text}{n}")).collect();
        check_round_trip(&samples::from_numbers(&seed, &texts));
    }

    #[test]
    fn any_snapshot_is_text_that_can_be_read(seed: Vec<(u64, u64, u8)>, text: String) {
        let texts: Vec<_> = (0..seed.len()).map(|n| format!("{text}{n}")).collect();
        let snapshot = samples::from_numbers(&seed, &texts);
        let mut text = Vec::new();
        profile::write(&snapshot, &all(&snapshot), &mut text).unwrap();
        let parsed = GoProfile::parse(&text);
        prop_assert_eq!(parsed.other_lines, 0, "{}", String::from_utf8_lossy(&text));
        prop_assert_eq!(parsed.total, snapshot.task_count());
        prop_assert_eq!(parsed.stacks.iter().map(|stack| stack.count).sum::<u64>(), parsed.total);
    }
}
