//! Registries made by hand, byte by byte: what is right is read, what is not does no harm.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::{Age, ObjectKind, Snapshot, StackStatus, Task, TaskState, WaitOp};
use proptest::prelude::*;

#[path = "registry/image.rs"]
mod image;

use image::{BASE, Entry, NOW, PID, Process, REGISTRY, Version};

fn read(process: &mut Process) -> loiter::Result<Snapshot> {
    process.write_notes();
    let snapshot = runtimes::snapshot(process, &ReadOptions::default())?;
    snapshot.validate().unwrap();
    Ok(snapshot)
}

fn problem(process: &mut Process) -> String {
    loiter::full_text(&read(process).unwrap_err())
}

/// A task that waits: id, then more fields.
fn waiting(id: u64, more: &[(usize, u64)]) -> Entry {
    let known =
        [(0, 2), (2, id), (4, NOW - 9_000), (10, 4), (11, 3), (12, 7), (13, NOW - 500), (14, NOW - 400)];
    known.into_iter().chain(more.iter().copied()).collect()
}

/// Three tasks that make use of everything, in any version.
fn three(version: &Version) -> Process {
    let mut process = Process::new();
    let spawn = process.place(version, "src/main.rs", 40, "");
    let outer = process.place(version, "src/serve.rs", 12, "api::serve");
    let inner = process.place(version, "src/fetch.rs", 88, "fetch");
    let lock = process.place(version, "src/fetch.rs", 90, "pool lock");
    let (type_name, type_len) = process.text("api::serve::{{closure}}");
    let (name, name_len) = process.text("conn-1");
    let who = [(5, spawn), (6, type_name), (8, type_len)];
    let mut first = waiting(1, &who);
    first.extend([(3, 5), (7, name), (9, name_len), (15, 0xbeef), (17, 2), (20, 0xabc0)]);
    // Slot 3 is outermost, slot 0 stands in it and was polled last.
    first.extend([(26 + 3, outer << 16 | 255 << 8 | 1), (26, inner << 16 | 3 << 8), (25, 0)]);
    let mut second = waiting(2, &who);
    second.extend([(16, lock), (17, 300), (15, 0xbeef), (24, 2)]);
    second.extend([(26, outer << 16 | 255 << 8), (27, inner << 16), (25, 255)]);
    let mut third = waiting(3, &[(11, 2), (18, PID.into()), (21, 1)]);
    third.extend([(25, 255)]);
    process.notes.push(REGISTRY);
    process.registry(REGISTRY, version, &[first, vec![], second, third]);
    process.put_u64(REGISTRY + 512, 3);
    process
}

fn frames(snapshot: &Snapshot, task: &Task) -> Vec<String> {
    let locations = snapshot.stack_of(task).iter().map(|id| &snapshot.code.locations[id.index()]);
    let text = |location: &loiter::snapshot::Location| {
        let frame = location.frames[0];
        assert_eq!(location.address, None);
        let (function, file) = (snapshot.function_name(frame.function), snapshot.str(frame.file));
        format!("{function} {file}:{}", frame.line)
    };
    locations.map(text).collect()
}

fn labels(snapshot: &Snapshot, task: &Task) -> Vec<String> {
    let pairs = task.labels.map_or(&[][..], |id| &snapshot.code.label_sets[id.index()].pairs);
    pairs.iter().map(|&(k, v)| format!("{}={}", snapshot.str(k), snapshot.str(v))).collect()
}

fn check_three(snapshot: &Snapshot) {
    let [first, second, third] = snapshot.tasks.as_slice() else { panic!("{:?}", snapshot.tasks) };
    assert_eq!((first.id, second.id, third.id), (Some(1), Some(2), Some(3)));
    assert_eq!((first.parent, second.parent), (Some(5), None));
    assert_eq!((first.lifetime_ns, first.polls), (Some(9_000), Some(7)));
    assert_eq!((first.state, first.age), (TaskState::Waiting, Age::Exactly(400)));
    assert_eq!(first.reason.map(|id| snapshot.str(id)), Some("channel receive"));
    assert_eq!(first.address, 0xabc0);
    assert_eq!(labels(snapshot, first), ["name=conn-1"]);
    let inner_first = ["fetch src/fetch.rs:88", "api::serve src/serve.rs:12", "api::serve::{{closure}} :0"];
    assert_eq!(frames(snapshot, first), inner_first);
    assert_eq!(first.stack_status, StackStatus::Complete);
    let wait = snapshot.waits_of(first)[0];
    let object = snapshot.objects[wait.object.index()];
    assert_eq!((wait.op, object.kind, object.address), (WaitOp::Receive, ObjectKind::Channel, 0xbeef));
    let creator = &snapshot.code.locations[first.creator.unwrap().index()].frames[0];
    assert_eq!((snapshot.str(creator.file), creator.line), ("src/main.rs", 40));
    assert_eq!(snapshot.function_name(creator.function), "");
    assert_eq!(snapshot.function_name(first.entry.unwrap()), "api::serve::{{closure}}");
    assert_eq!(snapshot.str(snapshot.code.functions[first.entry.unwrap().index()].package), "api");

    assert_eq!(second.reason.map(|id| snapshot.str(id)), Some("pool lock"));
    assert_eq!(frames(snapshot, second), inner_first);
    assert_eq!(second.stack_status, StackStatus::Gaps);
    assert_eq!((third.state, third.age), (TaskState::Running, Age::Exactly(500)));
    assert_eq!((third.thread, third.stack, third.stack_status), (Some(4242), None, StackStatus::Unknown));
    assert_eq!(labels(snapshot, third), ["kind=blocking"]);
    assert_eq!(snapshot.header.warnings, Vec::<String>::new());
}

#[test]
fn every_field_arrives() {
    check_three(&read(&mut three(&Version::current())).unwrap());
}

#[test]
fn a_newer_minor_is_read_by_its_offsets() {
    check_three(&read(&mut three(&Version::newer())).unwrap());
}

#[test]
fn what_an_older_minor_lacks_is_unknown() {
    let snapshot = read(&mut three(&Version::older())).unwrap();
    assert_eq!(snapshot.tasks.len(), 3);
    let first = &snapshot.tasks[0];
    assert_eq!((first.id, first.state, first.age), (Some(1), TaskState::Unknown, Age::Unknown));
    assert_eq!((first.polls, first.stack_status), (None, StackStatus::Unknown));
    assert_eq!(frames(&snapshot, first), ["api::serve::{{closure}} :0"]);
    assert_eq!(labels(&snapshot, first), ["name=conn-1"]);
}

#[test]
fn an_unknown_major_is_refused_by_name_and_hides_nothing() {
    let mut process = Process::with(&Version { major: 2, minor: 3, ..Version::current() }, &[]);
    assert_eq!(
        problem(&mut process),
        "task registry of /srv/handmade cannot be read: its format is 2.3; this loiter reads 1.x"
    );
    let other = REGISTRY + 0x1000;
    process.registry(other, &Version::current(), &[waiting(1, &[])]);
    process.notes.push(other);
    let snapshot = read(&mut process).unwrap();
    assert_eq!((snapshot.tasks.len(), snapshot.header.runtimes.len()), (1, 1));
    assert!(snapshot.header.warnings[0].contains("its format is 2.3"), "{:?}", snapshot.header.warnings);
}

#[test]
fn registries_are_followed_once_each() {
    let second = REGISTRY + 0x1000;
    let mut process = Process::with(&Version::current(), &[waiting(1, &[])]);
    process.registry(second, &Version::current(), &[waiting(1, &[]), waiting(2, &[])]);
    process.put_u64(REGISTRY + 256, second);
    process.put_u64(second + 256, REGISTRY);
    process.notes.push(second);
    let snapshot = read(&mut process).unwrap();
    assert_eq!(snapshot.header.runtimes.len(), 2);
    assert_eq!(snapshot.tasks.iter().map(|task| task.runtime).collect::<Vec<_>>(), [0, 1, 1]);
}

#[test]
fn the_copy_of_a_forked_process_is_left_out() {
    let mut process = three(&Version::current());
    process.put_u32(REGISTRY + 220, 5);
    process.write_notes();
    let error = runtimes::snapshot(&process, &ReadOptions::default()).unwrap_err();
    let loiter::Error::NoRuntime { looked_at, .. } = error else { panic!("{error}") };
    assert!(looked_at.iter().any(|line| line.contains("forked from process 5")), "{looked_at:?}");
}

#[test]
fn a_registry_that_was_never_used_is_no_runtime() {
    let mut process = Process::with(&Version::current(), &[]);
    process.put_u32(REGISTRY + 220, 0);
    process.write_notes();
    let error = runtimes::snapshot(&process, &ReadOptions::default()).unwrap_err();
    let loiter::Error::NoRuntime { looked_at, .. } = error else { panic!("{error}") };
    assert!(looked_at.iter().any(|line| line.contains("no task was registered")), "{looked_at:?}");
}

#[test]
fn what_is_being_written_is_torn_or_unknown() {
    let mut process = Process::with(
        &Version::current(),
        &[waiting(1, &[(0, 3)]), waiting(2, &[(10, 5), (17, 2)]), waiting(3, &[]), vec![(0, 6)]],
    );
    process.put_u64(REGISTRY + 512, 3);
    let snapshot = read(&mut process).unwrap();
    assert_eq!(snapshot.header.reading.torn, 1);
    let [torn, second, third] = snapshot.tasks.as_slice() else { panic!("{:?}", snapshot.tasks) };
    assert_eq!((torn.id, torn.stack_status), (None, StackStatus::Torn));
    assert_eq!((second.id, second.state, second.polls), (Some(2), TaskState::Unknown, None));
    assert_eq!((third.id, third.state), (Some(3), TaskState::Waiting));
}

/// The identity of the last task may stay in a free entry.
#[test]
fn an_entry_in_state_free_is_free_whatever_else_it_says() {
    let entries = [waiting(1, &[(11, 0), (17, 99)]), waiting(2, &[])];
    let mut process = Process::with(&Version::current(), &entries);
    process.put_u64(REGISTRY + 512, 2);
    process.put_u64(REGISTRY + 576, 1);
    let snapshot = read(&mut process).unwrap();
    assert_eq!(snapshot.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [Some(2)]);
    assert_eq!(snapshot.header.warnings, Vec::<String>::new());
}

#[test]
fn chains_that_make_no_sense_are_marked() {
    let version = Version::current();
    let mut process = Process::new();
    let place = process.place(&version, "a.rs", 1, "a");
    let slot = |around: u64| place << 16 | around << 8;
    let tasks = [
        // Around itself, found by the hint; a ring, without one; a slot that does not exist; an
        // empty slot ends the path.
        waiting(1, &[(25, 0), (26, slot(0))]),
        waiting(2, &[(25, 255), (26, slot(1)), (27, slot(0))]),
        waiting(3, &[(25, 0), (26, slot(99))]),
        waiting(4, &[(25, 0), (26, slot(5))]),
        // Polled last in the outer one of two: of a task that waits, the inner one counts too.
        waiting(5, &[(25, 4), (26 + 4, slot(255)), (26, slot(4))]),
        waiting(6, &[(11, 2), (25, 4), (26 + 4, slot(255)), (26, slot(4))]),
    ];
    process.notes.push(REGISTRY);
    process.registry(REGISTRY, &version, &tasks);
    let snapshot = read(&mut process).unwrap();
    let statuses: Vec<_> = snapshot.tasks.iter().map(|task| task.stack_status).collect();
    use StackStatus::{Broken, Complete};
    assert_eq!(statuses, [Broken, Broken, Broken, Complete, Complete, Complete]);
    let depths: Vec<_> = snapshot.tasks.iter().map(|task| snapshot.stack_of(task).len()).collect();
    assert_eq!(depths[3..], [1, 2, 1]);
}

#[test]
fn wild_addresses_are_unknown_not_errors() {
    let wild =
        [(5, 0x10), (6, u64::MAX - 3), (8, 4096), (7, 1), (9, u32::MAX.into()), (16, BASE - 8), (20, 7)];
    let mut process = Process::with(&Version::current(), &[waiting(1, &wild), waiting(2, &[(26, u64::MAX)])]);
    let snapshot = read(&mut process).unwrap();
    let first = &snapshot.tasks[0];
    assert_eq!((first.creator, first.entry, first.labels, first.stack), (None, None, None, None));
    assert_eq!(snapshot.tasks[1].stack, None);

    process.put_u64(REGISTRY + 264, 0x1000);
    process.put_u64(REGISTRY + 224, 0x1000);
    process.put_u32(REGISTRY + 232, 0xffff_ffff);
    let snapshot = read(&mut process).unwrap();
    assert_eq!(snapshot.tasks.len(), 0);
    assert!(snapshot.header.warnings[0].contains("2 entries cannot be read"));
}

#[test]
fn counts_that_cannot_be_are_refused() {
    for (offset, value, says) in [
        (12, 100, "claims a header of 100 bytes"),
        (12, 1 << 20, "claims a header of 1048576 bytes"),
        (16, 0, "claims entries of 0 bytes"),
        (16, 8192, "claims entries of 8192 bytes"),
        (16, 64, "claims that field"),
        (20, 4096, "claims locations of 4096 bytes"),
        (24, 33, "33 fields"),
        (24, 2, "lack the field Id"),
        (28, 9, "9 fields of locations"),
        (32 + 8, 255, "claims that field 2 is at byte 255 of 256"),
        (192, 0, "first chunk"),
        (196, 25, "25 chunks"),
        (200, 65, "65 await locations"),
        (656, (1 << 26) + 1, "67108865 entries"),
        (0, 0x3030_3030, "there is no registry"),
    ] {
        let mut process = three(&Version::current());
        process.put_u32(REGISTRY + offset, value);
        let problem = problem(&mut process);
        assert!(problem.contains(says), "{offset}: {problem}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let mut process = three(&Version::current());
    process.put_u64(REGISTRY + 512, 10);
    process.put_u64(REGISTRY + 640, 4);
    let warnings = read(&mut process).unwrap().header.warnings;
    assert_eq!(
        warnings,
        [
            "task registry of /srv/handmade: 4 tasks are missing: the registry was full with 1000 entries",
            "task registry of /srv/handmade: 3 tasks were found, but the registry counts 10 live ones",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_registries_do_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0_u8..4), 1..12),
    ) {
        let mut process = three(&Version::current());
        process.write_notes();
        let len = process.bytes.len() - 0x1000;
        for (at, value, kind) in changes {
            let at = REGISTRY + (at.index(len - 8) as u64 & !3);
            match kind {
                0 => process.put_u64(at, value),
                1 => process.put_u32(at, value as u32),
                2 => process.put_u32(at, value as u32 & 0xff),
                _ => process.put_u64(at, BASE + value % (len as u64 + 0x1000)),
            }
        }
        if let Ok(snapshot) = runtimes::snapshot(&process, &ReadOptions::default()) {
            prop_assert!(snapshot.validate().is_ok());
        }
    }
}
