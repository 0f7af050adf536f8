//! The C header: its example is built and read from outside.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{Memory, Program, Reader, registries};

fn build(name: &str, flags: &[&str]) -> PathBuf {
    let root = env!("CARGO_MANIFEST_DIR");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", &format!("-I{root}/include")])
        .args(flags)
        .arg(format!("{root}/examples/c/queue.c"))
        .arg("-o")
        .arg(&out)
        .status()
        .unwrap();
    assert!(status.success());
    out
}

#[test]
fn the_example_is_read_stripped_and_whatever_way_it_was_linked() {
    for (name, flags) in [
        ("pie", &["-O2", "-pie", "-fPIE", "-s"][..]),
        ("fixed", &["-O0", "-no-pie", "-fno-pie"]),
        ("sections", &["-O2", "-flto", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-s"]),
    ] {
        let program = build(name, flags);
        check(&mut Program::start(&mut Command::new(program)));
    }
}

fn check(program: &mut Program) {
    assert_eq!(program.line(), "ready");
    let reader = program.reader();
    let tasks = reader.tasks();
    assert_eq!(tasks.len(), 2 + 1000);
    assert_eq!((reader.header_u64(512), reader.header_u64(576)), (2002, 1000));
    let (producer, worker) = (reader.named("producer"), reader.named("worker"));
    assert_eq!(producer.stack(), ["filling the queue", "writing an item"]);
    assert_eq!((producer.wait_text.as_str(), producer.polls), ("the queue is full", 1));
    assert_eq!((worker.state, worker.parent, worker.thread), (2, producer.id, program.pid()));
    assert!(worker.place.file.ends_with("queue.c"));
    assert_eq!(worker.place.line, producer.place.line + 2);
    let client = tasks.iter().find(|task| task.name == "client").unwrap();
    assert_eq!((client.wait_reason, client.wait_address), (3, producer.wait_address));
    assert_eq!(reader.memory.string(reader.header_u64(224), reader.header_u32(232)), "queue");
}

#[test]
fn a_forked_child_has_a_registry_of_its_own() {
    let mut program = Program::start(Command::new(build("forking", &["-O1"])).arg("fork"));
    let mut child = None;
    for _ in 0..2 {
        if let Some(pid) = program.line().strip_prefix("forked ") {
            child = pid.parse().ok();
        }
    }
    let child: u32 = child.unwrap();
    let reader = Reader::new(Memory::of(child), registries(child)[0]);
    assert_eq!((reader.header_u32(220), reader.header_u32(236)), (child, 1));
    let tasks = reader.tasks();
    assert_eq!((tasks.len(), tasks[0].name.as_str(), tasks[0].id), (1, "of the child", 1));
    let parent = program.reader();
    assert_eq!((parent.header_u32(220), parent.header_u32(236)), (program.pid(), 0));
    assert_eq!(parent.tasks().len(), 1002);
}

/// The same bytes as the Rust crate's, but for what the program says itself.
#[test]
fn the_header_has_the_golden_bytes() {
    static LIKE_C: loiter_registry::Registry =
        loiter_registry::Registry::new("queue", loiter_registry::RuntimeKind::EventLoop);
    let mut program = Program::start(&mut Command::new(build("golden", &["-O1"])));
    assert_eq!(program.line(), "ready");
    let reader = program.reader();
    let theirs = reader.memory.bytes(reader.registry, 220);
    assert_eq!(theirs, Memory::own().bytes(LIKE_C.address() as u64, 220));
}
