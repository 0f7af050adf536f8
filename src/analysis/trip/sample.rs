//! What a watch takes from a reading: how many tasks there are, in all and by group.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::GROUPS;
use crate::analysis::frames::{creator_frame, frame_name, shown_frames};
use crate::snapshot::{FunctionId, FunctionKind, LocationId, Snapshot, StackId, StackStatus, Task};

/// What so many adapters call is remembered.
const ADAPTERS: usize = 4_096;
/// Longer names are cut, characters.
const NAME: usize = 300;

/// Whose number it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// All tasks of the program.
    All,
    /// Tasks with this start function and creator: "fetch.fetchAll.func1 < fetch.fetchAll".
    Group(Arc<str>),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::All => f.write_str("all tasks"),
            Subject::Group(name) => f.write_str(name),
        }
    }
}

/// The counts of one reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// When it was made, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// Tasks of the program, without the runtime's own.
    pub tasks: u64,
    /// The groups with the most tasks, sorted by name. At most [`GROUPS`].
    pub groups: Vec<(Arc<str>, u64)>,
    /// How many smaller groups there are besides.
    pub left_out: u64,
}

impl Sample {
    /// A sample with these groups, of which the largest are kept.
    pub fn new(at_ns: u64, tasks: u64, mut groups: Vec<(Arc<str>, u64)>) -> Sample {
        groups.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
        let left_out = groups.len().saturating_sub(GROUPS) as u64;
        groups.truncate(GROUPS);
        groups.sort();
        Sample { at_ns, tasks, groups, left_out }
    }
}

/// Counts the tasks of one process, reading by reading.
///
/// Where the start function is only an adapter of the compiler, the group has the name of the function that it calls.
/// That is remembered, because a running task may not show it.
#[derive(Debug, Default)]
pub struct Sampler {
    /// What start functions call that are only adapters.
    called: FxHashMap<String, String>,
}

impl Sampler {
    /// Counts the tasks of a snapshot. None if it does not know when it was taken.
    pub fn sample(&mut self, snapshot: &Snapshot) -> Option<Sample> {
        let at_ns = snapshot.header.taken_at_ns?;
        let mut counts: FxHashMap<Kind, u64> = FxHashMap::default();
        let mut tasks = 0_u64;
        for task in snapshot.tasks.iter().filter(|task| !task.system) {
            tasks = tasks.saturating_add(task.count());
            let count = counts.entry(Kind::of(task)).or_default();
            *count = count.saturating_add(task.count());
        }
        self.learn_adapters(snapshot);
        // Kinds of different stacks may have the same name.
        let mut named: FxHashMap<String, u64> = FxHashMap::default();
        for (kind, more) in counts {
            let count = named.entry(self.name(snapshot, kind)).or_default();
            *count = count.saturating_add(more);
        }
        Some(Sample::new(at_ns, tasks, named.into_iter().map(|(name, count)| (name.into(), count)).collect()))
    }

    /// Remembers what adapters call, where a whole stack shows it.
    fn learn_adapters(&mut self, snapshot: &Snapshot) {
        let mut seen: FxHashSet<FunctionId> = FxHashSet::default();
        for task in snapshot.tasks.iter().filter(|task| !task.system) {
            let Some(entry) = task.entry.filter(|&entry| is_adapter(snapshot, entry)) else { continue };
            let name = snapshot.function_name(entry);
            let full = self.called.len() >= ADAPTERS;
            let whole = task.stack_status == StackStatus::Complete;
            if full || !whole || self.called.contains_key(name) || !seen.insert(entry) {
                continue;
            }
            let shown = shown_frames(snapshot, snapshot.stack_of(task), false);
            let outermost = shown.last().map(|shown| shown.frame.function);
            if let Some(called) = outermost.filter(|&called| !is_adapter(snapshot, called)) {
                self.called.insert(name.to_owned(), snapshot.function_name(called).to_owned());
            }
        }
    }

    /// "fetch.fetchAll.func1 < fetch.fetchAll".
    fn name(&self, snapshot: &Snapshot, kind: Kind) -> String {
        let outermost = || {
            let locations = snapshot.code.stack(kind.stack?);
            shown_frames(snapshot, locations, false).last().map(|shown| frame_name(snapshot, shown.frame))
        };
        let start = match kind.entry.map(|entry| snapshot.function_name(entry)) {
            Some(entry) => self.called.get(entry).map_or(entry, String::as_str).into(),
            None => outermost().unwrap_or_default(),
        };
        let cut = |text: &str| text.chars().take(NAME).collect::<String>();
        let mut name = if start.is_empty() { "unknown".to_owned() } else { cut(&start) };
        if let Some(frame) = kind.creator.and_then(|id| creator_frame(snapshot, id)) {
            name.push_str(" < ");
            name.push_str(&cut(&frame_name(snapshot, frame)));
        }
        name
    }
}

/// Whether a start function says less than what it calls: the runtime's own, or made by the compiler.
fn is_adapter(snapshot: &Snapshot, id: FunctionId) -> bool {
    let kind = snapshot.code.functions.get(id.index()).map(|function| function.kind);
    matches!(kind, Some(FunctionKind::Internal | FunctionKind::Wrapper))
}

/// What decides the group of a task, in ids of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    entry: Option<FunctionId>,
    /// Only if the start function is not known.
    stack: Option<StackId>,
    creator: Option<LocationId>,
}

impl Kind {
    fn of(task: &Task) -> Kind {
        let stack = task.stack.filter(|_| task.entry.is_none());
        Kind { entry: task.entry, stack, creator: task.creator }
    }
}
