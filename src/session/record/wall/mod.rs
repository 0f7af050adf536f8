//! Readings of all tasks at a steady rate: what each task does while time passes, without rights and without a pause.
//!
//! A reading stands for half of the time since the one before and half of the time until the next one; the first and the
//! last one stand for the time until the ends of the recording, too. Nobody knows what happened around a reading that
//! failed: that time is left out. A task that several readings in a row find in the same place is one sample.
//!
//! The times between readings are random around their mean, so that they do not keep step with what the target does
//! regularly. When a reading takes more than its share of a core, the rate falls.

use std::time::Duration;

mod books;
mod reader;
mod translate;

use crate::process::Target;
use crate::recording::{Clock, ClockInfo, RecordingBuilder, Sample, TaskRow, Whose};
use crate::runtimes::{Pause, ReadOptions, Readable};
use crate::session::pace::cpu_time;
use crate::snapshot::{Snapshot, Task};
use books::Books;
pub(super) use reader::{Made, Reader};
use translate::{Tables, Translated};

/// How the readings are made.
#[derive(Debug, Clone)]
pub struct WallOptions {
    /// The mean time between two readings.
    pub period: Duration,
    /// The share of a core that readings may take.
    pub max_cpu: f64,
    /// How a reading is made. By default nothing is stopped: of tasks that run, the stack is not known.
    pub read: ReadOptions,
}

impl Default for WallOptions {
    fn default() -> Self {
        WallOptions {
            period: Duration::from_millis(50),
            max_cpu: 0.2,
            read: ReadOptions { pause: Pause::Nothing, holders: Duration::ZERO, ..ReadOptions::default() },
        }
    }
}

/// Readings of all tasks, as samples of [`Clock::Wall`]. Times are CLOCK_MONOTONIC, nanoseconds.
#[derive(Debug)]
pub struct Wall {
    options: WallOptions,
    start_ns: u64,
    /// What happened before is not covered.
    begin_ns: u64,
    /// The next reading is due then.
    due_ns: u64,
    random: u64,
    tables: Tables,
    books: Books,
    /// The last reading, in the order of its tasks. Empty after one that failed.
    runs: Vec<Run>,
    /// The last reading, or the last attempt.
    last_ns: Option<u64>,
    /// The last attempt failed.
    gap: bool,
    readings: u64,
    failed: u64,
    /// Sum and number of times between readings, and how often the share of a core made one longer.
    spaced_ns: u64,
    slowed: u64,
}

/// A task that the last reading found, and since when readings in a row find it in the same place.
#[derive(Debug, Clone, Copy)]
struct Run {
    key: Key,
    sample: Sample,
}

/// What identifies a task among those of a reading, in the order of its tasks.
type Key = (u8, Option<u64>, u64);

impl Wall {
    /// No readings yet. `start_ns`: the start of the recording. `begin_ns`: the time from which the first reading stands
    /// for what happens: the start, or when the program was there.
    pub fn new(options: WallOptions, start_ns: u64, begin_ns: u64) -> Self {
        Wall {
            options,
            start_ns,
            begin_ns,
            due_ns: begin_ns,
            random: begin_ns | 1,
            tables: Tables::default(),
            books: Books::default(),
            runs: Vec::new(),
            last_ns: None,
            gap: false,
            readings: 0,
            failed: 0,
            spaced_ns: 0,
            slowed: 0,
        }
    }

    /// The runtimes that the recording has so far are of earlier programs: there are so many.
    #[must_use]
    pub fn after_runtimes(mut self, count: usize) -> Self {
        self.tables.first_runtime = count;
        self
    }

    /// How long until the next reading is due. Zero: now.
    pub fn due(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(self.due_ns.saturating_sub(now_ns))
    }

    /// The readings that succeeded so far.
    pub fn readings(&self) -> u64 {
        self.readings
    }

    /// Makes a reading, and says when the next one is due. `is_same` is asked when it is made: whether the process is
    /// still the same program. If not, the reading does not count.
    ///
    /// # Errors
    /// Any error of reading the target. The next reading may succeed, unless the target has ended.
    pub fn read(
        &mut self,
        target: &dyn Target,
        readable: &Readable,
        builder: &mut RecordingBuilder,
        now_ns: u64,
        is_same: impl FnOnce() -> bool,
    ) -> crate::Result<()> {
        let before = cpu_time();
        let read = readable.read(target, &self.options.read);
        let cost = cpu_time().saturating_sub(before);
        self.made(Made { began_ns: now_ns, cost, read }, builder, is_same())
    }

    /// How readings are made.
    pub(super) fn read_options(&self) -> &ReadOptions {
        &self.options.read
    }

    /// Adds a reading, and says when the next one is due. `is_same`: the process is still the same program.
    ///
    /// # Errors
    /// That of the reading.
    pub(super) fn made(
        &mut self,
        made: Made,
        builder: &mut RecordingBuilder,
        is_same: bool,
    ) -> crate::Result<()> {
        let Made { began_ns, cost, read } = made;
        let added = match read {
            Ok(_) if !is_same => {
                self.failed(builder, began_ns);
                Ok(())
            }
            Ok(snapshot) => {
                // In the middle of the time in which the tasks were read.
                let at_ns = began_ns.saturating_add(snapshot.header.reading.duration_ns / 2);
                self.add(&snapshot, builder, at_ns);
                Ok(())
            }
            Err(error) => {
                self.failed(builder, began_ns);
                Err(error)
            }
        };
        self.schedule(began_ns, cost);
        added
    }

    /// Adds a reading that was made at `at_ns`.
    pub fn add(&mut self, snapshot: &Snapshot, builder: &mut RecordingBuilder, at_ns: u64) {
        let border = self.border(at_ns);
        let comparable = self.readings > 0 && !self.gap;
        self.tables.begin(snapshot, builder);
        let old = std::mem::take(&mut self.runs);
        let mut old = old.into_iter().peekable();
        let mut runs = Vec::with_capacity(snapshot.tasks.len());
        for task in &snapshot.tasks {
            let key = (self.tables.runtime(task.runtime), task.id, task.address);
            let mut same = None;
            while let Some(run) = old.next_if(|run| run.key <= key) {
                if run.key == key && Books::has_identity(task) {
                    same = Some(run);
                } else {
                    self.close(&run, border, builder);
                }
            }
            let before = same.map(|run| run.sample);
            if before.is_none() {
                self.books.appeared(task, comparable);
            } else {
                self.books.seen_again(at_ns.saturating_sub(self.last_ns.unwrap_or(at_ns)));
            }
            let sample = self.sample(task, key, snapshot, before, builder);
            runs.push(match same {
                Some(run) if is_same_place(&run.sample, &sample) => {
                    let count = run.sample.count.saturating_add(1);
                    Run { key, sample: Sample { count, ..run.sample } }
                }
                other => {
                    if let Some(run) = other {
                        self.close(&run, border, builder);
                    }
                    let at_ns = border.saturating_sub(self.start_ns);
                    Run { key, sample: Sample { at_ns, count: task.count(), ..sample } }
                }
            });
        }
        old.for_each(|run| self.close(&run, border, builder));
        self.books.reading(snapshot, at_ns);
        self.runs = runs;
        self.gap = false;
        self.attempt(at_ns);
        self.readings += 1;
    }

    /// A reading failed.
    fn failed(&mut self, builder: &mut RecordingBuilder, at_ns: u64) {
        let border = self.border(at_ns);
        for run in std::mem::take(&mut self.runs) {
            self.close(&run, border, builder);
        }
        self.books.gap();
        self.gap = true;
        self.failed += 1;
        self.attempt(at_ns);
    }

    /// A reading was made, or failed.
    fn attempt(&mut self, at_ns: u64) {
        if let Some(last_ns) = self.last_ns.replace(at_ns) {
            self.spaced_ns = self.spaced_ns.saturating_add(at_ns.saturating_sub(last_ns));
        }
    }

    /// The time from which a reading at `at_ns` stands for what happens.
    fn border(&self, at_ns: u64) -> u64 {
        self.last_ns.map_or(self.begin_ns, |last| last + at_ns.saturating_sub(last) / 2)
    }

    /// The sample of a task in this reading, without its time. `before`: what it was in the last one.
    fn sample(
        &mut self,
        task: &Task,
        key: Key,
        snapshot: &Snapshot,
        before: Option<Sample>,
        builder: &mut RecordingBuilder,
    ) -> Sample {
        let Translated { labels, reason, stack } = self.tables.of(task, snapshot, builder);
        let whose = match before {
            Some(sample) => sample.whose,
            None => Whose::Task(self.row(task, key, snapshot, builder)),
        };
        Sample {
            clock: Clock::Wall,
            whose,
            labels,
            state: task.state,
            reason,
            wait_class: task.wait_class,
            stack,
            stack_status: task.stack_status,
            ..Sample::default()
        }
    }

    fn row(&mut self, task: &Task, key: Key, snapshot: &Snapshot, builder: &mut RecordingBuilder) -> TaskRow {
        let task = self.tables.task(task, key.0, snapshot, builder);
        builder.task(task)
    }

    /// A run ends at `border`.
    fn close(&self, run: &Run, border: u64, builder: &mut RecordingBuilder) {
        let length = border.saturating_sub(self.start_ns).saturating_sub(run.sample.at_ns);
        if run.key.1.is_some() {
            builder.sample(Sample { weight_ns: length, ..run.sample });
        } else {
            // A row of equal tasks: it is of one reading, and stands for the time of all of them.
            builder.sample(Sample { weight_ns: length.saturating_mul(run.sample.count), ..run.sample });
        }
    }

    /// Says when the next reading is due: a random time around the period after the last one, and late enough for the
    /// share of a core.
    fn schedule(&mut self, began_ns: u64, cost: Duration) {
        let period = self.options.period.as_nanos() as u64;
        // From half of the period to one and a half.
        let wanted = period / 2 + self.next_random() % period.max(1);
        let share = self.options.max_cpu.max(0.001);
        let least = (cost.as_nanos() as f64 / share) as u64;
        self.slowed += u64::from(least > period);
        self.due_ns = began_ns.saturating_add(wanted.max(least));
    }

    /// Marsaglia's xorshift generator.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Ends the recording at `end_ns`: adds what is open, and what the readings cover.
    pub fn finish(mut self, builder: &mut RecordingBuilder, end_ns: u64) {
        for run in std::mem::take(&mut self.runs) {
            self.close(&run, end_ns, builder);
        }
        let between = (self.readings + self.failed).saturating_sub(1);
        let period = self.options.period.as_nanos() as u64;
        // A rate that fell now and then is no lower rate.
        let slowed = self.slowed * 2 > self.readings;
        // A process may become another program, with readings of its own.
        builder.header.clocks.retain(|clock| clock.clock != Clock::Wall);
        builder.header.clocks.push(ClockInfo {
            clock: Clock::Wall,
            event: "readings".to_owned(),
            period_ns: self.spaced_ns.checked_div(between),
            wanted_period_ns: slowed.then_some(period),
            ..ClockInfo::default()
        });
        let coverage = &mut builder.header.coverage;
        coverage.readings += self.readings;
        coverage.readings_failed += self.failed;
        self.books.close(coverage);
    }
}

/// Do two samples say the same of a task?
fn is_same_place(a: &Sample, b: &Sample) -> bool {
    let place = |sample: &Sample| Sample { at_ns: 0, count: 0, weight_ns: 0, ..*sample };
    place(a) == place(b)
}

#[cfg(test)]
mod tests;
