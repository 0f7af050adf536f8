//! Programs with well-known leaks, and their repaired twins, watched by the real binary.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{Fixture, Flavour, GO_VERSIONS, Program, Toolchain, build, matrix};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What is expected of a pattern.
struct Expected {
    pattern: &'static str,
    rule: &'static str,
    /// At least this sure.
    sureness: &'static str,
}

const fn expect(pattern: &'static str, rule: &'static str, sureness: &'static str) -> Expected {
    Expected { pattern, rule, sureness }
}

const PATTERNS: [Expected; 23] = [
    expect("send", "send", "likely"),
    expect("range", "range", "likely"),
    expect("receive", "receive", "likely"),
    expect("select", "select", "likely"),
    expect("nil-recv", "never", "proven"),
    expect("nil-send", "never", "proven"),
    expect("forever", "never", "proven"),
    expect("deadlock", "deadlock", "stuck"),
    expect("unlock", "lock", "stuck"),
    expect("slow-lock", "lock", "stuck"),
    expect("rwlock", "deadlock", "stuck"),
    expect("read-twice", "deadlock", "stuck"),
    expect("relock", "deadlock", "stuck"),
    expect("ring", "deadlock", "stuck"),
    expect("holder", "lock", "stuck"),
    expect("waitgroup", "wait-group", "likely"),
    expect("cond", "cond", "likely"),
    expect("context", "not-cancelled", "likely"),
    expect("ticker", "ticker", "likely"),
    expect("sleep", "sleep", "likely"),
    expect("body", "http-body", "likely"),
    expect("netread", "network", "likely"),
    expect("library", "library", "likely"),
];

/// Programs that are watched at the same time.
const AT_ONCE: usize = 10;

fn rank(sureness: &str) -> usize {
    ["suspect", "likely", "stuck", "proven"].iter().position(|word| *word == sureness).unwrap()
}

/// The lines of the sources that say "creator: PATTERN": (end of the path, line) by pattern.
fn creators() -> BTreeMap<String, Vec<(String, u64)>> {
    fn walk(directory: &Path, found: &mut BTreeMap<String, Vec<(String, u64)>>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "go") {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                for (nth, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
                    if let Some((_, pattern)) = line.split_once("// creator: ") {
                        let places = found.entry(pattern.to_owned()).or_default();
                        places.push((format!("/{name}"), nth as u64 + 1));
                    }
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/leaks"), &mut found);
    found
}

/// How long a program is watched, seconds. Where the machine is so busy that the readings come late, the counts
/// are too uneven for so few seconds, and the report says so: then the leak is watched for longer.
const WATCHES: [u64; 3] = [5, 15, 45];

/// What `loiter leaks` says of a pattern after so many seconds.
fn watch(program: &Path, pattern: &str, mode: &str, seconds: u64) -> Value {
    let fixture = Fixture::start_with(program, &[pattern, mode], &[("RATE", "8")]);
    let output = Command::new(env!("CARGO_BIN_EXE_loiter"))
        .args(["leaks", &fixture.pid().to_string(), "--for", &format!("{seconds}s")])
        .args(["--every", "500ms", "--json", "--ignore-file", "/dev/null"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{pattern} {mode}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn findings(report: &Value) -> &Vec<Value> {
    report["findings"].as_array().unwrap()
}

fn sureness(finding: &Value) -> usize {
    rank(finding["sureness"].as_str().unwrap())
}

/// Was it started at one of these places?
fn started_at(finding: &Value, places: &[(String, u64)]) -> bool {
    finding["parts"].as_array().unwrap().iter().any(|part| {
        let creator = &part["created_by"];
        let (file, line) = (creator["file"].as_str().unwrap_or(""), creator["line"].as_u64());
        let own = places.iter().any(|(end, at)| file.ends_with(end.as_str()) && line == Some(*at));
        // The connections of clients are started by the standard library.
        own || places.is_empty() && creator["function"] == "net/http.(*Transport).dialConn"
    })
}

/// What is wrong with the report on a leaking program.
fn check_leak(expected: &Expected, places: &[(String, u64)], report: &Value) -> Option<String> {
    let right = |finding: &Value| {
        let rules = finding["rules"].as_array().unwrap();
        rules.iter().any(|hit| hit["rule"] == expected.rule)
            && sureness(finding) >= rank(expected.sureness)
            && started_at(finding, places)
    };
    let found = findings(report).iter().any(right);
    let others = findings(report).iter().filter(|f| sureness(f) > 0 && !started_at(f, places)).count();
    (!found || others > 0).then(|| {
        let findings = serde_json::to_string_pretty(&report["findings"]).unwrap();
        format!("{}: found {found}, {others} besides: {findings}", expected.pattern)
    })
}

/// What is wrong with the report on a program that does not leak.
fn check_twin(pattern: &str, report: &Value) -> Option<String> {
    let sure = findings(report).iter().find(|finding| sureness(finding) > 0)?;
    Some(format!("{pattern}, repaired: {}", serde_json::to_string_pretty(sure).unwrap()))
}

/// The same of the program itself. What seems to grow in a few seconds, because a busy machine lets it wait, does not in
/// more.
fn watch_twin(program: &Path, pattern: &str) -> Option<String> {
    let mut wrong = None;
    for seconds in WATCHES {
        wrong = check_twin(pattern, &watch(program, pattern, "fixed", seconds));
        if wrong.is_none() {
            break;
        }
        eprintln!("{pattern}, repaired, is found in {seconds} s");
    }
    wrong
}

/// The patterns that a version is tested with: the oldest and the newest with all, those in between with a third in turn,
/// unless `LOITER_GO` is `all`.
fn patterns_of(version: &str) -> impl Iterator<Item = &'static Expected> {
    let turn = GO_VERSIONS.iter().position(|other| *other == version).unwrap();
    let is_end = turn == 0 || turn + 1 == GO_VERSIONS.len();
    let takes_all = is_end || std::env::var("LOITER_GO").is_ok_and(|value| value == "all");
    PATTERNS.iter().zip(0..).filter(move |(_, nth)| takes_all || nth % 3 == turn % 3).map(|(one, _)| one)
}

fn check(version: &str, flavour: Flavour) {
    let program = build(&Toolchain::get(version), Program::Leaks, flavour);
    let creators = creators();
    let mut jobs: Vec<Box<dyn FnOnce() -> Option<String> + Send>> = Vec::new();
    for expected in patterns_of(version) {
        let places = creators.get(expected.pattern).cloned().unwrap_or_default();
        assert!(!places.is_empty() || expected.pattern == "body", "no line creates {}", expected.pattern);
        let leaking = program.clone();
        jobs.push(Box::new(move || {
            let mut wrong = None;
            for seconds in WATCHES {
                wrong = check_leak(expected, &places, &watch(&leaking, expected.pattern, "leak", seconds));
                if wrong.is_none() {
                    break;
                }
                eprintln!("{} is not found in {seconds} s", expected.pattern);
            }
            wrong
        }));
        let twin = program.clone();
        jobs.push(Box::new(move || watch_twin(&twin, expected.pattern)));
    }
    jobs.push(Box::new(move || watch_twin(&program, "healthy")));
    let mut wrong = Vec::new();
    while !jobs.is_empty() {
        let batch: Vec<_> = jobs.drain(..jobs.len().min(AT_ONCE)).map(thread::spawn).collect();
        wrong.extend(batch.into_iter().filter_map(|job| job.join().unwrap()));
    }
    assert!(wrong.is_empty(), "{version} {flavour:?}:\n{}", wrong.join("\n"));
}

/// Starts a watch of a minute, calls `with` after a few readings, and gives the report and what was said.
fn interrupted(with: impl Fn(&mut Fixture, u32)) -> (Value, String) {
    let mut times = [3, 8, 20].into_iter().map(Duration::from_secs);
    loop {
        let time = times.next().expect("too few readings");
        let (report, said) = interrupted_after(time, &with);
        // A slow machine has not come so far by then.
        if report["readings"].as_u64() >= Some(2) {
            return (report, said);
        }
        eprintln!("{time:?}: {said}");
    }
}

/// The same after so much time. The report is null if there is none.
fn interrupted_after(time: Duration, with: impl Fn(&mut Fixture, u32)) -> (Value, String) {
    let newest = Toolchain::get(GO_VERSIONS[GO_VERSIONS.len() - 1]);
    let program = build(&newest, Program::Leaks, Flavour::Plain);
    let mut fixture = Fixture::start_with(&program, &["nil-recv", "leak"], &[]);
    let watch = Command::new(env!("CARGO_BIN_EXE_loiter"))
        .args(["leaks", &fixture.pid().to_string(), "--for", "1m", "--every", "300ms", "--json"])
        .args(["--ignore-file", "/dev/null"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(time);
    with(&mut fixture, watch.id());
    let output = watch.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() || output.stdout.is_empty(), "{said}");
    (serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

#[test]
fn ctrl_c_and_the_end_of_the_process_end_a_watch_early() {
    let ctrl_c = |_: &mut Fixture, watch| kill(Pid::from_raw(watch as i32), Signal::SIGINT).unwrap();
    let end = |fixture: &mut Fixture, _| kill(Pid::from_raw(fixture.pid() as i32), Signal::SIGKILL).unwrap();
    for (report, said, why) in [
        {
            let (report, said) = interrupted(ctrl_c);
            (report, said, "stopped early")
        },
        {
            let (report, said) = interrupted(end);
            (report, said, "the process has ended after")
        },
    ] {
        assert!(said.contains(why), "{said}");
        let readings = report["readings"].as_u64().unwrap();
        assert!((2..100).contains(&readings), "{readings}");
        assert_eq!(report["findings"][0]["sureness"], "proven");
    }
}

/// How sure each finding is, and its first rule.
fn rules_of(report: &Value) -> Vec<(&str, &str)> {
    let all = findings(report).iter();
    all.map(|found| (found["sureness"].as_str().unwrap(), found["rules"][0]["rule"].as_str().unwrap()))
        .collect()
}

/// The server of the tour is a Tokio program that exports its tasks: one leak, one lock that is always
/// waited for, and nothing else.
#[test]
fn tasks_of_a_registry() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_loiter"))
        .args(["demo", "--serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let expected = [("likely", "send"), ("suspect", "lock")];
    // On a slow machine it takes longer until the leak can be told from what comes and goes.
    let mut report = Value::Null;
    for seconds in ["4s", "8s", "16s", "32s"] {
        let output = Command::new(env!("CARGO_BIN_EXE_loiter"))
            .args(["leaks", &server.id().to_string(), "--for", seconds, "--every", "500ms", "--json"])
            .args(["--ignore-file", "/dev/null"])
            .output();
        report = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        if rules_of(&report) == expected {
            break;
        }
    }
    drop(server.stdin.take());
    server.wait().unwrap();
    assert_eq!(rules_of(&report), expected, "{report:#}");
    let file = findings(&report)[0]["parts"][0]["created_by"]["file"].as_str().unwrap();
    assert!(file.ends_with("demo/server.rs"), "{file}");
}

/// One reading of a program that has made a mistake with locks some times, and makes it no more: its findings. A slow
/// machine needs a while until all of its goroutines wait, and may let them pass each other: the reading is made again
/// until it is right, which it is at once on most machines.
fn one_reading(program: &Path, pattern: &str, is_right: impl Fn(&Value) -> bool) -> Value {
    let mut fixture = Fixture::start_with(program, &[pattern, "leak"], &[("RATE", "0")]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("one.loiter");
    let loiter = || Command::new(env!("CARGO_BIN_EXE_loiter"));
    let pid = fixture.pid().to_string();
    let mut report = Value::Null;
    for _ in 0..8 {
        (0..4).for_each(|_| drop(fixture.ask("step")));
        thread::sleep(Duration::from_millis(500));
        let taken = loiter().args(["snapshot", &pid, "--output"]).arg(&file).output().unwrap();
        assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
        let found = loiter().arg("leaks").arg(&file).args(["--json", "--ignore-file", "/dev/null"]).output();
        report = serde_json::from_slice(&found.unwrap().stdout).unwrap();
        if is_right(&report) {
            break;
        }
    }
    report
}

/// Deadlocks are found at once, and each names the right holder.
#[test]
fn deadlocks_need_one_reading() {
    let newest = Toolchain::get(GO_VERSIONS[GO_VERSIONS.len() - 1]);
    let program = build(&newest, Program::Leaks, Flavour::Stripped);
    for (pattern, how, unlocks, cause) in [
        ("deadlock", "exclusive", "patterns.transfer", "lock-order"),
        ("ring", "exclusive", "", "lock-order"),
        ("relock", "exclusive", "patterns.(*ledger).book", "locked-twice"),
        ("read-twice", "shared", "patterns.(*table).twice", "read-locked-twice"),
    ] {
        // All that wait for a lock are in the one deadlock, and so are those who hold it.
        let is_over = |report: &Value| {
            let [finding] = findings(report).as_slice() else { return false };
            let holders = finding["holders"].as_array().unwrap();
            !holders.is_empty() && holders.iter().all(|holder| holder["deadlocked"] == true)
        };
        let report = one_reading(&program, pattern, is_over);
        let [finding] = findings(&report).as_slice() else { panic!("{pattern}: {report:#}") };
        assert_eq!(
            (&finding["sureness"], &finding["rules"][0]["rule"]),
            (&"stuck".into(), &"deadlock".into())
        );
        assert_eq!(finding["cause"]["kind"], cause, "{pattern}: {finding:#}");
        let holders = finding["holders"].as_array().unwrap();
        assert!(!holders.is_empty(), "{pattern}: {finding:#}");
        for holder in holders {
            assert_eq!((&holder["how"], &holder["deadlocked"]), (&how.into(), &true.into()), "{holder:#}");
            let at = holder["unlocks_at"]["function"].as_str().unwrap();
            assert!(at.ends_with(unlocks), "{pattern}: {at}");
            // Who is named waits.
            assert!(holder["doing"].as_str().unwrap().starts_with("sync."), "{holder:#}");
        }
    }
    // Of those that wait for a lock which nobody unlocks, one reading does not tell since when.
    let report = one_reading(&program, "unlock", |_| true);
    assert!(findings(&report).iter().all(|finding| sureness(finding) == 0), "{report:#}");
}

#[test]
fn the_holder_of_a_slow_lock_is_named() {
    let newest = Toolchain::get(GO_VERSIONS[GO_VERSIONS.len() - 1]);
    let program = build(&newest, Program::Leaks, Flavour::Stripped);
    let still = |one: &Value| one["kind"] == "holders-still" && one["tasks"] == 1 && one["of"] == 1;
    let is_told = |report: &Value| {
        let finding = &report["findings"][0];
        let because = finding["rules"][0]["because"].as_array();
        finding["holders"].as_array().is_some_and(|holders| holders.len() == 1)
            && because.is_some_and(|because| because.iter().any(still))
    };
    let mut report = Value::Null;
    for seconds in WATCHES {
        report = watch(&program, "slow-lock", "leak", seconds);
        if is_told(&report) {
            break;
        }
    }
    let [holder] = findings(&report)[0]["holders"].as_array().unwrap().as_slice() else {
        panic!("{report:#}")
    };
    assert_eq!((&holder["how"], &holder["doing"]), (&"exclusive".into(), &"chan receive".into()));
    assert_eq!((&holder["deadlocked"], &holder["waits_for"]), (&false.into(), &Value::Null));
    for place in ["at", "unlocks_at"] {
        let function = holder[place]["function"].as_str().unwrap();
        assert!(function.ends_with("patterns.lookUp"), "{holder:#}");
    }
    let because = findings(&report)[0]["rules"][0]["because"].as_array().unwrap();
    assert!(because.iter().any(still), "{because:?}");
}

/// What a program leaks in two ways with one cause: both findings stay, and the one names the other.
#[test]
fn findings_with_one_cause_are_one_story() {
    let newest = Toolchain::get(GO_VERSIONS[GO_VERSIONS.len() - 1]);
    let program = build(&newest, Program::Leaks, Flavour::Stripped);
    let story = |pattern: &str, right: &dyn Fn(&Value) -> bool| {
        let mut report = Value::Null;
        for seconds in WATCHES {
            report = watch(&program, pattern, "leak", seconds);
            if right(&report) {
                return;
            }
        }
        panic!("{pattern}: {report:#}");
    };
    let position = |report: &Value, rule: &str| {
        findings(report).iter().position(|finding| {
            sureness(finding) > 0
                && finding["rules"].as_array().unwrap().iter().any(|hit| hit["rule"] == rule)
        })
    };
    // The workers of each request are blocked in a send, and who waits for them waits for that.
    story("gather", &|report| {
        let (Some(send), Some(group)) = (position(report, "send"), position(report, "wait-group")) else {
            return false;
        };
        let waiting = &findings(report)[group];
        let tasks = waiting["because_of"]["tasks"].as_u64().unwrap_or(0);
        assert!(findings(report)[send]["because_of"].is_null(), "{report:#}");
        send < group
            && waiting["because_of"]["finding"] == send
            && tasks * 10 >= waiting["now"].as_u64().unwrap() * 9
    });
}

matrix!(known_leaks_are_found_and_their_repaired_twins_are_not, check, newest: [Plain], full: [Stripped]);
