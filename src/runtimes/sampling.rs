//! Whose a moment of a thread is: what each runtime says of the samples of a recording.

use crate::Result;
use crate::code::{CodeBuilder, LabelSetId, LocationId};
use crate::process::{Moment, Registers};
use crate::recording::SampledTask;
use crate::snapshot::StackStatus;

/// Says whose the moments of threads are, and with what stacks. It remembers what it has read of the target, so
/// that a moment costs little.
pub trait Attribute {
    /// Reads what changes in the target: which tasks exist, where their stacks are. Called with all moments of a
    /// batch before [`Attribute::whose`] is asked about them, some milliseconds after they happened. What is read
    /// depends on the tasks that the moments name, not on how many there are.
    ///
    /// # Errors
    /// If the target cannot be read.
    fn refresh(&mut self, moments: &[Moment<'_>], into: &mut CodeBuilder) -> Result<()>;

    /// Where the stack ends that a thread with these registers is on, as far as the last refresh tells. What is beyond it
    /// need not be copied from a sample. None if that is not known.
    fn stack_end(&self, _registers: &Registers) -> Option<u64> {
        None
    }

    /// The target has mapped code, perhaps in the place of other code: images are read again.
    fn renew_code(&mut self) {}

    /// Adds to the code what takes too long to read while the target is sampled. Called once, in the end.
    fn finish(&mut self, _into: &mut CodeBuilder) {}

    /// Whose a moment is. None if the thread ran no code of this runtime. A task is named only if the moment itself
    /// proves it: what the target's memory says now may be of another task.
    fn whose(&mut self, moment: &Moment<'_>, into: &mut CodeBuilder) -> Option<Claim>;

    /// The task that a thread has been running since before a time (CLOCK_MONOTONIC, nanoseconds), with the stack that
    /// it has had since then. For threads that have been blocked for a while: the caller knows from the kernel that the
    /// thread was off CPU since then, and checks that it still is afterwards. None if that is not certain.
    fn blocked(&mut self, tid: u32, since_ns: u64, into: &mut CodeBuilder) -> Option<Claim>;
}

/// Whose a moment is.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Whose.
    pub owner: Owner,
    /// It is known which labels the task had, or that it had none.
    pub labels_known: bool,
    /// The stack, innermost first. Empty if it is the thread's own stack, which the caller unwinds with
    /// [`NativeStacks`](super::NativeStacks).
    pub stack: Vec<LocationId>,
    /// Of the thread's own stack, these innermost frames are the task's: the others are of what runs it. None: all.
    pub frames: Option<usize>,
    /// How far the stack can be trusted.
    pub stack_status: StackStatus,
}

impl Claim {
    /// Whether its task or its labels are not known, which may be because the task has ended meanwhile. Which of a
    /// runtime's own tasks it was tells nobody anything.
    pub(crate) fn misses_something(&self) -> bool {
        match self.owner {
            Owner::Task(task, _) => !task.system && (task.id.is_none() || !self.labels_known),
            Owner::Scheduler => false,
            Owner::Unknown => true,
        }
    }
}

/// Whose a moment of a thread of a runtime is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Owner {
    /// A task's, with the labels that it had. No labels if it had none, or if they could not be read while it was still
    /// the same task: [`Claim::labels_known`]. A task without id is some task of the runtime, but it is not known
    /// which.
    Task(SampledTask, Option<LabelSetId>),
    /// The scheduler's.
    Scheduler,
    /// The runtime's, but not known whose.
    Unknown,
}
