//! Which task created which, with counts rolled up.

use std::cmp::Reverse;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use super::CpuTable;
use crate::analysis::frames::{creator_frame, frame_name, shown_frames};
use crate::dashboard::query::CreatorSort;
use crate::session::record::CpuNs;
use crate::snapshot::{Frame, FunctionId, FunctionKind, Snapshot, Task};

/// At most this many generations are kept; a longer line of ancestors is cut here.
const DEEPEST: usize = 64;
/// At most this many nodes are kept; further tasks are counted with their ancestors.
const MAX_NODES: usize = 50_000;

/// The tree in preorder: a node's descendants follow it, up to [`TreeNode::end`].
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Its nodes.
    pub nodes: Vec<TreeNode>,
}

/// Tasks with the same line of ancestors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeNode {
    /// The same in every picture.
    pub key: u64,
    /// Generations above it.
    pub depth: u16,
    /// The function that they were started with. Raw from the target, like the other texts.
    pub name: String,
    /// File and line of the place that created them.
    pub place: String,
    /// The function that created them; only set if their parents have ended.
    pub creator: String,
    /// How many tasks.
    pub own: u64,
    /// How many tasks, descendants included.
    pub total: u64,
    /// CPU time of its tasks. None if it is not sampled, or cannot be known.
    pub cpu: Option<CpuNs>,
    /// The same, descendants included.
    pub total_cpu: Option<CpuNs>,
    /// The node after its last descendant.
    pub end: usize,
}

/// A node under construction: the function that its tasks were started with, and where they were created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    parent: u32,
    entry: Option<FunctionId>,
    creator: Option<Frame>,
}

impl TreeNode {
    /// Whether nothing is below it.
    pub fn is_leaf(&self, at: usize) -> bool {
        self.end == at + 1
    }
}

/// No parent, no node yet.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Draft {
    kind: Kind,
    depth: usize,
    own: u64,
    total: u64,
    cpu: Option<CpuNs>,
    total_cpu: Option<CpuNs>,
    children: Vec<u32>,
}

/// Puts the selected tasks into a tree. It omits ancestors that are not selected.
pub(super) fn tree(snapshot: &Snapshot, selected: &[u32], cpu: Option<&CpuTable>, sort: CreatorSort) -> Tree {
    let mut planter = Planter {
        snapshot,
        cpu,
        sort,
        by_id: FxHashMap::default(),
        node_of: vec![NONE; snapshot.tasks.len()],
        nodes: Vec::new(),
        by_kind: FxHashMap::default(),
        entries: vec![None; snapshot.code.stacks.len()],
    };
    let with_id = |&index: &u32| {
        let task = snapshot.tasks.get(index as usize)?;
        Some(((task.runtime, task.id?), index))
    };
    planter.by_id = selected.iter().filter_map(with_id).collect();
    for &index in selected {
        let node = planter.node(index);
        if let Some(draft) = planter.nodes.get_mut(node as usize) {
            let task = snapshot.tasks.get(index as usize);
            draft.own = draft.own.saturating_add(task.map_or(0, Task::count));
            draft.cpu = sum(draft.cpu, cpu.zip(task).and_then(|(cpu, task)| cpu.of(task, index)));
        }
    }
    planter.finish()
}

/// The sum of two times. None if one is not known.
fn sum(a: Option<CpuNs>, b: Option<CpuNs>) -> Option<CpuNs> {
    [a, b].into_iter().sum()
}

struct Planter<'a> {
    snapshot: &'a Snapshot,
    cpu: Option<&'a CpuTable>,
    sort: CreatorSort,
    /// Tasks by runtime and id.
    by_id: FxHashMap<(u8, u64), u32>,
    /// The node of each task.
    node_of: Vec<u32>,
    nodes: Vec<Draft>,
    by_kind: FxHashMap<Kind, u32>,
    /// The outermost function of each stack, once it is known.
    entries: Vec<Option<Option<FunctionId>>>,
}

impl Planter<'_> {
    /// The node of a task; creates it and the nodes of its ancestors.
    fn node(&mut self, index: u32) -> u32 {
        // From the task up to an ancestor whose node is known, or whose parent has ended.
        let mut line = Vec::new();
        let mut at = index;
        let mut parent = NONE;
        while line.len() < DEEPEST {
            match self.node_of.get(at as usize) {
                Some(&NONE) => {}
                Some(&known) => {
                    parent = known;
                    break;
                }
                None => break,
            }
            line.push(at);
            let Some(task) = self.snapshot.tasks.get(at as usize) else { break };
            let next = task.parent.and_then(|id| self.by_id.get(&(task.runtime, id)).copied());
            // A task cannot be its own ancestor; a program that claims so gets no loop.
            match next {
                Some(next) if !line.contains(&next) => at = next,
                _ => break,
            }
        }
        for &member in line.iter().rev() {
            parent = self.child(parent, member);
            if let Some(slot) = self.node_of.get_mut(member as usize) {
                *slot = parent;
            }
        }
        parent
    }

    /// The node below `parent` that a task belongs to.
    fn child(&mut self, parent: u32, index: u32) -> u32 {
        let Some(task) = self.snapshot.tasks.get(index as usize) else { return parent };
        let depth = self.nodes.get(parent as usize).map_or(0, |draft| draft.depth + 1);
        let full = self.nodes.len() >= MAX_NODES || depth >= DEEPEST;
        let kind = Kind {
            parent,
            entry: self.entry(task),
            creator: task.creator.and_then(|id| creator_frame(self.snapshot, id)),
        };
        match self.by_kind.get(&kind) {
            Some(&node) => return node,
            None if full && parent != NONE => return parent,
            None => {}
        }
        let node = self.nodes.len() as u32;
        let none = self.cpu.map(|_| CpuNs::default());
        self.nodes.push(Draft {
            kind,
            depth,
            own: 0,
            total: 0,
            cpu: none,
            total_cpu: none,
            children: Vec::new(),
        });
        self.by_kind.insert(kind, node);
        if let Some(draft) = self.nodes.get_mut(parent as usize) {
            draft.children.push(node);
        }
        node
    }

    /// The function that a task was started with, or else the outermost one on its stack.
    fn entry(&mut self, task: &Task) -> Option<FunctionId> {
        // The compiler's adapters and the runtime's own first function say nothing.
        let kind =
            |id: FunctionId| self.snapshot.code.functions.get(id.index()).map(|function| function.kind);
        if task.entry.is_some_and(|id| kind(id) == Some(FunctionKind::Normal)) {
            return task.entry;
        }
        let slot = task.stack.and_then(|stack| self.entries.get_mut(stack.index()));
        let outermost = slot.and_then(|slot| {
            *slot.get_or_insert_with(|| {
                let shown = shown_frames(self.snapshot, self.snapshot.stack_of(task), false);
                shown.last().map(|f| f.frame.function)
            })
        });
        outermost.or(task.entry)
    }

    fn finish(mut self) -> Tree {
        // Children have higher numbers than their parents.
        for node in (0..self.nodes.len()).rev() {
            let Some(draft) = self.nodes.get_mut(node) else { continue };
            draft.total = draft.total.saturating_add(draft.own);
            draft.total_cpu = sum(draft.total_cpu, draft.cpu);
            let (total, cpu, parent) = (draft.total, draft.total_cpu, draft.kind.parent);
            if let Some(parent) = self.nodes.get_mut(parent as usize) {
                parent.total = parent.total.saturating_add(total);
                parent.total_cpu = sum(parent.total_cpu, cpu);
            }
        }
        let roots = (0..self.nodes.len() as u32)
            .filter(|&node| self.nodes.get(node as usize).is_some_and(|draft| draft.kind.parent == NONE));
        let mut tree = Tree::default();
        for root in self.sorted(roots.collect()) {
            self.place(root, 0, &mut tree);
        }
        tree
    }

    fn sorted(&self, mut nodes: Vec<u32>) -> Vec<u32> {
        let by_cpu = self.sort == CreatorSort::Cpu;
        let order = |node: u32| {
            let draft = self.nodes.get(node as usize);
            let cpu = draft.and_then(|draft| draft.total_cpu).filter(|_| by_cpu);
            (cpu.map(|cpu| cpu.window), draft.map_or(0, |draft| draft.total))
        };
        nodes.sort_by_key(|&node| (Reverse(order(node)), node));
        nodes
    }

    /// Writes a node and its descendants: at most [`DEEPEST`] generations.
    fn place(&self, node: u32, above: u64, tree: &mut Tree) {
        let Some(draft) = self.nodes.get(node as usize) else { return };
        let snapshot = self.snapshot;
        let name = draft.kind.entry.map(|id| snapshot.function_name(id)).filter(|name| !name.is_empty());
        let name = name.unwrap_or("(function unknown)").to_owned();
        let frame = draft.kind.creator;
        let place = frame.map(|f| (snapshot.str(f.file), f.line)).filter(|(file, _)| !file.is_empty());
        let place = place.map(|(file, line)| format!("{}:{line}", file.rsplit('/').next().unwrap_or(file)));
        let place = place.unwrap_or_default();
        let creator = frame.map(|f| frame_name(snapshot, f).into_owned()).unwrap_or_default();
        let mut hasher = FxHasher::default();
        (above, &name, &place, &creator).hash(&mut hasher);
        let key = hasher.finish();
        let at = tree.nodes.len();
        let (depth, own, total) = (draft.depth as u16, draft.own, draft.total);
        let (cpu, total_cpu) = (draft.cpu, draft.total_cpu);
        tree.nodes.push(TreeNode { key, depth, name, place, creator, own, total, cpu, total_cpu, end: 0 });
        for child in self.sorted(draft.children.clone()) {
            self.place(child, key, tree);
        }
        let end = tree.nodes.len();
        if let Some(node) = tree.nodes.get_mut(at) {
            node.end = end;
        }
    }
}
