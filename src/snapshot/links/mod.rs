//! What leads from a waiting task to its cause, beyond the wait objects themselves: open descriptors, timers,
//! contexts, system calls, and who is going to do what others wait for.
//!
//! All of it is optional: a reader adds what it was asked for and what it could find within its budget.
//! [`Links::searched`] and [`Links::unknown`] say what was not found out.

mod actor;
mod ancestor;
mod branch;
mod call;
mod context;
mod descriptor;
mod ends;
mod handles;
mod timer;

pub use actor::{Action, Actor, By, Certainty, Searched};
pub use ancestor::Ancestor;
pub use branch::Branch;
pub use call::SystemCall;
pub use context::Context;
pub use descriptor::{
    Access, Deadline, Descriptor, DescriptorKind, Endpoint, FileId, Protocol, Socket, SocketState,
};
pub use ends::{Ends, OpenEnd, OtherEnd, Peer};
pub use handles::Handles;
pub use timer::{Timer, TimerKind, TimerState};

/// What leads from waiting tasks to their causes.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Links {
    /// Open descriptors that tasks wait for, ascending by number, each once. The wait object of a descriptor has
    /// the number as its address.
    pub descriptors: Vec<Descriptor>,
    /// Timers that tasks wait for, ascending by object.
    pub timers: Vec<Timer>,
    /// Contexts that tasks wait for, each with its parents: [`Context::parent`] is a row of this table, before or
    /// behind it. In a damaged or hostile file the parents may form a circle.
    pub contexts: Vec<Context>,
    /// System calls that tasks are in, ascending by task.
    pub calls: Vec<SystemCall>,
    /// Who is going to do what others wait for, ascending by object.
    pub actors: Vec<Actor>,
    /// The tasks that tasks descend from, ascending by task and generation.
    pub ancestors: Vec<Ancestor>,
    /// The futures that tasks poll together, ascending by task and number.
    pub branches: Vec<Branch>,
    /// Who can still use channels, ascending by object.
    pub handles: Vec<Handles>,
    /// Objects for which actors were looked for, ascending by object.
    pub searched: Vec<Searched>,
    /// What could not be found out, one sentence each.
    pub unknown: Vec<String>,
}

impl Links {
    /// Nothing was found or looked for.
    pub fn is_empty(&self) -> bool {
        *self == Links::default()
    }

    /// Sorts the tables. Of equal keys the first entry stays.
    pub(super) fn sort(&mut self) {
        self.descriptors.sort_by_key(|descriptor| descriptor.fd);
        self.descriptors.dedup_by_key(|descriptor| descriptor.fd);
        self.timers.sort_by_key(|timer| timer.object);
        self.timers.dedup_by_key(|timer| timer.object);
        self.calls.sort_by_key(|call| call.task);
        self.calls.dedup_by_key(|call| call.task);
        self.actors.sort_by_key(|actor| (actor.object, actor.certainty, actor.by));
        self.ancestors.sort_by_key(|ancestor| (ancestor.task, ancestor.generation));
        self.ancestors.dedup_by_key(|ancestor| (ancestor.task, ancestor.generation));
        self.branches.sort_by_key(|branch| (branch.task, branch.number));
        self.branches.dedup_by_key(|branch| (branch.task, branch.number));
        self.handles.sort_by_key(|handles| handles.object);
        self.handles.dedup_by_key(|handles| handles.object);
        self.searched.sort_by_key(|searched| searched.object);
        self.searched.dedup_by_key(|searched| searched.object);
    }

    /// Gives tasks their numbers after sorting: `to[before]` is the new row of a task.
    pub(super) fn renumber(&mut self, to: &[u32]) {
        let new = |task: &mut u32| {
            if let Some(&row) = to.get(*task as usize) {
                *task = row;
            }
        };
        self.calls.iter_mut().for_each(|call| new(&mut call.task));
        self.ancestors.iter_mut().for_each(|ancestor| new(&mut ancestor.task));
        self.branches.iter_mut().for_each(|branch| new(&mut branch.task));
        for actor in &mut self.actors {
            if let By::Task(task) = &mut actor.by {
                new(task);
            }
        }
    }
}
