//! Sentences of findings.

use std::collections::HashSet;

use super::cause::CAUSES;
use super::*;
use crate::analysis::leaks::Rest;
use crate::analysis::leaks::evidence::{
    CycleStep, Doubt, LockEvidence, LockName, LockUse, Outlook, RestName, Steady, TaskName, Why,
};
use crate::analysis::waits::Channels;
use crate::snapshot::{ObjectKind, WaitOp};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

fn said(one: &Evidence) -> String {
    evidence(one, Tasks { noun: "goroutine", is_one: false })
}

fn lock_said(one: LockEvidence) -> String {
    said(&Evidence::Lock(one))
}

#[test]
fn growth() {
    let flow = |created, arrived, ended, left| Evidence::Flow(Flow { created, arrived, ended, left });
    for (one, text) in [
        (
            Evidence::Rise { first: 1_284, now: 1_874, confidence: Some(0.9999) },
            "up from 1,284 to 1,874 (rising with 99 % confidence)",
        ),
        (Evidence::Rise { first: 5, now: 605, confidence: None }, "up from 5 to 605"),
        (flow(590, 0, 0, 0), "590 were created and none ended"),
        (flow(1, 0, 0, 0), "1 was created and none ended"),
        (flow(60, 0, 3, 0), "60 were created, 3 ended"),
        (flow(50, 10, 1, 2), "60 were created or came from elsewhere, 3 ended or moved on"),
        (flow(0, 10, 0, 2), "10 came from elsewhere, 2 moved on"),
        (
            Evidence::LifelongRise { process_age_ns: 90 * MINUTE },
            "this rate explains their number over the whole life of the process (1 h)",
        ),
        (
            Evidence::FewerEnded { ended: 0, expected: 40.4 },
            "none of the first reading ended, where 40 would have at the rate of newer ones",
        ),
        (
            Evidence::Outlived(Outlived {
                tasks: 1,
                at_least_ns: 4 * MINUTE,
                others: 50,
                others_within_ns: 10 * SECOND,
            }),
            "1 of them has been blocked for at least 4 min, while 50 others started at the same place ended within 10 s",
        ),
    ] {
        assert_eq!(said(&one), text);
    }
}

#[test]
fn waits_by_their_objects() {
    let channels =
        |without_peer| Channels { cap: (0, 0), len: (0, 0), closed: 0, without_peer, peers: (0, 0) };
    let waits = |op, selects, (waits, objects), element: &str| {
        said(&Evidence::Waits(ObjectWaits {
            op,
            object: ObjectKind::Channel,
            element: element.to_owned(),
            selects,
            waits,
            objects,
            channels: Some(channels(objects)),
            senders: None,
        }))
    };
    assert_eq!(
        waits(WaitOp::Receive, true, (9, 9), "[]uint8"),
        "each selects on its own channel of []uint8 (unbuffered, no sender waiting)"
    );
    assert_eq!(
        waits(WaitOp::Send, false, (740, 370), "int"),
        "they wait to send on 370 channels of int (unbuffered, no receiver waiting)"
    );
    assert_eq!(
        waits(WaitOp::Send, false, (9, 1), ""),
        "all wait to send on one channel (unbuffered, no receiver waiting)"
    );
    assert_eq!(
        waits(WaitOp::Receive, false, (1, 1), "int"),
        "it waits to receive from a channel of int (unbuffered, no sender waiting)"
    );
    let done = |calls, groups| said(&Evidence::OutstandingDone { calls, groups });
    assert_eq!(done(131, 129), "129 wait groups with 131 outstanding Done calls");
    assert_eq!(done(1, 1), "a wait group with 1 outstanding Done call");
}

fn task(id: u64, function: &str) -> TaskName {
    TaskName { noun: "goroutine".to_owned(), id: Some(id), address: 0, function: function.to_owned() }
}

fn mutex(address: u64) -> LockName {
    LockName { kind: ObjectKind::Mutex, address }
}

#[test]
fn cycles_introduce_each_task_once() {
    let step = |id, lock, next| CycleStep {
        task: task(id, "main.f"),
        lock: mutex(lock),
        wants: LockUse::Exclusive,
        next: task(next, "main.f"),
        held: Some(LockUse::Exclusive),
    };
    assert_eq!(
        lock_said(LockEvidence::Cycle { steps: vec![step(1, 0x51, 2), step(2, 0x50, 1)], more_tasks: 0 }),
        "goroutine 1 (main.f) waits for mutex 0x51, which 2 (main.f) holds; 2 waits for mutex 0x50, which 1 holds"
    );
    let reads = CycleStep { wants: LockUse::Shared, held: None, ..step(1, 0x51, 2) };
    let writes = CycleStep { held: Some(LockUse::Shared), ..step(2, 0x51, 3) };
    assert_eq!(
        lock_said(LockEvidence::Cycle { steps: vec![reads, writes], more_tasks: 7 }),
        "goroutine 1 (main.f) waits to read-lock mutex 0x51, behind 2 (main.f), which waits to lock it; 2 waits to lock \
         mutex 0x51, which 3 (main.f) holds for reading; and so on over 7 more goroutines, back to the first"
    );
}

#[test]
fn locks() {
    let place = || {
        Some(SignatureFrame {
            function: "main.put".into(),
            file: "/src/api/put.go".into(),
            line: 7,
            ..SignatureFrame::default()
        })
    };
    let still =
        |tasks, of, or_next| LockEvidence::HoldersStill { tasks, of, at_least_ns: 2 * MINUTE, or_next };
    for (one, text) in [
        (
            LockEvidence::SelfWait {
                task: task(7, "main.f"),
                lock: mutex(0x50),
                wants: LockUse::Exclusive,
                held: LockUse::Exclusive,
                unlocks: place(),
            },
            "goroutine 7 (main.f) waits for mutex 0x50, which it holds itself (to be unlocked in main.put put.go:7)",
        ),
        (
            LockEvidence::ReadTwice {
                task: task(9, "main.f"),
                lock: LockName { kind: ObjectKind::RwMutex, address: 0x70 },
                unlocks: None,
                writer: task(3, "main.g"),
            },
            "goroutine 9 (main.f) waits to read-lock rwmutex 0x70, which it already holds for reading, behind goroutine 3 \
             (main.g), which waits to lock it until 9 unlocks it",
        ),
        (
            LockEvidence::Waiters { tasks: 3, locks: 1, lock: Some(mutex(0x50)) },
            "3 goroutines wait for mutex 0x50",
        ),
        (
            LockEvidence::Waiters { tasks: 1, locks: 0, lock: None },
            "1 goroutine waits for a lock whose address is unknown",
        ),
        (LockEvidence::Waiters { tasks: 8, locks: 5, lock: None }, "8 goroutines wait for 5 locks"),
        (still(1, 1, false), "the holder has not moved for at least 2 min"),
        (still(1, 1, true), "the holder, or the task that it waits for, has not moved for at least 2 min"),
        (still(2, 2, false), "each of the 2 holders has not moved for at least 2 min"),
        (still(2, 3, false), "2 of the 3 holders have not moved for at least 2 min"),
        (LockEvidence::HandedOver { lock: ObjectKind::Mutex }, "the mutex is being handed over"),
        (
            LockEvidence::Readers { readers: 3, found: 2, blocked_by_writer: true },
            "3 readers hold the lock (2 of them were found); a waiting writer blocks new readers",
        ),
        (
            LockEvidence::Readers { readers: 1, found: 0, blocked_by_writer: false },
            "1 reader holds the lock, but which one was not found",
        ),
        (
            LockEvidence::MoreCycles { cycles: 19, tasks: 38 },
            "38 other goroutines wait in 19 more cycles like this",
        ),
        (
            LockEvidence::InSameFunctions { tasks: 1, still: false },
            "1 other goroutine is in the same functions and may hold the lock",
        ),
    ] {
        assert_eq!(lock_said(one), text);
    }
}

#[test]
fn every_cause_has_words_and_a_name() {
    let mut names = HashSet::new();
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !name.is_empty();
    for &cause in CAUSES {
        let meaning = meaning(cause);
        assert!(names.insert(meaning.cause_kind), "{meaning:?}");
        assert!(is_name(meaning.cause_kind) && is_name(meaning.next_kind), "{meaning:?}");
        // They are clauses of one line, without runs of blanks from the source.
        for text in [meaning.cause, meaning.next] {
            assert!(text.len() > 10 && !text.contains("  ") && !text.ends_with('.'), "{text:?}");
        }
    }
}

/// One name stands for one piece of advice.
#[test]
fn advice_of_one_name_is_one() {
    for &a in CAUSES {
        for &b in CAUSES {
            let (a, b) = (meaning(a), meaning(b));
            assert_eq!(a.next == b.next, a.next_kind == b.next_kind, "{a:?} {b:?}");
        }
    }
}

#[test]
fn what_is_no_finding() {
    let rest = |name, why, count| Rest { name, why, count };
    let steady = Steady::NotGrowing { watched_ns: Some(30 * SECOND) };
    let clients =
        rest(RestName::Known(["task of an http client", "tasks of http clients"]), Why::Runnable, 2);
    assert_eq!(rest_name(&clients, "goroutine", false), "goroutines of http clients");
    assert_eq!(rest_name(&clients, "goroutine", true), "goroutine of an http client");
    assert_eq!(
        why(&Why::NoOtherSign(steady), "goroutine"),
        "not growing while watched (30 s), no other sign of a leak"
    );
    let flow = Flow { created: 4, arrived: 0, ended: 0, left: 0 };
    assert_eq!(
        why(&Why::Undecided(Doubt::PerhapsChance { flow, watched_ns: 30 * SECOND }), "goroutine"),
        "4 were created and none ended in 30 s, which may be chance: watch longer"
    );
    let outlived = Outlived { tasks: 2, at_least_ns: MINUTE, others: 20, others_within_ns: 5 * SECOND };
    assert_eq!(
        why(&Why::Undecided(Doubt::Outlived(outlived, Outlook::UpToPeer)), "goroutine"),
        "2 of them have been blocked for at least 1 min, while 20 others started at the same place ended within 5 s; how \
         long each of them lives is up to its peer"
    );
}

#[test]
fn a_single_task_is_it() {
    let text = |one: &Evidence| evidence(one, Tasks { noun: "task", is_one: true });
    for (one, expected) in [
        (Evidence::Runnable, "it is running or ready to run"),
        (Evidence::WaitsFor(WaitClass::Timer), "it waits for a timer"),
        (Evidence::WaitsFor(WaitClass::Select), "it selects on several channels"),
        (Evidence::WaitsFor(WaitClass::Call), "it is in a system call or foreign code"),
        (Evidence::WaitsFor(WaitClass::Unknown), "what it waits for is unknown"),
        (Evidence::AgeUnknown { tasks: 1 }, "how long it has been waiting is unknown"),
        (Evidence::Blocked { tasks: 1, at_least_ns: MINUTE }, "it has been blocked for at least 1 min"),
        (Evidence::UnreadBodies, "the connection waits for its response body to be read or closed"),
    ] {
        assert_eq!(text(&one), expected);
    }
    assert_eq!(said(&Evidence::WaitsFor(WaitClass::Timer)), "they wait for a timer");
}

#[test]
fn a_single_lock_is_the_lock() {
    let without = |locks, of| lock_said(LockEvidence::WithoutHolder { locks, of });
    assert_eq!(without(1, 1), "no holder was found for the lock");
    assert_eq!(without(3, 3), "no holder was found for any of the 3 locks");
    assert_eq!(without(1, 3), "no holder was found for 1 of the 3 locks");
}

/// A cause is the same for one task and for several: it does not count them.
#[test]
fn causes_do_not_count() {
    for text in CAUSES.iter().map(|cause| meaning(*cause)).flat_map(|meaning| [meaning.cause, meaning.next]) {
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        assert!(!words.any(|word| ["they", "these", "them"].contains(&word)), "{text}");
    }
}
