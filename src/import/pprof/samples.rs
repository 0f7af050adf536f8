//! Converts the samples of a profile into the tasks of a snapshot.

use super::code::{Code, MAX_STACKED, correct_faults};
use super::labels::Labels;
use super::tables::Tables;
use super::{Limits, PprofError, head, short};
use crate::formats::pprof::fields::{profile, sample};
use crate::formats::pprof::wire::Fields;
use crate::import::go_code;
use crate::snapshot::*;
use crate::words;

/// The number of frames that Go's runtime keeps of a stack: 32 up to 1.22, 128 later.
const GO_DEPTHS: [usize; 2] = [32, 128];

/// Turns samples into tasks.
pub(super) struct Samples<'t, 'a> {
    tables: &'t Tables<'a>,
    into: SnapshotBuilder,
    /// The index of the sample value that counts tasks.
    value: usize,
    /// loiter wrote the profile.
    own: bool,
    /// All of its tasks are leaked.
    leaked: bool,
    most: Limits,
    /// Tasks so far.
    tasks: u64,
    code: Code<'t, 'a>,
    labels: Labels<'t, 'a>,
}

impl<'t, 'a> Samples<'t, 'a> {
    /// Reads all samples.
    pub(super) fn read(raw: &'a [u8], tables: &'t Tables<'a>, most: Limits) -> Result<Snapshot, PprofError> {
        let header = tables.header()?;
        let own = header.is_some();
        let (value, leaked) = if own { (0, false) } else { count_of_goroutines(tables)? };
        let mut into = SnapshotBuilder::new();
        let code = Code::read(tables, &mut into.code)?;
        let mut samples = Samples {
            tables,
            into,
            value,
            own,
            leaked,
            most,
            tasks: 0,
            code,
            labels: Labels::new(tables, own),
        };
        samples.into.header = samples.header(header)?;
        for field in Fields::of(raw) {
            let (number, value) = field?;
            if number == profile::SAMPLE {
                samples.sample(value.bytes()?)?;
            }
        }
        let mut snapshot = samples.into.finish();
        correct_faults(&mut snapshot.code);
        if !own {
            words::go::classify(&mut snapshot);
            mark_cut_stacks(&mut snapshot);
            tell_single_ones(&mut snapshot);
        }
        Ok(snapshot)
    }

    fn header(&self, written: Option<Header>) -> Result<Header, PprofError> {
        let mut header = match written {
            Some(header) => header,
            None => head::of_go(self.tables)?,
        };
        header.target.source = SourceKind::Profile;
        if header.runtimes.is_empty() {
            header.runtimes = go_code::header(SourceKind::Profile, None).runtimes;
        }
        Ok(header)
    }

    fn sample(&mut self, message: &'a [u8]) -> Result<(), PprofError> {
        let mut stack = Vec::new();
        let (mut count, mut nth, mut unknown) = (0, 0, None);
        self.labels.clear();
        for field in Fields::of(message) {
            let (number, value) = field?;
            match number {
                sample::LOCATION => value.numbers(|id| match self.code.location(id) {
                    Some(location) if stack.len() <= MAX_STACKED => stack.push(location),
                    Some(_) => {}
                    None => unknown = Some(id),
                })?,
                sample::VALUE => value.numbers(|value| {
                    if nth == self.value {
                        count = value.cast_signed();
                    }
                    nth += 1;
                })?,
                sample::LABEL => self.labels.add(value.bytes()?, &mut self.into.code)?,
                _ => {}
            }
        }
        if let Some(id) = unknown {
            return Err(PprofError::damaged(format!("there is no location {id}")));
        }
        let count = u64::try_from(count).map_err(|_| PprofError::Difference)?;
        self.tasks = self.tasks.saturating_add(count);
        if self.tasks > self.most.tasks {
            return Err(PprofError::TooManyTasks { limit: self.most.tasks });
        }
        let task = self.task(stack, count)?;
        if task.id.is_none() {
            self.into.counted(task, count);
            return Ok(());
        }
        self.into.task(task);
        if self.into.task_count() > self.most.rows {
            return Err(PprofError::TooManyTasks { limit: self.most.rows as u64 });
        }
        Ok(())
    }

    /// The tasks that the sample counts.
    fn task(&mut self, stack: Vec<LocationId>, count: u64) -> Result<Task, PprofError> {
        let has_stack = !stack.is_empty() || !self.own;
        let stack = if has_stack { Some(self.code.stack(stack, &mut self.into.code)?) } else { None };
        let labels = self.labels.program(&mut self.into.code)?;
        let said = self.labels.said();
        let creator = said.creator.map(|place| self.code.creator(place, &mut self.into.code)).transpose()?;
        let stack_status = match said.stack_status {
            Some(status) => status,
            None if has_stack => StackStatus::Complete,
            None => StackStatus::Unknown,
        };
        Ok(Task {
            runtime: said.runtime,
            // Several tasks cannot have the same id.
            id: said.id.filter(|_| count == 1),
            state: said.state,
            reason: said.reason,
            wait_class: said.wait_class,
            age: said.age,
            parent: said.parent,
            creator,
            labels,
            locked_to_thread: said.locked,
            system: said.system,
            leaked: said.leaked || self.leaked,
            stack,
            stack_status,
            ..Task::default()
        })
    }
}

/// The index of the sample value that counts goroutines, and whether all of them are leaked.
fn count_of_goroutines(tables: &Tables<'_>) -> Result<(usize, bool), PprofError> {
    let mut types = Vec::new();
    for (nth, &(name, unit)) in tables.sample_types.iter().enumerate() {
        match tables.bytes(name)? {
            b"goroutine" | b"goroutines" => return Ok((nth, false)),
            // The profile of that name, in Go 1.26 and later.
            b"goroutineleak" => return Ok((nth, true)),
            _ => types.push(format!("{}/{}", short(&tables.text(name)?), short(&tables.text(unit)?))),
        }
    }
    if types.is_empty() {
        return Err(PprofError::damaged("it has no sample types"));
    }
    Err(PprofError::OtherType { types: types.join(", ") })
}

/// If the runtime distinguishes goroutines by ids, the profile is equivalent to a dump of them, unless it was
/// merged from several processes.
fn tell_single_ones(snapshot: &mut Snapshot) {
    let identity = |task: &Task| task.id.map(|id| (task.runtime, id));
    let single = snapshot.tasks.iter().filter(|task| task.id.is_some()).count();
    let again = snapshot.tasks.windows(2).filter(|pair| match pair {
        [a, b] => identity(a).is_some() && identity(a) == identity(b),
        _ => false,
    });
    if let again @ 1.. = again.count() {
        snapshot.header.warnings.push(format!(
            "{again} goroutines have the id of another one: the profile was merged from several processes, so ids do \
             not identify its goroutines"
        ));
    } else if single > 0 && single == snapshot.tasks.len() {
        snapshot.header.target.source = SourceKind::Dump;
        let ages =
            go_code::header(SourceKind::Dump, None).runtimes.pop().and_then(|runtime| runtime.age_meaning);
        if let (Some(runtime), Some(ages)) = (snapshot.header.runtimes.first_mut(), ages) {
            runtime.age_meaning = Some(ages);
        }
    }
}

/// The runtime keeps a limited number of frames of a stack, and does not say that it cut some. If no
/// stack of the profile is deeper than one of its limits, the stacks that reach that limit were cut.
fn mark_cut_stacks(snapshot: &mut Snapshot) {
    let frames = |id: &LocationId| snapshot.code.locations.get(id.index()).map_or(0, |l| l.frames.len());
    // The runtime does not count frames that are inlined into the last frame kept.
    let depths: Vec<(usize, usize)> = (snapshot.code.stacks.iter())
        .map(|stack| {
            let all: usize = stack.locations.iter().map(frames).sum();
            (all, all.saturating_sub(stack.locations.last().map_or(0, frames).saturating_sub(1)))
        })
        .collect();
    let deepest = depths.iter().map(|depth| depth.1).max().unwrap_or(0);
    let Some(limit) = GO_DEPTHS.into_iter().find(|&limit| deepest <= limit) else { return };
    for task in &mut snapshot.tasks {
        let depth = task.stack.and_then(|id| depths.get(id.index()));
        if depth.is_some_and(|depth| depth.0 >= limit) {
            task.stack_status = StackStatus::Truncated;
        }
    }
}
