//! Finds what leads from a wait object or a task to its cause.

use super::ids::ObjectId;
use super::links::{
    Action, Actor, Ancestor, Branch, By, Context, Descriptor, Handles, Searched, SystemCall, Timer,
};
use super::model::Snapshot;
use super::waits::{ObjectKind, Wait, WaitObject};

impl Snapshot {
    /// The descriptor behind a wait object.
    pub fn descriptor_of(&self, object: &WaitObject) -> Option<&Descriptor> {
        let fd = u32::try_from(object.address).ok().filter(|_| object.kind == ObjectKind::Descriptor)?;
        self.descriptor(fd)
    }

    /// The descriptor with this number.
    pub fn descriptor(&self, fd: u32) -> Option<&Descriptor> {
        let at = self.links.descriptors.binary_search_by_key(&fd, |descriptor| descriptor.fd).ok()?;
        self.links.descriptors.get(at)
    }

    /// The timer that is a wait object, or that sends on it.
    pub fn timer_of(&self, object: ObjectId) -> Option<&Timer> {
        let at = self.links.timers.binary_search_by_key(&object, |timer| timer.object).ok()?;
        self.links.timers.get(at)
    }

    /// Who can still use a channel. None: it is not known.
    pub fn handles_of(&self, object: ObjectId) -> Option<&Handles> {
        let at = self.links.handles.binary_search_by_key(&object, |handles| handles.object).ok()?;
        self.links.handles.get(at)
    }

    /// The context that closes a channel when it is cancelled.
    pub fn context_of(&self, object: ObjectId) -> Option<&Context> {
        self.links.contexts.iter().find(|context| context.object == Some(object))
    }

    /// The system call that a task (a row of [`Snapshot::tasks`]) is in.
    pub fn call_of(&self, task: u32) -> Option<&SystemCall> {
        let at = self.links.calls.binary_search_by_key(&task, |call| call.task).ok()?;
        self.links.calls.get(at)
    }

    /// The tasks that a task (a row of [`Snapshot::tasks`]) descends from, its starter first.
    pub fn ancestors_of(&self, task: u32) -> &[Ancestor] {
        let all = &self.links.ancestors;
        let start = all.partition_point(|ancestor| ancestor.task < task);
        let rest = all.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|ancestor| ancestor.task == task)).unwrap_or_default()
    }

    /// The futures that a task (a row of [`Snapshot::tasks`]) polls together.
    pub fn branches_of(&self, task: u32) -> &[Branch] {
        let all = &self.links.branches;
        let start = all.partition_point(|branch| branch.task < task);
        let rest = all.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|branch| branch.task == task)).unwrap_or_default()
    }

    /// What a branch waits for.
    pub fn waits_of_branch(&self, branch: &Branch) -> &[Wait] {
        branch.waits.slice(&self.waits)
    }

    /// Who is going to act on an object.
    pub fn actors_of(&self, object: ObjectId) -> &[Actor] {
        let actors = &self.links.actors;
        let start = actors.partition_point(|actor| actor.object < object);
        let rest = actors.get(start..).unwrap_or_default();
        let len = rest.partition_point(|actor| actor.object == object);
        rest.get(..len).unwrap_or_default()
    }

    /// The task that a wait object of the kind [`ObjectKind::Task`] stands for: a row of [`Snapshot::tasks`]. None if it
    /// was not read.
    pub fn joined_task(&self, object: ObjectId) -> Option<u32> {
        let actor = self.actors_of(object).iter().find(|actor| actor.action == Action::End)?;
        if let By::Task(row) = actor.by { Some(row) } else { None }
    }

    /// How actors of an object were looked for. None: they were not.
    pub fn searched(&self, object: ObjectId) -> Option<&Searched> {
        let at = self.links.searched.binary_search_by_key(&object, |searched| searched.object).ok()?;
        self.links.searched.get(at)
    }
}
