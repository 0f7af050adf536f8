//! `loiter leaks` on saved snapshots: series, directories, fleets, formats and exit codes.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use loiter::snapshot::*;
use serde_json::Value;
use tempfile::TempDir;

#[path = "common/expected.rs"]
mod expected;
mod samples;

use expected::check;
use samples::{F, GOEXIT, GOPARK, Internal, Maker, Normal, SECOND};

const MAIN: &str = "/srv/api/<main>.go";

/// A reading of a process of `host`, `at` seconds after the first, with so many leaked senders. Some
/// names would do harm if they were not escaped.
fn reading(host: &str, at: u64, senders: u64) -> Snapshot {
    let mut m = Maker::new();
    m.builder.header.target.host = Some(host.to_owned());
    *m.builder.header.taken_at_ns.as_mut().unwrap() += at * SECOND;
    *m.builder.header.monotonic_ns.as_mut().unwrap() += at * SECOND;
    for runtime in &mut m.builder.header.runtimes {
        runtime.modules = vec![Module::new("example.com/api", Some("(devel)".to_owned()))];
        runtime.scheduler.tasks_created = Some(84_133 + at * 100);
        runtime.scheduler.max_workers = Some(2);
    }
    let evil: F = ("example.com/api.ask\x1b[31m|`.func1", "example.com/api", Normal, MAIN, 88);
    let send: F = ("runtime.chansend1", "runtime", Internal, "/usr/local/go/src/runtime/chan.go", 161);
    let sender = m.stack(&[GOPARK, send, evil, GOEXIT]);
    let creator = m.location(&[("example.com/api.ask", "example.com/api", Normal, MAIN, 84)]);
    for n in 0..senders {
        let channel = m.channel(0xc0_1000_0000 + n * 0x60, 0, 1, 0, "chan<T>");
        let waits = m.wait(WaitOp::Send, channel);
        let task = m.waiting(1000 + n, "chan send", Age::Unknown, sender);
        m.builder.task(samples::with!(task; creator: Some(creator), waits, mark: Some(1)));
    }
    let worker: F = ("example.com/api.worker", "example.com/api", Normal, MAIN, 12);
    let receive: F = ("runtime.chanrecv2", "runtime", Internal, "/usr/local/go/src/runtime/chan.go", 500);
    let worker = m.stack(&[GOPARK, receive, worker, GOEXIT]);
    let jobs = m.channel(0xc0_2000_0000, 16, 0, 4, "Job");
    for n in 0..4 {
        let waits = m.wait(WaitOp::Receive, jobs);
        let task = m.waiting(10 + n, "chan receive", Age::Unknown, worker);
        m.builder.task(samples::with!(task; creator: Some(creator), waits, mark: Some(at)));
    }
    m.finish()
}

/// Readings in files of a directory.
struct Saved(TempDir);

impl Saved {
    fn new(all: &[(&str, Snapshot)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, snapshot) in all {
            file::save(snapshot, &directory.path().join(name)).unwrap();
        }
        Saved(directory)
    }

    /// A leak of two goroutines a second.
    fn series() -> Self {
        let all: Vec<_> = (0..7)
            .map(|n| (["g", "f", "e", "d", "c", "b", "a"][n as usize], reading("web1", n * 5, 20 + n * 10)))
            .collect();
        Saved::new(&all)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn leaks(&self, arguments: &[&str]) -> Output {
        run(self.0.path(), self.0.path(), arguments)
    }
}

fn run(at: &Path, source: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.current_dir(at).arg("leaks").arg(source).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

#[test]
fn a_directory_is_a_series_in_the_order_of_time() {
    let saved = Saved::series();
    let report = json(&saved.leaks(&["--json"]));
    assert_eq!((&report["format"], &report["readings"]), (&"loiter-leaks".into(), &7.into()));
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["sureness"], &finding["now"], &finding["first"]),
        (&"likely".into(), &80.into(), &20.into())
    );
    assert_eq!(finding["growth"]["per_minute"], 120.0);
    assert_eq!(finding["rules"][0]["rule"], "send");
    // Evidence is data, with its sentence beside it.
    let because = finding["rules"][1]["because"].as_array().unwrap();
    assert_eq!(
        because[1],
        serde_json::json!({
            "kind": "flow", "created": 60, "arrived": 0, "ended": 0, "left": 0, "text": "60 were created and none ended",
        })
    );
    let send = &finding["rules"][0]["because"][0];
    assert_eq!(
        (&send["kind"], &send["op"], &send["channels"]["cap"]),
        (&"waits".into(), &"send".into(), &serde_json::json!([0, 0]))
    );
    assert_eq!(
        (&finding["cause"]["kind"], &finding["next"]["kind"]),
        (&"receiver-gone".into(), &"buffer-channel".into())
    );
    assert_eq!(report["rates"]["born_per_second"], 100.0);
    assert_eq!(report["findings"].as_array().unwrap().len(), 1);
    let qps = json(&saved.leaks(&["--json", "--qps", "50"]));
    assert_eq!(qps["rates"]["spawns_per_request"], 2.0);
}

#[test]
fn reports_look_right_and_are_harmless() {
    let saved = Saved::series();
    let reports = [
        ("leaks-text", saved.leaks(&[])),
        ("leaks-text-verbose", saved.leaks(&["-v"])),
        ("leaks-markdown", saved.leaks(&["--format", "markdown"])),
    ];
    for (name, output) in reports {
        let text = text(&output);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{name}: {text:?}");
        check(name, &text);
    }
}

#[test]
fn fail_on_gives_exit_code_1() {
    let saved = Saved::series();
    for (limit, code) in [("suspect", 1), ("likely", 1), ("stuck", 0), ("proven", 0)] {
        let output = saved.leaks(&["--fail-on", limit]);
        assert_eq!(output.status.code(), Some(code), "{limit}");
        let told = String::from_utf8_lossy(&output.stderr).contains("--fail-on");
        assert_eq!(told, code == 1, "{limit}");
    }
    assert_eq!(saved.leaks(&["--fail-on", "certain"]).status.code(), Some(2));
}

/// What is said of the scheduler is no leak: it stands apart, and fails only what asks for it.
#[test]
fn the_scheduler_is_no_leak() {
    let mut snapshots: Vec<_> = (0..7).map(|n| ("abcdefg", n, reading("web1", n * 5, 20))).collect();
    for (_, _, snapshot) in &mut snapshots {
        snapshot.header.process.cpus_allowed = Some(2);
        for runtime in &mut snapshot.header.runtimes {
            runtime.scheduler.max_workers = Some(8);
        }
    }
    let named: Vec<_> = snapshots
        .iter()
        .map(|(names, n, snapshot)| (&names[*n as usize..*n as usize + 1], snapshot.clone()))
        .collect();
    let saved = Saved::new(&named);
    let code = |limit: &str| saved.leaks(&["--fail-on", limit]).status.code();
    assert_eq!(["suspect", "scheduler", "likely,scheduler", "Likely"].map(code), [0, 1, 1, 0].map(Some));
    let report = json(&saved.leaks(&["--json"]));
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    assert_eq!(report["scheduler"][0]["rule"], "more-workers-than-cpus");
    let words = "scheduler, no leak: 8 Ps for 2 CPUs that its CPU affinity allows";
    assert!(text(&saved.leaks(&[])).contains(words), "{}", text(&saved.leaks(&[])));
    let markdown = text(&saved.leaks(&["--format", "markdown"]));
    assert!(markdown.contains("## The scheduler") && markdown.contains("Nothing stands out"), "{markdown}");
    // In a fleet, too.
    let fleet = json(&saved.leaks(&["--json", "--fleet"]));
    assert_eq!(fleet["scheduler"][0]["processes"].as_array().unwrap().len(), 7);
    assert!(text(&saved.leaks(&["--fleet"])).contains("scheduler, no leak, in 7 of 7 processes: 8 Ps"));
    assert_eq!(saved.leaks(&["--fleet", "--fail-on", "scheduler"]).status.code(), Some(1));
}

/// Too few readings show nothing: that is no health.
#[test]
fn too_few_readings_leave_it_undecided() {
    let saved = Saved::new(&[("a", reading("web1", 0, 14_000)), ("b", reading("web1", 5, 14_002))]);
    let report = json(&saved.leaks(&["--json"]));
    assert_eq!((&report["findings"], &report["healthy"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    let undecided = report["undecided"].as_array().unwrap();
    assert_eq!(undecided.iter().map(|one| one["count"].as_u64().unwrap()).sum::<u64>(), 14_006);
    let why = serde_json::json!({
        "kind": "few-readings", "text": "fewer than four readings do not show whether they grow",
    });
    assert!(undecided.iter().all(|one| one["why"] == why), "{undecided:?}");
    for arguments in [&[][..], &["-v"], &["--format", "markdown"]] {
        let text = text(&saved.leaks(arguments));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(text.to_lowercase().contains("undecided"), "{text}");
        assert!(!text.contains("healthy"), "{text}");
    }
}

#[test]
fn what_is_ignored_is_no_finding() {
    let saved = Saved::series();
    let at = tempfile::tempdir().unwrap();
    let count = |arguments: &[&str]| {
        let report = json(&run(at.path(), saved.0.path(), &[arguments, &["--json"]].concat()));
        (report["findings"].as_array().unwrap().len(), report["ignored_tasks"].as_u64().unwrap())
    };
    assert_eq!(count(&[]), (1, 0));
    assert_eq!(count(&["--ignore", "function:api.ask"]), (0, 80));
    assert_eq!(count(&["--ignore", "creator:other", "--ignore", "module:example.org/*"]), (1, 0));
    fs::write(at.path().join(".loiterignore"), "# known\ncreator:api.ask\n").unwrap();
    assert_eq!(count(&[]), (0, 84));
    // Who silenced how much stands in every report.
    let report = json(&run(at.path(), saved.0.path(), &["--json"]));
    assert_eq!(report["ignore_file"], serde_json::json!({"path": ".loiterignore", "tasks": 84}));
    for format in ["text", "markdown"] {
        let output = run(at.path(), saved.0.path(), &["--format", format]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("84 goroutines by the ignore file .loiterignore"), "{text}");
    }
    fs::write(at.path().join("other"), "module:example.org\n").unwrap();
    assert_eq!(count(&["--ignore-file", "other"]), (1, 0));

    let missing = run(at.path(), saved.0.path(), &["--ignore-file", "missing"]);
    assert_eq!(missing.status.code(), Some(2));
    fs::write(at.path().join("other"), "module:\n").unwrap();
    let wrong = run(at.path(), saved.0.path(), &["--ignore-file", "other"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("other: line 1: a pattern is missing"));
}

#[test]
fn what_was_there_before_is_no_finding() {
    let saved = Saved::series();
    let before = Saved::new(&[("many", reading("web1", 0, 80)), ("few", reading("web1", 0, 79))]);
    for (name, findings) in [("many", 0), ("few", 1)] {
        let report = json(&saved.leaks(&["--json", "--baseline", before.path(name).to_str().unwrap()]));
        assert_eq!(report["findings"].as_array().unwrap().len(), findings, "{name}");
    }
}

#[test]
fn a_list_of_known_kinds_shrinks() {
    let saved = Saved::series();
    let fleet = Saved::new(&[("a", reading("web1", 0, 30)), ("b", reading("web2", 0, 40))]);
    let at = tempfile::tempdir().unwrap();
    let list = at.path().join("leaks.baseline");
    let file = list.to_str().unwrap();
    let leaks = |saved: &Saved, arguments: &[&str]| {
        let output = saved.leaks(&[arguments, &["--fail-on", "suspect"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), stderr)
    };
    assert_eq!(leaks(&saved, &[]).0, Some(1));
    let (status, _, said) = leaks(&saved, &["--write-baseline", file]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("leaks.baseline has 1 kind of example.com/api: 1 new; 0 lines went"), "{said}");
    let written = fs::read_to_string(&list).unwrap();
    let line = r"example.com/api.ask\u{1b}[31m\|`.func1 | example.com/api.ask | chan send";
    assert!(written.contains(&format!("\n[example.com/api]\n{line}\n")), "{written}");
    // The same kind in any number, and of other processes of the program.
    for (saved, tasks) in [(&saved, 80), (&fleet, 70)] {
        let (status, text, _) = leaks(saved, &["--baseline", file]);
        let known = format!("known by the baseline: {tasks} goroutines of 1 kind");
        assert!(status == Some(0) && text.contains(&known), "{text}");
        let report: Value = serde_json::from_str(&leaks(saved, &["--baseline", file, "--json"]).1).unwrap();
        assert_eq!((&report["baseline_tasks"], &report["stale"]), (&tasks.into(), &serde_json::json!([])));
    }

    let older = written.replace(line, &format!("{line} | until 2000-01-31 # API-212\ngone | * | select"));
    fs::write(&list, older).unwrap();
    for saved in [&saved, &fleet] {
        let (status, text, _) = leaks(saved, &["--baseline", file]);
        assert_eq!(status, Some(1), "{text}");
        for remark in [
            "no longer known: 1 line of the baseline is past the last day",
            "no longer needed: 1 line of the baseline (--write-baseline removes them)",
            "gone | * | select",
        ] {
            assert!(text.contains(remark), "{remark}: {text}");
        }
        let markdown = leaks(saved, &["--baseline", file, "--format", "markdown"]).1;
        assert!(markdown.contains("- `line 8: gone | * | select`"), "{markdown}");
        let report: Value = serde_json::from_str(&leaks(saved, &["--baseline", file, "--json"]).1).unwrap();
        let first = |name: &str| report[name][0]["number"].as_u64();
        assert_eq!((first("expired"), first("stale")), (Some(7), Some(8)), "{report}");
        assert_eq!(report["expired"][0]["until"], "2000-01-31");
    }
    let (_, _, said) = leaks(&saved, &["--write-baseline", file]);
    assert!(said.contains("1 kind of example.com/api: 0 new; 1 line went"), "{said}");
    let written = fs::read_to_string(&list).unwrap();
    assert!(written.contains("# API-212") && !written.contains("gone"), "{written}");

    let missing = leaks(&saved, &["--baseline", "missing.baseline"]);
    assert!(missing.0 == Some(2) && missing.2.contains("missing.baseline"), "{missing:?}");
    fs::write(&list, "# loiter baseline 1\na | b\n").unwrap();
    assert!(leaks(&saved, &["--baseline", file]).2.contains("line 2: use FUNCTION | CREATOR | REASON"));
}

#[test]
fn snapshots_of_several_hosts_are_a_fleet() {
    let sizes = [("web1", 30), ("web2", 2_000), ("web3", 40)];
    let all: Vec<_> = sizes.iter().map(|&(host, n)| (host, reading(host, 0, n))).collect();
    let saved = Saved::new(&all);
    let fleet = json(&saved.leaks(&["--json"]));
    assert_eq!((&fleet["format"], &fleet["processes"]), (&"loiter-leaks-fleet".into(), &3.into()));
    let group = &fleet["groups"][0];
    assert_eq!((&group["spread"]["total"], &group["spread"]["largest"]), (&2_070.into(), &2_000.into()));
    let rms = group["spread"]["root_mean_square"].as_f64().unwrap();
    assert!((rms - ((30.0_f64.powi(2) + 2_000.0_f64.powi(2) + 40.0_f64.powi(2)) / 3.0).sqrt()).abs() < 1e-6);
    assert!(group["spread"]["processes"][0]["process"].as_str().unwrap().contains("web2"));
    assert_eq!(fleet["findings"][0]["spread"]["total"], 2_070);
    check("leaks-fleet-text", &text(&saved.leaks(&[])));
    check("leaks-fleet-markdown", &text(&saved.leaks(&["--format", "markdown"])));

    // The same process, but taken for several.
    let apart = json(&Saved::series().leaks(&["--json", "--fleet"]));
    assert_eq!(apart["processes"], 7);
}

#[test]
fn one_reading_says_what_it_can() {
    let saved = Saved::new(&[("one", reading("web1", 0, 50))]);
    let output = run(saved.0.path(), &saved.path("one"), &[]);
    let text = text(&output);
    assert!(text.contains("SUSPECT  50 goroutines stay in chan send"), "{text}");
    assert!(text.contains("one reading shows neither growth nor what stays"), "{text}");
}

#[test]
fn a_crash_because_nothing_can_run_is_proven() {
    let dumps = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dumps");
    let output = run(&dumps, Path::new("go1.27-deadlock.txt"), &["--json", "--fail-on", "proven"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = &report["findings"];
    let all: Vec<_> = findings.as_array().unwrap().iter().collect();
    assert!(!all.is_empty() && all.iter().all(|finding| finding["sureness"] == "proven"), "{findings}");
    let count: u64 = all.iter().map(|finding| finding["now"].as_u64().unwrap()).sum();
    assert_eq!(count, 2, "{findings}");
    // In a program that panicked, only what can never go on by itself is proven.
    let panicked = json(&run(&dumps, Path::new("go1.27-panic.txt"), &["--json"]));
    let proven = panicked["findings"].as_array().unwrap().iter().filter(|f| f["sureness"] == "proven");
    let summaries: Vec<_> = proven.map(|finding| finding["summary"].as_str().unwrap()).collect();
    assert_eq!(summaries.len(), 2, "{summaries:?}");
}

#[test]
fn what_makes_no_sense_is_said() {
    let saved = Saved::series();
    let empty = tempfile::tempdir().unwrap();
    let failed = |source: &Path, arguments: &[&str]| {
        let output = run(empty.path(), source, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(failed(empty.path(), &[]).contains("this directory contains no files"));
    assert!(failed(saved.0.path(), &["--qps", "0"]).contains("a number above 0"));
    assert!(
        failed(Path::new("1"), &["--for", "1s", "--every", "5s"]).contains("--for is shorter than --every")
    );
    assert!(failed(Path::new("1"), &["--every", "1ms"]).contains("10ms or more"));
}

const CACHE: &str = "/srv/api/<cache>.go";

/// A program in which several things have gone wrong with locks. Some names would do harm if they were
/// not escaped.
fn locked() -> Snapshot {
    let mut m = Maker::new();
    m.builder.header.target.host = Some("web1".to_owned());
    let main: F = ("main.main", "main", Normal, MAIN, 20);
    let creator = m.location(&[main]);
    let lock: F = ("sync.(*Mutex).Lock", "sync", Normal, "/usr/local/go/src/sync/mutex.go", 46);
    let read: F = ("sync.(*RWMutex).RLock", "sync", Normal, "/usr/local/go/src/sync/rwmutex.go", 72);
    let write: F = ("sync.(*RWMutex).Lock", "sync", Normal, "/usr/local/go/src/sync/rwmutex.go", 155);
    let transfer: F = ("main.transfer", "main", Normal, MAIN, 40);
    let get: F = ("main.(*cache).get", "main", Normal, CACHE, 77);
    let refresh: F = ("main.(*cache).refresh\x1b[31m|`", "main", Normal, CACHE, 44);
    let poll: F = ("main.poll", "main", Normal, CACHE, 90);
    let settings: F = ("main.(*settings).get", "main", Normal, MAIN, 61);
    let reload: F = ("main.(*settings).reload", "main", Normal, MAIN, 66);
    let mutex = |m: &mut Maker, address| {
        let mutex = m.builder.object(ObjectKind::Mutex, address, |_| None);
        m.builder.set_lock_state(mutex, LockState::Exclusive);
        mutex
    };
    let held = |m: &mut Maker, object, how, at| {
        let location = m.location(&[at]);
        m.builder.holds([Hold { object, how, location: Some(location) }])
    };
    // Each holds what the other one waits for.
    let pair = [mutex(&mut m, 0xc0_0001_2040), mutex(&mut m, 0xc0_0001_2048)];
    let transferring = m.stack(&[GOPARK, lock, transfer, GOEXIT]);
    for (id, mine, other) in [(18, pair[0], pair[1]), (19, pair[1], pair[0])] {
        let (waits, holds) = (m.wait(WaitOp::Lock, other), held(&mut m, mine, HoldKind::Exclusive, transfer));
        let task = m.waiting(id, "sync.Mutex.Lock", Age::Unknown, transferring);
        m.builder.task(samples::with!(task; creator: Some(creator), waits, holds));
    }
    // Forty wait for a cache whose holder waits for another lock, whose holder waits for a reply.
    let (cache, upstream) = (mutex(&mut m, 0xc0_0002_0000), mutex(&mut m, 0xc0_0002_0100));
    let getting = m.stack(&[GOPARK, lock, get, ("main.handle", "main", Normal, MAIN, 30), GOEXIT]);
    for id in 100..140 {
        let waits = m.wait(WaitOp::Lock, cache);
        let task = m.waiting(id, "sync.Mutex.Lock", Age::AtLeast(120 * SECOND), getting);
        m.builder.task(samples::with!(task; creator: Some(creator), waits));
    }
    let refreshing = m.stack(&[GOPARK, lock, refresh, GOEXIT]);
    let (waits, holds) = (m.wait(WaitOp::Lock, upstream), held(&mut m, cache, HoldKind::Exclusive, refresh));
    let task = m.waiting(50, "sync.Mutex.Lock", Age::AtLeast(130 * SECOND), refreshing);
    m.builder.task(samples::with!(task; creator: Some(creator), waits, holds));
    let polling = m.stack(&[GOPARK, poll, GOEXIT]);
    let replies = m.channel(0xc0_3000_0000, 0, 0, 1, "Reply");
    let (waits, holds) =
        (m.wait(WaitOp::Receive, replies), held(&mut m, upstream, HoldKind::Exclusive, poll));
    let task = m.waiting(51, "chan receive", Age::Exactly(140 * SECOND), polling);
    m.builder.task(samples::with!(task; creator: Some(creator), waits, holds));
    // One reads twice, and a writer came in between.
    let rw = m.builder.object(ObjectKind::RwMutex, 0xc0_0004_0000, |_| None);
    m.builder.set_lock_state(rw, LockState::Shared(1));
    let reading = m.stack(&[GOPARK, read, settings, GOEXIT]);
    let (waits, holds) = (m.wait(WaitOp::ReadLock, rw), held(&mut m, rw, HoldKind::Shared, settings));
    let task = m.waiting(60, "sync.RWMutex.RLock", Age::Unknown, reading);
    m.builder.task(samples::with!(task; creator: Some(creator), waits, holds));
    let writing = m.stack(&[GOPARK, write, reload, GOEXIT]);
    let waits = m.wait(WaitOp::Lock, rw);
    let task = m.waiting(61, "sync.RWMutex.Lock", Age::Unknown, writing);
    m.builder.task(samples::with!(task; creator: Some(creator), waits));
    // Of one lock only the address was found.
    let table = mutex(&mut m, 0xc0_0005_0000);
    let updating = m.stack(&[GOPARK, lock, ("main.update", "main", Normal, MAIN, 71), GOEXIT]);
    let waits = m.wait(WaitOp::Lock, table);
    let task = m.waiting(70, "sync.Mutex.Lock", Age::AtLeast(90 * SECOND), updating);
    m.builder.task(samples::with!(task; creator: Some(creator), waits));
    let ticking = m.stack(&[GOPARK, ("main.tick", "main", Normal, MAIN, 80), GOEXIT]);
    let holds = m.builder.holds([Hold { object: table, how: HoldKind::Perhaps, location: None }]);
    let task = m.waiting(71, "sleep", Age::Unknown, ticking);
    m.builder.task(samples::with!(task; creator: Some(creator), holds));
    m.finish()
}

#[test]
fn holders_of_locks_look_right_and_are_harmless() {
    let saved = Saved::new(&[("one", locked())]);
    let leaks = |arguments: &[&str]| run(saved.0.path(), &saved.path("one"), arguments);
    for (name, arguments) in
        [("leaks-locks-text", &[][..]), ("leaks-locks-markdown", &["--format", "markdown"])]
    {
        let text = text(&leaks(arguments));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{name}: {text:?}");
        check(name, &text);
    }
    let report = json(&leaks(&["--json"]));
    let holders: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|f| f["holders"].as_array().unwrap())
        .collect();
    check("leaks-locks-json", &serde_json::to_string_pretty(&holders).unwrap());
    assert_eq!(leaks(&["--fail-on", "stuck"]).status.code(), Some(1));
    assert_eq!(leaks(&["--fail-on", "proven"]).status.code(), Some(0));
}
