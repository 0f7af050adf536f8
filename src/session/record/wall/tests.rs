#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::code::{FunctionKind, Location};
use crate::recording::Recording;
use crate::snapshot::{RuntimeInfo, Scheduler, SnapshotBuilder, TaskState};

const START: u64 = 1_000;

/// A reading of tasks: (id, function that it is in).
fn reading(created: u64, tasks: &[(u64, &str)]) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    let scheduler = Scheduler { tasks_created: Some(created), ..Scheduler::default() };
    builder.header.runtimes =
        vec![RuntimeInfo { name: "go".to_owned(), scheduler, ..RuntimeInfo::default() }];
    // The ids of the tables differ from reading to reading.
    builder.code.string(&created.to_string());
    for (id, function) in tasks {
        let id = *id;
        let code = &mut builder.code;
        let function = code.function(function, "main", FunctionKind::Normal);
        let frames = vec![code.frame(function, "main.go", 7)];
        let location = code.location(Location::at(0x1000, None, frames));
        let stack = Some(code.stack(vec![location]));
        let labels = Some(code.labels([("route", "/orders")]));
        let state = TaskState::Waiting;
        builder.task(Task { id: Some(id), address: 8 * id, state, stack, labels, ..Task::default() });
    }
    builder.finish()
}

/// A recording from `START` to `START + end` of readings at these times; None for one that failed.
fn record(readings: Vec<(u64, Option<Snapshot>)>, end: u64) -> Recording {
    let mut builder = RecordingBuilder::new();
    let mut wall = Wall::new(WallOptions::default(), START, START);
    for (at, snapshot) in readings {
        match snapshot {
            Some(snapshot) => wall.add(&snapshot, &mut builder, START + at),
            None => wall.failed(&mut builder, START + at),
        }
    }
    wall.finish(&mut builder, START + end);
    builder.finish()
}

/// (task id, function, from, time, readings) of each sample.
fn rows(recording: &Recording) -> Vec<(u64, &str, u64, u64, u64)> {
    let mut rows: Vec<_> = recording
        .samples
        .iter()
        .map(|sample| {
            let Whose::Task(row) = sample.whose else { panic!("{sample:?}") };
            let location = recording.code.stack(sample.stack.unwrap())[0];
            let frame = recording.code.locations[location.index()].frames[0];
            let function = recording.code.function_name(frame.function);
            (recording.tasks[row.index()].id.unwrap(), function, sample.at_ns, sample.weight_ns, sample.count)
        })
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn a_task_that_stays_in_its_place_is_one_sample_of_the_whole_time() {
    let readings = (1..=3).map(|n| (n * 100, Some(reading(5, &[(1, "f"), (2, "g")])))).collect();
    let recording = record(readings, 350);
    assert_eq!(rows(&recording), [(1, "f", 0, 350, 3), (2, "g", 0, 350, 3)]);
    assert_eq!(recording.code.stacks.len(), 2, "each stack once, whatever its number in a reading");
    assert_eq!(recording.code.label_sets.len(), 1);
    assert_eq!(recording.header.clocks[0].period_ns, Some(100));
}

#[test]
fn a_reading_stands_for_half_of_the_time_before_and_after_it() {
    let readings = vec![
        (100, Some(reading(2, &[(1, "f"), (2, "f")]))),
        (200, Some(reading(3, &[(1, "g"), (3, "f")]))),
        (400, Some(reading(3, &[(1, "g"), (3, "f")]))),
    ];
    let recording = record(readings, 500);
    let expected = [(1, "f", 0, 150, 1), (1, "g", 150, 350, 2), (2, "f", 0, 150, 1), (3, "f", 150, 350, 2)];
    assert_eq!(rows(&recording), expected);
    let coverage = &recording.header.coverage;
    assert_eq!((coverage.readings, coverage.tasks_started, coverage.tasks_ended), (3, Some(1), Some(1)));
    assert_eq!((coverage.started_seen, coverage.lived_ns), (Some(1), Some(600)));
    // Task 1 from 100 to 400, task 3 from 200 to 400.
    assert_eq!(coverage.seen_ns, Some(500));
}

#[test]
fn the_time_around_a_reading_that_failed_is_left_out() {
    let readings =
        vec![(100, Some(reading(1, &[(1, "f")]))), (200, None), (300, Some(reading(1, &[(1, "f")])))];
    let recording = record(readings, 400);
    assert_eq!(rows(&recording), [(1, "f", 0, 150, 1), (1, "f", 250, 150, 1)]);
    let coverage = &recording.header.coverage;
    assert_eq!((coverage.readings, coverage.readings_failed, coverage.started_seen), (2, 1, Some(0)));
    assert_eq!((coverage.seen_ns, coverage.lived_ns), (Some(0), Some(0)));
}

#[test]
fn tasks_without_ids_count_as_many_times_as_there_are_of_them() {
    let mut builder = RecordingBuilder::new();
    let mut wall = Wall::new(WallOptions::default(), START, START);
    for at in [100, 200] {
        let mut snapshot = SnapshotBuilder::new();
        snapshot.counted(Task { state: TaskState::Waiting, ..Task::default() }, 5);
        wall.add(&snapshot.finish(), &mut builder, START + at);
    }
    wall.finish(&mut builder, START + 300);
    let recording = builder.finish();
    let sum = recording.samples.iter().fold((0, 0), |(n, ns), s| (n + s.count, ns + s.weight_ns));
    assert_eq!(sum, (10, 1500));
    assert_eq!(recording.header.coverage.started_seen, None);
}

#[test]
fn readings_that_take_long_become_rarer() {
    let mut wall = Wall::new(WallOptions::default(), START, START);
    wall.schedule(START, Duration::from_millis(100));
    assert_eq!(wall.due(START), Duration::from_millis(500));
    assert_eq!(wall.due(START + 600_000_000), Duration::ZERO);
}

#[test]
fn the_time_between_readings_is_random_around_its_mean() {
    let mut wall = Wall::new(WallOptions::default(), START, START);
    let times: Vec<Duration> = (0..1000)
        .map(|_| {
            wall.schedule(START, Duration::ZERO);
            wall.due(START)
        })
        .collect();
    let mean = times.iter().sum::<Duration>() / 1000;
    assert!(mean.abs_diff(Duration::from_millis(50)) < Duration::from_millis(3), "{mean:?}");
    let (low, high) = (Duration::from_millis(25), Duration::from_millis(75));
    assert!(times.iter().all(|time| (low..=high).contains(time)));
    assert!(times.windows(2).any(|two| two[0].abs_diff(two[1]) > Duration::from_millis(10)));
}
