//! Who holds the locks that others wait for: what loiter says against what the program knows.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;

use common::locks::{Failure, Failures, Lock, failures, stack};
use common::{
    Fixture, Flavour, GO_VERSIONS, Program, QUICK_VERSIONS, Toolchain, amount, build, disassemble, matrix,
    write_core, write_core_at,
};
use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions, Readable};
use loiter::snapshot::{Hold, HoldKind, LockState, ObjectKind, Snapshot, Task};

/// What loiter is known not to tell rightly. Each must still fail wherever it is said to, so that
/// nothing stays here that has been repaired.
struct Limit {
    /// Minor versions of Go.
    versions: RangeInclusive<u32>,
    /// A scenario, with all its locks.
    scenario: &'static str,
    /// Why, in a sentence.
    reason: &'static str,
}

const LIMITS: &[Limit] = &[Limit {
    versions: 19..=27,
    scenario: "places/mapElementAgain",
    reason: "which lock a second look-up in a map gives is known only by doing it",
}];

impl Limit {
    fn is_about(&self, scenario: &str) -> bool {
        let rest = scenario.strip_prefix(self.scenario);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
    }
}

/// Leaves out what is known, and adds what should have failed among these locks and did not.
fn apply_limits(minor: u32, locks: &[Lock], failures: Vec<Failure>) -> Vec<Failure> {
    let here = |limit: &&Limit| {
        limit.versions.contains(&minor) && locks.iter().any(|lock| limit.is_about(&lock.scenario))
    };
    let (mut left, mut seen) = (failures, BTreeSet::new());
    left.retain(|failure| match LIMITS.iter().filter(here).find(|limit| limit.is_about(&failure.scenario)) {
        Some(limit) => {
            seen.insert(limit.scenario);
            false
        }
        None => true,
    });
    for limit in LIMITS.iter().filter(here).filter(|limit| !seen.contains(limit.scenario)) {
        let text = format!("no longer fails: it is no limit any more ({})", limit.reason);
        left.push(Failure { scenario: limit.scenario.to_owned(), text, excused: false });
    }
    left
}

/// A frozen program may stay so for longer than a user would want: with busy processes beside it, a reading
/// of a debug build can take longer than the default limit.
fn with(pause: Pause) -> ReadOptions {
    common::reading(pause)
}

fn locks_of(fixture: &mut Fixture) -> Vec<Lock> {
    serde_json::from_value(fixture.ask("locks")).unwrap()
}

/// Holders and waiters that all stand still.
fn check(version: &str, flavour: Flavour) {
    let mut found = Failures::default();
    let toolchain = Toolchain::get(version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Fixtures, flavour), &["holders"]);
    let locks = locks_of(&mut fixture);
    assert!(locks.len() > 250, "only {} locks", locks.len());
    let target = process::open_pid(fixture.pid()).unwrap();
    for pause in [Pause::RunningThreads, Pause::Everything, Pause::Nothing] {
        let snapshot = runtimes::snapshot(target.as_ref(), &with(pause)).unwrap();
        let failures = apply_limits(toolchain.minor(), &locks, failures(&snapshot, &locks));
        found.add(&format!("{} {flavour:?} {pause:?}", toolchain.full_version), failures);
    }
    found.none();
}

/// The same in a core file.
fn check_core(version: &str, flavour: Flavour) {
    let mut found = Failures::default();
    let toolchain = Toolchain::get(version);
    let program = build(&toolchain, Program::Fixtures, flavour);
    let mut fixture = Fixture::start(&program, &["holders"]);
    let locks = locks_of(&mut fixture);
    let core = fixture.dir().join("core");
    write_core(fixture.pid(), &core);
    let target = process::open_core(&core, Some(program.as_path())).unwrap();
    let snapshot = runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap();
    let failures = apply_limits(toolchain.minor(), &locks, failures(&snapshot, &locks));
    found.add(&format!("{} {flavour:?} core", toolchain.full_version), failures);
    found.none();
}

/// Holders that run, and some that the runtime has stopped in the middle.
fn check_running(version: &str, flavour: Flavour) {
    let mut found = Failures::default();
    let toolchain = Toolchain::get(version);
    let program = build(&toolchain, Program::Fixtures, flavour);
    let mut fixture = Fixture::start_with(&program, &["holders-running"], &[("GOMAXPROCS", "2")]);
    let locks = locks_of(&mut fixture);
    let target = process::open_pid(fixture.pid()).unwrap();
    until_waited_for(target.as_ref(), &locks);
    for pause in [Pause::Everything, Pause::RunningThreads, Pause::Nothing] {
        let at = format!("{} {flavour:?} {pause:?}", toolchain.full_version);
        // Frozen, all of them are found, every time. Otherwise those that run may move on while they
        // are read. Seldom a frozen reading lacks one holder, and it is not known why: one is
        // shown, two are wrong.
        let (mut wrong, mut never_found) = (Vec::new(), None::<Vec<Failure>>);
        let mut lacking = 0;
        for _ in 0..amount("LOITER_HOLDERS_RUNNING", 10, 12) {
            let snapshot = runtimes::snapshot(target.as_ref(), &with(pause)).unwrap();
            let (mut excused, plain): (Vec<_>, Vec<_>) = failures(&snapshot, &locks)
                .into_iter()
                .partition(|f| f.excused && pause != Pause::Everything);
            if pause == Pause::Everything && plain.len() == 1 && lacking == 0 {
                lacking += 1;
                eprintln!("{at}: {}: {}", plain[0].scenario, plain[0].text);
                continue;
            }
            wrong.extend(plain);
            if let Some(before) = never_found {
                excused.retain(|failure| before.iter().any(|b| b.scenario == failure.scenario));
            }
            never_found = Some(excused);
        }
        // Which of them happen to stand still is chance; that it is never a single one is not.
        let never: Vec<Failure> = never_found.into_iter().flatten().collect();
        let nobody = locks
            .iter()
            .filter(|lock| !lock.holders().is_empty())
            .all(|lock| never.iter().any(|f| f.scenario == lock.scenario));
        if pause == Pause::Everything || pause == Pause::RunningThreads && nobody {
            wrong.extend(never);
        }
        if pause == Pause::Everything {
            wrong = apply_limits(toolchain.minor(), &locks, wrong);
        }
        found.add(&at, wrong);
    }
    found.none();
}

/// Reads until each lock has a goroutine that waits for it, however long that takes here. If the program ends, the reading
/// fails.
fn until_waited_for(target: &dyn process::Target, locks: &[Lock]) {
    for nth in 1_u32.. {
        let snapshot = runtimes::snapshot(target, &with(Pause::Everything)).unwrap();
        let missing: Vec<_> = locks.iter().filter(|lock| !lock.is_waited_for(&snapshot)).collect();
        if missing.is_empty() {
            return;
        }
        if nth.is_power_of_two() {
            eprintln!("reading {nth}: no goroutine waits yet for {missing:#?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn limits_are_about_something() {
    let program = build(&Toolchain::get(QUICK_VERSIONS[1]), Program::Fixtures, Flavour::Stripped);
    let locks = locks_of(&mut Fixture::start(&program, &["holders", "holders-running"]));
    for limit in LIMITS {
        let found = locks.iter().any(|lock| limit.is_about(&lock.scenario));
        assert!(found, "{} is no scenario", limit.scenario);
    }
}

matrix!(
    holders_of_locks_are_found,
    check,
    quick: [Plain, Stripped, PieStripped],
    spread: [Plain, Stripped, Pie, CgoStripped],
);

matrix!(holders_are_found_in_core_files, check_core, quick: [Stripped]);

matrix!(running_holders_are_found, check_running, quick: [Stripped], full: [Plain]);

/// What one snapshot of the churn says of one lock.
fn contradictions(snapshot: &Snapshot, state: LockState, held: &[(&Task, Hold)]) -> Vec<String> {
    let count = |how| held.iter().filter(|(_, hold)| hold.how == how).count();
    let (exclusive, shared) = (count(HoldKind::Exclusive), count(HoldKind::Shared));
    let (most_exclusive, most_shared) = match state {
        LockState::Free | LockState::Outstanding(_) => (0, 0),
        LockState::Exclusive => (1, 0),
        LockState::Shared(n) => (0, n as usize),
    };
    let mut wrong = Vec::new();
    if exclusive > most_exclusive || shared > most_shared {
        let stacks: Vec<_> =
            held.iter().map(|(task, hold)| format!("{:?} {}", hold.how, stack(snapshot, task))).collect();
        wrong.push(format!("{state:?}, but held by {stacks:#?}"));
    }
    for (task, hold) in held {
        let waits = snapshot.waits_of(task).iter().any(|wait| wait.object == hold.object);
        if waits && hold.how != HoldKind::Perhaps {
            wrong.push(format!("nobody here waits for his own lock: {}", stack(snapshot, task)));
        }
    }
    wrong
}

/// How often a lock was waited for in some state, and how often its holder was found.
#[derive(Debug, Default)]
struct Tally {
    seen: u32,
    found: u32,
}

impl Tally {
    fn ratio(&self) -> f64 {
        f64::from(self.found) / f64::from(self.seen.max(1))
    }
}

fn check_churn(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Fixtures, flavour), &["holders-churn"]);
    let addresses: Vec<u64> = locks_of(&mut fixture).iter().map(Lock::address).collect();
    let before = fixture.counter("trips");
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    let (mut mutexes, mut readers, mut free) = (Tally::default(), Tally::default(), 0);
    let mut wrong = Vec::new();
    for _ in 0..200 {
        let snapshot = readable.read(target.as_ref(), &with(Pause::Everything)).unwrap();
        for (index, object) in snapshot.objects.iter().enumerate() {
            if !addresses.contains(&object.address) {
                continue;
            }
            let held: Vec<(&Task, Hold)> = snapshot
                .tasks
                .iter()
                .flat_map(|task| snapshot.holds_of(task).iter().map(move |hold| (task, *hold)))
                .filter(|(_, hold)| hold.object.index() == index)
                .collect();
            let Some(state) = object.lock else {
                wrong.push(format!("{what}: no state of {object:?}"));
                continue;
            };
            wrong.extend(contradictions(&snapshot, state, &held));
            let found = u32::from(held.iter().any(|(_, hold)| hold.how != HoldKind::Perhaps));
            let tally = match (object.kind, state) {
                (_, LockState::Free) => {
                    free += 1;
                    continue;
                }
                (ObjectKind::Mutex, _) => &mut mutexes,
                _ => &mut readers,
            };
            tally.seen += 1;
            tally.found += found;
        }
    }
    let trips = fixture.counter("trips") - before;
    eprintln!(
        "{what}: holders found of {:.2} of {} mutexes and {:.2} of {} reader-writer locks; {free} free; \
         {trips} trips meanwhile",
        mutexes.ratio(),
        mutexes.seen,
        readers.ratio(),
        readers.seen,
    );
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{what}: {}", wrong.join("\n"));
    assert!(mutexes.seen > 100, "{what}: too few locks are waited for");
    assert!(mutexes.ratio() > 0.5, "{what}: too few holders are found");
    assert!(trips > 0, "{what}: the program has stopped");
}

#[test]
fn nobody_holds_a_lock_that_another_has() {
    check_churn(QUICK_VERSIONS[0], Flavour::Plain);
    check_churn(QUICK_VERSIONS[1], Flavour::Stripped);
}

/// A lock that was not free at once, at the first instruction of the way to wait for it. By its line this is code of the
/// function that takes the lock, and what follows unlocks it.
#[test]
fn nobody_holds_a_lock_that_he_is_about_to_wait_for() {
    const FUNCTION: &str = "fixtures/holders.lookDeferred";
    for version in QUICK_VERSIONS {
        let program = build(&Toolchain::get(version), Program::Fixtures, Flavour::Plain);
        let code = disassemble(&program, FUNCTION);
        let waits = code.iter().position(|(_, text)| text.contains("sync.runtime_Semacquire")).unwrap();
        let jumps = |(_, text): &(u64, String)| text.starts_with('j') || text.starts_with("ret");
        let first = code[..waits].iter().rposition(jumps).unwrap() + 1;
        let (at, text) = &code[first];
        let mut fixture = Fixture::start(&program, &["holders-churn"]);
        locks_of(&mut fixture);
        let folder = tempfile::tempdir().unwrap();
        // Others must have the lock, and a writer be seen to wait for it.
        let mut tested = false;
        for nth in 0..100 {
            let core = folder.path().join(format!("core-{nth}"));
            write_core_at(fixture.pid(), *at, &core);
            let target = process::open_core(&core, Some(program.as_path())).unwrap();
            let snapshot = runtimes::snapshot(target.as_ref(), &with(Pause::Everything)).unwrap();
            let is_here = |task: &&Task| {
                let innermost = snapshot.stack_of(task).first();
                innermost.is_some_and(|id| snapshot.code.locations[id.index()].address == Some(*at))
            };
            let here: Vec<&Task> = snapshot.tasks.iter().filter(is_here).collect();
            assert!(!here.is_empty(), "{version}: nobody is at {at:#x} {text}");
            for task in here {
                assert_eq!(snapshot.holds_of(task), [], "{version} {text}: {}", stack(&snapshot, task));
            }
            let is_shared = |lock| matches!(lock, Some(LockState::Shared(_)));
            tested = snapshot.objects.iter().any(|object| is_shared(object.lock));
            if tested {
                break;
            }
            std::fs::remove_file(core).unwrap();
        }
        assert!(tested, "{version}: nobody ever waits");
    }
}

/// A search that has to end early says so, and the readings that follow go on where it ended.
#[test]
fn readings_go_on_where_the_search_ended() {
    const ENOUGH: usize = 1000;
    let newest = GO_VERSIONS[GO_VERSIONS.len() - 1];
    let toolchain = Toolchain::get(newest);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Fixtures, Flavour::Stripped), &["holders"]);
    let locks = locks_of(&mut fixture);
    let target = process::open_pid(fixture.pid()).unwrap();
    let at_once = runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap().header.reading;
    assert_eq!(at_once.holders_not_asked, 0);
    // However long this machine needs for all of it: some part of that is too little.
    let says = |snapshot: &Snapshot| snapshot.header.warnings.iter().any(|w| w.contains("were not searched"));
    let mut short = Duration::from_nanos(at_once.holders_ns);
    let (readable, first) = loop {
        short /= 2;
        let readable = Readable::find(target.as_ref()).unwrap();
        let first = readable.read(target.as_ref(), &within(short)).unwrap();
        if first.header.reading.holders_not_asked > 0 {
            break (readable, first);
        }
    };
    assert!(says(&first), "{:?}", first.header);

    let read = || readable.read(target.as_ref(), &within(short)).unwrap();
    let whole = (0..ENOUGH).map(|_| read()).find(|snapshot| snapshot.header.reading.holders_not_asked == 0);
    let whole = whole.unwrap();
    assert!(!says(&whole), "{:?}", whole.header.warnings);
    let mut found = Failures::default();
    found.add("in pieces", apply_limits(toolchain.minor(), &locks, failures(&whole, &locks)));

    // What is known needs no search: there is no time for one.
    let again = readable.read(target.as_ref(), &within(Duration::from_nanos(1))).unwrap();
    assert_eq!(again.header.reading.holders_not_asked, 0);
    found.add("known", apply_limits(toolchain.minor(), &locks, failures(&again, &locks)));
    found.none();
}

/// With this much CPU time for the search.
fn within(holders: Duration) -> ReadOptions {
    ReadOptions { holders, ..ReadOptions::default() }
}
