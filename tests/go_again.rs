//! Reading a program again: goroutines that have not run are not unwound again, and nothing that the snapshot says is
//! wrong because of that.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::process::{self, Target};
use loiter::runtimes::{Pause, ReadOptions, Readable};
use loiter::snapshot::{Snapshot, Task, TaskState};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// How many goroutines the last reading did not unwind again, as it says.
static UNCHANGED: AtomicU64 = AtomicU64::new(0);

struct Listener;

impl Visit for Listener {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "unchanged" {
            UNCHANGED.store(value, Ordering::Relaxed);
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("loiter::runtimes::go::convert")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Listener);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn options() -> ReadOptions {
    common::reading(Pause::Everything)
}

/// What was read anew, by a reader that knows nothing of the readings before.
fn anew(target: &dyn Target) -> Vec<String> {
    texts(&Readable::find(target).unwrap().read(target, &options()).unwrap())
}

/// Everything that a snapshot says of the program's goroutines, one text each. Those in system calls are left out: a
/// thread that was just stopped is on its way back into its call, and what it waits for may be unknown.
fn texts(snapshot: &Snapshot) -> Vec<String> {
    let at_rest = |task: &&Task| !task.system && task.state != TaskState::Syscall;
    snapshot.tasks.iter().filter(at_rest).map(|task| text(snapshot, task)).collect()
}

fn text(snapshot: &Snapshot, task: &Task) -> String {
    let code = &snapshot.code;
    let location = |id: &loiter::snapshot::LocationId| {
        let location = &code.locations[id.index()];
        let frame = |frame: &loiter::snapshot::Frame| {
            format!("{} {}:{}", code.function_name(frame.function), code.str(frame.file), frame.line)
        };
        format!("{:x?} {:?}", location.address, location.frames.iter().map(frame).collect::<Vec<_>>())
    };
    let labels = task.labels.map(|id| {
        let pairs = &code.label_sets[id.index()].pairs;
        pairs.iter().map(|(k, v)| format!("{}={}", code.str(*k), code.str(*v))).collect::<Vec<_>>()
    });
    let waits: Vec<String> = snapshot
        .waits_of(task)
        .iter()
        .map(|wait| {
            let object = &snapshot.objects[wait.object.index()];
            let channel = object.channel.map(|c| (c.len, c.cap, c.closed, c.senders, c.receivers));
            format!("{:?} {:?} {:x} {channel:?}", wait.op, object.kind, object.address)
        })
        .collect();
    let stack: Vec<String> = snapshot.stack_of(task).iter().map(location).collect();
    format!(
        "{:?} at {:x}: {:?} {:?} {:?}, mark {:x?}, by {:?} from {:?}, entry {:?}, {labels:?}, {:?} {stack:#?}, waits {waits:?}",
        task.id,
        task.address,
        task.state,
        task.reason.map(|id| code.str(id)),
        task.wait_class,
        task.mark,
        task.parent,
        task.creator.map(|id| location(&id)),
        task.entry.map(|id| code.function_name(id)),
        task.stack_status,
    )
}

/// Reads a program again and again, each time after some of its goroutines have moved.
fn check(version: &str, flavour: Flavour) {
    // One test may be here before another one.
    let _ = tracing::subscriber::set_global_default(Listener);
    let program = build(&Toolchain::get(version), Program::Fixtures, flavour);
    let mut fixture = Fixture::start_with(&program, &["stirred"], &[("GOMAXPROCS", "1")]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let target = target.as_ref();
    let readable = Readable::find(target).unwrap();
    let mut reused = 0;
    for round in 0..12 {
        fixture.ask("stir");
        if round % 4 == 2 {
            // It moves stacks, and notes since when goroutines wait.
            fixture.ask("gc");
        }
        let mut attempt = 0;
        loop {
            let before = anew(target);
            // A target that is not stopped is read in another way.
            let pause = if round % 2 == 0 { Pause::Everything } else { Pause::RunningThreads };
            // Every fourth reading keeps nothing for another one, and is whole all the same.
            let repeated = round % 4 != 3;
            let again = readable.read(target, &ReadOptions { pause, repeated, ..options() }).unwrap();
            reused += UNCHANGED.load(Ordering::Relaxed);
            if before == anew(target) {
                let again = texts(&again);
                let wrong = before.iter().zip(&again).find(|(before, again)| before != again);
                assert_eq!(wrong, None, "{version} {flavour:?}, round {round}");
                assert_eq!(before.len(), again.len(), "{version} {flavour:?}, round {round}");
                break;
            }
            attempt += 1;
            assert!(attempt < 50, "{version} {flavour:?}: the fixture does not come to rest");
        }
    }
    assert!(reused > 0, "{version} {flavour:?}: everything was read anew each time");
}

/// Goroutines that wait for channels of all kinds, at rest: only the first reading reads the channels, unless the target
/// is stopped.
fn check_channels(version: &str) {
    let program = build(&Toolchain::get(version), Program::Fixtures, Flavour::Stripped);
    let fixture = Fixture::start(&program, &["channels"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    let live = ReadOptions::default();
    for round in 0..4 {
        let mut attempt = 0;
        loop {
            let before = anew(target.as_ref());
            let again = texts(&readable.read(target.as_ref(), &live).unwrap());
            if before == anew(target.as_ref()) {
                assert_eq!(before, again, "{version}, round {round}");
                break;
            }
            attempt += 1;
            assert!(attempt < 50, "{version}: the fixture does not come to rest");
        }
    }
}

matrix!(channels_that_are_not_read_again_are_what_they_were, check_channels);
matrix!(equals_reading_anew, check, quick: [Stripped], spread: [Plain, PieStripped]);

/// The tasks that "turn" moves, with the function that they wait in.
fn turners(snapshot: &Snapshot) -> Vec<(u64, Option<u64>, String)> {
    let name = |id: &loiter::snapshot::LocationId| {
        let frame = snapshot.code.locations[id.index()].frames.last().unwrap();
        snapshot.code.function_name(frame.function).to_owned()
    };
    let of = |task: &Task| {
        let names: Vec<String> = snapshot.stack_of(task).iter().map(name).collect();
        let is_turner =
            task.state == TaskState::Waiting && names.iter().any(|name| name.ends_with(".turner"));
        let place = names.into_iter().find(|name| name.starts_with("fixtures/stirred."))?;
        is_turner.then(|| (task.id.unwrap(), task.mark, place))
    };
    snapshot.tasks.iter().filter_map(of).collect()
}

/// A goroutine that ran exactly as often as its counter takes to be what it was waits elsewhere, with a frame of equal
/// size: nothing in its struct differs.
fn check_wrapped(version: &str) {
    let program = build(&Toolchain::get(version), Program::Fixtures, Flavour::Stripped);
    let mut fixture = Fixture::start_with(&program, &["stirred"], &[("GOMAXPROCS", "1"), ("COUNT", "200")]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    let mut wrapped = 0;
    for _ in 0..200 {
        let before = turners(&readable.read(target.as_ref(), &options()).unwrap());
        fixture.ask("turn");
        let again = turners(&readable.read(target.as_ref(), &options()).unwrap());
        let anew = Readable::find(target.as_ref()).unwrap().read(target.as_ref(), &options()).unwrap();
        // One may have got no CPU yet.
        let all_wait = [&before, &again, &turners(&anew)].iter().all(|turners| turners.len() == 4);
        if turners(&anew) == before || !all_wait {
            continue;
        }
        assert_eq!(again, turners(&anew), "{version}");
        wrapped += before.iter().zip(&again).filter(|(b, a)| b.0 == a.0 && b.1 == a.1 && b.2 != a.2).count();
        if wrapped >= 4 {
            return;
        }
    }
    panic!("{version}: no goroutine had an equal counter elsewhere");
}

matrix!(a_counter_that_wrapped_proves_nothing, check_wrapped);
