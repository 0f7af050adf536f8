//! A shared library (cdylib) that brings its tasks to whatever program loads it: two registries, the
//! main one and one that it sets apart.

use std::sync::Mutex;

use loiter_registry::{Kind, Registration, Registry, RuntimeKind, Task, WaitReason};

static ACTORS: Registry = Registry::new("mail", RuntimeKind::Actors);
static TASKS: Mutex<Vec<Task>> = Mutex::new(Vec::new());

/// Registers three tasks, which stay.
#[unsafe(no_mangle)]
pub extern "C" fn start_tasks() {
    let Ok(mut tasks) = TASKS.lock() else { return };
    tasks.push(Registration::new().name("timer").kind(Kind::Callback).register());
    for name in ["mailbox", "log"] {
        let mut actor = Registration::new().name(name).kind(Kind::Actor).registry(&ACTORS).register();
        actor.run(|| ());
        actor.waiting_for(WaitReason::ChannelReceive, &TASKS);
        tasks.push(actor);
    }
}
