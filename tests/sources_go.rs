//! What a Go program writes about itself, read back, gives the same groups as reading it from outside:
//! its dump (debug=2) and its profiles (debug=1, protobuf), in files and over HTTP.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

use common::{Fixture, Flavour, Program, Toolchain, build, full_matrix, matrix};
use loiter::analysis::frames::{creator_frame, kind_of, shown_frames};
use loiter::import;
use loiter::process;
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::{Frame, FunctionKind, Snapshot, SourceKind, StackStatus, Task};
use serde_json::Value;

fn live(pid: u32) -> Snapshot {
    let target = process::open_pid(pid).unwrap();
    runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap()
}

fn line(snapshot: &Snapshot, frame: Frame) -> String {
    let function = snapshot.function_name(frame.function);
    format!("{function} {}:{}", snapshot.str(frame.file), frame.line)
}

fn frames(snapshot: &Snapshot, task: &Task) -> Vec<String> {
    let shown = shown_frames(snapshot, snapshot.stack_of(task), false);
    shown.iter().map(|shown| line(snapshot, shown.frame)).collect()
}

fn labels(snapshot: &Snapshot, task: &Task) -> String {
    let set = task.labels.map(|id| &snapshot.code.label_sets[id.index()].pairs);
    let pairs = set.into_iter().flatten().map(|&(k, v)| format!("{}={}", snapshot.str(k), snapshot.str(v)));
    pairs.collect::<Vec<_>>().join(", ")
}

/// All that a dump tells of a goroutine but its id; None for those of which Go prints a part.
fn described(snapshot: &Snapshot, task: &Task, with_labels: bool) -> Option<String> {
    let frames = frames(snapshot, task);
    // Up to 1.20 Go stops at a hundred frames, later it leaves out the middle, either way hidden ones too.
    if frames.len() > 90 || task.stack_status != StackStatus::Complete {
        return None;
    }
    // Of an inlined go statement Go prints the outer function with the inner line, of one in the runtime
    // nothing.
    let hidden = |frame: &Frame| kind_of(snapshot, *frame) == FunctionKind::Internal;
    let creator = task.creator.and_then(|id| creator_frame(snapshot, id)).filter(|frame| !hidden(frame));
    let parent = creator.and(task.parent);
    let creator = creator.map(|frame| format!("{}:{}", snapshot.str(frame.file), frame.line));
    let reason = task.reason.map_or(task.state.name(), |reason| snapshot.str(reason));
    let labels = if with_labels { labels(snapshot, task) } else { String::new() };
    Some(format!(
        "{reason}, locked {}, parent {:?}, by {creator:?}, {labels}\n  {}",
        task.locked_to_thread,
        parent,
        frames.join("\n  ")
    ))
}

/// All that a profile tells.
fn counted(snapshot: &Snapshot, task: &Task) -> Option<String> {
    let frames = frames(snapshot, task);
    let whole = frames.len() < 30 && task.stack_status == StackStatus::Complete;
    whole.then(|| format!("{}\n  {}", labels(snapshot, task), frames.join("\n  ")))
}

/// How many goroutines have each description, the one that wrote the dump left out.
fn groups(
    snapshot: &Snapshot,
    writer: Option<u64>,
    describe: impl Fn(&Task) -> Option<String>,
) -> BTreeMap<String, u64> {
    let mut groups = BTreeMap::new();
    for task in snapshot.tasks.iter().filter(|task| !task.system && (writer.is_none() || task.id != writer)) {
        if let Some(description) = describe(task) {
            *groups.entry(description).or_default() += task.count();
        }
    }
    groups
}

fn check(version: &str) {
    let toolchain = Toolchain::get(version);
    let what = &toolchain.full_version;
    let mut fixture = Fixture::start(&build(&toolchain, Program::Fixtures, Flavour::Plain), &["all"]);
    let (text, profile) = fixture.dump_text();
    // What the dump takes of memory may begin a collection, which moves stacks.
    fixture.ask("gc");
    let read = live(fixture.pid());
    let written = import::read(text.as_bytes()).unwrap();
    let counts = import::read(profile.as_bytes()).unwrap();
    assert!(!written.cut && !counts.cut, "{what}");
    written.snapshot.validate().unwrap();
    counts.snapshot.validate().unwrap();
    assert_eq!(written.snapshot.header.target.source, SourceKind::Dump, "{what}");
    assert_eq!(counts.snapshot.header.target.source, SourceKind::Profile, "{what}");

    let writer = import::GoDump::parse(text.as_bytes()).goroutines.first().map(|g| g.id);
    let in_dump =
        groups(&written.snapshot, writer, |t| described(&written.snapshot, t, toolchain.minor() >= 26));
    let outside = groups(&read, writer, |t| described(&read, t, toolchain.minor() >= 26));
    assert!(in_dump.len() > 60, "{what}: {} groups", in_dump.len());
    assert_same(&in_dump, &outside, what);

    // The writer is in the profile, too, doing something else.
    let in_profile = groups(&counts.snapshot, None, |t| counted(&counts.snapshot, t));
    let in_profile =
        in_profile.into_iter().filter(|(text, _)| !text.contains("fixtures/truth.Serve")).collect();
    let outside = groups(&read, writer, |t| counted(&read, t));
    let outside = outside.into_iter().filter(|(text, _)| !text.contains("fixtures/truth.Serve")).collect();
    assert_same(&in_profile, &outside, what);
}

fn assert_same(written: &BTreeMap<String, u64>, read: &BTreeMap<String, u64>, what: &str) {
    let only = |one: &BTreeMap<String, u64>, other: &BTreeMap<String, u64>| -> Vec<String> {
        (one.iter().filter(|(text, n)| other.get(*text) != Some(n)))
            .map(|(text, n)| format!("{n} x {text}"))
            .collect()
    };
    let (left, right) = (only(written, read), only(read, written));
    assert!(
        left.is_empty() && right.is_empty(),
        "{what}: as the program writes it:\n{}\nas it is read from outside:\n{}",
        left.join("\n"),
        right.join("\n")
    );
}

fn stacks(source: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.arg("stacks").arg(source).args(arguments).env("NO_PROXY", "127.0.0.1").output().unwrap()
}

fn json(source: &str, arguments: &[&str]) -> (Value, String) {
    let output = stacks(source, &[&["--json"], arguments].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{source}: {stderr}");
    (serde_json::from_slice(&output.stdout).unwrap(), stderr)
}

/// The groups of goroutines in a function: how many, and in which state.
fn with_function(document: &Value, function: &str) -> Vec<(u64, String)> {
    let groups = document["groups"].as_array().unwrap().iter();
    let mut found: Vec<_> = groups
        .filter(|group| group["stack"].to_string().contains(function))
        .map(|group| (group["count"].as_u64().unwrap(), group["reasons"].to_string()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no goroutine in {function}: {document}");
    found
}

fn check_served(version: &str) {
    let toolchain = Toolchain::get(version);
    let what = &toolchain.full_version;
    let fixture = Fixture::start(&build(&toolchain, Program::Served, Flavour::Plain), &["3"]);
    let address = format!("http://{}", fixture.ready()["address"].as_str().unwrap());
    let (from_outside, _) = json(&fixture.pid().to_string(), &[]);
    let counts = |groups: Vec<(u64, String)>| groups.into_iter().map(|(n, _)| n).collect::<Vec<_>>();

    let (dump, stderr) = json(&address, &[]);
    assert!(stderr.contains("stops while it writes its goroutines (debug=2)"), "{stderr}");
    for function in ["main.receive", "main.deep"] {
        assert_eq!(with_function(&dump, function), with_function(&from_outside, function), "{what}");
    }
    assert_eq!(dump["snapshot"]["target"]["name"], address.trim_start_matches("http://"), "{what}");
    let (each, _) = json(&address, &["--each", "--function", "main.receive"]);
    assert!(each["tasks"].as_array().unwrap().iter().all(|task| task["id"].as_u64() > Some(1)), "{what}");

    for form in ["?debug=1", "/debug/pprof/goroutine?debug=1", "?debug=0", "/debug/pprof/goroutine?debug=0"] {
        let (profile, stderr) = json(&format!("{address}{form}"), &[]);
        assert_eq!(stderr, "", "{what}");
        // Labels do not split groups.
        assert_eq!(counts(with_function(&profile, "main.receive")), [10], "{what} {form}");
        assert_eq!(counts(with_function(&profile, "main.deep")), [3], "{what} {form}");
    }

    for (path, problem) in [
        ("/debug/pprof/heap", "not of goroutines"),
        ("/debug/pprof/heap?debug=1", "a profile of heap, not of goroutines"),
        ("/debug/pprof/cmdline", "no goroutine was found"),
        (
            "/nowhere/goroutine",
            "the server says 404: 404 page not found\n  does the program import net/http/pprof",
        ),
    ] {
        let output = stacks(&format!("{address}{path}"), &[]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{what}: {stderr}");
        assert!(stderr.contains(problem), "{what}: {stderr}");
    }

    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("a.loiter");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    let output = command
        .arg("snapshot")
        .arg(&address)
        .arg("-o")
        .arg(&saved)
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (again, _) = json(saved.to_str().unwrap(), &[]);
    assert_eq!(with_function(&again, "main.receive"), with_function(&dump, "main.receive"), "{what}");
}

matrix!(every_dump_of_a_program_is_a_source, check);

matrix!(profiles_served_over_http_are_sources, check_served);

/// Go stops writing at 64 MiB and says nothing.
#[test]
fn a_dump_that_go_cuts_is_noticed() {
    let toolchain = Toolchain::get("1.27");
    let fixture = Fixture::start(&build(&toolchain, Program::Served, Flavour::Plain), &["15000"]);
    let address = format!("http://{}", fixture.ready()["address"].as_str().unwrap());
    let output = stacks(&address, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Go cut the goroutines"), "{text}");
    assert!(text.contains("15,000"), "{text}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
    let mut body = agent.get(format!("{address}/debug/pprof/goroutine?debug=2")).call().unwrap();
    let body = body.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    assert_eq!(body.len(), 64 << 20);
    // Cut in a name, it ends in the middle of a goroutine.
    let cut = memchr::memmem::rfind(&body[..body.len() / 10], b"main.deep(").unwrap() + 6;
    fs::write(&file, &body[..cut]).unwrap();
    let text = String::from_utf8(stacks(file.to_str().unwrap(), &[]).stdout).unwrap();
    assert!(text.contains("the dump ends in the middle of goroutine"), "{text}");
    // Once more 64 MiB are much for an unoptimised build.
    if full_matrix() {
        let output = stacks(&format!("{address}?debug=2"), &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Go cuts dumps at this length"), "{text}");
        assert!(text.contains("(dump, go"), "{text}");
    }
}

/// Core files are kept compressed, by systemd for one.
#[test]
fn compressed_core_files() {
    let toolchain = Toolchain::get("1.27");
    let fixture = Fixture::start(&build(&toolchain, Program::Served, Flavour::Plain), &["3"]);
    let directory = tempfile::tempdir().unwrap();
    let core = directory.path().join("core");
    let output = Command::new("gdb")
        .args(["--batch", "--nx", "-p", &fixture.pid().to_string()])
        .args(["-iex", "set debuginfod enabled off"])
        .args(["-iex", "set auto-load off"])
        .args(["-ex", &format!("gcore {}", core.display()), "-ex", "detach"])
        .output()
        .unwrap_or_else(|e| panic!("gdb: {e} (install gdb; scripts/test does)"));
    assert!(core.exists(), "gdb left no core file:\n{}", String::from_utf8_lossy(&output.stderr));
    let packed = directory.path().join("core.zst");
    let bytes = zstd::encode_all(fs::File::open(&core).unwrap(), 1).unwrap();
    fs::write(&packed, bytes).unwrap();
    let (plain, _) = json(core.to_str().unwrap(), &[]);
    let (read, _) = json(packed.to_str().unwrap(), &[]);
    assert_eq!(read["groups"], plain["groups"]);
    assert_eq!(with_function(&read, "main.receive").iter().map(|(n, _)| n).sum::<u64>(), 10);
}
