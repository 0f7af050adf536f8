//! The tree, in preorder: a node's descendants follow it, up to [`Node::end`].

use std::cmp::Reverse;

use super::Weight;
use super::collect::{Side, Stack, Stacks, Totals};
use super::names::{Name, NameId};
use super::reason::{Doing, Reason};
use crate::snapshot::{Age, TaskState};

/// At most this many nodes are kept. Stacks that need more are counted where they leave the tree.
const MAX_NODES: usize = 1 << 22;

/// Index into [`Flame::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The row of all tasks.
    pub const ALL: NodeId = NodeId(0);

    /// The position in its table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Index into [`Flame::reasons`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReasonId(pub u32);

/// Tasks added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// How many.
    pub count: u64,
    /// What they weigh, in the unit of [`Flame::weight`].
    pub weight: u64,
    /// The longest known time that one of them has been in its state.
    pub oldest: Age,
}

impl Figures {
    fn add(&mut self, other: Figures) {
        self.count = self.count.saturating_add(other.count);
        self.weight = self.weight.saturating_add(other.weight);
        let (mine, others) = (self.oldest.nanos(), other.oldest.nanos());
        // If both are equal, the lower bound wins: it may be longer.
        if others > mine || others == mine && matches!(other.oldest, Age::AtLeast(_)) {
            self.oldest = other.oldest;
        }
    }
}

/// A function called by its parent (or, reversed, calling it), or a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NameId,
    /// Its parent; the row of all tasks is its own.
    pub parent: NodeId,
    /// Rows below it: 0 for the row of all tasks.
    pub depth: u32,
    /// The node after its last descendant.
    pub end: NodeId,
    /// How wide it is. Its weight; in a difference, the sum over its stacks of the larger of both weights, so
    /// that vanished stacks stay visible.
    pub width: u64,
    /// The tasks whose stacks go through it.
    pub now: Figures,
    /// Their reasons, in [`Flame::ends`].
    ends: (u32, u32),
}

/// Tasks whose stacks end at one node and that have the same reason.
#[derive(Debug, Clone, Copy)]
struct End {
    node: NodeId,
    reason: ReasonId,
    side: Side,
    figures: Figures,
}

/// Weighted stacks as a tree.
#[derive(Debug, Clone)]
pub struct Flame {
    /// Every name once, in alphabetical order. Raw from the target: escape before printing.
    pub names: Vec<Name>,
    /// Every wait reason, or state if there is none.
    pub reasons: Vec<Reason>,
    /// The tree in preorder, children by name. There is always the row of all tasks.
    pub nodes: Vec<Node>,
    /// The unit of weights.
    pub weight: Weight,
    /// What was counted.
    pub totals: Totals,
    /// What was counted in the earlier snapshot, if this is a difference.
    pub was_totals: Option<Totals>,
    /// Frames left out because there were too many.
    pub left_out: u64,
    /// The figures of each node in the earlier snapshot; empty if there is none.
    was: Vec<Figures>,
    ends: Vec<End>,
}

impl Flame {
    /// A node. The row of all tasks for an id out of range.
    pub fn node(&self, id: NodeId) -> &Node {
        // The first node always exists.
        self.nodes.get(id.index()).unwrap_or(&self.nodes[0])
    }

    /// The name of a node.
    pub fn name(&self, id: NodeId) -> &Name {
        static NONE: Name = Name {
            text: String::new(),
            kind: super::NameKind::Row,
            package: String::new(),
            file: String::new(),
            own: false,
        };
        self.names.get(self.node(id).name.index()).unwrap_or(&NONE)
    }

    /// All nodes, in preorder.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The children of a node, by name.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let end = self.node(id).end;
        let mut next = NodeId(id.0.saturating_add(1));
        std::iter::from_fn(move || {
            let child = next;
            next = self.nodes.get(child.index()).filter(|_| child < end)?.end;
            Some(child)
        })
    }

    /// It compares two snapshots.
    pub fn is_difference(&self) -> bool {
        self.was_totals.is_some()
    }

    /// The figures of a node in the earlier snapshot.
    pub fn was(&self, id: NodeId) -> Figures {
        self.was.get(id.index()).copied().unwrap_or_default()
    }

    /// Why the tasks of a node wait, or their states, each with its number of tasks (or its time, if that is the unit
    /// of weights); the most frequent first. For a node that is gone: as in the earlier snapshot.
    pub fn reasons_of(&self, id: NodeId) -> Vec<(ReasonId, u64)> {
        let node = self.node(id);
        let side = if node.now.count == 0 { Side::Was } else { Side::Now };
        let ends = self.ends.get(node.ends.0 as usize..node.ends.1 as usize).unwrap_or_default();
        let mut by_reason = vec![0_u64; self.reasons.len()];
        for end in ends.iter().filter(|end| end.side == side) {
            if let Some(count) = by_reason.get_mut(end.reason.0 as usize) {
                let time = self.weight == Weight::Time;
                *count = count.saturating_add(if time { end.figures.weight } else { end.figures.count });
            }
        }
        let counts = (0..).map(ReasonId).zip(by_reason);
        let mut counts: Vec<_> = counts.filter(|&(_, count)| count > 0).collect();
        counts.sort_by_key(|&(reason, count)| (Reverse(count), self.reason(reason)));
        counts
    }

    /// The text of a reason.
    pub fn reason(&self, id: ReasonId) -> &str {
        self.reasons.get(id.0 as usize).map_or("", |reason| reason.text.as_str())
    }

    /// What tasks with this reason do.
    pub fn doing(&self, id: ReasonId) -> Doing {
        self.reasons.get(id.0 as usize).map_or(Doing::State(TaskState::Unknown), |reason| reason.doing)
    }

    /// The stacks in the order of the tree: the last node of each, and what ends there now and in the earlier
    /// snapshot.
    pub fn stacks(&self) -> impl Iterator<Item = (NodeId, Figures, Figures)> + '_ {
        self.ends.chunk_by(|a, b| a.node == b.node).filter_map(|ends| {
            let (mut now, mut was) = (Figures::default(), Figures::default());
            for end in ends {
                match end.side {
                    Side::Now => now.add(end.figures),
                    Side::Was => was.add(end.figures),
                }
            }
            Some((ends.first()?.node, now, was))
        })
    }

    /// The nodes from the first row to a node, without the row of all tasks; for that row, the row alone.
    pub fn path(&self, id: NodeId) -> Vec<NodeId> {
        let mut path = Vec::new();
        let mut at = id;
        while at != NodeId::ALL {
            path.push(at);
            at = self.node(at).parent;
        }
        if path.is_empty() {
            path.push(NodeId::ALL);
        }
        path.reverse();
        path
    }
}

/// Builds the tree from stacks in any order.
pub(super) fn build(stacks: Stacks, weight: Weight, difference: bool) -> Flame {
    build_within(MAX_NODES, stacks, weight, difference)
}

/// Builds a tree of no more than `max` nodes.
pub(super) fn build_within(max: usize, mut stacks: Stacks, weight: Weight, difference: bool) -> Flame {
    let ranks = ranks(&stacks.paths);
    let rank = |stack: &Stack| ranks.get(stack.path as usize).copied().unwrap_or_default();
    stacks.stacks.sort_by_key(|stack| (stack.rows, rank(stack), stack.side, stack.reason));
    let mut maker = Maker::new(stacks.all, max);
    let mut last: Option<(&Stack, &[NameId])> = None;
    for stack in &stacks.stacks {
        let path = stacks.paths.get(stack.path as usize).map_or(&[][..], Vec::as_slice);
        let shared = match last {
            Some((last, above)) if last.rows == stack.rows => {
                stack.rows.names().count() + common(above, path)
            }
            Some((last, _)) => stack.rows.shared(last.rows),
            None => 0,
        };
        maker.add(stack, path, shared);
        last = Some((stack, path));
    }
    maker.close(0);
    let mut flame = Flame {
        names: stacks.names,
        reasons: stacks.reasons,
        nodes: maker.nodes,
        weight,
        totals: stacks.now,
        was_totals: difference.then_some(stacks.was),
        left_out: maker.left_out,
        was: Vec::new(),
        ends: maker.ends,
    };
    add_up(&mut flame);
    flame
}

/// For each path its alphabetical rank; equal paths share a rank.
fn ranks(paths: &[Vec<NameId>]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..paths.len() as u32).collect();
    let path = |nth: u32| paths.get(nth as usize);
    order.sort_unstable_by(|&a, &b| path(a).cmp(&path(b)));
    let mut ranks = vec![0; paths.len()];
    let mut rank = 0;
    let mut last = None;
    for nth in order {
        rank += u32::from(last.is_some_and(|last| path(last) != path(nth)));
        last = Some(nth);
        if let Some(slot) = ranks.get_mut(nth as usize) {
            *slot = rank;
        }
    }
    ranks
}

/// How many leading names two paths share.
fn common(a: &[NameId], b: &[NameId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Lays nodes out in preorder, from stacks in the order of their names.
struct Maker {
    nodes: Vec<Node>,
    ends: Vec<End>,
    /// From the row of all tasks to the last node that was added.
    open: Vec<NodeId>,
    max: usize,
    left_out: u64,
}

impl Maker {
    fn new(all: NameId, max: usize) -> Self {
        let mut maker = Maker { nodes: Vec::new(), ends: Vec::new(), open: Vec::new(), max, left_out: 0 };
        maker.open_node(all);
        maker
    }

    /// Adds a stack of rows with frames above them. Its first `shared` names are those of the stack before.
    fn add(&mut self, stack: &Stack, path: &[NameId], shared: usize) {
        self.close(shared + 1);
        let names = stack.rows.names().chain(path.iter().copied());
        for (nth, name) in names.enumerate().skip(self.open.len().saturating_sub(1)) {
            if self.nodes.len() < self.max {
                self.open_node(name);
            } else {
                self.left_out += u64::from(nth >= shared);
            }
        }
        self.ends.push(End {
            node: self.open.last().copied().unwrap_or_default(),
            reason: ReasonId(stack.reason),
            side: stack.side,
            figures: Figures { count: stack.count, weight: stack.weight, oldest: stack.oldest },
        });
    }

    fn open_node(&mut self, name: NameId) {
        let id = NodeId(self.nodes.len() as u32);
        let ends = self.ends.len() as u32;
        self.nodes.push(Node {
            name,
            parent: self.open.last().copied().unwrap_or_default(),
            depth: self.open.len() as u32,
            end: id,
            width: 0,
            now: Figures::default(),
            ends: (ends, ends),
        });
        self.open.push(id);
    }

    /// Ends all open nodes but the first `keep`.
    fn close(&mut self, keep: usize) {
        let (end, ends) = (NodeId(self.nodes.len() as u32), self.ends.len() as u32);
        while self.open.len() > keep {
            if let Some(node) = self.open.pop().and_then(|id| self.nodes.get_mut(id.index())) {
                node.end = end;
                node.ends.1 = ends;
            }
        }
    }
}

/// Adds the figures of the stacks to their nodes, and those of the nodes to their parents.
fn add_up(flame: &mut Flame) {
    if flame.is_difference() {
        flame.was = vec![Figures::default(); flame.nodes.len()];
    }
    let own: Vec<_> = flame.stacks().collect();
    for (id, now, was) in own {
        if let Some(node) = flame.nodes.get_mut(id.index()) {
            node.now.add(now);
            node.width = node.width.saturating_add(now.weight.max(was.weight));
        }
        if let Some(figures) = flame.was.get_mut(id.index()) {
            figures.add(was);
        }
    }
    // Descendants come after their ancestors.
    for nth in (1..flame.nodes.len()).rev() {
        let Some(&Node { parent, now, width, .. }) = flame.nodes.get(nth) else { continue };
        if let Some(parent) = flame.nodes.get_mut(parent.index()) {
            parent.now.add(now);
            parent.width = parent.width.saturating_add(width);
        }
        let was = flame.was(NodeId(nth as u32));
        if let Some(parent) = flame.was.get_mut(parent.index()) {
            parent.add(was);
        }
    }
}
