//! Small rebuilds of what people have reported: one command names who is to blame.

use std::process::{Child, Command, Stdio};

use loiter::analysis::why::{Chain, Node, Why};
use loiter::session::why::InquiryOptions;

use crate::common::random::Random;
use crate::inquire;
use crate::plan::{How, Plan, Program};
use crate::running::System;

/// A program of the system's. It is killed when this goes.
pub(crate) struct Other(Child);

impl Other {
    pub(crate) fn start(script: &str, directory: &std::path::Path) -> Other {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(directory).stdin(Stdio::null());
        Other(shell.spawn().expect("there is a shell"))
    }

    /// It is killed when this goes.
    pub(crate) fn of(child: Child) -> Other {
        Other(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The processes that a chain names.
pub(crate) fn named(why: &Why<'_>, chain: &Chain) -> Vec<u32> {
    let graph = why.graph();
    let process = |node| match graph.node(node) {
        Some(Node::Process(pid) | Node::Exit(pid)) => Some(pid),
        _ => graph.process(graph.process_of(node)?).map(|seen| seen.pid),
    };
    let mut pids: Vec<u32> = chain.steps.iter().filter_map(|step| process(step.node)).collect();
    pids.dedup();
    pids
}

/// A log collector reads a FIFO until its end, which never comes: another program keeps it open for writing.
#[test]
fn a_fifo_that_a_third_program_holds_open() {
    let mut random = Random::new(1);
    let mut plan = Plan::default();
    let (collector, writer) =
        (plan.process(Program::Go("1.27", true)), plan.process(Program::Go("1.27", true)));
    let (reader, writes) = (plan.task(collector), plan.task(writer));
    plan.link(&[reader], writes, How::Fifo, &mut random);
    let waiter = plan.task(collector);
    plan.link(&[waiter], reader, How::Group, &mut random);
    let mut system = System::start(plan);
    let holder = Other::start("exec 3<>j1.fifo; exec sleep 1000", system.directory());
    // Until the shell has opened it, the end of the writer would be the end of the FIFO.
    let link = format!("/proc/{}/fd/3", holder.pid());
    while !std::fs::read_link(&link).is_ok_and(|path| path.ends_with("j1.fifo")) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    system.end(writer);
    let outcome = inquire(system.pid(collector), InquiryOptions::default());
    let why = Why::new(&outcome.system);
    let answer = why.causes();
    let chains = answer.causes.iter().map(|found| named(&why, &found.chain));
    let chains: Vec<Vec<u32>> = chains.collect();
    assert!(chains.iter().any(|pids| pids.last() == Some(&holder.pid())), "{chains:?} {answer:#?}");
}

/// Callers of a remote procedure wait for answers; the server holds a lock that it waits for itself.
#[test]
fn a_server_that_never_answers() {
    let mut random = Random::new(2);
    let mut plan = Plan::default();
    let (client, server) = (plan.process(Program::Go("1.23", true)), plan.process(Program::Go("1.19", true)));
    let callers: Vec<_> = (0..20).map(|_| plan.task(client)).collect();
    let receiver = plan.task(client);
    let (handler, collector, store) = (plan.task(server), plan.task(server), plan.task(server));
    plan.link(&callers, receiver, How::Empty, &mut random);
    plan.link(&[receiver], handler, How::Unix, &mut random);
    plan.link(&[handler], collector, How::Mutex, &mut random);
    plan.link(&[collector], store, How::Group, &mut random);
    plan.link(&[store], handler, How::Reader, &mut random);
    let system = System::start(plan);
    let outcome = inquire(system.pid(client), InquiryOptions::default());
    let why = Why::new(&outcome.system);
    let answer = why.causes();
    let foremost = answer.causes.first().expect("there is a cause");
    assert!(foremost.tasks >= 21, "{answer:#?}");
    assert_eq!(named(&why, &foremost.chain).last(), Some(&system.pid(server)), "{answer:#?}");
}

/// A reader of a lock makes a call that is never answered; a writer waits for it, and with the writer all readers.
#[test]
fn a_reader_in_a_call_that_hangs() {
    let mut random = Random::new(3);
    let mut plan = Plan::default();
    let (client, server) = (plan.process(Program::Go("1.27", true)), plan.process(Program::C));
    let (reader, writer) = (plan.task(client), plan.task(client));
    let (handler, holder) = (plan.task(server), plan.task(server));
    plan.link(&[writer], reader, How::Reader, &mut random);
    plan.link(&[reader], handler, How::Tcp, &mut random);
    plan.link(&[handler], holder, How::Mutex, &mut random);
    let others: Vec<_> = (0..12).map(|_| plan.task(client)).collect();
    for &other in &others {
        plan.waits(other, "read-lock o1");
    }
    let system = System::start(plan);
    let outcome = inquire(system.pid(client), InquiryOptions::default());
    let why = Why::new(&outcome.system);
    let answer = why.causes();
    let foremost = answer.causes.first().expect("there is a cause");
    assert!(foremost.tasks >= 14, "{answer:#?}");
    assert_eq!(named(&why, &foremost.chain).last(), Some(&system.pid(server)), "{answer:#?}");
}
