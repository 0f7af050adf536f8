//! What a graph says, against what a system knows of itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use loiter::analysis::why::{EdgeKind, Graph, Node, NodeId};
use loiter::snapshot::Certainty;

use crate::plan::{Edge, How, Knowable, Place, Program};
use crate::running::System;

/// Whom a task waits for, according to the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    Task(Place),
    /// A task that is not in the plan.
    Other(u64),
    /// Some task of the process.
    Process(usize),
    /// A process that is not in the plan.
    Stranger(u32),
}

/// An edge of the graph, without what is between its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    /// None for a task that is not in the plan.
    pub(crate) from: Option<Place>,
    pub(crate) to: To,
    pub(crate) certainty: Certainty,
}

/// Everything that the graph says of who waits for whom.
pub(crate) fn said(graph: &Graph<'_>, system: &System) -> Vec<Said> {
    let mut all = Vec::new();
    for (node, _) in graph.tasks() {
        let from = place(graph, system, node);
        for wait in graph.edges_of(node).iter().filter(|edge| matches!(edge.kind, EdgeKind::Waits(_))) {
            behind(graph, system, wait.to, from, Certainty::Sure, 0, &mut all);
        }
    }
    all.sort_by_key(|said| (said.from, said.to, said.certainty));
    all.dedup_by_key(|said| (said.from, said.to));
    all
}

/// Goes from an object to the tasks and processes behind it.
fn behind(
    graph: &Graph<'_>,
    system: &System,
    node: NodeId,
    from: Option<Place>,
    certainty: Certainty,
    depth: u32,
    all: &mut Vec<Said>,
) {
    for edge in graph.edges_of(node) {
        let certainty = certainty.max(edge.certainty);
        let to = match graph.node(edge.to) {
            Some(Node::Task { process, row }) => {
                let seen = graph.process(process).expect("there is such a process");
                let id = seen.first.tasks[row as usize].id.unwrap_or(0);
                place(graph, system, edge.to).map_or(To::Other(id), To::Task)
            }
            Some(Node::Process(pid) | Node::Exit(pid)) => {
                system.process(pid).map_or(To::Stranger(pid), To::Process)
            }
            // Deadlines pass, and other machines are none of this.
            Some(Node::Time(_) | Node::Outside { .. }) | None => continue,
            Some(_) if depth > 8 => continue,
            Some(_) => {
                behind(graph, system, edge.to, from, certainty, depth + 1, all);
                continue;
            }
        };
        all.push(Said { from, to, certainty });
    }
}

fn place(graph: &Graph<'_>, system: &System, node: NodeId) -> Option<Place> {
    let Some(Node::Task { process, row }) = graph.node(node) else { return None };
    let seen = graph.process(process)?;
    system.task(system.process(seen.pid)?, seen.first.tasks[row as usize].id?)
}

/// How often edges of a kind were found, of those that can be known.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// As much as can be known, and sure or likely.
    found: u32,
    /// As much as can be known, but only perhaps.
    perhaps: u32,
    /// The process only, though the task can be known.
    less: u32,
    missed: u32,
}

impl Count {
    fn all(self) -> u32 {
        self.found + self.perhaps + self.less + self.missed
    }
}

/// What was found in many systems.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<(How, Knowable), Count>,
    /// Edges that are not in the plan, though loiter is sure, or says that they are likely.
    pub(crate) wrong: Vec<String>,
    /// Perhaps, but not in the plan.
    guessed: u32,
    /// What was missed, or found in part only.
    missed: Vec<String>,
}

impl Tally {
    /// Compares all edges of a graph with the plan.
    pub(crate) fn add(&mut self, seed: u64, system: &System, graph: &Graph<'_>) {
        let all = said(graph, system);
        for said in &all {
            let fits = |edge: &Edge| {
                said.from == Some(edge.from)
                    && match said.to {
                        To::Task(to) => to == edge.to,
                        To::Process(process) => process == edge.to.0 && edge.how.leads_away(),
                        To::Other(_) | To::Stranger(_) => false,
                    }
            };
            if system.plan.edges.iter().any(fits) {
                continue;
            }
            if said.certainty == Certainty::Perhaps {
                self.guessed += 1;
            } else {
                self.wrong.push(format!("seed {seed}: {said:?}: {}", describe(system, said.from)));
            }
        }
        for edge in &system.plan.edges {
            let knowable = system.plan.knowable(edge);
            let of = |to: To| all.iter().find(|said| said.from == Some(edge.from) && said.to == to);
            let (task, process) = (of(To::Task(edge.to)), of(To::Process(edge.to.0)));
            let whole = task.or(process.filter(|_| knowable == Knowable::Process));
            let count = self.counts.entry((edge.how, knowable)).or_default();
            let how = match (whole, process) {
                (Some(Said { certainty: Certainty::Perhaps, .. }), _) => {
                    count.perhaps += 1;
                    continue;
                }
                (Some(_), _) => {
                    count.found += 1;
                    continue;
                }
                (None, Some(_)) => {
                    count.less += 1;
                    "the process only"
                }
                (None, None) => {
                    count.missed += 1;
                    "missed"
                }
            };
            self.missed.push(format!(
                "seed {seed}, {how}: {:?} {} -> {}",
                edge.how,
                describe(system, Some(edge.from)),
                describe(system, Some(edge.to))
            ));
        }
    }

    /// How many edges can be known, and of how many everything that can be known was found.
    pub(crate) fn found(&self) -> (u32, u32) {
        let counts = || self.counts.values();
        (counts().map(|count| count.all()).sum(), counts().map(|count| count.found + count.perhaps).sum())
    }

    /// A table, and what was missed.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("kind           knowable    all  found perhaps   less missed\n");
        for ((how, knowable), count) in &self.counts {
            let Count { found, perhaps, less, missed } = count;
            let (how, knowable) = (format!("{how:?}"), format!("{knowable:?}"));
            let all = count.all();
            let _ = writeln!(text, "{how:14} {knowable:8} {all:6} {found:6} {perhaps:7} {less:6} {missed:6}");
        }
        let (all, found) = self.found();
        let _ = writeln!(text, "{found} of {all} edges that can be known were found");
        let _ = writeln!(
            text,
            "{} guesses are not in the plan, {} edges are wrong",
            self.guessed,
            self.wrong.len()
        );
        for missed in &self.missed {
            let _ = writeln!(text, "{missed}");
        }
        text
    }
}

fn describe(system: &System, place: Option<Place>) -> String {
    let Some((process, task)) = place else { return "not in the plan".to_owned() };
    let process = &system.plan.processes[process];
    let program = match process.program {
        Program::Go(version, stripped) => format!("go{version}{}", if stripped { " stripped" } else { "" }),
        other => format!("{other:?}"),
    };
    format!("{program} {}", process.tasks[task].line())
}
