//! A program is also read while it runs.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{gate, newest};

/// Runs a program that grows for so long, and ends it with a signal. Returns its status and what was said.
fn grow(options: &[&str], signal: Signal, time: Duration) -> (ExitStatus, String) {
    let mut options = options.to_vec();
    // Its goroutines end before it does, and may need a while for that: then they are not left.
    options.extend(["--watch=50ms", "--settle=60s"]);
    let mut command = gate(&options, &newest(), &["grow", "0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    std::thread::sleep(time);
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    (child.wait().unwrap(), told)
}

/// The same with more and more time, until there were enough readings for a finding: a slow machine makes few.
fn grown(options: &[&str], signal: Signal) -> (ExitStatus, String) {
    let mut time = Duration::from_secs(1);
    loop {
        let (status, told) = grow(options, signal, time);
        if told.contains("main.wait") || time > Duration::from_secs(60) {
            return (status, told);
        }
        time *= 2;
    }
}

#[test]
fn what_grew_and_ended_before_the_end_fails_the_gate() {
    for how in ["seccomp", "ptrace"] {
        let (status, told) = grown(&["--how", how], Signal::SIGTERM);
        assert_eq!(status.code(), Some(1), "{how}: {told}");
        let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
        for said in [
            "had 1 kind of goroutines that grew or was stuck while it ran",
            "after the first; not left at the end",
            "watched while it ran: ",
        ] {
            assert!(words.contains(said), "{how}: {told}");
        }
    }
}

#[test]
fn what_was_seen_is_told_of_a_program_that_is_killed() {
    let (status, told) = grown(&["--json"], Signal::SIGKILL);
    assert_eq!(status.signal(), Some(9));
    let document = told.find('{').map(|at| &told[at..]).unwrap_or_else(|| panic!("{told}"));
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    assert_eq!((&document["readings"], &document["fails"]), (&0.into(), &true.into()), "{told}");
    assert_eq!(document["unjudged"][0]["kind"], "end-not-read");
    let leak = &document["leaks"][0];
    assert_eq!((&leak["is_left"], &leak["kind"]["function"]), (&false.into(), &"main.wait".into()));
    assert!(leak["seen"]["readings"].as_u64() >= Some(3), "{told}");
    assert!(document["watched"]["cpu_ns"].as_u64() > Some(0), "{told}");
}

#[test]
fn a_watched_program_that_leaves_nothing_is_silent() {
    let output = crate::run(gate(&["--watch=10ms"], &newest(), &["output", "0"]));
    assert_eq!((output.status.code(), crate::stderr(&output).as_str()), (Some(0), "to stderr\n"));
}
