//! Findings whose tasks only wait for the tasks of another finding.

use super::*;

/// Tasks that wait to send and would then report to a wait group, and a task that waits for the group.
fn group(certainty: Option<Certainty>) -> Report {
    let sender = |id| Given {
        id,
        wait: Some((WaitOp::Send, ObjectKind::Channel, 0x1000 + id * 8)),
        age: Age::AtLeast(600 * SECOND),
        ..SENDER
    };
    let joiner = Given {
        id: 1,
        stack: &["app.join"],
        creator: "app.main",
        reason: "sync.WaitGroup.Wait",
        wait: Some((WaitOp::Wait, ObjectKind::WaitGroup, 0x900)),
        lock: Some(LockState::Outstanding(20)),
        ..sender(1)
    };
    let tasks: Vec<Given> = std::iter::once(joiner).chain((2..22).map(sender)).collect();
    let readings = (0..5).map(|nth| {
        let mut snapshot = reading(nth * 30, &tasks);
        let object = snapshot.objects.iter().position(|object| object.kind == ObjectKind::WaitGroup).unwrap();
        let object = ObjectId(object as u32);
        snapshot.links.actors.extend(certainty.into_iter().flat_map(|certainty| {
            let action = Action::Done;
            (1..21).map(move |row| Actor {
                object,
                by: crate::snapshot::By::Task(row),
                action,
                certainty,
                location: None,
                hops: 0,
            })
        }));
        snapshot
    });
    report(&Series::of(series_options(), readings), &Options::default())
}

#[test]
fn a_wait_group_joins_the_finding_about_the_tasks_that_it_waits_for() {
    let apart = group(None);
    assert_eq!(apart.findings.len(), 2, "{:#?}", apart.findings);
    let joined = group(Some(Certainty::Likely));
    assert_eq!(joined.findings.len(), 1, "{:#?}", joined.findings);
    let finding = &joined.findings[0];
    assert_eq!((finding.now, finding.dependents.iter().map(|part| part.count).sum::<u64>()), (20, 1));
    let same = apart.findings.iter().find(|other| other.now == 20).unwrap();
    assert_eq!((finding.sureness, &finding.hits), (same.sureness, &same.hits));
    // A guess joins nothing.
    assert_eq!(group(Some(Certainty::Perhaps)).findings.len(), 2);
}
