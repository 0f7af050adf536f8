//! `loiter gate --pid` on a real program whose goroutines grow on command.
//!
//! Whatever trips is decided by counts that the program changes only when it is told to, and each step waits for what
//! loiter says. So a slow machine makes it slower, and nothing else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use common::{Fixture, Flavour, GO_VERSIONS, Program, Toolchain, build};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

fn program() -> PathBuf {
    build(&Toolchain::get(GO_VERSIONS[GO_VERSIONS.len() - 1]), Program::Leaks, Flavour::Plain)
}

/// A program that leaks a sender whenever it is told to.
fn leaking() -> Fixture {
    Fixture::start_with(&program(), &["send", "leak"], &[("RATE", "0")])
}

fn leak(fixture: &mut Fixture, goroutines: u32) {
    (0..goroutines).for_each(|_| drop(fixture.ask("step")));
}

fn loiter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.arg("gate").args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    loiter(arguments).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A gate that runs, and the events that it has not said yet.
struct Gate {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Gate {
    fn start(arguments: &[&str]) -> Gate {
        let mut child = loiter(arguments).arg("--json").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Gate { child, lines }
    }

    /// The next event.
    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("loiter has ended").unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&event["format"], &event["version"]), (&"loiter-gate-watch".into(), &2.into()));
        event
    }

    /// The next event of this kind, which is the next one of all unless it is about a group.
    fn expect(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next();
            if event["event"] == kind {
                return event;
            }
            assert!(event["group"].is_string(), "{kind} was expected: {event}");
        }
    }

    /// Ends it early, and returns its last event and its status.
    fn stop(mut self) -> (Value, Option<i32>) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let last = self.lines.by_ref().map(|line| line.unwrap()).last().unwrap();
        let code = self.child.wait().unwrap().code();
        (serde_json::from_str(&last).unwrap(), code)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// How often it is read, and how long a period is. Two of the four readings of a period are enough to judge it.
const OFTEN: [&str; 4] = ["--every", "250ms", "--period", "1s"];

/// Learns, with readings as fast as they come, and for longer where a slow machine makes too few.
fn learn(fixture: &Fixture, state: &str) -> Value {
    let pid = fixture.pid().to_string();
    let mut times = ["3s", "15s", "75s"].into_iter();
    loop {
        let time = times.next().expect("too few readings to learn from");
        let output =
            run(&["--pid", &pid, "--learn", "--state", state, "--for", time, "--every", "50ms", "--json"]);
        if !errors(&output).contains("too few to learn from") {
            assert!(output.status.success(), "{}", errors(&output));
            return serde_json::from_slice(&output.stdout).unwrap();
        }
    }
}

#[test]
fn a_learned_threshold_trips_once_for_an_excursion_and_over_restarts_of_loiter() {
    let place = Place::new();
    let state = place.path("state");
    let mut fixture = leaking();
    let pid = fixture.pid().to_string();
    let learned = learn(&fixture, &state);
    let all = &learned["learned"]["thresholds"][0];
    let (p95, threshold) = (all["p95"].as_u64().unwrap(), all["threshold"].as_u64().unwrap());
    assert!(learned["event"] == "learned" && p95 > 5 && threshold >= p95 + 10, "{learned}");

    let ran = place
        .script("ran", &format!("echo \"$#:$1:$LOITER_REPORT:$LOITER_TRIP\" >> {}", place.path("ran.txt")));
    let reports = place.path("reports");
    let arguments = ["--pid", &pid, "--state", &state, "--for", "1h"];
    let arguments = [&arguments[..], &OFTEN, &["--keep", &reports, "--on-trip", &ran]].concat();
    let mut gate = Gate::start(&arguments);
    assert_eq!(gate.expect("begin")["learned"]["thresholds"][0]["threshold"], threshold);
    leak(&mut fixture, u32::try_from(threshold).unwrap());
    // The group trips too, in the same period or in another one: the next loiter must find that done.
    let trip = gate.expect_all_and_group();
    assert_eq!((&trip["limit"], &trip["allowed"]), (&"learned".into(), &threshold.into()), "{trip}");
    let counts: Vec<u64> = trip["counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert!(counts.len() == 3 && counts.iter().all(|&count| count > threshold), "{trip}");
    assert!(trip["because"].as_str().unwrap().contains("the learned P95 is"), "{trip}");
    let command = gate.expect("command");
    assert_eq!(
        (&command["succeeded"], &command["how"]),
        (&true.into(), &"exit status 0".into()),
        "{command}"
    );

    // The report is complete, and all other commands read its snapshot.
    let report = Path::new(trip["report"].as_str().unwrap());
    let text = fs::read_to_string(report.join("report.txt")).unwrap();
    assert!(text.contains("TRIPPED") && text.contains("chan send") && text.contains("THRESHOLD"), "{text}");
    let stacks = Command::new(env!("CARGO_BIN_EXE_loiter"))
        .args(["stacks", report.join("snapshot.loiter").to_str().unwrap()])
        .output()
        .unwrap();
    assert!(stacks.status.success(), "{}", errors(&stacks));
    let (end, code) = gate.stop();
    assert_eq!((&end["event"], code), (&"end".into(), Some(1)), "{end}");

    // The next loiter knows that it has tripped: it says so, and runs nothing.
    let before = fs::read_to_string(place.path("ran.txt")).unwrap();
    let mut gate = Gate::start(&arguments);
    let begin = gate.expect("begin");
    assert!(begin["tripped"].as_array().unwrap().contains(&Value::Null), "{begin}");
    leak(&mut fixture, 5);
    let (end, code) = gate.stop();
    assert!(end["trips"] == 0 && end["tripped"].as_array().unwrap().contains(&Value::Null), "{end}");
    assert_eq!(code, Some(1));
    assert_eq!(fs::read_to_string(place.path("ran.txt")).unwrap(), before);
    // Each line is of one call, with the folder as its only argument.
    for line in before.lines() {
        let parts: Vec<&str> = line.split(':').collect();
        assert!(parts[0] == "1" && parts[1] == parts[2] && Path::new(parts[1]).is_dir(), "{line}");
    }
}

impl Gate {
    /// The next trips of all tasks and of a group, in either order. Returns that of all tasks.
    fn expect_all_and_group(&mut self) -> Value {
        let (mut all, mut group) = (Value::Null, false);
        while all.is_null() || !group {
            let event = self.next();
            match (event["event"] == "trip", event["group"].is_null()) {
                (true, true) => all = event,
                (true, false) => group = true,
                (false, _) => {}
            }
        }
        all
    }
}

#[test]
fn too_many_tasks_trip_in_one_reading() {
    let mut fixture = leaking();
    let pid = fixture.pid().to_string();
    let arguments = ["--pid", &pid, "--max-tasks", "500", "--for", "1h", "--exit-code", "42"];
    let mut gate = Gate::start(&[&arguments[..], &OFTEN].concat());
    let begin = gate.expect("begin");
    assert!(begin["tasks"].as_u64().unwrap() < 500 && begin["learned"].is_null(), "{begin}");
    leak(&mut fixture, 500);
    let trip = gate.expect("trip");
    assert_eq!((&trip["limit"], &trip["allowed"]), (&"tasks".into(), &500.into()));
    assert!(trip["counts"][0].as_u64().unwrap() > 500 && trip["report"].is_null(), "{trip}");
    // By default a trip changes the status, and nothing more.
    let (end, code) = gate.stop();
    assert_eq!((&end["trips"], code), (&1.into(), Some(42)), "{end}");
}

#[test]
fn growth_trips_when_it_is_certain() {
    let mut fixture = leaking();
    let pid = fixture.pid().to_string();
    let arguments = ["--pid", &pid, "--max-growth", "1/min", "--for", "1h"];
    let mut gate = Gate::start(&[&arguments[..], &OFTEN].concat());
    gate.expect("begin");
    // It grows until loiter says so.
    let trip = std::thread::scope(|scope| {
        let said = scope.spawn(|| gate.expect_any_trip());
        while !said.is_finished() {
            leak(&mut fixture, 1);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        said.join().unwrap()
    });
    assert_eq!((&trip["limit"], &trip["allowed"]), (&"growth".into(), &1.0.into()), "{trip}");
    let (rate, sure) =
        (trip["growth"]["per_minute"].as_f64().unwrap(), trip["growth"]["plus_minus"].as_f64());
    assert!(rate - sure.unwrap() > 1.0, "{trip}");
}

impl Gate {
    fn expect_any_trip(&mut self) -> Value {
        loop {
            let event = self.next();
            if event["event"] == "trip" {
                return event;
            }
        }
    }
}

#[test]
fn what_is_within_its_limits_passes_and_what_is_undecided_is_said() {
    let fixture = leaking();
    let pid = fixture.pid().to_string();
    let output = run(&[
        "--pid",
        &pid,
        "--max-tasks",
        "100000",
        "--max-growth",
        "1000000/s",
        "--for",
        "2s",
        "--period",
        "1m",
    ]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}{}", errors(&output));
    assert!(text.contains("no trip in"), "{text}");
    assert!(text.contains("growth is undecided: it takes 4 judged periods"), "{text}");
    assert!(text.contains("100,000 goroutines are allowed at any time"), "{text}");
}

#[test]
fn the_end_of_the_process_ends_it() {
    let fixture = leaking();
    let pid = fixture.pid().to_string();
    let mut gate = Gate::start(&["--pid", &pid, "--max-tasks", "100000", "--for", "1h"]);
    gate.expect("begin");
    drop(fixture);
    assert_eq!(gate.expect("end")["trips"], 0);
    assert_eq!(gate.child.wait().unwrap().code(), Some(0));
    let gone = run(&["--pid", &pid, "--max-tasks", "1"]);
    assert_eq!(gone.status.code(), Some(4), "{}", errors(&gone));
}

/// A name means whatever process has it: the one that replaces it is watched on, as another one.
#[test]
fn a_program_is_followed_by_its_name() {
    let place = Place::new();
    let name = format!("trip-{}", std::process::id());
    let own = PathBuf::from(place.path(&name));
    fs::copy(program(), &own).unwrap();
    let start = || Fixture::start_with(&own, &["send", "leak"], &[("RATE", "0")]);
    let mut fixture = start();
    let state = place.path("state");
    let arguments = ["--pid", &name, "--max-tasks", "500", "--state", &state, "--for", "1h"];
    let mut gate = Gate::start(&[&arguments[..], &OFTEN].concat());
    gate.expect("begin");
    leak(&mut fixture, 500);
    let first = gate.expect("trip");
    drop(fixture);
    // What has tripped recovers when the new process is within the limit for five periods, and may then trip again.
    let mut fixture = start();
    let recovery = gate.expect("recovery");
    assert_eq!((&recovery["limit"], &recovery["allowed"]), (&"tasks".into(), &500.into()), "{recovery}");
    let seconds = |event: &Value| event["at_ns"].as_u64().unwrap() as f64 / 1e9;
    assert!(seconds(&recovery) - seconds(&first) > 2.0, "{first} {recovery}");
    leak(&mut fixture, 500);
    assert_eq!(gate.expect("trip")["limit"], "tasks");
    gate.stop();
    // Nobody else may have its state, and no other program is judged by it.
    let state_of = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    assert_eq!(state_of(Path::new(&state))["watched"]["program"]["pid"], fixture.pid());
    let other = leaking();
    let pid = other.pid().to_string();
    let refused = run(&["--pid", &pid, "--max-tasks", "500", "--state", &state, "--for", "1s"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(errors(&refused).contains(&format!("is of {name}, and this is leaks")), "{}", errors(&refused));
}

#[test]
fn what_goes_wrong_with_a_command_is_said_and_changes_no_status() {
    let place = Place::new();
    let fixture = leaking();
    let pid = fixture.pid().to_string();
    for (command, shell, said) in [
        ("/no/such/command", false, "it cannot be started: No such file"),
        ("echo trouble; exit 7", true, "exit status 7"),
    ] {
        let reports = place.path("reports");
        let mut arguments = vec!["--pid", &pid, "--max-tasks", "1", "--for", "500ms", "--keep", &reports];
        arguments.extend(["--on-trip", command]);
        arguments.extend(shell.then_some("--shell"));
        let output = run(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}{}", errors(&output));
        assert!(text.contains("FAILED") && text.contains(said), "{text}");
        assert!(!shell || text.contains("trouble"), "{text}");
    }
}

#[test]
fn without_a_limit_there_is_nothing_to_do() {
    let place = Place::new();
    let own = std::process::id().to_string();
    let refused = |arguments: &[&str]| {
        let output = run(&[&["--pid", &own][..], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        errors(&output)
    };
    assert!(refused(&[]).contains("give a limit"));
    let state = place.path("state");
    assert!(refused(&["--state", &state]).contains("begin with --learn"));
    fs::write(&state, "{}").unwrap();
    assert!(refused(&["--state", &state]).contains("it is no state of loiter gate"));
    assert!(refused(&["--max-tasks", "1", "--on-trip", " "]).contains("needs a command"));
    assert!(refused(&["--max-growth", "10"]).contains("10/min"));
}
