//! Which test started a task.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::listed::Listed;
use crate::analysis::frames::creator_frame;
use crate::analysis::lore;
use crate::snapshot::{FunctionId, LabelSetId, LocationId, Snapshot, StackId, Task};

/// Ancestors that are followed through tasks that are still there. Ids may form a cycle in a damaged file.
const MAX_PARENTS: usize = 32;
/// The label by which programs name the test, in any case.
const LABEL: &str = "test";

/// How a task was charged to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// A function on its stack names the test.
    Frame,
    /// The function that started it does.
    Creator,
    /// Its start function does.
    Entry,
    /// The task that started it, or one before that, is still there and names the test.
    Parent,
    /// An ancestor that has ended named the test; the runtime kept its stack.
    Ancestor,
    /// A label of it names the test.
    Label,
    /// No other test ran in the process.
    Only,
}

/// Tasks that are charged to one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The test, and how it is known. None: the tasks are charged to the program as a whole.
    pub test: Option<(String, Way)>,
    /// How many tasks.
    pub tasks: u64,
    /// Where the test's own code started a task or went on to, if the stacks say: its file and line, as the program has
    /// them.
    pub place: Option<(String, u32)>,
}

/// Charges tasks of one snapshot. Each stack, creator and label set is looked at once.
pub(super) struct Charger<'a> {
    snapshot: &'a Snapshot,
    listed: Listed<'a>,
    functions: FxHashMap<FunctionId, Option<&'a str>>,
    stacks: FxHashMap<StackId, Option<Named<'a>>>,
    by_id: FxHashMap<(u8, u64), u32>,
}

/// A test's name, and a place in its code.
#[derive(Debug, Clone, Copy)]
struct Named<'a> {
    test: &'a str,
    place: Option<(&'a str, u32)>,
}

impl<'a> Charger<'a> {
    /// `tests`: those that the program lists.
    pub(super) fn new(snapshot: &'a Snapshot, tests: &'a [String]) -> Self {
        let listed = Listed::new(tests, &snapshot.header);
        let ids = snapshot.tasks.iter().zip(0..);
        let by_id = ids.filter_map(|(task, row)| Some(((task.runtime, task.id?), row))).collect();
        Charger { snapshot, listed, functions: FxHashMap::default(), stacks: FxHashMap::default(), by_id }
    }

    /// The charges of tasks, given by their rows: the largest number first.
    pub(super) fn charges(&mut self, rows: &[u32]) -> Vec<Charge> {
        let mut charges: BTreeMap<Option<(String, Way)>, Charge> = BTreeMap::new();
        for &row in rows {
            let Some(task) = self.snapshot.tasks.get(row as usize) else { continue };
            let (test, place) = match self.of(row, task) {
                Some((named, way)) => (Some((named.test.to_owned(), way)), named.place),
                None => (None, None),
            };
            let charge = charges.entry(test.clone()).or_insert_with(|| {
                let place = place.map(|(file, line)| (file.to_owned(), line));
                Charge { test, tasks: 0, place }
            });
            charge.tasks = charge.tasks.saturating_add(task.count());
        }
        let mut charges: Vec<Charge> = charges.into_values().collect();
        // A stable sort: equal numbers stay in the order of names.
        charges.sort_by_key(|charge| (charge.test.is_none(), std::cmp::Reverse(charge.tasks)));
        charges
    }

    fn of(&mut self, row: u32, task: &Task) -> Option<(Named<'a>, Way)> {
        if let Some(found) = self.by_itself(task) {
            return Some(found);
        }
        let mut parent = task.parent;
        for _ in 0..MAX_PARENTS {
            let Some(&row) = parent.and_then(|id| self.by_id.get(&(task.runtime, id))) else { break };
            let Some(other) = self.snapshot.tasks.get(row as usize) else { break };
            if let Some((named, _)) = self.by_itself(other) {
                return Some((named, Way::Parent));
            }
            parent = other.parent;
        }
        let snapshot = self.snapshot;
        for ancestor in snapshot.ancestors_of(row) {
            let stack = ancestor.stack.and_then(|stack| self.by_stack(task.runtime, stack));
            let creator = |charger: &mut Self| charger.by_creator(task.runtime, ancestor.creator?);
            if let Some(named) = stack.or_else(|| creator(self)) {
                return Some((named, Way::Ancestor));
            }
        }
        let label = task.labels.and_then(|labels| self.by_label(labels)).map(|named| (named, Way::Label));
        label.or_else(|| Some((Named { test: self.listed.only()?, place: None }, Way::Only)))
    }

    /// What the task says without others.
    fn by_itself(&mut self, task: &Task) -> Option<(Named<'a>, Way)> {
        let runtime = task.runtime;
        if let Some(named) = task.stack.and_then(|stack| self.by_stack(runtime, stack)) {
            return Some((named, Way::Frame));
        }
        if let Some(named) = task.creator.and_then(|creator| self.by_creator(runtime, creator)) {
            return Some((named, Way::Creator));
        }
        let test = task.entry.and_then(|entry| self.by_function(runtime, entry))?;
        Some((Named { test, place: None }, Way::Entry))
    }

    /// The outermost function of a stack that names a test: a helper may be called like a test, too.
    fn by_stack(&mut self, runtime: u8, stack: StackId) -> Option<Named<'a>> {
        if let Some(&known) = self.stacks.get(&stack) {
            return known;
        }
        let locations = self.snapshot.code.stack(stack);
        let named = locations.iter().rev().find_map(|&location| self.by_location(runtime, location));
        self.stacks.insert(stack, named);
        named
    }

    fn by_location(&mut self, runtime: u8, location: LocationId) -> Option<Named<'a>> {
        let snapshot = self.snapshot;
        let frames = &snapshot.code.locations.get(location.index())?.frames;
        frames.iter().rev().find_map(|frame| {
            let test = self.by_function(runtime, frame.function)?;
            Some(Named { test, place: place(snapshot.str(frame.file), frame.line) })
        })
    }

    fn by_creator(&mut self, runtime: u8, creator: LocationId) -> Option<Named<'a>> {
        let frame = creator_frame(self.snapshot, creator)?;
        let test = self.by_function(runtime, frame.function);
        let place = place(self.snapshot.str(frame.file), frame.line);
        test.map(|test| Named { test, place }).or_else(|| self.by_location(runtime, creator))
    }

    fn by_function(&mut self, runtime: u8, function: FunctionId) -> Option<&'a str> {
        let (snapshot, listed) = (self.snapshot, &self.listed);
        *self.functions.entry(function).or_insert_with(|| {
            let runtime = snapshot.header.runtimes.get(usize::from(runtime))?;
            let name = snapshot.function_name(function);
            match lore::of(&runtime.name).tests {
                Some(test_of) => test_of(name),
                None => listed.test_of(name),
            }
        })
    }

    /// A label with the key "test", or one whose value is called like a test.
    fn by_label(&self, labels: LabelSetId) -> Option<Named<'a>> {
        let snapshot = self.snapshot;
        let set = snapshot.code.label_sets.get(labels.index())?;
        let texts = || set.pairs.iter().map(|&(key, value)| (snapshot.str(key), snapshot.str(value)));
        let keyed = texts().find(|(key, value)| key.eq_ignore_ascii_case(LABEL) && !value.is_empty());
        let named =
            || texts().find(|(_, value)| lore::go::is_test(value.split('/').next().unwrap_or_default()));
        keyed.or_else(named).map(|(_, test)| Named { test, place: None })
    }
}

fn place(file: &str, line: u32) -> Option<(&str, u32)> {
    (!file.is_empty() && line != 0).then_some((file, line))
}
