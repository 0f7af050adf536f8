//! One graph of who waits for what, across processes.

use rustc_hash::FxHashMap;

use super::still::Proof;
use super::system::{OtherEnd, SeenProcess, System};
use crate::snapshot::{
    Action, Certainty, Context, Descriptor, DescriptorKind, FileId, HoldKind, LocationId, ObjectId, Searched,
    Snapshot, Task, WaitObject, WaitOp,
};

/// A node, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Its position among the nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What waits, what is waited for, and who is to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Node {
    /// A task.
    Task {
        /// Its process, an index of [`System::processes`].
        process: u32,
        /// Its row in the first reading.
        row: u32,
    },
    /// A wait object that is no descriptor.
    Object {
        /// Its process.
        process: u32,
        /// The object in the first reading.
        object: ObjectId,
    },
    /// A descriptor, and what has to happen to it.
    Descriptor {
        /// Its process.
        process: u32,
        /// The object in the first reading.
        object: ObjectId,
        /// What has to happen.
        want: Want,
    },
    /// An end of a pipe or a connection, and what its holders have to do. All processes share it.
    End {
        /// What is open.
        file: FileId,
        /// What its holders have to do.
        want: Want,
    },
    /// A process that has an end, by its pid. Which of its tasks is to act is not known.
    Process(u32),
    /// A task that waits at the far end itself, by its node. It is not followed: it waits for what is asked about,
    /// perhaps among other things.
    Across(NodeId),
    /// The end of a process, by its pid.
    Exit(u32),
    /// Something outside of this machine, or a person, at the other end of a descriptor.
    Outside {
        /// The process that has the descriptor.
        process: u32,
        /// The object of the descriptor.
        object: ObjectId,
    },
    /// A moment on CLOCK_MONOTONIC, nanoseconds.
    Time(u64),
}

/// What has to happen to an open file so that a task can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Want {
    /// Someone has to write at the other end.
    Written,
    /// Someone has to read at the other end.
    Read,
    /// Someone has to connect.
    Connected,
    /// Someone has to accept the connection.
    Accepted,
    /// Someone has to release its lock.
    Released,
    /// Something has to happen that is not known more closely.
    Ready,
}

impl Want {
    /// What has to happen to a descriptor so that a task that does this can go on.
    pub(super) fn of(op: WaitOp) -> Self {
        match op {
            WaitOp::Read | WaitOp::Receive => Want::Written,
            WaitOp::Write | WaitOp::Send => Want::Read,
            WaitOp::Accept => Want::Connected,
            WaitOp::Connect => Want::Accepted,
            WaitOp::Lock | WaitOp::ReadLock => Want::Released,
            WaitOp::Wait | WaitOp::Resume => Want::Ready,
        }
    }

    /// Its name in files: "written".
    pub fn name(self) -> &'static str {
        match self {
            Want::Written => "written",
            Want::Read => "read",
            Want::Connected => "connected",
            Want::Accepted => "accepted",
            Want::Released => "released",
            Want::Ready => "ready",
        }
    }
}

/// From what waits to what it waits for, or from that to who acts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// What waits, or is waited for.
    pub from: NodeId,
    /// What is waited for, or who acts.
    pub to: NodeId,
    /// How they are connected.
    pub kind: EdgeKind,
    /// How sure that is.
    pub certainty: Certainty,
    /// The location on the stack of the task that acts, if known.
    pub location: Option<LocationId>,
}

/// How two nodes are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EdgeKind {
    /// A task waits for it.
    Waits(WaitOp),
    /// A task holds it.
    Held(HoldKind),
    /// A task, or a function that a timer calls, is going to act on it.
    Acts(Action),
    /// A timer fires then.
    Fires,
    /// A deadline passes then: of the descriptor, or of the context.
    Deadline,
    /// The parent of a context: with it, the context is cancelled.
    Parent,
    /// The end at which something has to happen.
    FarEnd,
    /// The connection was not accepted yet: the socket that listens for it.
    Listener,
    /// A process has it open, as this descriptor.
    OpenAs(u32),
    /// A task writes to it now, or is in a call that reads from it.
    Serves,
    /// A task waits at that end, too.
    WaitsThere(WaitOp),
    /// It is the only task of the process.
    Only,
    /// The main task of the process: the process ends with it.
    Main,
    /// The other end is not on this machine, or it is a person.
    Leaves,
}

/// Nodes and edges.
#[derive(Debug)]
pub struct Graph<'a> {
    pub(super) system: &'a System,
    pub(super) nodes: Vec<Node>,
    /// Ascending by `from`; of one node the surest first.
    pub(super) edges: Vec<Edge>,
    /// Where the edges of each node begin, and one more.
    pub(super) starts: Vec<u32>,
    /// The first task and the first object of each process.
    pub(super) bases: Vec<(u32, u32)>,
    /// The other ends of sockets.
    pub(super) peers: FxHashMap<FileId, &'a OtherEnd>,
    /// Contexts by process and object: their rows.
    pub(super) contexts: FxHashMap<(u32, ObjectId), u32>,
    /// How actors were looked for, by process and object, in both readings together.
    pub(super) searched: FxHashMap<(u32, ObjectId), Searched>,
    /// Nodes that are no tasks and no objects.
    pub(super) others: FxHashMap<Node, NodeId>,
    /// How far the data of each process can be taken together.
    pub(super) proofs: Vec<Proof>,
    /// Tasks that went on between the readings, by node.
    pub(super) moving: Vec<bool>,
    /// Nodes that can go on, as far as it is known.
    pub(super) alive: Vec<bool>,
    /// How much hope there is for each node, see `chain`. 0 is the most.
    pub(super) hopes: Vec<u8>,
    /// How many tasks wait for each node.
    pub(super) waiters: Vec<u64>,
    /// Edges that were left out because something moved.
    pub(super) moved: u64,
}

impl<'a> Graph<'a> {
    /// What it was made of.
    pub fn system(&self) -> &'a System {
        self.system
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// There is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<Node> {
        self.nodes.get(id.index()).copied()
    }

    /// The node of a task.
    pub fn task_node(&self, process: u32, row: u32) -> Option<NodeId> {
        let (tasks, objects) = *self.bases.get(process as usize)?;
        let id = tasks.checked_add(row).filter(|&id| id < objects)?;
        Some(NodeId(id))
    }

    /// The edges of a node, the surest first.
    pub fn edges_of(&self, id: NodeId) -> &[Edge] {
        let at = |nth: usize| self.starts.get(nth).map_or(self.edges.len(), |&at| at as usize);
        self.edges.get(at(id.index())..at(id.index() + 1)).unwrap_or_default()
    }

    /// Every edge.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The process with this index.
    pub fn process(&self, process: u32) -> Option<&'a SeenProcess> {
        self.system.processes.get(process as usize)
    }

    /// The process with this pid, if it was read.
    pub fn by_pid(&self, pid: u32) -> Option<u32> {
        self.system.processes.iter().position(|process| process.pid == pid).map(|at| at as u32)
    }

    /// The reading that the nodes of a process refer to.
    pub fn snapshot(&self, process: u32) -> Option<&'a Snapshot> {
        self.process(process).map(|process| &*process.first)
    }

    /// How far the data of a process can be taken together.
    pub fn proof(&self, process: u32) -> Proof {
        self.proofs.get(process as usize).copied().unwrap_or(Proof::Once)
    }

    /// The snapshot and the task of a node that is a task, or a task across.
    pub fn task(&self, id: NodeId) -> Option<(&'a Snapshot, &'a Task)> {
        let mut node = self.node(id)?;
        if let Node::Across(task) = node {
            node = self.node(task)?;
        }
        let Node::Task { process, row } = node else { return None };
        let snapshot = self.snapshot(process)?;
        Some((snapshot, snapshot.tasks.get(row as usize)?))
    }

    /// The snapshot and the object of a node that is one.
    pub fn object(&self, id: NodeId) -> Option<(&'a Snapshot, ObjectId, &'a WaitObject)> {
        let (Node::Object { process, object }
        | Node::Descriptor { process, object, .. }
        | Node::Outside { process, object }) = self.node(id)?
        else {
            return None;
        };
        let snapshot = self.snapshot(process)?;
        Some((snapshot, object, snapshot.objects.get(object.index())?))
    }

    /// The descriptor of a node that is one.
    pub fn descriptor(&self, id: NodeId) -> Option<&'a Descriptor> {
        let (snapshot, _, object) = self.object(id)?;
        snapshot.descriptor_of(object)
    }

    /// The descriptor that an object of a process is.
    pub(super) fn descriptor_at(&self, process: u32, object: ObjectId) -> Option<&'a Descriptor> {
        let snapshot = self.snapshot(process)?;
        snapshot.descriptor_of(snapshot.objects.get(object.index())?)
    }

    /// The other end of a socket, or the master of a terminal.
    pub fn peer(&self, file: FileId) -> Option<&'a OtherEnd> {
        self.peers.get(&file).copied()
    }

    /// Whether what is open is an event counter, which has no other end.
    pub fn is_counter(&self, file: FileId) -> bool {
        let of_file = |descriptor: &Descriptor| {
            descriptor.file == Some(file) && descriptor.kind == DescriptorKind::Event
        };
        self.system.processes.iter().any(|seen| seen.first.links.descriptors.iter().any(of_file))
    }

    /// How actors of an object were looked for. None: they were not.
    pub fn searched(&self, id: NodeId) -> Option<Searched> {
        let Node::Object { process, object } = self.node(id)? else { return None };
        self.searched.get(&(process, object)).copied()
    }

    /// The context that closes the channel of a node.
    pub fn context(&self, id: NodeId) -> Option<&'a Context> {
        let Node::Object { process, object } = self.node(id)? else { return None };
        let row = *self.contexts.get(&(process, object))?;
        self.snapshot(process)?.links.contexts.get(row as usize)
    }

    /// The process that a node belongs to, if it belongs to one that was read.
    pub fn process_of(&self, id: NodeId) -> Option<u32> {
        match self.node(id)? {
            Node::Task { process, .. }
            | Node::Object { process, .. }
            | Node::Descriptor { process, .. }
            | Node::Outside { process, .. } => Some(process),
            Node::Across(task) => match self.node(task)? {
                Node::Task { process, .. } => Some(process),
                _ => None,
            },
            Node::Process(pid) | Node::Exit(pid) => self.by_pid(pid),
            Node::End { .. } | Node::Time(_) => None,
        }
    }

    /// Whether a node can go on: it runs, time or someone outside lets it go on, or nobody knows. If not, it waits
    /// for ever.
    pub fn is_alive(&self, id: NodeId) -> bool {
        self.alive.get(id.index()).copied().unwrap_or(true)
    }

    /// Whether a task went on between the readings.
    pub fn is_moving(&self, id: NodeId) -> bool {
        self.moving.get(id.index()).copied().unwrap_or(false)
    }

    /// How many tasks wait for a node.
    pub fn waiters(&self, id: NodeId) -> u64 {
        self.waiters.get(id.index()).copied().unwrap_or(0)
    }

    /// Edges that were left out because something moved between the readings.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// How far the data of all processes can be taken together.
    pub fn weakest_proof(&self) -> Proof {
        let several = self.proofs.len() > 1;
        let weak = |proof: Proof| if several && proof == Proof::Stopped { Proof::Once } else { proof };
        self.proofs.iter().map(|&proof| weak(proof)).max().unwrap_or(Proof::Once)
    }

    /// When everything held together, nanoseconds since the Unix epoch, and how long it stood still at least: the
    /// last of the first readings had ended, and the first of the second ones had not begun. None if unknown.
    pub fn held_together(&self) -> Option<(u64, u64)> {
        if self.weakest_proof() != Proof::Twice {
            return None;
        }
        let (mut ended, mut began): (Option<u64>, Option<u64>) = (None, None);
        for seen in &self.system.processes {
            let first = &seen.first.header;
            let end = first.taken_at_ns?.saturating_add(first.reading.duration_ns);
            let begin = seen.second.as_ref()?.header.taken_at_ns?;
            ended = Some(ended.map_or(end, |known| known.max(end)));
            began = Some(began.map_or(begin, |known| known.min(begin)));
        }
        let (ended, began) = (ended?, began?);
        Some((ended, began.checked_sub(ended)?))
    }

    /// Every task with its node.
    pub fn tasks(&self) -> impl Iterator<Item = (NodeId, &'a Task)> {
        let all = (0..).zip(&self.nodes).filter(|(_, node)| matches!(node, Node::Task { .. }));
        all.filter_map(|(id, _)| Some((NodeId(id), self.task(NodeId(id))?.1)))
    }
}

/// The order in which the edges of one node are followed.
pub(super) fn rank(edge: &Edge) -> (Certainty, EdgeKind, NodeId) {
    (edge.certainty, edge.kind, edge.to)
}
