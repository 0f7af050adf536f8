//! What leads from a waiting goroutine to its cause: the descriptor that it waits for, the system call that it is in,
//! the timer that wakes it, the context that ends its wait, the coroutine that it resumed.
//!
//! All of it is found by reading: the goroutine's struct, then what it leads to, then the struct again. A goroutine
//! that has moved meanwhile gets no edge.

use std::collections::BTreeMap;

mod budget;
mod calls;
mod candidates;
mod contexts;
mod coroutines;
mod descriptors;
mod done;
mod ends;
mod functions;
mod heaps;
mod layout;
mod parked;
mod poll;
mod raw_timer;
mod sleeps;
mod timers;

use budget::Budget;
pub(super) use candidates::{Candidate, Candidates};
pub(super) use contexts::ContextLayout;
use descriptors::Known;
pub(super) use functions::timer_calls;
pub(super) use layout::LinkLayout;
use parked::Structs;

use super::resolve::Resolver;
use super::stacks::TaskStacks;
use super::{Go, GoError};
use crate::process::Target;
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::{ObjectId, ObjectKind, SnapshotBuilder, Wait, WaitObject, WaitOp};

/// Goroutines examined together.
const BATCH: usize = 8192;

/// Finds what leads to the causes of the waits of the tasks of this runtime. Returns the objects of the descriptors in [`ReadOptions::ends`], each with the address of what goroutines
/// that have it point to.
pub(super) fn find(
    go: &Go,
    target: &dyn Target,
    options: &ReadOptions,
    resolver: &mut Resolver<'_>,
    scope: Scope<'_>,
    into: &mut SnapshotBuilder,
) -> Result<Vec<(u64, ObjectId)>, GoError> {
    let still = target.is_static() || options.pause == Pause::Everything;
    let mut search = Search {
        go,
        target,
        scope,
        budget: Budget::new(options.links),
        structs: Structs::new(target, &go.offsets, go.links, still),
        resolver,
        descriptors: BTreeMap::new(),
        into,
    };
    search.polls()?;
    search.sleeps()?;
    search.coroutines()?;
    search.calls()?;
    search.timers()?;
    let ends = if options.actors.is_zero() { Vec::new() } else { search.ends(&options.ends)? };
    search.details()?;
    search.contexts()?;
    if !options.actors.is_zero() {
        search.functions()?;
    }
    Ok(ends)
}

/// What the search is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The stacks of the runtime's tasks.
    pub(super) stacks: TaskStacks<'a>,
    /// Number of its first wait object.
    pub(super) first_object: usize,
    pub(super) candidates: &'a Candidates,
}

/// One search.
struct Search<'a, 'r> {
    go: &'a Go,
    target: &'a dyn Target,
    scope: Scope<'a>,
    budget: Budget,
    structs: Structs<'a>,
    resolver: &'a mut Resolver<'r>,
    /// The descriptors that goroutines wait for, by number.
    descriptors: BTreeMap<u32, Known>,
    into: &'a mut SnapshotBuilder,
}

impl Search<'_, '_> {
    /// A task waits for one object.
    fn wait(&mut self, task: usize, kind: ObjectKind, address: u64, op: WaitOp) -> bool {
        if !self.into.task_mut(task).waits.is_empty() || !self.into.room_for_waits(1) {
            return false;
        }
        let object = self.into.object(kind, address, |_| None);
        let waits = self.into.waits([Wait { op, object }]);
        self.into.task_mut(task).waits = waits;
        true
    }

    /// The channels with elements of this type that tasks wait for.
    fn channels_of(&self, element: &str) -> Vec<(ObjectId, WaitObject)> {
        let text = |object: &WaitObject| object.channel?.element.map(|element| self.into.code.text(element));
        let objects = (0..).map(ObjectId).zip(self.into.objects()).skip(self.scope.first_object);
        let of =
            objects.filter(|(_, object)| object.kind == ObjectKind::Channel && text(object) == Some(element));
        of.map(|(id, object)| (id, *object)).collect()
    }
}
