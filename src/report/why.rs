//! Chains of waits in words: text, JSON and pictures share them.

use std::collections::BTreeSet;

use super::ends;
use super::runtime_names::{runtime_name, task_noun};
use super::task_facts;
use super::text::place_of;
use super::units::{count, duration, thousands};
use super::waiting;
use crate::analysis::why::{
    Cause, Chain, Dead, Edge, EdgeKind, Graph, Node, NodeId, Step, Unknown, Want, Why,
};
use crate::snapshot::{Action, Age, Certainty, HoldKind, LockState, ObjectKind, Snapshot, Task, WaitOp};

/// One line of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How far it is indented, in levels.
    pub depth: usize,
    /// What it says. Raw from the target: escape before printing.
    pub text: String,
    /// The function of the task that it is about. Raw from the target. Empty if there is none.
    pub function: String,
    /// Its place in the source. Raw from the target. Empty if it is not known.
    pub place: String,
    /// The chain ends here.
    pub ends: bool,
}

impl Row {
    /// Everything that it says, in one line.
    pub fn line(&self) -> String {
        let parts = [self.text.as_str(), self.function.as_str(), self.place.as_str()];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        format!("{}{}", "  ".repeat(self.depth.min(100)), parts.collect::<Vec<_>>().join("  "))
    }
}

/// Puts chains into words.
#[derive(Debug)]
pub struct Words<'w, 'a> {
    why: &'w Why<'a>,
    graph: &'w Graph<'a>,
    /// Addresses are written whole.
    full: bool,
    /// How many digits of an address distinguish it.
    digits: usize,
}

impl<'w, 'a> Words<'w, 'a> {
    /// For the chains of one answer. `full`: with whole addresses and paths.
    pub fn new(why: &'w Why<'a>, chains: &[&Chain], full: bool) -> Self {
        let graph = why.graph();
        let nodes = chains.iter().flat_map(|chain| &chain.steps).map(|step| step.node);
        let all: BTreeSet<u64> = nodes.filter_map(|node| Some(graph.object(node)?.2.address)).collect();
        // The end of an address says more than its beginning.
        let unique = |&digits: &usize| {
            let mask = (1_u64 << (4 * digits)) - 1;
            all.iter().map(|address| address & mask).collect::<BTreeSet<_>>().len() == all.len()
        };
        let digits = (3..14).find(unique).unwrap_or(16);
        Words { why, graph, full, digits }
    }

    /// The lines of a chain.
    pub fn rows(&self, chain: &Chain) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        // The line depth of each step on the present way, and the process that was named last.
        let mut depths: Vec<usize> = Vec::new();
        let mut processes: Vec<Option<u32>> = Vec::new();
        let mut nth = 0;
        while let Some(step) = chain.steps.get(nth) {
            depths.truncate(step.depth as usize);
            processes.truncate(step.depth as usize);
            let depth = depths.last().map_or(0, |depth| depth + 1);
            let process = processes.last().copied().flatten();
            let next = chain.steps.get(nth + 1).filter(|next| next.depth == step.depth + 1);
            let alone = chain.steps.get(nth + 1..).unwrap_or_default().iter();
            let ways = alone.take_while(|below| below.depth > step.depth);
            let ways = ways.filter(|below| below.depth == step.depth + 1).take(2).count();
            // What a step and the next one say together.
            let folded = match (self.graph.node(step.node), next) {
                (Some(Node::Task { .. }), Some(next)) if step.depth == 0 && ways == 1 => Some(next),
                (Some(Node::End { .. } | Node::Process(_) | Node::Exit(_)), Some(next)) if ways == 1 => {
                    Some(next)
                }
                (Some(Node::Descriptor { .. }), Some(next))
                    if ways == 1 && matches!(self.graph.node(next.node), Some(Node::Outside { .. })) =>
                {
                    Some(next)
                }
                _ => None,
            };
            let mut text = String::new();
            if step.nth > 0 {
                text.push_str(if self.is_all(chain, step) { "and " } else { "or " });
            }
            let (row_process, about) = self.words(step, folded, process, &mut text);
            depths.push(if nothing(&text) { depth.saturating_sub(1) } else { depth });
            processes.push(row_process.or(process));
            let mut ends = step.end.is_some();
            if let Some(next) = folded.filter(|_| !nothing(&text)) {
                depths.push(depth);
                processes.push(row_process.or(process));
                ends |= next.end.is_some();
                nth += 1;
            }
            if !nothing(&text) {
                let (function, place) = about.map(|task| self.place(task, step)).unwrap_or_default();
                rows.push(Row { depth, text, function, place, ends });
            }
            nth += 1;
        }
        rows
    }

    /// What one step says by itself.
    pub fn step(&self, step: &Step) -> String {
        let mut text = String::new();
        self.words(step, None, None, &mut text);
        text
    }

    /// What a node is, in a few short lines.
    pub fn node(&self, step: &Step) -> Vec<String> {
        let mut lines = Vec::new();
        match self.graph.node(step.node) {
            Some(Node::Task { process, .. }) => {
                if let Some((snapshot, task)) = self.graph.task(step.node) {
                    lines.push(self.tasks(snapshot, task, step.count));
                    let (function, place) = self.place(step.node, step);
                    lines.extend([function, place].into_iter().filter(|line| !line.is_empty()));
                }
                if let Some(seen) =
                    self.graph.process(process).filter(|_| self.graph.system().processes.len() > 1)
                {
                    lines.push(format!("pid {} {}", seen.pid, seen.name));
                }
            }
            Some(Node::Object { .. }) => {
                if let Some((_, _, what)) = self.graph.object(step.node) {
                    lines.push(format!("{} {}", waiting::object(what.kind), self.address(what.address)));
                }
            }
            Some(Node::Descriptor { .. }) => {
                lines.extend(self.graph.descriptor(step.node).map(ends::name));
            }
            Some(Node::End { .. }) => lines.push("other end".to_owned()),
            Some(Node::Process(pid) | Node::Exit(pid)) => lines.push(self.process_name(pid)),
            Some(Node::Outside { .. }) => lines.push("outside".to_owned()),
            Some(Node::Time(_)) => lines.push(self.time(step)),
            None => {}
        }
        if let Some(end) = &step.end {
            lines.push(self.cause(step.node, end));
        }
        lines
    }

    /// Whether all ways of the step above have to be gone, not one of them.
    fn is_all(&self, _chain: &Chain, step: &Step) -> bool {
        let from = step.edge.map(|edge| edge.from);
        let object = from.and_then(|from| self.graph.object(from));
        let above = from.and_then(|from| self.graph.node(from));
        matches!(above, Some(Node::Object { .. }))
            && !matches!(step.edge.map(|edge| edge.kind), Some(EdgeKind::Deadline | EdgeKind::Fires))
            && object.is_some_and(|(_, _, what)| {
                matches!(what.lock, Some(LockState::Shared(_) | LockState::Outstanding(_)))
            })
    }

    /// Says a step, and the next one if it is said in the same line. Returns the process that the line is about and
    /// the task whose place belongs to it.
    fn words(
        &self,
        step: &Step,
        next: Option<&Step>,
        process: Option<u32>,
        text: &mut String,
    ) -> (Option<u32>, Option<NodeId>) {
        let about = self.graph.process_of(step.node);
        match self.graph.node(step.node) {
            Some(Node::Task { .. }) => {
                self.task(step, next, process, text);
                (about, Some(step.node))
            }
            Some(Node::Object { .. } | Node::Descriptor { .. }) => {
                text.push_str(&self.wait(step, false));
                if let Some(end) = next.and_then(|next| Some((next, next.end.as_ref()?))) {
                    text.push_str(&format!(", {}", self.cause(end.0.node, end.1)));
                }
                self.end(step, text);
                (about, None)
            }
            Some(Node::Time(_)) => {
                text.push_str(&self.time(step));
                (about, None)
            }
            Some(Node::End { .. } | Node::Process(_) | Node::Exit(_)) => {
                if let Some(next) = next {
                    let of_next = self.graph.process_of(next.node);
                    match self.graph.node(next.node) {
                        Some(Node::Task { .. }) => {
                            self.task(next, None, process, text);
                            return (of_next, Some(next.node));
                        }
                        Some(Node::Process(pid)) => {
                            text.push_str(&format!("the other end is open in {}", self.process_name(pid)));
                            self.end(next, text);
                            return (of_next, None);
                        }
                        _ => {}
                    }
                }
                match (self.graph.node(step.node), &step.end) {
                    (_, None) if !step.is_repeated => {}
                    (Some(Node::Exit(pid)), _) => {
                        text.push_str(&self.process_name(pid));
                        self.end(step, text);
                    }
                    (Some(Node::Process(pid)), _) => {
                        text.push_str(&format!("the other end is open in {}", self.process_name(pid)));
                        self.end(step, text);
                    }
                    (Some(Node::End { file, want: Want::Accepted }), _) => {
                        let holders = self.graph.system().ends.of(file);
                        let who: BTreeSet<u32> = holders.iter().map(|end| end.pid).collect();
                        let who: Vec<String> =
                            who.into_iter().take(4).map(|pid| self.process_name(pid)).collect();
                        text.push_str(&match who.as_slice() {
                            [] => "the connection was not accepted".to_owned(),
                            who => format!("{} has not accepted the connection", who.join(" or ")),
                        });
                    }
                    (_, Some(end)) => text.push_str(&self.cause(step.node, end)),
                    (_, None) => text.push_str("the other end, as above"),
                }
                (about, None)
            }
            Some(Node::Outside { .. }) | None => {
                if let Some(end) = &step.end {
                    text.push_str(&self.cause(step.node, end));
                }
                (about, None)
            }
        }
    }

    /// How a chain ends at a step: ", no task is known that sends on it".
    fn end(&self, step: &Step, text: &mut String) {
        if let Some(end) = &step.end {
            text.push_str(&format!(", {}", self.cause(step.node, end)));
        } else if step.is_repeated {
            text.push_str(", as above");
        }
    }

    /// "held by goroutine 7 for 41 s", "1,204 goroutines wait to lock mutex 0x40".
    fn task(&self, step: &Step, next: Option<&Step>, process: Option<u32>, text: &mut String) {
        let Some((snapshot, task)) = self.graph.task(step.node) else { return };
        let own = self.graph.process_of(step.node);
        let elsewhere =
            own.filter(|_| own != process && (step.depth > 0 || self.graph.system().processes.len() > 1));
        let name = self.tasks(snapshot, task, step.count);
        let many = step.count > 1;
        let held = age(task.age);
        if let (Some(process), Some(edge)) = (elsewhere, step.edge) {
            text.push_str(&format!("{}: ", self.process_facts(process)));
            text.push_str(&with_role(&name, many, &edge, &held));
        } else if let Some(edge) = step.edge {
            text.push_str(&with_role(&name, many, &edge, &held));
        } else {
            text.push_str(&name);
        }
        if step.edge.is_some() && step.unlisted > 0 {
            let noun = task_noun(snapshot);
            text.push_str(&format!(", or {}", other(step.unlisted, noun)));
        }
        if step.edge.is_none() && next.is_none() && step.end.is_none() {
            text.push_str(&format!(" {}", if many { "wait, each for one of:" } else { "waits for one of:" }));
        }
        if let Some(next) = next {
            text.push_str(&format!(" {}", self.wait(next, many)));
            self.end(next, text);
        }
        match &step.end {
            Some(Cause::Cycle { .. }) | None if step.is_repeated => text.push_str(", as above"),
            None => {}
            Some(end) => {
                let joint = if step.edge.is_some() { ", " } else { " " };
                text.push_str(&format!("{joint}{}", self.cause(step.node, end)));
            }
        }
    }

    /// "goroutine 7", "1,204 goroutines".
    fn tasks(&self, snapshot: &Snapshot, task: &Task, n: u64) -> String {
        let noun = snapshot.runtime_of(task).map_or("task", |runtime| &runtime.task_noun);
        let noun = if noun.is_empty() { "task" } else { noun };
        if n > 1 { count(n, noun) } else { task_facts::name(snapshot, task) }
    }

    /// "pid 911 inventory (go1.26)".
    fn process_facts(&self, process: u32) -> String {
        let Some(seen) = self.graph.process(process) else { return String::new() };
        let runtimes: Vec<String> = seen.first.header.runtimes.iter().map(runtime_name).collect();
        let facts = if runtimes.is_empty() { String::new() } else { format!(" ({})", runtimes.join(", ")) };
        format!("pid {} {}{facts}", seen.pid, seen.name)
    }

    /// "pid 920 sh".
    pub fn process_name(&self, pid: u32) -> String {
        let system = self.graph.system();
        let read = system.processes.iter().find(|seen| seen.pid == pid).map(|seen| seen.name.as_str());
        let open = || system.ends.open.iter().find(|end| end.pid == pid).map(|end| end.process.as_str());
        match read.or_else(open) {
            Some(name) => format!("pid {pid} {name}"),
            None => format!("pid {pid}"),
        }
    }

    /// "waits to send on channel 0xe0 of main.event, cap 64, full".
    fn wait(&self, step: &Step, many: bool) -> String {
        let op = match step.edge.map(|edge| edge.kind) {
            Some(EdgeKind::Waits(op)) => op,
            _ => WaitOp::Wait,
        };
        let Some((snapshot, _, what)) = self.graph.object(step.node) else { return String::new() };
        let selects = step.edge.is_some_and(|edge| self.graph.edges_of(edge.from).len() > 1);
        let verb = waiting::verb(op, selects, many);
        let now = snapshot.header.monotonic_ns;
        match (what.kind, self.graph.descriptor(step.node)) {
            (ObjectKind::Descriptor, Some(descriptor)) => {
                let mut text = format!("{verb} {}", ends::name(descriptor));
                for fact in ends::facts(descriptor, op, now) {
                    text.push_str(&format!(", {fact}"));
                }
                text
            }
            (ObjectKind::Descriptor, None) => format!("{verb} descriptor {}", what.address),
            (ObjectKind::Process, _) => {
                let pid = u32::try_from(what.address).unwrap_or(0);
                format!("{verb} {} to end", self.process_name(pid))
            }
            (kind, _) => {
                let mut text = format!("{verb} {} {}", waiting::object(kind), self.address(what.address));
                if let Some(channel) = what.channel {
                    if let Some(element) = channel.element {
                        text.push_str(&format!(" of {}", snapshot.str(element)));
                    }
                    text.push_str(match (channel.cap, channel.len) {
                        (0, _) => ", unbuffered",
                        _ => "",
                    });
                    if channel.cap > 0 {
                        text.push_str(&format!(", cap {}", thousands(channel.cap)));
                        match channel.len {
                            0 => text.push_str(", empty"),
                            len if len >= channel.cap => text.push_str(", full"),
                            len => text.push_str(&format!(", len {}", thousands(len))),
                        }
                    }
                }
                match what.lock {
                    Some(LockState::Outstanding(n)) => {
                        text.push_str(&format!(", {}", count(n.into(), "outstanding Done call")));
                    }
                    Some(LockState::Shared(n)) => {
                        text.push_str(&format!(", {}", waiting::readers_hold(n.into())))
                    }
                    _ => {}
                }
                if let Some(context) = self.graph.context(step.node) {
                    text.push_str(&format!(", of {}", ends::context(snapshot, context)));
                }
                text
            }
        }
    }

    /// "0x…40": as many digits of an address as distinguish it.
    fn address(&self, address: u64) -> String {
        if self.full || self.digits >= 16 || address < 1 << (4 * self.digits) {
            return format!("{address:#x}");
        }
        let digits = self.digits;
        format!("0x…{:0digits$x}", address & ((1 << (4 * digits)) - 1))
    }

    fn time(&self, step: &Step) -> String {
        let Some(Node::Time(at)) = self.graph.node(step.node) else { return String::new() };
        let from = step.edge.map(|edge| edge.from);
        let snapshot = from.and_then(|from| self.graph.object(from)).map(|(snapshot, ..)| snapshot);
        let when = ends::moment(at, snapshot.and_then(|snapshot| snapshot.header.monotonic_ns));
        match step.edge.map(|edge| edge.kind) {
            Some(EdgeKind::Deadline) => format!("the deadline passes {when}"),
            Some(EdgeKind::Acts(action)) => format!("a timer {} {when}", acts(action, false)),
            _ => format!("the timer fires {when}"),
        }
    }

    /// Why a chain ends, a clause.
    pub fn cause(&self, node: NodeId, cause: &Cause) -> String {
        let now = self.now(node);
        match cause {
            Cause::Running => "which runs".to_owned(),
            Cause::Runnable(None) => "which could run and waits for a worker".to_owned(),
            Cause::Runnable(Some((busy, all))) => {
                format!("which could run and waits for a worker: {busy} of {all} are busy")
            }
            Cause::WentOn => "which went on between the two readings".to_owned(),
            Cause::Time(at) => format!("until a moment {}", ends::moment(*at, now)),
            Cause::SomeTime => "which waits for time to pass".to_owned(),
            Cause::InCall => self.call(node),
            Cause::Runtime => "which waits for the runtime's own work".to_owned(),
            Cause::Outside => "the other end is on another machine or behind address translation".to_owned(),
            Cause::Kernel => "the other end is the kernel".to_owned(),
            Cause::Terminal => "a person has to type".to_owned(),
            Cause::Clients => "nobody connects".to_owned(),
            Cause::NotAccepted => "the connection was not accepted".to_owned(),
            Cause::DeadEnd(dead) => dead_end(*dead).to_owned(),
            Cause::Cycle { forever: true } => "and so each waits for the next: a deadlock".to_owned(),
            Cause::Cycle { forever: false } => {
                "and so each waits for the next: a deadlock, unless another task acts".to_owned()
            }
            Cause::Unknown(unknown) => self.unknown(node, unknown),
        }
    }

    fn now(&self, node: NodeId) -> Option<u64> {
        let process = self.graph.process_of(node)?;
        self.graph.snapshot(process)?.header.monotonic_ns
    }

    /// "which is in the system call wait4".
    fn call(&self, node: NodeId) -> String {
        let Some(Node::Task { process, row }) = self.graph.node(node) else { return String::new() };
        let snapshot = self.graph.snapshot(process);
        match snapshot.and_then(|snapshot| Some((snapshot, snapshot.call_of(row)?))) {
            Some((snapshot, call)) => format!("which is in the system call {}", ends::call(snapshot, call)),
            None => "which is in a system call or in foreign code".to_owned(),
        }
    }

    fn unknown(&self, node: NodeId, unknown: &Unknown) -> String {
        let noun = self
            .graph
            .process_of(node)
            .and_then(|process| self.graph.snapshot(process))
            .map_or("task", task_noun);
        match unknown {
            Unknown::Object => "and what it waits for is not known".to_owned(),
            Unknown::Holder => "its holder was not found".to_owned(),
            Unknown::HandedOver => "which is being handed over".to_owned(),
            Unknown::Closed => "which is closed: the wait is about to end".to_owned(),
            Unknown::NotSearched => format!("which {noun} would act on it was not searched"),
            Unknown::SearchIncomplete => {
                format!("no {noun} was found that would act on it, but not all was searched")
            }
            Unknown::Global => {
                format!("a variable of the program holds it, so that any {noun} may act on it")
            }
            Unknown::FarEnd => "the other end was not found".to_owned(),
            Unknown::NoRights => {
                let unreadable = self.graph.system().ends.unreadable.len() as u64;
                let processes = if unreadable == 1 {
                    "1 process".to_owned()
                } else {
                    format!("{} processes", thousands(unreadable))
                };
                format!("the other end was not found: {processes} may not be examined")
            }
            Unknown::ProcessNotRead => "which was not read".to_owned(),
            Unknown::WhichTask => format!("and which {noun} there uses it is not known"),
            Unknown::Moved => "and something moved there between the readings".to_owned(),
            Unknown::Because(why) => why.clone(),
        }
    }

    /// The function and the place of a task: where it will act, if that is known, else where it is.
    fn place(&self, task: NodeId, step: &Step) -> (String, String) {
        let Some((snapshot, what)) = self.graph.task(task) else { return Default::default() };
        let acting = step.edge.filter(|edge| edge.to == task).and_then(|edge| edge.location);
        let acting = acting.and_then(|id| crate::analysis::frames::holding_frame(snapshot, id));
        match acting.or_else(|| self.why.place(task)) {
            Some(frame) => {
                let function = crate::analysis::frames::frame_name(snapshot, frame).into_owned();
                (function, place_of(snapshot, frame, self.full))
            }
            None => (what.entry.map_or("", |id| snapshot.function_name(id)).to_owned(), String::new()),
        }
    }
}

fn nothing(text: &str) -> bool {
    matches!(text, "" | "or " | "and ")
}

/// "3 other goroutines".
fn other(n: u64, noun: &str) -> String {
    count(n, &format!("other {noun}"))
}

/// " for 41 s", " for 41 s or more".
fn age(age: Age) -> String {
    match age {
        Age::Unknown => String::new(),
        Age::AtLeast(ns) => format!(" for {} at least", duration(ns)),
        Age::Exactly(ns) => format!(" for {}", duration(ns)),
    }
}

/// What a task is for the step above it: "held by goroutine 7 for 41 s", "goroutine 12 would receive from it".
fn with_role(name: &str, many: bool, edge: &Edge, held: &str) -> String {
    let perhaps = if edge.certainty == Certainty::Perhaps { "perhaps " } else { "" };
    match edge.kind {
        EdgeKind::Held(HoldKind::Exclusive) => format!("held by {name}{held}"),
        EdgeKind::Held(HoldKind::Shared) => format!("held for reading by {name}{held}"),
        EdgeKind::Held(HoldKind::Perhaps) => format!("perhaps held by {name}{held}"),
        EdgeKind::Acts(Action::Unknown) => {
            format!("{name} {} it", if many { "can reach" } else { "can reach" })
        }
        EdgeKind::Acts(action) => {
            let would = if edge.certainty == Certainty::Perhaps { "might" } else { "would" };
            format!("{name} {would} {}", acts(action, true))
        }
        EdgeKind::Serves => format!("{name} {} the other end", if many { "serve" } else { "serves" }),
        EdgeKind::WaitsThere(WaitOp::Write) => {
            format!("{name} {} to the other end", if many { "write" } else { "writes" })
        }
        EdgeKind::WaitsThere(_) => {
            format!("{name} {} from the other end", if many { "read" } else { "reads" })
        }
        EdgeKind::Only => format!("{perhaps}{name} has it"),
        _ => name.to_owned(),
    }
}

/// "receive from it".
fn acts(action: Action, plain: bool) -> &'static str {
    let [will, plainly] = match action {
        Action::Send => ["sends on it", "send on it"],
        Action::Receive => ["receives from it", "receive from it"],
        Action::Close => ["closes it", "close it"],
        Action::Cancel => ["cancels it", "cancel it"],
        Action::Done => ["reports to it", "report that it is done"],
        Action::Signal => ["wakes it", "wake it"],
        _ => ["acts on it", "act on it"],
    };
    if plain { plainly } else { will }
}

fn dead_end(dead: Dead) -> &'static str {
    match dead {
        Dead::Nobody => {
            "and nothing is left that could end the wait: no task, timer or variable refers to it"
        }
        Dead::StoppedTimer => "whose timer is stopped: nothing is left that could end the wait",
        Dead::NilChannel => "waits for a nil channel: that never ends",
        Dead::NoCases => "waits in a select without cases: that never ends",
        Dead::Leaked => "waits for ever, as the runtime has proved",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
