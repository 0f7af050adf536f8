//! Tasks that are not finished, and what the stages need to finish them.

use super::stacks::DraftStacks;
use crate::process::Target;
use crate::runtimes::ReadOptions;
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::links::Candidates;
use crate::runtimes::go::resolve::Resolver;
use crate::runtimes::go::stacks::Stacks;
use crate::snapshot::{ObjectId, SnapshotBuilder, Task, WaitClass};
use crate::words::go as words;

/// Tasks that are not finished.
pub(super) struct Draft<'a> {
    pub(super) go: &'a Go,
    pub(super) target: &'a dyn Target,
    pub(super) options: &'a ReadOptions,
    pub(super) resolver: Resolver<'a>,
    /// Number of the first task of this runtime in the builder.
    pub(super) first_task: usize,
    /// Number of its first wait object.
    pub(super) first_object: usize,
    pub(super) stacks: DraftStacks<'a>,
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
        stacks: &'a Stacks,
        into: &SnapshotBuilder,
    ) -> Self {
        Draft {
            go,
            target,
            options,
            resolver: Resolver::new(&go.modules),
            first_task: into.task_count(),
            first_object: into.objects().len(),
            stacks: DraftStacks::new(stacks, into.task_count()),
            waiting: Vec::new(),
            helpers: Vec::new(),
            in_c: Vec::new(),
            candidates: Candidates::default(),
            ends: Vec::new(),
        }
    }
}

/// A goroutine's kind of wait, as far as it is known without the stack. `said` is the meaning of its wait
/// reason.
pub(super) fn wait_class(task: &Task, said: Option<WaitClass>, into: &SnapshotBuilder) -> WaitClass {
    words::without_stack(task, said, || {
        words::objects(into.waits_of(task), into.objects(), |id| into.code.text(id))
    })
}
