//! Help, man pages and completions are what they were, and the checked-in man pages are current.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

#[path = "common/expected.rs"]
mod expected;

use expected::check;

/// What loiter prints to stdout.
fn stdout(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_loiter")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help() {
    let commands = [
        "",
        "ps",
        "snapshot",
        "stacks",
        "diff",
        "leaks",
        "why",
        "gate",
        "record",
        "flame",
        "watch",
        "convert",
        "demo",
        "completions",
        "man",
    ];
    for command in commands {
        let arguments = if command.is_empty() { vec!["--help"] } else { vec![command, "--help"] };
        let text = stdout(&arguments);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        check(&format!("help-{}", if command.is_empty() { "loiter" } else { command }), &text);
    }
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        check(&format!("completions-{shell}"), &stdout(&["completions", shell]));
    }
}

/// `LOITER_BLESS=1 cargo test --test cli_help` rewrites the pages in man/.
#[test]
fn man_pages_are_current() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let pages = loiter::__test::man::pages().unwrap();
    for page in &pages {
        let path = directory.join(&page.name);
        if env::var_os("LOITER_BLESS").is_some() {
            fs::write(&path, &page.roff).unwrap();
        }
        let there = fs::read(&path).unwrap_or_default();
        assert!(there == page.roff, "{} is out of date: run this test with LOITER_BLESS=1", page.name);
    }
    assert_eq!(fs::read_dir(directory).unwrap().count(), pages.len(), "a page that nobody makes");
}

#[test]
fn man_prints_one_page_and_writes_all() {
    assert!(stdout(&["man"]).contains(".TH loiter 1"));
    assert!(stdout(&["man", "loiter-snapshot.5"]).contains(".TH loiter-snapshot 5"));
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(stdout(&["man", "-o", directory.path().to_str().unwrap()]), "");
    let count = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(count, loiter::__test::man::pages().unwrap().len());
}
