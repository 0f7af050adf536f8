//! Tokio's task hooks, which also see the tasks that libraries spawn. They need `tokio_unstable`.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::panic;

use tokio::runtime::{Builder, TaskMeta};
use tokio::task::Id;

use crate::current::InTask;
use crate::format::RuntimeKind;
use crate::ids::Ids;
use crate::registry::Registry;
use crate::task::{Registration, Task};

/// The hooks give only Tokio's id of a task, so tables map the id to the number of our entry. There are this
/// many tables so that spawning threads do not share one.
const SHARDS: usize = 64;

static TABLE: [Ids; SHARDS] = [const { Ids::new() }; SHARDS];

/// The task that a hook made the current one, and the task that it interrupted: a task can run another
/// runtime inside `block_in_place`.
struct Polled {
    /// Its number in Tokio.
    id: u64,
    entered: InTask,
    outer: Option<Box<Polled>>,
}

thread_local! {
    /// Our own wrapper registers the task that is being spawned.
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
    static POLLED: Cell<Option<Polled>> = const { Cell::new(None) };
}

/// Makes the runtime that is being built register every task spawned on it, with the place of the spawn and
/// its parent. Tasks that this crate's own functions spawn are registered once, by these functions.
///
/// Takes Tokio's four task hooks: hooks that were set before are replaced. In addition to the wrappers' work,
/// each poll looks up Tokio's id of the task, without a lock. Each spawn and each end takes a lock that it
/// shares with a 64th of the others.
pub fn install(builder: &mut Builder) -> &mut Builder {
    Registry::main().has_hooks();
    Registry::main().suggest_runtime(RuntimeKind::Tokio);
    builder
        .on_task_spawn(spawned)
        .on_before_task_poll(poll_begins)
        .on_after_task_poll(poll_ends)
        .on_task_terminate(terminated)
}

/// Extracts the number in an id.
#[derive(Default)]
struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Ids are not hashed this way today; any number that distinguishes them is enough.
        for &byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Tokio's number of a task, never 0, and the table that contains it.
fn number(id: Id) -> (u64, &'static Ids) {
    let mut number = Number::default();
    id.hash(&mut number);
    let number = number.finish().max(1);
    (number, &TABLE[number as usize % SHARDS])
}

fn spawned(meta: &TaskMeta<'_>) {
    if REGISTERED.get() {
        return;
    }
    let at: &'static panic::Location<'static> = meta.spawned_at();
    let task = Registration::spawned_at(at).register();
    let (id, table) = number(meta.id());
    if let Some(number) = task.number()
        && table.enter(id, number)
    {
        std::mem::forget(task); // until `terminated`
    }
}

fn poll_begins(meta: &TaskMeta<'_>) {
    let (id, table) = number(meta.id());
    let Some(task) = table.find(id).and_then(Task::numbered) else { return };
    let mut task = ManuallyDrop::new(task);
    task.running();
    let entered = task.enter();
    let outer = POLLED.take().map(Box::new);
    POLLED.set(Some(Polled { id, entered, outer }));
}

fn poll_ends(meta: &TaskMeta<'_>) {
    let (id, table) = number(meta.id());
    if leave(id)
        && let Some(task) = table.find(id).and_then(Task::numbered)
    {
        ManuallyDrop::new(task).stop();
    }
}

/// The end of a task during a poll comes before the end of that poll.
fn terminated(meta: &TaskMeta<'_>) {
    let (id, table) = number(meta.id());
    leave(id);
    drop(table.remove(id).and_then(Task::numbered));
}

/// Ends the task's turn as the current one, if a hook made it so. Returns whether it did.
fn leave(id: u64) -> bool {
    // A runtime may be dropped while the thread ends.
    let left = POLLED.try_with(|top| match top.take() {
        Some(polled) if polled.id == id => {
            drop(polled.entered);
            top.set(polled.outer.map(|outer| *outer));
            true
        }
        // A task that one of our wrappers has registered: no hook changed anything for it.
        other => {
            top.set(other);
            false
        }
    });
    left.unwrap_or(false)
}

/// While it lives, our own wrappers register what this thread spawns.
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
