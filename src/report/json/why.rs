//! Chains of waits as JSON, described in loiter-why-json(5).

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::head::SnapshotOut;
use super::links::{CallOut, ContextOut, DescriptorOut, TimerOut};
use super::{AgeOut, CreatorOut, VERSION, hex, write};
use crate::analysis::why::{
    Answer, Cause, Chain, Dead, Edge, EdgeKind, Group, Node, NodeId, Proof, Step, Unknown, Why,
};
use crate::report::why::Words;
use crate::snapshot::{Channel, LockState, Snapshot, Task};

/// Name of the format.
const FORMAT: &str = "loiter-why";

/// Writes the chains of some tasks.
///
/// # Errors
/// Those of `out`.
pub fn why_chains(why: &Why<'_>, chains: &[Chain], out: &mut dyn Write) -> io::Result<()> {
    let all: Vec<&Chain> = chains.iter().collect();
    let writer = Writer { why, words: Words::new(why, &all, true) };
    let causes = all.iter().map(|chain| writer.found(chain, None)).collect();
    write(&writer.document(causes, None), out)
}

/// Writes every cause and who depends on it.
///
/// # Errors
/// Those of `out`.
pub fn why_causes(why: &Why<'_>, answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    let all: Vec<&Chain> = answer.causes.iter().map(|found| &found.chain).collect();
    let writer = Writer { why, words: Words::new(why, &all, true) };
    let causes = answer.causes.iter().map(|found| {
        let groups = found.groups.iter().map(|group| writer.group(group)).collect();
        let depend =
            Depend { tasks: found.tasks, equal_causes: found.causes, oldest: found.oldest.into(), groups };
        writer.found(&found.chain, Some(depend))
    });
    write(&writer.document(causes.collect(), Some(answer)), out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    processes: Vec<ProcessOut<'a>>,
    proof: &'static str,
    held_together_at_ns: Option<u64>,
    moved: u64,
    waiting: Option<u64>,
    usual: Option<u64>,
    moving: Option<u64>,
    left_out: &'a [String],
    causes: Vec<FoundOut<'a>>,
}

#[derive(Serialize)]
struct ProcessOut<'a> {
    pid: u32,
    name: &'a str,
    proof: &'static str,
    first: SnapshotOut<'a>,
    second: Option<SnapshotOut<'a>>,
    unknown: &'a [String],
}

#[derive(Serialize)]
struct FoundOut<'a> {
    #[serde(flatten)]
    depend: Option<Depend<'a>>,
    cause: Option<Fact>,
    cycle: Vec<TaskOut<'a>>,
    cut: bool,
    things: u64,
    steps: Vec<StepOut>,
    text: Vec<String>,
}

/// Who depends on a cause.
#[derive(Serialize)]
struct Depend<'a> {
    tasks: u64,
    equal_causes: u64,
    oldest: AgeOut,
    groups: Vec<GroupOut<'a>>,
}

#[derive(Serialize)]
struct GroupOut<'a> {
    tasks: u64,
    unnamed: u64,
    example: Option<TaskOut<'a>>,
}

#[derive(Serialize)]
struct TaskOut<'a> {
    pid: Option<u32>,
    id: Option<u64>,
    address: Option<String>,
    state: &'static str,
    reason: Option<&'a str>,
    age: AgeOut,
    at: Option<CreatorOut<'a>>,
}

/// Something that is said: its kind, its fields and its words.
#[derive(Serialize)]
struct Fact {
    kind: &'static str,
    #[serde(flatten)]
    fields: Map<String, Value>,
    text: String,
}

#[derive(Serialize)]
struct StepOut {
    depth: u32,
    way: u32,
    unlisted_ways: u64,
    repeated: bool,
    edge: Option<EdgeOut>,
    #[serde(flatten)]
    node: Fact,
    end: Option<Fact>,
}

#[derive(Serialize)]
struct EdgeOut {
    kind: &'static str,
    detail: Option<&'static str>,
    certainty: &'static str,
    fd: Option<u32>,
}

struct Writer<'w, 'a> {
    why: &'w Why<'a>,
    words: Words<'w, 'a>,
}

impl<'a> Writer<'_, 'a> {
    fn document(&self, causes: Vec<FoundOut<'a>>, answer: Option<&Answer>) -> Document<'a> {
        let graph = self.why.graph();
        let system = graph.system();
        let processes = (0..).zip(&system.processes).map(|(nth, seen)| ProcessOut {
            pid: seen.pid,
            name: &seen.name,
            proof: proof(graph.proof(nth)),
            first: SnapshotOut::from(&seen.first.header),
            second: seen.second.as_ref().map(|second| SnapshotOut::from(&second.header)),
            unknown: &seen.first.links.unknown,
        });
        Document {
            format: FORMAT,
            version: VERSION,
            processes: processes.collect(),
            proof: proof(graph.weakest_proof()),
            held_together_at_ns: graph.held_together().map(|(at, _)| at),
            moved: graph.moved(),
            waiting: answer.map(|answer| answer.waiting),
            usual: answer.map(|answer| answer.usual),
            moving: answer.map(|answer| answer.moving),
            left_out: &system.left_out,
            causes,
        }
    }

    fn found(&self, chain: &Chain, depend: Option<Depend<'a>>) -> FoundOut<'a> {
        FoundOut {
            depend,
            cause: chain.cause().map(|(node, cause)| self.cause(node, cause)),
            cycle: chain.cycle.iter().filter_map(|&node| self.task(node)).collect(),
            cut: chain.is_cut,
            things: chain.things,
            steps: chain.steps.iter().map(|step| self.step(step)).collect(),
            text: self.words.rows(chain).into_iter().map(|row| row.line()).collect(),
        }
    }

    fn group(&self, group: &Group) -> GroupOut<'a> {
        GroupOut { tasks: group.tasks, unnamed: group.unnamed, example: self.task(group.task) }
    }

    fn task(&self, node: NodeId) -> Option<TaskOut<'a>> {
        let graph = self.why.graph();
        let (snapshot, task) = graph.task(node)?;
        let process = graph.process_of(node).and_then(|process| graph.process(process));
        Some(TaskOut::new(process.map(|seen| seen.pid), snapshot, task, self.why, node))
    }

    fn step(&self, step: &Step) -> StepOut {
        StepOut {
            depth: step.depth,
            way: step.nth,
            unlisted_ways: step.unlisted,
            repeated: step.is_repeated,
            edge: step.edge.as_ref().map(EdgeOut::new),
            node: self.node(step),
            end: step.end.as_ref().map(|end| self.cause(step.node, end)),
        }
    }

    fn node(&self, step: &Step) -> Fact {
        let graph = self.why.graph();
        let process = graph.process_of(step.node).and_then(|process| graph.process(process));
        let pid = process.map(|seen| seen.pid);
        let (kind, fields) = match graph.node(step.node) {
            Some(Node::Task { row, .. }) => {
                let call = graph
                    .task(step.node)
                    .and_then(|(snapshot, _)| Some(CallOut::new(snapshot, snapshot.call_of(row)?)));
                ("task", json!({"tasks": step.count, "task": self.task(step.node), "call": call}))
            }
            Some(Node::Object { .. }) => ("object", self.object(step.node, pid)),
            Some(Node::Descriptor { want, .. }) => {
                let descriptor = graph.descriptor(step.node).map(DescriptorOut::new);
                ("descriptor", json!({"pid": pid, "wanted": want.name(), "descriptor": descriptor}))
            }
            Some(Node::End { file, want }) => {
                let device = file.device;
                ("end", json!({"device": device, "inode": file.inode, "wanted": want.name()}))
            }
            Some(Node::Process(pid)) => ("process", json!({"pid": pid})),
            Some(Node::Across(_)) => ("across", json!({"task": self.task(step.node)})),
            Some(Node::Exit(pid)) => ("exit", json!({"pid": pid})),
            Some(Node::Time(at)) => ("time", json!({"monotonic_ns": at})),
            Some(Node::Outside { .. }) => (
                "outside",
                json!({"pid": pid, "descriptor": graph.descriptor(step.node).map(DescriptorOut::new)}),
            ),
            None => ("unknown", Value::Null),
        };
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        Fact { kind, fields, text: self.words.step(step) }
    }

    fn object(&self, node: NodeId, pid: Option<u32>) -> Value {
        let graph = self.why.graph();
        let Some((snapshot, id, object)) = graph.object(node) else { return Value::Null };
        let channel = |channel: Channel| {
            json!({
                "element": channel.element.map(|id| snapshot.str(id)),
                "len": channel.len,
                "cap": channel.cap,
                "closed": channel.closed,
            })
        };
        let lock = |state: LockState| match state {
            LockState::Free => json!({"state": "free", "count": null}),
            LockState::Exclusive => json!({"state": "exclusive", "count": null}),
            LockState::Shared(n) => json!({"state": "shared", "count": n}),
            LockState::Outstanding(n) => json!({"state": "outstanding", "count": n}),
        };
        json!({
            "pid": pid,
            "object": object.kind.name(),
            "address": hex(object.address),
            "channel": object.channel.map(channel),
            "lock": object.lock.map(lock),
            "timer": snapshot.timer_of(id).map(|timer| TimerOut::new(snapshot, timer)),
            "context": graph.context(node).map(|context| ContextOut::new(snapshot, context)),
        })
    }

    fn cause(&self, node: NodeId, cause: &Cause) -> Fact {
        let (kind, fields) = match cause {
            Cause::Running => ("running", Value::Null),
            Cause::Runnable(workers) => {
                ("runnable", json!({"busy_workers": workers.map(|w| w.0), "workers": workers.map(|w| w.1)}))
            }
            Cause::WentOn => ("went-on", Value::Null),
            Cause::Time(at) => ("time", json!({"monotonic_ns": at})),
            Cause::SomeTime => ("some-time", Value::Null),
            Cause::InCall => ("in-call", Value::Null),
            Cause::Runtime => ("runtime", Value::Null),
            Cause::Outside => ("outside", Value::Null),
            Cause::Kernel => ("kernel", Value::Null),
            Cause::Terminal => ("terminal", Value::Null),
            Cause::Clients => ("clients", Value::Null),
            Cause::Events => ("events", Value::Null),
            Cause::Files => ("files", Value::Null),
            Cause::Signal => ("signal", Value::Null),
            Cause::BothWait => ("both-wait", Value::Null),
            Cause::NotAccepted => ("not-accepted", Value::Null),
            Cause::DeadEnd(dead) => ("dead-end", json!({"why": dead_end(*dead)})),
            Cause::Cycle { forever, open } => ("cycle", json!({"forever": forever, "open": open})),
            Cause::Unknown(why) => ("unknown", json!({"why": unknown(why)})),
        };
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        Fact { kind, fields, text: self.words.cause(node, cause) }
    }
}

impl<'a> TaskOut<'a> {
    fn new(pid: Option<u32>, snapshot: &'a Snapshot, task: &Task, why: &Why<'a>, node: NodeId) -> Self {
        TaskOut {
            pid,
            id: task.id,
            address: task.known_address().map(hex),
            state: task.state.name(),
            reason: task.reason.map(|id| snapshot.str(id)),
            age: task.age.into(),
            at: why.place(node).map(|frame| CreatorOut::of(snapshot, Some(frame))),
        }
    }
}

impl EdgeOut {
    fn new(edge: &Edge) -> Self {
        let (kind, detail) = edge_kind(edge.kind);
        let fd = if let EdgeKind::OpenAs(fd) = edge.kind { Some(fd) } else { None };
        EdgeOut { kind, detail, certainty: edge.certainty.name(), fd }
    }
}

/// The name of an edge in files, and what it says more.
fn edge_kind(kind: EdgeKind) -> (&'static str, Option<&'static str>) {
    match kind {
        EdgeKind::Waits(op) => ("waits", Some(op.name())),
        EdgeKind::Held(how) => ("held", Some(how.name())),
        EdgeKind::Acts(action) => ("acts", Some(action.name())),
        EdgeKind::Fires => ("fires", None),
        EdgeKind::Deadline => ("deadline", None),
        EdgeKind::Parent => ("parent", None),
        EdgeKind::FarEnd => ("far-end", None),
        EdgeKind::Listener => ("listener", None),
        EdgeKind::OpenAs(_) => ("open-as", None),
        EdgeKind::Serves => ("serves", None),
        EdgeKind::WaitsThere(op) => ("waits-there", Some(op.name())),
        EdgeKind::Only => ("only", None),
        EdgeKind::Main => ("main", None),
        EdgeKind::Leaves => ("leaves", None),
    }
}

fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Twice => "twice",
        Proof::Stopped => "stopped",
        Proof::Once => "once",
    }
}

fn dead_end(dead: Dead) -> &'static str {
    match dead {
        Dead::Nobody => "nobody",
        Dead::StoppedTimer => "stopped-timer",
        Dead::NilChannel => "nil-channel",
        Dead::NoCases => "no-cases",
        Dead::Leaked => "leaked",
    }
}

fn unknown(unknown: &Unknown) -> &'static str {
    match unknown {
        Unknown::Object => "object",
        Unknown::Holder => "holder",
        Unknown::Waker => "waker",
        Unknown::HandedOver => "handed-over",
        Unknown::Closed => "closed",
        Unknown::NotSearched => "not-searched",
        Unknown::SearchIncomplete => "search-incomplete",
        Unknown::Global => "global",
        Unknown::FarEnd => "far-end",
        Unknown::NoRights => "no-rights",
        Unknown::ProcessNotRead => "process-not-read",
        Unknown::WhichTask => "which-task",
        Unknown::Moved => "moved",
        Unknown::Because(_) => "because",
    }
}
