//! Where chains end, in words.

use super::{Clause, Words};
use crate::analysis::why::{Cause, Dead, Node, NodeId, Unknown, Want};
use crate::report::ends;
use crate::report::runtime_names::task_noun;
use crate::report::units::thousands;
use crate::snapshot::{Protocol, Snapshot, Wait};

impl Words<'_, '_> {
    /// Why a chain ends at a node, a clause. Raw from the target: escape before printing.
    pub fn cause(&self, node: NodeId, cause: &Cause) -> String {
        self.clause(node, cause, false).text
    }

    /// The same, and whether it says what a task does. `many`: several tasks do.
    pub(super) fn clause(&self, node: NodeId, cause: &Cause, many: bool) -> Clause {
        let now = self.now(node);
        // What tasks do is a verb with its objects.
        let does = |one: &str, several: &str, rest: String| Clause {
            of_task: true,
            text: format!("{}{rest}", if many { several } else { one }),
        };
        let plain = |text: &str| Clause { of_task: false, text: text.to_owned() };
        match cause {
            Cause::Running => does("runs", "run", String::new()),
            Cause::Runnable(workers) => {
                let busy = workers.map(|(busy, all)| format!(": {busy} of {all} are busy"));
                let rest = format!(" for a worker to run on{}", busy.unwrap_or_default());
                does("waits", "wait", rest)
            }
            Cause::WentOn => does("went", "went", " on between the two readings".to_owned()),
            Cause::Time(at) => Clause { of_task: false, text: format!("it ends {}", ends::moment(*at, now)) },
            Cause::SomeTime if matches!(self.graph.node(node), Some(Node::Task { .. })) => {
                does("waits", "wait", " for time to pass".to_owned())
            }
            Cause::SomeTime => plain("it ends at a time that is not known"),
            Cause::InCall => does("is", "are", self.call(node)),
            Cause::Runtime => does("waits", "wait", " for the runtime's own work".to_owned()),
            Cause::Outside => plain("the other end is on another machine or behind address translation"),
            Cause::Kernel => plain("the other end is the kernel"),
            Cause::Terminal => plain("a person has to type"),
            Cause::Clients if matches!(self.graph.node(node), Some(Node::Task { .. })) => {
                does("waits", "wait", " for connections".to_owned())
            }
            Cause::Clients if self.is_datagram(node) => plain("nobody sends to it"),
            Cause::Clients => plain("nobody connects"),
            Cause::Events => plain("nothing happens to any of its descriptors"),
            Cause::Files => plain("nothing changes in the files that it watches"),
            Cause::Signal => plain("no signal comes"),
            Cause::BothWait => plain("each end waits for the other"),
            Cause::NotAccepted => plain("the connection was not accepted"),
            Cause::DeadEnd(Dead::NilChannel) => {
                does("waits", "wait", " for a nil channel, which never ends".to_owned())
            }
            Cause::DeadEnd(Dead::NoCases) => {
                does("waits", "wait", " in a select without cases, which never ends".to_owned())
            }
            Cause::DeadEnd(Dead::Leaked) => {
                does("waits", "wait", " for ever, as the runtime has proved".to_owned())
            }
            Cause::DeadEnd(Dead::Nobody) => {
                plain("and nothing is left that could end the wait: no task, timer or variable refers to it")
            }
            Cause::DeadEnd(Dead::StoppedTimer) => {
                plain("its timer is stopped: nothing is left that could end the wait")
            }
            Cause::Cycle { forever: true, .. } => plain("and so each waits for the next: a deadlock"),
            Cause::Cycle { open: true, .. } => {
                plain("and so they wait in a cycle, which they may leave another way")
            }
            Cause::Cycle { .. } => plain(
                "and so each waits for the next: a deadlock, unless something else ends one of these waits",
            ),
            Cause::Unknown(Unknown::Object) => {
                let reason = self.reason(node).map(|reason| format!(" (\"{reason}\")"));
                let rest = format!(" for something that is not known{}", reason.unwrap_or_default());
                does("waits", "wait", rest)
            }
            Cause::Unknown(unknown) => plain(&self.unknown(node, unknown)),
        }
    }

    fn is_datagram(&self, node: NodeId) -> bool {
        let socket = self.graph.descriptor(node).and_then(|descriptor| descriptor.socket.as_ref());
        socket.is_some_and(|socket| matches!(socket.protocol, Protocol::Udp | Protocol::UnixDatagram))
    }

    fn sends_datagram(&self, node: NodeId) -> bool {
        matches!(self.graph.node(node), Some(Node::Descriptor { want: Want::Read, .. }))
            && self.is_datagram(node)
    }

    fn now(&self, node: NodeId) -> Option<u64> {
        let process = self.graph.process_of(node)?;
        self.graph.snapshot(process)?.header.monotonic_ns
    }

    /// What the runtime says that a task waits for ("coroutine").
    fn reason(&self, node: NodeId) -> Option<&str> {
        let Some(Node::Task { process, row }) = self.graph.node(node) else { return None };
        let snapshot = self.graph.snapshot(process)?;
        let reason = snapshot.tasks.get(row as usize)?.reason?;
        Some(snapshot.str(reason)).filter(|reason| !reason.is_empty())
    }

    /// " in wait4 for pid 88".
    fn call(&self, node: NodeId) -> String {
        let Some(Node::Task { process, row }) = self.graph.node(node) else { return String::new() };
        let snapshot = self.graph.snapshot(process);
        match snapshot.and_then(|snapshot| Some((snapshot, snapshot.call_of(row)?))) {
            Some((snapshot, call)) => format!(" in {}", ends::call(snapshot, call)),
            None => " in a system call or in foreign code".to_owned(),
        }
    }

    fn unknown(&self, node: NodeId, unknown: &Unknown) -> String {
        let process = self.graph.process_of(node).and_then(|process| self.graph.snapshot(process));
        let noun = process.map_or("task", task_noun);
        let is_lock = matches!(self.graph.node(node), Some(Node::End { want: Want::Released, .. }));
        match unknown {
            Unknown::Object => "what it waits for is not known".to_owned(),
            Unknown::Holder => "its holder was not found".to_owned(),
            Unknown::Waker => "what would wake it is not known".to_owned(),
            Unknown::HandedOver => "it is being handed over".to_owned(),
            Unknown::Closed => "it is closed: the wait is about to end".to_owned(),
            Unknown::NotSearched => format!("loiter did not look for the {noun} that would act on it"),
            Unknown::SearchIncomplete => {
                format!("no {noun} was found that would act on it, but not all was searched")
            }
            Unknown::Global => {
                format!("a variable of the program holds it, so that any {noun} may act on it")
            }
            Unknown::FarEnd if self.is_counter_end(node) => "no other process has it".to_owned(),
            Unknown::FarEnd if is_lock => "which process holds the lock is not known".to_owned(),
            Unknown::FarEnd if self.sends_datagram(node) => "where the datagram goes is not known".to_owned(),
            Unknown::FarEnd => "the other end was not found".to_owned(),
            Unknown::NoRights => {
                let processes = match self.graph.system().ends.unreadable.len() as u64 {
                    1 => "1 process".to_owned(),
                    n => format!("{} processes", thousands(n)),
                };
                let what = if is_lock {
                    "which process holds the lock is not known"
                } else {
                    "the other end was not found"
                };
                format!("{what}: {processes} may not be examined")
            }
            Unknown::ProcessNotRead => "which was not read".to_owned(),
            Unknown::WhichTask => match process.filter(|process| process.tasks.len() == 1) {
                Some(process) => format!("whose only {noun} {}", self.only_task(node, process)),
                None => format!("and which {noun} there uses it is not known"),
            },
            Unknown::Moved => "something moved there between the readings".to_owned(),
            Unknown::Because(why) => why.clone(),
        }
    }

    /// What the only task of a process does that has an end. What else an event loop waits for is no cause of a wait for it,
    /// but it tells what it does.
    fn only_task(&self, node: NodeId, process: &Snapshot) -> String {
        const LISTED: usize = 4;
        let only = self.graph.process_of(node).and_then(|process| self.graph.task_node(process, 0));
        if only.is_some_and(|task| self.graph.is_moving(task)) {
            return "went on between the two readings".to_owned();
        }
        let waits = process.tasks.first().map_or(&[][..], |task| process.waits_of(task));
        let object = |wait: &Wait| process.objects.get(wait.object.index());
        let descriptors = waits.iter().filter_map(|wait| process.descriptor_of(object(wait)?));
        let mut names: Vec<String> = descriptors.map(ends::name).collect();
        names.dedup();
        let more = names.len().saturating_sub(LISTED);
        names.truncate(LISTED);
        match (names.join(", "), more) {
            (names, _) if names.is_empty() => "waits for several things".to_owned(),
            (names, 0) => format!("waits for several things: {names}"),
            (names, more) => format!("waits for several things: {names} and {} more", thousands(more as u64)),
        }
    }
}
