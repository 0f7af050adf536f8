//! Tokio's task hooks, which also see the tasks that libraries spawn. They need `tokio_unstable`.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, TaskMeta};
use tokio::task::Id;

use crate::current::InTask;
use crate::format::RuntimeKind;
use crate::registry::Registry;
use crate::task::{Registration, Task};

/// The hooks give only Tokio's id of a task, so a table leads from it to ours. This many, each
/// behind a lock of its own, keep threads apart.
const SHARDS: usize = 64;

static TABLE: [Mutex<Option<HashMap<Id, Task>>>; SHARDS] = [const { Mutex::new(None) }; SHARDS];

thread_local! {
    /// The task being spawned is registered by our own wrapper.
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
    /// The task that the hooks made current.
    static POLLED: Cell<Option<InTask>> = const { Cell::new(None) };
}

/// Has the runtime to be built register every task that is spawned on it, with the place of the
/// spawn and its parent. What this crate's own functions spawn is registered once, by them.
///
/// Takes Tokio's four task hooks: hooks that were set before are replaced. Unlike the wrappers this
/// takes a lock (of a few tasks) at each poll, as the hooks carry no data of ours.
pub fn install(builder: &mut Builder) -> &mut Builder {
    Registry::main().has_hooks();
    Registry::main().suggest_runtime(RuntimeKind::Tokio);
    builder
        .on_task_spawn(spawned)
        .on_before_task_poll(poll_begins)
        .on_after_task_poll(poll_ends)
        .on_task_terminate(|meta| drop(with(meta.id(), HashMap::remove)))
}

fn shard(id: Id) -> MutexGuard<'static, Option<HashMap<Id, Task>>> {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
    TABLE[hash as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<R>(id: Id, action: impl FnOnce(&mut HashMap<Id, Task>, &Id) -> R) -> R {
    action(shard(id).get_or_insert_default(), &id)
}

fn spawned(meta: &TaskMeta<'_>) {
    if REGISTERED.get() {
        return;
    }
    let at: &'static panic::Location<'static> = meta.spawned_at();
    let task = Registration::spawned_at(at).register();
    with(meta.id(), |tasks, id| tasks.insert(*id, task));
}

fn poll_begins(meta: &TaskMeta<'_>) {
    let entered = with(meta.id(), |tasks, id| {
        let task = tasks.get_mut(id)?;
        task.running();
        Some(task.enter())
    });
    POLLED.set(entered);
}

fn poll_ends(meta: &TaskMeta<'_>) {
    drop(POLLED.take());
    with(meta.id(), |tasks, id| tasks.get_mut(id).map(Task::stop));
}

/// While it lives, what this thread spawns is left to our own wrappers.
pub(crate) struct Registered(bool);

impl Registered {
    pub(crate) fn mark() -> Registered {
        Registered(REGISTERED.replace(true))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        REGISTERED.set(self.0);
    }
}
