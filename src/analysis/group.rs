//! Puts tasks that have something in common into groups.
//!
//! Everything works on interned ids: a task costs a few table look-ups, however deep its stack is. Two stacks
//! that differ in addresses only (two calls on one line, a function inlined twice) count as equal if their
//! shown frames are, which is computed once for each distinct stack.

use std::collections::hash_map::Entry;
use std::fmt;
use std::str::FromStr;

use rustc_hash::FxHashMap;

use super::filter::{Filter, Selection};
use super::frames::{ShownFrame, creator_frame, shown_frames};
use super::locks::HoldSummary;
use super::tally::{Counter, Tally};
use super::waits::{WaitSummary, WaitTable};
use crate::analysis::parse_error::ParseError;
use crate::snapshot::*;

/// What the tasks of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum GroupKey {
    /// Shown frames, reason and creator.
    #[default]
    Stack,
    /// The innermost shown function.
    Function,
    /// The state, or the wait reason.
    State,
    /// The place where they were created.
    Creator,
    /// The value of a label.
    Label(String),
    /// The things they wait for.
    WaitsOn,
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupKey::Stack => f.write_str("stack"),
            GroupKey::Function => f.write_str("function"),
            GroupKey::State => f.write_str("state"),
            GroupKey::Creator => f.write_str("creator"),
            GroupKey::Label(key) => write!(f, "label:{key}"),
            GroupKey::WaitsOn => f.write_str("waits-on"),
        }
    }
}

impl FromStr for GroupKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Ok(match text {
            "stack" => GroupKey::Stack,
            "function" => GroupKey::Function,
            "state" => GroupKey::State,
            "creator" => GroupKey::Creator,
            "waits-on" => GroupKey::WaitsOn,
            _ => match text.strip_prefix("label:") {
                Some(key) if !key.is_empty() => GroupKey::Label(key.to_owned()),
                _ => {
                    return Err(ParseError::new(
                        "use stack, function, state, creator, label:KEY or waits-on",
                    ));
                }
            },
        })
    }
}

/// The order of groups and of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// The largest group first.
    #[default]
    Count,
    /// The group with the oldest task first.
    Age,
    /// By name.
    Name,
    /// By the lowest id.
    Id,
}

/// What all tasks of a group share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Common {
    /// Their stack; see [`Group::frames`].
    Stack,
    /// Their innermost shown function.
    Function(Option<FunctionId>),
    /// Their state, and the reason if there is one.
    State(TaskState, Option<StrId>),
    /// Where they were created.
    Creator(Option<LocationId>),
    /// The value of the label. None: without that label.
    Label(Option<StrId>),
    /// The things they wait for. Empty: none that is known.
    WaitsOn(Vec<ObjectId>),
}

/// How long the tasks of a group have been in their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ages {
    /// The shortest known time.
    pub youngest: Age,
    /// The longest known time.
    pub oldest: Age,
    /// Tasks of unknown age.
    pub unknown: u64,
}

impl Ages {
    /// Adds the tasks of a row.
    pub(super) fn add(&mut self, task: &Task) {
        let age = task.age;
        let Some(ns) = age.nanos() else {
            self.unknown = self.unknown.saturating_add(task.count());
            return;
        };
        if self.youngest.nanos().is_none_or(|youngest| ns < youngest) {
            self.youngest = age;
        }
        // If both are equal, the lower bound wins: it may be longer.
        let oldest = self.oldest.nanos();
        if oldest.is_none_or(|oldest| ns > oldest) || oldest == Some(ns) && matches!(age, Age::AtLeast(_)) {
            self.oldest = age;
        }
    }
}

/// Tasks that have something in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What that is.
    pub common: Common,
    /// Its tasks, as indices into [`Snapshot::tasks`], in its order. Never empty.
    pub tasks: Vec<u32>,
    /// How many tasks these are: one row may stand for several.
    pub count: u64,
    /// Which runtimes they belong to.
    pub runtimes: Tally<u8>,
    /// What they are doing.
    pub states: Tally<TaskState>,
    /// Why they wait. None: they do not, or it is unknown.
    pub reasons: Tally<Option<StrId>>,
    /// How far their stacks can be trusted.
    pub stack_statuses: Tally<StackStatus>,
    /// How long they have been in their state.
    pub ages: Ages,
    /// Where they were created; places with equal frames count as one.
    pub creators: Tally<Option<LocationId>>,
    /// Their labels, key and value.
    pub labels: Tally<(StrId, StrId)>,
    /// The shown frames that they share. If the group is not by stack: those of the first task if all are
    /// equal, else empty.
    pub frames: Vec<ShownFrame>,
    /// What they wait for.
    pub waits: Vec<WaitSummary>,
    /// What they hold while others wait for it.
    pub holds: Vec<HoldSummary>,
    /// How many are bound to a thread.
    pub locked: u64,
    /// How many the runtime has proved to be leaked.
    pub leaked: u64,
    /// How many are the runtime's own.
    pub system: u64,
    /// Bytes of memory that their stacks take.
    pub stack_bytes: u64,
}

/// The result of grouping.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grouped {
    /// The groups, in the requested order, up to the limit.
    pub groups: Vec<Group>,
    /// How many groups there are in all.
    pub total_groups: u64,
    /// How many tasks passed the filter.
    pub total_tasks: u64,
    /// Tasks without any condition.
    pub considered: u64,
    /// Tasks that would have passed it but are the runtime's own.
    pub hidden_system: u64,
}

/// Groups the tasks that pass `filter`. Only `limit` groups (all, if None) are computed and returned, after
/// sorting.
pub fn group(
    snapshot: &Snapshot,
    filter: &Filter,
    key: &GroupKey,
    sort: SortBy,
    limit: Option<usize>,
) -> Grouped {
    group_selected(snapshot, &filter.select(snapshot), filter.all_frames, key, sort, limit)
}

/// The same for tasks that were picked already.
pub fn group_selected(
    snapshot: &Snapshot,
    selection: &Selection,
    all_frames: bool,
    key: &GroupKey,
    sort: SortBy,
    limit: Option<usize>,
) -> Grouped {
    let mut keys = Keys::new(snapshot, all_frames, key);
    let mut drafts: Vec<Draft> = Vec::new();
    let mut by_key: FxHashMap<Key, u32> = FxHashMap::default();
    let mut last: Option<(Key, u32)> = None;
    let bytes = Task::NEEDED_WITH_AGE;
    for (index, task) in picked(&snapshot.tasks, &selection.tasks, bytes) {
        let key = keys.of(task);
        // Neighbours are often in the same group.
        let nth = match last {
            Some((same, nth)) if same == key => nth,
            _ => *by_key.entry(key).or_insert_with(|| {
                drafts.push(Draft::default());
                drafts.len() as u32 - 1
            }),
        };
        last = Some((key, nth));
        if let Some(draft) = drafts.get_mut(nth as usize) {
            draft.tasks.push(index);
            draft.count = draft.count.saturating_add(task.count());
            draft.ages.add(task);
        }
    }
    let total_groups = drafts.len() as u64;
    sort_drafts(&mut drafts, sort, &mut keys);
    drafts.truncate(limit.unwrap_or(usize::MAX));
    let waits = WaitTable::new(snapshot);
    Grouped {
        groups: drafts.into_iter().map(|draft| draft.finish(&mut keys, &waits)).collect(),
        total_groups,
        total_tasks: selection.count,
        considered: selection.considered,
        hidden_system: selection.hidden_system,
    }
}

fn sort_drafts(drafts: &mut [Draft], sort: SortBy, keys: &mut Keys<'_>) {
    use std::cmp::Reverse;
    let first = |draft: &Draft| draft.tasks.first().copied();
    match sort {
        SortBy::Count => drafts.sort_by_key(|d| (Reverse(d.count), Reverse(d.ages.oldest.nanos()), first(d))),
        SortBy::Age => drafts.sort_by_key(|d| (Reverse(d.ages.oldest.nanos()), Reverse(d.count), first(d))),
        SortBy::Name => drafts.sort_by_cached_key(|d| (keys.name(first(d)), Reverse(d.count), first(d))),
        // Tasks are in the order of their ids.
        SortBy::Id => drafts.sort_by_key(first),
    }
}

/// A group under construction.
#[derive(Debug, Default)]
struct Draft {
    tasks: Vec<u32>,
    count: u64,
    ages: Ages,
}

impl Draft {
    fn finish(self, keys: &mut Keys<'_>, waits: &WaitTable<'_>) -> Group {
        let snapshot = keys.snapshot;
        let first = self.tasks.first().and_then(|&index| snapshot.tasks.get(index as usize));
        let (mut counts, mut tally) = (Counts::default(), waits.tally());
        // One walk for all of them: a large group does not fit into the processor's caches.
        for (_, task) in picked(&snapshot.tasks, &self.tasks, size_of::<Task>()) {
            counts.add(task, keys);
            tally.add(task);
        }
        let (waits, holds) = tally.finish();
        Group {
            common: first.map_or(Common::Stack, |task| keys.common(task)),
            runtimes: counts.runtimes.finish(),
            states: counts.states.finish(),
            reasons: counts.reasons.finish(),
            stack_statuses: counts.stack_statuses.finish(),
            ages: self.ages,
            creators: counts.creators.finish(),
            labels: count_labels(snapshot, &counts.label_sets.finish()),
            frames: match first {
                Some(task) if !counts.several_stacks => {
                    shown_frames(snapshot, snapshot.stack_of(task), keys.all_frames)
                }
                _ => Vec::new(),
            },
            waits,
            holds,
            locked: counts.locked,
            leaked: counts.leaked,
            system: counts.system,
            stack_bytes: counts.stack_bytes,
            count: self.count,
            tasks: self.tasks,
        }
    }
}

/// What is counted in a group.
#[derive(Debug, Default)]
struct Counts {
    runtimes: Counter<u8>,
    states: Counter<TaskState>,
    reasons: Counter<Option<StrId>>,
    stack_statuses: Counter<StackStatus>,
    creators: Counter<Option<LocationId>>,
    label_sets: Counter<LabelSetId>,
    locked: u64,
    leaked: u64,
    system: u64,
    stack_bytes: u64,
    /// The number of the first task's shown frames, and whether another task has other ones.
    first_stack: Option<u32>,
    several_stacks: bool,
}

impl Counts {
    fn add(&mut self, task: &Task, keys: &mut Keys<'_>) {
        let count = task.count();
        self.runtimes.add(task.runtime, count);
        self.states.add(task.state, count);
        self.reasons.add(task.reason, count);
        self.stack_statuses.add(task.stack_status, count);
        self.creators.add(keys.creator_of(task), count);
        if let Some(labels) = task.labels {
            self.label_sets.add(labels, count);
        }
        for (is, sum) in [
            (task.locked_to_thread, &mut self.locked),
            (task.leaked, &mut self.leaked),
            (task.system, &mut self.system),
        ] {
            *sum = sum.saturating_add(if is { count } else { 0 });
        }
        self.stack_bytes = self.stack_bytes.saturating_add(task.stack_bytes.saturating_mul(count));
        let stack = keys.stack_of(task);
        self.several_stacks |= *self.first_stack.get_or_insert(stack) != stack;
    }
}

/// Bytes of memory that the stacks of some tasks take.
pub(super) fn stack_bytes<'t>(tasks: impl Iterator<Item = &'t Task>) -> u64 {
    tasks.fold(0, |sum: u64, task| sum.saturating_add(task.stack_bytes.saturating_mul(task.count())))
}

/// Counts pairs of key and value from how often each set of them occurs.
fn count_labels(snapshot: &Snapshot, sets: &Tally<LabelSetId>) -> Tally<(StrId, StrId)> {
    let mut counts: FxHashMap<(StrId, StrId), u64> = FxHashMap::default();
    for &(set, count) in &sets.entries {
        let pairs = snapshot.code.label_sets.get(set.index()).map_or(&[][..], |set| &set.pairs);
        for &pair in pairs {
            let sum = counts.entry(pair).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    let mut entries: Vec<_> = counts.into_iter().collect();
    let text = |(key, value): (StrId, StrId)| (snapshot.str(key), snapshot.str(value));
    entries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| text(a.0).cmp(&text(b.0))));
    Tally { entries }
}

/// The key of a group: what its tasks share, as numbers.
type Key = [u32; 4];

/// An index that has not been computed yet.
const UNKNOWN: u32 = u32::MAX;

/// Turns tasks into keys.
struct Keys<'a> {
    snapshot: &'a Snapshot,
    all_frames: bool,
    by: &'a GroupKey,
    /// For each stack, the number of its shown frames; [`UNKNOWN`] until needed.
    stacks: Vec<u32>,
    numbers: FxHashMap<Vec<Frame>, u32>,
    /// For each stack, its innermost shown function.
    functions: Vec<u32>,
    /// For each location that is a creator, the first one with equal frames.
    creators: Vec<u32>,
    creators_by_frames: FxHashMap<&'a [Frame], u32>,
    /// For each set of labels, the value of the requested label, plus one; 0 without.
    labels: Vec<u32>,
    /// Lists of things that tasks wait for.
    lists: FxHashMap<Vec<ObjectId>, u32>,
}

impl<'a> Keys<'a> {
    fn new(snapshot: &'a Snapshot, all_frames: bool, by: &'a GroupKey) -> Self {
        let labels = match by {
            GroupKey::Label(key) => snapshot
                .code
                .label_sets
                .iter()
                .map(|set| {
                    let pair = set.pairs.iter().find(|&&(k, _)| snapshot.str(k) == key);
                    pair.map_or(0, |&(_, value)| value.0.saturating_add(1))
                })
                .collect(),
            _ => Vec::new(),
        };
        Keys {
            snapshot,
            all_frames,
            by,
            stacks: vec![UNKNOWN; snapshot.code.stacks.len()],
            numbers: FxHashMap::default(),
            functions: vec![UNKNOWN; snapshot.code.stacks.len()],
            creators: vec![UNKNOWN; snapshot.code.locations.len()],
            creators_by_frames: FxHashMap::default(),
            labels,
            lists: FxHashMap::default(),
        }
    }

    fn of(&mut self, task: &Task) -> Key {
        match self.by {
            GroupKey::Stack => [
                self.stack_of(task),
                task.stack_status as u32 | u32::from(task.runtime) << 8,
                reason_or_state(task),
                self.creator_of(task).map_or(0, |id| id.0.saturating_add(1)),
            ],
            GroupKey::Function => [self.function_of(task).map_or(0, |id| id.0.saturating_add(1)), 0, 0, 0],
            GroupKey::State => [reason_or_state(task), 0, 0, 0],
            GroupKey::Creator => [self.creator_of(task).map_or(0, |id| id.0.saturating_add(1)), 0, 0, 0],
            GroupKey::Label(_) => {
                let set = task.labels.and_then(|id| self.labels.get(id.index()));
                [set.copied().unwrap_or(0), 0, 0, 0]
            }
            GroupKey::WaitsOn => match self.snapshot.waits_of(task) {
                [] => [0, 0, 0, 0],
                [wait] => [1, wait.object.0, 0, 0],
                _ => {
                    let list = self.things(task);
                    if let [thing] = list.as_slice() {
                        return [1, thing.0, 0, 0];
                    }
                    let next = self.lists.len() as u32;
                    [2, *self.lists.entry(list).or_insert(next), 0, 0]
                }
            },
        }
    }

    /// The things that a task waits for, each once.
    fn things(&self, task: &Task) -> Vec<ObjectId> {
        let mut list: Vec<_> = self.snapshot.waits_of(task).iter().map(|wait| wait.object).collect();
        list.sort_unstable();
        list.dedup();
        list
    }

    /// The number of the shown frames of a task's stack, from 1; 0 if it has none.
    fn stack_of(&mut self, task: &Task) -> u32 {
        let Some(id) = task.stack else { return 0 };
        let Some(&number) = self.stacks.get(id.index()) else { return 0 };
        if number != UNKNOWN {
            return number;
        }
        let frames = shown_frames(self.snapshot, self.snapshot.stack_of(task), self.all_frames);
        let next = self.numbers.len() as u32 + 1;
        let number = *self.numbers.entry(frames.iter().map(|f| f.frame).collect()).or_insert(next);
        if let Some(slot) = self.stacks.get_mut(id.index()) {
            *slot = number;
        }
        number
    }

    /// The innermost shown function of a task.
    fn function_of(&mut self, task: &Task) -> Option<FunctionId> {
        let slot = self.functions.get_mut(task.stack?.index())?;
        if *slot == UNKNOWN {
            let frames = shown_frames(self.snapshot, self.snapshot.stack_of(task), self.all_frames);
            *slot = frames.first().map_or(0, |f| f.frame.function.0.saturating_add(1));
        }
        slot.checked_sub(1).map(FunctionId)
    }

    /// Where a task was started; the same for places with equal frames.
    fn creator_of(&mut self, task: &Task) -> Option<LocationId> {
        let id = task.creator?;
        let location = self.snapshot.code.locations.get(id.index())?;
        let slot = self.creators.get_mut(id.index())?;
        if *slot == UNKNOWN {
            *slot = match self.creators_by_frames.entry(&location.frames) {
                Entry::Occupied(first) => *first.get(),
                Entry::Vacant(none) => *none.insert(id.0),
            };
        }
        Some(LocationId(*slot))
    }

    /// What a task shares with the others of its group.
    fn common(&mut self, task: &Task) -> Common {
        match self.by {
            GroupKey::Stack => Common::Stack,
            GroupKey::Function => Common::Function(self.function_of(task)),
            GroupKey::State => Common::State(task.state, task.reason),
            GroupKey::Creator => Common::Creator(self.creator_of(task)),
            GroupKey::Label(_) => {
                let set = task.labels.and_then(|id| self.labels.get(id.index()));
                Common::Label(set.and_then(|value| value.checked_sub(1)).map(StrId))
            }
            GroupKey::WaitsOn => Common::WaitsOn(self.things(task)),
        }
    }

    /// The sort key of a group when groups are sorted by name, from its first task.
    fn name(&mut self, first: Option<u32>) -> Vec<&'a str> {
        let snapshot = self.snapshot;
        let Some(task) = first.and_then(|index| snapshot.tasks.get(index as usize)) else {
            return Vec::new();
        };
        let name = |id| snapshot.function_name(id);
        match self.common(task) {
            Common::Stack => (shown_frames(snapshot, snapshot.stack_of(task), self.all_frames).iter())
                .map(|f| name(f.frame.function))
                .collect(),
            Common::Function(function) => function.map(name).into_iter().collect(),
            Common::State(state, reason) => vec![reason.map_or(state.name(), |id| snapshot.str(id))],
            Common::Creator(creator) => (creator.and_then(|id| creator_frame(snapshot, id)))
                .map_or(Vec::new(), |f| vec![name(f.function), snapshot.str(f.file)]),
            Common::Label(value) => value.map(|id| snapshot.str(id)).into_iter().collect(),
            // Things have addresses, not names: the order of the ids decides.
            Common::WaitsOn(_) => Vec::new(),
        }
    }
}

/// The wait reason, or the state if there is none.
fn reason_or_state(task: &Task) -> u32 {
    task.reason.map_or(UNKNOWN - task.state as u32, |id| id.0)
}
