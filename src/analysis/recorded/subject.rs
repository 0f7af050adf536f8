//! Whose time a row is, in the terms that groups are made by.

use std::fmt;
use std::str::FromStr;

use rustc_hash::FxHashMap;

use super::{Recorded, Row};
use crate::analysis::frames::{creator_frame, frame_name};
use crate::analysis::lore;
use crate::analysis::parse_error::ParseError;
use crate::analysis::pattern::Pattern;
use crate::recording::{Clock, TaskRow, ThreadRow, Whose};
use crate::snapshot::{
    Frame, FunctionId, FunctionKind, Snapshot, StackId, StackStatus, StrId, Task, TaskState,
};

/// What the rows of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum By {
    /// The kind of task: its start function and what started it.
    #[default]
    Kind,
    /// The value of a label.
    Label(String),
    /// Where it was started.
    Creator,
    /// The innermost shown function.
    Function,
    /// The state, or the wait reason.
    State,
    /// The thread.
    Thread,
    /// The task.
    Task,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Kind => f.write_str("kind"),
            By::Label(key) => write!(f, "label:{key}"),
            By::Creator => f.write_str("creator"),
            By::Function => f.write_str("function"),
            By::State => f.write_str("state"),
            By::Thread => f.write_str("thread"),
            By::Task => f.write_str("task"),
        }
    }
}

impl FromStr for By {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Ok(match text {
            "kind" => By::Kind,
            "creator" => By::Creator,
            "function" => By::Function,
            "state" => By::State,
            "thread" => By::Thread,
            "task" => By::Task,
            _ => match text.strip_prefix("label:") {
                Some(key) if !key.is_empty() => By::Label(key.to_owned()),
                _ => {
                    return Err(ParseError::new(
                        "use kind, label:KEY, creator, function, state, thread or task",
                    ));
                }
            },
        })
    }
}

/// Whose time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// Tasks with this start function and this creator, as far as they are known.
    Tasks(Option<FunctionId>, Option<Frame>),
    /// Tasks that collect garbage.
    Collector,
    /// The scheduler of a runtime.
    Scheduler,
    /// Threads that run no tasks, by name.
    Native(Option<StrId>),
    /// Not known.
    Unknown,
    /// A function.
    Function(Option<FunctionId>),
    /// Tasks that were started here.
    Creator(Option<Frame>),
    /// A state, or a reason to wait.
    Doing(TaskState, Option<StrId>),
    /// A thread.
    Thread(Option<ThreadRow>),
    /// A task. The runtime's number and the task's id and address, as far as they are known.
    Task(TaskRow, u8, Option<u64>, u64),
    /// Tasks with this value of the label. None: without the label.
    Label(Option<StrId>),
}

/// Turns rows into subjects.
pub(super) struct Subjects<'a> {
    recorded: &'a Recorded,
    by: &'a By,
    all_frames: bool,
    /// For each runtime, the start functions of tasks that collect garbage.
    collectors: Vec<Vec<Pattern>>,
    /// Whether a start function is one of a collector, by runtime.
    known: FxHashMap<(u8, FunctionId), bool>,
    /// What start functions call that are only adapters.
    called: FxHashMap<FunctionId, Option<FunctionId>>,
    /// The innermost and the outermost shown frame of each stack that was asked for.
    ends: FxHashMap<StackId, [Option<FunctionId>; 2]>,
    label: Option<&'a str>,
}

impl<'a> Subjects<'a> {
    pub(super) fn new(recorded: &'a Recorded, by: &'a By, all_frames: bool) -> Self {
        let collectors = |runtime: &crate::snapshot::RuntimeInfo| {
            lore::of(&runtime.name).collectors.iter().map(|name| Pattern::whole(name)).collect()
        };
        Subjects {
            recorded,
            by,
            all_frames,
            collectors: recorded.header.runtimes.iter().map(collectors).collect(),
            known: FxHashMap::default(),
            called: FxHashMap::default(),
            ends: FxHashMap::default(),
            label: if let By::Label(key) = by { Some(key) } else { None },
        }
    }

    /// Whose time a row is.
    pub(super) fn of(&mut self, nth: u32) -> Subject {
        let (Some(row), Some(task)) =
            (self.recorded.rows.get(nth as usize), self.recorded.snapshot.tasks.get(nth as usize))
        else {
            return Subject::Unknown;
        };
        match self.by {
            By::Function => Subject::Function(self.ends(task).0),
            By::State if task.reason.is_some() => Subject::Doing(TaskState::Waiting, task.reason),
            By::State => Subject::Doing(task.state, None),
            By::Thread => Subject::Thread(row.thread),
            By::Label(_) => match self.label.and_then(|key| value(&self.recorded.snapshot, task, key)) {
                Some(value) => Subject::Label(Some(value)),
                None => self.owner(row, task).unwrap_or(Subject::Label(None)),
            },
            By::Kind => {
                let owner = self.owner(row, task);
                owner.unwrap_or_else(|| self.kind(task))
            }
            By::Creator => {
                let owner = self.owner(row, task);
                owner.unwrap_or_else(|| Subject::Creator(self.creator(task)))
            }
            By::Task => match row.whose {
                Whose::Task(id) => Subject::Task(id, task.runtime, task.id, task.address),
                _ => self.owner(row, task).unwrap_or(Subject::Unknown),
            },
        }
    }

    /// Whose time it is, if it is no task's of the program. Time off CPU is at least the thread's.
    fn owner(&mut self, row: &Row, task: &Task) -> Option<Subject> {
        match row.whose {
            Whose::Task(_) => self.collects(task).then_some(Subject::Collector),
            Whose::Scheduler => Some(Subject::Scheduler),
            Whose::Native => {
                let thread = row.thread.and_then(|row| self.recorded.threads.get(row.index()));
                Some(Subject::Native(thread.and_then(|thread| thread.name)))
            }
            Whose::Unknown if row.clock == Clock::OffCpu && row.thread.is_some() => {
                Some(Subject::Thread(row.thread))
            }
            Whose::Unknown => Some(Subject::Unknown),
        }
    }

    fn collects(&mut self, task: &Task) -> bool {
        // A profile does not say what a task was started with: the outermost function is close to it.
        let entry = if task.system { task.entry.or_else(|| self.ends(task).1) } else { None };
        let (runtime, Some(entry)) = (task.runtime, entry) else { return false };
        *self.known.entry((runtime, entry)).or_insert_with(|| {
            let name = self.recorded.snapshot.function_name(entry);
            let patterns = self.collectors.get(usize::from(runtime));
            patterns.is_some_and(|patterns| patterns.iter().any(|p| p.matches(name)))
        })
    }

    /// The kind of a task. A start function that only belongs to the machinery (the runtime's own, or an adapter of
    /// the compiler) says less than the outermost shown function.
    fn kind(&mut self, task: &Task) -> Subject {
        let snapshot = &self.recorded.snapshot;
        let kind = |id: FunctionId| snapshot.code.functions.get(id.index()).map(|function| function.kind);
        let plain =
            |id: FunctionId| !matches!(kind(id), Some(FunctionKind::Internal | FunctionKind::Wrapper));
        let start = match task.entry {
            Some(entry) if task.system || plain(entry) => Some(entry),
            Some(entry) => self.called_by(entry).filter(|&called| plain(called)).or(Some(entry)),
            None => self.ends(task).1.filter(|&outermost| plain(outermost)),
        };
        Subject::Tasks(start, self.creator(task))
    }

    /// The function that an adapter calls: an adapter of the compiler is made for one call. Some rows of its tasks may
    /// have no stack, so all rows are looked at.
    fn called_by(&mut self, entry: FunctionId) -> Option<FunctionId> {
        if let Some(&known) = self.called.get(&entry) {
            return known;
        }
        let whole = |task: &&Task| task.entry == Some(entry) && task.stack_status == StackStatus::Complete;
        let recorded = self.recorded;
        let called = recorded.snapshot.tasks.iter().filter(whole).find_map(|task| self.ends(task).1);
        self.called.insert(entry, called);
        called
    }

    /// Where a task was started, unless the runtime started it.
    fn creator(&self, task: &Task) -> Option<Frame> {
        let snapshot = &self.recorded.snapshot;
        let frame = creator_frame(snapshot, task.creator?)?;
        let function = snapshot.code.functions.get(frame.function.index());
        (!task.system && function.is_none_or(|f| f.kind != FunctionKind::Internal)).then_some(frame)
    }

    /// The innermost and the outermost shown function of a stack.
    fn ends(&mut self, task: &Task) -> (Option<FunctionId>, Option<FunctionId>) {
        let Some(stack) = task.stack else { return (None, None) };
        let [inner, outer] = *self.ends.entry(stack).or_insert_with(|| {
            let ends = |all| {
                let frames = self.recorded.frames(stack, all);
                (frames.first().map(|f| f.frame.function), frames.last().map(|f| f.frame.function))
            };
            [ends(self.all_frames).0, ends(false).1]
        });
        (inner, outer)
    }
}

/// The names of the subjects of all rows: for each row the number of its name, and the names.
pub(super) fn names(recorded: &Recorded, by: &By, all_frames: bool) -> (Vec<u32>, Vec<String>) {
    let mut subjects = Subjects::new(recorded, by, all_frames);
    let (mut names, mut known) = (Vec::new(), FxHashMap::default());
    let of = (0..recorded.rows.len() as u32).map(|nth| {
        let subject = subjects.of(nth);
        *known.entry(subject).or_insert_with(|| {
            let name = recorded.name(subject);
            names.push(if let (By::Label(key), Subject::Label(Some(_))) = (by, subject) {
                format!("{key}={name}")
            } else {
                name
            });
            names.len() as u32 - 1
        })
    });
    (of.collect(), names)
}

/// The value of a task's label.
pub(super) fn value(snapshot: &Snapshot, task: &Task, key: &str) -> Option<StrId> {
    let set = snapshot.code.label_sets.get(task.labels?.index())?;
    set.pairs.iter().find(|&&(k, _)| snapshot.str(k) == key).map(|&(_, value)| value)
}

impl Recorded {
    /// The name of a subject: "worker.run < pool.Start", "scheduler", "native thread jemalloc_bg". It is the same in
    /// another recording of the same program. Raw from the target: escape before printing.
    pub fn name(&self, subject: Subject) -> String {
        let snapshot = &self.snapshot;
        let text =
            |name: &str, unknown: &str| if name.is_empty() { unknown.to_owned() } else { name.to_owned() };
        let place = |frame: Frame| frame_name(snapshot, frame).into_owned();
        match subject {
            Subject::Tasks(None, None) => "start function not known".to_owned(),
            Subject::Tasks(None, Some(creator)) => format!("created by {}", place(creator)),
            Subject::Tasks(Some(start), None) => text(snapshot.function_name(start), "(no name)"),
            Subject::Tasks(Some(start), Some(creator)) => {
                format!("{} < {}", text(snapshot.function_name(start), "(no name)"), place(creator))
            }
            Subject::Collector => "garbage collection".to_owned(),
            Subject::Scheduler => "scheduler".to_owned(),
            Subject::Native(name) => match name.map(|id| snapshot.str(id)) {
                Some(name) if !name.is_empty() => format!("native thread {name}"),
                _ => "native threads without a name".to_owned(),
            },
            Subject::Unknown => "not known whose".to_owned(),
            Subject::Function(None) => "stack unknown".to_owned(),
            Subject::Function(Some(id)) => text(snapshot.function_name(id), "(no name)"),
            Subject::Creator(None) => "creator not known".to_owned(),
            Subject::Creator(Some(frame)) => text(&place(frame), "creator not known"),
            Subject::Doing(state, None) => state.name().to_owned(),
            Subject::Doing(_, Some(reason)) => text(snapshot.str(reason), "(no reason)"),
            Subject::Thread(row) => match row.and_then(|row| self.threads.get(row.index())) {
                None => "on no thread".to_owned(),
                Some(thread) => match thread.name.map(|id| snapshot.str(id)) {
                    Some(name) if !name.is_empty() => format!("thread {} {name}", thread.tid),
                    _ => format!("thread {}", thread.tid),
                },
            },
            Subject::Task(row, runtime, id, address) => {
                let noun = snapshot.header.runtimes.get(usize::from(runtime)).map(|r| r.task_noun.as_str());
                let noun = noun.filter(|noun| !noun.is_empty()).unwrap_or("task");
                match (id, address) {
                    (Some(id), _) => format!("{noun} {id}"),
                    (None, 0) => format!("{noun}s without an id, row {}", row.0),
                    (None, address) => format!("{noun} {address:#x}"),
                }
            }
            Subject::Label(None) => "without the label".to_owned(),
            Subject::Label(Some(value)) => text(snapshot.str(value), "(empty)"),
        }
    }
}
