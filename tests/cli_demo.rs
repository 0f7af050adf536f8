//! `loiter demo`: the tour runs from beginning to end and leaves nothing behind.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::process::Command;

#[test]
fn the_tour_shows_the_leak_and_the_lock() {
    let output = Command::new(env!("CARGO_BIN_EXE_loiter")).args(["demo"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let (_, rest) = text.split_once("runs as process ").unwrap();
    let pid: u32 = rest.split_once('.').unwrap().0.parse().unwrap();
    for command in
        ["ps", "snapshot", "stacks before.loiter", "diff before.loiter after.loiter", "leaks", "flame"]
    {
        assert!(text.contains(&format!("\n$ loiter {command}")), "{command}: {text}");
    }
    for seen in ["send answer", "ledger lock", "next poll", "11 wait for it", "name=backend"] {
        assert!(text.contains(seen), "{seen}: {text}");
    }
    // The leak is found and the lock that is held for too long; the part that is well is not.
    let (_, findings) = text.split_once("\n$ loiter leaks").unwrap();
    let (findings, _) = findings.split_once("\n$ loiter").unwrap();
    let sure: Vec<_> =
        findings.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    assert!(sure[0].starts_with("LIKELY") && sure[0].contains("channel send"), "{findings}");
    assert!(sure[1].starts_with("SUSPECT") && sure[1].contains("lock"), "{findings}");
    assert!(!findings.contains("next poll"), "{findings}");

    let (_, directory) = text.trim_end().trim_end_matches('.').rsplit_once(" are in ").unwrap();
    let report = fs::read_to_string(format!("{directory}/leaks.md")).unwrap();
    assert!(report.starts_with("# ") && report.contains("send answer"), "{report}");
    assert!(fs::read_to_string(format!("{directory}/tasks.svg")).unwrap().contains("</svg>"));
    fs::remove_dir_all(directory).unwrap();

    let process = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!process.contains("--serve"), "the server still runs");
}
