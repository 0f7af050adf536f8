//! What real programs write about themselves is understood to the last line.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::import::{DumpGoroutine, GoDump};

fn with_function<'a>(dump: &'a GoDump, function: &str) -> Vec<&'a DumpGoroutine> {
    dump.goroutines.iter().filter(|g| g.frames.iter().any(|f| f.function == function)).collect()
}

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let minor = toolchain.minor();
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Fixtures, flavour), &["all"]);
    let (dump, profile) = fixture.dump();
    assert_eq!((dump.other_lines, profile.other_lines), (0, 0), "{what}");

    // runtime.NumGoroutine leaves out the goroutines that run finalizers and cleanups, always.
    let count = dump.goroutines.len() as u64;
    let counted = fixture.ready()["goroutines"].as_u64().unwrap();
    assert!((count - 2..=count).contains(&counted), "{what}: {count} dumped, {counted} counted");
    assert_eq!(profile.total, count, "{what}");
    assert_eq!(profile.stacks.iter().map(|s| s.count).sum::<u64>(), count, "{what}");
    assert!(profile.stacks.iter().all(|s| !s.frames.is_empty() && !s.pcs.is_empty()), "{what}");

    assert_eq!(dump.goroutines[0].state, "running", "{what}");
    for goroutine in &dump.goroutines {
        assert!(!goroutine.frames.is_empty(), "{what}: {goroutine:?}");
        if let Some(creator) = &goroutine.created_by {
            // What a timer starts has no parent.
            let named = minor >= 21 && creator.function != "time.goFunc";
            assert_eq!(creator.goroutine.is_some(), named, "{what}: {creator:?}");
        }
        for frame in &goroutine.frames {
            assert!(!frame.function.is_empty() && frame.line > 0, "{what}: {frame:?}");
        }
    }
    let locked = with_function(&dump, "fixtures/threads.Start.func1");
    assert!(locked.iter().all(|g| g.locked && g.state == "chan receive"), "{what}: {locked:?}");
    let deep = with_function(&dump, "fixtures/recursion.descend");
    let elided: Vec<_> = deep.iter().filter_map(|g| Some(g.elided?.count)).collect();
    // Up to 1.20 it stops after a hundred frames and says so only if it has shown all of those.
    assert!(minor < 21 || elided.contains(&Some(9901)), "{what}: {elided:?}");
    let labelled = profile.stacks.iter().find(|s| s.labels.iter().any(|(k, _)| k == "größe")).unwrap();
    let mut labels = labelled.labels.clone();
    labels.sort();
    let expected = [("empty", ""), ("größe", "naïve ☃ 日本語"), ("with space", "a, b: \"c\" {d}")];
    assert_eq!(labels, expected.map(|(k, v)| (k.to_owned(), v.to_owned())), "{what}");
    if minor >= 26 {
        let in_dump = dump.goroutines.iter().filter_map(|g| g.labels.clone());
        assert!(in_dump.into_iter().any(|l| l == labels), "{what}");
    }
}

/// What a program leaves behind when it is told to die: every goroutine with addresses, then the
/// registers.
fn check_crash(version: &str) {
    let toolchain = Toolchain::get(version);
    let program = build(&toolchain, Program::Fixtures, Flavour::Plain);
    let mut child = Command::new(program)
        .arg("all")
        .env("GOTRACEBACK", "system")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready "), "{line}");
    let stderr = child.stderr.take().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGQUIT)
        .unwrap();
    let mut text = Vec::new();
    BufReader::new(stderr).read_to_end(&mut text).unwrap();
    child.wait().unwrap();

    let dump = GoDump::parse(&text);
    let what = &toolchain.full_version;
    assert!(dump.goroutines.len() > 130, "{what}: {} goroutines", dump.goroutines.len());
    // "SIGQUIT: quit", "PC=...", 21 registers at the end; old versions write "goroutine 0 [idle]:".
    assert!(dump.other_lines > 0 && dump.other_lines < 60, "{what}: {} lines", dump.other_lines);
    let with_pc = dump.goroutines.iter().flat_map(|g| &g.frames).filter(|f| f.pc.is_some()).count();
    assert!(with_pc > 500, "{what}: {with_pc} frames with addresses");
}

matrix!(dumps_are_read_to_the_last_line, check, quick: [Plain], spread: [Stripped, Cgo]);

matrix!(crashes_are_read, check_crash);
