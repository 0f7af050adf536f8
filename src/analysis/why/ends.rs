//! Joins processes: who has the other end of what a task waits for.

use rustc_hash::{FxHashMap, FxHashSet};

use super::builder::Builder;
use super::cause::{is_listening, is_mailbox};
use super::graph::{EdgeKind, Graph, Node, NodeId, Want};
use super::system::{OpenEnd, OtherEnd};
use crate::snapshot::{
    Action, Begins, By, Certainty, Deadline, Descriptor, DescriptorKind, FileId, FunctionId, ObjectId,
    ObjectKind, Snapshot, SocketState, Task, TaskState, WaitOp,
};

/// At most this many holders of one end are named.
const HOLDERS: usize = 64;

/// What is looked up again and again.
struct Tables {
    /// Index of each process by pid.
    processes: FxHashMap<u32, u32>,
    /// Descriptors that are objects: process and number.
    objects: FxHashMap<(u32, u32), ObjectId>,
}

/// Adds the edges of descriptors, ends and processes.
pub(super) fn join(builder: &mut Builder<'_>) {
    let system = builder.graph.system;
    let mut objects = FxHashMap::default();
    for (process, seen) in (0..).zip(&system.processes) {
        for (id, object) in (0..).map(ObjectId).zip(&seen.first.objects) {
            let fd = u32::try_from(object.address).ok().filter(|_| object.kind == ObjectKind::Descriptor);
            objects.extend(fd.map(|fd| ((process, fd), id)));
        }
    }
    let tables = Tables {
        processes: (0..).zip(&system.processes).map(|(nth, seen)| (seen.pid, nth)).collect(),
        objects,
    };
    for node in std::mem::take(&mut builder.descriptors) {
        descriptor(builder, node);
    }
    // Ends and processes were made on the way; each is completed once.
    let mut nth = 0;
    while let Some(&node) = builder.graph.nodes.get(nth) {
        let id = NodeId(nth as u32);
        match node {
            Node::End { file, want } => end(builder, &tables, id, file, want),
            Node::Exit(pid) => exit(builder, &tables, id, pid),
            _ => {}
        }
        nth += 1;
    }
}

/// What is behind a descriptor that a task waits for.
fn descriptor(builder: &mut Builder<'_>, node: NodeId) {
    let Some(Node::Descriptor { process, object, want }) = builder.graph.node(node) else { return };
    let Some(descriptor) = builder.graph.descriptor(node) else { return };
    let deadline = match want {
        Want::Written | Want::Connected => descriptor.read_deadline,
        _ => descriptor.write_deadline,
    };
    let time = match (deadline, descriptor.kind, descriptor.expires_ns) {
        (_, DescriptorKind::Timer, Some(at)) => Some((at, EdgeKind::Fires)),
        (Deadline::At(at), ..) => Some((at, EdgeKind::Deadline)),
        _ => None,
    };
    if let Some((at, kind)) = time {
        let to = builder.node(Node::Time(at));
        builder.edge(node, to, kind, Certainty::Sure);
    }
    let still = builder.stills.get(process as usize);
    if !still.is_some_and(|still| still.descriptor(descriptor, want == Want::Written)) {
        builder.graph.moved += 1;
        return;
    }
    let leads = match descriptor.kind {
        DescriptorKind::Socket => socket(&builder.graph, node, want),
        DescriptorKind::Pipe | DescriptorKind::Fifo | DescriptorKind::File | DescriptorKind::Event => {
            descriptor.file.map(|file| (Node::End { file, want }, EdgeKind::FarEnd))
        }
        DescriptorKind::Process => descriptor.process.map(|pid| (Node::Exit(pid), EdgeKind::FarEnd)),
        DescriptorKind::Terminal => Some(match terminal(&builder.graph, descriptor) {
            Some(file) => (Node::End { file, want }, EdgeKind::FarEnd),
            None => (Node::Outside { process, object }, EdgeKind::Leaves),
        }),
        _ => None,
    };
    if let Some((to, kind)) = leads {
        let to = builder.node(to);
        builder.edge(node, to, kind, Certainty::Sure);
    }
}

/// The master of a terminal, if a process is known that has it.
fn terminal(graph: &Graph<'_>, descriptor: &Descriptor) -> Option<FileId> {
    match graph.peer(descriptor.file?)? {
        OtherEnd::Socket { file, .. } if !graph.system.ends.of(*file).is_empty() => Some(*file),
        _ => None,
    }
}

/// Where a socket leads to.
fn socket(graph: &Graph<'_>, node: NodeId, want: Want) -> Option<(Node, EdgeKind)> {
    let Some(Node::Descriptor { process, object, .. }) = graph.node(node) else { return None };
    let descriptor = graph.descriptor(node)?;
    // What comes to a socket without a connection may be of anybody.
    if want == Want::Connected || is_listening(descriptor) || want == Want::Written && is_mailbox(descriptor)
    {
        return None;
    }
    match graph.peer(descriptor.file?)? {
        OtherEnd::Socket { file, .. } => Some((Node::End { file: *file, want }, EdgeKind::FarEnd)),
        OtherEnd::NotAccepted { listener } => {
            Some((Node::End { file: *listener, want: Want::Accepted }, EdgeKind::Listener))
        }
        OtherEnd::Elsewhere | OtherEnd::Kernel => Some((Node::Outside { process, object }, EdgeKind::Leaves)),
        OtherEnd::Unknown(_) => None,
    }
}

/// Who has an end, and which of their tasks deal with it.
fn end(builder: &mut Builder<'_>, tables: &Tables, node: NodeId, file: FileId, want: Want) {
    let fits = |end: &&OpenEnd| {
        let unknown = !end.access.read && !end.access.write;
        unknown
            || match want {
                Want::Written => end.access.write,
                Want::Read => end.access.read,
                _ => true,
            }
    };
    // An end that is open for both may be there for the other direction.
    let mut holders: Vec<&OpenEnd> = builder.graph.system.ends.of(file).iter().filter(fits).collect();
    holders.sort_by_key(|end| (end.access.read && end.access.write, end.pid, end.fd));
    let mut pids: Vec<u32> = holders.iter().map(|end| end.pid).collect();
    let mut once = FxHashSet::default();
    pids.retain(|&pid| once.insert(pid));
    let only = pids.len() == 1;
    for pid in pids.into_iter().take(HOLDERS) {
        let fds = holders.iter().filter(|end| end.pid == pid).map(|end| end.fd);
        let of_process = if only { Certainty::Sure } else { Certainty::Perhaps };
        let process = tables.processes.get(&pid).copied();
        // Who waits for a counter does not raise it.
        if builder.graph.is_counter(file) && process.is_some_and(|process| waits_alone(builder, process)) {
            continue;
        }
        // A task that is alone in its process, and waits for nothing or for one thing, is the one.
        let single = process.and_then(|process| {
            let snapshot = builder.graph.snapshot(process)?;
            let [task] = snapshot.tasks.as_slice() else { return None };
            (snapshot.waits_of(task).len() <= 1).then(|| builder.graph.task_node(process, 0))?
        });
        if let Some(task) = single {
            builder.edge(node, task, EdgeKind::Only, of_process);
            continue;
        }
        let mut found = false;
        for fd in fds.clone().take(HOLDERS) {
            let object = process.and_then(|process| tables.objects.get(&(process, fd)));
            if let (Some(process), Some(&object)) = (process, object) {
                found |= tasks(builder, node, (process, object), want, only);
            }
        }
        if !found {
            let to = builder.node(Node::Process(pid));
            builder.edge(node, to, EdgeKind::OpenAs(fds.clone().next().unwrap_or(0)), of_process);
        }
    }
}

/// Whether a process has only one task, and that waits for descriptors.
fn waits_alone(builder: &Builder<'_>, process: u32) -> bool {
    let tasks = builder.graph.snapshot(process).map_or(0, |snapshot| snapshot.tasks.len());
    tasks == 1 && builder.waiters.iter().any(|&(of, ..)| of == process)
}

/// Adds the tasks of one process that deal with an end. Whether there were any.
fn tasks(
    builder: &mut Builder<'_>,
    node: NodeId,
    (process, object): (u32, ObjectId),
    want: Want,
    only: bool,
) -> bool {
    let Some(snapshot) = builder.graph.snapshot(process) else { return false };
    let mut found = false;
    for actor in snapshot.actors_of(object) {
        let By::Task(row) = actor.by else { continue };
        let serves = matches!(
            (actor.action, want),
            (Action::Unknown | Action::Close, _)
                | (Action::Send, Want::Written)
                | (Action::Receive, Want::Read | Want::Accepted)
        );
        let Some(to) = builder.graph.task_node(process, row).filter(|_| serves) else { continue };
        if !builder.stands(process, snapshot, row) && !is_ready(snapshot, row) {
            builder.graph.moved += 1;
            continue;
        }
        let certainty = if only { actor.certainty } else { Certainty::Perhaps };
        builder.edge(node, to, EdgeKind::Acts(actor.action), certainty);
        found = true;
    }
    found | waiters(builder, node, (process, object), want, found)
}

/// A task that runs or is about to.
fn is_ready(snapshot: &Snapshot, row: u32) -> bool {
    use TaskState::{Preempted, Runnable, Running};
    let state = snapshot.tasks.get(row as usize).map(|task| task.state);
    matches!(state, Some(Running | Runnable | Preempted))
}

/// Adds the tasks that wait at an end themselves. `known`: other tasks are known that deal with it.
fn waiters(
    builder: &mut Builder<'_>,
    node: NodeId,
    (process, object): (u32, ObjectId),
    want: Want,
    known: bool,
) -> bool {
    let is_shared = is_shared(builder.graph.descriptor_at(process, object));
    let start = builder.waiters.partition_point(|&(p, o, ..)| (p, o) < (process, object));
    let mut nth = start;
    let mut found = false;
    while let Some(&(p, o, task, wants)) = builder.waiters.get(nth).filter(|_| nth - start < HOLDERS) {
        if (p, o) != (process, object) {
            break;
        }
        nth += 1;
        let op = match wants {
            Want::Written => WaitOp::Read,
            Want::Read => WaitOp::Write,
            Want::Connected => WaitOp::Accept,
            _ => continue,
        };
        // The waiter at the far end does what has to be done, once it is possible.
        let serves = matches!(
            (op, want),
            (WaitOp::Write, Want::Written) | (WaitOp::Read, Want::Read) | (WaitOp::Accept, Want::Accepted)
        );
        if op == WaitOp::Read && holds_unread(builder, (process, object)) {
            builder.graph.moved += 1;
            continue;
        }
        if serves {
            builder.edge(node, task, EdgeKind::Serves, Certainty::Sure);
        } else if is_shared {
            // These wait for the same thing.
            continue;
        } else if !known {
            // Who waits for several things goes on with any of them.
            let waits = builder.graph.task(task).map_or(0, |(snapshot, task)| snapshot.waits_of(task).len());
            if waits > 1 {
                builder.edge(node, task, EdgeKind::WaitsThere(op), Certainty::Perhaps);
            }
            let across = builder.node(Node::Across(task));
            builder.edge(node, across, EdgeKind::WaitsThere(op), Certainty::Perhaps);
        }
        found |= serves || !known;
    }
    found
}

/// Whether all that have a descriptor open have the same thing, and not one of two ends: an event counter has no other
/// end, and who reads from a pipe is no writer of it, even if its descriptor is open for both.
fn is_shared(descriptor: Option<&Descriptor>) -> bool {
    use DescriptorKind::{Event, Fifo, File, Pipe};
    descriptor.is_some_and(|descriptor| matches!(descriptor.kind, Event | Fifo | File | Pipe))
}

/// Whether data has arrived at a descriptor that was not read yet: who waits for it there is about to go on.
fn holds_unread(builder: &Builder<'_>, (process, object): (u32, ObjectId)) -> bool {
    let descriptor = builder.graph.descriptor_at(process, object);
    let socket = descriptor.and_then(|descriptor| descriptor.socket.as_ref());
    socket.is_some_and(|socket| {
        socket.state != SocketState::Listen && socket.receive_queue.is_some_and(|bytes| bytes > 0)
    })
}

/// Which task ends a process.
fn exit(builder: &mut Builder<'_>, tables: &Tables, node: NodeId, pid: u32) {
    let Some(&process) = tables.processes.get(&pid) else { return };
    let Some(snapshot) = builder.graph.snapshot(process) else { return };
    let Some((row, kind)) = main_task(snapshot, pid) else { return };
    if let Some(task) = builder.graph.task_node(process, row) {
        builder.edge(node, task, kind, Certainty::Sure);
    }
}

/// Whether a task is the one whose end ends its process.
pub(super) fn is_main(graph: &Graph<'_>, id: NodeId) -> bool {
    let Some(Node::Task { process, row }) = graph.node(id) else { return false };
    let pid = graph.process(process).map(|seen| seen.pid);
    let main = pid.and_then(|pid| main_task(graph.snapshot(process)?, pid));
    main.is_some_and(|(main, _)| main == row)
}

/// The task whose end ends the process: the only one, or the one that runs the program's main function.
fn main_task(snapshot: &Snapshot, pid: u32) -> Option<(u32, EdgeKind)> {
    if let [_] = snapshot.tasks.as_slice() {
        return Some((0, EdgeKind::Only));
    }
    let begins = |id: FunctionId| {
        let function = snapshot.code.functions.get(id.index());
        function.is_some_and(|function| function.role.begins == Begins::Program)
    };
    let runs_main = |(_, task): &(u32, &Task)| {
        let outer = snapshot.stack_of(task).iter().rev().take(2);
        let mut frames = outer.filter_map(|id| snapshot.code.locations.get(id.index())?.frames.last());
        task.entry.is_some_and(begins) || frames.any(|frame| begins(frame.function))
    };
    let is_first = |(_, task): &(u32, &Task)| task.id == Some(u64::from(pid));
    let all = || (0..).zip(&snapshot.tasks);
    let found = all().find(runs_main).or_else(|| all().find(is_first));
    found.map(|(row, _)| (row, EdgeKind::Main))
}
