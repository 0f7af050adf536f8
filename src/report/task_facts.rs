//! What is known of one task, in words. Text and dashboard print the same facts.

use super::runtime_names::runtime_label;
use super::units::{age, bytes, count, duration};
use crate::snapshot::{Age, Header, ReadMode, Snapshot, SourceKind, StackStatus, Task, TaskState};

/// A fact about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// How long it has been in its state. Never [`Age::Unknown`].
    Age(Age),
    /// Its state, where the wait reason does not imply it.
    State(TaskState),
    /// How long ago it was created, nanoseconds.
    CreatedAgo(u64),
    /// How often its runtime has polled it.
    Polls(u64),
    /// The thread that it runs on.
    Thread(u32),
    /// The memory of its stack, bytes.
    StackBytes(u64),
    /// It always runs on the same thread.
    LockedToThread,
    /// It belongs to the runtime.
    System,
    /// The runtime has proved that it can never run again.
    Leaked,
    /// The runtime that it belongs to, where the snapshot has several. Raw from the target.
    Runtime(String),
}

impl Fact {
    /// The fact in words: "3 min", "polled 12 times". Raw from the target: escape before printing.
    pub fn words(&self) -> String {
        match self {
            Fact::Age(how_long) => age(*how_long),
            Fact::State(state) => state.name().to_owned(),
            Fact::CreatedAgo(ns) => format!("created {} ago", duration(*ns)),
            Fact::Polls(0) => "never polled".to_owned(),
            Fact::Polls(polls) => format!("polled {}", count(*polls, "time")),
            Fact::Thread(thread) => format!("on thread {thread}"),
            Fact::StackBytes(size) => format!("stack of {}", bytes(*size)),
            Fact::LockedToThread => "locked to thread".to_owned(),
            Fact::System => "system".to_owned(),
            Fact::Leaked => "leaked".to_owned(),
            Fact::Runtime(label) => label.clone(),
        }
    }
}

/// The facts about a task, in the order in which they are printed. `age` is how long the task has been in its
/// state: a series may know more than the task's own snapshot.
pub fn facts(snapshot: &Snapshot, task: &Task, age: Age) -> Vec<Fact> {
    let when = |is: bool, fact: Fact| is.then_some(fact);
    let in_other_state = task.reason.is_some() && task.state != TaskState::Waiting;
    let several_runtimes = snapshot.header.runtimes.len() > 1;
    [
        when(age != Age::Unknown, Fact::Age(age)),
        when(in_other_state, Fact::State(task.state)),
        task.lifetime_ns.map(Fact::CreatedAgo),
        task.polls.map(Fact::Polls),
        task.thread.map(Fact::Thread),
        when(task.stack_bytes > 0, Fact::StackBytes(task.stack_bytes)),
        when(task.locked_to_thread, Fact::LockedToThread),
        when(task.system, Fact::System),
        when(task.leaked, Fact::Leaked),
        several_runtimes.then(|| Fact::Runtime(runtime_label(snapshot, task.runtime))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a task is called: "goroutine 18", "goroutine 0xc000012040" if only its address is known, "12 goroutines
/// (ids unknown)" if it stands for several. Raw from the target: escape before printing.
pub fn name(snapshot: &Snapshot, task: &Task) -> String {
    let noun = snapshot.runtime_of(task).map_or("task", |runtime| &runtime.task_noun);
    match (task.count(), known_id(task)) {
        (1, Some(id)) => format!("{noun} {id}"),
        (1, None) => format!("{noun} (id unknown)"),
        (equal, _) => format!("{} (ids unknown)", count(equal, noun)),
    }
}

/// A task, given by its row, with its start function: "task 42 (api::serve::{async fn})". Raw from the target: escape
/// before printing.
pub fn long_name(snapshot: &Snapshot, row: u32) -> String {
    let Some(task) = snapshot.tasks.get(row as usize) else { return "a task".to_owned() };
    let name = name(snapshot, task);
    match task.entry.map_or("", |entry| snapshot.function_name(entry)) {
        "" => name,
        entry => format!("{name} ({entry})"),
    }
}

/// A task's id, or its address if the id is unknown: "18", "0xc000012040", "unknown".
pub fn id(task: &Task) -> String {
    known_id(task).unwrap_or_else(|| "unknown".to_owned())
}

fn known_id(task: &Task) -> Option<String> {
    match (task.id, task.address) {
        (Some(id), _) => Some(id.to_string()),
        (None, 0) => None,
        (None, address) => Some(format!("{address:#x}")),
    }
}

/// What a task does: its wait reason, else its state. Raw from the target: escape before printing.
pub fn doing<'a>(snapshot: &'a Snapshot, task: &Task) -> &'a str {
    task.reason.map_or(task.state.name(), |reason| snapshot.str(reason))
}

/// Says what of a stack is missing. None: nothing, or nothing that is known. `empty`: no frame is shown.
pub fn stack_note(status: StackStatus, empty: bool, header: &Header) -> Option<&'static str> {
    let core = header.reading.mode == ReadMode::Core;
    let is_read = matches!(header.target.source, SourceKind::Process | SourceKind::Core);
    Some(match status {
        StackStatus::Complete => return None,
        StackStatus::Truncated => "... the outer frames were not read: too many",
        StackStatus::Broken => "... the stack could not be followed any further",
        StackStatus::Gaps if is_read => "... and perhaps more frames, which are not known",
        StackStatus::Gaps => "... and more frames, which the source did not keep",
        StackStatus::Guessed => "... the outer frames were found by frame pointers alone: some may be wrong",
        StackStatus::Missing => match (empty, core) {
            (true, true) => "the stack is not in the core file",
            (true, false) => "the stack could not be read",
            (false, true) => "... the outer frames are not in the core file",
            (false, false) => "... the outer frames could not be read",
        },
        StackStatus::Torn => "changed while it was read: stack unknown",
        StackStatus::Running => "running: stack not read",
        StackStatus::Unknown if empty => "stack unknown",
        StackStatus::Unknown => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::RuntimeInfo;

    fn snapshot(runtimes: usize) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let go =
            RuntimeInfo { name: "go".to_owned(), task_noun: "goroutine".to_owned(), ..Default::default() };
        snapshot.header.runtimes = vec![go; runtimes];
        snapshot
    }

    #[test]
    fn facts_have_one_wording_each() {
        let task = Task {
            state: TaskState::Syscall,
            lifetime_ns: Some(60_000_000_000),
            polls: Some(0),
            thread: Some(7),
            stack_bytes: 2048,
            leaked: true,
            ..Task::default()
        };
        let words = |runtimes, age| -> Vec<String> {
            facts(&snapshot(runtimes), &task, age).iter().map(Fact::words).collect()
        };
        let always = ["created 1 min ago", "never polled", "on thread 7", "stack of 2.0 KiB", "leaked"];
        assert_eq!(words(1, Age::Unknown), always);
        assert_eq!(words(2, Age::AtLeast(5_000_000_000)).first().map(String::as_str), Some(">= 5 s"));
        assert_eq!(words(2, Age::Unknown).last().map(String::as_str), Some("go #1"));
        assert_eq!(Fact::Polls(1).words(), "polled 1 time");
    }

    #[test]
    fn tasks_without_an_id_are_named_by_address_or_said_to_be_unknown() {
        let names = |id, address| {
            let task = Task { id, address, ..Task::default() };
            (name(&snapshot(1), &task), super::id(&task))
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(names(Some(18), 0x10), pair("goroutine 18", "18"));
        assert_eq!(names(None, 0x10), pair("goroutine 0x10", "0x10"));
        assert_eq!(names(None, 0), pair("goroutine (id unknown)", "unknown"));
    }
}
