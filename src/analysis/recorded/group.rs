//! Adds rows up by whose time they are and by what was done.

use std::cmp::Reverse;

use rustc_hash::{FxHashMap, FxHashSet};

use super::subject::{Subjects, value};
use super::{By, Recorded, Row, Subject, Sum};
use crate::analysis::Filter;
use crate::recording::{Clock, Whose};
use crate::snapshot::{StrId, TaskState};

/// What was done during some time: a state and, where it has one, the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Act {
    /// What the task or thread was doing.
    pub state: TaskState,
    /// Why it waited.
    pub reason: Option<StrId>,
}

/// Rows of all clocks that have a subject in common.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecordedGroup {
    /// Whose time it is.
    pub subject: Subject,
    /// The value of the label that groups are split by. None without one.
    pub label: Option<StrId>,
    /// Samples and time of each clock, by the order of [`Clock::ALL`]: see [`by_clock`].
    pub sums: [Sum; 3],
    /// The same by what was done, the most time first.
    pub acts: [Vec<(Act, Sum)>; 3],
    /// The group's rows of each clock.
    pub rows: [Vec<u32>; 3],
    /// Tasks with an id that are in it.
    pub tasks: u64,
    /// There are tasks without an id, too: their number is not known.
    pub more_tasks: bool,
}

impl RecordedGroup {
    /// Samples and time of a clock.
    pub fn sum(&self, clock: Clock) -> Sum {
        by_clock(&self.sums, clock)
    }
}

/// The entry of a clock.
pub fn by_clock<T: Clone + Default>(of: &[T; 3], clock: Clock) -> T {
    of.get(position(clock)).cloned().unwrap_or_default()
}

fn position(clock: Clock) -> usize {
    Clock::ALL.iter().position(|&known| known == clock).unwrap_or(0)
}

/// Groups the rows of all clocks that pass a filter, the most CPU time first, then the most wall and off-CPU time.
/// `split`: the key of a label whose values make groups of their own.
pub fn group(recorded: &Recorded, filter: &Filter, by: &By, split: Option<&str>) -> Vec<RecordedGroup> {
    let mut groups: Vec<RecordedGroup> = Vec::new();
    let mut index: FxHashMap<(Subject, Option<StrId>), u32> = FxHashMap::default();
    let mut seen: FxHashSet<(u32, (u8, u64))> = FxHashSet::default();
    let mut acts: FxHashMap<(u32, usize, Act), Sum> = FxHashMap::default();
    for clock in recorded.clocks() {
        let mut subjects = Subjects::new(recorded, by, Recorded::all_frames(clock, filter));
        for &nth in &recorded.select(clock, filter).tasks {
            let Some(row) = recorded.rows.get(nth as usize) else { continue };
            let Some(task) = recorded.snapshot.tasks.get(nth as usize) else { continue };
            let label = split.and_then(|key| value(&recorded.snapshot, task, key));
            let subject = subjects.of(nth);
            let at = *index.entry((subject, label)).or_insert_with(|| {
                groups.push(RecordedGroup::new(subject, label));
                groups.len() as u32 - 1
            });
            let act = Act { state: task.state, reason: task.reason };
            let Some(group) = groups.get_mut(at as usize) else { continue };
            group.add(recorded, row, nth, &mut |id| seen.insert((at, id)));
            acts.entry((at, position(clock), act)).or_default().add(row.sum);
        }
    }
    for ((at, clock, act), sum) in acts {
        let slot = groups.get_mut(at as usize).and_then(|group| group.acts.get_mut(clock));
        slot.into_iter().for_each(|acts| acts.push((act, sum)));
    }
    for acts in groups.iter_mut().flat_map(|group| &mut group.acts) {
        acts.sort_by_key(|&(act, sum)| (Reverse(sum.ns), act));
    }
    let time = |group: &RecordedGroup, clock| Reverse(group.sum(clock).ns);
    groups.sort_by_key(|g| [time(g, Clock::Cpu), time(g, Clock::Wall), time(g, Clock::OffCpu)]);
    groups
}

impl RecordedGroup {
    fn new(subject: Subject, label: Option<StrId>) -> Self {
        RecordedGroup {
            subject,
            label,
            sums: Default::default(),
            acts: Default::default(),
            rows: Default::default(),
            tasks: 0,
            more_tasks: false,
        }
    }

    fn add(&mut self, recorded: &Recorded, row: &Row, nth: u32, is_new: &mut dyn FnMut((u8, u64)) -> bool) {
        let clock = position(row.clock);
        if let (Some(sum), Some(rows)) = (self.sums.get_mut(clock), self.rows.get_mut(clock)) {
            sum.add(row.sum);
            rows.push(nth);
        }
        if let Whose::Task(task) = row.whose {
            let id = recorded.id_of(task);
            self.more_tasks |= id.is_none();
            self.tasks += u64::from(id.is_some_and(is_new));
        }
    }
}
