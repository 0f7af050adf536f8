use super::followed::KINDS_OF_TASK;
use super::*;
use crate::snapshot::{SnapshotBuilder, Task};

/// A reading of tasks: id, state and reason.
fn reading(tasks: &[(u64, TaskState, Option<&str>)]) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    for &(id, state, reason) in tasks {
        let reason = reason.map(|reason| builder.code.string(reason));
        builder.task(Task { id: Some(id), address: id * 64, state, reason, ..Task::default() });
    }
    builder.finish()
}

fn after(times: &StateTimes, snapshot: &Snapshot, seconds: Option<f64>) -> StateTimes {
    let mut after = After::new(times, snapshot, seconds, true);
    snapshot.tasks.iter().for_each(|task| after.task(task));
    after.finish()
}

fn follow(readings: &[Snapshot], seconds: impl Fn(usize) -> Option<f64>) -> StateTimes {
    let mut times = StateTimes::default();
    for (nth, snapshot) in readings.iter().enumerate() {
        times = after(&times, snapshot, seconds(nth));
    }
    times
}

fn named(shares: &Shares) -> Vec<(&str, f64)> {
    shares.parts.iter().map(|(name, share)| (&**name, (share * 1000.0).round() / 1000.0)).collect()
}

const LOCK: (TaskState, Option<&str>) = (TaskState::Waiting, Some("sync.Mutex.Lock"));
const RUNS: (TaskState, Option<&str>) = (TaskState::Running, None);

#[test]
fn each_reading_stands_for_the_time_since_the_one_before() {
    let of = |(state, reason): (TaskState, Option<&'static str>)| reading(&[(7, state, reason)]);
    let times = follow(&[of(LOCK), of(RUNS), of(LOCK)], |nth| (nth > 0).then_some(nth as f64));
    let shares = times.of([(0, 1)].into_iter()).unwrap_or_default();
    assert_eq!(named(&shares), [("sync.Mutex.Lock", 0.667), ("running", 0.333)]);
    assert_eq!((shares.readings, shares.span_ns), (2, 3_000_000_000));
    assert_eq!(times.active([(0, 1)].into_iter()), None);
    assert_eq!(named(&times.whole()), named(&shares));
}

#[test]
fn tasks_come_and_go() {
    let first = reading(&[(1, LOCK.0, LOCK.1), (5, RUNS.0, RUNS.1)]);
    let second = reading(&[(0, RUNS.0, RUNS.1), (5, LOCK.0, LOCK.1), (9, RUNS.0, RUNS.1)]);
    let times = follow(&[first, second], |_| Some(1.0));
    let of = |task| times.of([(task, 1)].into_iter()).unwrap_or_default();
    assert_eq!(named(&of(0)), [("running", 1.0)]);
    assert_eq!(of(0).readings, 1);
    assert_eq!(named(&of(1)), [("running", 0.5), ("sync.Mutex.Lock", 0.5)]);
    assert_eq!(of(1).readings, 2);
    // The one that has ended counts for the process.
    assert_eq!(named(&times.whole()), [("running", 0.6), ("sync.Mutex.Lock", 0.4)]);
    // A group: each of its tasks, as often as its row stands for one.
    let both = times.of([(0, 1), (1, 2)].into_iter()).unwrap_or_default();
    assert_eq!(named(&both), [("running", 0.6), ("sync.Mutex.Lock", 0.4)]);
    assert_eq!(times.of([(3, 1)].into_iter()), None);
}

#[test]
fn the_time_of_long_ago_is_forgotten() {
    let readings: Vec<Snapshot> = (0..3 * HALF)
        .map(|nth| {
            let (state, reason) = if nth < HALF { RUNS } else { LOCK };
            reading(&[(7, state, reason)])
        })
        .collect();
    let times = follow(&readings, |_| Some(0.5));
    let shares = times.of([(0, 1)].into_iter()).unwrap_or_default();
    assert_eq!(named(&shares), [("sync.Mutex.Lock", 1.0)]);
    assert_eq!(shares.readings, 2 * HALF);
    assert_eq!(times.whole().readings, 2 * HALF);
}

/// What is kept since when must be the same as what adding up each reading gives.
#[test]
fn times_are_those_of_the_readings() {
    let names = ["a", "b", "c"];
    let mut random = 99u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut times = StateTimes::default();
    // For each task what the readings of both halves say: its state, and the seconds.
    let mut expected: Vec<[Vec<(usize, f64)>; 2]> = vec![Default::default(); 4];
    let (mut kinds, mut counted) = ([0; 4], 0);
    for _ in 0..5 * HALF {
        let seconds = (next(8) > 0).then(|| (1 + next(4)) as f64);
        if seconds.is_some() && counted == HALF {
            expected.iter_mut().for_each(|[earlier, later]| *earlier = std::mem::take(later));
            counted = 0;
        }
        counted += u32::from(seconds.is_some());
        for ((task, kind), of) in kinds.iter_mut().enumerate().zip(&mut expected) {
            // The first one changes all the time, the last one seldom.
            if next(1 << (3 * task)) == 0 {
                *kind = next(3) as usize;
            }
            of[1].extend(seconds.map(|seconds| (*kind, seconds)));
        }
        let found = kinds.map(|kind| (TaskState::Waiting, names.get(kind).copied()));
        let tasks: Vec<_> = (1..).zip(found).map(|(id, (state, reason))| (id, state, reason)).collect();
        times = after(&times, &reading(&tasks), seconds);
        for (task, of) in (0..).zip(&expected) {
            let shares = times.of([(task, 1)].into_iter()).unwrap_or_default();
            let all: Vec<(usize, f64)> = of.iter().flatten().copied().collect();
            let sum: f64 = all.iter().map(|(_, seconds)| seconds).sum();
            assert_eq!(shares.readings as usize, all.len());
            assert!((shares.span_ns as f64 / 1e9 - sum).abs() < 1e-3 * sum);
            for (kind, name) in names.iter().enumerate() {
                let of_kind: f64 = all.iter().filter(|one| one.0 == kind).map(|one| one.1).sum();
                let share = shares.parts.iter().find(|part| &*part.0 == *name).map_or(0.0, |part| part.1);
                assert!((share - of_kind / sum.max(1.0)).abs() < 1e-4, "task {task} {name}");
            }
        }
    }
}

#[test]
fn rare_states_of_a_task_are_added_up() {
    let reasons = ["a", "b", "c", "d", "e", "f"];
    let readings = reasons.map(|reason| reading(&[(7, TaskState::Waiting, Some(reason))]));
    let times = follow(&readings, |_| Some(1.0));
    let shares = times.of([(0, 1)].into_iter()).unwrap_or_default();
    // The present one is always kept apart.
    assert_eq!(shares.parts.len(), KINDS_OF_TASK + 1);
    assert!((shares.other - 1.0 / 6.0).abs() < 1e-6);
    assert_eq!(times.whole().parts.len(), reasons.len());
}

#[test]
fn a_wait_reason_named_like_a_state_is_no_state() {
    let doing = [RUNS, (TaskState::Waiting, Some("running"))];
    let readings: Vec<Snapshot> =
        (0..8).map(|nth| doing[nth % 2]).map(|(state, reason)| reading(&[(7, state, reason)])).collect();
    let active = follow(&readings, |_| Some(1.0)).active([(0, 1)].into_iter());
    assert_eq!(active, Some(0.5));
}
