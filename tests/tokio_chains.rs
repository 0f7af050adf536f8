//! Where Tokio's tasks await and what for, compared with the marks in the sources of the program.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use loiter::__test::symbols::types::Types;
use loiter::process;
use loiter::runtimes::{Pause, Readable};
use loiter::snapshot::{Branch, HoldKind, LocationId, Snapshot, StackStatus, Task, TaskState};

mod common;

use common::{BookedTask, TokioFixture, TokioFlavour, asked_versions};

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A place in the fixture: file and line.
type Place = (PathBuf, u32);

/// What the sources say of one task.
#[derive(Debug)]
struct Expected {
    /// The places where it awaits, innermost first.
    awaits: Vec<Place>,
    /// What for. None: there may be more than is known.
    reason: Option<String>,
    /// The branches at the innermost place: how deep each is, and where it awaits, innermost first.
    branches: Vec<(u32, Vec<Place>)>,
    /// The place that has the guard of a lock.
    holds: Option<Place>,
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokio")
}

/// The marks in the sources: `// @name` names a line; behind that, `= names: reason` and `= names ?` say where the task that
/// is spawned on the line awaits. Behind `|`, its branches: the names of each, `-` for one without frames, `>` before one
/// that is within another. Behind `&`, the place with the guard of a lock.
fn expected() -> BTreeMap<Place, Expected> {
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    let mut tasks: Vec<(Place, String)> = Vec::new();
    for file in ["waits.rs", "chains.rs", "locks.rs"].map(|name| sources().join(name)) {
        for (text, line) in fs::read_to_string(&file).unwrap().lines().zip(1..) {
            let place = || (file.clone(), line);
            if let Some((_, mark)) = text.split_once("// @") {
                let name = mark.split(' ').next().unwrap();
                let before = names.insert(format!("{}:{name}", file.display()), place());
                assert_eq!(before, None, "{name} is twice");
            }
            if let Some((_, mark)) = text.split_once("// ").and_then(|(_, marks)| marks.split_once("= ")) {
                tasks.push((place(), mark.to_owned()));
            }
        }
    }
    let read = |((file, line), mark): (Place, String)| {
        let (mark, holds) = mark.split_once('&').unwrap_or((&mark, ""));
        let (mark, branches) = mark.split_once('|').unwrap_or((mark, ""));
        let (awaits, reason) = match mark.split_once(':') {
            Some((awaits, reason)) => (awaits, Some(reason.trim().to_owned())),
            None => (mark.trim().strip_suffix('?').unwrap(), None),
        };
        let place = |name: &str| names[&format!("{}:{name}", file.display())].clone();
        let places = |names: &str| -> Vec<Place> {
            names.split_whitespace().filter(|name| *name != "-").map(place).collect()
        };
        let branch = |names: &str| {
            let depth = names.matches('>').count() as u32 + 1;
            (depth, places(&names.replace('>', "")))
        };
        let branches = branches.split(';').filter(|names| !names.trim().is_empty()).map(branch).collect();
        let (awaits, holds) = (places(awaits), places(holds).pop());
        ((file, line), Expected { awaits, reason, branches, holds })
    };
    tasks.into_iter().map(read).collect()
}

/// The frames of a task that are in the fixture, innermost first.
fn own_frames(snapshot: &Snapshot, task: &Task) -> Vec<Place> {
    places(snapshot, snapshot.stack_of(task))
}

/// The branches of a task: how deep each is, and its frames that are in the fixture.
fn own_branches(snapshot: &Snapshot, task: &Task) -> Vec<(u32, Vec<Place>)> {
    let row = snapshot.tasks.iter().position(|other| other.address == task.address).unwrap() as u32;
    let stack = |branch: &Branch| branch.stack.map_or(&[][..], |id| snapshot.code.stack(id));
    let branches = snapshot.branches_of(row).iter();
    branches.map(|branch| (branch.depth, places(snapshot, stack(branch)))).collect()
}

fn places(snapshot: &Snapshot, stack: &[LocationId]) -> Vec<Place> {
    let locations = stack.iter().map(|id| &snapshot.code.locations[id.index()]);
    let frames = locations.flat_map(|location| &location.frames);
    let places = frames.map(|frame| (PathBuf::from(snapshot.str(frame.file)), frame.line));
    places.filter(|(file, _)| file.starts_with(sources())).collect()
}

fn read(readable: &Readable, target: &dyn process::Target, pause: Pause) -> Snapshot {
    let options = common::reading(pause);
    let snapshot = readable.read(target, &options).unwrap();
    assert_eq!(snapshot.validate(), Ok(()));
    snapshot
}

/// What is wrong with how one task was read.
fn wrong(
    snapshot: &Snapshot,
    task: &Task,
    booked: &BookedTask,
    expected: &Expected,
    has_types: bool,
) -> Option<String> {
    let (frames, reason) = (own_frames(snapshot, task), task.reason.map(|id| snapshot.str(id)));
    let name = task.entry.map(|entry| snapshot.function_name(entry));
    let said = format!("{}: {name:?} {:?} {reason:?} {frames:?}", booked.subject, task.stack_status);
    if !has_types {
        let unknown = task.stack_status == StackStatus::Unknown && frames.is_empty();
        return (!unknown).then(|| format!("{said}, though nothing says so"));
    }
    if frames != expected.awaits {
        return Some(format!("{said}, not {:?}", expected.awaits));
    }
    let branches = own_branches(snapshot, task);
    if branches != expected.branches && expected.reason.is_some() {
        return Some(format!("{said}: branches {branches:?}, not {:?}", expected.branches));
    }
    match &expected.reason {
        Some(wanted) if task.stack_status != StackStatus::Complete || reason != Some(wanted) => {
            Some(format!("{said}, not {wanted:?}"))
        }
        None if task.stack_status != StackStatus::Gaps => Some(format!("{said}: as if it were all")),
        _ => None,
    }
}

/// The handles that can send on the channels of tasks, by subject, and the elements in those without a limit.
const SENDERS: [(&str, u64, Option<u64>); 4] = [
    ("mpsc receive", 2, None),
    ("mpsc receive unbounded", 1, Some(0)),
    ("mpsc send", 1, None),
    ("broadcast", 1, None),
];

/// What is wrong with who can still send to a task.
fn wrong_senders(snapshot: &Snapshot, task: &Task, booked: &BookedTask) -> Option<String> {
    let (_, senders, queued) = SENDERS.iter().find(|(subject, ..)| *subject == booked.subject)?;
    let [wait] = snapshot.waits_of(task) else { return Some(format!("{}: no object", booked.subject)) };
    let found = snapshot.handles_of(wait.object);
    let is_right = found.is_some_and(|found| (found.senders, found.queued) == (*senders, *queued));
    (!is_right).then(|| format!("{}: {found:?}, not {senders} senders and {queued:?}", booked.subject))
}

/// What is wrong with who holds the locks that tasks wait for: the subject of each is that of the holder behind "for ".
fn wrong_holders(
    snapshot: &Snapshot,
    books: &BTreeMap<u64, BookedTask>,
    expected: &BTreeMap<Place, Expected>,
) -> Vec<String> {
    let mut failures = Vec::new();
    let task = |id: u64| snapshot.tasks.iter().find(|task| task.id == Some(id));
    let in_locks = |booked: &BookedTask| booked.file.ends_with("locks.rs");
    for (id, booked) in books {
        let Some(holder) = booked.subject.strip_prefix("for ") else { continue };
        let Some([wait]) = task(*id).map(|task| snapshot.waits_of(task)) else { continue };
        let hold = |task: &Task| {
            let hold = snapshot.holds_of(task).iter().find(|hold| hold.object == wait.object)?;
            let frames = places(snapshot, hold.location.as_slice());
            Some((task.id.unwrap(), hold.how, frames.into_iter().next()))
        };
        let found: Vec<_> = snapshot.tasks.iter().filter_map(hold).collect();
        let wanted: Vec<_> = (books.iter())
            .filter(|(_, other)| other.subject == holder && in_locks(other))
            .map(|(id, other)| {
                let place = expected[&(PathBuf::from(&other.file), other.line)].holds.clone();
                (*id, HoldKind::Perhaps, place)
            })
            .collect();
        // The bytes of a dropped guard may be there.
        let nobody = holder == "nobody" && found.iter().all(|(_, how, _)| *how == HoldKind::Perhaps);
        if found != wanted && !nobody {
            failures.push(format!("the holder of {holder}: {found:?}, not {wanted:?}"));
        }
    }
    failures
}

fn check(version: &str, flavour: TokioFlavour) {
    let about = format!("{version} {flavour:?}");
    let expected = expected();
    let mut fixture = TokioFixture::start(version, flavour, &["waits", "chains", "locks"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let began = Instant::now();
    let mut right = 0;
    // A task needs a moment to get where it waits. The first reading looks at types; later ones go the same ways again.
    let failures = loop {
        let books = fixture.books();
        let pause = if began.elapsed() < PATIENCE / 2 { Pause::Nothing } else { Pause::Everything };
        let snapshot = read(&readable, &*target, pause);
        let tasks: BTreeMap<u64, &Task> =
            snapshot.tasks.iter().filter_map(|task| Some((task.id?, task))).collect();
        let mut failures = Vec::new();
        let mut seen = BTreeSet::new();
        for (id, booked) in books.iter().filter(|(_, booked)| booked.kind == "future") {
            let place = (PathBuf::from(&booked.file), booked.line);
            let expected = expected.get(&place).unwrap_or_else(|| panic!("{about}: no mark for {booked:?}"));
            seen.insert(place);
            match tasks.get(id) {
                Some(task) if task.state == TaskState::Waiting => {
                    failures.extend(wrong(&snapshot, task, booked, expected, flavour.has_types()));
                    if flavour.has_types() {
                        failures.extend(wrong_senders(&snapshot, task, booked));
                    }
                }
                other => failures.push(format!("{}: {other:?}", booked.subject)),
            }
        }
        if flavour.has_types() {
            failures.extend(wrong_holders(&snapshot, &books, &expected));
        }
        assert_eq!(seen.len(), expected.len(), "{about}: every mark is about a task");
        let warned =
            snapshot.header.warnings.iter().any(|warning| warning.contains("where tasks await is unknown"));
        assert_eq!(warned, !flavour.has_types(), "{about}: {:?}", snapshot.header.warnings);
        // Once all are there, they stay.
        let is_over = right > 0 || began.elapsed() > PATIENCE;
        right += usize::from(failures.is_empty());
        if right >= 3 || is_over && !failures.is_empty() {
            break failures;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(failures.is_empty(), "{about}:\n{}", failures.join("\n"));
}

#[test]
fn tokio_1_54_dev() {
    check("1.54.1", TokioFlavour::Dev);
}

#[test]
fn tokio_1_54_fat() {
    check("1.54.1", TokioFlavour::Fat);
}

#[test]
fn tokio_1_36_dev() {
    check("1.36.0", TokioFlavour::Dev);
}

/// Where nothing says where tasks await, it is unknown.
#[test]
fn without_types() {
    check("1.54.1", TokioFlavour::V0);
    check("1.40.0", TokioFlavour::Lines);
}

/// `LOITER_TOKIO=all` tests every version with every flavour that has types: 27 programs are built for that. It can name
/// versions, too.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn more_versions() {
    let flavours = || TokioFlavour::ALL.into_iter().filter(|flavour| flavour.has_types());
    let asked = asked_versions().into_iter();
    let mut pairs: Vec<_> =
        asked.flat_map(|version| flavours().map(move |flavour| (version, flavour))).collect();
    if pairs.is_empty() {
        pairs = vec![("1.28.2", TokioFlavour::Full), ("1.47.1", TokioFlavour::Full)];
    }
    let failed: Vec<_> = pairs
        .into_iter()
        .filter(|(version, flavour)| std::panic::catch_unwind(|| check(version, *flavour)).is_err())
        .collect();
    assert_eq!(failed, []);
}

/// Damaged debug information is read without a panic, in bounds.
#[test]
fn damaged_debug_information() {
    use object::{Object, ObjectSection, ObjectSymbol};
    let program = common::build_tokio("1.54.1", TokioFlavour::Dev);
    let bytes = fs::read(program).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let sections: Vec<(String, Vec<u8>)> = file
        .sections()
        .filter_map(|section| {
            let name = section.name().ok()?.to_owned();
            name.starts_with(".debug_").then(|| Some((name, section.data().ok()?.to_vec())))?
        })
        .collect();
    let polls: Vec<u64> = file
        .symbols()
        .filter(|symbol| symbol.name().is_ok_and(|name| name.contains("4task3raw4poll")))
        .map(|symbol| symbol.address())
        .take(4)
        .collect();
    assert!(!polls.is_empty());
    let mut random = common::random::Random::new(11);
    let mut known = 0;
    for round in 0..4_u64 {
        let damaged = sections.iter().map(|(name, bytes)| {
            let mut bytes = bytes.clone();
            // The first time, nothing is damaged.
            let damages = if name == ".debug_abbrev" { round } else { round * 2000 };
            for _ in 0..damages {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.below(256) as u8;
            }
            (name.as_str(), bytes)
        });
        // What is not damaged is read to its end, however slow the machine is.
        let limit = if round == 0 { PATIENCE } else { Duration::from_secs(5) };
        let mut types = Types::of_sections(damaged, limit);
        for &poll in &polls {
            let Some(function) = types.function(poll) else { continue };
            let mut left: Vec<_> = function.parameters.iter().map(|parameter| parameter.of).collect();
            let mut seen = BTreeSet::new();
            while let Some(id) = left.pop().filter(|_| seen.len() < 500) {
                let Some(found) = types.get(id).filter(|_| seen.insert(id)) else { continue };
                known += usize::from(round == 0);
                left.extend(found.members.iter().map(|member| member.of));
                let variants = found.variants.iter().flat_map(|variants| &variants.list);
                left.extend(variants.map(|variant| variant.member.of));
                types.awaits(id);
            }
            types.beside(poll, "tokio::runtime::task::core", "Stage", "()");
        }
    }
    assert!(known > 20, "{known}");
}
