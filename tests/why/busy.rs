//! Systems that are busy: nothing that never was may be said.

use loiter::analysis::why::Why;
use loiter::session::why::InquiryOptions;

use crate::common;
use crate::inquire;
use crate::plan::{How, Plan, Program};
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

fn check(versions: [&'static str; 2], how: How) {
    let system = players(versions, how);
    let readings = common::amount("LOITER_WHY_READINGS", 100, 500);
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
