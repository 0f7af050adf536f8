//! Whose the samples are, as the runtimes say.

use super::RecordError;
use super::batch::{Batch, Mapped};
use super::code_changes::CodeChanges;
use super::threads::Threads;
use crate::process::{Mark, Moment, Registers, Target, beginning};
use crate::recording::{Clock, RecordingBuilder, Sample, Whose};
use crate::runtimes::{Attribute, Claim, Images, NativeStacks, Owner, Readable};
use crate::session::process::is_another;
use crate::snapshot::{LabelSetId, LocationId, StackStatus, TaskState, WaitClass};

/// Says whose samples are, and adds them to a recording.
pub(super) struct Attribution<'a> {
    target: &'a dyn Target,
    runtimes: Vec<Box<dyn Attribute + 'a>>,
    images: Images<'a>,
    native: NativeStacks,
    start_ns: u64,
    /// What the kernel told the program when it began. None: nobody asks whether it is still the same.
    began: Option<u64>,
    /// Says the same with one short read, as long as it is there. None where nothing is read of the process's memory.
    mark: Option<Mark>,
    changes: CodeChanges,
    /// Samples whose task or labels were not known any more when they were looked at.
    missed: u64,
}

/// What was mapped until a time, as far as it is not in a batch that was added: waits until that is known.
pub(super) type MappedUntil<'a> = dyn FnMut(u64) -> Vec<Mapped> + 'a;

/// What was found out about a sample. By default nothing.
#[derive(Default)]
pub(super) struct Found {
    pub(super) whose: Whose,
    pub(super) labels: Option<LabelSetId>,
    pub(super) stack: Vec<LocationId>,
    pub(super) stack_status: StackStatus,
}

impl Found {
    /// Keeps only the innermost frames of a thread's own stack, which are the task's. They are all of them.
    fn keep(&mut self, frames: Option<usize>) {
        if let Some(frames) = frames.filter(|&frames| frames <= self.stack.len()) {
            self.stack.truncate(frames);
            self.stack_status = StackStatus::Complete;
        }
    }
}

impl<'a> Attribution<'a> {
    /// `start_ns`: the start of the recording, CLOCK_MONOTONIC. `began`: what the kernel told the program when it began.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub(super) fn new(
        target: &'a dyn Target,
        start_ns: u64,
        began: Option<u64>,
    ) -> Result<Self, RecordError> {
        let mut read = None;
        let changes = CodeChanges::new(|| read = Some((Images::new(target), NativeStacks::new(target))));
        let (images, native) = read.unwrap_or_else(|| (Images::new(target), NativeStacks::new(target)));
        let native = native.map_err(crate::Error::from)?;
        let (runtimes, mark) = (Vec::new(), None);
        Ok(Attribution { target, runtimes, images, native, start_ns, began, mark, changes, missed: 0 })
    }

    /// From here on, the runtimes of the process say whose samples are. The recording numbers them from `first` on.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub(super) fn learn(&mut self, readable: &'a Readable, first: u8) -> Result<(), RecordError> {
        self.runtimes = readable.attributions(self.target, first)?;
        // From here on memory of the process is read, so the mark can be, too.
        let pid = self.target.info().pid.unwrap_or(0);
        self.mark = self.began.and_then(|began| Mark::of(self.target, pid, began));
        Ok(())
    }

    /// What was mapped in a batch that will be added.
    pub(super) fn expect(&mut self, batch: &Batch) {
        self.changes.note(batch.mapped());
    }

    /// Looks again at the images of the process if code was mapped before a time.
    pub(super) fn renew(&mut self, at_ns: u64, mapped: &mut MappedUntil<'_>, builder: &mut RecordingBuilder) {
        if !self.changes.is_stale(at_ns) {
            return;
        }
        // What was mapped until now is noted with the images of its time.
        self.images.note(&mut builder.code);
        let (target, images, native) = (self.target, &mut self.images, &mut self.native);
        let runtimes = &mut self.runtimes;
        let until_ns = self.changes.read(|| {
            if target.mappings().is_ok() {
                *images = Images::new(target);
            }
            native.renew(target);
            runtimes.iter_mut().for_each(|runtime| runtime.renew_code());
        });
        self.changes.note(mapped(until_ns).into_iter());
    }

    /// Adds the samples of a batch.
    ///
    /// # Errors
    /// If the target cannot be read, unless it has ended.
    pub(super) fn add(
        &mut self,
        batch: &Batch,
        mapped: &mut MappedUntil<'_>,
        threads: &mut Threads,
        builder: &mut RecordingBuilder,
    ) -> Result<(), RecordError> {
        self.expect(batch);
        let all = batch.samples.iter().chain(batch.departures.iter());
        let moments: Vec<Moment<'_>> = all.map(|(moment, _)| moment).collect();
        for nth in 0..self.runtimes.len() {
            let Some(runtime) = self.runtimes.get_mut(nth) else { break };
            match runtime.refresh(&moments, &mut builder.code) {
                // The record of that is in a later batch.
                Err(error) if !error.is_gone() && self.is_same() => return Err(error.into()),
                _ => {}
            }
        }
        let mut found = Vec::with_capacity(batch.samples.iter().count());
        for (moment, _) in batch.samples.iter() {
            self.renew(moment.at_ns, mapped, builder);
            found.push(self.find(&moment, builder));
        }
        if !found.is_empty() && !self.is_same() {
            found.iter_mut().for_each(|found| *found = Found::default());
        }
        for ((moment, weight_ns), found) in batch.samples.iter().zip(found) {
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
        self.renew(batch.until_ns, mapped, builder);
        Ok(())
    }

    /// Where the stack ends that a thread with these registers is on, as far as that is known.
    pub(super) fn stack_end(&self, registers: &Registers) -> Option<u64> {
        self.runtimes.iter().find_map(|runtime| runtime.stack_end(registers))
    }

    /// The process is still the same program. If not, what was read may be of the next one.
    pub(super) fn is_same(&self) -> bool {
        if self.mark.is_some_and(|mark| mark.is_there(self.target)) {
            return true;
        }
        !is_another(self.began, beginning(self.target.info().pid.unwrap_or(0)))
    }

    /// Samples so far whose task or labels were not known. Had they been looked at sooner, some might have been.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// A batch was added, and nothing more is asked about it.
    pub(super) fn is_done_with(&mut self, batch: &Batch) {
        self.changes.forget(batch.until_ns);
    }

    /// Whose a moment of a batch is that was added.
    pub(super) fn find(&mut self, moment: &Moment<'_>, builder: &mut RecordingBuilder) -> Found {
        let claim = self.runtimes.iter_mut().find_map(|runtime| runtime.whose(moment, &mut builder.code));
        self.missed += u64::from(claim.as_ref().is_some_and(Claim::misses_something));
        let frames = claim.as_ref().and_then(|claim| claim.frames);
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
            found.keep(frames);
        }
        self.cut(&mut found, moment.at_ns, builder);
        if !moment.kernel_chain.is_empty() {
            let kernel = self.native.kernel(moment.kernel_chain, &mut builder.code);
            found.stack.splice(0..0, kernel);
        }
        found
    }

    /// Cuts a stack where it is not known what code was there at that time.
    fn cut(&self, found: &mut Found, at_ns: u64, builder: &RecordingBuilder) {
        if self.changes.are_none() {
            return;
        }
        let locations = builder.code.locations();
        let is_unknown = |id: &LocationId| {
            let address = locations.get(id.index()).and_then(|location| location.address);
            address.is_some_and(|address| self.changes.is_unknown(address, at_ns))
        };
        if let Some(first) = found.stack.iter().position(is_unknown) {
            found.stack.truncate(first);
            found.stack_status = if first == 0 { StackStatus::Unknown } else { StackStatus::Broken };
        }
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
            let frames = claim.frames;
            let mut found = of_runtime(claim, builder);
            if found.stack.is_empty() {
                (found.stack, found.stack_status) =
                    self.native.blocked(self.target, tid, &mut builder.code)?;
                found.keep(frames);
            }
            return Some(found);
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
