//! Fills a [`Recording`], within bounds that do not depend on how long it takes.

use rustc_hash::FxHashMap;

use super::{
    Clock, Recording, RecordingHeader, Sample, SampledTask, SampledThread, TaskRow, ThreadRow, Whose,
};
use crate::code::{CodeBuilder, Interner, LocationId, StackId};

/// Rows of samples that are kept. When there are more, equal samples at close times are merged.
const MAX_SAMPLES: usize = 1 << 20;
/// Tasks that are kept apart by their ids. Later tasks share a row with those that have the same properties.
const MAX_TASKS: usize = 1 << 19;
/// The lengths of all stacks together. Samples with other stacks have none.
pub(crate) const MAX_STACKED: usize = 1 << 24;
/// Threads that are kept apart.
const MAX_THREADS: usize = 1 << 16;
/// The step of time when samples are merged for the first time, nanoseconds. It doubles as needed.
const FIRST_STEP_NS: u64 = 1 << 23;

/// Fills a [`Recording`], within bounds that do not depend on how long it takes: when there are too many samples, equal
/// samples at close times become one row with their summed weight.
#[derive(Debug)]
pub struct RecordingBuilder {
    /// The header; the maker of the recording fills it.
    pub header: RecordingHeader,
    /// The code tables.
    pub code: CodeBuilder,
    threads: Interner<SampledThread>,
    tasks: Interner<SampledTask>,
    /// The rows of tasks with an id, by runtime, id and address: two sources may describe a task in different words.
    by_id: FxHashMap<(u8, u64, u64), TaskRow>,
    samples: Vec<Sample>,
    /// Rows that may still grow: the last one of each task or thread, on each clock.
    open: FxHashMap<(Clock, Whose, Option<ThreadRow>), u32>,
    step_ns: u64,
    max_samples: usize,
    max_tasks: usize,
    tasks_merged: u64,
    /// There is no room for another row, however coarse time is made.
    full: bool,
    left_out: u64,
    without_stack: u64,
}

impl Default for RecordingBuilder {
    fn default() -> Self {
        RecordingBuilder::with_limits(MAX_SAMPLES, MAX_TASKS)
    }
}

impl RecordingBuilder {
    /// An empty recording.
    pub fn new() -> Self {
        Self::default()
    }

    fn with_limits(max_samples: usize, max_tasks: usize) -> Self {
        RecordingBuilder {
            header: RecordingHeader::default(),
            code: CodeBuilder::new(),
            threads: Interner::default(),
            tasks: Interner::default(),
            by_id: FxHashMap::default(),
            samples: Vec::new(),
            open: FxHashMap::default(),
            step_ns: 0,
            max_samples,
            max_tasks,
            tasks_merged: 0,
            full: false,
            left_out: 0,
            without_stack: 0,
        }
    }

    /// The row of a thread. None if there are too many threads.
    pub fn thread(&mut self, thread: SampledThread) -> Option<ThreadRow> {
        match self.threads.find(&thread, |known| known) {
            Ok(row) => Some(ThreadRow(row)),
            Err(_) if self.threads.len() >= MAX_THREADS => None,
            Err(missing) => Some(ThreadRow(self.threads.push(missing, thread))),
        }
    }

    /// The row of a task. When there are too many tasks, the row is one for all tasks with these properties.
    pub fn task(&mut self, task: SampledTask) -> TaskRow {
        let Some(id) = task.id else { return self.any_task(task) };
        let key = (task.runtime, id, task.address);
        if let Some(&known) = self.by_id.get(&key) {
            return known;
        }
        let row = self.any_task(task);
        // A row that stands for many tasks is found by what they have in common.
        if self.by_id.len() < self.max_tasks {
            self.by_id.insert(key, row);
        }
        row
    }

    fn any_task(&mut self, task: SampledTask) -> TaskRow {
        match self.tasks.find(&task, |known| known) {
            Ok(row) => TaskRow(row),
            Err(_) if self.tasks.len() >= self.max_tasks && (task.id.is_some() || task.address != 0) => {
                self.tasks_merged += 1;
                self.any_task(SampledTask { id: None, address: 0, ..task })
            }
            Err(missing) => TaskRow(self.tasks.push(missing, task)),
        }
    }

    /// The id of a stack, innermost location first. None for an empty one, and when there are too many different ones.
    pub fn stack(&mut self, locations: Vec<LocationId>) -> Option<StackId> {
        if locations.is_empty() {
            return None;
        }
        let stack = self.code.stack_within(locations, MAX_STACKED);
        self.without_stack += u64::from(stack.is_none());
        stack
    }

    /// Adds a sample. Samples may come in any order of their times.
    pub fn sample(&mut self, sample: Sample) {
        let mut sample = sample;
        if self.step_ns > 0 {
            sample.at_ns -= sample.at_ns % self.step_ns;
        }
        if self.extend_open(&sample) {
            return;
        }
        if self.samples.len() >= self.max_samples && !self.full {
            self.merge();
            sample.at_ns -= sample.at_ns % self.step_ns.max(1);
        }
        if self.full {
            self.left_out = self.left_out.saturating_add(sample.count);
            return;
        }
        let row = self.samples.len() as u32;
        self.open.insert((sample.clock, sample.whose, sample.thread), row);
        self.samples.push(sample);
    }

    /// Adds a sample to the last row of the same task and thread, if it continues that row: a task that several readings
    /// in a row find in the same place has one row.
    fn extend_open(&mut self, sample: &Sample) -> bool {
        let Some(&row) = self.open.get(&(sample.clock, sample.whose, sample.thread)) else { return false };
        let Some(last) = self.samples.get_mut(row as usize) else { return false };
        let continues = match sample.clock {
            _ if self.step_ns > 0 && last.at_ns == sample.at_ns => true,
            Clock::Wall => last.at_ns.saturating_add(last.weight_ns) == sample.at_ns,
            _ => false,
        };
        let same = continues && same_but_time(last, sample);
        if same {
            last.count = last.count.saturating_add(sample.count);
            last.weight_ns = last.weight_ns.saturating_add(sample.weight_ns);
        }
        same
    }

    /// Merges equal rows, and makes time coarser until half of the rows are gone or until there is only one time.
    fn merge(&mut self) {
        self.open.clear();
        let last = self.samples.iter().map(|sample| sample.at_ns).max().unwrap_or(0);
        self.step_ns = self.step_ns.max(FIRST_STEP_NS);
        self.merge_equal();
        while self.samples.len() > self.max_samples / 2 && self.step_ns <= last {
            self.step_ns = self.step_ns.saturating_mul(2);
            self.merge_equal();
        }
        self.full = self.samples.len() >= self.max_samples;
    }

    /// Merges rows that are equal but for their weights, with times in steps.
    fn merge_equal(&mut self) {
        let step = self.step_ns.max(1);
        let mut index: FxHashMap<Sample, u32> = FxHashMap::default();
        let mut kept: Vec<Sample> = Vec::new();
        for sample in self.samples.drain(..) {
            let at_ns = sample.at_ns - sample.at_ns % step;
            let key = Sample { at_ns, count: 0, weight_ns: 0, ..sample };
            let row = *index.entry(key).or_insert_with(|| {
                kept.push(key);
                kept.len() as u32 - 1
            });
            if let Some(row) = kept.get_mut(row as usize) {
                row.count = row.count.saturating_add(sample.count);
                row.weight_ns = row.weight_ns.saturating_add(sample.weight_ns);
            }
        }
        self.samples = kept;
    }

    /// The rows of samples so far.
    pub fn sample_rows(&self) -> usize {
        self.samples.len()
    }

    /// The finished recording, its samples in the order of their times.
    pub fn finish(mut self) -> Recording {
        self.header.time_step_ns = self.step_ns;
        self.header.warnings.extend(self.code.warnings());
        if self.tasks_merged > 0 {
            let text =
                "there were too many tasks to keep apart: the later ones are kept by start function only";
            self.header.warnings.push(text.to_owned());
        }
        if self.without_stack > 0 {
            let text =
                format!("{} stacks are left out: there were too many different ones", self.without_stack);
            self.header.warnings.push(text);
        }
        if self.left_out > 0 {
            let text = format!("{} samples are left out: there were too many different ones", self.left_out);
            self.header.warnings.push(text);
        }
        self.samples.sort_by_key(|sample| sample.at_ns);
        Recording {
            header: self.header,
            code: self.code.finish(),
            threads: self.threads.into_values(),
            tasks: self.tasks.into_values(),
            samples: self.samples,
        }
    }
}

fn same_but_time(a: &Sample, b: &Sample) -> bool {
    let key = |sample: &Sample| Sample { at_ns: 0, count: 0, weight_ns: 0, ..*sample };
    key(a) == key(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(clock: Clock, at_ns: u64, task: u32, stack: u32) -> Sample {
        let whose = Whose::Task(TaskRow(task));
        Sample {
            at_ns,
            clock,
            whose,
            stack: Some(StackId(stack)),
            count: 1,
            weight_ns: 10,
            ..Sample::default()
        }
    }

    #[test]
    fn readings_that_find_a_task_in_the_same_place_are_one_row() {
        let mut builder = RecordingBuilder::new();
        for at in [0, 10, 20] {
            builder.sample(sample(Clock::Wall, at, 0, 1));
            builder.sample(sample(Clock::Wall, at, 1, 1));
        }
        builder.sample(sample(Clock::Wall, 40, 0, 1));
        builder.sample(sample(Clock::Wall, 30, 1, 2));
        let samples = builder.finish().samples;
        let rows: Vec<_> = samples.iter().map(|s| (s.at_ns, s.count, s.weight_ns)).collect();
        assert_eq!(rows, [(0, 3, 30), (0, 3, 30), (30, 1, 10), (40, 1, 10)]);
    }

    #[test]
    fn samples_on_cpu_keep_their_times() {
        let mut builder = RecordingBuilder::new();
        builder.sample(sample(Clock::Cpu, 10, 0, 1));
        builder.sample(sample(Clock::Cpu, 0, 0, 1));
        let rows: Vec<_> = builder.finish().samples.iter().map(|s| s.at_ns).collect();
        assert_eq!(rows, [0, 10]);
    }

    #[test]
    fn many_samples_lose_their_exact_times_and_nothing_else() {
        let mut builder = RecordingBuilder::with_limits(100, 10);
        for nth in 0..10_000 {
            builder.sample(sample(Clock::Cpu, nth * 1_000_000, (nth % 3) as u32, (nth % 2) as u32));
        }
        assert!(builder.sample_rows() <= 100);
        let recording = builder.finish();
        assert!(recording.header.time_step_ns > 0);
        assert_eq!(recording.header.warnings, Vec::<String>::new());
        let sums = recording.samples.iter().fold((0, 0), |(n, w), s| (n + s.count, w + s.weight_ns));
        assert_eq!(sums, (10_000, 100_000));
        let of = |task| recording.samples.iter().filter(move |s| s.whose == Whose::Task(TaskRow(task)));
        assert_eq!(of(1).map(|s| s.count).sum::<u64>(), 3_333);
    }

    #[test]
    fn too_many_different_samples_are_left_out_and_said() {
        let mut builder = RecordingBuilder::with_limits(100, 10);
        (0..150).for_each(|stack| builder.sample(sample(Clock::Cpu, 5, 0, stack)));
        let recording = builder.finish();
        assert_eq!(recording.samples.len(), 100);
        assert_eq!(recording.header.warnings.len(), 1);
    }

    #[test]
    fn too_many_tasks_share_rows() {
        let mut builder = RecordingBuilder::with_limits(100, 10);
        let entry = |nth: u64| Some(crate::code::FunctionId((nth % 2) as u32));
        let task =
            |nth| SampledTask { id: Some(nth), address: nth, entry: entry(nth), ..SampledTask::default() };
        let rows: Vec<_> = (0..30).map(|nth| builder.task(task(nth))).collect();
        assert_eq!(rows[20], rows[22]);
        assert_ne!(rows[20], rows[21]);
        let recording = builder.finish();
        assert_eq!((recording.tasks.len(), recording.header.warnings.len()), (12, 1));
    }
}
