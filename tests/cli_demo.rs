//! `loiter demo`: the tour runs from beginning to end, quickly, and leaves nothing behind.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn the_tour_shows_the_leak_and_the_lock() {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_loiter")).args(["demo"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let (_, rest) = text.split_once("runs as process ").unwrap();
    let pid: u32 = rest.split_once('.').unwrap().0.parse().unwrap();
    for command in ["ps", "snapshot", "stacks before.loiter", "stacks after.loiter"] {
        assert!(text.contains(&format!("\n$ loiter {command}")), "{command}: {text}");
    }
    for seen in ["send answer", "ledger lock", "next poll", "11 wait for it", "name=backend"] {
        assert!(text.contains(seen), "{seen}: {text}");
    }
    let process = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!process.contains("--serve"), "the server still runs");
}
