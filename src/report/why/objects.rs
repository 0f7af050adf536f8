//! What tasks wait for, in words.

use super::{Words, roles};
use crate::analysis::waits::Senders;
use crate::analysis::why::{EdgeKind, Node, Step};
use crate::report::units::{count, thousands};
use crate::report::{ends, task_facts, waiting};
use crate::snapshot::{Channel, LockState, ObjectKind, Snapshot, WaitOp};

impl Words<'_, '_> {
    /// "waits to send on channel 0xe0 of main.event, cap 64, full"; of tasks that wait for several things: "wait to
    /// lock 3 mutexes, such as mutex 0xe0".
    pub(super) fn wait(&self, step: &Step, many: bool, things: u64) -> String {
        let kind = step.edge.map(|edge| edge.kind);
        let op = if let Some(EdgeKind::Waits(op)) = kind { op } else { WaitOp::Wait };
        let Some((snapshot, object, what)) = self.graph.object(step.node) else { return String::new() };
        let selects = step.edge.is_some_and(|edge| {
            let is_for_all = self.graph.task(edge.from).is_some_and(|(_, task)| task.wait_class.is_for_all());
            self.graph.edges_of(edge.from).len() > 1 && !is_for_all
        });
        let verb = match kind {
            Some(EdgeKind::Parent) => "its parent ends it,",
            _ => waiting::verb(op, selects, many),
        };
        let now = snapshot.header.monotonic_ns;
        let (all, one, facts) = match (what.kind, self.graph.descriptor(step.node)) {
            (ObjectKind::Timer, _) if op == WaitOp::Wait => {
                return if many { "sleep" } else { "sleeps" }.to_owned();
            }
            (ObjectKind::Descriptor, Some(descriptor)) => (
                count(things, ends::kind_name(descriptor.kind)),
                ends::name(descriptor),
                ends::facts(descriptor, op, now),
            ),
            (ObjectKind::Descriptor, None) => {
                (count(things, "descriptor"), format!("descriptor {}", what.address), Vec::new())
            }
            (ObjectKind::Process, _) => {
                let pid = u32::try_from(what.address).unwrap_or(0);
                (
                    format!("{} processes", thousands(things)),
                    format!("{} to end", self.process_name(pid)),
                    Vec::new(),
                )
            }
            (ObjectKind::Task, _) => {
                let row = snapshot.joined_task(object);
                let one = row.map_or("a task".to_owned(), |row| task_facts::long_name(snapshot, row));
                (waiting::objects(what.kind, things), format!("{one} to end"), Vec::new())
            }
            (kind, _) => {
                let one = format!("{} {}", waiting::object(kind), self.address(what.address));
                (waiting::objects(kind, things), one, self.object_facts(step, snapshot, op))
            }
        };
        let mut text = match things {
            0 | 1 => format!("{verb} {one}"),
            _ => format!("{verb} {all}, such as {one}"),
        };
        facts.iter().for_each(|fact| text.push_str(&format!(", {fact}")));
        text
    }

    fn object_facts(&self, step: &Step, snapshot: &Snapshot, op: WaitOp) -> Vec<String> {
        let Some((_, object, what)) = self.graph.object(step.node) else { return Vec::new() };
        let mut facts = what.channel.map_or(Vec::new(), |channel| channel_facts(snapshot, channel));
        let senders = snapshot.handles_of(object).map(Senders::of);
        facts.extend(senders.iter().flat_map(|senders| waiting::sender_facts(op, 1, senders)));
        match what.lock {
            Some(LockState::Outstanding(n)) => facts.push(count(n.into(), "outstanding Done call")),
            Some(LockState::Shared(n)) => facts.push(waiting::readers_hold(n.into())),
            _ => {}
        }
        let context = self.graph.context(step.node);
        facts.extend(context.map(|context| format!("of {}", ends::context(snapshot, context))));
        facts
    }

    /// "0x…40": as many digits of an address as distinguish it.
    pub(super) fn address(&self, address: u64) -> String {
        if self.full || self.digits >= 16 || address < 1 << (4 * self.digits) {
            return format!("{address:#x}");
        }
        let digits = self.digits;
        format!("0x…{:0digits$x}", address & ((1 << (4 * digits)) - 1))
    }

    /// "the timer fires in 3 s".
    pub(super) fn time(&self, step: &Step) -> String {
        let Some(Node::Time(at)) = self.graph.node(step.node) else { return String::new() };
        let from = step.edge.map(|edge| edge.from);
        let snapshot = from.and_then(|from| self.graph.object(from)).map(|(snapshot, ..)| snapshot);
        let when = ends::moment(at, snapshot.and_then(|snapshot| snapshot.header.monotonic_ns));
        match step.edge.map(|edge| edge.kind) {
            Some(EdgeKind::Deadline) => format!("the deadline passes {when}"),
            Some(EdgeKind::Acts(action)) => format!("a timer {} {when}", roles::does(action)),
            _ if from.is_some_and(|from| self.graph.kind_of(from) == Some(ObjectKind::Timer)) => {
                format!("wakes {when}")
            }
            _ => format!("the timer fires {when}"),
        }
    }
}

/// "of main.event", "cap 64", "full".
fn channel_facts(snapshot: &Snapshot, channel: Channel) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(channel.element.map(|element| format!("of {}", snapshot.str(element))));
    if channel.cap == 0 {
        facts.push("unbuffered".to_owned());
        return facts;
    }
    facts.push(format!("cap {}", thousands(channel.cap)));
    facts.push(match channel.len {
        0 => "empty".to_owned(),
        len if len >= channel.cap => "full".to_owned(),
        len => format!("len {}", thousands(len)),
    });
    facts
}
