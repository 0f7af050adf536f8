//! How many tasks began and ended, and how much of the time that they lived readings have seen.

use crate::recording::Coverage;
use crate::snapshot::{RuntimeInfo, Snapshot, Task, count_tasks};

/// Births, ends and lifetimes of tasks, as the runtimes count them and as readings see them.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// The first reading and the last one.
    first: Option<Entry>,
    last: Option<Entry>,
    /// Tasks that began after the first reading, and that a reading saw.
    appeared: u64,
    /// A source does not tell tasks apart.
    nameless: bool,
    /// Time between two readings in a row that saw the same task, all tasks together.
    seen_ns: u64,
    /// Time that tasks lived, as their numbers say: they grow and shrink evenly between two readings.
    lived_ns: u64,
    /// The last reading failed.
    gap: bool,
}

/// The counts of one reading.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at_ns: u64,
    /// Tasks that were ever started. None if a runtime does not count them.
    started: Option<u64>,
    /// Tasks that there are.
    tasks: u64,
}

impl Books {
    /// Whether a task can be told from all others.
    pub(super) fn has_identity(task: &Task) -> bool {
        task.id.is_some() || task.address != 0
    }

    /// A task is there that the last reading did not have. `began`: there was such a reading.
    pub(super) fn appeared(&mut self, task: &Task, began: bool) {
        self.nameless |= !Books::has_identity(task);
        // A runtime counts only tasks to which it gives ids.
        self.appeared += u64::from(began && task.id.is_some());
    }

    /// A task is there that was there in the last reading, so long ago.
    pub(super) fn seen_again(&mut self, ns: u64) {
        self.seen_ns = self.seen_ns.saturating_add(ns);
    }

    /// A reading is complete.
    pub(super) fn reading(&mut self, snapshot: &Snapshot, at_ns: u64) {
        let started = |runtime: &RuntimeInfo| runtime.scheduler.tasks_created;
        let runtimes = &snapshot.header.runtimes;
        let started = runtimes.iter().map(started).try_fold(0, |sum: u64, one| sum.checked_add(one?));
        let now = Entry { at_ns, started, tasks: count_tasks(&snapshot.tasks) };
        if let Some(last) = self.last.filter(|_| !self.gap) {
            let tasks = u128::from(last.tasks) + u128::from(now.tasks);
            let lived = tasks * u128::from(at_ns.saturating_sub(last.at_ns)) / 2;
            self.lived_ns = self.lived_ns.saturating_add(u64::try_from(lived).unwrap_or(u64::MAX));
        }
        self.gap = false;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// A reading failed: what comes next cannot be compared.
    pub(super) fn gap(&mut self) {
        self.gap = true;
    }

    /// Adds what is known to what is known of programs before.
    pub(super) fn close(self, coverage: &mut Coverage) {
        let (Some(first), Some(last)) = (self.first, self.last) else { return };
        let started = last.started.zip(first.started).and_then(|(last, first)| last.checked_sub(first));
        // Whatever began and is not there has ended.
        let ended = started.map(|started| started.saturating_add(first.tasks).saturating_sub(last.tasks));
        add(&mut coverage.tasks_started, started);
        add(&mut coverage.tasks_ended, ended);
        add(&mut coverage.started_seen, (!self.nameless).then_some(self.appeared));
        add(&mut coverage.lived_ns, Some(self.lived_ns));
        add(&mut coverage.seen_ns, (!self.nameless).then_some(self.seen_ns));
    }
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}
