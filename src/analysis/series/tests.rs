//! Series of small snapshots made by hand and by chance.

use proptest::prelude::*;

use super::*;
use crate::snapshot::*;

const SECOND: u64 = 1_000_000_000;

/// A task as a test gives it: id, function, mark.
type Given = (u64, &'static str, u64);

/// A snapshot of one process, `at` seconds after the first, with waiting tasks.
fn snapshot(at: u64, tasks: &[Given]) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    builder.header.target = TargetInfo { pid: Some(7), start_ticks: Some(9), ..TargetInfo::default() };
    builder.header.runtimes = vec![RuntimeInfo { name: "go".to_owned(), ..RuntimeInfo::default() }];
    builder.header.taken_at_ns = Some((1_000_000 + at) * SECOND);
    builder.header.monotonic_ns = Some((500 + at) * SECOND);
    for &(id, name, mark) in tasks {
        let function = builder.code.function(name, "", FunctionKind::Normal);
        let frame = builder.code.frame(function, "f.go", 1);
        // The same function has the same address in every snapshot.
        let address = name.bytes().map(u64::from).sum();
        let location = builder.code.location(Location::at(address, None, vec![frame]));
        let stack = builder.code.stack(vec![location]);
        builder.task(task(id, stack, mark));
    }
    builder.finish()
}

fn task(id: u64, stack: StackId, mark: u64) -> Task {
    Task {
        id: Some(id),
        address: 0xc000 + id,
        state: TaskState::Waiting,
        mark: Some(mark),
        stack: Some(stack),
        stack_status: StackStatus::Complete,
        stack_bytes: 2048,
        ..Task::default()
    }
}

fn series(snapshots: impl IntoIterator<Item = Snapshot>) -> Series {
    Series::of(SeriesOptions::default(), snapshots)
}

/// The track of the signature whose innermost function is `name`.
fn track<'a>(series: &'a Series, name: &str) -> &'a Track {
    let named = |signature: &Signature| signature.frames.first().is_some_and(|f| &*f.function == name);
    series.tracks().find(|(_, signature, _)| named(signature)).map(|(_, _, track)| track).unwrap()
}

#[test]
fn tasks_are_followed() {
    let series = series([
        snapshot(0, &[(1, "a", 0), (2, "a", 0), (3, "b", 0)]),
        snapshot(5, &[(1, "a", 0), (3, "a", 1), (4, "b", 0), (5, "b", 0)]),
        snapshot(10, &[(1, "a", 0), (3, "a", 2), (5, "b", 0)]),
    ]);
    assert_eq!(series.matching(), &Matching::ById);
    assert_eq!(series.span_ns(), Some(10 * SECOND));
    let points: Vec<_> = series.points().iter().map(|p| (p.tasks, p.born, p.gone)).collect();
    assert_eq!(points, [(3, 0, 0), (4, 2, 1), (3, 0, 1)]);

    let a = track(&series, "a");
    // The last two: of the first reading, those that are there, and those that have ended.
    let step = |count, born, gone, arrived, left, old, old_gone| Step {
        count,
        born,
        gone,
        arrived,
        left,
        old,
        old_gone,
    };
    assert_eq!(a.steps, [step(2, 0, 0, 0, 0, 2, 0), step(2, 0, 1, 1, 0, 2, 1), step(2, 0, 0, 0, 0, 2, 0)]);
    assert_eq!((a.first, a.first_gone, a.longest_ended_ns), (2, 1, None));
    let b = track(&series, "b");
    assert_eq!(b.steps, [step(1, 0, 0, 0, 0, 1, 0), step(2, 2, 0, 0, 1, 0, 0), step(1, 0, 1, 0, 0, 0, 0)]);
    // Task 4 was born after second 0 and had ended by second 10.
    assert_eq!(b.longest_ended_ns, Some(10 * SECOND));

    let members: Vec<_> =
        series.members().iter().map(|m| (m.first_seen, m.here_since, m.still_since)).collect();
    // Task 1 never ran; task 3 came to its place in the second reading and has run since; 5 stands.
    assert_eq!(members, [(0, 0, 0), (0, 1, 2), (1, 1, 1)]);

    let groups = groups(&series);
    let of_a = groups.iter().find(|g| g.tasks.len() == 2).unwrap();
    // Two intervals with equal marks are not yet a proof.
    assert_eq!((of_a.stayed, of_a.still, of_a.oldest), (1, 0, Age::Unknown));
    assert_eq!(of_a.stack_bytes, 4096);
}

#[test]
fn marks_that_come_round_again_prove_nothing() {
    let age = |readings: u64, with: fn(&mut Task)| {
        let series = series((0..readings).map(|at| {
            let mut snapshot = snapshot(at, &[(1, "a", 7)]);
            snapshot.tasks.iter_mut().for_each(with);
            snapshot
        }));
        let group = groups(&series).remove(0);
        (group.still, group.oldest)
    };
    assert_eq!(age(1, |_| {}), (0, Age::Unknown));
    assert_eq!(age(2, |_| {}), (0, Age::Unknown));
    assert_eq!(age(3, |_| {}), (0, Age::Unknown));
    assert_eq!(age(4, |_| {}), (1, Age::AtLeast(3 * SECOND)));
    // What is counted exactly is a proof at once.
    assert_eq!(age(2, |task| task.polls = Some(3)), (1, Age::AtLeast(SECOND)));
    assert_eq!(age(2, |task| task.age = Age::AtLeast(9 * SECOND)), (1, Age::AtLeast(9 * SECOND)));
}

#[test]
fn old_readings_are_let_go() {
    let options = SeriesOptions { keep: Some(3), ..SeriesOptions::default() };
    let series = Series::of(options, (0..10).map(|at| snapshot(at, &[(1, "a", 0), (at + 2, "b", 0)])));
    assert_eq!(series.points().len(), 3);
    assert_eq!(series.readings(), 10);
    assert_eq!(track(&series, "b").steps.len(), 3);
    assert_eq!((track(&series, "b").born, track(&series, "b").gone), (9, 9));
    assert_eq!(series.members().first().map(|m| m.still_since), Some(0));
    assert_eq!(series.span_ns(), Some(9 * SECOND));
}

#[test]
fn another_process_is_not_followed() {
    let mut other = snapshot(5, &[(1, "a", 0)]);
    other.header.target.start_ticks = Some(10);
    let series = series([snapshot(0, &[(1, "a", 0)]), other]);
    assert!(!series.matching().by_id());
    assert!(series.matching().warning().is_some_and(|w| w.contains("started anew")));
    let a = track(&series, "a");
    assert_eq!((a.born, a.gone, a.steps.len()), (0, 0, 2));
    assert_eq!(groups(&series).first().map(|g| g.stayed), Some(0));
}

#[test]
fn signatures_are_what_was_asked_for() {
    let by = |by, top| SeriesOptions {
        signature: SignatureOptions { by, top, ignore_creator: false, all_frames: false },
        ..SeriesOptions::default()
    };
    use crate::analysis::signature::By;
    let count = |options| {
        let mut two_lines = snapshot(0, &[(1, "a", 0), (2, "a", 0)]);
        let mut location = two_lines.code.locations[0].clone();
        location.frames[0].line = 2;
        two_lines.code.locations.push(location);
        two_lines.code.stacks.push(Stack { locations: vec![LocationId(2)] });
        two_lines.tasks[1].stack = Some(StackId(two_lines.code.stacks.len() as u32 - 1));
        Series::of(options, [two_lines]).tracks().count()
    };
    assert_eq!(count(by(By::Function, None)), 1);
    assert_eq!(count(by(By::Line, None)), 2);
    assert_eq!(count(by(By::Line, Some(0))), 1);
    assert_eq!(count(by(By::Creator, None)), 1);
}

/// Tasks with ids from a small range, in any order, each id once.
fn tasks() -> impl Strategy<Value = Vec<Given>> {
    let names = prop::sample::select(vec!["a", "b", "c", "d"]);
    prop::collection::btree_map(1..40_u64, (names, 0..3_u64), 0..30)
        .prop_map(|map| map.into_iter().map(|(id, (name, mark))| (id, name, mark)).collect::<Vec<_>>())
        .prop_shuffle()
}

/// What a series says of each function, by name.
fn told(series: &Series) -> Vec<(String, Track)> {
    let name = |signature: &Signature| signature.frames.first().map_or("", |f| &f.function).to_owned();
    let mut all: Vec<_> = series.tracks().map(|(_, s, track)| (name(s), track.clone())).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

proptest! {
    /// Nothing comes or goes from a snapshot to itself.
    #[test]
    fn itself(tasks in tasks()) {
        let series = series([snapshot(0, &tasks), snapshot(0, &tasks)]);
        for (_, _, track) in series.tracks() {
            let step = *track.steps.back().unwrap();
            prop_assert_eq!(step, Step { count: track.first, old: track.first, ..Step::default() });
        }
        prop_assert!(series.members().iter().all(|m| m.still_since == 0));
    }

    /// Backwards, births are ends and arrivals departures; and the books balance.
    #[test]
    fn mirror(a in tasks(), b in tasks()) {
        let there = series([snapshot(0, &a), snapshot(0, &b)]);
        let back = series([snapshot(0, &b), snapshot(0, &a)]);
        let (there, back) = (told(&there), told(&back));
        prop_assert_eq!(there.len(), back.len());
        for ((name, there), (other, back)) in there.iter().zip(&back) {
            prop_assert_eq!(name, other);
            let (x, y) = (there.steps[1], back.steps[1]);
            prop_assert_eq!((x.born, x.gone, x.arrived, x.left), (y.gone, y.born, y.left, y.arrived));
            prop_assert_eq!((there.first, x.count), (y.count, back.first));
            prop_assert_eq!(there.first + x.born + x.arrived, x.count + x.gone + x.left);
        }
    }

    /// The order in which a snapshot interns things makes no difference, nor does taking it through a
    /// file.
    #[test]
    fn interning(readings in prop::collection::vec((tasks(), tasks()), 1..5)) {
        let straight = readings.iter().enumerate().map(|(at, (tasks, _))| snapshot(at as u64, tasks));
        let reordered = readings.iter().enumerate().map(|(at, (tasks, other))| {
            // Other tasks first, then taken out again: their strings and stacks stay in the tables.
            let both: Vec<Given> = (other.iter().map(|&(id, name, mark)| (id + 100, name, mark)))
                .chain(tasks.iter().rev().copied())
                .collect();
            let mut snapshot = snapshot(at as u64, &both);
            snapshot.tasks.retain(|task| task.id.is_some_and(|id| id < 100));
            let mut bytes = Vec::new();
            file::write(&snapshot, &mut bytes).unwrap();
            file::read(bytes.as_slice()).unwrap()
        });
        let (straight, reordered) = (series(straight), series(reordered));
        prop_assert_eq!(told(&straight), told(&reordered));
        prop_assert_eq!(straight.points().len(), reordered.points().len());
    }
}
