//! Who is going to do what others wait for: what loiter says against what the program knows.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions};
use loiter::snapshot::{Actor, By, Certainty, ObjectId, Snapshot};
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
    address: String,
    actors: Vec<TrueActor>,
}

impl TrueWait {
    fn address(&self) -> u64 {
        u64::from_str_radix(self.address.trim_start_matches("0x"), 16).unwrap()
    }
}

fn options(pause: Pause) -> ReadOptions {
    ReadOptions { pause, actors: Duration::from_secs(120), ..ReadOptions::default() }
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
    for (id, object) in (0..).map(ObjectId).zip(&snapshot.objects) {
        let of: Vec<&TrueWait> = waits.iter().filter(|wait| wait.address() == object.address).collect();
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

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Actors, flavour), &[]);
    let waits: Vec<TrueWait> = serde_json::from_value(fixture.ask("waits")).unwrap();
    let target = process::open_pid(fixture.pid()).unwrap();
    let snapshot = runtimes::snapshot(target.as_ref(), &options(Pause::RunningThreads)).unwrap();
    let score = score(&snapshot, &waits);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    println!("{what}: {score:#?} {:?}", snapshot.links.unknown);
    for wait in &waits {
        println!("{}:", wait.name);
        for (id, _) in (0..).map(ObjectId).zip(&snapshot.objects).filter(|(_, o)| o.address == wait.address())
        {
            for actor in snapshot.actors_of(id) {
                println!("    {}", text(&snapshot, actor));
            }
            println!("    {:?}", snapshot.searched(id));
        }
    }
    assert!(score.wrong.is_empty(), "{what}: {:#?}", score.wrong);
    let good = score.found.values().filter(|certainty| **certainty != Certainty::Perhaps).count();
    assert!(good >= 15, "{what}: {:#?}", score);
}

matrix!(
    actors_are_found,
    check,
    quick: [Plain, Stripped, PieStripped],
    full: [Stripped, PieStripped, CgoStripped],
);
