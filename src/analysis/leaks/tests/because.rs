//! Findings that are because of another one.

use super::*;

const CHANNEL: ObjectKind = ObjectKind::Channel;
const GROUP: ObjectKind = ObjectKind::WaitGroup;

/// A worker that is blocked in a send of its own, and reports to a wait group afterwards.
fn worker(id: u64, group: u64) -> Given {
    Given {
        id,
        stack: &["app.work"],
        creator: "app.gather",
        reason: "chan send",
        wait: Some((WaitOp::Send, CHANNEL, 0x10_0000 + id)),
        acts: Some((Action::Done, Certainty::Sure, GROUP, group)),
        ..SENDER
    }
}

/// Waits for the workers of a wait group.
fn gatherer(id: u64, group: u64, workers: u32) -> Given {
    Given {
        id,
        stack: &["sync.(*WaitGroup).Wait", "app.finish"],
        creator: "app.gather",
        reason: "sync.WaitGroup.Wait",
        wait: Some((WaitOp::Wait, GROUP, group)),
        lock: Some(LockState::Outstanding(workers)),
        ..SENDER
    }
}

/// In each reading there are two more requests, each with two workers and who waits for them, changed by `change`.
fn requests(change: impl Fn(u64, &mut Vec<Given>)) -> Series {
    eight(|at| {
        let of = |n: u64| {
            let group = 0x20_0000 + n * 0x100;
            [worker(3 * n, group), worker(3 * n + 1, group), gatherer(3 * n + 2, group, 2)]
        };
        let mut tasks: Vec<Given> = (0..2 * at + 2).flat_map(of).collect();
        change(at, &mut tasks);
        tasks
    })
}

/// The first rule of each finding, and what it is because of: a position, or the id of a task, with how many tasks.
fn because(series: &Series) -> Vec<(&'static str, Option<(Result<usize, u64>, u64)>)> {
    let of = |finding: &Finding| {
        let because = finding.because_of.as_ref().map(|because| {
            let culprit = match &because.culprit {
                Culprit::Finding(nth) => Ok(*nth),
                Culprit::Task(task) => Err(task.id.unwrap()),
            };
            (culprit, because.tasks)
        });
        (finding.hits[0].rule, because)
    };
    report(series, &Options::default()).findings.iter().map(of).collect()
}

#[test]
fn who_waits_for_blocked_workers_is_because_of_them() {
    let series = requests(|_, _| {});
    assert_eq!(because(&series), [("send", None), ("wait-group", Some((Ok(0), 16)))]);
    // Nothing else changes.
    let report = report(&series, &Options::default());
    let last = &report.findings[1];
    assert_eq!((last.sureness, last.now, last.cause), (Sureness::Likely, 16, Some(Cause::DoneMissing)));
    assert!(last.hits.iter().all(|hit| !hit.because.is_empty()));
}

#[test]
fn a_guess_joins_nothing() {
    let series = requests(|_, tasks| {
        for task in tasks {
            task.acts =
                task.acts.map(|(action, _, kind, address)| (action, Certainty::Perhaps, kind, address));
        }
    });
    assert_eq!(because(&series), [("send", None), ("wait-group", None)]);
}

#[test]
fn a_part_that_waits_for_something_else_is_counted_or_keeps_them_apart() {
    // Of every `nth` request the workers are not known.
    let apart = |nth: usize| {
        requests(move |_, tasks| {
            for (at, task) in tasks.iter_mut().enumerate() {
                let is_known = at / 3 % nth != 0;
                task.acts = task.acts.filter(|_| is_known);
            }
        })
    };
    assert_eq!(because(&apart(16)), [("send", None), ("wait-group", Some((Ok(0), 15)))]);
    assert_eq!(because(&apart(4)), [("send", None), ("wait-group", None)]);
}

#[test]
fn a_receiver_of_which_there_are_two_is_no_culprit() {
    let receiver = |id, certainty| Given {
        id,
        stack: &["app.serve"],
        creator: "app.start",
        reason: "sleep",
        acts: Some((Action::Receive, certainty, CHANNEL, 0x77)),
        ..SENDER
    };
    let send = |id| Given { id, wait: Some((WaitOp::Send, CHANNEL, 0x77)), ..SENDER };
    let with = |receivers: &[Given]| {
        eight(|at| {
            let mut tasks: Vec<Given> = (10..2 * at + 12).map(send).collect();
            tasks.extend(receivers);
            tasks
        })
    };
    let one = with(&[receiver(1, Certainty::Likely)]);
    assert_eq!(because(&one), [("send", Some((Err(1), 16)))]);
    // Of two, any could receive: it is not one that keeps the others waiting.
    let two = with(&[receiver(1, Certainty::Likely), receiver(2, Certainty::Likely)]);
    assert_eq!(because(&two), [("send", None)]);
    let also = with(&[receiver(1, Certainty::Likely), receiver(2, Certainty::Perhaps)]);
    assert_eq!(because(&also), [("send", Some((Err(1), 16)))]);
    // One that moves from reading to reading is not named.
    let moving = eight(|at| {
        let mut tasks: Vec<Given> = (10..2 * at + 12).map(send).collect();
        tasks.push(Given { mark: at, ..receiver(1, Certainty::Likely) });
        tasks
    });
    assert_eq!(because(&moving), [("send", None)]);
}

#[test]
fn findings_of_one_story_stand_together() {
    // More tasks than those who wait for the workers, and nothing to do with them.
    let other = |id| Given { id, stack: &["app.other"], creator: "app.others", ..SENDER };
    let series = requests(|at, tasks| tasks.extend((1_000..1_003 + 3 * at).map(other)));
    let report = report(&series, &Options::default());
    let at: Vec<&str> = report.findings.iter().map(|f| &*f.parts[0].at.as_ref().unwrap().function).collect();
    assert_eq!(at, ["app.work", "app.finish", "app.other"]);
    assert_eq!(because(&series)[1].1, Some((Ok(0), 16)));
}

#[test]
fn findings_that_wait_for_each_other_are_all_shown() {
    // Each of two kinds waits for one of the other kind.
    let one = |id: u64, stack, own: u64, other: u64| Given {
        id,
        stack,
        reason: "chan receive",
        wait: Some((WaitOp::Receive, CHANNEL, own)),
        acts: Some((Action::Send, Certainty::Sure, CHANNEL, other)),
        ..SENDER
    };
    let pair = |n: u64| {
        let (a, b) = (0x1000 + n * 16, 0x9000 + n * 16);
        [one(2 * n, &["app.left"], a, b), one(2 * n + 1, &["app.right"], b, a)]
    };
    let series = eight(|at| (0..2 * at + 2).flat_map(pair).collect());
    let found = because(&series);
    let rules: Vec<&str> = found.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(rules, ["receive", "receive"]);
    assert_eq!((found[0].1, found[1].1), (Some((Ok(1), 16)), Some((Ok(0), 16))));
}
