//! Chains of waits in words: text, JSON and pictures share them.

use std::collections::BTreeSet;

use super::ends;
use super::path::place_of;
use super::runtime_names::{runtime_name, task_noun};
use super::task_facts;
use super::title::title;
use super::units::{count, thousands};
use super::waiting;
use crate::analysis::frames::{frame_name, holding_frame};
use crate::analysis::why::{Chain, EdgeKind, Graph, Node, NodeId, SeenProcess, Step, Want, Why};
use crate::snapshot::{LockState, Snapshot, Task, WaitClass};

pub use notes::{Note, notes};
pub use page::{Look, PageLine, PageOptions, lines};
use roles::Of;
pub(super) use roles::edge_name;

mod causes;
mod notes;
mod objects;
mod page;
mod roles;

/// Words, and whether they say what a task does.
struct Clause {
    of_task: bool,
    text: String,
}

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
    /// The task that it names, the first one if it names several.
    pub task: Option<NodeId>,
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
        let ways = ways(chain);
        let mut nth = 0;
        while let Some(step) = chain.steps.get(nth) {
            depths.truncate(step.depth as usize);
            processes.truncate(step.depth as usize);
            let depth = depths.last().map_or(0, |depth| depth + 1);
            let process = processes.last().copied().flatten();
            let folded = self.folded(chain, &ways, nth);
            let more: Vec<&Step> = folded.iter().filter_map(|&nth| chain.steps.get(nth)).collect();
            let mut text = String::new();
            if step.nth > 0 {
                let is_all = self.is_all(step) || step.edge.is_some_and(|edge| self.polls_all(edge.from));
                text.push_str(if is_all { "and " } else { "or " });
            }
            let (row_process, about) =
                self.words(step, &more, (process, if nth == 0 { chain.things } else { 1 }), &mut text);
            // A step that says nothing by itself takes no line.
            let silent = matches!(text.as_str(), "" | "or " | "and ");
            depths.push(if silent { depth.saturating_sub(1) } else { depth });
            processes.push(row_process.or(process));
            nth += 1;
            if silent {
                continue;
            }
            for _ in &more {
                depths.push(depth);
                processes.push(row_process.or(process));
            }
            let ends = std::iter::once(&step).chain(&more).any(|step| step.end.is_some());
            let (function, place) = about.map(|step| self.place(step)).unwrap_or_default();
            let task = about.map(|step| match self.graph.node(step.node) {
                Some(Node::Across(task)) => task,
                _ => step.node,
            });
            rows.push(Row { depth, text, function, place, task, ends });
            nth += more.len();
        }
        rows
    }

    /// The steps below one that are said in its line.
    fn folded(&self, chain: &Chain, ways: &[u32], nth: usize) -> Vec<usize> {
        let only = |nth: usize| (ways.get(nth) == Some(&1)).then_some(nth + 1);
        let node = |nth: usize| chain.steps.get(nth).and_then(|step| self.graph.node(step.node));
        let mut folded = Vec::new();
        let mut at = nth;
        while let Some(next) = only(at) {
            let fits = match (node(at), node(next)) {
                (Some(Node::Task { .. }), _) => at == 0,
                (Some(Node::Descriptor { .. }), Some(Node::Outside { .. })) => true,
                (Some(Node::Object { .. } | Node::Descriptor { .. }), Some(Node::Time(_))) => true,
                (Some(Node::End { .. } | Node::Process(_) | Node::Exit(_)), _) => at == nth,
                _ => false,
            };
            if !fits {
                break;
            }
            folded.push(next);
            at = next;
        }
        folded
    }

    /// What one step says by itself.
    pub fn step(&self, step: &Step) -> String {
        let mut text = String::new();
        self.words(step, &[], (None, 1), &mut text);
        text
    }

    /// What a node is, in a few short lines.
    pub fn node(&self, step: &Step) -> Vec<String> {
        let mut lines = Vec::new();
        let process = self.graph.process_of(step.node).and_then(|process| self.graph.process(process));
        match self.graph.node(step.node) {
            Some(Node::Task { .. } | Node::Across(_)) => {
                if let Some((snapshot, task)) = self.graph.task(step.node) {
                    lines.push(self.tasks(snapshot, task, step.count));
                    let (function, place) = self.place(step);
                    lines.extend([function, place].into_iter().filter(|line| !line.is_empty()));
                }
                if let Some(seen) = process.filter(|_| self.graph.system().processes.len() > 1) {
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
        // A time says everything by itself.
        let is_time = matches!(self.graph.node(step.node), Some(Node::Time(_)));
        lines.extend(step.end.as_ref().filter(|_| !is_time).map(|end| self.cause(step.node, end)));
        lines
    }

    /// Whether all ways of the step above have to be gone, not one of them.
    fn is_all(&self, step: &Step) -> bool {
        let from = step.edge.map(|edge| edge.from);
        let object = from.and_then(|from| self.graph.object(from));
        let above = from.and_then(|from| self.graph.node(from));
        matches!(above, Some(Node::Object { .. }))
            && !matches!(step.edge.map(|edge| edge.kind), Some(EdgeKind::Deadline | EdgeKind::Fires))
            && object.is_some_and(|(_, _, what)| {
                matches!(what.lock, Some(LockState::Shared(_) | LockState::Outstanding(_)))
            })
    }

    /// Whether a task polls several futures of which one may not be enough.
    fn polls_all(&self, node: NodeId) -> bool {
        let Some(Node::Task { row, .. }) = self.graph.node(node) else { return false };
        self.graph.task(node).is_some_and(|(snapshot, task)| {
            task.wait_class == WaitClass::Other && !snapshot.branches_of(row).is_empty()
        })
    }

    /// Says a step, and those that are said in the same line. Returns the process that the line is about and the step
    /// of the task whose place belongs to it.
    fn words<'s>(
        &self,
        step: &'s Step,
        more: &[&'s Step],
        (process, things): (Option<u32>, u64),
        text: &mut String,
    ) -> (Option<u32>, Option<&'s Step>) {
        let about = self.graph.process_of(step.node);
        match self.graph.node(step.node) {
            Some(Node::Task { .. } | Node::Across(_)) => {
                self.task(step, more, (process, things), text);
                (about, Some(step))
            }
            Some(Node::Object { .. } | Node::Descriptor { .. }) => {
                text.push_str(&self.wait(step, false, 1));
                self.ends(step, more, text);
                (about, None)
            }
            Some(Node::Time(_)) => {
                text.push_str(&self.time(step));
                (about, None)
            }
            Some(Node::End { .. } | Node::Process(_) | Node::Exit(_)) => match more {
                [next, ..]
                    if matches!(self.graph.node(next.node), Some(Node::Task { .. } | Node::Across(_))) =>
                {
                    self.task(next, &[], (process, 1), text);
                    (self.graph.process_of(next.node), Some(next))
                }
                [next, ..] => self.words(next, &[], (process, 1), text),
                [] => {
                    self.far_end(step, text);
                    (about, None)
                }
            },
            Some(Node::Outside { .. }) | None => {
                if let Some(end) = &step.end {
                    text.push_str(&self.cause(step.node, end));
                }
                (about, None)
            }
        }
    }

    /// An end, or a process that has one, whose tasks are not known.
    fn far_end(&self, step: &Step, text: &mut String) {
        match (self.graph.node(step.node), &step.end) {
            (_, None) if !step.is_repeated => {}
            (Some(Node::Exit(pid)), _) => {
                text.push_str(&self.process_name(pid));
                self.ends(step, &[], text);
            }
            (Some(Node::Process(pid)), _) => {
                text.push_str(&self.of(step).process(&self.process_name(pid), step.unlisted));
                self.ends(step, &[], text);
            }
            (Some(Node::End { file, want: Want::Accepted }), Some(_)) => {
                let holders = self.graph.system().ends.of(file);
                let who: BTreeSet<u32> = holders.iter().map(|end| end.pid).collect();
                let who: Vec<String> = who.into_iter().take(4).map(|pid| self.process_name(pid)).collect();
                text.push_str(&match who.as_slice() {
                    [] => "the connection was not accepted".to_owned(),
                    who => format!("{} has not accepted the connection", who.join(" or ")),
                });
            }
            (_, Some(end)) => text.push_str(&self.cause(step.node, end)),
            (_, None) => text.push_str("the other end, as above"),
        }
    }

    /// What a step has to do with what leads to it.
    fn of(&self, step: &Step) -> Of {
        let from = step.edge.map(|edge| edge.from);
        match from.and_then(|from| self.graph.node(from)) {
            Some(Node::End { want: Want::Accepted, .. }) => Of::Listener,
            Some(Node::End { want: Want::Released, .. }) => Of::Lock,
            Some(Node::End { .. }) if !from.is_some_and(|from| self.is_counter_end(from)) => Of::OtherEnd,
            Some(Node::Process(_)) => Of::OtherEnd,
            _ => Of::Thing,
        }
    }

    /// Whether a node is what its holders share of an event counter.
    fn is_counter_end(&self, node: NodeId) -> bool {
        matches!(self.graph.node(node), Some(Node::End { file, .. }) if self.graph.is_counter(file))
    }

    /// How a chain ends at a step, or at those that are said in the same line: ", its holder was not found".
    fn ends(&self, step: &Step, more: &[&Step], text: &mut String) {
        for step in std::iter::once(&step).chain(more) {
            if matches!(self.graph.node(step.node), Some(Node::Time(_))) {
                text.push_str(&format!(", {}", self.time(step)));
            } else if let Some(end) = &step.end {
                text.push_str(&format!(", {}", self.cause(step.node, end)));
            } else if step.is_repeated {
                text.push_str(", as above");
            }
        }
    }

    /// "held by goroutine 7 for 41 s", "1,204 goroutines wait to lock mutex 0x40".
    fn task(&self, step: &Step, more: &[&Step], (process, things): (Option<u32>, u64), text: &mut String) {
        let Some((snapshot, task)) = self.graph.task(step.node) else { return };
        let own = self.graph.process_of(step.node);
        let several = self.graph.system().processes.len() > 1;
        let elsewhere = own.filter(|_| own != process && step.depth > 0 && several);
        let name = self.tasks(snapshot, task, step.count);
        let many = step.count > 1 || task.count() > 1;
        text.extend(elsewhere.map(|process| format!("{}: ", self.process_facts(process))));
        match &step.edge {
            Some(edge) => text.push_str(&roles::with_role(&name, many, edge, task.age, self.of(step))),
            None => text.push_str(&name),
        }
        if step.edge.is_some() && step.unlisted > 0 {
            let others = count(step.unlisted, &format!("other {}", task_noun(snapshot)));
            text.push_str(&format!(", or {others}"));
        }
        if let [next, rest @ ..] = more {
            text.push_str(&format!(" {}", self.wait(next, many, things)));
            let waiters = self.graph.waiters(next.node);
            if step.depth == 0 && things == 1 && waiters > step.count {
                text.push_str(&format!(", {} wait for it", thousands(waiters)));
            }
            self.ends(next, rest, text);
        } else if step.edge.is_none() && step.end.is_none() && !step.is_repeated {
            text.push_str(match (many, self.polls_all(step.node)) {
                (true, false) => " wait, each for one of several things",
                (true, true) => " wait, each for several things",
                (false, false) => " waits for one of several things",
                (false, true) => " waits for several things",
            });
        }
        match &step.end {
            None if step.is_repeated => text.push_str(", as above"),
            None => {}
            Some(end) => {
                let clause = self.clause(step.node, end, many);
                text.push_str(match &step.edge {
                    _ if !clause.of_task => ", ",
                    None => " ",
                    Some(edge) if roles::ends_with_task(edge) => ", which ",
                    Some(_) => " and ",
                });
                text.push_str(&clause.text);
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
        format!("pid {} {}{facts}", seen.pid, named(seen))
    }

    /// "pid 920 sh", "pid 921 nginx \"worker process\"".
    pub fn process_name(&self, pid: u32) -> String {
        let system = self.graph.system();
        let read = system.processes.iter().find(|seen| seen.pid == pid).map(named);
        let open = || system.ends.open.iter().find(|end| end.pid == pid).map(|end| end.process.clone());
        match read.or_else(open) {
            Some(name) => format!("pid {pid} {name}"),
            None => format!("pid {pid}"),
        }
    }

    /// The function and the place of a task: where it will act, if that is known, else where it is.
    fn place(&self, step: &Step) -> (String, String) {
        let task = step.node;
        let Some((snapshot, what)) = self.graph.task(task) else { return Default::default() };
        let acting = step.edge.and_then(|edge| edge.location);
        let acting = acting.and_then(|id| holding_frame(snapshot, id));
        match acting.or_else(|| self.why.place(task)) {
            Some(frame) => {
                let function = frame_name(snapshot, frame).into_owned();
                (function, place_of(snapshot, frame, self.full))
            }
            None => (what.entry.map_or("", |id| snapshot.function_name(id)).to_owned(), String::new()),
        }
    }
}

/// The name of a process and, in quotation marks, what it says that it does.
fn named(seen: &SeenProcess) -> String {
    match title(&seen.name, &seen.first.header.target.command) {
        Some(title) => format!("{} \"{title}\"", seen.name),
        None => seen.name.clone(),
    }
}

/// How many ways lead on from each step.
fn ways(chain: &Chain) -> Vec<u32> {
    let mut ways = vec![0_u32; chain.steps.len()];
    let mut path: Vec<usize> = Vec::new();
    for (nth, step) in chain.steps.iter().enumerate() {
        path.truncate(step.depth as usize);
        if let Some(ways) = path.last().and_then(|&above| ways.get_mut(above)) {
            *ways += 1;
        }
        path.push(nth);
    }
    ways
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
