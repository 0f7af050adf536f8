//! Rows that stand for many equal tasks: they cost what a row costs, and every figure is that of the tasks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod samples;
#[path = "watch_support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use loiter::snapshot::*;
use serde_json::Value;

/// What loiter may take, KiB of addresses. A row for each of twenty million tasks would be 4 GiB.
const MOST_MEMORY: &str = "700000";

fn loiter(here: &Path, arguments: &[&str]) -> Output {
    Command::new("/bin/sh")
        .args(["-c", "ulimit -v $0; exec \"$@\"", MOST_MEMORY, env!("CARGO_BIN_EXE_loiter")])
        .args(arguments)
        .current_dir(here)
        .output()
        .unwrap()
}

/// What it prints; it must succeed.
fn printed(here: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = loiter(here, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {:?} {stderr}", output.status);
    output.stdout
}

fn text(here: &Path, arguments: &[&str]) -> String {
    String::from_utf8(printed(here, arguments)).unwrap()
}

fn json(here: &Path, arguments: &[&str]) -> Value {
    serde_json::from_slice(&printed(here, arguments)).unwrap()
}

fn hostile(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dumps/counted").join(name)
}

/// A few bytes that count twenty and thirty million goroutines.
#[test]
fn a_large_number_costs_no_more_than_a_small_one() {
    for (name, count, said) in
        [("20-million.pb.gz", 20_000_000_u64, "20,000,000"), ("30-million.txt", 30_000_000, "30,000,000")]
    {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        fs::copy(hostile(name), here.join("in")).unwrap();
        let first = text(here, &["stacks", "in"]);
        assert!(first.contains(&format!("{said} goroutines in 1 group")), "{first}");
        let each = text(here, &["stacks", "in", "--each"]);
        assert!(each.contains(&format!("{said} goroutines (ids unknown)")), "{each}");
        assert_eq!(each.matches("goroutines (ids unknown)").count(), 1, "{each}");
        let groups = json(here, &["stacks", "in", "--json"]);
        assert_eq!((&groups["total_tasks"], &groups["groups"][0]["count"]), (&count.into(), &count.into()));
        let each = json(here, &["stacks", "in", "--each", "--json"]);
        assert_eq!((&each["matching_tasks"], &each["tasks"][0]["count"]), (&count.into(), &count.into()));
        assert_eq!(each["tasks"].as_array().unwrap().len(), 1);
        let limited = text(here, &["stacks", "in", "--each", "--limit", "1"]);
        assert!(!limited.contains(" more"), "{limited}");
        for key in ["function", "state", "creator", "label:a", "waits-on"] {
            let groups = json(here, &["stacks", "in", "--json", "--group-by", key]);
            assert_eq!(groups["groups"][0]["count"], count, "{key}");
        }

        for (to, kept) in
            [("snapshot", true), ("pprof", true), ("profile", true), ("json", true), ("go", false)]
        {
            let output = loiter(here, &["convert", "in", "out", "--to", to]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(
                output.status.success() && stderr.contains(&format!("{said} goroutines")),
                "{to}: {stderr}"
            );
            assert_eq!(stderr.contains("goroutines left out"), !kept, "{to}: {stderr}");
            if to != "json" && kept {
                assert!(fs::metadata(here.join("out")).unwrap().len() < 4096, "{to}");
                assert_eq!(json(here, &["stacks", "out", "--json"])["total_tasks"], count, "{to}");
                let changes = json(here, &["diff", "in", "out", "--json"]);
                assert_eq!((&changes["before"], &changes["after"]), (&count.into(), &count.into()), "{to}");
            }
        }
        for format in ["text", "markdown"] {
            let changes = text(here, &["diff", "in", "in", "--all", "--format", format]);
            assert!(changes.contains(said), "{changes}");
            let leaks = text(here, &["leaks", "in", "--format", format]);
            assert!(leaks.contains(said), "{leaks}");
        }
        assert_eq!(json(here, &["leaks", "in", "--json"])["tasks"], count);
        let fleet = text(here, &["leaks", "--fleet", "in", "in"]);
        assert!(
            fleet.contains(said) || fleet.contains("40,000,000") || fleet.contains("60,000,000"),
            "{fleet}"
        );
        let leaks = text(here, &["leaks", "in", "--baseline", "in"]);
        assert!(leaks.contains(said), "{leaks}");

        let folded = text(here, &["flame", "in", "--format", "folded"]);
        assert!(folded.ends_with(&format!(" {count}\n")), "{folded}");
        for format in ["svg", "speedscope", "text"] {
            let flame = text(here, &["flame", "in", "--format", format]);
            assert!(flame.contains(said) || flame.contains(&count.to_string()), "{format}: {flame}");
        }
    }
}

/// Some tasks, with rows that stand for several; `more` of them wait for ever more.
fn counted(second: u64, more: u64) -> Snapshot {
    let mut m = samples::Maker::new();
    *m.builder.header.taken_at_ns.as_mut().unwrap() += second * samples::SECOND;
    *m.builder.header.monotonic_ns.as_mut().unwrap() += second * samples::SECOND;
    m.builder.header.target.source = SourceKind::Profile;
    let frame = |name| (name, "example.com/api/pool", samples::Normal, "/src/pool.go", 12);
    let stacks = [
        m.stack(&[samples::GOPARK, frame("pool.get"), samples::GOEXIT]),
        m.stack(&[samples::GOPARK, frame("pool.put"), samples::GOEXIT]),
        m.stack(&[frame("pool.run"), samples::GOEXIT]),
    ];
    let creator = m.location(&[frame("pool.start")]);
    let labels = [("route", "/a"), ("route", "/b")].map(|pair| m.builder.code.labels([pair]));
    let waits = ["chan send", "select"];
    for (nth, &stack) in stacks.iter().enumerate() {
        for count in 1..5_u64 {
            let age = [Age::Unknown, Age::AtLeast(count * samples::MINUTE)][nth % 2];
            let task = m.waiting(0, waits[count as usize % 2], age, stack);
            let grows = if nth == 0 { more } else { 0 };
            let task = samples::with!(task;
                id: None,
                address: 0,
                labels: (count > 1).then_some(labels[count as usize % 2]),
                creator: (nth != 1).then_some(creator),
                system: nth == 2 && count == 4,
                leaked: nth == 1 && count == 3,
                stack_bytes: 2048 * count,
                waits: Span::default(),
                holds: Span::default(),
            );
            m.builder.counted(task, count * 7 + grows);
        }
        let task = m.waiting(nth as u64 + 1, "sleep", Age::Exactly(samples::SECOND), stack);
        m.builder.task(task);
    }
    m.finish()
}

/// The same tasks, each with a row of its own.
fn expanded(counted: &Snapshot) -> Snapshot {
    let one = |task: &Task| samples::with!(*task; twins: 0);
    let rows = |task: &Task| vec![one(task); usize::try_from(task.count()).unwrap()];
    samples::with!(counted.clone(); tasks: counted.tasks.iter().flat_map(rows).collect())
}

/// Whatever is asked, the answer is the same as if every task had a row of its own.
#[test]
fn every_figure_is_that_of_the_tasks() {
    let directory = tempfile::tempdir().unwrap();
    let (few, many) = (directory.path().join("few"), directory.path().join("many"));
    for here in [&few, &many] {
        fs::create_dir(here).unwrap();
    }
    let names = ["0.loiter", "1.loiter", "2.loiter", "3.loiter", "4.loiter", "5.loiter", "6.loiter"];
    for (nth, name) in names.iter().enumerate() {
        let snapshot = counted(nth as u64 * 60, nth as u64 * 11);
        assert_eq!(snapshot.validate(), Ok(()));
        let all = expanded(&snapshot);
        assert_eq!(all.task_count(), snapshot.task_count());
        assert!(all.tasks.len() as u64 == all.task_count() && snapshot.tasks.len() < 20);
        file::save(&snapshot, &few.join(name)).unwrap();
        file::save(&all, &many.join(name)).unwrap();
        assert_eq!(file::load(&few.join(name)).unwrap(), snapshot);
        let preview = |here: &Path| file::preview(fs::File::open(here.join(name)).unwrap()).unwrap().tasks;
        assert_eq!(preview(&few), preview(&many));
    }
    let mut questions: Vec<Vec<&str>> = Vec::new();
    for format in ["text", "json", "go", "profile", "pprof"] {
        // Single tasks that stand for most come first, which those with rows of their own cannot.
        questions.push(vec!["stacks", "0.loiter", "--sort", "id", "--format", format]);
        questions.push(vec!["stacks", "3.loiter", "--system", "--sort", "age", "--format", format]);
    }
    for key in ["stack", "function", "state", "creator", "label:route", "waits-on"] {
        for sort in ["count", "age", "name", "id"] {
            questions.push(vec!["stacks", "2.loiter", "--group-by", key, "--sort", sort, "--limit", "2"]);
        }
        questions.push(vec!["stacks", "2.loiter", "--group-by", key, "--json", "--system"]);
    }
    for format in ["text", "json", "markdown"] {
        questions.push(vec!["diff", "0.loiter", "6.loiter", "--all", "--format", format]);
        questions.push([&["diff"], &names[..], &["--format", format]].concat());
        questions.push(vec!["leaks", "1.loiter", "-v", "--format", format]);
        questions.push([&["leaks"], &names[..], &["-v", "--format", format]].concat());
        questions.push(vec!["leaks", "6.loiter", "--baseline", "0.loiter", "-v", "--format", format]);
        questions.push(vec!["leaks", "6.loiter", "--ignore", "pool.put", "-v", "--format", format]);
        questions.push(vec!["leaks", "--fleet", "0.loiter", "6.loiter", "--format", format]);
    }
    for weight in ["tasks", "seconds", "bytes"] {
        for format in ["text", "folded", "speedscope", "svg"] {
            questions.push(vec!["flame", "4.loiter", "--weight", weight, "--format", format]);
            questions.push(vec![
                "flame",
                "4.loiter",
                "--diff",
                "1.loiter",
                "--weight",
                weight,
                "--format",
                format,
                "--root",
                "label:route",
            ]);
        }
    }
    for to in ["profile", "pprof", "go"] {
        questions.push(vec!["convert", "5.loiter", "-", "--to", to]);
    }
    let answer = |here: &Path, question: &[&str]| {
        let output = loiter(here, question);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for question in questions {
        let (of_few, of_many) = (answer(&few, &question), answer(&many, &question));
        assert!(of_few.0.is_some_and(|code| code < 2), "{question:?}: {of_few:?}");
        assert_eq!(of_few.0, of_many.0, "{question:?}");
        for (few, many) in of_few.1.lines().zip(of_many.1.lines()) {
            assert_eq!(few, many, "{question:?}");
        }
        assert!(of_few == of_many, "{question:?}: one of the answers is longer");
    }
}

/// A program that counts is asked over HTTP, too.
#[test]
fn a_large_number_over_http() {
    for (name, kind, said) in [
        ("20-million.pb.gz", "application/octet-stream", "20,000,000 goroutines in 1 group"),
        ("30-million.txt", "text/plain; charset=utf-8", "30,000,000 goroutines in 1 group"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/debug/pprof/goroutine", listener.local_addr().unwrap());
        let body = fs::read(hostile(name)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let head = "HTTP/1.1 200 OK\r\nConnection: close";
                let _ = write!(
                    stream,
                    "{head}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&body);
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let stacks = text(directory.path(), &["stacks", &address]);
        assert!(stacks.contains(said), "{stacks}");
    }
}

/// The dashboard shows a row once, with its number, and adds up tasks.
#[test]
fn the_dashboard_counts_tasks() {
    let [mut few, mut many] = [(); 2].map(|()| support::Dashboard::new(120, 50));
    for nth in 0..7 {
        let snapshot = counted(nth * 60, nth * 11);
        many.read(expanded(&snapshot));
        few.read(snapshot);
    }
    for view in ["1", "2", "4", "5", "6", "7"] {
        few.press(view);
        many.press(view);
        let (few, many) = (few.screen(), many.screen());
        for (few, many) in few.lines().zip(many.lines()) {
            // Tasks without names are listed by name.
            assert!(few == many || few.contains("  goroutines "), "{view}: {few}\n{many}");
        }
    }
    few.press("3");
    let screen = few.screen();
    assert!(screen.contains("FUNCTION  (449 goroutines)"), "{screen}");
    assert_eq!(screen.matches(" x73 ").count(), 1, "{screen}");
    few.key(ratatui::crossterm::event::KeyCode::Enter);
    assert!(few.screen().contains(" goroutines (ids unknown)"), "{}", few.screen());
}

/// Profiles as people hand them on: behind a prefix, without the first line, without `#`, with blanks for tabs.
#[test]
fn profiles_that_are_not_as_go_wrote_them() {
    let (loops, pump) = ([("readLoop", 426), ("writeLoop", 426)], [("main.wait", 10), ("main.tick", 2)]);
    for (name, groups, warning) in [
        ("debug1-prefix.txt", pump, ""),
        ("debug1-no-header.txt", loops, "the first line of the profile is missing"),
        ("debug1-no-hash.txt", loops, ""),
        ("debug1-spaces.txt", loops, ""),
        ("debug1-cut.txt", loops, "total is 1779 goroutines, but its stacks add up to 852"),
        ("debug1-crlf-bom.txt", loops, ""),
    ] {
        let found = json(Path::new("."), &["stacks", hostile(name).to_str().unwrap(), "--json"]);
        let all = found["groups"].as_array().unwrap().iter();
        let all: Vec<_> = all
            .map(|group| (group["stack"][0]["function"].as_str().unwrap(), group["count"].as_u64().unwrap()))
            .collect();
        assert_eq!(all.len(), 2, "{name}: {all:?}");
        for (function, count) in groups {
            assert!(all.iter().any(|(name, n)| name.contains(function) && *n == count), "{name}: {all:?}");
        }
        let warnings = found["snapshot"]["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), usize::from(!warning.is_empty()), "{name}: {warnings:?}");
        assert!(warnings.iter().all(|text| text.as_str().unwrap().contains(warning)), "{name}: {warnings:?}");
    }
    // Single goroutines tell more than counted ones, which are not forgotten.
    for name in ["debug1-then-2.txt", "debug2-then-1.txt"] {
        let found = json(Path::new("."), &["stacks", hostile(name).to_str().unwrap(), "--each", "--json"]);
        let ids = found["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_u64().unwrap());
        assert_eq!(ids.collect::<Vec<_>>(), [1, 44, 45], "{name}");
        let warnings = found["snapshot"]["warnings"].to_string();
        assert!(
            warnings.contains("the input also has a profile that counts 12 goroutines (debug=1)"),
            "{warnings}"
        );
    }
}
