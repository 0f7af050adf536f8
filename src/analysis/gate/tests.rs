//! Verdicts on snapshots that are made by hand.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Arc;

use super::*;
use crate::analysis::leaks::Sureness;
use crate::snapshot::*;
use crate::words;

/// A task as a test gives it.
struct Given {
    id: u64,
    /// Innermost first.
    stack: &'static [&'static str],
    creator: &'static str,
    reason: &'static str,
    class: WaitClass,
}

fn given(id: u64, stack: &'static [&'static str], creator: &'static str) -> Given {
    Given { id, stack, creator, reason: "chan receive", class: WaitClass::Receive }
}

fn reading(tasks: &[Given]) -> Arc<Snapshot> {
    reading_with(tasks, |_| {})
}

fn reading_with(tasks: &[Given], change: impl Fn(&mut SnapshotBuilder)) -> Arc<Snapshot> {
    let mut builder = SnapshotBuilder::new();
    builder.header.runtimes.push(RuntimeInfo {
        name: "go".to_owned(),
        task_noun: "goroutine".to_owned(),
        module: Some("ex.com/api.test".to_owned()),
        ..RuntimeInfo::default()
    });
    for given in tasks {
        let locations: Vec<LocationId> =
            given.stack.iter().map(|name| location(&mut builder, name)).collect();
        let stack = Some(builder.code.stack(locations));
        let creator = (!given.creator.is_empty()).then(|| location(&mut builder, given.creator));
        let reason = Some(builder.code.string(given.reason));
        let state = if given.class == WaitClass::Nothing { TaskState::Running } else { TaskState::Waiting };
        builder.task(Task {
            id: Some(given.id),
            address: 0xc000 + given.id * 0x200,
            stack_status: StackStatus::Complete,
            wait_class: given.class,
            state,
            stack,
            creator,
            reason: reason.filter(|_| state == TaskState::Waiting),
            ..Task::default()
        });
    }
    change(&mut builder);
    Arc::new(builder.finish())
}

fn location(builder: &mut SnapshotBuilder, name: &str) -> LocationId {
    let package = crate::formats::go_names::package_of(name);
    let role = words::go::role(name, package);
    let function = builder.code.function_with(name, package, FunctionKind::Normal, role);
    let frame = builder.code.frame(function, "/src/api/a_test.go", 7);
    builder.code.location(Location::in_source(vec![frame]))
}

fn functions(verdict: &Verdict) -> Vec<&str> {
    verdict.failures().map(|leak| leak.kind.function.as_str()).collect()
}

fn judged(tasks: &[Given]) -> Verdict {
    judge(&[reading(tasks)], &Terms::default())
}

#[test]
fn nothing_is_said_of_a_program_that_was_not_read() {
    let verdict = judge(&[], &Terms::default());
    assert_eq!(verdict.unjudged, [Unjudged::NoReading]);
    assert!(!verdict.fails() && !verdict.has_left());
    let native = judge(&[Arc::new(SnapshotBuilder::new().finish())], &Terms::default());
    assert_eq!(native.unjudged, [Unjudged::NoRuntime]);
}

#[test]
fn what_a_program_cannot_end_is_fine() {
    let verdict = judged(&[
        given(1, &["os.Exit", "main.main", "runtime.main"], ""),
        given(2, &["os/signal.signal_recv", "os/signal.loop"], "os/signal.watchSignalLoop"),
        given(3, &["ex.com/api.serve"], "ex.com/api.init.0"),
        given(4, &["github.com/golang/glog.(*fileSink).flushDaemon"], "github.com/golang/glog.init.0"),
    ]);
    assert!(!verdict.fails(), "{:?}", functions(&verdict));
    assert_eq!(verdict.fine.iter().map(|rest| rest.count).sum::<u64>(), 4);
    assert_eq!(verdict.tasks, 4);
}

#[test]
fn what_a_program_can_close_is_left() {
    let verdict = judged(&[
        given(1, &["runtime.main"], ""),
        Given {
            class: WaitClass::Accept,
            ..given(2, &["net.(*TCPListener).Accept", "ex.com/api.accept"], "ex.com/api.Listen")
        },
        given(3, &["database/sql.(*DB).connectionOpener"], "database/sql.OpenDB"),
        Given {
            class: WaitClass::Network,
            ..given(
                4,
                &["bufio.(*Reader).Peek", "net/http.(*persistConn).readLoop"],
                "net/http.(*Transport).dialConn",
            )
        },
        given(5, &["os/signal.NotifyContext.func1"], "os/signal.NotifyContext"),
    ]);
    assert_eq!(verdict.failures().count(), 4, "{:?}", functions(&verdict));
    assert_eq!(verdict.failing_left().0, 4);
}

#[test]
fn the_thread_that_ends_the_program_has_its_task() {
    let tasks = [
        given(1, &["main.wait", "main.main", "runtime.main"], ""),
        given(7, &["ex.com/api.stop"], "main.main"),
    ];
    let on_thread = |builder: &mut SnapshotBuilder| builder.task_mut(1).thread = Some(99);
    let snapshot = reading_with(&tasks, on_thread);
    let terms = Terms { ending: Some(99), ..Terms::default() };
    assert!(!judge(&[Arc::clone(&snapshot)], &terms).fails());
    assert!(judge(&[snapshot], &Terms::default()).fails());
}

#[test]
fn what_ends_on_its_own_is_not_left() {
    let all = [
        given(1, &["runtime.main"], ""),
        given(2, &["ex.com/api.a"], "ex.com/api.TestA"),
        given(3, &["ex.com/api.b"], "ex.com/api.TestB"),
    ];
    let first = reading(&all);
    assert!(judge(&[Arc::clone(&first)], &Terms::default()).has_left());
    let later = judge(&[first, reading(&all[..2])], &Terms::default());
    assert_eq!((functions(&later), later.ended), (vec!["ex.com/api.a"], 1));
    // What waits for ever need not be waited for.
    let never = Given {
        class: WaitClass::NilChannel,
        reason: "chan receive (nil chan)",
        ..given(2, &["ex.com/api.a"], "")
    };
    let verdict = judged(&[given(1, &["runtime.main"], ""), never]);
    assert!(verdict.fails() && !verdict.has_left());
    assert_eq!(verdict.leaks[0].finding.sureness, Sureness::Proven);
}

#[test]
fn closures_of_one_function_are_one_kind() {
    let verdict = judged(&[
        given(2, &["ex.com/api.run.func1"], "ex.com/api.run"),
        given(3, &["ex.com/api.run.func2.1"], "ex.com/api.run"),
        Given { class: WaitClass::Nothing, ..given(4, &["ex.com/api.run.func3"], "ex.com/api.run") },
    ]);
    let kinds: Vec<(&str, &str, u64)> = verdict
        .leaks
        .iter()
        .map(|leak| (leak.kind.function.as_str(), leak.kind.reason.as_str(), leak.finding.now))
        .collect();
    assert_eq!(kinds, [("ex.com/api.run.func*", "chan receive", 2), ("ex.com/api.run.func*", "", 1)]);
}

#[test]
fn tests_are_found_on_stacks_and_by_parents_and_labels() {
    let tasks = [
        given(2, &["ex.com/api.wait", "ex.com/api.TestA.func1"], "ex.com/api.TestA"),
        given(3, &["ex.com/api.work"], "ex.com/api.start"),
        given(4, &["ex.com/api.work"], "ex.com/api.start"),
        given(5, &["ex.com/api.work"], "ex.com/api.start"),
        given(6, &["ex.com/api.work"], "ex.com/api.start"),
    ];
    let change = |builder: &mut SnapshotBuilder| {
        builder.task_mut(1).parent = Some(2);
        // A cycle, as a damaged file may have.
        (builder.task_mut(2).parent, builder.task_mut(3).parent) = (Some(5), Some(4));
        let labels = builder.code.labels([("test", "TestLabel/part")]);
        builder.task_mut(3).labels = Some(labels);
        let creator = location(builder, "ex.com/api.TestOld.gowrap1");
        let ancestor =
            |generation, creator| Ancestor { task: 4, generation, id: Some(9), stack: None, creator };
        builder.links.ancestors.extend([ancestor(1, None), ancestor(2, Some(creator))]);
    };
    let verdict = judge(&[reading_with(&tasks, change)], &Terms::default());
    let work = verdict.leaks.iter().find(|leak| leak.kind.function == "ex.com/api.work").unwrap();
    let mut charges: Vec<String> = work.charges.iter().map(|charge| format!("{:?}", charge.test)).collect();
    charges.sort();
    assert_eq!(
        charges,
        [
            "None",
            r#"Some(("TestA", Parent))"#,
            r#"Some(("TestLabel/part", Label))"#,
            r#"Some(("TestOld", Ancestor))"#,
        ]
    );
}

#[test]
fn ignored_tasks_are_counted() {
    let terms = Terms { ignore: vec!["creator:start".parse().unwrap()], ..Terms::default() };
    let verdict = judge(&[reading(&[given(3, &["ex.com/api.work"], "ex.com/api.start")])], &terms);
    assert_eq!((verdict.fails(), verdict.ignored), (false, 1));
}

#[test]
fn tasks_without_a_stack_are_left_and_said() {
    let change = |builder: &mut SnapshotBuilder| {
        let task = builder.task_mut(0);
        (task.stack, task.stack_status) = (None, StackStatus::Torn);
    };
    let mut snapshot = (*reading_with(&[given(3, &["ex.com/api.work"], "ex.com/api.start")], change)).clone();
    snapshot.header.reading.missing = 2;
    let verdict = judge(&[Arc::new(snapshot)], &Terms::default());
    assert!(verdict.fails());
    assert_eq!(verdict.leaks[0].kind.creator, "ex.com/api.start");
    assert_eq!(verdict.unjudged, [Unjudged::Missing(2), Unjudged::NoStack(1)]);
}

const SECOND: u64 = 1_000_000_000;

/// A reading `at` seconds after the first, with so many workers.
fn reading_at(at: u64, workers: u64, reason: &'static str) -> Arc<Snapshot> {
    let work = |id| Given { reason, ..given(id, &["ex.com/api.work"], "ex.com/api.start") };
    let tasks: Vec<Given> = (1..=workers).map(work).collect();
    reading_with(&tasks, |builder| {
        builder.header.taken_at_ns = Some((1_000_000 + at) * SECOND);
        builder.header.monotonic_ns = Some((500 + at) * SECOND);
        builder.header.target.pid = Some(7);
    })
}

/// Ten readings of a program whose workers become two more in each.
fn watch(terms: &Terms) -> Watch {
    let mut watch = Watch::new(terms);
    (0..10).for_each(|at| watch.add(reading_at(at, 10 + 2 * at, "chan receive")));
    watch
}

/// The verdict on a program that ends with so many workers, after a watch.
fn watched(workers: u64, reason: &'static str, terms: &Terms) -> Verdict {
    let mut verdict = judge(&[reading_at(10, workers, reason)], terms);
    let watch = watch(terms);
    watch.join(&mut verdict, terms);
    verdict.watched = Some(watch.watched());
    verdict
}

#[test]
fn what_grew_while_the_program_ran_is_a_leak() {
    let terms = Terms::default();
    let gone = watched(0, "chan receive", &terms);
    let [leak] = gone.leaks.as_slice() else { panic!("{:?}", gone.leaks) };
    assert!(gone.fails() && !leak.is_left && leak.finding.sureness >= Sureness::Likely, "{leak:?}");
    assert_eq!((gone.failing_left(), gone.failing_seen()), ((0, 0), 1));
    let seen = leak.seen.unwrap();
    assert!((3..10).contains(&seen.readings) && seen.last_ns == Some(9 * SECOND), "{seen:?}");
    assert!(leak.finding.hits.iter().all(|hit| hit.rule != "left"), "{leak:?}");
    assert_eq!(leak.charges.first().unwrap().tasks, 28);
}

#[test]
fn what_grew_and_was_left_is_one_leak() {
    // The same tasks may wait for something else at the end.
    for reason in ["chan receive", "select"] {
        let verdict = watched(28, reason, &Terms::default());
        let [leak] = verdict.leaks.as_slice() else { panic!("{:?}", verdict.leaks) };
        assert!(leak.is_left && leak.seen.is_some() && leak.finding.growth.is_some(), "{leak:?}");
        assert_eq!((leak.finding.now, verdict.failing_left(), verdict.failing_seen()), (28, (28, 1), 0));
    }
}

#[test]
fn a_watch_obeys_patterns_and_the_baseline() {
    let ignore = Terms { ignore: vec!["function:api.work".parse().unwrap()], ..Terms::default() };
    assert!(watched(0, "chan receive", &ignore).leaks.is_empty());
    let file = "ex.com/api.work | ex.com/api.start | chan receive\nex.com/api.gone | * | select\n";
    let baseline = crate::analysis::baseline::file::parse(file).unwrap();
    let terms = Terms { baseline: Some(baseline), ..Terms::default() };
    let known = watched(0, "chan receive", &terms);
    assert!(!known.fails() && known.known().count() == 1, "{:?}", known.leaks);
    assert_eq!(known.stale.len(), 1, "{:?}", known.stale);
}

#[test]
fn the_end_that_was_not_read_is_said_to_be_unknown() {
    let terms = Terms::default();
    let mut verdict = judge(&[], &terms);
    watch(&terms).join(&mut verdict, &terms);
    assert_eq!((verdict.unjudged.as_slice(), verdict.readings), (&[Unjudged::EndNotRead][..], 0));
    assert!(verdict.fails() && verdict.header.is_some() && verdict.program == "ex.com/api");
    // Without a reading nothing is added.
    let mut unread = judge(&[], &terms);
    Watch::new(&terms).join(&mut unread, &terms);
    assert_eq!(unread, judge(&[], &terms));
}

#[test]
fn what_recovers_while_the_program_goes_on_is_no_leak() {
    let terms = Terms::default();
    let mut watch = watch(&terms);
    let join = |watch: &Watch, workers| {
        let mut verdict = judge(&[reading_at(30, workers, "chan receive")], &terms);
        watch.join(&mut verdict, &terms);
        verdict
    };
    // Two readings may be of the end itself.
    (10..12).for_each(|at| watch.add(reading_at(at, 2, "chan receive")));
    assert_eq!(join(&watch, 0).failing_seen(), 1);
    watch.add(reading_at(12, 2, "chan receive"));
    assert!(join(&watch, 0).leaks.is_empty());
    // It is left at the end, so that what was seen before is evidence.
    assert!(join(&watch, 5).leaks[0].seen.is_some());
}

#[test]
fn what_stays_the_same_is_no_finding_of_a_watch() {
    let terms = Terms::default();
    let mut watch = Watch::new(&terms);
    (0..10).for_each(|at| watch.add(reading_at(at, 12, "chan receive")));
    // A burst that ends.
    (10..14).for_each(|at| watch.add(reading_at(at, if at < 12 { 40 } else { 12 }, "chan receive")));
    let mut verdict = judge(&[reading_at(15, 0, "chan receive")], &terms);
    watch.join(&mut verdict, &terms);
    assert!(verdict.leaks.is_empty(), "{:?}", verdict.leaks);
}

#[test]
fn what_the_main_thread_does_is_not_left() {
    let of_thread = |thread| {
        reading_with(&[], |builder| {
            let location = location(builder, "app::main");
            let stack = Some(builder.code.stack(vec![location]));
            builder.header.target.pid = Some(7);
            let wait_class = WaitClass::Receive;
            let state = TaskState::Waiting;
            builder.task(Task { thread: Some(thread), stack, state, wait_class, ..Task::default() });
        })
    };
    assert!(!judge(&[of_thread(7)], &Terms::default()).fails());
    assert!(judge(&[of_thread(8)], &Terms::default()).fails());
}

#[test]
fn the_task_that_ends_the_program_may_have_no_known_thread() {
    let running = |id| Given { class: WaitClass::Nothing, ..given(id, &["a.work"], "a.start") };
    let judged = |tasks: &[Given], ending| {
        let snapshot = reading_with(tasks, |_| {});
        judge(&[snapshot], &Terms { ending, ..Terms::default() })
    };
    // Nothing says that one of them ends the program.
    assert!(judged(&[running(3)], None).fails());
    assert!(!judged(&[running(3)], Some(99)).fails());
    let several = judged(&[running(3), running(4)], Some(99));
    assert_eq!((several.fails(), several.unsettled()), (false, 2));
    // What waits is left all the same.
    assert!(judged(&[running(3), given(5, &["a.wait"], "a.start")], Some(99)).fails());
}
