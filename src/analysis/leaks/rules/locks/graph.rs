//! The wait-for graph: tasks, the locks that they wait for, and the tasks that hold these locks.
//!
//! A node is a task, or one side of a lock: its write side or its read side. A task has an edge to the side at
//! which it waits. A side has edges to all tasks that must go on before a waiter there can. A writer waits for
//! every reader, so all edges of a cycle count the same: all tasks of a cycle wait for each other.

use rustc_hash::{FxHashMap, FxHashSet};

use super::tarjan::components;
use crate::snapshot::{
    HoldKind, LocationId, LockState, ObjectId, ObjectKind, Snapshot, Task, TaskState, Wait, WaitOp,
};

/// A short path around a cycle is searched from this many of its tasks, or from fewer if the cycle is so large
/// that this many steps would not suffice.
const STARTS: usize = 16;
const STEPS: usize = 100_000;

/// A task that holds a lock, or may hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Index into the tasks of the snapshot.
    pub(super) task: u32,
    pub(super) how: HoldKind,
    /// The place on its stack from which it will unlock the lock.
    pub(super) location: Option<LocationId>,
}

impl Held {
    /// It has a guard of the lock in a variable: a guess, but a better one than an address on a stack.
    pub(super) fn is_guard(&self) -> bool {
        self.how == HoldKind::Perhaps && self.location.is_some()
    }
}

/// A lock that tasks wait for.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) kind: ObjectKind,
    pub(super) address: u64,
    pub(super) state: Option<LockState>,
    /// The holders, in the order of the tasks.
    pub(super) holders: Vec<Held>,
    /// The possible holders, in the order of the tasks.
    pub(super) perhaps: Vec<Held>,
    /// Nodes of tasks that wait to lock it.
    writers: Vec<usize>,
}

/// Tasks that wait for each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cycle {
    /// A short path around the cycle. Each task waits for the next one, the last one for the first.
    pub(super) steps: Vec<Step>,
    /// All tasks on such a path: indices into the tasks of the snapshot, ascending.
    pub(super) tasks: Vec<u32>,
}

/// A task of a cycle, and what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Index into the tasks of the snapshot.
    pub(super) task: u32,
    pub(super) lock: ObjectId,
    /// It wants the lock for reading.
    pub(super) reads: bool,
    /// How the next one holds it. None: it waits to lock it, and readers must wait behind it.
    pub(super) held: Option<Held>,
}

/// The task at the end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Index into the tasks of the snapshot.
    pub(super) task: u32,
    /// How many locks are on the way to it.
    pub(super) locks: usize,
    /// It waits for a lock, too, and the holder of that lock is not known.
    pub(super) waits: bool,
}

/// Which task waits for which.
#[derive(Debug)]
pub(super) struct Graph {
    /// Tasks that wait for a lock or hold one, ascending: the first nodes.
    tasks: Vec<u32>,
    /// For each of them the node where it waits.
    waits_at: Vec<Option<usize>>,
    /// The locks that tasks wait for, in the order of their addresses.
    locks: Vec<(ObjectId, Lock)>,
    by_object: FxHashMap<ObjectId, usize>,
    /// Two for each lock: the tasks that its writers wait for, and the tasks that its readers wait for.
    sides: Vec<Vec<usize>>,
    /// Tasks that wait for each other, the cycle with the first task first.
    cycles: Vec<Cycle>,
    /// For each task the cycle that it is part of or waits for.
    stuck_in: Vec<Option<usize>>,
    /// For each task the one at the end of its chain.
    ends: Vec<End>,
}

/// The lock that a task waits for.
pub(super) fn lock_of(snapshot: &Snapshot, task: &Task) -> Option<Wait> {
    let [wait] = snapshot.waits_of(task) else { return None };
    let object = snapshot.objects.get(wait.object.index())?;
    matches!(object.kind, ObjectKind::Mutex | ObjectKind::RwMutex).then_some(*wait)
}

impl Graph {
    /// The graph of a snapshot's tasks and locks.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut graph = Graph::of_waits(snapshot);
        graph.add_holds(snapshot);
        graph.link();
        graph.find_cycles();
        graph
    }

    /// The tasks, the locks that they wait for, and where they wait.
    fn of_waits(snapshot: &Snapshot) -> Self {
        // A task that is about to run again already has what it waited for.
        let waiting = |task: &&Task| matches!(task.state, TaskState::Waiting | TaskState::Unknown);
        let wait_of = |task: &Task| Some(task).filter(waiting).and_then(|task| lock_of(snapshot, task));
        let mut objects: Vec<ObjectId> = snapshot
            .tasks
            .iter()
            .filter_map(|task| lock_of(snapshot, task))
            .map(|wait| wait.object)
            .collect();
        let address = |id: &ObjectId| snapshot.objects.get(id.index()).map(|o| (o.address, o.kind));
        objects.sort_unstable_by_key(|id| (address(id), *id));
        objects.dedup();
        let locks: Vec<(ObjectId, Lock)> = (objects.iter())
            .filter_map(|&id| {
                let object = snapshot.objects.get(id.index())?;
                let lock = Lock {
                    kind: object.kind,
                    address: object.address,
                    state: object.lock,
                    holders: Vec::new(),
                    perhaps: Vec::new(),
                    writers: Vec::new(),
                };
                Some((id, lock))
            })
            .collect();
        let by_object: FxHashMap<ObjectId, usize> =
            locks.iter().enumerate().map(|(nth, (id, _))| (*id, nth)).collect();
        let involved = |task: &Task| wait_of(task).is_some() || !snapshot.holds_of(task).is_empty();
        let (tasks, waits): (Vec<u32>, Vec<Option<Wait>>) = ((0..).zip(&snapshot.tasks))
            .filter(|(_, task)| involved(task))
            .map(|(index, task)| (index, wait_of(task)))
            .unzip();
        let mut graph = Graph {
            waits_at: vec![None; tasks.len()],
            sides: vec![Vec::new(); 2 * locks.len()],
            stuck_in: vec![None; tasks.len()],
            cycles: Vec::new(),
            ends: Vec::new(),
            tasks,
            locks,
            by_object,
        };
        for (node, wait) in waits.into_iter().enumerate() {
            let Some(wait) = wait else { continue };
            let Some(&nth) = graph.by_object.get(&wait.object) else { continue };
            let Some((_, lock)) = graph.locks.get_mut(nth) else { continue };
            let reads = wait.op == WaitOp::ReadLock && lock.kind == ObjectKind::RwMutex;
            if !reads {
                lock.writers.push(node);
            }
            let side = graph.tasks.len() + 2 * nth + usize::from(reads);
            graph.waits_at.get_mut(node).into_iter().for_each(|slot| *slot = Some(side));
        }
        graph
    }

    /// Records the holders of the locks.
    fn add_holds(&mut self, snapshot: &Snapshot) {
        for &index in &self.tasks {
            let Some(task) = snapshot.tasks.get(index as usize) else { continue };
            for hold in snapshot.holds_of(task) {
                let lock = self.by_object.get(&hold.object).and_then(|&nth| self.locks.get_mut(nth));
                let Some((_, lock)) = lock else { continue };
                let list = match hold.how {
                    HoldKind::Exclusive | HoldKind::Shared => &mut lock.holders,
                    HoldKind::Perhaps => &mut lock.perhaps,
                };
                // A task may hold a lock for reading twice.
                if list.last().is_none_or(|held| (held.task, held.how) != (index, hold.how)) {
                    list.push(Held { task: index, how: hold.how, location: hold.location });
                }
            }
        }
        self.locks.iter_mut().for_each(|(_, lock)| lock.weigh());
    }

    /// Makes edges from the sides of the locks.
    fn link(&mut self) {
        let node = |task: u32| self.tasks.binary_search(&task).ok();
        for (nth, (_, lock)) in self.locks.iter().enumerate() {
            let holders: Vec<usize> = lock.keepers().iter().filter_map(|held| node(held.task)).collect();
            // A waiting writer blocks later readers.
            let behind_writers = match lock.state {
                Some(LockState::Free | LockState::Exclusive) => false,
                _ => lock.keepers().iter().all(|held| held.how == HoldKind::Shared),
            };
            let readers_wait_for = if behind_writers { lock.writers.clone() } else { holders.clone() };
            for (side, tasks) in [(2 * nth, holders), (2 * nth + 1, readers_wait_for)] {
                self.sides.get_mut(side).into_iter().for_each(|slot| slot.clone_from(&tasks));
            }
        }
    }

    fn next(&self, node: usize) -> &[usize] {
        match node.checked_sub(self.tasks.len()) {
            None => self.waits_at.get(node).map_or(&[], Option::as_slice),
            Some(side) => self.sides.get(side).map_or(&[], Vec::as_slice),
        }
    }

    /// Finds the sets of tasks that wait for each other, and the tasks that wait for one of these sets.
    fn find_cycles(&mut self) {
        let nodes = self.tasks.len() + self.sides.len();
        let mut cycle_of: Vec<Option<usize>> = vec![None; nodes];
        self.ends = self.tasks.iter().map(|&task| End { task, locks: 0, waits: false }).collect();
        let mut cycles = Vec::new();
        // The sets that a set leads to come before it.
        let components = components(nodes, |node| self.next(node));
        for component in components {
            if let [node] = component.as_slice() {
                self.find_end(*node);
            }
            let cycle = if component.len() > 1 {
                cycles.push(self.cycle(&component));
                Some(cycles.len() - 1)
            } else {
                let next = component.iter().flat_map(|&node| self.next(node));
                next.filter_map(|&node| cycle_of.get(node).copied().flatten()).min()
            };
            for node in component {
                cycle_of.get_mut(node).into_iter().for_each(|slot| *slot = cycle);
            }
        }
        cycle_of.truncate(self.tasks.len());
        let mut order: Vec<usize> = (0..cycles.len()).collect();
        order.sort_by_key(|&nth| cycles.get(nth).map(|cycle: &Cycle| cycle.tasks.first().copied()));
        let mut place = vec![0; cycles.len()];
        for (now, &before) in order.iter().enumerate() {
            place.get_mut(before).into_iter().for_each(|slot| *slot = now);
        }
        self.stuck_in =
            cycle_of.into_iter().map(|cycle| cycle.and_then(|nth| place.get(nth).copied())).collect();
        cycles.sort_by_key(|cycle| cycle.tasks.first().copied());
        self.cycles = cycles;
    }

    /// Derives the end of a chain from that of the next task in it.
    fn find_end(&mut self, node: usize) {
        let Some(side) = self.waits_at.get(node).copied().flatten() else { return };
        let next = self.next(side).first().copied();
        // From a reader to the writer that it waits behind: continue with the holder of the same lock.
        let same_lock = next.and_then(|next| *self.waits_at.get(next)?).is_some_and(|at| at + 1 == side);
        let end = next.and_then(|next| self.ends.get(next).copied());
        let Some(slot) = self.ends.get_mut(node) else { return };
        *slot = match end {
            Some(end) => End { locks: end.locks + usize::from(!same_lock), ..end },
            None => End { waits: true, ..*slot },
        };
    }

    fn cycle(&self, component: &[usize]) -> Cycle {
        let inside: FxHashSet<usize> = component.iter().copied().collect();
        let mut nodes: Vec<usize> = component.iter().copied().filter(|&n| n < self.tasks.len()).collect();
        nodes.sort_unstable();
        let ways = nodes
            .iter()
            .take((STEPS / component.len()).clamp(1, STARTS))
            .map(|&start| self.way_around(start, &inside));
        let way = ways.min_by_key(Vec::len).unwrap_or_default();
        let steps = (way.iter().zip(way.iter().cycle().skip(1))).filter_map(|(&a, &b)| self.step(a, b));
        Cycle {
            steps: steps.collect(),
            tasks: nodes.iter().filter_map(|&node| self.tasks.get(node).copied()).collect(),
        }
    }

    /// The shortest path from a task back to itself: the tasks on it, `start` first.
    fn way_around(&self, start: usize, inside: &FxHashSet<usize>) -> Vec<usize> {
        let mut from: FxHashMap<usize, usize> = FxHashMap::default();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &next in self.next(node).iter().filter(|next| inside.contains(next)) {
                if from.contains_key(&next) {
                    continue;
                }
                from.insert(next, node);
                if next == start {
                    queue.clear();
                    break;
                }
                queue.push_back(next);
            }
        }
        let mut way = Vec::new();
        let mut node = start;
        while let Some(&before) = from.get(&node) {
            node = before;
            if node < self.tasks.len() {
                way.push(node);
            }
            if node == start {
                break;
            }
        }
        way.reverse();
        way
    }

    fn step(&self, from: usize, to: usize) -> Option<Step> {
        let side = self.waits_at.get(from).copied().flatten()?.checked_sub(self.tasks.len())?;
        let (object, lock) = self.locks.get(side / 2)?;
        let next = self.tasks.get(to)?;
        Some(Step {
            task: *self.tasks.get(from)?,
            lock: *object,
            reads: side % 2 == 1,
            held: lock.keepers().iter().find(|held| held.task == *next).copied().filter(|held| {
                // A reader waits for the waiting writer, even if that writer holds other locks.
                side % 2 == 0 || held.how != HoldKind::Shared
            }),
        })
    }

    /// Tasks that wait for each other, each set once, in the order of their first tasks.
    pub(super) fn cycles(&self) -> &[Cycle] {
        &self.cycles
    }

    /// The cycle that a task is part of or waits for: an index into [`Graph::cycles`].
    pub(super) fn stuck_in(&self, task: u32) -> Option<usize> {
        let node = self.tasks.binary_search(&task).ok()?;
        self.stuck_in.get(node).copied().flatten()
    }

    /// Every task that waits for a lock or holds one.
    pub(super) fn tasks(&self) -> &[u32] {
        &self.tasks
    }

    /// What is known of a lock that tasks wait for.
    pub(super) fn lock(&self, object: ObjectId) -> Option<&Lock> {
        self.locks.get(*self.by_object.get(&object)?).map(|(_, lock)| lock)
    }

    /// Every task that is part of a cycle or waits for one, with the cycle.
    pub(super) fn stuck(&self) -> impl Iterator<Item = (u32, usize)> {
        self.tasks.iter().zip(&self.stuck_in).filter_map(|(&task, &cycle)| Some((task, cycle?)))
    }

    /// Whether it waits for a lock.
    pub(super) fn waits(&self, task: u32) -> bool {
        let node = self.tasks.binary_search(&task);
        node.is_ok_and(|node| self.waits_at.get(node).is_some_and(Option::is_some))
    }

    /// The task at the end of a task's chain: the holder of the lock that it waits for, the holder of the lock
    /// that this holder waits for, and so on. If there are several holders, the first is taken. Meaningless for
    /// tasks that are stuck in a cycle.
    pub(super) fn end(&self, task: u32) -> End {
        let node = self.tasks.binary_search(&task).ok();
        let end = node.and_then(|node| self.ends.get(node).copied());
        end.unwrap_or(End { task, locks: 0, waits: false })
    }
}

impl Cycle {
    /// A step of it is a guess.
    pub(super) fn is_guessed(&self) -> bool {
        self.steps.iter().any(|step| step.held.is_some_and(|held| held.how == HoldKind::Perhaps))
    }
}

impl Lock {
    /// The holders. If none is known: the only task that has a guard of the lock.
    fn keepers(&self) -> &[Held] {
        let is_known = !self.holders.is_empty();
        match self.perhaps.as_slice() {
            [only] if !is_known && only.is_guard() => &self.perhaps,
            _ => &self.holders,
        }
    }

    /// Keeps only the holders that the lock's own state allows. If there are more than can hold it, they all
    /// become possible holders.
    fn weigh(&mut self) {
        let kept = |how: HoldKind| match self.state {
            Some(LockState::Free) => false,
            Some(LockState::Exclusive) => how == HoldKind::Exclusive,
            Some(LockState::Shared(_)) => how == HoldKind::Shared,
            Some(LockState::Outstanding(_)) | None => true,
        };
        self.holders.retain(|held| kept(held.how));
        if self.state == Some(LockState::Free) {
            self.perhaps.clear();
        }
        let room = match self.state {
            Some(LockState::Shared(n)) => n as usize,
            _ if self.holders.iter().all(|held| held.how == HoldKind::Shared) => usize::MAX,
            _ => 1,
        };
        if self.holders.len() > room {
            self.perhaps.append(&mut self.holders);
            self.perhaps.sort_by_key(|held| held.task);
        }
    }
}
