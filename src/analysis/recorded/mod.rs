//! The samples of a recording as rows with weights, in the form that filters, groups and flame trees already read: the
//! tasks of a snapshot.
//!
//! Samples that differ only in their time are one row. Each row belongs to one clock, so that a question is always
//! asked of one clock: [`Recorded::select`]. CPU time is never hidden as the runtime's own: what garbage collection
//! and the scheduler cost belongs to the answer. That they wait does not.

use rustc_hash::{FxHashMap, FxHashSet};

use super::filter::{Filter, Selection};
use super::flame::{self, Flame, FlameOptions, Picked, Root, Roots, Weight};
use super::frames::shown_frames;
use crate::analysis::ShownFrame;
use crate::recording::{Clock, Recording, RecordingHeader, Sample, SampledThread, TaskRow, ThreadRow, Whose};
use crate::snapshot::{Begins, CodeTables, Header, Snapshot, StackId, Task};

pub mod diff;
mod functions;
mod group;
mod interval;
mod labels;
mod subject;

pub use functions::{FunctionTime, Functions, functions};
pub use group::{Act, RecordedGroup, by_clock, group};
pub use interval::{Interval, change, share};
pub use labels::{LabelTimes, label_times, splitting_label};
pub use subject::{By, Subject};

/// Samples that differ only in their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// What the weight is time of.
    pub clock: Clock,
    /// Whose time it is.
    pub whose: Whose,
    /// The thread, as a row of [`Recorded::threads`].
    pub thread: Option<ThreadRow>,
    /// The samples (CPU), waits (off CPU) or readings (wall) that it stands for.
    pub sum: Sum,
}

/// Samples and the time that they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// How many samples.
    pub samples: u64,
    /// Time, nanoseconds.
    pub ns: u64,
}

impl Sum {
    /// Adds another sum.
    pub fn add(&mut self, other: Sum) {
        self.samples = self.samples.saturating_add(other.samples);
        self.ns = self.ns.saturating_add(other.ns);
    }
}

/// A recording as rows with weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Recorded {
    /// The recording's own header.
    pub header: RecordingHeader,
    /// One task for each row, for everything that reads tasks. A task stands for as many equal ones as its row has
    /// samples.
    pub snapshot: Snapshot,
    /// What the tasks of `snapshot` weigh, in their order.
    pub rows: Vec<Row>,
    /// The row of each sample, in the order of the recording's samples.
    pub row_of: Vec<u32>,
    /// The threads of the recording.
    pub threads: Vec<SampledThread>,
    /// For each task row of the recording that stands for one task: the number of its runtime, and its id.
    ids: Vec<Option<(u8, u64)>>,
}

impl Recorded {
    /// The rows of a recording. Unlike the recording's, their stacks do not have the frame that every task begins with.
    pub fn new(recording: &Recording) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        let mut tasks: Vec<Task> = Vec::new();
        let mut row_of = Vec::with_capacity(recording.samples.len());
        let mut index: FxHashMap<Sample, u32> = FxHashMap::default();
        for sample in &recording.samples {
            let key = Sample { at_ns: 0, count: 0, weight_ns: 0, ..*sample };
            let nth = *index.entry(key).or_insert_with(|| {
                tasks.push(task(recording, &key));
                let (clock, whose, thread) = (key.clock, key.whose, key.thread);
                rows.push(Row { clock, whose, thread, sum: Sum::default() });
                rows.len() as u32 - 1
            });
            row_of.push(nth);
            if let Some(row) = rows.get_mut(nth as usize) {
                row.sum.add(Sum { samples: sample.count, ns: sample.weight_ns });
            }
        }
        for (task, row) in tasks.iter_mut().zip(&rows) {
            task.twins = row.sum.samples.saturating_sub(1);
        }
        let mut code = recording.code.clone();
        trim(&mut code);
        Recorded {
            header: recording.header.clone(),
            snapshot: Snapshot { header: head(&recording.header), code, tasks, ..Snapshot::default() },
            rows,
            row_of,
            threads: recording.threads.clone(),
            ids: recording.tasks.iter().map(|task| task.id.map(|id| (task.runtime, id))).collect(),
        }
    }

    /// The runtime's number and the id of a task. None if it is unknown, or if the row stands for several tasks.
    pub fn id_of(&self, row: TaskRow) -> Option<(u8, u64)> {
        self.ids.get(row.index()).copied().flatten()
    }

    /// How many tasks with an id have samples.
    pub fn task_count(&self) -> u64 {
        let tasks = self.rows.iter().filter_map(|row| match row.whose {
            Whose::Task(task) => self.id_of(task),
            _ => None,
        });
        tasks.collect::<FxHashSet<_>>().len() as u64
    }

    /// The clocks that have rows, in their order.
    pub fn clocks(&self) -> Vec<Clock> {
        let has = |clock: &Clock| self.rows.iter().any(|row| row.clock == *clock);
        Clock::ALL.into_iter().filter(has).collect()
    }

    /// The rows of one clock that pass a filter. Of CPU time the runtime's own tasks pass it, too.
    pub fn select(&self, clock: Clock, filter: &Filter) -> Selection {
        let with_system = Filter { system: true, ..filter.clone() };
        let of_clock = |&nth: &u32| self.rows.get(nth as usize).is_some_and(|row| row.clock == clock);
        let is_shown = |nth: &u32| {
            clock == Clock::Cpu
                || filter.system
                || self.snapshot.tasks.get(*nth as usize).is_some_and(|task| !task.system)
        };
        let passing: Vec<u32> =
            with_system.select(&self.snapshot).tasks.into_iter().filter(of_clock).collect();
        let (tasks, hidden): (Vec<u32>, Vec<u32>) = passing.into_iter().partition(is_shown);
        let all: Vec<u32> = (0..self.rows.len() as u32).filter(of_clock).filter(is_shown).collect();
        Selection {
            count: self.snapshot.count_of(&tasks),
            considered: self.snapshot.count_of(&all),
            hidden_system: self.snapshot.count_of(&hidden),
            tasks,
        }
    }

    /// What some rows add up to.
    pub fn sum(&self, rows: &[u32]) -> Sum {
        let mut sum = Sum::default();
        rows.iter().filter_map(|&nth| self.rows.get(nth as usize)).for_each(|row| sum.add(row.sum));
        sum
    }

    /// How many independent samples would be as sure as these rows are: many, unless a few weigh most. Readings (wall)
    /// find the same tasks in the same places again and again, so that they count once each.
    pub fn sureness(&self, clock: Clock, rows: &[u32]) -> f64 {
        let rows = || rows.iter().filter_map(|&nth| self.rows.get(nth as usize)).filter(|row| row.sum.ns > 0);
        let all: f64 = rows().map(|row| row.sum.ns as f64).sum();
        let square = |row: &Row| (row.sum.ns as f64).powi(2) / row.sum.samples.max(1) as f64;
        let squares: f64 = rows().map(square).sum();
        let samples = if squares > 0.0 { all * all / squares } else { 0.0 };
        match (clock, self.header.coverage.readings) {
            (Clock::Wall, readings) if readings > 0 => samples.min(readings as f64),
            _ => samples,
        }
    }

    /// The rows' weights for flame trees: nanoseconds.
    pub fn times(&self) -> Vec<u64> {
        self.rows.iter().map(|row| row.sum.ns).collect()
    }

    /// Are all frames of this clock shown? On a CPU the runtime's frames are where the time goes; elsewhere they only
    /// say that a task is parked.
    pub fn all_frames(clock: Clock, filter: &Filter) -> bool {
        filter.all_frames || clock == Clock::Cpu
    }

    /// The shown frames of a stack, innermost first.
    pub fn frames(&self, stack: StackId, all_frames: bool) -> Vec<ShownFrame> {
        shown_frames(&self.snapshot, self.snapshot.code.stack(stack), all_frames)
    }

    /// Adds up the rows of one clock that pass a filter. `by`: what they are grouped by, at the root.
    pub fn flame(&self, clock: Clock, filter: &Filter, by: Option<&By>, how: Shape) -> Flame {
        self.tree(None, clock, filter, by, how)
    }

    /// Lays the rows of one clock over those of an earlier recording.
    pub fn flame_difference(
        &self,
        before: &Recorded,
        clock: Clock,
        filter: &Filter,
        by: Option<&By>,
        how: Shape,
    ) -> Flame {
        self.tree(Some(before), clock, filter, by, how)
    }

    fn tree(
        &self,
        before: Option<&Recorded>,
        clock: Clock,
        filter: &Filter,
        by: Option<&By>,
        how: Shape,
    ) -> Flame {
        let all_frames = Self::all_frames(clock, filter);
        let side = |recorded: &Recorded| {
            let roots = by.map(|by| subject::names(recorded, by, all_frames));
            (recorded.select(clock, filter), recorded.times(), roots)
        };
        let (now, was) = (side(self), before.map(side));
        let (now, was) = (picked(self, &now), before.zip(was.as_ref()).map(|(of, was)| picked(of, was)));
        let weight = if how.samples { Weight::Tasks } else { Weight::Time };
        let options = FlameOptions { root: Root::None, weight, reverse: how.reverse };
        flame::flame_picked(now, was, all_frames, &options)
    }
}

/// How the stacks of a recording become a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// The width of a frame is its number of samples. Otherwise it is time.
    pub samples: bool,
    /// Innermost frames first.
    pub reverse: bool,
}

/// Rows, their times and the names at the root of each.
type Side = (Selection, Vec<u64>, Option<(Vec<u32>, Vec<String>)>);

fn picked<'a>(recorded: &'a Recorded, (selection, times, roots): &'a Side) -> Picked<'a> {
    let roots = roots.as_ref().map(|(of, names)| Roots { of, names });
    Picked { snapshot: &recorded.snapshot, selection, times, roots }
}

/// The row of a sample as a task.
fn task(recording: &Recording, sample: &Sample) -> Task {
    let of = match sample.whose {
        Whose::Task(row) => recording.tasks.get(row.index()).copied().unwrap_or_default(),
        Whose::Scheduler | Whose::Native | Whose::Unknown => Default::default(),
    };
    let thread = sample.thread.and_then(|row| recording.threads.get(row.index()));
    Task {
        runtime: of.runtime,
        id: of.id,
        address: of.address,
        creator: of.creator,
        entry: of.entry,
        system: of.system || sample.whose == Whose::Scheduler,
        state: sample.state,
        reason: sample.reason,
        wait_class: sample.wait_class,
        labels: sample.labels,
        thread: thread.map(|thread| thread.tid),
        stack: sample.stack,
        stack_status: sample.stack_status,
        ..Task::default()
    }
}

/// The header of a recording in the form of a snapshot's.
fn head(header: &RecordingHeader) -> Header {
    Header {
        loiter: header.loiter.clone(),
        taken_at_ns: header.started_at_ns,
        target: header.target.clone(),
        runtimes: header.runtimes.clone(),
        process: header.process.clone(),
        warnings: header.warnings.clone(),
        ..Header::default()
    }
}

/// Takes the outermost location from stacks if it is one that every task or thread begins with, and not all there is.
fn trim(code: &mut CodeTables) {
    let begins = |function: crate::snapshot::FunctionId| {
        code.functions.get(function.index()).is_some_and(|function| function.role.begins == Begins::Task)
    };
    let common: Vec<bool> = (code.locations.iter())
        .map(|location| location.frames.iter().all(|frame| begins(frame.function)))
        .collect();
    for stack in &mut code.stacks {
        let outermost = stack.locations.last().is_some_and(|id| common.get(id.index()) == Some(&true));
        if outermost && stack.locations.len() > 1 {
            stack.locations.pop();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
