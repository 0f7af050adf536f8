//! Every way in which a program ends: the status is its own, and what it leaves is read.

use std::path::Path;
use std::process::Command;

use crate::common::{Flavour, matrix};
use crate::{gate, newest, plain, program, run, stderr};

/// How it ends, with how many goroutines left, and whether it can be held.
const ENDS: [(&[&str], bool); 11] = [
    (&["exit", "2", "5"], true),
    (&["exit-elsewhere", "2", "5"], true),
    (&["fatal", "2"], true),
    (&["panic", "2"], true),
    (&["panic-elsewhere", "2"], true),
    (&["nil", "2"], true),
    (&["lock-deadlock", "2"], true),
    (&["race", "2", "6"], true),
    (&["children", "2", "4"], true),
    (&["kill", "2", "9"], false),
    (&["kill", "2", "15"], false),
];

fn without(program: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(program);
    plain(command.args(arguments));
    run(command)
}

/// Goroutines that end the program at once may throw "exit hook invoked exit" up to Go 1.22, with the gate or without
/// (`runExitHooks` of Go's runtime/exithook.go; 1.23 has a lock).
fn may_throw(version: &str, arguments: &[&str]) -> bool {
    arguments[0] == "race" && ["1.21", "1.22"].iter().any(|old| version.starts_with(old))
}

fn every_end(version: &str, flavour: Flavour) {
    let program = program(version, flavour);
    // With cgo the runtime does not notice a deadlock: the program stays (`checkdead` of Go's runtime/proc.go).
    let stays = |arguments: &[&str]| flavour.is_cgo() && arguments[0] == "lock-deadlock";
    for (arguments, can_be_held) in
        ENDS.into_iter().filter(|(arguments, _)| !stays(arguments) && !may_throw(version, arguments))
    {
        // What is left is there already: there is nothing to wait for.
        let gated = run(gate(&["--settle", "0ms"], &program, arguments));
        let alone = without(&program, arguments);
        assert_eq!(gated.status, alone.status, "{arguments:?}: {}", stderr(&gated));
        assert_eq!(gated.stdout, alone.stdout, "{arguments:?}");
        let said = if can_be_held { "main.leak" } else { "nothing could be read" };
        assert!(stderr(&gated).contains(said), "{arguments:?}: {}", stderr(&gated));
    }
    // A status of 0 becomes another one, if something was left.
    let changed = run(gate(&["--exit-code", "77"], &program, &["return", "2"]));
    assert_eq!(changed.status.code(), Some(77), "{}", stderr(&changed));
    let clean = run(gate(&[], &program, &["return", "0"]));
    assert_eq!((clean.status.code(), stderr(&clean).as_str()), (Some(0), ""));
    if flavour.is_cgo() {
        let in_c = run(gate(&[], &program, &["in-c", "2", "5"]));
        assert_eq!(in_c.status.code(), Some(5), "{}", stderr(&in_c));
        assert!(stderr(&in_c).contains("left "), "{}", stderr(&in_c));
    }
}

matrix!(
    every_end_is_the_programs_own, every_end,
    quick: [Plain, PieStripped, Cgo],
    spread: [Plain, Stripped, Pie, PieStripped, Cgo, CgoStripped, CgoPie, Trimpath],
);

fn traced_ends(version: &str) {
    let program = program(version, Flavour::Stripped);
    for (arguments, _) in ENDS.into_iter().filter(|(arguments, _)| !may_throw(version, arguments)) {
        let alone = without(&program, arguments);
        let gated = run(gate(&["--how", "ptrace"], &program, arguments));
        assert_eq!(gated.status, alone.status, "{arguments:?}: {}", stderr(&gated));
        assert_eq!(gated.stdout, alone.stdout, "{arguments:?}");
        // That of SIGKILL, too.
        assert!(stderr(&gated).contains("main.leak"), "{arguments:?}: {}", stderr(&gated));
    }
    let changed = run(gate(&["--how", "ptrace"], &program, &["return", "2"]));
    assert_eq!(changed.status.code(), Some(1), "{}", stderr(&changed));
    let clean = run(gate(&["--how", "ptrace"], &program, &["return", "0"]));
    assert_eq!(clean.status.code(), Some(0), "{}", stderr(&clean));
}

matrix!(a_traced_program_is_read_at_every_end, traced_ends);

#[test]
fn output_is_the_same_byte_for_byte() {
    let program = newest();
    for how in ["seccomp", "ptrace"] {
        let (alone, gated) =
            (without(&program, &["output", "0"]), run(gate(&["--how", how], &program, &["output", "0"])));
        assert_eq!((gated.stdout, gated.stderr), (alone.stdout, alone.stderr), "{how}");
    }
}

#[test]
fn what_is_about_to_end_is_not_left() {
    let settled = run(gate(&["--settle", "60s"], &newest(), &["settle", "0"]));
    assert_eq!(settled.status.code(), Some(0), "{}", stderr(&settled));
}

#[test]
fn another_program_that_it_becomes_is_read() {
    let program = newest();
    let next = program.to_str().unwrap();
    for how in ["seccomp", "ptrace"] {
        let arguments = ["exec", "1", "0", next, "exit", "3", "7"];
        let gated = run(gate(&["--how", how], &program, &arguments));
        assert_eq!(gated.status.code(), Some(7), "{how}: {}", stderr(&gated));
        assert!(stderr(&gated).contains("left 3 goroutines"), "{how}: {}", stderr(&gated));
    }
}

#[test]
fn very_many_goroutines_are_left() {
    let gated = run(gate(&[], &newest(), &["return", "100000"]));
    assert_eq!(gated.status.code(), Some(1), "{}", stderr(&gated));
    assert!(stderr(&gated).contains("left 100,000 goroutines"), "{}", stderr(&gated));
}
