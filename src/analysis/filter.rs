//! Which tasks are selected.

use rustc_hash::FxHashSet;

use super::frames::{frame_name, shown_frames};
use super::pattern::Pattern;
use crate::snapshot::{LabelSet, LocationId, Snapshot, Task, TaskState, ahead};

/// Which tasks are selected. Conditions of different kinds must all hold; of several conditions of one kind,
/// one is enough. An empty list is no condition.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What the task is doing.
    pub states: Vec<TaskState>,
    /// Why it waits.
    pub reasons: Vec<Pattern>,
    /// A function among the shown frames of its stack.
    pub functions: Vec<Pattern>,
    /// The package of such a function.
    pub packages: Vec<Pattern>,
    /// The function that started it, or the place (file:line) if only that is known.
    pub creators: Vec<Pattern>,
    /// A label: its key, and its value where given.
    pub labels: Vec<(String, Option<String>)>,
    /// Its id.
    pub ids: Vec<u64>,
    /// How long it has been in its state, at least, nanoseconds. Tasks whose age is unknown are left
    /// out; a lower bound counts as the age.
    pub min_age_ns: Option<u64>,
    /// Include the runtime's own tasks.
    pub system: bool,
    /// Include the frames of the runtime's machinery: they are shown, matched and grouped by.
    pub all_frames: bool,
}

/// The result of filtering a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Tasks that pass, as indices into [`Snapshot::tasks`], in its order.
    pub tasks: Vec<u32>,
    /// How many tasks these are: one row may stand for several.
    pub count: u64,
    /// Tasks that would have passed but are the runtime's own.
    pub hidden_system: u64,
    /// How many tasks would have passed without any condition.
    pub considered: u64,
}

impl Filter {
    /// Whether it has a condition at all. Including the runtime's own tasks is not one.
    pub fn has_conditions(&self) -> bool {
        let Filter { states, reasons, functions, packages, creators, labels, ids, min_age_ns, .. } = self;
        let patterns = [reasons, functions, packages, creators];
        !states.is_empty()
            || patterns.iter().any(|patterns| !patterns.is_empty())
            || !labels.is_empty()
            || !ids.is_empty()
            || min_age_ns.is_some()
    }

    /// Picks the tasks that pass.
    pub fn select(&self, snapshot: &Snapshot) -> Selection {
        let matcher = self.has_conditions().then(|| Matcher::new(self, snapshot));
        let mut selection = Selection::default();
        for (index, task) in ahead(&snapshot.tasks, Task::MOST_NEEDED).enumerate() {
            let count = task.count();
            if self.system || !task.system {
                selection.considered = selection.considered.saturating_add(count);
            }
            // Conditions read further parts of a task. Without any, the pass need not wait for that memory.
            if matcher.as_ref().is_some_and(|matcher| !matcher.matches(task)) {
                continue;
            }
            if task.system && !self.system {
                selection.hidden_system = selection.hidden_system.saturating_add(count);
            } else {
                selection.count = selection.count.saturating_add(count);
                selection.tasks.push(index as u32);
            }
        }
        selection
    }
}

/// The conditions, evaluated once for each string, location, stack and set of labels, so that a task costs only
/// a few look-ups. None: no condition.
struct Matcher<'a> {
    filter: &'a Filter,
    reasons: Option<Vec<bool>>,
    functions: Option<Vec<bool>>,
    packages: Option<Vec<bool>>,
    creators: Option<Vec<bool>>,
    labels: Option<Vec<bool>>,
    ids: Option<FxHashSet<u64>>,
}

impl<'a> Matcher<'a> {
    fn new(filter: &'a Filter, snapshot: &Snapshot) -> Self {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|p| p.matches(text));
        let strings = |patterns: &[Pattern]| -> Option<Vec<bool>> {
            (!patterns.is_empty()).then(|| snapshot.code.strings.iter().map(|s| any(patterns, s)).collect())
        };
        let of_functions = |by_string: Vec<bool>, package: bool| -> Vec<bool> {
            let id = |f: &crate::snapshot::Function| if package { f.package } else { f.name };
            snapshot.code.functions.iter().map(|f| at(&by_string, id(f).index())).collect()
        };
        let functions = strings(&filter.functions).map(|s| of_functions(s, false));
        let packages = strings(&filter.packages).map(|s| of_functions(s, true));
        let all_frames = filter.all_frames;
        let stacks = |functions: Vec<bool>| -> Vec<bool> {
            let shown = |stack: &[LocationId]| shown_frames(snapshot, stack, all_frames);
            let has =
                |stack: &[LocationId]| shown(stack).iter().any(|f| at(&functions, f.frame.function.index()));
            snapshot.code.stacks.iter().map(|s| has(&s.locations)).collect()
        };
        Matcher {
            filter,
            reasons: strings(&filter.reasons),
            functions: functions.map(stacks),
            packages: packages.map(stacks),
            creators: (!filter.creators.is_empty()).then(|| {
                let fits = |frame| any(&filter.creators, &frame_name(snapshot, frame));
                snapshot.code.locations.iter().map(|l| l.frames.iter().any(|&frame| fits(frame))).collect()
            }),
            labels: (!filter.labels.is_empty()).then(|| {
                snapshot.code.label_sets.iter().map(|set| has_label(filter, snapshot, set)).collect()
            }),
            ids: (!filter.ids.is_empty()).then(|| filter.ids.iter().copied().collect()),
        }
    }

    fn matches(&self, task: &Task) -> bool {
        let filter = self.filter;
        (filter.states.is_empty() || filter.states.contains(&task.state))
            && passes(&self.reasons, task.reason.map(|id| id.index()))
            && passes(&self.functions, task.stack.map(|id| id.index()))
            && passes(&self.packages, task.stack.map(|id| id.index()))
            && passes(&self.creators, task.creator.map(|id| id.index()))
            && passes(&self.labels, task.labels.map(|id| id.index()))
            && self.ids.as_ref().is_none_or(|ids| task.id.is_some_and(|id| ids.contains(&id)))
            && filter.min_age_ns.is_none_or(|min| task.age.nanos().is_some_and(|ns| ns >= min))
    }
}

fn at(flags: &[bool], index: usize) -> bool {
    flags.get(index).copied().unwrap_or(false)
}

fn passes(flags: &Option<Vec<bool>>, index: Option<usize>) -> bool {
    flags.as_ref().is_none_or(|flags| index.is_some_and(|index| at(flags, index)))
}

fn has_label(filter: &Filter, snapshot: &Snapshot, set: &LabelSet) -> bool {
    set.pairs.iter().any(|&(key, value)| {
        let (key, value) = (snapshot.str(key), snapshot.str(value));
        filter.labels.iter().any(|(k, v)| {
            k.eq_ignore_ascii_case(key) && v.as_deref().is_none_or(|v| v.eq_ignore_ascii_case(value))
        })
    })
}
