//! The example that keeps its own books, read from outside: the two are equal.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Program, TaskRead};

/// The example, built now as dev and, in full runs, as release; LOITER_BOOKS names a build of it of
/// another kind.
fn builds() -> Vec<PathBuf> {
    if let Some(other) = std::env::var_os("LOITER_BOOKS") {
        return vec![other.into()];
    }
    let full = std::env::var("LOITER_MATRIX").is_ok_and(|value| value == "full");
    let profiles: &[_] = if full { &[("dev", "debug"), ("release", "release")] } else { &[("dev", "debug")] };
    profiles.iter().map(|(profile, directory)| build(profile, directory)).collect()
}

fn build(profile: &str, directory: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--features", "tokio", "--example", "books"])
        .args(["--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success());
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(3).unwrap().join(directory).join("examples/books")
}

/// What the program prints of a task.
fn line_of(task: &TaskRead) -> String {
    let state = ["free", "created", "running", "waiting"][task.state as usize];
    let reason = ["", "", "", "lock"][task.wait_reason as usize];
    let places: Vec<_> = task
        .stack_places()
        .iter()
        .map(|at| format!(r#"{{"name":"{}","file":"{}","line":{}}}"#, at.name, at.file, at.line))
        .collect();
    format!(
        r#"{{"id":{},"parent":{},"file":"{}","line":{},"name":"{}","state":"{state}","reason":"{reason}","chain":[{}]}}"#,
        task.id,
        task.parent,
        task.place.file,
        task.place.line,
        task.name,
        places.join(",")
    )
}

#[test]
fn what_is_read_equals_the_books() {
    for build in builds() {
        let mut program = Program::start(&mut Command::new(&build));
        assert_eq!(program.line(), "ready");
        let reader = program.reader();
        let mut both = || {
            program.say("books\n");
            let told: Vec<_> =
                std::iter::repeat_with(|| program.line()).take_while(|line| line != "end").collect();
            let read: Vec<_> = reader.tasks().iter().map(line_of).collect();
            (told, read)
        };
        let begin = Instant::now();
        let (mut told, mut read) = both();
        // On a slow machine some tasks come to rest later. From then on nothing moves.
        while (told.len() <= 15 || read != told) && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(50));
            (told, read) = both();
        }
        assert!(told.len() > 15);
        assert_eq!(read, told, "{}", build.display());
    }
}

#[test]
fn parked_tasks_are_all_there() {
    for build in builds() {
        let mut program = Program::start(Command::new(&build).args(["parked", "20000"]));
        assert_eq!(program.line(), "ready");
        let reader = program.reader();
        assert_eq!((reader.header_u64(512), reader.header_u64(640)), (20_000, 0));
        let tasks = reader.tasks();
        assert_eq!(tasks.len(), 20_000);
        for task in tasks.iter().step_by(997) {
            let stack = task.stack();
            assert_eq!((stack[0].as_str(), stack[1].as_str()), (task.name.as_str(), "middle"));
            assert_eq!(stack[2], "books::three_deep");
        }
    }
}
