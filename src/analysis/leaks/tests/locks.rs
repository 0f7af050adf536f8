//! Locks whose holders are known, and cycles of them.

use proptest::prelude::*;

use super::*;
use crate::analysis::leaks::evidence::{CycleStep, LockEvidence, LockName, LockUse, TaskName};

const MUTEX: ObjectKind = ObjectKind::Mutex;
const RW: ObjectKind = ObjectKind::RwMutex;

/// Waits for the mutex at an address, and holds nothing.
fn waits(id: u64, lock: u64) -> Given {
    Given { id, wait: Some((WaitOp::Lock, MUTEX, lock)), lock: Some(LockState::Exclusive), ..WAITER }
}

/// Waits for one mutex and holds another one.
fn between(id: u64, lock: u64, held: u64) -> Given {
    Given { holds: [Some((HoldKind::Exclusive, MUTEX, held, "app.transfer")), None], ..waits(id, lock) }
}

/// Waits for a reader-writer lock that this many hold for reading.
fn rw(id: u64, op: WaitOp, readers: u32) -> Given {
    let reason = if op == WaitOp::Lock { "sync.RWMutex.Lock" } else { "sync.RWMutex.RLock" };
    Given { id, reason, wait: Some((op, RW, 0x70)), lock: Some(LockState::Shared(readers)), ..WAITER }
}

/// Holds the mutex at 0x50 and waits for something else.
fn keeps(id: u64, reason: &'static str) -> Given {
    let holds = [Some((HoldKind::Exclusive, MUTEX, 0x50, "app.refresh")), None];
    Given { id, stack: &["app.poll", "app.refresh"], creator: "app.start", reason, holds, ..SENDER }
}

fn reads(id: u64) -> Given {
    Given { holds: [Some((HoldKind::Shared, RW, 0x70, "app.refresh")), None], ..keeps(id, "sleep") }
}

fn single(tasks: &[Given]) -> Series {
    Series::of(series_options(), [reading(0, tasks)])
}

fn old(given: Given) -> Given {
    Given { age: Age::AtLeast(120 * SECOND), ..given }
}

/// The only finding.
fn only(series: &Series) -> Finding {
    let report = report(series, &Options::default());
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    report.findings.into_iter().next().unwrap()
}

/// What was seen of locks.
fn because(finding: &Finding) -> Vec<LockEvidence> {
    let all = finding.hits.iter().flat_map(|hit| &hit.because);
    all.filter_map(|one| if let Evidence::Lock(lock) = one { Some(lock.clone()) } else { None }).collect()
}

fn name(id: u64) -> TaskName {
    TaskName {
        noun: "task".to_owned(),
        id: Some(id),
        address: 0xc000 + id * 0x200,
        function: "app.update".to_owned(),
    }
}

fn lock(kind: ObjectKind, address: u64) -> LockName {
    LockName { kind, address }
}

fn step(
    task: u64,
    kind: ObjectKind,
    address: u64,
    wants: LockUse,
    next: u64,
    held: Option<LockUse>,
) -> CycleStep {
    CycleStep { task: name(task), lock: lock(kind, address), wants, next: name(next), held }
}

/// Waits for a mutex that `next` holds.
fn behind(task: u64, address: u64, next: u64) -> CycleStep {
    step(task, MUTEX, address, LockUse::Exclusive, next, Some(LockUse::Exclusive))
}

/// The place from which a task will unlock a lock.
fn unlocked_in(function: &str) -> Option<SignatureFrame> {
    let place =
        SignatureFrame { function: function.into(), package: "app".into(), ..SignatureFrame::default() };
    Some(SignatureFrame { file: "f.go".into(), line: 1, ..place })
}

const TWO_MINUTES: u64 = 120 * SECOND;

fn rules(finding: &Finding) -> Vec<&'static str> {
    finding.hits.iter().map(|hit| hit.rule).collect()
}

fn ids(finding: &Finding) -> Vec<(u64, HowHeld)> {
    finding.holders.iter().map(|holder| (holder.task.id.unwrap(), holder.how)).collect()
}

#[test]
fn two_that_wait_for_each_other_are_stuck_at_once() {
    let finding = only(&single(&[between(1, 0x51, 0x50), between(2, 0x50, 0x51)]));
    assert_eq!((rules(&finding), finding.sureness, finding.now), (vec!["deadlock"], Sureness::Stuck, 2));
    assert_eq!(
        because(&finding),
        [LockEvidence::Cycle { steps: vec![behind(1, 0x51, 2), behind(2, 0x50, 1)], more_tasks: 0 }]
    );
    assert_eq!(finding.cause, Some(Cause::LockOrder));
    assert_eq!(ids(&finding), [(1, HowHeld::Exclusive), (2, HowHeld::Exclusive)]);
    let unlocks = finding.holders.first().unwrap().unlocks.as_ref().unwrap();
    assert_eq!(
        (&*unlocks.function, finding.holders.first().unwrap().lock),
        ("app.transfer", Some((MUTEX, 0x50)))
    );
}

#[test]
fn a_cycle_of_three_and_those_behind_it() {
    let cycle = [between(1, 0x51, 0x50), between(2, 0x52, 0x51), between(3, 0x50, 0x52)];
    let other = |id| Given { stack: &["sync.(*Mutex).Lock", "app.handle"], ..waits(id, 0x52) };
    // One task waits for a lock of the cycle, and two wait for a lock of that task.
    let third = Given { holds: [Some((HoldKind::Exclusive, MUTEX, 0x90, "")), None], ..other(7) };
    let further = |id| Given { wait: Some((WaitOp::Lock, MUTEX, 0x90)), ..other(id) };
    let mut tasks = cycle.to_vec();
    tasks.extend([third, further(8), further(9)]);
    let finding = only(&single(&tasks));
    assert_eq!((rules(&finding), finding.sureness, finding.now), (vec!["deadlock"], Sureness::Stuck, 6));
    assert_eq!(
        because(&finding),
        [
            LockEvidence::Cycle {
                steps: vec![behind(1, 0x51, 2), behind(2, 0x52, 3), behind(3, 0x50, 1)],
                more_tasks: 0
            },
            LockEvidence::AlsoWait { tasks: 3 },
        ]
    );
    assert_eq!(finding.parts.first().map(|part| part.count), Some(3));
}

#[test]
fn a_long_cycle_is_not_listed() {
    let cycle: Vec<Given> = (0..1_000).map(|n| between(n, 0x1000 + (n + 1) % 1_000, 0x1000 + n)).collect();
    let finding = only(&single(&cycle));
    let because = because(&finding);
    assert_eq!((because.len(), finding.now), (1, 1_000));
    let Some(LockEvidence::Cycle { steps, more_tasks }) = because.first() else { panic!("{because:?}") };
    assert_eq!((steps.len(), *more_tasks), (4, 996));
    assert_eq!(finding.holders.len(), 4);
}

#[test]
fn long_chains_are_no_trouble() {
    // Each waits for the next one; the last one sleeps.
    let chain = (1..20_000).map(|n| old(between(n, 0x10_0000 + n + 1, 0x10_0000 + n)));
    let held = Some((HoldKind::Exclusive, MUTEX, 0x10_0000 + 20_000, ""));
    let last = Given { id: 20_000, holds: [held, None], ..keeps(0, "sleep") };
    let finding = only(&single(&chain.chain([old(last)]).collect::<Vec<_>>()));
    assert_eq!((rules(&finding), finding.sureness, finding.now), (vec!["lock"], Sureness::Stuck, 19_999));
    let end = |holder: &Holder| holder.chain.as_ref().map(|(locks, end)| (*locks, end.id));
    assert_eq!(finding.holders.first().and_then(end), Some((19_998, Some(20_000))));
    assert!(
        because(&finding).contains(&LockEvidence::MoreHolders { tasks: 19_996 }),
        "{:?}",
        because(&finding)
    );
}

#[test]
fn many_pairs_are_one_finding() {
    let pairs: Vec<Given> = (0..20)
        .flat_map(|n| [between(2 * n, 2 * n + 1, 2 * n), between(2 * n + 1, 2 * n, 2 * n + 1)])
        .collect();
    let finding = only(&single(&pairs));
    assert_eq!(finding.now, 40);
    assert_eq!(because(&finding).last(), Some(&LockEvidence::MoreCycles { cycles: 19, tasks: 38 }));
}

#[test]
fn a_task_that_locks_twice() {
    let finding = only(&single(&[between(7, 0x50, 0x50), waits(8, 0x50)]));
    assert_eq!((rules(&finding), finding.sureness, finding.now), (vec!["deadlock"], Sureness::Stuck, 2));
    assert_eq!(
        because(&finding),
        [
            LockEvidence::SelfWait {
                task: name(7),
                lock: lock(MUTEX, 0x50),
                wants: LockUse::Exclusive,
                held: LockUse::Exclusive,
                unlocks: unlocked_in("app.transfer"),
            },
            LockEvidence::AlsoWait { tasks: 1 }
        ]
    );
    assert_eq!(finding.cause, Some(Cause::LockedTwice));
}

#[test]
fn reading_twice_with_a_writer_in_between() {
    let held = Some((HoldKind::Shared, RW, 0x70, "app.readTwice"));
    let reader = Given { holds: [held, None], ..rw(9, WaitOp::ReadLock, 1) };
    for writer in [3, 12] {
        let finding = only(&single(&[reader, rw(writer, WaitOp::Lock, 1)]));
        assert_eq!((rules(&finding), finding.sureness, finding.now), (vec!["deadlock"], Sureness::Stuck, 2));
        let twice = LockEvidence::ReadTwice {
            task: name(9),
            lock: lock(RW, 0x70),
            unlocks: unlocked_in("app.readTwice"),
            writer: name(writer),
        };
        assert_eq!(because(&finding), [twice]);
        assert_eq!(finding.cause, Some(Cause::ReadLockedTwice));
    }
    // Without a writer the reader gets it.
    assert_eq!(found(&single(&[reader])), []);
}

#[test]
fn a_reader_that_wants_to_write() {
    let held = Some((HoldKind::Shared, RW, 0x70, ""));
    let finding = only(&single(&[Given { holds: [held, None], ..rw(9, WaitOp::Lock, 1) }]));
    assert_eq!(
        because(&finding),
        [LockEvidence::SelfWait {
            task: name(9),
            lock: lock(RW, 0x70),
            wants: LockUse::Exclusive,
            held: LockUse::Shared,
            unlocks: None,
        }]
    );
    assert_eq!(finding.cause, Some(Cause::LockUpgrade));
}

#[test]
fn a_cycle_through_readers_and_a_writer() {
    // 1 holds the mutex and waits to read behind 2, which waits for the reader 3, which waits for the mutex.
    let one =
        Given { holds: [Some((HoldKind::Exclusive, MUTEX, 0x50, "")), None], ..rw(1, WaitOp::ReadLock, 1) };
    let three = Given { holds: [Some((HoldKind::Shared, RW, 0x70, "")), None], ..waits(3, 0x50) };
    let finding = only(&single(&[one, rw(2, WaitOp::Lock, 1), three]));
    let steps = vec![
        step(1, RW, 0x70, LockUse::Shared, 2, None),
        step(2, RW, 0x70, LockUse::Exclusive, 3, Some(LockUse::Shared)),
        behind(3, 0x50, 1),
    ];
    assert_eq!(because(&finding), [LockEvidence::Cycle { steps, more_tasks: 0 }]);
}

#[test]
fn what_the_lock_says_outweighs_what_seems_to_be() {
    let pair = [between(1, 0x51, 0x50), between(2, 0x50, 0x51)];
    let with = |state| single(&pair.map(|given| Given { lock: Some(state), ..given }));
    assert_eq!(found(&with(LockState::Free)), []);
    assert_eq!(found(&with(LockState::Shared(1))), []);
    // Two seem to hold one mutex: one of them does not.
    let third = Given { reason: "sleep", wait: None, ..between(3, 0, 0x50) };
    assert_eq!(found(&single(&[pair[0], pair[1], third])), []);
    // A task that is about to run has got its lock.
    let runnable = Given { state: TaskState::Runnable, ..pair[0] };
    assert_eq!(found(&single(&[runnable, pair[1]])), []);
}

#[test]
fn cycles_of_tasks_that_are_left_out_are_left_out() {
    let series = single(&[between(1, 0x51, 0x50), between(2, 0x50, 0x51)]);
    let options = Options { ignore: vec!["app.update".parse().unwrap()], ..Options::default() };
    assert_eq!(report(&series, &options).findings, []);
}

#[test]
fn a_holder_that_sleeps() {
    let waiters = (0..3).map(|id| old(waits(id, 0x50)));
    let tasks: Vec<Given> = waiters.chain([old(keeps(99, "sleep"))]).collect();
    let finding = only(&single(&tasks));
    assert_eq!((rules(&finding), finding.sureness, finding.now), (vec!["lock"], Sureness::Stuck, 3));
    assert_eq!(
        because(&finding),
        [
            LockEvidence::Waiters { tasks: 3, locks: 1, lock: Some(lock(MUTEX, 0x50)) },
            LockEvidence::LongestWait { at_least_ns: TWO_MINUTES },
            LockEvidence::HoldersStill { tasks: 1, of: 1, at_least_ns: TWO_MINUTES, or_next: false },
        ]
    );
    assert_eq!(finding.cause, Some(Cause::HolderWaits));
    let holder = finding.holders.first().unwrap();
    assert_eq!((ids(&finding), holder.task.what.as_str()), (vec![(99, HowHeld::Exclusive)], "sleep"));
    assert_eq!(holder.task.age, Age::AtLeast(120 * SECOND));
    assert_eq!(holder.unlocks.as_ref().map(|at| &*at.function), Some("app.refresh"));
    assert_eq!(holder.chain, None);
}

#[test]
fn a_holder_at_work_holds_for_too_long() {
    let running = Given { state: TaskState::Running, ..keeps(99, "") };
    let waiters = (0..3).map(|id| old(waits(id, 0x50)));
    let finding = only(&single(&waiters.chain([running]).collect::<Vec<_>>()));
    assert_eq!((finding.sureness, ids(&finding)), (Sureness::Suspect, vec![(99, HowHeld::Exclusive)]));
    assert!(because(&finding).contains(&LockEvidence::HoldersMove { of: 1 }));
    assert_eq!(finding.cause, Some(Cause::LockHeldTooLong));
}

#[test]
fn a_holder_that_never_runs_again_needs_no_age() {
    let finding =
        report(&single(&[waits(1, 0x50), keeps(99, "chan receive (nil chan)")]), &Options::default());
    let sure: Vec<_> = finding.findings.iter().map(|f| (rules(f), f.sureness)).collect();
    assert_eq!(sure, [(vec!["never"], Sureness::Proven), (vec!["lock"], Sureness::Stuck)]);
    assert!(
        because(finding.findings.get(1).unwrap())
            .contains(&LockEvidence::HoldersBlockedForever { tasks: 1, of: 1 })
    );
}

#[test]
fn a_chain_ends_at_its_root() {
    // 30 and 31 wait for 20, which waits for 10, which waits for 99.
    let wait =
        |id, lock, held| Given { stack: &["sync.(*Mutex).Lock", "app.middle"], ..between(id, lock, held) };
    let tasks = [
        old(waits(30, 0x60)),
        old(waits(31, 0x60)),
        old(wait(20, 0x55, 0x60)),
        old(wait(10, 0x50, 0x55)),
        old(keeps(99, "sleep")),
    ];
    let finding = only(&single(&tasks));
    assert_eq!((rules(&finding), finding.sureness, finding.now), (vec!["lock"], Sureness::Stuck, 4));
    let chains: Vec<_> = (finding.holders.iter())
        .map(|holder| (holder.task.id, holder.chain.as_ref().map(|(n, end)| (*n, end.id, end.what.as_str()))))
        .collect();
    let end = |n| Some((n, Some(99), "sleep"));
    assert!(chains.contains(&(Some(20), end(2))) && chains.contains(&(Some(10), end(1))), "{chains:?}");
    assert!(chains.contains(&(Some(99), None)), "{chains:?}");
    let or_next = |one: &LockEvidence| matches!(one, LockEvidence::HoldersStill { or_next: true, .. });
    assert!(because(&finding).iter().any(or_next), "{:?}", because(&finding));
}

#[test]
fn a_chain_that_ends_at_a_lock_of_nobody() {
    let tasks = [old(waits(30, 0x60)), old(between(20, 0x55, 0x60))];
    let finding = only(&single(&tasks));
    assert_eq!(finding.sureness, Sureness::Stuck);
    assert_eq!(finding.cause, Some(Cause::HolderWaitsForLock), "{:?}", because(&finding));
    assert_eq!(finding.holders.first().and_then(|holder| holder.chain.clone()), None);
}

#[test]
fn holders_of_one_kind_are_counted_once() {
    // 30 and 31 wait for locks that 20 and 21 hold, and these wait for 99.
    let middle = |id, held| Given { stack: &["sync.(*Mutex).Lock", "app.middle"], ..between(id, 0x50, held) };
    let tasks = [waits(30, 0x60), waits(31, 0x61), middle(20, 0x60), middle(21, 0x61), keeps(99, "sleep")];
    let finding = only(&single(&tasks.map(old)));
    assert_eq!((finding.now, finding.parts.len()), (4, 2));
}

#[test]
fn what_is_proven_of_one_task_of_a_cycle_is_not_said_of_the_others() {
    let never = Given { stack: &["app.block"], reason: "select (no cases)", ..between(1, 0x51, 0x50) };
    let report = report(&single(&[never, between(2, 0x50, 0x51)]), &Options::default());
    let sure: Vec<_> = report.findings.iter().map(|f| (rules(f), f.sureness, f.now)).collect();
    assert_eq!(sure, [(vec!["never"], Sureness::Proven, 1), (vec!["deadlock"], Sureness::Stuck, 1)]);
}

#[test]
fn readers_that_keep_a_writer_waiting() {
    let writer = |n| old(rw(1, WaitOp::Lock, n));
    let finding =
        only(&single(&[writer(3), old(rw(2, WaitOp::ReadLock, 3)), old(reads(98)), old(reads(99))]));
    assert_eq!((rules(&finding), finding.sureness), (vec!["lock"], Sureness::Stuck));
    assert_eq!(ids(&finding), [(98, HowHeld::Shared), (99, HowHeld::Shared)]);
    let all = because(&finding);
    let readers = LockEvidence::Readers { readers: 3, found: 2, blocked_by_writer: true };
    assert!(all.contains(&readers), "{all:?}");
    let still = LockEvidence::HoldersStill { tasks: 2, of: 2, at_least_ns: TWO_MINUTES, or_next: false };
    assert!(all.contains(&still), "{all:?}");
    // There cannot be more readers than the lock says.
    let finding = only(&single(&[writer(1), old(reads(98)), old(reads(99))]));
    assert_eq!(ids(&finding), [(98, HowHeld::Perhaps), (99, HowHeld::Perhaps)]);
}

#[test]
fn an_address_on_a_stack_is_a_guess() {
    let perhaps = |id| Given {
        holds: [Some((HoldKind::Perhaps, MUTEX, 0x50, "")), None],
        state: TaskState::Running,
        ..keeps(id, "")
    };
    let tasks = [old(waits(1, 0x50)), perhaps(98), perhaps(99)];
    let finding = only(&single(&tasks));
    assert_eq!((rules(&finding), finding.sureness), (vec!["lock"], Sureness::Likely));
    assert_eq!(ids(&finding), [(98, HowHeld::Perhaps), (99, HowHeld::Perhaps)]);
    let all = because(&finding);
    assert!(all.contains(&LockEvidence::AddressOnStacks { tasks: 2 }), "{all:?}");
    // A cycle of guesses is no cycle.
    let guess = |id, lock, held| Given {
        holds: [Some((HoldKind::Perhaps, MUTEX, held, "")), None],
        ..waits(id, lock)
    };
    assert_eq!(found(&single(&[guess(1, 0x51, 0x50), guess(2, 0x50, 0x51)])), []);
    // But together with age it is one.
    let finding = only(&single(&[old(guess(1, 0x51, 0x50)), old(guess(2, 0x50, 0x51))]));
    assert_eq!((rules(&finding), finding.sureness), (vec!["deadlock"], Sureness::Stuck));
    assert!(because(&finding).contains(&LockEvidence::HoldersGuessed));
}

#[test]
fn a_lock_that_nobody_would_unlock() {
    // Several such locks do not make a deadlock if their holders were searched for.
    for locks in [1, 5] {
        let tasks: Vec<Given> = (0..20).map(|id| old(waits(id, 0x50 + id % locks))).collect();
        let finding = only(&single(&tasks));
        assert_eq!((rules(&finding), finding.sureness), (vec!["lock"], Sureness::Stuck));
        assert!(because(&finding).contains(&LockEvidence::NoUnlocker), "{:?}", because(&finding));
        assert_eq!(finding.cause, Some(Cause::UnlockMissing));
    }
}

#[test]
fn a_lock_that_is_free_is_handed_over() {
    let tasks: Vec<Given> =
        (0..20).map(|id| Given { lock: Some(LockState::Free), ..waits(id, 0x50) }).collect();
    let finding = only(&single(&tasks));
    assert_eq!((rules(&finding), finding.sureness), (vec!["lock"], Sureness::Suspect));
    assert!(because(&finding).contains(&LockEvidence::HandedOver { lock: MUTEX }));
}

#[test]
fn holders_of_the_last_reading_are_enough() {
    let series = eight(|at| {
        let waiters = (0..2 * at + 2).map(|id| waits(id, 0x50));
        let holder = keeps(99, "chan receive");
        let holder = if at < 7 { Given { holds: [None; 2], ..holder } } else { holder };
        waiters.chain([holder]).collect()
    });
    let finding = only(&series);
    assert_eq!((rules(&finding), finding.sureness), (vec!["lock", "growing"], Sureness::Stuck));
    assert_eq!(ids(&finding), [(99, HowHeld::Exclusive)]);
    assert_eq!(finding.holders.first().map(|holder| holder.task.age), Some(Age::AtLeast(7 * SECOND)));
}

#[test]
fn a_lock_that_changes_hands_is_suspect() {
    // Always twelve; each of them runs in between, and another one holds the lock in each reading.
    let series = eight(|at| {
        let holder =
            Given { mark: at, state: TaskState::Runnable, reason: "", wait: None, ..between(50, 0, 0x50) };
        let waiters = (0..12).map(|id| Given { mark: at, ..waits(id, 0x50) });
        waiters.chain([holder]).collect()
    });
    let finding = only(&series);
    assert_eq!((rules(&finding), finding.sureness), (vec!["lock"], Sureness::Suspect));
    assert_eq!(finding.cause, Some(Cause::LockContended));
    assert_eq!(ids(&finding), [(50, HowHeld::Exclusive)]);
}

#[test]
fn how_many_are_not_done() {
    let given = Given {
        stack: &["sync.(*WaitGroup).Wait", "app.update"],
        reason: "sync.WaitGroup.Wait",
        wait: Some((WaitOp::Wait, ObjectKind::WaitGroup, 0x80)),
        lock: Some(LockState::Outstanding(3)),
        ..SENDER
    };
    let finding = only(&growing(given));
    let seen = |finding: &Finding, calls, groups| {
        let mut all = finding.hits.iter().flat_map(|hit| &hit.because);
        assert!(all.any(|one| *one == Evidence::OutstandingDone { calls, groups }), "{:?}", finding.hits);
    };
    seen(&finding, 3, 1);
    let own = |id| Given { id, wait: Some((WaitOp::Wait, ObjectKind::WaitGroup, 0x80 + id)), ..given };
    let finding = only(&eight(|at| (0..2 * at + 2).map(own).collect()));
    seen(&finding, 48, 16);
}

#[test]
fn a_convoy_is_not_taken_for_that_of_another_lock() {
    // Twenty of one kind always wait. One of them waits for a lock that another kind waits for, too.
    let series = eight(|at| {
        let other = Given { mark: at, stack: &["sync.(*Mutex).Lock", "app.other"], ..waits(40, 0x51) };
        let wait = |id| Given { mark: at, ..waits(id, if id == 0 { 0x51 } else { 0x50 }) };
        (0..20).map(wait).chain([other]).collect()
    });
    let finding = only(&series);
    assert_eq!((finding.now, finding.sureness), (20, Sureness::Suspect));
    assert_eq!(
        because(&finding),
        [
            LockEvidence::Waiters { tasks: 19, locks: 1, lock: Some(lock(MUTEX, 0x50)) },
            LockEvidence::AlwaysWaiting { at_least: 20 }
        ]
    );
}

/// Tasks that wait for locks and hold some, as any graph may have them.
fn any_locker() -> impl Strategy<Value = Given> {
    let ops = prop::sample::select(vec![WaitOp::Lock, WaitOp::ReadLock]);
    let wait = (ops, prop::sample::select(vec![MUTEX, RW]), 0_u64..6);
    let lock = prop::option::of(any_lock_state());
    let holds = [prop::option::of(any_hold()), prop::option::of(any_hold())];
    (0_u64..64, prop::option::of(wait), lock, holds).prop_map(|(id, wait, lock, holds)| Given {
        id,
        wait,
        lock,
        holds,
        // Tasks at one place do one thing.
        reason: if wait.is_some() { "sync.Mutex.Lock" } else { "sleep" },
        stack: if wait.is_some() { WAITER.stack } else { &["app.pause"] },
        ..WAITER
    })
}

proptest! {
    #[test]
    fn any_graph_has_an_end(mut tasks in prop::collection::vec(any_locker(), 0..60)) {
        tasks.sort_by_key(|task| task.id);
        tasks.dedup_by_key(|task| task.id);
        // All tasks see the same state of a lock.
        let mut states = std::collections::BTreeMap::new();
        for task in &mut tasks {
            if let Some((_, kind, address)) = task.wait {
                task.lock = *states.entry((kind, address)).or_insert(task.lock);
            }
        }
        let there = report(&single(&tasks), &Options::default());
        for finding in &there.findings {
            prop_assert!(finding.holders.len() <= 8);
            prop_assert!(finding.hits.iter().all(|hit| !hit.because.is_empty() && hit.because.len() <= 8));
        }
        tasks.reverse();
        let back = report(&single(&tasks), &Options::default());
        prop_assert_eq!(there.findings, back.findings);
    }

    #[test]
    fn a_deadlock_is_where_the_way_leads_back(waits_for in prop::collection::vec(prop::option::of(0_u64..10), 10)) {
        // Each task holds the lock of its own number.
        let tasks: Vec<Given> = (0..)
            .zip(&waits_for)
            .map(|(id, lock)| match lock {
                Some(lock) => between(id, *lock, id),
                None => Given { reason: "sleep", wait: None, lock: None, ..between(id, 0, id) },
            })
            .collect();
        let next = |id: u64| waits_for.get(id as usize).copied().flatten();
        let in_cycle = |&id: &u64| {
            std::iter::successors(next(id), |&id| next(id)).take(waits_for.len()).any(|other| other == id)
        };
        let inside: Vec<u64> = (0..waits_for.len() as u64).filter(in_cycle).collect();
        let report = report(&single(&tasks), &Options::default());
        let deadlock = report.findings.iter().find(|finding| rules(finding).contains(&"deadlock"));
        prop_assert_eq!(deadlock.is_some(), !inside.is_empty());
        for holder in deadlock.iter().flat_map(|finding| &finding.holders).filter(|holder| holder.deadlocked) {
            prop_assert!(inside.contains(&holder.task.id.unwrap()));
        }
    }
}
