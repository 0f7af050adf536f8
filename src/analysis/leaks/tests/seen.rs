//! Tasks of a runtime that does not tell whether they ran between two readings.

use super::*;
use crate::analysis::leaks::evidence::LockEvidence;

const MUTEX: ObjectKind = ObjectKind::Mutex;

/// Eight readings, a second apart, of tasks without marks.
fn unmarked(tasks: impl Fn(u64) -> Vec<Given>) -> Series {
    Series::of(
        series_options(),
        (0..8).map(|at| {
            let mut snapshot = reading(at, &tasks(at));
            snapshot.tasks.iter_mut().for_each(|task| task.mark = None);
            snapshot
        }),
    )
}

/// Rule, sureness, cause and number of each finding, for tasks that are still for five seconds.
fn found(series: &Series) -> Vec<(&'static str, Sureness, Option<Cause>, u64)> {
    let options = Options { min_age_ns: 5 * SECOND, ..Options::default() };
    let findings = report(series, &options).findings;
    findings.iter().map(|found| (found.hits[0].rule, found.sureness, found.cause, found.now)).collect()
}

/// Waits for a mutex.
fn waits(id: u64, lock: u64) -> Given {
    Given { id, wait: Some((WaitOp::Lock, MUTEX, lock)), ..WAITER }
}

/// Has a guard of a mutex in a variable.
fn guards(held: u64, given: Given) -> Given {
    Given { holds: [Some((HoldKind::Perhaps, MUTEX, held, "app.keep")), None], ..given }
}

/// Waits to receive from a channel.
fn receives(id: u64, channel: u64) -> Given {
    let wait = Some((WaitOp::Receive, ObjectKind::Channel, channel));
    Given { id, stack: &["app.keep"], reason: "channel receive", wait, ..SENDER }
}

#[test]
fn a_guard_that_stays_keeps_a_lock() {
    let series = unmarked(|_| vec![waits(1, 0x50), waits(2, 0x50), guards(0x50, receives(9, 0x90))]);
    assert_eq!(found(&series), [("lock", Sureness::Likely, Some(Cause::HolderWaitsGuessed), 2)]);
    let options = Options { min_age_ns: 5 * SECOND, ..Options::default() };
    let finding = report(&series, &options).findings.remove(0);
    let holders: Vec<_> = finding.holders.iter().map(|holder| (holder.task.id, holder.how)).collect();
    assert_eq!(holders, [(Some(9), HowHeld::Perhaps)]);
    let guards = Evidence::Lock(LockEvidence::Guards { tasks: 1, at_least_ns: 7 * SECOND });
    assert!(finding.hits[0].because.contains(&guards), "{finding:#?}");
    // Not for as long as the user asked for.
    assert_eq!(report(&series, &Options::default()).findings, []);
}

#[test]
fn a_lock_that_changes_hands_is_fine() {
    // Whoever has the lock waits for something else each time.
    let moves = unmarked(|at| vec![waits(1, 0x50), guards(0x50, receives(9, 0x90 + at))]);
    assert_eq!(found(&moves), []);
    // It is another task each time.
    let turns = unmarked(|at| vec![waits(1, 0x50), guards(0x50, receives(9 + at, 0x90))]);
    assert_eq!(found(&turns), []);
    // There is no guard of it.
    assert_eq!(found(&unmarked(|_| vec![waits(1, 0x50), receives(9, 0x90)])), []);
}

#[test]
fn guards_make_a_cycle() {
    let crossed = |_| vec![guards(0x40, waits(1, 0x50)), guards(0x50, waits(2, 0x40))];
    let likely = ("deadlock", Sureness::Likely, Some(Cause::LockOrderGuessed), 2);
    assert_eq!(found(&unmarked(crossed)), [likely]);
    // A single guard may be one that was dropped.
    let twice = unmarked(|_| vec![guards(0x50, waits(1, 0x50))]);
    assert_eq!(found(&twice), [("deadlock", Sureness::Suspect, Some(Cause::LockOrderGuessed), 1)]);
    // One of two that may hold it moves.
    let third = |at| guards(0x50, receives(3, 0x90 + at));
    let open = unmarked(|at| crossed(at).into_iter().chain([third(at)]).collect());
    assert!(found(&open).iter().all(|finding| finding.0 != "deadlock"), "{:?}", found(&open));
    // It lasts for a moment only.
    let brief = unmarked(|at| if at < 4 { vec![waits(1, 0x60), waits(2, 0x70)] } else { crossed(at) });
    assert_eq!(found(&brief), []);
}

#[test]
fn results_that_nobody_takes() {
    let ended = |id| Given { id, state: TaskState::Finished, reason: "finished, not joined", ..SENDER };
    let many = |count: u64| unmarked(move |_| (0..count).map(ended).collect());
    assert_eq!(found(&many(20)), [("not-joined", Sureness::Suspect, Some(Cause::NotJoined), 20)]);
    assert_eq!(found(&many(19)), []);
    // They are others in each reading.
    assert_eq!(found(&unmarked(|at| (0..20).map(|id| ended(id + 20 * at)).collect())), []);
}

#[test]
fn timers_that_are_years_ahead() {
    const DAY: u64 = 24 * 3_600 * SECOND;
    let timer = |due: u64| {
        let wait = Some((WaitOp::Wait, ObjectKind::Timer, 0x70));
        let mut snapshot = reading(0, &[Given { id: 1, reason: "sleep", wait, ..SENDER }]);
        let (object, state) = (ObjectId(0), TimerState::At(500 * SECOND + due));
        snapshot.links.timers.push(Timer { object, kind: TimerKind::Sleep, state, period_ns: 0 });
        Series::of(series_options(), [snapshot])
    };
    let far = ("far-timer", Sureness::Suspect, Some(Cause::TimerFarAhead), 1);
    assert_eq!(found(&timer(10_950 * DAY)), [far]);
    assert_eq!(found(&timer(364 * DAY)), []);
}
