//! Checks that every index of a recording is within its table.

use super::{Recording, Sample, SampledTask, Whose};
use crate::code::{Invalid, StrId, check};

impl Recording {
    /// Checks that every index is within its table, that the code tables are [valid](crate::code::CodeTables::validate)
    /// and that the samples are in the order of their times, so that code that works on the recording need not check
    /// again. Sums of weights are not checked: add them up in 128 bits, or saturating.
    ///
    /// # Errors
    /// The first problem found.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.code.validate()?;
        self.validate_threads()?;
        for (row, task) in self.tasks.iter().enumerate() {
            self.validate_task(row, task)?;
        }
        self.validate_samples()
    }

    fn has_string(&self, id: Option<StrId>) -> bool {
        id.is_none_or(|id| id.index() < self.code.strings.len())
    }

    fn validate_threads(&self) -> Result<(), Invalid> {
        for (row, thread) in self.threads.iter().enumerate() {
            check(self.has_string(thread.name), "thread", row, "its name is not in the table of strings")?;
        }
        Ok(())
    }

    fn validate_task(&self, row: usize, task: &SampledTask) -> Result<(), Invalid> {
        let runtime = usize::from(task.runtime) < self.header.runtimes.len();
        check(runtime, "task", row, "its runtime does not exist")?;
        let creator = task.creator.is_none_or(|id| id.index() < self.code.locations.len());
        check(creator, "task", row, "its creator does not exist")?;
        let entry = task.entry.is_none_or(|id| id.index() < self.code.functions.len());
        check(entry, "task", row, "its entry function does not exist")
    }

    fn validate_samples(&self) -> Result<(), Invalid> {
        let mut last = 0;
        for (row, sample) in self.samples.iter().enumerate() {
            check(sample.at_ns >= last, "sample", row, "it is earlier than the one before it")?;
            last = sample.at_ns;
            self.validate_sample(row, sample)?;
        }
        Ok(())
    }

    fn validate_sample(&self, row: usize, sample: &Sample) -> Result<(), Invalid> {
        let check = |ok, problem| check(ok, "sample", row, problem);
        let task = match sample.whose {
            Whose::Task(task) => task.index() < self.tasks.len(),
            Whose::Scheduler | Whose::Native | Whose::Unknown => true,
        };
        check(task, "its task does not exist")?;
        check(sample.thread.is_none_or(|id| id.index() < self.threads.len()), "its thread does not exist")?;
        check(
            sample.labels.is_none_or(|id| id.index() < self.code.label_sets.len()),
            "its labels do not exist",
        )?;
        check(self.has_string(sample.reason), "its reason does not exist")?;
        check(sample.stack.is_none_or(|id| id.index() < self.code.stacks.len()), "its stack does not exist")
    }
}
