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
