//! What changed between snapshots: how it looks, what the command says, and that real programs agree.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use common::expected::check;
use common::{Fixture, Flavour, Program, Toolchain, build, matrix, measured};
use loiter::analysis::diff::diff;
use loiter::analysis::{Series, SeriesOptions};
use loiter::process;
use loiter::report::text::{self, TextOptions};
use loiter::report::{json, markdown};
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::{Module, Snapshot, file};
use tempfile::TempDir;

mod common;
mod samples;

const SECOND: u64 = 1_000_000_000;

/// The server of the samples, before and after: every third sender has come meanwhile, and a few other
/// tasks have ended.
fn before_and_after() -> (Snapshot, Snapshot) {
    let mut after = samples::server();
    let runtime = &mut after.header.runtimes[0];
    let module = |path: &str, version: &str| Module::new(path, Some(version.to_owned()));
    runtime.modules = vec![module("example.com/api", "(devel)"), module("net", "v0.0.1")];
    let mut before = after.clone();
    *before.header.taken_at_ns.as_mut().unwrap() -= 604 * SECOND;
    *before.header.monotonic_ns.as_mut().unwrap() -= 604 * SECOND;
    let scheduler = &mut before.header.runtimes[0].scheduler;
    scheduler.tasks_created = Some(21);
    scheduler.structs_made = Some(1_006);
    let sends =
        |snapshot: &Snapshot, reason: Option<_>| reason.is_some_and(|id| snapshot.str(id) == "chan send");
    let keep = |snapshot: &Snapshot, nth: usize| {
        let task = &snapshot.tasks[nth];
        !sends(snapshot, task.reason) || !nth.is_multiple_of(3)
    };
    let kept: Vec<_> = (0..before.tasks.len()).filter(|&nth| keep(&before, nth)).collect();
    before.tasks = kept.into_iter().map(|nth| before.tasks[nth]).collect();
    let ended =
        |nth: usize, snapshot: &Snapshot| !sends(snapshot, snapshot.tasks[nth].reason) && nth % 17 == 3;
    let kept: Vec<_> = (0..after.tasks.len()).filter(|&nth| !ended(nth, &after)).collect();
    after.tasks = kept.into_iter().map(|nth| after.tasks[nth]).collect();
    (before, after)
}

fn series(snapshots: impl IntoIterator<Item = Snapshot>) -> Series {
    Series::of(SeriesOptions::default(), snapshots)
}

fn text_of(series: &Series, options: &TextOptions, limit: Option<usize>) -> String {
    let mut out = Vec::new();
    text::diff(series, &diff(series), limit, false, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_for_people() {
    let (before, after) = before_and_after();
    let series = series([before, after]);
    let options = |width| TextOptions { width, ..TextOptions::default() };
    check("diff-100", &text_of(&series, &options(100), None));
    check("diff-80", &text_of(&series, &options(80), Some(2)));
    let coloured = TextOptions { color: true, verbose: true, ..options(100) };
    check("diff-colour-verbose", &text_of(&series, &coloured, Some(2)));
}

#[test]
fn another_process_is_compared_by_signature() {
    let (mut before, after) = before_and_after();
    before.header.target.pid = Some(17);
    check("diff-other-process", &text_of(&series([before, after]), &TextOptions::default(), Some(2)));
}

#[test]
fn json_and_markdown() {
    let (before, after) = before_and_after();
    let series = series([before, after]);
    let changes = diff(&series);
    let mut out = Vec::new();
    json::diff(&series, &changes, Some(2), true, &mut out).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    check("diff-json", &serde_json::to_string_pretty(&value).unwrap());
    let mut out = Vec::new();
    markdown::diff(&series, &changes, Some(3), &mut out).unwrap();
    check("diff-markdown", &String::from_utf8(out).unwrap());
}

/// Snapshots in files, for the real binary.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new(snapshots: &[(&str, &Snapshot)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, snapshot) in snapshots {
            file::save(snapshot, &directory.path().join(name)).unwrap();
        }
        Files { directory }
    }

    fn diff(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
        command.arg("diff").args(arguments).current_dir(self.directory.path()).output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_command() {
    let (before, after) = before_and_after();
    let files = Files::new(&[("before.loiter", &before), ("after.loiter", &after)]);
    let both = ["before.loiter", "after.loiter"];

    let output = files.diff(&both);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(stdout(&output), text_of(&series([before, after]), &with_time(), None));

    let same = files.diff(&["before.loiter", "before.loiter", "--fail-on", "growth"]);
    assert_eq!(same.status.code(), Some(0));
    assert!(stdout(&same).contains("nothing changed"), "{}", stdout(&same));

    let grown = files.diff(&[both[0], both[1], "--fail-on", "growth", "--json"]);
    assert_eq!(grown.status.code(), Some(1));
    assert_eq!(stderr(&grown), "loiter: --fail-on growth: 1 of 4 changed groups grow\n");
    let value: serde_json::Value = serde_json::from_slice(&grown.stdout).unwrap();
    assert_eq!(value["matched_by"], "identity");

    let shrunk = files.diff(&[both[1], both[0], "--fail-on", "count>5000"]);
    assert_eq!(shrunk.status.code(), Some(0), "{}", stderr(&shrunk));
    assert!(stdout(&shrunk).contains("time between them unknown"), "{}", stdout(&shrunk));
    let many = files.diff(&[both[0], both[1], "--fail-on", "count>1000"]);
    assert_eq!(many.status.code(), Some(1));

    let one = files.diff(&["before.loiter"]);
    assert_eq!(one.status.code(), Some(2));
    let by_creator = files.diff(&[both[0], both[1], "--by", "creator"]);
    assert!(stdout(&by_creator).contains("fetch.fetchAll"), "{}", stdout(&by_creator));
}

fn with_time() -> TextOptions {
    TextOptions { time: true, ..TextOptions::default() }
}

fn read(pid: u32) -> Snapshot {
    let target = process::open_pid(pid).unwrap();
    runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap()
}

/// The ids of the goroutines that the program itself sees.
fn seen_by_itself(fixture: &mut Fixture) -> BTreeSet<u64> {
    fixture.dump().0.goroutines.iter().map(|goroutine| goroutine.id).collect()
}

fn ids(snapshot: &Snapshot) -> BTreeSet<u64> {
    snapshot.tasks.iter().filter(|task| !task.system).filter_map(|task| task.id).collect()
}

/// Who came, went and stayed in a busy program is what its own dumps say: whoever is said to have stayed
/// is in a dump taken in between; nobody who is said to be new is in one taken before, nobody who is
/// said to be gone in one taken after. And the number of goroutines started is what the program counts.
fn agrees_with_the_program(version: &str, program: &Path) {
    let mut fixture = Fixture::start_with(program, &["churn", "parked"], &[("RATE", "500")]);
    // A program that gets no CPU starts and ends nothing.
    measured(50, || agreement(version, &mut fixture));
}

fn agreement(version: &str, fixture: &mut Fixture) -> Result<(), String> {
    let before = seen_by_itself(fixture);
    let counted = fixture.counter("created");
    let first = read(fixture.pid());
    let counted_after_first = fixture.counter("created");
    let between = seen_by_itself(fixture);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let counted_before_second = fixture.counter("created");
    let second = read(fixture.pid());
    let counted_at_end = fixture.counter("created");
    let after = seen_by_itself(fixture);

    let (old, new) = (ids(&first), ids(&second));
    let series = series([first, second]);
    let changes = diff(&series);
    let members = series.members().iter();
    let born: BTreeSet<u64> = (members.clone().filter(|m| m.first_seen == 1))
        .filter_map(|m| series.last().unwrap().tasks[m.task as usize].id)
        .collect();
    let stayed: BTreeSet<u64> = members
        .filter(|m| m.first_seen == 0)
        .filter_map(|m| series.last().unwrap().tasks[m.task as usize].id)
        .collect();
    let gone: BTreeSet<u64> = old.difference(&new).copied().collect();
    assert_eq!(&stayed, &old.intersection(&new).copied().collect(), "{version}");
    assert_eq!((changes.born, changes.gone), (born.len() as u64, gone.len() as u64), "{version}");
    assert!(!stayed.is_empty(), "{version}");
    assert!(stayed.is_subset(&between), "{version}: {:?}", stayed.difference(&between));
    assert!(born.is_disjoint(&before), "{version}");
    assert!(gone.is_disjoint(&after), "{version}");

    let created = changes.counted.unwrap().created;
    // A goroutine is counted a little before it is there.
    let least = (counted_before_second - counted_after_first).saturating_sub(2);
    // Answering starts goroutines of its own, and so does the runtime for each P; ids are issued to Ps
    // sixteen at a time.
    let workers = series.last().unwrap().header.runtimes[0].scheduler.workers.len() as u64;
    let most = counted_at_end - counted + 64 + 32 * workers;
    assert!((least..=most).contains(&created), "{version}: {created} not in {least}..={most}");
    if born.is_empty() || gone.is_empty() {
        return Err(format!("{version}: {} came, {} went", born.len(), gone.len()));
    }
    Ok(())
}

fn check_real_program(version: &str) {
    let program = build(&Toolchain::get(version), Program::Fixtures, Flavour::Stripped);
    agrees_with_the_program(version, &program);
}

matrix!(diffs_agree_with_the_program, check_real_program);
