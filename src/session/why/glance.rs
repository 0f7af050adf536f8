//! A first look at many processes: in which of them have tasks waited for the longest time?

use std::time::Duration;

use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::{Snapshot, Task, TaskState, WaitClass};

/// How processes are read for that: only what their tasks are and since when.
pub(super) fn options(read: &ReadOptions) -> ReadOptions {
    ReadOptions {
        pause: Pause::Nothing,
        holders: Duration::ZERO,
        links: Duration::ZERO,
        actors: Duration::ZERO,
        repeated: true,
        ..read.clone()
    }
}

/// The longest time for which a task waits for other tasks, and for which one waits for anything else but time and
/// connections. Nanoseconds; 0 if unknown.
pub(super) fn longest_waits(snapshot: &Snapshot) -> (u64, u64) {
    use WaitClass::{Accept, Runtime, Sleep, Timer};
    use WaitClass::{Cond, Join, Lock, Semaphore, Send, WaitGroup};
    let longest = |counts: &dyn Fn(&Task) -> bool| {
        let waiting =
            |task: &&Task| matches!(task.state, TaskState::Waiting | TaskState::Syscall) && !task.system;
        let tasks = snapshot.tasks.iter().filter(waiting).filter(|task| counts(task));
        tasks.filter_map(|task| task.age.nanos()).max().unwrap_or(0)
    };
    let for_others =
        |task: &Task| matches!(task.wait_class, Lock | Send | WaitGroup | Cond | Semaphore | Join);
    let for_events = |task: &Task| !matches!(task.wait_class, Accept | Runtime | Sleep | Timer);
    (longest(&for_others), longest(&for_events))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Age;

    #[test]
    fn waits_for_tasks_come_first() {
        let task = |wait_class, age| Task {
            state: TaskState::Waiting,
            wait_class,
            age: Age::AtLeast(age),
            ..Task::default()
        };
        let of = |tasks: Vec<Task>| longest_waits(&Snapshot { tasks, ..Snapshot::default() });
        let locked = of(vec![task(WaitClass::Lock, 5), task(WaitClass::Lock, 9), task(WaitClass::Sleep, 50)]);
        let idle = of(vec![task(WaitClass::Network, 40), task(WaitClass::Accept, 90)]);
        assert_eq!((locked, idle, of(Vec::new())), ((9, 9), (0, 40), (0, 0)));
        assert!(locked > idle);
        let system = Task { system: true, ..task(WaitClass::Lock, 7) };
        let running = Task { state: TaskState::Running, ..task(WaitClass::Lock, 7) };
        assert_eq!(of(vec![system, running]), (0, 0));
    }
}
