//! Who is going to do what others wait for: what loiter says against what the program knows.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Fixture, Flavour, Program, QUICK_VERSIONS, Toolchain, amount, build, matrix};
use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions, Readable};
use loiter::snapshot::{Action, Actor, By, Certainty, ObjectId, ObjectKind, Snapshot, WaitOp};
use serde::Deserialize;

/// Somebody who is going to act, as the program says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct TrueActor {
    /// 0 for a timer.
    id: u64,
    action: String,
}

/// An object that a goroutine waits for.
#[derive(Debug, Clone, Deserialize)]
struct TrueWait {
    name: String,
    /// Empty for a coroutine: the program does not know its address.
    address: String,
    waiter: u64,
    actors: Vec<TrueActor>,
}

impl TrueWait {
    /// Is it about this object?
    fn is_about(&self, snapshot: &Snapshot, id: ObjectId) -> bool {
        let object = snapshot.objects[id.index()];
        match self.address.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap() == object.address,
            None => {
                let task = snapshot.tasks.iter().find(|task| task.id == Some(self.waiter)).unwrap();
                snapshot.waits_of(task).iter().any(|wait| wait.object == id)
            }
        }
    }
}

fn options(pause: Pause) -> ReadOptions {
    let long = Duration::from_secs(120);
    ReadOptions { actors: long, links: long, ..common::reading(pause) }
}

fn who(snapshot: &Snapshot, actor: &Actor) -> u64 {
    match actor.by {
        By::Task(row) => snapshot.tasks[row as usize].id.unwrap(),
        _ => 0,
    }
}

fn text(snapshot: &Snapshot, actor: &Actor) -> String {
    let at = actor.location.map(|at| {
        let frames = &snapshot.code.locations[at.index()].frames;
        frames.first().map_or(String::new(), |f| snapshot.code.function_name(f.function).to_owned())
    });
    format!(
        "{} {} {} after {} hops {}",
        who(snapshot, actor),
        actor.certainty.name(),
        actor.action.name(),
        actor.hops,
        at.unwrap_or_default()
    )
}

/// What was found in one reading.
#[derive(Debug, Default)]
struct Score {
    /// Names of the waits with an actor that was found, by certainty.
    found: BTreeMap<String, Certainty>,
    missed: Vec<String>,
    /// Sure or likely, and not true.
    wrong: Vec<String>,
    /// Only possible, and not true.
    false_perhaps: usize,
}

fn score(snapshot: &Snapshot, waits: &[TrueWait]) -> Score {
    let mut score = Score::default();
    for id in (0..snapshot.objects.len() as u32).map(ObjectId) {
        let of: Vec<&TrueWait> = waits.iter().filter(|wait| wait.is_about(snapshot, id)).collect();
        let name = of.first().map_or("something else", |wait| wait.name.as_str());
        let truth: Vec<&TrueActor> = of.iter().flat_map(|wait| &wait.actors).collect();
        let is_true = |actor: &Actor| {
            truth.iter().any(|t| t.id == who(snapshot, actor) && t.action == actor.action.name())
        };
        let mut best = None;
        for actor in snapshot.actors_of(id) {
            if is_true(actor) {
                best = best.or(Some(actor.certainty));
            } else if actor.certainty == Certainty::Perhaps {
                score.false_perhaps += 1;
            } else {
                score.wrong.push(format!("{name}: {}", text(snapshot, actor)));
            }
        }
        if truth.is_empty() {
            continue;
        }
        match best {
            Some(best) => {
                score.found.insert(name.to_owned(), best);
            }
            None => score.missed.push(name.to_owned()),
        }
    }
    score
}

fn waits_of(fixture: &mut Fixture) -> Vec<TrueWait> {
    serde_json::from_value(fixture.ask("waits")).unwrap()
}

/// The object that a wait is about.
fn object(snapshot: &Snapshot, waits: &[TrueWait], name: &str) -> ObjectId {
    let wait = waits.iter().find(|wait| wait.name == name).unwrap();
    let mut all = (0..snapshot.objects.len() as u32).map(ObjectId);
    all.find(|&id| wait.is_about(snapshot, id)).unwrap_or_else(|| panic!("nobody waits: {name}"))
}

/// Waits for whose actors only a pointer speaks, or nothing.
const HARD: [&str; 2] = ["in a map", "a reply to a request in a queue"];

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Actors, flavour), &[]);
    let waits = waits_of(&mut fixture);
    let target = process::open_pid(fixture.pid()).unwrap();
    for pause in [Pause::RunningThreads, Pause::Everything, Pause::Nothing] {
        let snapshot = runtimes::snapshot(target.as_ref(), &options(pause)).unwrap();
        let score = score(&snapshot, &waits);
        println!("{what} {pause:?}: {score:#?}");
        assert!(score.wrong.is_empty(), "{what}: {:#?}", score.wrong);
        let unsure: Vec<_> = score.found.iter().filter(|(_, how)| **how == Certainty::Perhaps).collect();
        assert!(unsure.iter().all(|(name, _)| HARD.contains(&name.as_str())), "{what}: {unsure:?}");
        assert!(score.missed.is_empty(), "{what}: {:?}", score.missed);
        assert!(score.false_perhaps <= 40, "{what}: {}", score.false_perhaps);
        assert_eq!(snapshot.links.unknown, [""; 0], "{what}");
        nobody(&snapshot, &waits, pause);
        coroutines(&snapshot, &waits, pause);
    }
}

/// What is said of objects on which nobody acts, and of one that everybody can reach.
fn nobody(snapshot: &Snapshot, waits: &[TrueWait], pause: Pause) {
    for name in ["nobody sends", "nobody receives", "two that receive, 1", "nobody is done"] {
        let id = object(snapshot, waits, name);
        assert_eq!(snapshot.actors_of(id), [], "{name}");
        let searched = snapshot.searched(id).unwrap();
        // A running goroutine is not examined if nothing may be stopped.
        assert!(searched.all_tasks || pause == Pause::Nothing, "{name}: {searched:?}");
        assert!(searched.other_roots && !searched.is_global, "{name}: {searched:?}");
    }
    assert!(snapshot.searched(object(snapshot, waits, "in a package variable")).unwrap().is_global);
    let known = snapshot.actors_of(object(snapshot, waits, "known and not used"));
    assert!(known.iter().all(|actor| actor.action == Action::Unknown) && known.len() == 1, "{known:?}");
    let timed = snapshot.actors_of(object(snapshot, waits, "closed by a timer"));
    assert!(
        timed.iter().any(|a| a.certainty == Certainty::Likely && matches!(a.by, By::Timer(_))),
        "{timed:?}"
    );
}

/// Coroutines of `iter.Pull`, in programs that have some: each waits for the one that resumes it, and is waited for by it.
fn coroutines(snapshot: &Snapshot, waits: &[TrueWait], pause: Pause) {
    if !waits.iter().any(|wait| wait.name == "a coroutine that was left") {
        return;
    }
    let kind = |name| snapshot.objects[object(snapshot, waits, name).index()].kind;
    for (name, op) in [
        ("a coroutine that is to be resumed", WaitOp::Resume),
        ("a coroutine that has not begun", WaitOp::Resume),
        ("a value of a coroutine", WaitOp::Receive),
        ("a value of a coroutine, for a coroutine", WaitOp::Receive),
    ] {
        assert_eq!(kind(name), ObjectKind::Coroutine, "{name}");
        let waiter = waits.iter().find(|wait| wait.name == name).unwrap().waiter;
        let task = snapshot.tasks.iter().find(|task| task.id == Some(waiter)).unwrap();
        assert!(snapshot.waits_of(task).iter().all(|wait| wait.op == op), "{name}");
        let id = object(snapshot, waits, name);
        let all = snapshot.actors_of(id);
        let yields = |actor: &Actor| actor.action == Action::Yield && actor.certainty == Certainty::Sure;
        assert!(op != WaitOp::Receive || all.len() == 1 && yields(&all[0]), "{name}: {all:?}");
    }
    let left = object(snapshot, waits, "a coroutine that was left");
    assert_eq!(snapshot.actors_of(left), []);
    assert!(snapshot.searched(left).unwrap().all_tasks || pause == Pause::Nothing);
    let global = object(snapshot, waits, "a coroutine in a package variable");
    assert!(snapshot.searched(global).unwrap().is_global);
}

matrix!(
    actors_are_found,
    check,
    quick: [Stripped, PieStripped],
    spread: [Plain, CgoStripped],
);

/// Goroutines that never rest: nobody is said to act who never does.
fn check_busy(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Actors, flavour), &["busy"]);
    let waits = waits_of(&mut fixture);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(target.as_ref()).unwrap();
    let mut found = 0;
    for reading in 0..amount("LOITER_ACTORS_BUSY", 40, 80) {
        let pause = [Pause::RunningThreads, Pause::Everything][reading as usize % 2];
        let snapshot = readable.read(target.as_ref(), &options(pause)).unwrap();
        let score = score(&snapshot, &waits);
        assert!(score.wrong.is_empty(), "{what} {pause:?}: {:#?}", score.wrong);
        found += score.found.len();
    }
    println!("{what}: {found} actors found");
    assert!(found > 0, "{what}: no actor was ever found");
}

matrix!(nobody_acts_who_never_does, check_busy, quick: [Stripped]);

/// Thousands of goroutines at one place do not keep the few others from being examined.
#[test]
fn a_crowd_comes_last() {
    let program = build(&Toolchain::get(QUICK_VERSIONS[1]), Program::Actors, Flavour::Stripped);
    let mut fixture = Fixture::start_with(&program, &[], &[("CROWD", "20000")]);
    let waits = waits_of(&mut fixture);
    let target = process::open_pid(fixture.pid()).unwrap();
    let options = ReadOptions { actors: Duration::from_secs(10), ..options(Pause::RunningThreads) };
    let snapshot = runtimes::snapshot(target.as_ref(), &options).unwrap();
    let score = score(&snapshot, &waits);
    assert!(score.wrong.is_empty(), "{:#?}", score.wrong);
    assert!(score.found.len() >= 15, "{score:#?}");
    let all = snapshot.links.searched.iter().all(|searched| searched.all_tasks);
    let said = snapshot.links.unknown.iter().any(|sentence| sentence.contains("not examined"));
    // A goroutine that ran while it was examined is not said to be left out, but then not all were examined.
    assert!(!(all && said), "{:?}", snapshot.links.unknown);
    println!("everything was examined: {all}, {:?}", snapshot.links.unknown);
}
