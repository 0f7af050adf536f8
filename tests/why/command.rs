//! The command: what it prints, and how it ends.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::random::Random;
use crate::plan::{How, Place, Plan, Program};
use crate::running::System;

fn loiter(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loiter")).arg("why").args(arguments).output().expect("loiter starts")
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Two tasks wait for a lock; its holder reads from another process, in which a task waits for a group.
pub(crate) fn small() -> (System, [Place; 4]) {
    let mut random = Random::new(5);
    let mut plan = Plan::default();
    let (here, there) = (plan.process(Program::Go("1.27", true)), plan.process(Program::Go("1.27", true)));
    let waiters = [plan.task(here), plan.task(here)];
    let (holder, owner, last) = (plan.task(here), plan.task(there), plan.task(there));
    plan.link(&waiters, holder, How::Mutex, &mut random);
    plan.link(&[holder], owner, How::Unix, &mut random);
    plan.link(&[owner], last, How::Group, &mut random);
    (System::start(plan), [waiters[0], holder, owner, last])
}

#[test]
fn it_follows_a_task_to_another_process() {
    let (system, [waiter, holder, owner, last]) = small();
    let (first, second) = (system.pid(0).to_string(), system.pid(1).to_string());
    let id = system.id(waiter).to_string();
    for arguments in [vec![first.as_str(), &id], vec!["-p", &first, &id]] {
        let (out, err) = text(&loiter(&arguments));
        assert!(out.starts_with(&format!("goroutine {id} waits to lock mutex")), "{out}\n{err}");
        assert!(out.contains(&format!("held by goroutine {}", system.id(holder))), "{out}");
        assert!(out.contains(&format!("pid {second}")), "{out}");
        assert!(out.contains(&format!("goroutine {}", system.id(owner))), "{out}");
        assert!(out.contains(&format!("goroutine {}", system.id(last))), "{out}");
        assert!(err.is_empty(), "{err}");
    }
    let (out, _) = text(&loiter(&[&first, "--no-other-processes"]));
    assert!(out.contains(&format!("goroutine {}", system.id(holder))) && !out.contains(&second), "{out}");
    let (out, _) = text(&loiter(&[&first, "--depth", "0"]));
    assert!(out.contains("not read") && out.contains("--depth"), "{out}");
    let (out, _) = text(&loiter(&[&first, "--function", "waitLock"]));
    assert!(out.starts_with("2 goroutines wait to lock mutex"), "{out}");
    let (out, _) = text(&loiter(&[&first, "--group", "1"]));
    assert!(out.starts_with("2 goroutines wait to lock mutex"), "{out}");
}

#[test]
fn every_format_is_written() {
    let (system, _) = small();
    let pid = system.pid(0).to_string();
    let (out, _) = text(&loiter(&[&pid, "--json"]));
    let json: Value = serde_json::from_str(&out).expect("it is JSON");
    let pids: Vec<u64> =
        json["processes"].as_array().unwrap().iter().map(|p| p["pid"].as_u64().unwrap()).collect();
    assert_eq!(pids, [u64::from(system.pid(0)), u64::from(system.pid(1))]);
    assert_eq!(json["proof"], "twice");
    for (name, start) in
        [("x.dot", "digraph"), ("x.gv", "digraph"), ("x.svg", "<svg"), ("x.json", "{"), ("x.txt", "why")]
    {
        let path = system.directory().join(name);
        let output = loiter(&[&pid, "-o", path.to_str().unwrap()]);
        assert!(output.status.success(), "{name}: {:?}", text(&output));
        let written = fs::read_to_string(&path).unwrap();
        assert!(written.starts_with(start), "{name}: {written}");
    }
    let (out, _) = text(&loiter(&[&pid, "--format", "dot"]));
    assert!(out.starts_with("digraph"), "{out}");
    let output = loiter(&[&pid, "-o", "x.what"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).1.contains("text, json, dot, svg"), "{output:?}");
}

#[test]
fn errors_say_what_is_there() {
    let (system, _) = small();
    let pid = system.pid(0).to_string();
    let output = loiter(&[&pid, "99999"]);
    let (_, err) = text(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("there is no goroutine 99999"), "{err}");
    assert!(err.contains("The closest ids are "), "{err}");
    let output = loiter(&[&pid, "--group", "99"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).1.contains("there is no group 99"), "{output:?}");
    assert_eq!(loiter(&["4194305"]).status.code(), Some(4));
    assert_eq!(loiter(&[]).status.code(), Some(2));
    assert_eq!(loiter(&["-p", &pid, "x"]).status.code(), Some(2));
}

/// A snapshot holds one process at one moment.
#[test]
fn a_snapshot_is_followed_as_far_as_it_goes() {
    let (system, [waiter, holder, ..]) = small();
    let path = system.directory().join("x.loiter");
    let path = path.to_str().unwrap();
    let save = ["snapshot", &system.pid(0).to_string(), "-o", path];
    let saved = Command::new(env!("CARGO_BIN_EXE_loiter")).args(save).output().unwrap();
    assert!(saved.status.success(), "{saved:?}");
    let (out, err) = text(&loiter(&[path, &system.id(waiter).to_string()]));
    assert!(out.contains(&format!("held by goroutine {}", system.id(holder))), "{out}\n{err}");
}

/// All of the machine: the system is found without naming it.
#[test]
fn all_processes_are_followed() {
    let (system, [_, holder, ..]) = small();
    let (out, err) = text(&loiter(&["--all", "-v"]));
    let is_there = out.contains(&format!("pid {}", system.pid(0)))
        && out.contains(&format!("held by goroutine {}", system.id(holder)));
    // Other tests may have more processes than are examined; that is said.
    assert!(is_there || out.contains("not examined"), "{out}\n{err}");
}

#[test]
fn a_stopped_process_is_said_to_be_stopped() {
    use nix::sys::signal::{Signal, kill};
    let (system, _) = small();
    let pid = system.pid(0);
    let to = nix::unistd::Pid::from_raw(pid.cast_signed());
    kill(to, Signal::SIGSTOP).unwrap();
    let is_stopped = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    while !is_stopped() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let (out, _) = text(&loiter(&[&pid.to_string()]));
    kill(to, Signal::SIGCONT).unwrap();
    assert!(out.contains(&format!("pid {pid} (")) && out.contains("is stopped, by a signal"), "{out}");
}
