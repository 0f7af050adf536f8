//! Whatever happens to loiter or to the memory of its target: nothing stays stopped, and every command
//! answers.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::pty;
use common::random::Random;
use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, amount, build, threads};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is true.
fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// How often the threads of a process have slept: it grows while the process works.
fn sleeps(pid: u32) -> u64 {
    let of_thread = |tid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    threads::states(pid).into_iter().map(|(tid, _)| of_thread(tid)).sum()
}

/// Nothing holds the process, and it works.
fn runs_on(pid: u32) {
    eventually("nothing is held", || threads::stopped(pid).is_empty() && threads::tracers(pid).is_empty());
    let before = sleeps(pid);
    eventually("it works", || sleeps(pid) > before);
}

/// A process has ended; somebody else may have to wait for it.
fn is_over(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

fn loiter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Not in an orphaned group, in which the signals of job control do nothing.
    command.process_group(0);
    command
}

/// `loiter watch` in a terminal of its own.
fn watch(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(arguments).env("TERM", "xterm-256color");
    let (child, mut output, _) = pty::start(command, 80, 24);
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(1..) = output.read(&mut bytes) {}
    });
    child
}

#[test]
fn every_signal_at_random_moments() {
    const SIGNALS: [Signal; 7] = [
        Signal::SIGSTOP,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGKILL,
        Signal::SIGTERM,
        Signal::SIGINT,
    ];
    let toolchain = Toolchain::get(QUICK_VERSIONS[1]);
    let program = build(&toolchain, Program::Fixtures, Flavour::Stripped);
    let variables = [("COUNT", "2000"), ("MODE", "mixed"), ("RATE", "500")];
    let fixture = Fixture::start_with(&program, &["parked", "churn", "spinners"], &variables);
    let pid = fixture.pid().to_string();
    let file = fixture.dir().join("x.loiter");
    let file = file.to_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["stacks", &pid, "--freeze=1s"],
        &["snapshot", &pid, "--freeze=1s", "-o", file],
        &["stacks", &pid],
        &["leaks", &pid, "--freeze=1s", "--for", "60s", "--every", "100ms"],
        &["watch", &pid, "--freeze=1s", "--interval", "100ms"],
    ];
    let mut random = Random::new(7);
    let mut tracers = BTreeSet::new();
    let mut in_a_stop = 0;
    for command in commands {
        let start = || if command[0] == "watch" { watch(command) } else { loiter(command).spawn().unwrap() };
        // How long a reading takes decides where the moments lie.
        let began = Instant::now();
        loiter(&["stacks", &pid, "--freeze=1s"]).status().unwrap();
        let typical = began.elapsed();
        for signal in SIGNALS {
            for _ in 0..amount("LOITER_STOPS", 4, 12) {
                let mut child = start();
                thread::sleep(Duration::from_nanos(random.below(typical.as_nanos() as u64 * 5 / 4)));
                let held: BTreeSet<u32> =
                    threads::tracers(fixture.pid()).into_iter().map(|(_, t)| t).collect();
                in_a_stop += u32::from(!held.is_empty());
                tracers.extend(held);
                let its = Pid::from_raw(child.id().cast_signed());
                kill(its, signal).unwrap();
                if matches!(command[0], "leaks" | "watch") && signal != Signal::SIGKILL {
                    // They go on stopping it, but for moments.
                    let before = sleeps(fixture.pid());
                    eventually("it works", || sleeps(fixture.pid()) > before);
                } else {
                    runs_on(fixture.pid());
                }
                kill(its, Signal::SIGKILL).unwrap();
                child.wait().unwrap();
                runs_on(fixture.pid());
            }
        }
    }
    eprintln!("{in_a_stop} signals came in the middle of a stop; {} tracers were seen", tracers.len());
    eventually("no tracer is left", || tracers.iter().all(|&tracer| is_over(tracer)));
}

fn start_lazy() -> Fixture {
    let toolchain = Toolchain::get(QUICK_VERSIONS[1]);
    let program = build(&toolchain, Program::Lazy, Flavour::Plain);
    let mut child = Command::new(&program).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    assert_ne!(
        child.wait().unwrap().code(),
        Some(3),
        "userfaultfd cannot be used here: run the tests as root, or set vm.unprivileged_userfaultfd to 1 \
         (sysctl vm.unprivileged_userfaultfd=1)"
    );
    Fixture::start(&program, &[])
}

fn run(arguments: &[&str]) -> (Output, Duration) {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_loiter")).args(arguments).output().unwrap();
    (output, began.elapsed())
}

#[test]
fn a_page_that_does_not_come() {
    let fixture = start_lazy();
    let pid = fixture.pid().to_string();
    let file = fixture.dir().join("x.loiter");
    let commands: [(&[&str], &str); 5] = [
        (&["stacks", &pid, "--freeze=1s"], "was let go after 1 s"),
        (&["snapshot", &pid, "--freeze=1s", "-o", file.to_str().unwrap()], "was let go after 1 s"),
        (&["stacks", &pid], "did not return within 5 s"),
        (&["flame", &pid, "--no-pause", "--format", "folded"], "did not return within 5 s"),
        (&["leaks", &pid, "--for", "60s", "--every", "20s"], "did not return within 5 s"),
    ];
    for (command, expected) in commands {
        let (mut output, mut took) = run(command);
        for _ in 0..10 {
            // On a slow machine the second may be over before it comes to the page.
            if !String::from_utf8_lossy(&output.stderr).contains("a longer --freeze=DURATION") {
                break;
            }
            (output, took) = run(command);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{command:?}: {text}");
        assert!(text.contains(expected) && text.contains("userfaultfd, FUSE or NFS?"), "{command:?}: {text}");
        assert!(took < PATIENCE, "{command:?} took {took:?}");
        assert!(!file.exists());
        runs_on(fixture.pid());
    }
}

#[test]
fn ctrl_c_while_a_read_hangs() {
    let fixture = start_lazy();
    let pid = fixture.pid().to_string();
    let commands: [&[&str]; 4] = [
        &["stacks", &pid, "--freeze=1h"],
        &["leaks", &pid, "--freeze=1h", "--for", "1h"],
        &["leaks", &pid, "--for", "1h"],
        &["watch", &pid, "--freeze=1h"],
    ];
    for command in commands {
        let mut child = if command[0] == "watch" { watch(command) } else { loiter(command).spawn().unwrap() };
        let reads = format!("{} {:#x} ", libc::SYS_process_vm_readv, fixture.pid());
        let hangs = |tid: u32| {
            let path = format!("/proc/{}/task/{tid}/syscall", child.id());
            fs::read_to_string(path).is_ok_and(|call| call.starts_with(&reads))
        };
        eventually("a read hangs", || threads::states(child.id()).into_iter().any(|(tid, _)| hangs(tid)));
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        eventually("it ends at the first signal", || child.try_wait().unwrap().is_some());
        runs_on(fixture.pid());
    }
}
