//! What a watch takes from a reading: how many tasks there are, in all and by group.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::GROUPS;
use crate::analysis::frames::{creator_frame, frame_name, shown_frames};
use crate::snapshot::{FunctionId, LocationId, Snapshot, StackId, Task};

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
    /// Counts the tasks of a snapshot. None if it does not know when it was taken.
    pub fn of(snapshot: &Snapshot) -> Option<Sample> {
        let at_ns = snapshot.header.taken_at_ns?;
        let mut counts: FxHashMap<Kind, u64> = FxHashMap::default();
        let mut tasks = 0_u64;
        for task in snapshot.tasks.iter().filter(|task| !task.system) {
            tasks = tasks.saturating_add(task.count());
            let count = counts.entry(Kind::of(task)).or_default();
            *count = count.saturating_add(task.count());
        }
        // Kinds of different stacks may have the same name.
        let mut named: FxHashMap<String, u64> = FxHashMap::default();
        for (kind, more) in counts {
            let count = named.entry(kind.name(snapshot)).or_default();
            *count = count.saturating_add(more);
        }
        Some(Sample::new(at_ns, tasks, named.into_iter().map(|(name, count)| (name.into(), count)).collect()))
    }

    /// A sample with these groups, of which the largest are kept.
    pub fn new(at_ns: u64, tasks: u64, mut groups: Vec<(Arc<str>, u64)>) -> Sample {
        groups.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
        let left_out = groups.len().saturating_sub(GROUPS) as u64;
        groups.truncate(GROUPS);
        groups.sort();
        Sample { at_ns, tasks, groups, left_out }
    }
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

    /// "fetch.fetchAll.func1 < fetch.fetchAll".
    fn name(&self, snapshot: &Snapshot) -> String {
        let outermost = || {
            let locations = snapshot.code.stack(self.stack?);
            shown_frames(snapshot, locations, false).last().map(|shown| frame_name(snapshot, shown.frame))
        };
        let entry = match self.entry {
            Some(entry) => snapshot.function_name(entry).into(),
            None => outermost().unwrap_or_default(),
        };
        let cut = |text: &str| text.chars().take(NAME).collect::<String>();
        let mut name = if entry.is_empty() { "unknown".to_owned() } else { cut(&entry) };
        let creator = self.creator.and_then(|id| creator_frame(snapshot, id));
        if let Some(frame) = creator {
            name.push_str(" < ");
            name.push_str(&cut(&frame_name(snapshot, frame)));
        }
        name
    }
}
