//! A core file of a program at rest gives the same goroutines as the live process.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, build, full_matrix, write_core};
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::{ReadMode, Snapshot, SourceKind};
use loiter::target;

/// A goroutine in words, so that snapshots with different tables can be compared.
fn words(snapshot: &Snapshot) -> BTreeMap<(Option<u64>, u64), String> {
    let place = |id: &loiter::snapshot::LocationId| {
        let location = &snapshot.locations[id.index()];
        let frames: Vec<_> = location
            .frames
            .iter()
            .map(|f| format!("{} {}:{}", snapshot.function_name(f.function), snapshot.str(f.file), f.line))
            .collect();
        format!("\n    {:x?} {}", location.address, frames.join(" < "))
    };
    snapshot
        .tasks
        .iter()
        .map(|task| {
            let waits: Vec<_> = snapshot
                .waits_of(task)
                .iter()
                .map(|wait| (wait.op, snapshot.objects[wait.object.index()]))
                .map(|(op, object)| {
                    let channel = object.channel.map(|c| (c.len, c.cap, c.closed, c.senders, c.receivers));
                    format!("{op:?} {:?} {:#x} {channel:?}", object.kind, object.address)
                })
                .collect();
            let stack: Vec<_> = snapshot.stack_of(task).iter().map(place).collect();
            let text = format!(
                "{} locked {} system {} parent {:?} creator {:?} entry {:?} labels {:?} waits {waits:?} {:?} {}",
                common::compare::state_text(snapshot, task),
                task.locked_to_thread,
                task.system,
                task.parent,
                task.creator.as_ref().map(place),
                task.entry.map(|id| snapshot.function_name(id)),
                common::compare::labels(snapshot, task),
                task.stack_status,
                stack.concat()
            );
            ((task.id, task.address), text)
        })
        .collect()
}

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let program = build(&toolchain, Program::Fixtures, flavour);
    let fixture = Fixture::start(&program, &["all"]);
    let core = fixture.dir().join("core");

    let read = |target: &dyn target::Target| {
        runtimes::snapshot(target, &ReadOptions::default()).unwrap_or_else(|e| panic!("{what}: {e}"))
    };
    let live_target = target::open_pid(fixture.pid()).unwrap();
    for attempt in 0.. {
        let before = read(live_target.as_ref());
        write_core(fixture.pid(), &core);
        let after = read(live_target.as_ref());
        // The runtime's own goroutines may have worked meanwhile.
        if words(&before) != words(&after) {
            assert!(attempt < 10, "{what}: the fixture does not come to rest");
            continue;
        }
        let dead_target =
            target::open_core(&core, Some(program.as_path())).unwrap_or_else(|e| panic!("{what}: {e}"));
        let dead = read(dead_target.as_ref());
        compare(&what, &words(&before), &words(&dead));
        assert_eq!(dead.header.target.source, SourceKind::Core, "{what}");
        assert_eq!(dead.header.reading.mode, ReadMode::Core, "{what}");
        assert_eq!(dead.header.target.pid, fixture.pid(), "{what}");
        assert_eq!(dead.header.runtimes[0].version, toolchain.full_version, "{what}");
        assert_eq!(dead.header.runtimes[0].heap, before.header.runtimes[0].heap, "{what}");
        break;
    }
}

fn compare(
    what: &str,
    live: &BTreeMap<(Option<u64>, u64), String>,
    dead: &BTreeMap<(Option<u64>, u64), String>,
) {
    assert!(live.len() > 100, "{what}: {} goroutines", live.len());
    let mut wrong = Vec::new();
    for (key, live) in live {
        match dead.get(key) {
            Some(dead) if dead == live => {}
            dead => wrong.push(format!("goroutine {:?}\n  live: {live}\n  core: {dead:?}", key.0)),
        }
    }
    wrong.extend(dead.keys().filter(|k| !live.contains_key(k)).map(|k| format!("{k:?} only in the core")));
    assert!(wrong.is_empty(), "{}", common::compare::report(what, &wrong));
}

#[test]
fn newest_stripped() {
    check(QUICK_VERSIONS[1], Flavour::Stripped);
}

#[test]
fn oldest_plain() {
    check(QUICK_VERSIONS[0], Flavour::Plain);
}

#[test]
fn more_flavours() {
    if !full_matrix() {
        eprintln!("NOT every flavour: set LOITER_MATRIX=full for that");
        return;
    }
    check(QUICK_VERSIONS[1], Flavour::PieStripped);
    check(QUICK_VERSIONS[1], Flavour::Cgo);
    check(QUICK_VERSIONS[0], Flavour::CgoPie);
}
