//! Which tasks wait for which descriptors, in builds that say nothing of their types, and in those that do.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Fixture, TokioFlavour};
use loiter::process;
use loiter::runtimes::{Pause, Readable};
use loiter::snapshot::{ObjectKind, Snapshot, Task, TaskState, WaitClass, WaitOp};
use serde::Deserialize;

/// A task, as the fixture has it.
#[derive(Debug, Deserialize)]
struct Booked {
    id: u64,
    subject: String,
    /// The descriptors that can wake it.
    fds: Vec<u64>,
}

/// What is known of a task that waits for a descriptor, whatever the build.
fn expected(subject: &str) -> Option<(&'static str, WaitClass, WaitOp)> {
    let network = |op| Some(("network I/O", WaitClass::Network, op));
    match subject {
        "read" | "read detached" | "udp" | "unix" | "readable" | "copy" | "half that reads"
        | "first of two" | "second of two" => network(WaitOp::Read),
        "write" | "writable" | "half that writes" => network(WaitOp::Write),
        "either" => network(WaitOp::Wait),
        "accept" => Some(("accept", WaitClass::Accept, WaitOp::Accept)),
        "pipe" => Some(("I/O", WaitClass::Io, WaitOp::Read)),
        _ => None,
    }
}

/// What a task waits for.
fn waits(snapshot: &Snapshot, task: &Task) -> Vec<(WaitOp, u64)> {
    let mut waits: Vec<(WaitOp, u64)> = snapshot
        .waits_of(task)
        .iter()
        .map(|wait| (wait.op, &snapshot.objects[wait.object.index()]))
        .filter(|(_, object)| object.kind == ObjectKind::Descriptor)
        .map(|(op, object)| (op, object.address))
        .collect();
    waits.sort_unstable();
    waits
}

/// `reads`: the records of descriptors can be found.
fn check(version: &str, flavour: TokioFlavour, reads: bool) {
    let program = common::build_tokio_sockets(version, flavour);
    let fixture = Fixture::start(&program, &[]);
    let booked: Vec<Booked> = serde_json::from_value(fixture.ready()["tasks"].clone()).unwrap();
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    // A task waits only when a worker has polled it.
    let is_at_rest = |snapshot: &Snapshot| {
        let waits = |id: u64| {
            snapshot.tasks.iter().any(|task| task.id == Some(id) && task.state == TaskState::Waiting)
        };
        booked.iter().all(|booked| waits(booked.id))
    };
    while !is_at_rest(&readable.read(&*target, &common::reading(Pause::Nothing)).unwrap()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    for pause in [Pause::RunningThreads, Pause::Everything, Pause::Nothing] {
        let snapshot = readable.read(&*target, &common::reading(pause)).unwrap();
        assert_eq!(snapshot.validate(), Ok(()));
        let tasks: BTreeMap<u64, &Task> =
            snapshot.tasks.iter().filter_map(|task| Some((task.id?, task))).collect();
        for Booked { id, subject, fds } in &booked {
            let task = tasks[id];
            let reason = task.reason.map(|id| snapshot.str(id));
            let found = waits(&snapshot, task);
            let about = format!("{version} {flavour:?} {pause:?} {subject}: {task:?} {reason:?} {found:?}");
            assert_eq!(task.state, TaskState::Waiting, "{about}");
            let of_types = flavour.has_types() && reason.is_some();
            match expected(subject).filter(|_| reads) {
                Some((word, class, op)) => {
                    assert!(of_types || (reason, task.wait_class) == (Some(word), class), "{about}");
                    // A chain says of a wait for either only that it reads.
                    let op = if of_types && subject == "either" { WaitOp::Read } else { op };
                    let mut all: Vec<_> = fds.iter().map(|fd| (op, *fd)).collect();
                    all.sort_unstable();
                    assert_eq!(found, all, "{about}");
                    assert!(
                        snapshot.links.descriptors.iter().any(|known| u64::from(known.fd) == fds[0]),
                        "{about}"
                    );
                }
                None if of_types => {}
                None => {
                    assert_eq!(found, [], "{about}: it is not certain");
                    let is_woken = reads && !fds.is_empty();
                    let word = match subject.as_str() {
                        _ if is_woken => Some("perhaps network I/O"),
                        "pending" => Some("no waker"),
                        _ => None,
                    };
                    assert_eq!(reason, word, "{about}");
                    assert!(task.leaked || task.wait_class == WaitClass::Unknown, "{about}");
                }
            }
        }
    }
}

#[test]
fn symbols() {
    check("1.54.1", TokioFlavour::V0, true);
}

#[test]
fn stripped() {
    check("1.44.2", TokioFlavour::Stripped, true);
}

#[test]
fn another_allocator() {
    check("1.47.1", TokioFlavour::Mimalloc, true);
}

#[test]
fn lines_only() {
    check("1.40.0", TokioFlavour::Lines, true);
}

/// What chains say remains; what they do not say is added.
#[test]
fn with_types() {
    check("1.36.0", TokioFlavour::Dev, true);
    check("1.54.1", TokioFlavour::Fat, true);
}

/// In old versions the epoll set has numbers.
#[test]
fn without_addresses() {
    check("1.28.2", TokioFlavour::Symbols, false);
}

/// The versions that `LOITER_TOKIO` asks for.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn more_versions() {
    for version in common::asked_versions() {
        for flavour in [TokioFlavour::Stripped, TokioFlavour::Dev] {
            check(version, flavour, version != "1.28.2");
        }
    }
}
