use super::*;
use crate::analysis::waits::WaitTable;
use crate::report::text::waits;
use crate::snapshot::{Hold, ObjectId, ObjectKind, SnapshotBuilder, Task, TaskState, Wait, WaitOp};
use HoldKind::{Exclusive, Perhaps, Shared};

/// A task: its id, the lock that it waits for, and the locks that it holds.
type T<'a> = (u64, Option<u32>, &'a [(u32, HoldKind)]);

fn snapshot(kind: ObjectKind, states: &[Option<LockState>], tasks: &[T<'_>]) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    for (nth, state) in states.iter().enumerate() {
        let id = builder.object(kind, 0x10 * (nth as u64 + 1), |_| None);
        state.iter().for_each(|&state| builder.set_lock_state(id, state));
    }
    for &(id, waits, holds) in tasks {
        let wait = |lock| Wait { op: WaitOp::Lock, object: ObjectId(lock) };
        let waits = builder.waits(waits.map(wait));
        let hold = |&(lock, how)| Hold { object: ObjectId(lock), how, location: None };
        let holds = builder.holds(holds.iter().map(hold));
        builder.task(Task { id: Some(id), state: TaskState::Waiting, waits, holds, ..Task::default() });
    }
    builder.finish()
}

/// The sentences about the waiters, without what they wait for.
fn said(states: &[Option<LockState>], tasks: &[T<'_>]) -> Vec<String> {
    let snapshot = snapshot(ObjectKind::Mutex, states, tasks);
    let waiting = snapshot.tasks.iter().filter(|task| !task.waits.is_empty());
    let summaries = WaitTable::new(&snapshot).summarize(waiting);
    assert!(summaries.len() == 1);
    waits::sentences(&snapshot, &summaries, false).split_off(1)
}

const LOCKED: Option<LockState> = Some(LockState::Exclusive);

fn readers(n: u32) -> Option<LockState> {
    Some(LockState::Shared(n))
}

#[test]
fn one_lock() {
    let free = Some(LockState::Free);
    let held: &[T<'_>] = &[(1, Some(0), &[]), (2, None, &[(0, Exclusive)])];
    let two: &[T<'_>] = &[(1, Some(0), &[]), (2, None, &[(0, Exclusive)]), (3, None, &[(0, Exclusive)])];
    let perhaps: &[T<'_>] = &[(1, Some(0), &[]), (2, None, &[(0, Perhaps)]), (3, None, &[(0, Perhaps)])];
    let nobody: &[T<'_>] = &[(1, Some(0), &[])];
    for (state, tasks, sentences) in [
        (None, nobody, &[][..]),
        (LOCKED, nobody, &["no holder was found"]),
        (free, nobody, &["the mutex is being handed over"]),
        (None, held, &["held by task 2: waiting"]),
        (LOCKED, held, &["held by task 2: waiting"]),
        (free, held, &["held by task 2: waiting", "the mutex says that it is free"]),
        (LOCKED, two, &["held by one of 2 tasks: 2, 3"]),
        (
            LOCKED,
            perhaps,
            &["perhaps held by one of 2 tasks (the address of the lock is on their stacks): 2, 3"],
        ),
        (
            readers(2),
            perhaps,
            &[
                "perhaps held by 2 tasks (the address of the lock is on their stacks): 2, 3",
                "2 readers hold the lock",
            ],
        ),
        (readers(5), nobody, &["5 readers hold the lock, but none of them was found"]),
        (readers(1), nobody, &["1 reader holds the lock, but which one was not found"]),
    ] {
        assert_eq!(said(&[state], tasks), sentences, "{state:?} {tasks:?}");
    }
}

#[test]
fn readers_that_were_found_and_others() {
    let mut tasks: Vec<T<'_>> = vec![(1, Some(0), &[])];
    tasks.extend((2..32).map(|id| (id, None, &[(0, Shared)][..])));
    let of = |said| ["held for reading by 30 tasks: 2, 3, 4, 5, 6, 7 and 24 more".to_owned(), said];
    assert_eq!(said(&[readers(30)], &tasks), of(String::new())[..1]);
    let more = "1,000 readers hold the lock (30 of them were found)".to_owned();
    assert_eq!(said(&[readers(1000)], &tasks), of(more));
    let fewer = "29 readers hold the lock, but 30 tasks seem to".to_owned();
    assert_eq!(said(&[readers(29)], &tasks), of(fewer));
    assert_eq!(
        said(&[readers(2)], &tasks[..2]),
        ["held for reading by task 2: waiting", "2 readers hold the lock (1 of them was found)"]
    );
}

#[test]
fn several_locks() {
    let one: &[(u32, HoldKind)] = &[(0, Exclusive), (1, Exclusive)];
    let waiting: [T<'_>; 2] = [(1, Some(0), &[]), (2, Some(1), &[])];
    let locked = [LOCKED, LOCKED];
    assert_eq!(said(&locked, &waiting), ["no holder was found for any of them"]);
    assert_eq!(
        said(&locked, &[waiting[0], waiting[1], (3, None, one)]),
        ["all of them are held by task 3: waiting"]
    );
    assert_eq!(
        said(&locked, &[waiting[0], waiting[1], (3, None, &one[..1])]),
        ["1 of them is held by task 3: waiting", "no holder was found for 1 of them"]
    );
    let mut tasks = waiting.to_vec();
    tasks.extend((3..6).map(|id| (id, None, &[(0, Shared)][..])));
    assert_eq!(
        said(&[readers(3), LOCKED], &tasks),
        ["1 of them is held for reading by 3 tasks: 3, 4, 5", "no holder was found for 1 of them"]
    );
    tasks.extend((6..40).map(|id| (id, None, &[(0, Shared)][..])));
    assert_eq!(said(&[readers(37), None], &tasks), ["1 of them is held for reading by 16 or more tasks"]);
}

#[test]
fn those_that_wait_for_themselves_and_for_each_other() {
    let own = |id, lock| (id, Some(lock), &[(0, Exclusive), (1, Exclusive)][lock as usize..][..1]);
    assert_eq!(said(&[LOCKED], &[own(1, 0)]), ["holds it itself, and so waits for itself"]);
    assert_eq!(
        said(&[LOCKED, LOCKED], &[own(1, 0), own(2, 1)]),
        ["each holds it itself, and so waits for itself"]
    );
    assert_eq!(
        said(&[LOCKED], &[own(1, 0), (2, Some(0), &[])]),
        ["held by task 1: waiting, which waits for it itself"]
    );
    // Task 2 holds the first lock and waits for the second, and so on.
    let next: &[T<'_>] =
        &[(1, Some(0), &[]), (2, Some(1), &[(0, Exclusive)]), (3, Some(2), &[(1, Exclusive)])];
    let snapshot = snapshot(ObjectKind::Mutex, &[LOCKED; 3], next);
    let of = |nth: usize| {
        let summaries = WaitTable::new(&snapshot).summarize(snapshot.tasks[nth..=nth].iter());
        waits::sentences(&snapshot, &summaries, false).split_off(1)
    };
    assert_eq!(of(0), ["held by task 2: waiting, which waits for a lock held by 3"]);
    assert_eq!(of(1), ["held by task 3: waiting"]);
    assert_eq!(of(2), ["no holder was found"]);
}

#[test]
fn wait_groups() {
    let tasks: &[T<'_>] = &[(1, Some(0), &[]), (2, Some(1), &[])];
    let some = |n| Some(LockState::Outstanding(n));
    for (low, high, sentence) in [
        (0, 0, "no outstanding Done calls"),
        (1, 1, "1 outstanding Done call on each of them"),
        (2, 5, "2 to 5 outstanding Done calls on each of them"),
    ] {
        assert_eq!(said(&[some(low), some(high)], tasks), [sentence]);
    }
    assert_eq!(said(&[some(1)], &tasks[..1]), ["1 outstanding Done call"]);
    assert_eq!(said(&[some(1200)], &tasks[..1]), ["1,200 outstanding Done calls"]);
}

#[test]
fn what_tasks_hold() {
    let tasks: &[T<'_>] = &[
        (1, Some(0), &[]),
        (2, Some(0), &[]),
        (3, Some(1), &[]),
        (4, None, &[(0, Exclusive), (1, Exclusive)]),
        (5, None, &[(2, Perhaps)]),
        (6, None, &[(2, Perhaps)]),
    ];
    let snapshot = snapshot(ObjectKind::RwMutex, &[LOCKED; 3], tasks);
    let table = WaitTable::new(&snapshot);
    let of = |from: usize, to: usize| {
        let some = &snapshot.tasks[from..to];
        hold_sentences(&snapshot, &table.holds(some.iter()), some.len() as u64, false)
    };
    assert_eq!(of(3, 4), ["holds 2 rwmutexes that 3 tasks wait for"]);
    assert_eq!(
        of(3, 6),
        [
            "1 of them holds 2 rwmutexes that 3 tasks wait for",
            "2 of them perhaps hold rwmutex 0x30 (the address of the lock is on their stacks)"
        ]
    );
    assert_eq!(of(4, 5), ["perhaps holds rwmutex 0x30 (the address of the lock is on its stack)"]);
}

#[test]
fn readers_that_were_not_all_found_are_a_lower_bound() {
    let tasks: &[T<'_>] =
        &[(1, Some(0), &[]), (2, None, &[(0, Shared)]), (3, None, &[(0, Shared)]), (4, None, &[])];
    for (readers_say, who) in [(2, "2 of them hold"), (9, "at least 2 of them hold")] {
        let snapshot = snapshot(ObjectKind::RwMutex, &[readers(readers_say)], tasks);
        let holds = WaitTable::new(&snapshot).holds(snapshot.tasks.iter().skip(1));
        let said = hold_sentences(&snapshot, &holds, 3, false);
        assert_eq!(said, [format!("{who} for reading rwmutex 0x10 that 1 task waits for")]);
    }
}
