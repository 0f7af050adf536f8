//! The tasks' stacks in the snapshot, and what they say about the tasks' waits.

use crate::runtimes::go::resolve::Resolver;
use crate::runtimes::go::stacks::{Stack, StackNumber, Stacks, TaskStacks};
use crate::snapshot::{FunctionId, LocationId, SnapshotBuilder, StackId};
use crate::words::go::{StackFacts, StackReader};

/// The stacks that the tasks have: in the snapshot, and as they were read.
pub(super) struct DraftStacks<'a> {
    read: &'a Stacks,
    first_task: usize,
    /// The numbers of the tasks' stacks.
    numbers: Vec<Option<StackNumber>>,
    /// Every stack that was read. Empty until all have been.
    all: Vec<Stack>,
    /// By their numbers: those that a task has had so far.
    known: Vec<Option<(StackId, StackFacts)>>,
    reader: StackReader,
}

impl<'a> DraftStacks<'a> {
    /// No task has a stack so far. `first_task`: the number of the next task.
    pub(super) fn new(read: &'a Stacks, first_task: usize) -> Self {
        DraftStacks {
            read,
            first_task,
            numbers: Vec::new(),
            all: Vec::new(),
            known: Vec::new(),
            reader: StackReader::default(),
        }
    }

    /// Makes room for the stacks of this many more tasks.
    pub(super) fn reserve(&mut self, more: usize) {
        self.numbers.reserve(more);
    }

    /// The next task has the stack with this number: what it is in the snapshot, and what it says of the wait.
    pub(super) fn add(
        &mut self,
        number: Option<StackNumber>,
        resolver: &mut Resolver<'_>,
        into: &mut SnapshotBuilder,
    ) -> (Option<StackId>, StackFacts) {
        self.numbers.push(number);
        let Some(number) = number else { return (None, StackFacts::default()) };
        let found = match self.known.get(number as usize) {
            Some(Some(known)) => Some(*known),
            _ => self.resolve(number, resolver, into),
        };
        found.map_or((None, StackFacts::default()), |(id, facts)| (Some(id), facts))
    }

    #[cold]
    fn resolve(
        &mut self,
        number: StackNumber,
        resolver: &mut Resolver<'_>,
        into: &mut SnapshotBuilder,
    ) -> Option<(StackId, StackFacts)> {
        let stack = self.read.get(number)?;
        let locations: Vec<_> = stack.iter().map(|pc| resolver.location(*pc, &mut into.code)).collect();
        let facts = facts(&mut self.reader, &locations, into);
        let found = (into.code.stack(locations), facts);
        let at = number as usize;
        if self.known.len() <= at {
            self.known.resize(at + 1, None);
        }
        self.known[at] = Some(found);
        Some(found)
    }

    /// All goroutines have been read.
    pub(super) fn complete(&mut self) {
        self.all = self.read.list();
    }

    /// The tasks' stacks as they were read, when all have been.
    pub(super) fn as_read(&self) -> TaskStacks<'_> {
        TaskStacks { first_task: self.first_task, numbers: &self.numbers, all: &self.all }
    }

    /// What the stack of a task says of its wait.
    pub(super) fn facts(&self, task: usize) -> StackFacts {
        let number = self.as_read().number(task);
        let known = number.and_then(|number| self.known.get(number as usize).copied().flatten());
        known.map_or(StackFacts::default(), |(_, facts)| facts)
    }
}

/// What the functions of a stack say about a wait.
fn facts(reader: &mut StackReader, stack: &[LocationId], into: &SnapshotBuilder) -> StackFacts {
    let code = &into.code;
    let name = |id: FunctionId| {
        let function = code.function_at(id);
        function.map_or(("", ""), |function| (code.text(function.name), code.text(function.package)))
    };
    let locations = stack.iter().filter_map(|id| code.locations().get(id.index()));
    reader.read(locations.flat_map(|location| &location.frames).map(|frame| frame.function), name)
}
