//! Tasks that wait for locks, and who holds them.
//!
//! A lock does not say who holds it. Where the snapshot knows which tasks go on to unlock it, those are
//! followed (`graph`): to tasks that wait for each other (`rings`), or to the task at the end that keeps all
//! others waiting. Elsewhere (`crowds`) what is known are the functions in which tasks wait for the lock:
//! whoever holds it is most likely in one of the same functions, further on, and has been there for at least as
//! long as the oldest waiter waits.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Claim, Rule};
use crate::analysis::leaks::context::{Context, TaskGroup};
use crate::analysis::series::Member;
use crate::snapshot::WaitClass;
use crate::snapshot::{ObjectKind, WaitObject};

mod collect;
mod convoys;
mod cycles;
mod describe;
mod graph;
mod tarjan;
mod verdict;

use graph::Graph;

/// Tasks wait for locks of each other.
pub(super) struct Deadlock;
/// Tasks wait for one lock.
pub(super) struct HeldLock;

impl Rule for Deadlock {
    fn name(&self) -> &'static str {
        "deadlock"
    }

    fn checks(&self) -> &'static str {
        "tasks wait for locks of each other; or they stand still waiting for locks, and whoever could hold those waits \
         for such locks, too"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let Some(study) = Study::new(context) else { return Vec::new() };
        let mut claims = cycles::claims(&study);
        let crowds = collect::survey(&study);
        claims
            .extend(crowds.iter().filter(|crowd| crowd.is_circle(&study)).filter_map(|c| c.deadlock(&study)));
        claims
    }
}

impl Rule for HeldLock {
    fn name(&self) -> &'static str {
        "lock"
    }

    fn checks(&self) -> &'static str {
        "tasks stand still waiting for a lock that its holder does not give back"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let Some(study) = Study::new(context) else { return Vec::new() };
        let crowds = collect::survey(&study);
        crowds.iter().filter(|crowd| !crowd.is_circle(&study)).filter_map(|c| c.convoy(&study)).collect()
    }
}

/// What is known of those who wait for locks and those who hold them.
struct Study<'s, 'a> {
    context: &'s Context<'a>,
    graph: Graph,
    /// Of the tasks of the graph those that are followed.
    members: FxHashMap<u32, &'a Member>,
    /// The kind of each task of the graph: an index into [`Context::kinds`].
    kinds: FxHashMap<u32, usize>,
}

impl<'s, 'a> Study<'s, 'a> {
    /// None if nobody waits for a lock.
    fn new(context: &'s Context<'a>) -> Option<Self> {
        // One task may wait where most others of its kind do not.
        let is_lock = |object: &WaitObject| matches!(object.kind, ObjectKind::Mutex | ObjectKind::RwMutex);
        let waits = |kind: &TaskGroup<'_>| kind.waits == WaitClass::Lock;
        if !context.snapshot.objects.iter().any(is_lock) && !context.kinds.iter().any(waits) {
            return None;
        }
        let graph = Graph::new(context.snapshot);
        let tasks: FxHashSet<u32> = graph.tasks().iter().copied().collect();
        let members = context.series.members().iter().filter(|member| tasks.contains(&member.task));
        let members = members.map(|member| (member.task, member)).collect();
        let kinds = (context.kinds.iter().enumerate())
            .flat_map(|(nth, kind)| kind.tasks.iter().map(move |&task| (task, nth)))
            .filter(|(task, _)| tasks.contains(task))
            .collect();
        Some(Study { context, graph, members, kinds })
    }

    fn member(&self, task: u32) -> Option<&'a Member> {
        self.members.get(&task).copied()
    }

    /// The kind of a task: an index into [`Context::kinds`].
    fn kind_of(&self, task: u32) -> Option<usize> {
        let other = || self.context.kinds.iter().position(|kind| kind.tasks.binary_search(&task).is_ok());
        self.kinds.get(&task).copied().or_else(other)
    }

    /// The same, if the user wants to hear of it.
    fn open_kind_of(&self, task: u32) -> Option<usize> {
        let kind = self.kind_of(task)?;
        self.context.kinds.get(kind)?.left_out.is_none().then_some(kind)
    }

    /// How long a task that waits for a lock or holds one has been in its state, at least, nanoseconds.
    fn standing_ns(&self, task: u32) -> u64 {
        self.context.standing_ns(task, self.member(task))
    }
}
