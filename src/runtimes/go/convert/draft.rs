//! Tasks that are not finished, and what the stages need to finish them.

use crate::process::Target;
use crate::runtimes::ReadOptions;
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::links::Candidates;
use crate::runtimes::go::resolve::Resolver;
use crate::runtimes::go::stacks::{Stack, StackNumber};
use crate::runtimes::go::unwind::CodeAddress;
use crate::snapshot::{ObjectId, SnapshotBuilder, StackId, Task, WaitClass};
use crate::words::go as words;

/// Tasks that are not finished. Until the last stage, [`crate::snapshot::Task::stack`] is an index into
/// `stacks` here.
pub(super) struct Draft<'a> {
    pub(super) go: &'a Go,
    pub(super) target: &'a dyn Target,
    pub(super) options: &'a ReadOptions,
    pub(super) resolver: Resolver<'a>,
    /// Number of the first task of this runtime in the builder.
    pub(super) first_task: usize,
    /// Number of its first wait object.
    pub(super) first_object: usize,
    /// Every distinct stack. Empty until all goroutines have been read.
    pub(super) stacks: Vec<Stack>,
    /// Which of them the tasks have. The others are of earlier readings.
    pub(super) used: Vec<bool>,
    /// Goroutines that wait for something that only their stack or other structs identify.
    pub(super) waiting: Vec<Late>,
    /// Goroutines that run finalizers and cleanups.
    pub(super) helpers: Vec<Late>,
    /// Goroutines that are in C code.
    pub(super) in_c: Vec<Late>,
    /// Goroutines of which links are to be found.
    pub(super) candidates: Candidates,
    /// Descriptors at whose other ends others wait: an address that leads to each, and its object.
    pub(super) ends: Vec<(u64, ObjectId)>,
}

/// A task that cannot be finished before everything has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late {
    /// Number of the task in the builder.
    pub(super) task: usize,
    pub(super) raw: Raw,
    /// The semaphore or list of waiters that the goroutine's own struct named, if any.
    pub(super) semaphore: Option<u64>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        go: &'a Go,
        target: &'a dyn Target,
        options: &'a ReadOptions,
        into: &SnapshotBuilder,
    ) -> Self {
        Draft {
            go,
            target,
            options,
            resolver: Resolver::new(&go.modules),
            first_task: into.task_count(),
            first_object: into.objects().len(),
            stacks: Vec::new(),
            used: Vec::new(),
            waiting: Vec::new(),
            helpers: Vec::new(),
            in_c: Vec::new(),
            candidates: Candidates::default(),
            ends: Vec::new(),
        }
    }
}

impl Draft<'_> {
    /// A task has the stack with this number.
    pub(super) fn use_stack(&mut self, number: StackNumber) {
        let at = number as usize;
        if self.used.len() <= at {
            self.used.resize(at + 1, false);
        }
        self.used[at] = true;
    }
}

/// A goroutine's kind of wait, as far as it is known without the stack. `said` is the meaning of its wait
/// reason.
pub(super) fn wait_class(task: &Task, said: Option<WaitClass>, into: &SnapshotBuilder) -> WaitClass {
    words::without_stack(task, said, || {
        words::objects(into.waits_of(task), into.objects(), |id| into.code.text(id))
    })
}

/// The stack with this number in a draft; empty for none.
pub(super) fn stack(stacks: &[Stack], number: Option<StackId>) -> &[CodeAddress] {
    number.and_then(|number| stacks.get(number.index())).map_or(&[], |stack| stack)
}

/// The stack of a task of a draft.
pub(super) fn stack_of<'s>(stacks: &'s [Stack], task: usize, into: &SnapshotBuilder) -> &'s [CodeAddress] {
    stack(stacks, into.tasks().get(task).and_then(|task| task.stack))
}
