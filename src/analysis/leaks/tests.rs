//! Rules on series that are made by hand.

use proptest::prelude::*;

use super::evidence::{CpuLimit, RestName};
use super::*;
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::*;

mod because;
mod locks;
mod seen;
mod shapes;
mod words;

const SECOND: u64 = 1_000_000_000;

/// A waiting task with only an id.
pub(crate) fn task(id: u64) -> Task {
    Task {
        id: Some(id),
        address: 0xc000 + id * 0x200,
        state: TaskState::Waiting,
        mark: Some(id),
        stack_status: StackStatus::Complete,
        stack_bytes: 2048,
        ..Task::default()
    }
}

/// A task as a test gives it.
#[derive(Debug, Clone, Copy)]
struct Given {
    id: u64,
    /// Innermost first.
    stack: &'static [&'static str],
    creator: &'static str,
    reason: &'static str,
    /// What it waits for: operation, kind, address.
    wait: Option<(WaitOp, ObjectKind, u64)>,
    /// What that object says of itself.
    lock: Option<LockState>,
    /// What it holds: how, kind, address, and the function that will unlock it.
    holds: [Option<(HoldKind, ObjectKind, u64, &'static str)>; 2],
    /// What it is going to do: with an object of this kind at this address. If any task of a reading acts, every object
    /// was searched for actors.
    acts: Option<(Action, Certainty, ObjectKind, u64)>,
    state: TaskState,
    age: Age,
    /// Changes when it runs.
    mark: u64,
}

const SENDER: Given = Given {
    id: 0,
    stack: &["app.answer"],
    creator: "app.ask",
    reason: "channel send",
    wait: None,
    lock: None,
    holds: [None; 2],
    acts: None,
    state: TaskState::Waiting,
    age: Age::Unknown,
    mark: 0,
};

/// A reading `at` seconds after the first.
fn reading(at: u64, tasks: &[Given]) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    builder.header.target = TargetInfo { pid: Some(7), start_ticks: Some(9), ..TargetInfo::default() };
    let module = |path: &str| Module::new(path, Some("v1.2.0".to_owned()));
    builder.header.runtimes = vec![RuntimeInfo {
        name: "go".to_owned(),
        task_noun: "task".to_owned(),
        modules: vec![module("app"), module("lib")],
        ..RuntimeInfo::default()
    }];
    builder.header.taken_at_ns = Some((1_000_000 + at) * SECOND);
    builder.header.monotonic_ns = Some((500 + at) * SECOND);
    for given in tasks {
        let locations: Vec<LocationId> = given.stack.iter().map(|name| place(&mut builder, name)).collect();
        let mut task = task(given.id);
        task.stack = Some(builder.code.stack(locations));
        task.reason = (!given.reason.is_empty()).then(|| builder.code.string(given.reason));
        task.creator = (!given.creator.is_empty()).then(|| place(&mut builder, given.creator));
        if let Some((op, kind, address)) = given.wait {
            let object = builder.object(kind, address, |_| {
                (kind == ObjectKind::Channel).then_some(Channel {
                    len: 0,
                    cap: 0,
                    closed: false,
                    senders: 0,
                    receivers: 0,
                    more: false,
                    element: None,
                })
            });
            builder.count_waiter(object, op);
            task.waits = builder.waits([Wait { op, object }]);
            given.lock.into_iter().for_each(|state| builder.set_lock_state(object, state));
        }
        let holds: Vec<Hold> = (given.holds.iter().flatten())
            .map(|&(how, kind, address, function)| Hold {
                object: builder.object(kind, address, |_| None),
                how,
                location: (!function.is_empty()).then(|| place(&mut builder, function)),
            })
            .collect();
        task.holds = builder.holds(holds);
        (task.state, task.age, task.mark) = (given.state, given.age, Some(given.mark));
        builder.task(task);
    }
    for (row, given) in (0..).zip(tasks) {
        let Some((action, certainty, kind, address)) = given.acts else { continue };
        let object = builder.object(kind, address, |_| None);
        let by = crate::snapshot::By::Task(row);
        builder.links.actors.push(Actor { object, by, action, certainty, location: None, hops: 0 });
    }
    if !builder.links.actors.is_empty() {
        let all = (0..builder.objects().len() as u32).map(ObjectId);
        builder.links.searched = all
            .map(|object| Searched { object, all_tasks: true, other_roots: true, is_global: false })
            .collect();
    }
    classified(builder.finish())
}

/// The snapshot with what readers say of its tasks: readers of Go, and of exported registries.
fn classified(mut snapshot: Snapshot) -> Snapshot {
    crate::words::go::classify(&mut snapshot);
    let mut tasks = std::mem::take(&mut snapshot.tasks);
    for task in tasks.iter_mut().filter(|task| task.wait_class == WaitClass::Other) {
        task.wait_class = match task.reason.map_or("", |id| snapshot.str(id)) {
            "channel send" => WaitClass::Send,
            "channel receive" => WaitClass::Receive,
            "notification" => WaitClass::Cond,
            "semaphore" => WaitClass::Semaphore,
            "join" => WaitClass::Join,
            "lock" => WaitClass::Lock,
            "I/O" => WaitClass::Io,
            _ => WaitClass::Other,
        };
    }
    snapshot.tasks = tasks;
    snapshot
}

fn place(builder: &mut SnapshotBuilder, name: &str) -> LocationId {
    let package = name.split_once('.').map_or(name, |(package, _)| package);
    let role = crate::words::go::role(name, package);
    let function = builder.code.function_with(name, package, FunctionKind::Normal, role);
    let frame = builder.code.frame(function, "f.go", 1);
    // The same function has the same address in every reading.
    let address = name.bytes().fold(7_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    builder.code.location(Location::at(address, None, vec![frame]))
}

/// Eight readings, a second apart.
fn eight(tasks: impl Fn(u64) -> Vec<Given>) -> Series {
    Series::of(series_options(), (0..8).map(|at| reading(at, &tasks(at))))
}

fn report(series: &Series, options: &Options) -> Report {
    find(series, options).unwrap()
}

/// Rules, sureness and number of each finding.
fn found(series: &Series) -> Vec<(Vec<&'static str>, Sureness, u64)> {
    let report = report(series, &Options::default());
    let rules = |finding: &Finding| finding.hits.iter().map(|hit| hit.rule).collect();
    report.findings.iter().map(|finding| (rules(finding), finding.sureness, finding.now)).collect()
}

/// Two more of them in each reading.
fn growing(given: Given) -> Series {
    eight(|at| (0..2 * at + 2).map(|id| Given { id, ..given }).collect())
}

#[test]
fn senders_that_grow_in_number_are_likely() {
    let series = growing(SENDER);
    assert_eq!(found(&series), [(vec!["send", "growing"], Sureness::Likely, 16)]);
    let report = report(&series, &Options::default());
    let finding = report.findings.first().unwrap();
    assert_eq!((finding.first, finding.stayed, finding.ended), (Some(2), Some(2), Some(0)));
    assert!((finding.growth.unwrap().per_minute - 120.0).abs() < 1e-6);
    assert_eq!(finding.age, Age::AtLeast(7 * SECOND));
    assert_eq!(finding.module.as_ref().map(|module| module.path.as_str()), Some("app"));
    assert_eq!(finding.samples.first().and_then(|sample| sample.id), Some(0));
}

#[test]
fn words_of_any_runtime_are_understood() {
    for (reason, rule) in [
        ("chan send", "send"),
        ("chan receive", "receive"),
        ("channel receive", "receive"),
        ("select", "select"),
        ("notification", "cond"),
        ("sync.Cond.Wait", "cond"),
        ("semaphore", "semaphore"),
        ("join", "join"),
        ("sleep", "sleep"),
        ("I/O", "io"),
        ("lock", "lock"),
    ] {
        let found = found(&growing(Given { reason, ..SENDER }));
        let rules = found.first().map(|(rules, ..)| rules.clone()).unwrap_or_default();
        assert!(rules.contains(&rule) && rules.contains(&"growing"), "{reason}: {rules:?}");
    }
}

#[test]
fn tasks_that_come_and_go_are_nothing() {
    // The number stays, but the tasks differ; and once there are many more for a moment.
    let series = eight(|at| {
        let n = if at == 4 { 40 } else { 8 };
        (0..n).map(|nth| Given { id: at * 100 + nth, ..SENDER }).collect()
    });
    assert_eq!(found(&series), []);
    // Their number grows, but the oldest end.
    let series = eight(|at| (5 * at..5 * at + 10 + at).map(|id| Given { id, ..SENDER }).collect());
    assert!(found(&series).iter().all(|(_, sureness, _)| *sureness == Sureness::Suspect));
}

#[test]
fn two_readings_make_a_suspect() {
    let series = Series::of(
        series_options(),
        [0, 600].map(|at| reading(at, &(0..at + 5).map(|id| Given { id, ..SENDER }).collect::<Vec<_>>())),
    );
    let found = found(&series);
    assert_eq!(
        found.iter().map(|(_, sureness, n)| (*sureness, *n)).collect::<Vec<_>>(),
        [(Sureness::Suspect, 605)]
    );
}

#[test]
fn something_started_at_once_is_no_leak() {
    let series = eight(|at| (0..if at < 3 { 1 } else { 50 }).map(|id| Given { id, ..SENDER }).collect());
    assert_eq!(found(&series), []);
}

#[test]
fn a_nil_channel_is_proven_in_one_reading() {
    let nil = Given { id: 1, reason: "chan receive (nil chan)", ..SENDER };
    let other = Given { id: 2, reason: "chan receive", ..SENDER };
    let series = Series::of(series_options(), [reading(0, &[nil, other])]);
    assert_eq!(found(&series), [(vec!["never"], Sureness::Proven, 1)]);
    let report = report(&series, &Options::default());
    assert_eq!(report.findings.first().and_then(|f| f.growth), None);
}

#[test]
fn the_main_function_may_wait_for_ever() {
    let main = Given { id: 1, stack: &["main.main"], creator: "", reason: "select (no cases)", ..SENDER };
    let series = Series::of(series_options(), [reading(0, &[main])]);
    assert_eq!(found(&series), []);
}

const WAITER: Given = Given {
    id: 0,
    stack: &["sync.(*Mutex).Lock", "app.update"],
    creator: "app.serve",
    reason: "sync.Mutex.Lock",
    wait: Some((WaitOp::Lock, ObjectKind::Mutex, 0x50)),
    ..SENDER
};

#[test]
fn a_lock_that_nobody_gives_back() {
    assert_eq!(found(&growing(WAITER)), [(vec!["lock", "growing"], Sureness::Stuck, 16)]);
}

#[test]
fn the_probable_holder_of_a_lock_is_named() {
    let holder = Given { id: 99, stack: &["app.update"], reason: "chan receive", wait: None, ..WAITER };
    // A task that came later cannot be the holder.
    let later = Given { id: 98, ..holder };
    let series = eight(|at| {
        let waiters = (0..2 * at + 2).map(|id| Given { id, ..WAITER });
        waiters.chain([holder]).chain((at > 5).then_some(later)).collect()
    });
    let report = report(&series, &Options::default());
    let finding = report.findings.first().unwrap();
    let holders: Vec<_> = finding.holders.iter().filter_map(|holder| holder.task.id).collect();
    assert_eq!((finding.sureness, holders), (Sureness::Stuck, vec![99]));
}

#[test]
fn locks_taken_in_different_orders() {
    // Each pair waits for the locks of the other, far longer than usual.
    let series = Series::of(
        series_options(),
        [0, 30, 60, 100].map(|at| {
            let lock =
                |id: u64| Given { id, wait: Some((WaitOp::Lock, ObjectKind::Mutex, 0x50 + id)), ..WAITER };
            reading(at, &[lock(1), lock(2)])
        }),
    );
    assert_eq!(found(&series), [(vec!["deadlock"], Sureness::Stuck, 2)]);
}

#[test]
fn a_library_that_is_not_closed() {
    let given = Given { stack: &["lib.run"], creator: "lib.New", reason: "select", ..SENDER };
    let series = growing(given);
    assert_eq!(found(&series), [(vec!["library", "select", "growing"], Sureness::Likely, 16)]);
    let report = report(&series, &Options::default());
    let finding = report.findings.first().unwrap();
    assert_eq!(
        finding.module.as_ref().map(|m| (m.path.as_str(), m.version.as_deref().unwrap())),
        Some(("lib", "v1.2.0"))
    );
}

#[test]
fn well_known_tasks_are_suspect_at_most() {
    let idle = Given {
        stack: &["net.(*conn).Read", "bufio.(*Reader).Peek", "net/http.(*conn).serve"],
        creator: "net/http.(*Server).Serve",
        reason: "IO wait",
        ..SENDER
    };
    assert_eq!(found(&growing(idle)), [(vec!["growing"], Sureness::Suspect, 16)]);
    let steady = eight(|_| (0..500).map(|id| Given { id, ..idle }).collect());
    assert_eq!(found(&steady), []);
}

#[test]
fn what_is_started_once_must_not_grow() {
    // A task opens a database again and again.
    let opener = Given {
        stack: &["database/sql.(*DB).connectionOpener"],
        creator: "database/sql.OpenDB",
        reason: "select",
        ..SENDER
    };
    assert_eq!(found(&growing(opener)), [(vec!["select", "growing"], Sureness::Likely, 16)]);
    assert_eq!(found(&eight(|_| vec![opener])), []);
}

#[test]
fn healthy_tasks_have_names() {
    let init = Given { id: 1, stack: &["lib.refresh"], creator: "lib.init.0", reason: "sleep", ..SENDER };
    let work = |id| Given {
        id,
        reason: "chan receive",
        wait: Some((WaitOp::Receive, ObjectKind::Channel, 9)),
        ..SENDER
    };
    let series = eight(|_| {
        vec![init, work(2), work(3), Given { id: 4, stack: &["app.tick"], reason: "sleep", ..SENDER }]
    });
    let report = report(&series, &Options::default());
    let healthy: Vec<_> = report.healthy.iter().map(|one| (one.name.clone(), one.count)).collect();
    assert_eq!(healthy, [(RestName::PoolWorker, 2), (RestName::OfInit, 1), (RestName::Timer, 1)]);
}

#[test]
fn what_the_user_knows_is_left_out() {
    let series = growing(SENDER);
    for pattern in ["app.answer", "creator:ask", "module:app"] {
        let options = Options { ignore: vec![pattern.parse().unwrap()], ..Options::default() };
        let report = report(&series, &options);
        assert_eq!((report.findings.len(), report.ignored), (0, 16), "{pattern}");
    }
    let baseline = |n: u64| {
        let before = reading(0, &(0..n).map(|id| Given { id: 1_000 + id, ..SENDER }).collect::<Vec<_>>());
        let options = Options { baseline: Some(Baseline::of_snapshot(&before)), ..Options::default() };
        let report = report(&series, &options);
        (report.findings.len(), report.in_baseline)
    };
    assert_eq!(baseline(16), (0, 16));
    assert_eq!(baseline(15), (1, 0));
}

#[test]
fn those_that_stay_while_others_go() {
    let stay = Given { id: 1, reason: "chan receive", ..SENDER };
    let options = Options { min_age_ns: 20 * SECOND, ..Options::default() };
    let series = Series::of(
        series_options(),
        (0..14).map(|at| {
            // Five other tasks every ten seconds, which are gone in the next reading.
            let others = (0..5).map(|nth| Given {
                id: 100 + at * 5 + nth,
                stack: &["app.work"],
                reason: "sleep",
                ..SENDER
            });
            reading(at * 10, &[stay].into_iter().chain(others).collect::<Vec<_>>())
        }),
    );
    let report = report(&series, &options);
    let rules: Vec<_> =
        report.findings.iter().map(|f| (f.hits.first().map(|hit| hit.rule), f.sureness)).collect();
    assert_eq!(rules, [(Some("staying"), Sureness::Suspect)]);
}

#[test]
fn workers_and_processors() {
    let mut snapshot = reading(0, &[]);
    snapshot.header.process.cpus_allowed = Some(8);
    snapshot.header.process.cgroup_cpu_milli = Some(2_500);
    for runtime in &mut snapshot.header.runtimes {
        runtime.scheduler.max_workers = Some(8);
        runtime.scheduler.worker_noun = "P".to_owned();
    }
    let report = report(&Series::of(series_options(), [snapshot]), &Options::default());
    // They are no leaks.
    assert_eq!(report.findings, []);
    let [note] = report.scheduler.as_slice() else { panic!("{:?}", report.scheduler) };
    assert_eq!(
        (note.rule, note.because.as_slice(), note.cause),
        (
            "more-workers-than-cpus",
            &[Evidence::Workers {
                workers: 8,
                worker: "P".to_owned(),
                cpu_milli: 2_500,
                limit: CpuLimit::Cgroup
            }][..],
            Cause::Throttled
        )
    );
}

/// Any of a few functions, reasons and locks.
fn any_given() -> impl Strategy<Value = Given> {
    let stacks: [&'static [&'static str]; 4] =
        [&["app.answer"], &["sync.(*Mutex).Lock", "app.update"], &["app.update"], &[]];
    let reasons = ["", "chan send", "sync.Mutex.Lock", "select (no cases)", "sleep", "odd"];
    let kinds = [ObjectKind::Channel, ObjectKind::Mutex, ObjectKind::RwMutex, ObjectKind::Other];
    let ops = [WaitOp::Send, WaitOp::Receive, WaitOp::Lock, WaitOp::ReadLock, WaitOp::Wait];
    let wait = (prop::sample::select(ops.to_vec()), prop::sample::select(kinds.to_vec()), 0_u64..4);
    let states = [TaskState::Waiting, TaskState::Running, TaskState::Syscall, TaskState::Unknown];
    let told = (
        prop::option::of(any_lock_state()),
        [prop::option::of(any_hold()), prop::option::of(any_hold())],
        prop::option::of(any_act()),
        prop::sample::select(states.to_vec()),
        prop::sample::select(vec![Age::Unknown, Age::AtLeast(70 * SECOND)]),
        0_u64..2,
    );
    (
        0_u64..40,
        prop::sample::select(stacks.to_vec()),
        prop::sample::select(vec!["", "app.ask", "lib.New"]),
        prop::sample::select(reasons.to_vec()),
        prop::option::of(wait),
        told,
    )
        .prop_map(|(id, stack, creator, reason, wait, (lock, holds, acts, state, age, mark))| Given {
            id,
            acts,
            stack,
            creator,
            reason,
            wait,
            lock,
            holds,
            state,
            age,
            mark,
        })
}

fn any_lock_state() -> impl Strategy<Value = LockState> {
    prop_oneof![
        Just(LockState::Free),
        Just(LockState::Exclusive),
        (0_u32..4).prop_map(LockState::Shared),
        (0_u32..4).prop_map(LockState::Outstanding),
    ]
}

fn any_act() -> impl Strategy<Value = (Action, Certainty, ObjectKind, u64)> {
    let actions = [Action::Send, Action::Receive, Action::Done, Action::Cancel];
    let certainties = [Certainty::Sure, Certainty::Likely, Certainty::Perhaps];
    let kinds = [ObjectKind::Channel, ObjectKind::WaitGroup];
    (
        prop::sample::select(actions.to_vec()),
        prop::sample::select(certainties.to_vec()),
        prop::sample::select(kinds.to_vec()),
        0_u64..4,
    )
}

fn any_hold() -> impl Strategy<Value = (HoldKind, ObjectKind, u64, &'static str)> {
    let hows = vec![HoldKind::Exclusive, HoldKind::Shared, HoldKind::Perhaps];
    let kinds = vec![ObjectKind::Mutex, ObjectKind::RwMutex, ObjectKind::Channel];
    let places = vec!["", "app.update", "sync.(*Mutex).Unlock"];
    (prop::sample::select(hows), prop::sample::select(kinds), 0_u64..4, prop::sample::select(places))
}

proptest! {
    #[test]
    fn no_series_breaks_a_rule(readings in prop::collection::vec(prop::collection::vec(any_given(), 0..30), 1..7)) {
        let series = Series::of(series_options(), (0..).zip(&readings).map(|(at, tasks)| reading(at * 30, tasks)));
        let report = report(&series, &Options::default());
        let healthy: u64 = report.healthy.iter().chain(&report.undecided).map(|one| one.count).sum();
        let found: u64 = report.findings.iter().map(|finding| finding.now).sum();
        prop_assert_eq!(healthy + found, report.tasks);
        for finding in &report.findings {
            prop_assert!(!finding.hits.is_empty());
            prop_assert_eq!(finding.sureness, finding.hits.iter().map(|hit| hit.sureness).max().unwrap());
            prop_assert_eq!(finding.parts.iter().map(|part| part.count).sum::<u64>(), finding.now);
            // Only tasks that wait for something that cannot come are proven.
            let never = finding.parts.iter().all(|part| part.what == "select (no cases)");
            prop_assert!(finding.sureness != Sureness::Proven || never);
        }
    }
}

#[test]
fn tasks_that_are_always_busy_are_a_note() {
    let busy = |state| {
        let readings = (0..7).map(|nth| {
            let mut snapshot = reading(nth * 5, &[]);
            let mut task = Task { id: Some(77), address: 0x77, ..Task::default() };
            task.state = if nth % 2 == 0 { TaskState::Running } else { state };
            snapshot.tasks.push(task);
            snapshot
        });
        report(&Series::of(series_options(), readings), &Options::default()).scheduler
    };
    let notes = busy(TaskState::Runnable);
    let [note] = notes.as_slice() else { panic!("{notes:?}") };
    assert_eq!((note.rule, note.cause), ("hot-loops", Cause::HotLoop));
    let Evidence::AlwaysBusy { tasks, readings, ids, .. } = &note.because[0] else { panic!("{note:?}") };
    assert_eq!((*tasks, *readings, ids.as_slice()), (1, 7, &[77][..]));
    assert_eq!(busy(TaskState::Waiting), []);
}
