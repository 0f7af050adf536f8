//! Goroutines that are in C: its frames come before Go's, and looking at a thread that sleeps there
//! does not disturb it.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::process::{self, Target};
use loiter::runtimes::{Pause, Readable};
use loiter::snapshot::{FunctionKind, Snapshot, StackStatus, Task, TaskState};

const PAUSES: [Pause; 3] = [Pause::RunningThreads, Pause::Nothing, Pause::Everything];

/// A process that is read many times, attached once.
struct Attached {
    target: Box<dyn Target>,
    readable: Readable,
}

impl Attached {
    fn to(pid: u32) -> Self {
        let target = process::open_pid(pid).unwrap();
        let readable = Readable::find(target.as_ref()).unwrap();
        Attached { target, readable }
    }

    fn read(&self, pause: Pause) -> Snapshot {
        let options = common::reading(pause);
        self.readable.read(self.target.as_ref(), &options).unwrap()
    }
}

fn functions<'a>(snapshot: &'a Snapshot, task: &Task) -> Vec<(&'a str, FunctionKind)> {
    snapshot
        .stack_of(task)
        .iter()
        .flat_map(|id| &snapshot.code.locations[id.index()].frames)
        .map(|frame| {
            (snapshot.function_name(frame.function), snapshot.code.functions[frame.function.index()].kind)
        })
        .collect()
}

/// The goroutine that runs this function, or one that it calls.
fn task_in<'a>(snapshot: &'a Snapshot, function: &str) -> Option<&'a Task> {
    snapshot.tasks.iter().find(|task| functions(snapshot, task).iter().any(|(name, _)| *name == function))
}

/// The names of the C part and of the Go part.
fn parts<'a>(snapshot: &'a Snapshot, task: &Task) -> (Vec<&'a str>, Vec<&'a str>) {
    let all = functions(snapshot, task);
    let c = all.iter().take_while(|(_, kind)| *kind == FunctionKind::Foreign).count();
    let names: Vec<_> = all.into_iter().map(|(name, _)| name).collect();
    (names[..c].to_vec(), names[c..].to_vec())
}

/// A goroutine that sleeps in C for good: C's frames before Go's, without a stop.
fn check_blocked(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let fixture = Fixture::start(&build(&toolchain, Program::Fixtures, flavour), &["cgocalls"]);
    let attached = Attached::to(fixture.pid());
    for pause in PAUSES {
        let snapshot = attached.read(pause);
        let what = format!("{what}, {pause:?}");
        let task = task_in(&snapshot, "fixtures/cgocalls._Cfunc_pauseForever").unwrap();
        assert_eq!((task.state, task.stack_status), (TaskState::Syscall, StackStatus::Complete), "{what}");
        let (c, go) = parts(&snapshot, task);
        let expected = [
            "runtime.cgocall",
            "fixtures/cgocalls._Cfunc_pauseForever",
            "fixtures/cgocalls.Start.func1",
            "runtime.goexit",
        ];
        assert_eq!(go, expected, "{what}: Go's part");
        // The compiler puts pauseForever into the function that cgo made to call it.
        let [library, caller] = c.as_slice() else { panic!("{what}: {c:#?}") };
        assert_eq!(*library, "pause", "{what}");
        // Old versions of Go offer it to libraries, so that stripping leaves it its name.
        let nameless = flavour == Flavour::CgoStripped && caller.contains("+0x");
        assert!(nameless || caller.ends_with("_Cfunc_pauseForever"), "{what}: {caller}");
        check_places(&snapshot, task, &what);
        assert_eq!(snapshot.header.reading.threads_stopped, 0, "{what}: nothing has to be stopped");
        assert_eq!(snapshot.header.reading.torn, 0, "{what}");
    }
}

/// Every frame of C has an address, the file it is in, and no line.
fn check_places(snapshot: &Snapshot, task: &Task, what: &str) {
    for id in snapshot.stack_of(task) {
        let location = &snapshot.code.locations[id.index()];
        let frame = location.frames[0];
        if snapshot.code.functions[frame.function.index()].kind == FunctionKind::Foreign {
            assert!(location.address.is_some(), "{what}");
            assert!(snapshot.str(frame.file).starts_with('/'), "{what}: {}", snapshot.str(frame.file));
            assert_eq!(frame.line, 0, "{what}");
        }
    }
}

/// So often it is tried to catch what never rests.
const MANY_ROUNDS: u32 = 2000;

/// Deep, in a library that calls back, running, and never still for long.
fn check_code(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let fixture = Fixture::start(&build(&toolchain, Program::Fixtures, flavour), &["ccode"]);
    let attached = Attached::to(fixture.pid());
    for pause in PAUSES {
        let what = format!("{} {flavour:?}, {pause:?}", toolchain.full_version);
        let (mut naps, mut spins, mut rounds) = (0, 0, 0);
        // One that never rests is caught now and then; how often depends on the machine.
        while rounds < 20 || (naps == 0 || spins == 0 && pause != Pause::Nothing) && rounds < MANY_ROUNDS {
            rounds += 1;
            let snapshot = attached.read(pause);
            let c_in = |function: &str| {
                let task = task_in(&snapshot, function).unwrap_or_else(|| panic!("{what}: {function}"));
                check_places(&snapshot, task, &what);
                parts(&snapshot, task).0
            };
            let has = |c: &[&str], names: &[&str]| names.iter().all(|name| c.contains(name));

            let deep = c_in("fixtures/ccode.deep");
            let descents = deep.iter().filter(|name| **name == "descend").count();
            // Only the frame pointer tells where it began, and that is not known without a stop.
            let expected = if pause == Pause::Everything { 21 } else { 0 };
            assert_eq!(descents, expected, "{what}: {deep:#?}");

            let framed = c_in("fixtures/ccode.framed");
            let frames = framed.iter().filter(|name| **name == "framed").count();
            assert_eq!(frames, 21, "{what}: {framed:#?}");

            let sorting = c_in("fixtures/ccode.sorting");
            assert!(has(&sorting, &["sleep", "compareForever", "sortForever"]), "{what}: {sorting:#?}");

            let spinning = c_in("fixtures/ccode.spinning");
            assert!(spinning.is_empty() || has(&spinning, &["spin", "spinBelow"]), "{what}: {spinning:#?}");
            spins += u32::from(!spinning.is_empty());

            let napping = c_in("fixtures/ccode.napping");
            let naps_once = napping.contains(&"napOne") != napping.contains(&"napTwo");
            let whole = napping.contains(&"napForever") && (naps_once || napping[0] == "napForever");
            assert!(napping.is_empty() || whole, "{what}: {napping:#?}");
            naps += u32::from(!napping.is_empty());
        }
        match pause {
            Pause::Nothing => assert_eq!(spins, 0, "{what}: registers without a stop"),
            // One that gets no CPU for too long does not stop in time.
            _ => assert!(spins > 0, "{what}: a thread that runs C is stopped"),
        }
        eprintln!("{what}: of {rounds} times caught spinning {spins}, napping {naps}");
        assert!(naps > 0, "{what}: never caught napping");
    }
}

// `CgoInternal`: Go's own linker leaves out what C needs for unwinding, but not the way through cgo's functions.
matrix!(
    goroutines_blocked_in_c_have_its_frames,
    check_blocked,
    quick: [Cgo, CgoStripped, CgoInternal],
    spread: [Cgo, CgoStripped, CgoPie],
);

matrix!(deep_called_back_running_and_restless_c_is_read, check_code, quick: [Cgo], full: [CgoPie]);
