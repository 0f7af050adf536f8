//! Tasks that wait for locks, and the tasks that hold them.
//!
//! A lock does not record its holder. If the snapshot says which tasks will unlock it, `graph` follows them: to
//! tasks that wait for each other (`cycles`), or to the task at the end of the chain that keeps all others
//! waiting. Otherwise the functions in which tasks wait for the lock decide (`convoys`): the holder is most
//! likely further on in one of these functions, and has been there for at least as long as the oldest waiter
//! waits.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Claim, Rule};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::task_group::TaskGroup;
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

/// Tasks wait for each other.
pub(super) struct Deadlock;
/// Tasks wait for one lock.
pub(super) struct HeldLock;

impl Rule for Deadlock {
    fn name(&self) -> &'static str {
        "deadlock"
    }

    fn checks(&self) -> &'static str {
        "a cycle of tasks, each of which waits for a lock that the next one holds; or tasks are blocked on locks, and every \
         task that could hold these waits for such a lock, too"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let Some(study) = Study::new(context) else { return Vec::new() };
        let mut claims = cycles::claims(&study);
        let convoys = collect::collect(&study);
        claims.extend(
            convoys.iter().filter(|convoy| convoy.is_cycle(&study)).filter_map(|c| c.deadlock(&study)),
        );
        claims
    }
}

impl Rule for HeldLock {
    fn name(&self) -> &'static str {
        "lock"
    }

    fn checks(&self) -> &'static str {
        "tasks are blocked on a lock that its holder does not release"
    }

    fn check(&self, context: &Context<'_>) -> Vec<Claim> {
        let Some(study) = Study::new(context) else { return Vec::new() };
        let convoys = collect::collect(&study);
        convoys.iter().filter(|convoy| !convoy.is_cycle(&study)).filter_map(|c| c.convoy(&study)).collect()
    }
}

/// What is known of the tasks that wait for locks and of those that hold them.
struct Study<'s, 'a> {
    context: &'s Context<'a>,
    graph: Graph,
    /// The tasks of the graph that are followed from reading to reading.
    members: FxHashMap<u32, &'a Member>,
    /// The kind of each task of the graph: an index into [`Context::kinds`].
    kinds: FxHashMap<u32, usize>,
}

impl<'s, 'a> Study<'s, 'a> {
    /// None if no task waits for a lock.
    fn new(context: &'s Context<'a>) -> Option<Self> {
        // A single task may wait at a place where most others of its kind do not.
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

    /// The same, if it is not left out.
    fn open_kind_of(&self, task: u32) -> Option<usize> {
        let kind = self.kind_of(task)?;
        self.context.kinds.get(kind)?.left_out.is_none().then_some(kind)
    }

    /// How long a task that waits for a lock or holds one has been in its state, at least, nanoseconds.
    fn standing_ns(&self, task: u32) -> u64 {
        self.context.standing_ns(task, self.member(task))
    }

    /// The same, or how long every reading has found it waiting for the same.
    fn seen_ns(&self, task: u32) -> u64 {
        self.context.seen_ns(task, self.member(task))
    }

    /// Every reading has found these tasks as they are for as long as the user asked for.
    fn all_seen_long(&self, mut tasks: impl Iterator<Item = u32>) -> bool {
        tasks.all(|task| self.seen_ns(task) >= self.context.options.min_age_ns)
    }
}
