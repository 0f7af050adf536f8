//! Programs whose numbers of goroutines are easily misjudged, and their twins, taken from reading to reading by
//! commands: no clock decides what they do.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::process::Command;

use common::{Fixture, Flavour, GO_VERSIONS, Program, Toolchain, build};
use serde_json::Value;

/// The report on eight readings, between each two of which the program takes a step.
fn stepped(pattern: &str, mode: &str) -> Value {
    let newest = Toolchain::get(GO_VERSIONS[GO_VERSIONS.len() - 1]);
    let program = build(&newest, Program::Leaks, Flavour::Plain);
    let mut fixture = Fixture::start_with(&program, &[pattern, mode], &[("RATE", "0")]);
    let directory = tempfile::tempdir().unwrap();
    let loiter = || Command::new(env!("CARGO_BIN_EXE_loiter"));
    for nth in 0..8 {
        fixture.ask("step");
        let file = directory.path().join(format!("{nth}.loiter"));
        let pid = fixture.pid().to_string();
        let taken = loiter().args(["snapshot", &pid, "--output"]).arg(&file).output().unwrap();
        assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    }
    let mut leaks = loiter();
    leaks.arg("leaks").arg(directory.path()).args(["--json", "--ignore-file", "/dev/null"]);
    let output = leaks.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Sureness and first rule of what was found in one of these functions.
fn found<'a>(report: &'a Value, function: &str) -> Vec<(&'a str, &'a str)> {
    let at = |finding: &&Value| finding["parts"][0]["at"]["function"].as_str().unwrap().contains(function);
    let findings = report["findings"].as_array().unwrap().iter().filter(at);
    findings.map(|f| (f["sureness"].as_str().unwrap(), f["rules"][0]["rule"].as_str().unwrap())).collect()
}

#[test]
fn a_hub_whose_connections_come_and_go() {
    let healthy = stepped("hub", "fixed");
    assert_eq!(healthy["findings"], Value::Array(Vec::new()), "{healthy:#}");
    let leak = stepped("hub", "leak");
    assert_eq!(found(&leak, "patterns.writePump"), [("likely", "range")], "{leak:#}");
    assert_eq!(leak["findings"].as_array().unwrap().len(), 1, "{leak:#}");
}

#[test]
fn goroutines_that_sleep_once_while_a_program_warms_up() {
    let healthy = stepped("deliveries", "fixed");
    // On a machine on which starting takes longer than all readings, it is no longer young.
    let sure = found(&healthy, "patterns.deliver");
    assert!(sure.iter().all(|(sureness, _)| *sureness == "suspect"), "{healthy:#}");
    let undecided = healthy["undecided"].as_array().unwrap();
    let sleepers = undecided.iter().any(|one| one["count"].as_u64() >= Some(40));
    assert_eq!(sleepers, sure.is_empty(), "{healthy:#}");
    let leak = stepped("deliveries", "leak");
    assert_eq!(found(&leak, "patterns.deliver"), [("likely", "sleep")], "{leak:#}");
}

#[test]
fn a_pile_before_a_full_channel() {
    let served = stepped("pile", "fixed");
    assert_eq!(found(&served, "patterns.Pile"), [], "{served:#}");
    let leak = stepped("pile", "leak");
    let [(_, "send")] = found(&leak, "patterns.Pile")[..] else { panic!("{leak:#}") };
    let finding = &leak["findings"][0];
    assert_eq!((&finding["first"], &finding["now"]), (&999.into(), &1_104.into()), "{finding:#}");
}
