//! What the rules look at: the tasks of the last reading by kind, and what the series says of each kind.

use super::finding::Sureness;
use super::task_group::{LeftOut, TaskGroup};
use super::{Ignore, Options, growth};
use crate::analysis::group::stack_bytes;
use crate::analysis::known::KnownTasks;
use crate::analysis::modules::{Owners, module_of, modules};
use crate::analysis::series::{Member, Series, SeriesGroup, Track, groups};
use crate::analysis::signature::{Signature, SignatureFrame};
use crate::analysis::tally::Tally;
use crate::analysis::trend::Trend;
use crate::analysis::waits::{WaitSummary, WaitTable};
use crate::snapshot::{Age, Module, ObjectKind, Snapshot, Task, TaskState, WaitClass, count_tasks};

/// What the rules look at.
pub struct Context<'a> {
    /// The series.
    pub series: &'a Series,
    /// Its last snapshot.
    pub snapshot: &'a Snapshot,
    /// What the user asked for.
    pub options: &'a Options,
    /// The tasks of the last reading, by kind.
    pub kinds: Vec<TaskGroup<'a>>,
    table: WaitTable<'a>,
}

impl<'a> Context<'a> {
    /// Sorts the tasks of the last reading.
    pub fn new(series: &'a Series, snapshot: &'a Snapshot, options: &'a Options) -> Self {
        let known = KnownTasks::default();
        let mut kinds = Vec::new();
        for group in groups(series) {
            let Some((signature, track)) = series.track(group.signature) else { continue };
            split(series, snapshot, signature, track, group, &mut kinds);
        }
        let whose = Owners::new(snapshot);
        for kind in &mut kinds {
            // A proof by the runtime outweighs the list of usual tasks.
            kind.known =
                if kind.waits == WaitClass::Leaked { None } else { known.find(kind.signature, kind.waits) };
            let look = growth::assess(series, kind);
            (kind.growth, kind.doubt, kind.calm) = (look.growth, look.doubt, look.calm);
            let owners = modules(snapshot, &kind.signature.runtime);
            kind.at = kind.signature.user_frame(&whose);
            let owner =
                |place: Option<&SignatureFrame>| place.and_then(|place| module_of(owners, &place.package));
            kind.module = owner(kind.signature.creator.as_ref()).or_else(|| owner(kind.at));
            let all = kind.signature.frames.iter().chain(&kind.signature.creator);
            let paths = || all.clone().filter_map(|place| module_of(owners, &place.package));
            let matches = |patterns: &[Ignore]| {
                let path = |module: &'a Module| module.path.as_str();
                patterns.iter().any(|ignore| ignore.matches(kind.signature, paths().map(path)))
            };
            if matches(&options.ignore) {
                kind.left_out = Some(LeftOut::Ignored);
            } else if options.ignore_file.as_ref().is_some_and(|file| matches(&file.patterns)) {
                kind.left_out = Some(LeftOut::IgnoredByFile);
            }
        }
        if let Some(baseline) = &options.baseline {
            baseline.leave_out(&snapshot.header, &mut kinds);
        }
        Context { series, snapshot, options, kinds, table: WaitTable::new(snapshot) }
    }

    /// A task of the last snapshot.
    pub fn task(&self, index: u32) -> Option<&'a Task> {
        self.snapshot.tasks.get(index as usize)
    }

    /// The followed tasks of a kind.
    pub fn members(&self, kind: &TaskGroup<'_>) -> impl Iterator<Item = &'a Member> {
        let all = self.series.members();
        kind.members.iter().filter_map(|&nth| all.get(nth as usize)).collect::<Vec<_>>().into_iter()
    }

    /// What the tasks of a kind wait for inside the program, the most frequent first. Descriptors, timers and processes are
    /// left out: what is on their other side is no task.
    pub fn summaries(&self, kind: &TaskGroup<'_>) -> Vec<WaitSummary> {
        let mut all = self.table.summarize(kind.tasks.iter().filter_map(|&index| self.task(index)));
        all.retain(|summary| {
            !matches!(
                summary.kind,
                ObjectKind::Descriptor | ObjectKind::Timer | ObjectKind::Futex | ObjectKind::Process
            )
        });
        all
    }

    /// How many tasks wait for a thing.
    pub fn waiters(&self, object: crate::snapshot::ObjectId) -> u64 {
        self.table.waiters(object)
    }

    /// There was only one reading.
    pub fn is_single(&self) -> bool {
        self.series.readings() < 2
    }

    /// There were too few readings to show whether growth continues.
    pub fn is_short(&self) -> bool {
        self.series.points().len() < growth::READINGS
    }

    /// From the first reading to the last, nanoseconds. None if there was only one, or times are unknown.
    pub fn watched_ns(&self) -> Option<u64> {
        self.series.span_ns().filter(|_| !self.is_single())
    }

    /// How long a task of the last reading has been in its state, at least, nanoseconds.
    pub fn standing_ns(&self, index: u32, member: Option<&Member>) -> u64 {
        let said = self.task(index).and_then(|task| task.age.nanos()).unwrap_or(0);
        said.max(member.and_then(|member| self.series.still_ns(member)).unwrap_or(0))
    }

    /// The same, or how long every reading has found it waiting for the same, which does not prove that it did not run in
    /// between.
    pub fn seen_ns(&self, index: u32, member: Option<&Member>) -> u64 {
        let seen = member.and_then(|member| self.series.seen_ns(member)).unwrap_or(0);
        self.standing_ns(index, member).max(seen)
    }

    /// How many tasks of a kind have been in their state for at least this long.
    pub fn older_than(&self, kind: &TaskGroup<'_>, ns: u64) -> u64 {
        if kind.members.is_empty() {
            let old = kind.tasks.iter().filter(|&&index| self.standing_ns(index, None) >= ns);
            count_tasks(old.filter_map(|&index| self.task(index)))
        } else {
            self.members(kind).filter(|m| self.standing_ns(m.task, Some(m)) >= ns).count() as u64
        }
    }

    /// What the growth of a kind alone says.
    pub fn growing(&self, kind: &TaskGroup<'_>) -> Option<Sureness> {
        kind.growth.as_ref().map(|growth| growth.sureness)
    }
}

/// Makes kinds from the tasks of one signature: one, unless some of them never run again and others may.
fn split<'a>(
    series: &'a Series,
    snapshot: &'a Snapshot,
    signature: &'a Signature,
    track: &'a Track,
    group: SeriesGroup,
    kinds: &mut Vec<TaskGroup<'a>>,
) {
    if group.tasks.is_empty() {
        return;
    }
    let task = |index: &u32| snapshot.tasks.get(*index as usize);
    let of = |index: &u32| task(index).map_or(WaitClass::Nothing, |task| task.wait_class);
    let counted = |index: &u32| (of(index), task(index).map_or(0, Task::count));
    let waits: Vec<(WaitClass, u64)> = group.tasks.iter().map(counted).collect();
    let never = waits.iter().filter(|(waits, _)| waits.never_ends()).count();
    let what = |tally: &Tally<WaitClass>| tally.most().unwrap_or(WaitClass::Nothing);
    let trend = trend_of(series, track);
    if never == 0 || never == waits.len() {
        let waits = what(&Tally::of(waits));
        let reason = group.reasons.most().flatten().map(|id| snapshot.str(id));
        let state = match group.states.most().unwrap_or_default() {
            TaskState::Unknown => waits.words(),
            state => state.name(),
        };
        kinds.push(TaskGroup {
            what: reason.unwrap_or(state).to_owned(),
            stayed: group.stayed,
            still: group.still,
            age: group.oldest,
            stack_bytes: group.stack_bytes,
            trend,
            ..kind(signature, Some(track), waits, (group.tasks, group.count), group.members)
        });
        return;
    }
    for side in [true, false] {
        let of_side = |index: &u32| of(index).never_ends() == side;
        let tasks: Vec<u32> = group.tasks.iter().copied().filter(of_side).collect();
        let of_member = |nth: &u32| series.members().get(*nth as usize).is_some_and(|m| of_side(&m.task));
        let members: Vec<u32> = group.members.iter().copied().filter(of_member).collect();
        let waits = Tally::of(tasks.iter().map(counted));
        let all = || tasks.iter().filter_map(task);
        let reason = Tally::of(all().map(|task| (task.reason, task.count()))).most().flatten();
        let age = all().map(|task| task.age).max_by_key(|age| age.nanos()).unwrap_or_default();
        let (stack_bytes, count) = (stack_bytes(all()), count_tasks(all()));
        let what_text = reason.map_or("", |id| snapshot.str(id)).to_owned();
        kinds.push(TaskGroup {
            age,
            stack_bytes,
            what: what_text,
            ..kind(signature, None, what(&waits), (tasks, count), members)
        });
    }
}

fn kind<'a>(
    signature: &'a Signature,
    track: Option<&'a Track>,
    waits: WaitClass,
    (tasks, count): (Vec<u32>, u64),
    members: Vec<u32>,
) -> TaskGroup<'a> {
    TaskGroup {
        signature,
        track,
        waits,
        tasks,
        count,
        members,
        stayed: 0,
        still: 0,
        age: Age::Unknown,
        stack_bytes: 0,
        what: String::new(),
        trend: None,
        growth: None,
        doubt: None,
        calm: None,
        known: None,
        left_out: None,
        at: None,
        module: None,
    }
}

/// The trend of the kept readings with a known time.
fn trend_of(series: &Series, track: &Track) -> Option<Trend> {
    let points = series.points().iter().zip(&track.steps);
    let readings: Option<Vec<(u64, u64)>> =
        points.map(|(point, step)| Some((point.elapsed_ns?, step.count))).collect();
    crate::analysis::trend::trend(&readings?, Some(track.born.saturating_add(track.gone)))
}

/// What tasks of some kinds are called.
pub(super) fn noun(context: &Context<'_>, kinds: &[&TaskGroup<'_>]) -> String {
    let runtimes = &context.snapshot.header.runtimes;
    let of = |kind: &TaskGroup<'_>| runtimes.iter().find(|info| *info.name == *kind.signature.runtime);
    let noun = match (kinds.first(), runtimes.as_slice()) {
        (Some(kind), _) => of(kind).map_or("", |info| &info.task_noun),
        (None, [only]) => &only.task_noun,
        (None, _) => "",
    };
    if noun.is_empty() { "task".to_owned() } else { noun.to_owned() }
}
