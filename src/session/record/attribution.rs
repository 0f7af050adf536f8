//! Whose the samples are, as the runtimes say.

use super::RecordError;
use super::batch::Batch;
use super::threads::Threads;
use crate::process::{Moment, Target};
use crate::recording::{Clock, RecordingBuilder, Sample, Whose};
use crate::runtimes::{Attribute, Claim, Images, NativeStacks, Owner, Readable};
use crate::snapshot::{LabelSetId, LocationId, StackStatus, TaskState, WaitClass};

/// Says whose samples are, and adds them to a recording.
pub(super) struct Attribution<'a> {
    target: &'a dyn Target,
    runtimes: Vec<Box<dyn Attribute + 'a>>,
    images: Images<'a>,
    native: NativeStacks,
    start_ns: u64,
}

/// What was found out about a sample.
pub(super) struct Found {
    pub(super) whose: Whose,
    pub(super) labels: Option<LabelSetId>,
    pub(super) stack: Vec<LocationId>,
    pub(super) stack_status: StackStatus,
}

impl<'a> Attribution<'a> {
    /// `start_ns`: the start of the recording, CLOCK_MONOTONIC.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub(super) fn new(target: &'a dyn Target, start_ns: u64) -> Result<Self, RecordError> {
        Ok(Attribution {
            target,
            runtimes: Vec::new(),
            images: Images::new(target),
            native: NativeStacks::new(target).map_err(crate::Error::from)?,
            start_ns,
        })
    }

    /// From here on, the runtimes of the process say whose samples are.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub(super) fn learn(&mut self, readable: &'a Readable) -> Result<(), RecordError> {
        self.runtimes = readable.attributions(self.target)?;
        Ok(())
    }

    /// Looks again at the images of the process: code was mapped.
    pub(super) fn renew(&mut self, builder: &mut RecordingBuilder) {
        // What was mapped until now is noted with the images of its time.
        self.images.note(&mut builder.code);
        if self.target.mappings().is_ok() {
            self.images = Images::new(self.target);
        }
        self.native.renew(self.target);
    }

    /// Adds the samples of a batch.
    ///
    /// # Errors
    /// If the target cannot be read, unless it has ended.
    pub(super) fn add(
        &mut self,
        batch: &Batch,
        threads: &mut Threads,
        builder: &mut RecordingBuilder,
    ) -> Result<(), RecordError> {
        if batch.has_new_code() {
            self.renew(builder);
        }
        let all = batch.samples.iter().chain(batch.departures.iter());
        let moments: Vec<Moment<'_>> = all.map(|(moment, _)| moment).collect();
        for runtime in &mut self.runtimes {
            match runtime.refresh(&moments, &mut builder.code) {
                Err(error) if !error.is_gone() => return Err(error.into()),
                _ => {}
            }
        }
        for (moment, weight_ns) in batch.samples.iter() {
            let found = self.find(&moment, builder);
            let stack = builder.stack(found.stack);
            let thread = threads.row(moment.tid, builder);
            builder.sample(Sample {
                at_ns: moment.at_ns.saturating_sub(self.start_ns),
                clock: Clock::Cpu,
                whose: found.whose,
                thread,
                labels: found.labels,
                state: TaskState::Running,
                wait_class: WaitClass::Nothing,
                stack,
                stack_status: found.stack_status,
                count: 1,
                weight_ns,
                ..Sample::default()
            });
        }
        Ok(())
    }

    /// Whose a moment of a batch is that was added.
    pub(super) fn find(&mut self, moment: &Moment<'_>, builder: &mut RecordingBuilder) -> Found {
        let claim = self.runtimes.iter_mut().find_map(|runtime| runtime.whose(moment, &mut builder.code));
        let mut found = match claim {
            Some(claim) => of_runtime(claim, builder),
            None => Found {
                whose: Whose::Native,
                labels: None,
                stack: Vec::new(),
                stack_status: StackStatus::Unknown,
            },
        };
        if found.stack.is_empty() {
            (found.stack, found.stack_status) = self.native.stack(moment, &mut builder.code);
        }
        let kernel = self.native.kernel(moment.kernel_chain, &mut builder.code);
        found.stack.splice(0..0, kernel);
        found
    }

    /// What a thread is blocked in. None if that is not certain.
    pub(super) fn blocked(
        &mut self,
        tid: u32,
        since_ns: u64,
        builder: &mut RecordingBuilder,
    ) -> Option<Found> {
        let mut runtimes = self.runtimes.iter_mut();
        if let Some(claim) = runtimes.find_map(|runtime| runtime.blocked(tid, since_ns, &mut builder.code)) {
            return Some(of_runtime(claim, builder));
        }
        let (stack, stack_status) = self.native.blocked(self.target, tid, &mut builder.code)?;
        Some(Found { whose: Whose::Native, labels: None, stack, stack_status })
    }

    /// Records what else is known of the code.
    pub(super) fn finish(mut self, builder: &mut RecordingBuilder) {
        self.images.note(&mut builder.code);
        for runtime in &mut self.runtimes {
            runtime.finish(&mut builder.code);
        }
        self.native.finish(&mut builder.code);
    }
}

fn of_runtime(claim: Claim, builder: &mut RecordingBuilder) -> Found {
    let (whose, labels) = match claim.owner {
        Owner::Task(task, labels) => (Whose::Task(builder.task(task)), labels),
        Owner::Scheduler => (Whose::Scheduler, None),
        Owner::Unknown => (Whose::Unknown, None),
    };
    Found { whose, labels, stack: claim.stack, stack_status: claim.stack_status }
}
