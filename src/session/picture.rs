//! What is known after a reading: the snapshot, and what earlier readings add.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::history::{History, Point};
use super::process::ProgramId;
use super::state_times::{After, Shares, StateTimes};
use crate::analysis::Group;
use crate::analysis::frames::{frame_name, shown_frames, user_frame};
use crate::analysis::leaks::{self, Report};
use crate::analysis::modules::Owners;
use crate::analysis::series::{Series, SeriesOptions};
use crate::analysis::trend::trend;
use crate::snapshot::{Age, Snapshot, SourceKind, TargetInfo, Task};

/// Counts of this many readings are kept for each signature.
const KEEP: usize = 240;

/// What is known after a reading. Self-contained and immutable.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// Number of the reading, from 0.
    pub number: u32,
    /// What was read.
    pub snapshot: Arc<Snapshot>,
    /// Who owns which code in it.
    pub owners: Arc<Owners>,
    /// This reading and the kept ones before it; the oldest first.
    pub points: VecDeque<Arc<Point>>,
    /// How long the readings prove that each task has been in its state, nanoseconds; in the order of the
    /// snapshot's tasks. 0: no proof.
    pub proved_ns: Arc<Vec<u64>>,
    /// How long each task was in which state, over the last readings. None if that is not kept for this reading.
    pub times: Option<Arc<StateTimes>>,
    /// The program that was read. None if it does not run on this machine.
    pub program: Option<ProgramId>,
    /// Growth of the number of tasks per minute, over the last minute or so. None: too short a time.
    pub per_minute: Option<f64>,
    /// What the user should know about how tasks are followed from reading to reading.
    pub warning: Option<String>,
    /// The report of the leak rules on the readings so far. If the rules take too long, they do not run after
    /// every reading. None before the first run.
    pub findings: Option<Arc<Report>>,
    /// The number of the process among those watched in turn, from 0: a restarted program has another set of
    /// tasks.
    pub life: u32,
    /// The process that this one replaced, if there was one.
    pub before: Option<Before>,
    /// How long reading and analysis took.
    pub took: Duration,
}

/// A process that has ended, and when another one replaced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// Its pid.
    pub pid: u32,
    /// The first reading of the new one, nanoseconds since the Unix epoch.
    pub new_at_ns: u64,
}

impl Picture {
    /// How long a task has been in its state: what the runtime says or, if that is longer, what the
    /// readings prove.
    pub fn age(&self, task: u32) -> Age {
        let read = self.snapshot.tasks.get(task as usize).map_or(Age::Unknown, |task| task.age);
        match self.proved_ns.get(task as usize) {
            Some(&proved) if proved > read.nanos().unwrap_or(0) => Age::AtLeast(proved),
            _ => read,
        }
    }

    /// The longest time that any task of a group has been in its state; see [`Picture::age`].
    pub fn oldest(&self, group: &Group) -> Age {
        let proved = group.tasks.iter().filter_map(|&task| self.proved_ns.get(task as usize).copied()).max();
        let said = group.ages.oldest;
        match proved {
            Some(proved) if proved > said.nanos().unwrap_or(0) => Age::AtLeast(proved),
            _ => said,
        }
    }

    /// The function of a task that the user looks for; without a stack, the one that it was started with.
    pub fn function(&self, task: &Task) -> Cow<'_, str> {
        let shown = shown_frames(&self.snapshot, self.snapshot.stack_of(task), false);
        match user_frame(&self.snapshot, &self.owners, &shown) {
            Some(at) => frame_name(&self.snapshot, at.frame),
            None => task.entry.map_or("", |id| self.snapshot.function_name(id)).into(),
        }
    }

    /// The share of their time in which some of its tasks were running or ready to run, part of 1. None if that is
    /// not known, or rests on too few readings.
    pub fn active(&self, tasks: &[u32]) -> Option<f64> {
        self.times.as_ref()?.active(self.counted(tasks))
    }

    fn counted(&self, tasks: &[u32]) -> impl Iterator<Item = (u32, u64)> + Clone {
        let count = |task: u32| self.snapshot.tasks.get(task as usize).map_or(1, Task::count);
        tasks.iter().map(move |&task| (task, count(task)))
    }

    /// How some of its tasks spent their time, by the last readings. None if that is not known of single tasks: there
    /// are too many, or it was not kept for this reading.
    pub fn shares(&self, tasks: &[u32]) -> Option<Shares> {
        self.times.as_ref()?.of(self.counted(tasks))
    }

    /// The last point.
    pub fn point(&self) -> Option<&Point> {
        self.points.back().map(Arc::as_ref)
    }
}

/// Makes a picture of each reading.
///
/// A reading of a different process resets everything except the charts. So does [`SessionView::begin_anew`].
#[derive(Debug)]
pub struct SessionView {
    series: Series,
    history: History,
    times: Arc<StateTimes>,
    /// A reading failed since the last one.
    missed: bool,
    findings: Option<Arc<Report>>,
    /// The rules do not run again before then.
    ask_again: Option<Instant>,
    /// The rules get no more than one part in this many of the time; 0: as much as they need.
    share: u32,
    life: u32,
    /// The pid of the process that has ended, until there is a reading of the next one.
    ended: Option<u32>,
    before: Option<Before>,
}

/// While a process is watched, the leak rules get no more than one part in this many of the time.
const SHARE_OF_RULES: u32 = 400;
/// But they run again after this time, unless that would take more than one part in [`SHARE_AT_MOST`].
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
const SHARE_AT_MOST: u32 = 20;

impl SessionView {
    /// An empty view; `system`: the runtime's own tasks count too.
    pub fn new(system: bool) -> Self {
        let options = SeriesOptions { system, keep: Some(KEEP), ..leaks::series_options() };
        SessionView {
            series: Series::new(options),
            history: History::default(),
            times: Arc::default(),
            missed: false,
            findings: None,
            ask_again: None,
            share: SHARE_OF_RULES,
            life: 0,
            ended: None,
            before: None,
        }
    }

    /// A view that runs the leak rules after every reading, however long they take.
    pub fn thorough(system: bool) -> Self {
        SessionView { share: 0, ..SessionView::new(system) }
    }

    /// Adds a reading and returns the picture.
    pub fn add(&mut self, snapshot: Arc<Snapshot>) -> Picture {
        if self.is_restart(&snapshot) {
            self.begin_anew();
        }
        if let Some(pid) = self.ended.take() {
            self.before = Some(Before { pid, new_at_ns: snapshot.header.taken_at_ns.unwrap_or(0) });
        }
        self.follow(&snapshot);
        if let Some(point) = self.series.points().back() {
            let by_id = self.series.matching().by_id();
            self.history.push(&snapshot.header, point, &self.times, by_id);
        }
        self.ask();
        Picture {
            times: Some(Arc::clone(&self.times)),
            program: None,
            findings: self.findings.clone(),
            number: self.history.points().back().map_or(0, |point| point.number),
            points: self.history.points().clone(),
            proved_ns: Arc::clone(self.series.proved_ns()),
            per_minute: per_minute(self.history.points()),
            warning: self.series.warning(),
            took: Duration::ZERO,
            life: self.life,
            before: self.before,
            owners: Arc::new(Owners::new(&snapshot)),
            snapshot,
        }
    }

    /// Adds a reading to the series and to the times of states, in one pass over its tasks.
    fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        let gap_ns = self.series.gap_to(&snapshot.header).filter(|_| !self.missed);
        let seconds = gap_ns.map(|ns| ns as f64 / 1e9);
        let mut times = After::new(&self.times, snapshot, seconds, self.series.options().system);
        self.series.push_each(Arc::clone(snapshot), |task| times.task(task));
        self.times = Arc::new(times.finish());
        self.missed = false;
    }

    /// A reading failed: what tasks did until the next one is not known.
    pub fn missed(&mut self) {
        self.missed = true;
    }

    /// Whether it is of another process than the reading before. Only if both identify their process.
    fn is_restart(&self, snapshot: &Snapshot) -> bool {
        let Some(last) = self.series.last() else { return false };
        let (old, new) = (&last.header.target, &snapshot.header.target);
        let known = |target: &TargetInfo| {
            target.source == SourceKind::Process && target.pid.is_some() && target.start_ticks.is_some()
        };
        known(old) && known(new) && (old.pid, old.start_ticks) != (new.pid, new.start_ticks)
    }

    /// The next reading is of another program, though perhaps of the same process: knowledge of one program's
    /// tasks does not apply to another's. Has no effect before the first reading.
    pub fn begin_anew(&mut self) {
        let Some(last) = self.series.last() else { return };
        self.ended = last.header.target.pid;
        self.series = Series::new(self.series.options());
        self.history.begin_anew();
        (self.findings, self.ask_again) = (None, None);
        self.times = Arc::default();
        self.life += 1;
    }

    /// The readings so far, folded together.
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// Runs the rules, unless they ran a short while ago, compared with the time that they take.
    fn ask(&mut self) {
        let begin = Instant::now();
        if self.ask_again.is_some_and(|then| begin < then) {
            return;
        }
        self.findings = leaks::find(&self.series, &leaks::Options::default()).map(Arc::new);
        let took = begin.elapsed();
        // A hiccup of the machine must not suspend them for long.
        let pause = (took * self.share).min(took.saturating_mul(SHARE_AT_MOST).max(LONGEST_SILENCE));
        self.ask_again = (self.share > 0).then(|| begin + pause);
    }
}

/// How fast the number of tasks of the current process grows.
fn per_minute(points: &VecDeque<Arc<Point>>) -> Option<f64> {
    const MINUTE: u64 = 60_000_000_000;
    const SHORTEST: u64 = 2_000_000_000;
    let now = points.back()?.elapsed_ns?;
    let ended = points.iter().rposition(|point| point.restarted).unwrap_or(0);
    let recent = points.iter().skip(ended).rev().map_while(|point| {
        let at = point.elapsed_ns.filter(|&at| now.saturating_sub(at) <= MINUTE)?;
        Some((at, point.tasks))
    });
    let mut counts: Vec<(u64, u64)> = recent.collect();
    counts.reverse();
    let span = now.saturating_sub(counts.first()?.0);
    // A trend compares every count with every other.
    let step = counts.len().div_ceil(30).max(1);
    let counts: Vec<_> =
        counts.into_iter().rev().step_by(step).collect::<Vec<_>>().into_iter().rev().collect();
    if span < SHORTEST || counts.len() < 3 {
        None
    } else {
        trend(&counts, None).map(|trend| trend.per_minute)
    }
}
