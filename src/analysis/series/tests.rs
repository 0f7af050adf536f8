//! Series of small snapshots, handmade and random.

use proptest::prelude::*;

use super::*;
use crate::snapshot::*;

const SECOND: u64 = 1_000_000_000;

/// A task as a test gives it: id, function, mark.
type Given = (u64, &'static str, u64);

/// A snapshot of one process, `at` seconds after the first, with waiting tasks.
fn snapshot(at: u64, tasks: &[Given]) -> Snapshot {
    builder(at, tasks).finish()
}

fn builder(at: u64, tasks: &[Given]) -> SnapshotBuilder {
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
    builder
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

fn steps(track: &Track) -> Vec<Step> {
    track.steps.iter().copied().collect()
}

#[test]
fn tasks_in_another_order_are_followed_too() {
    let readings: [(u64, &[Given]); 3] = [
        (0, &[(1, "a", 0), (2, "a", 0), (3, "b", 0)]),
        (5, &[(1, "a", 0), (3, "a", 1), (4, "b", 0), (5, "b", 0)]),
        (10, &[(1, "a", 0), (3, "a", 2), (5, "b", 0), (6, "b", 0)]),
    ];
    let in_order = series(readings.map(|(at, tasks)| snapshot(at, tasks)));
    // As in a file that was made by hand.
    let turned = series(readings.map(|(at, tasks)| {
        let mut turned = snapshot(at, tasks);
        turned.tasks.rotate_left(1);
        turned
    }));
    let known = |series: &Series| {
        let members = series.members().iter().map(|m| (m.first_seen, m.here_since, m.still_since));
        let tracks = ["a", "b"].map(|name| track(series, name).clone());
        (members.collect::<Vec<_>>(), tracks)
    };
    assert_eq!(known(&turned), known(&in_order));
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
    // The last two: tasks of the first reading that remain, and that have ended.
    let step = |count, born, gone, arrived, left, old, old_gone| Step {
        count,
        born,
        gone,
        arrived,
        left,
        old,
        old_gone,
    };
    assert_eq!(steps(a), [step(2, 0, 0, 0, 0, 2, 0), step(2, 0, 1, 1, 0, 2, 1), step(2, 0, 0, 0, 0, 2, 0)]);
    assert_eq!((a.first, a.first_gone, a.longest_ended_ns), (2, 1, None));
    let b = track(&series, "b");
    assert_eq!(steps(b), [step(1, 0, 0, 0, 0, 1, 0), step(2, 2, 0, 0, 1, 0, 0), step(1, 0, 1, 0, 0, 0, 0)]);
    // Task 4 was born after second 0 and had ended by second 10.
    assert_eq!(b.longest_ended_ns, Some(10 * SECOND));

    let members: Vec<_> =
        series.members().iter().map(|m| (m.first_seen, m.here_since, m.still_since)).collect();
    // Task 1 never ran; task 3 came to its place in the second reading and has run since; task 5 has not moved.
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
    // An exact count is a proof at once.
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

/// A reading of a program in which every stack is different: three tasks that stay, one that comes and goes,
/// one that has moved on from a stack that no task has any more, and `churn` tasks with stacks of their own.
fn hectic(number: u64, churn: u64) -> Snapshot {
    let mut builder = builder(number, &[(1, "stays", 0), (2, "stays", 0), (3, "stays", number)]);
    let serve = builder.code.function("main.serve", "main", FunctionKind::Normal);
    let serve = builder.code.frame(serve, "f.go", 1);
    let creator =
        builder.code.location(Location { address: Some(9), frames: vec![serve], ..Location::default() });
    let mut add = |id: u64, name: &str| {
        let function = builder.code.function(name, "main", FunctionKind::Normal);
        let frame = builder.code.frame(function, "f.go", 1);
        let address = Some((number << 32) + id);
        let location =
            builder.code.location(Location { address, frames: vec![frame], ..Location::default() });
        let stack = builder.code.stack(vec![location]);
        builder.task(Task { creator: Some(creator), ..task(id, stack, 0) });
    };
    if number % 7 < 2 {
        add(100 + number / 7, "comes and goes");
    }
    match number {
        0 => {}
        1 => add(50, "moves on"),
        _ => add(50, "has moved on"),
    }
    (0..churn).for_each(|nth| add(1_000 + number * churn + nth, &format!("f{number}.{nth}")));
    builder.finish()
}

/// A quarter of a million stacks; a million in full runs.
#[test]
fn stacks_that_come_and_go_take_bounded_room() {
    const READINGS: u64 = 250;
    let full = std::env::var("LOITER_MATRIX").is_ok_and(|value| value == "full");
    let churn = if full { 4_000 } else { 1_000 };
    let options = SeriesOptions { keep: Some(60), ..SeriesOptions::default() };
    let (mut series, mut calm) = (Series::new(options), Series::new(options));
    let mut most = (0, 0, 0);
    let mut early = None;
    for number in 0..READINGS {
        series.push(hectic(number, churn));
        calm.push(hectic(number, 0));
        let (texts, stacks) = series.signatures.parts();
        most = (most.0.max(series.tracks.len()), most.1.max(texts), most.2.max(stacks));
        if number == 3 {
            early = series.tracks().map(|(id, ..)| id).last();
        }
    }
    // The remembered ones; and those of one reading each that were there at first, are there now, have just
    // ended, and exceed the limit.
    let bound = 2 * REMEMBERED + 4 * churn as usize + 10;
    assert!(most.0 < bound && most.1 < bound + 100 && most.2 < bound + 100, "{most:?}");
    let kept = series.tracks().count() as u64;
    let let_go = series.let_go();
    assert_eq!(let_go.signatures() + kept, READINGS * churn + calm.tracks().count() as u64);
    assert!(series.warning().is_some_and(|text| text.contains("groups of tasks that had all ended")));
    assert_eq!(calm.warning(), None);

    // No id dangles.
    let early = early.unwrap();
    assert!(series.track(early).is_none() && series.tracks().all(|(id, ..)| id != early));
    for member in series.members() {
        assert!(series.track(member.signature).is_some() && series.track(member.first_signature).is_some());
    }
    let moved = series.members().iter().find(|member| member.first_signature != member.signature).unwrap();
    let (first, _) = series.track(moved.first_signature).unwrap();
    assert_eq!(&*first.frames[0].function, "moves on");

    // The remaining tracks are the same as without the other tasks.
    for name in ["stays", "comes and goes", "has moved on"] {
        assert_eq!(track(&series, name), track(&calm, name), "{name}");
    }
    let (born, gone) = series.tracks().fold((0, 0), |(b, g), (_, _, t)| (b + t.born, g + t.gone));
    assert_eq!(born + let_go.born(), calm_born(&calm) + (READINGS - 1) * churn);
    assert_eq!(gone + let_go.gone(), calm_gone(&calm) + (READINGS - 1) * churn);
    // Each of them lived for less than two seconds.
    let (place, ended) = let_go.by_creator().next().unwrap();
    assert_eq!((&*place.function, ended.longest_ended_ns), ("main.serve", Some(2 * SECOND)));
    assert_eq!(ended.gone, let_go.gone());
    assert_eq!(let_go.by_creator().count(), 1);
}

fn calm_born(series: &Series) -> u64 {
    series.tracks().map(|(_, _, track)| track.born).sum()
}

fn calm_gone(series: &Series) -> u64 {
    series.tracks().map(|(_, _, track)| track.gone).sum()
}

#[test]
fn a_series_that_keeps_everything_lets_nothing_go() {
    let mut series = Series::new(SeriesOptions::default());
    series.remembered = 3;
    (0..20).for_each(|number| series.push(hectic(number, 10)));
    assert_eq!((series.let_go().signatures(), series.warning()), (0, None));
    assert!(series.tracks().count() > 200);
}

#[test]
fn times_that_nobody_needs_are_let_go() {
    let options = SeriesOptions { keep: Some(3), ..SeriesOptions::default() };
    let snapshot = |at| snapshot(at, &[(1, "a", 0), (2 + at / 3_000, "b", 0), (9_999 + at, "c", 0)]);
    let series = Series::of(options, (0..10_000).map(snapshot));
    assert_eq!(series.readings(), 10_000);
    let known = (0..10_000).filter(|&number| series.elapsed_at(number).is_some()).count();
    assert!(known < 5_000, "{known}");
    let first_seen: Vec<_> =
        series.members().iter().map(|m| (m.first_seen, series.since(m.first_seen))).collect();
    let ago = |seconds| Some(seconds * SECOND);
    assert_eq!(first_seen, [(0, ago(9_999)), (9_000, ago(999)), (9_999, ago(0))]);
    assert_eq!(track(&series, "b").longest_ended_ns, ago(3_001));
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
            let (x, y) = (steps(there)[1], steps(back)[1]);
            prop_assert_eq!((x.born, x.gone, x.arrived, x.left), (y.gone, y.born, y.left, y.arrived));
            prop_assert_eq!((there.first, x.count), (y.count, back.first));
            prop_assert_eq!(there.first + x.born + x.arrived, x.count + x.gone + x.left);
        }
    }

    /// Whatever is released, totals are right and no id dangles.
    #[test]
    fn forgetful(readings in prop::collection::vec(tasks(), 1..12)) {
        let options = SeriesOptions { keep: Some(2), ..SeriesOptions::default() };
        let (mut forgetful, mut all) = (Series::new(options), Series::new(SeriesOptions::default()));
        forgetful.remembered = 0;
        for (at, tasks) in readings.iter().enumerate() {
            forgetful.push(snapshot(at as u64, tasks));
            all.push(snapshot(at as u64, tasks));
            let sum = |series: &Series, of: fn(&Track) -> u64| series.tracks().map(|(_, _, t)| of(t)).sum::<u64>();
            let let_go = forgetful.let_go();
            prop_assert_eq!(sum(&forgetful, |t| t.born) + let_go.born(), sum(&all, |t| t.born));
            prop_assert_eq!(sum(&forgetful, |t| t.gone) + let_go.gone(), sum(&all, |t| t.gone));
            let seen = |s: &Series| s.members().iter().map(|m| (m.first_seen, m.still_since)).collect::<Vec<_>>();
            prop_assert_eq!(seen(&forgetful), seen(&all));
            for (one, other) in forgetful.members().iter().zip(all.members()) {
                let name = |s: &Series, id| s.track(id).map(|(signature, _)| signature.clone());
                prop_assert!(name(&forgetful, one.signature).is_some());
                prop_assert_eq!(name(&forgetful, one.signature), name(&all, other.signature));
                prop_assert_eq!(name(&forgetful, one.first_signature), name(&all, other.first_signature));
            }
        }
    }

    /// The order in which a snapshot interns things makes no difference, nor does writing it to a file and
    /// reading it back.
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
