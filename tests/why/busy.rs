//! Systems that are busy: nothing that never was may be said, and what stands among it is found.

use loiter::analysis::why::{System as Seen, Why};
use loiter::session::why::InquiryOptions;
use loiter::snapshot::Certainty;

use crate::books::Books;
use crate::common;
use crate::inquire;
use crate::plan::{How, Place, Plan, Program};
use crate::running::System;
use crate::truth::{Said, To, said};

/// Two processes play ball: one of them always works, so they never wait for each other at the same time.
fn players(versions: [&'static str; 2], how: How) -> System {
    let mut random = common::random::Random::new(1);
    let mut plan = Plan::default();
    let (a, b) = (plan.process(Program::Go(versions[0], true)), plan.process(Program::Go(versions[1], true)));
    let (one, other) = (plan.task(a), plan.task(b));
    plan.link(&[one], other, how, &mut random);
    // Both ends are used by one task each.
    plan.waits(one, "ball j1");
    plan.waits(other, "serve j1");
    plan.without_duties(other);
    System::start(plan)
}

/// Of pairs of readings without a proof that nothing moved in between, 12 in 100 said of such players that both wait. If loiter
/// did so, 60 pairs would find it out in all but 5 of 10,000 runs: 0.88^60.
fn check(versions: [&'static str; 2], how: How) {
    let system = players(versions, how);
    let readings = common::amount("LOITER_WHY_READINGS", 30, 60);
    let options = InquiryOptions { retries: 0, ..InquiryOptions::default() };
    let mut edges = 0;
    for nth in 0..readings {
        let outcome = inquire(system.pid(nth as usize % 2), options.clone());
        let why = Why::new(&outcome.system);
        let all = said(why.graph(), &system);
        let waits = |from: usize, to: usize| {
            let is = |said: &&Said| {
                said.from == Some((from, 0))
                    && matches!(said.to, To::Task((p, _)) | To::Process(p) if p == to)
            };
            all.iter().find(is)
        };
        let (there, back) = (waits(0, 1), waits(1, 0));
        edges += u32::from(there.is_some()) + u32::from(back.is_some());
        assert!(there.is_none() || back.is_none(), "reading {nth}: both wait: {there:?} {back:?}");
    }
    eprintln!("{versions:?} {how:?}: {edges} edges in {readings} readings");
}

#[test]
fn players_over_tcp_never_wait_for_each_other() {
    check(["1.27", "1.27"], How::Tcp);
}

#[test]
fn players_of_other_versions_never_wait_for_each_other() {
    check(["1.19", "1.23"], How::Unix);
}

/// Fifty tasks of two processes that take locks and ask each other questions all the time, and a chain through three
/// processes that stands for good.
fn busy_with_a_chain(random: &mut common::random::Random) -> System {
    let mut plan = Plan::default();
    let (a, b) = (plan.process(Program::Go("1.27", true)), plan.process(Program::Go("1.19", true)));
    let c = plan.process(Program::C);
    let chain = [a, a, b, b, c, c].map(|process| plan.task(process));
    let ways = [How::DeferredMutex, How::Tcp, How::Full, How::Unix, How::Mutex];
    for (nth, how) in ways.into_iter().enumerate() {
        plan.link(&[chain[nth]], chain[nth + 1], how, random);
    }
    for process in [a, b] {
        plan.add(process, "books".to_owned());
        let locks: Vec<String> = (0..4).map(|nth| format!("o{}", 100 * process + 50 + nth)).collect();
        locks.iter().for_each(|lock| plan.add(process, format!("object {lock} mutex")));
        for _ in 0..17 {
            let task = plan.task(process);
            plan.waits(task, &format!("churn {}", locks.join(" ")));
        }
    }
    for nth in 0..8 {
        let (asks, answers) = if nth % 2 == 0 { (a, b) } else { (b, a) };
        let (one, other) = (plan.task(asks), plan.task(answers));
        let joint = plan.join([one, other], if nth < 4 { "tcp" } else { "unix" });
        plan.waits(one, &format!("ask {joint}"));
        plan.waits(other, &format!("answer {joint}"));
    }
    System::start(plan)
}

/// When everything that is said held together, on CLOCK_MONOTONIC.
fn together(seen: &Seen) -> (u64, u64) {
    let end = |process: &loiter::analysis::why::SeenProcess| {
        let header = &process.first.header;
        header.monotonic_ns.unwrap() + header.reading.duration_ns
    };
    let begin = |process: &loiter::analysis::why::SeenProcess| {
        process.second.as_ref().unwrap().header.monotonic_ns.unwrap()
    };
    let ended = seen.processes.iter().map(end).max().unwrap();
    (ended, seen.processes.iter().map(begin).min().unwrap())
}

#[test]
fn a_chain_that_stands_among_busy_tasks() {
    let system = busy_with_a_chain(&mut common::random::Random::new(4));
    let readings = common::amount("LOITER_WHY_BUSY_READINGS", 20, 40);
    let (mut found, mut claims, mut others): (usize, Vec<(u64, Place, Place)>, u32) = (0, Vec::new(), 0);
    for _ in 0..readings {
        let outcome = inquire(system.pid(0), InquiryOptions::default());
        assert_eq!(outcome.system.processes.len(), 3, "{:?}", outcome.system.left_out);
        let why = Why::new(&outcome.system);
        let all = said(why.graph(), &system);
        let (from, to) = together(&outcome.system);
        for edge in &system.plan.edges {
            let is = |said: &&Said| {
                said.from == Some(edge.from)
                    && (said.to == To::Task(edge.to)
                        || said.to == To::Process(edge.to.0) && edge.how.leads_away())
            };
            found += usize::from(all.iter().any(|said| is(&said)));
        }
        for said in all.iter().filter(|said| said.certainty != Certainty::Perhaps) {
            match (said.from, said.to) {
                (Some(one), To::Task(other)) => {
                    let is_planned =
                        system.plan.edges.iter().any(|edge| (edge.from, edge.to) == (one, other));
                    let times = if is_planned { vec![] } else { vec![from, to] };
                    claims.extend(times.into_iter().map(|at| (at, one, other)));
                }
                _ => others += 1,
            }
        }
    }
    let books = Books::read(&system);
    let wrong: Vec<_> = claims.iter().filter(|&&(at, one, other)| !books.waited(one, other, at)).collect();
    let all = readings as usize * system.plan.edges.len();
    // How much is said of the busy ones depends on how far apart the readings are.
    eprintln!("{found} of {all} edges that stand, {} others of tasks and {others} more", claims.len() / 2);
    assert!(wrong.is_empty(), "{} of {}: {wrong:?}", wrong.len(), claims.len());
    assert!(found * 100 >= all * 95, "{found} of {all} edges");
}
