//! What loiter finds in systems of processes that know who waits for whom.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "why/books.rs"]
mod books;
#[path = "why/busy.rs"]
mod busy;
#[path = "why/command.rs"]
mod command;
mod common;
#[path = "why/ends.rs"]
mod ends;
#[path = "why/namespaces.rs"]
mod namespaces;
#[path = "why/plan.rs"]
mod plan;
#[path = "why/registered.rs"]
mod registered;
#[path = "why/reports.rs"]
mod reports;
#[path = "why/running.rs"]
mod running;
#[path = "why/servers.rs"]
mod servers;
#[path = "watch_support/terminal.rs"]
mod terminal;
#[path = "why/truth.rs"]
mod truth;
#[path = "why/watched.rs"]
mod watched;

use std::time::Duration;

use common::random::Random;
use loiter::analysis::why::{Cause, Why};
use loiter::session::why::{Inquiry, InquiryOptions, Outcome};
use loiter::source::{OpenOptions, Source};
use namespaces::Namespaces;
use plan::{How, Plan, Program};
use running::System;
use truth::Tally;

/// Follows everything that waits in a process.
pub(crate) fn inquire(pid: u32, options: InquiryOptions) -> Outcome {
    // The machine may be slow.
    let options = InquiryOptions { limit: Duration::from_secs(600), ..options };
    let inquiry = Inquiry::of(&Source::Pid(pid), &OpenOptions::default(), options).unwrap();
    inquiry.follow(None, &mut |_| {}).unwrap()
}

/// At least 95 of 100 edges that can be known are found, with everything that can be known of them, and no edge is wrong.
#[test]
fn systems_are_understood() {
    let systems = common::amount("LOITER_WHY_SYSTEMS", 10, 100);
    let first = u64::from(common::amount("LOITER_WHY_SEED", 0, 0));
    let mut tally = Tally::default();
    let namespaces = Namespaces::new();
    for seed in (first..).take(systems as usize) {
        let mut random = Random::new(seed);
        let processes = 2 + seed as usize % 5;
        let plan = match namespaces.as_ref().filter(|_| seed % 4 == 3) {
            Some(namespaces) => {
                let mut plan = Plan::random_in_namespaces(processes, &mut random);
                (0..processes).for_each(|process| namespaces.place(&mut plan, process, process % 2));
                plan
            }
            None => Plan::random(processes, &mut random),
        };
        let system = System::start(plan);
        let outcome = inquire(system.pid(0), InquiryOptions::default());
        let why = Why::new(&outcome.system);
        tally.add(seed, &system, why.graph());
        for left_out in &outcome.system.left_out {
            eprintln!("seed {seed}: {left_out}");
        }
    }
    let text = tally.text();
    eprintln!("{text}");
    assert!(tally.wrong.is_empty(), "{text}\n{}", tally.wrong.join("\n"));
    let (all, found) = tally.found();
    assert!(all > 0 && found * 100 >= all * 95, "{found} of {all} edges that can be known\n{text}");
}

/// Three programs of different Go versions wait for each other: over TCP, through a FIFO and over a unix socket.
#[test]
fn a_cycle_through_three_processes_is_named() {
    let mut random = Random::new(7);
    let mut plan = Plan::default();
    let programs = [("1.19", true), ("1.23", true), ("1.27", true)];
    let programs = programs.map(|(version, stripped)| plan.process(Program::Go(version, stripped)));
    let mut readers = Vec::new();
    for process in programs {
        // Who reads from the next process holds a lock, and who would write to the one before waits for it.
        let (reader, writer) = (plan.task(process), plan.task(process));
        plan.link(&[writer], reader, How::DeferredMutex, &mut random);
        readers.push((reader, writer));
    }
    for (nth, how) in [How::Tcp, How::Fifo, How::Unix].into_iter().enumerate() {
        plan.link(&[readers[nth].0], readers[(nth + 1) % 3].1, how, &mut random);
    }
    let system = System::start(plan);
    for process in programs {
        let outcome = inquire(system.pid(process), InquiryOptions::default());
        let why = Why::new(&outcome.system);
        let answer = why.causes();
        let cycle = answer.causes.iter().find(|found| {
            matches!(found.chain.cause(), Some((_, Cause::Cycle { .. }))) && found.chain.cycle.len() == 6
        });
        assert!(cycle.is_some(), "{:#?}", answer.causes);
        assert_eq!(outcome.system.processes.len(), 3);
    }
}

/// A process that has ended, or that may not be read, is left out and named.
#[test]
fn an_end_is_noticed() {
    let mut random = Random::new(3);
    let mut plan = Plan::default();
    let (first, second) = (plan.process(Program::Go("1.27", true)), plan.process(Program::Go("1.27", true)));
    let (reader, writer) = (plan.task(first), plan.task(second));
    plan.link(&[reader], writer, How::Tcp, &mut random);
    let mut system = System::start(plan);
    let source = Source::Pid(system.pid(first));
    let inquiry = Inquiry::of(&source, &OpenOptions::default(), InquiryOptions::default()).unwrap();
    let mut steps = Vec::new();
    let pid = system.pid(second);
    let outcome = inquiry
        .follow(None, &mut |step| {
            let step = step.to_string();
            if step.contains("again") {
                system.end(second);
            }
            steps.push(step);
        })
        .unwrap();
    assert!(steps.iter().any(|step| step.contains(&format!("reading pid {pid}"))), "{steps:?}");
    assert_eq!(outcome.system.processes.len(), 1);
    let left_out = &outcome.system.left_out;
    assert!(left_out.iter().any(|line| line.contains(&format!("pid {pid}"))), "{left_out:?}");
    // The first one ends: that is an error.
    let inquiry = Inquiry::of(&source, &OpenOptions::default(), InquiryOptions::default()).unwrap();
    system.end(first);
    assert!(inquiry.follow(None, &mut |_| {}).unwrap_err().is_gone());
}

/// An inquiry that is not wanted any more begins nothing new.
#[test]
fn it_can_be_stopped() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut random = Random::new(3);
    let mut plan = Plan::default();
    let (first, second) = (plan.process(Program::Go("1.27", true)), plan.process(Program::Go("1.27", true)));
    let (reader, writer) = (plan.task(first), plan.task(second));
    plan.link(&[reader], writer, How::Tcp, &mut random);
    let system = System::start(plan);
    let stop = Arc::new(AtomicBool::new(false));
    let options = InquiryOptions { stop: Some(Arc::clone(&stop)), ..InquiryOptions::default() };
    let source = Source::Pid(system.pid(first));
    let inquiry = Inquiry::of(&source, &OpenOptions::default(), options).unwrap();
    stop.store(true, Ordering::Relaxed);
    let outcome = inquiry.follow(None, &mut |_| {}).unwrap();
    assert_eq!(outcome.system.processes.len(), 1);
    assert!(outcome.system.processes[0].second.is_none());
    // The process can be read at once.
    inquire(system.pid(first), InquiryOptions::default());
}
